//! A data set that needs no file: ten kinds of shapes, drawn at random.

mod scene;
mod shapes;

pub use shapes::DRAWN_CLASSES;

use super::images::{ImageData, ImageSet};
use super::random::Random;
use scene::{BYTES, SIDE};

/// Draws pictures of ten kinds of shapes: 32 × 32 × 3, as many of each class as of any other, in random order.
///
/// Place, size, rotation and colours are random; there are gradients, noise, lines and spots in the background,
/// and often a bar or a spot before the shape. A linear model gets few of them right, a small convolutional
/// network nearly all.
///
/// The same seed and numbers of pictures give the same data on every machine.
///
/// ```
/// let data = rushlight::data::drawn_shapes(200, 100, 1);
/// assert_eq!((data.train.len(), data.test.size()), (200, [32, 32, 3]));
/// ```
pub fn drawn_shapes(train: usize, test: usize, seed: u64) -> ImageData {
    ImageData { train: draw_set(train, seed, 0), test: draw_set(test, seed, 1), note: None }
}

fn draw_set(count: usize, seed: u64, part: u64) -> ImageSet {
    let order = Random::keyed(&[seed, part, 1]).permutation(count);
    let labels: Vec<i32> = order.iter().map(|place| (place % DRAWN_CLASSES.len()) as i32).collect();
    let mut images = vec![0; count * BYTES];
    let picture_seed = Random::keyed(&[seed, part, 2]).bits();
    // Short runs of pictures are dealt out to the threads; each picture has its own random numbers.
    const RUN: usize = 64;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let runs = std::sync::Mutex::new(images.chunks_mut(RUN * BYTES).zip(labels.chunks(RUN)).enumerate());
    let work = || {
        while let Some((run, (images, labels))) = next(&runs) {
            for (index, (image, &label)) in images.chunks_exact_mut(BYTES).zip(labels).enumerate() {
                scene::draw(picture_seed, (run * RUN + index) as u64, label as usize, image);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count.div_ceil(RUN)) {
            scope.spawn(work);
        }
        work();
    });
    let classes = DRAWN_CLASSES.map(String::from).to_vec();
    ImageSet { images, labels, height: SIDE, width: SIDE, channels: 3, classes }
}

fn next<T>(items: &std::sync::Mutex<impl Iterator<Item = T>>) -> Option<T> {
    // Nothing that holds the lock can panic.
    items.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next()
}

#[cfg(test)]
mod tests;
