//! A whole epoch in one call of a compiled function: the data lie in tensors, the loop over batches, their shuffling and
//! augmentation, gradients and optimizer are all inside of the graph. The weights come out the same, to the bit, as
//! those of the step-by-step loop.
//!
//! `cargo run --release --example epoch_in_one_call` takes drawn shapes; `-- --data-dir folder` takes CIFAR-10 from there,
//! `--limit n` only its first `n` images.

use rushlight::applications::{DenseNetConfig, densenet};
use rushlight::data::{ImageSet, cifar10, drawn_shapes};
use rushlight::prelude::*;
use rushlight::random::Generator;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const BATCH: usize = 32;
/// Black pixels around an image before a window of its size is cut out at random.
const PADDING: usize = 4;

/// A model in training, and the generator of all that is random about it.
struct Training {
    model: Model,
    optimizer: Sgd,
    generator: Generator,
    mean: Tensor,
    deviation: Tensor,
}

impl Training {
    fn new(images: &ImageSet) -> Result<Training> {
        let [height, width, channels] = images.size();
        let config = DenseNetConfig {
            input: [height, width, channels],
            classes: images.classes.len(),
            ..DenseNetConfig::small()
        };
        rushlight::random::set_seed(1);
        let statistics = images.channel_statistics();
        Ok(Training {
            model: densenet(&config)?,
            optimizer: Sgd::new(0.05).momentum(0.9),
            generator: Generator::new(7),
            mean: Tensor::from(&statistics.mean[..]).cast(DType::F32),
            deviation: Tensor::from(&statistics.std[..]).cast(DType::F32),
        })
    }

    /// The images of these numbers as floats, each shifted and perhaps mirrored: one gather of pixels.
    fn augmented(&self, images: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let [_, height, width, channels] = images.dims()?;
        let [count] = rows.dims()?;
        let (tall, wide) = (height + 2 * PADDING, width + 2 * PADDING);
        let edges = [(0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)];
        let padded =
            images.take(rows, 0).pad(&edges).reshape([(count * tall * wide) as isize, channels as isize]);
        let shift = || self.generator.randint([count, 1, 1], 0, 2 * PADDING as i64 + 1, DType::I64);
        let (down, right) = (shift(), shift());
        let mirrored = self.generator.bernoulli([count, 1, 1], 0.5, DType::Bool);
        let line = Tensor::arange(height as i64, DType::I64).reshape([1, -1, 1]) + down;
        let column = Tensor::arange(width as i64, DType::I64).reshape([1, 1, -1]);
        let column = where_(&mirrored, &(-&column + (width as i64 - 1)), &column) + right;
        let image = Tensor::arange(count as i64, DType::I64).reshape([-1, 1, 1]);
        let pixels = padded.take(&((image * tall + line) * wide + column), 0);
        Ok((pixels.cast(DType::F32) / 255.0 - &self.mean) / &self.deviation)
    }

    /// One step: plain Rust, like all that this program records.
    fn step(&self, images: &Tensor, labels: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let (x, y) = (self.augmented(images, rows)?, labels.take(rows, 0));
        let variables = self.model.trainable_variables();
        let loss = || SparseCategoricalCrossentropy::from_logits().mean(&y, &self.model.call(&x));
        let (loss, gradients) = training(true, || value_and_grad(loss, &variables))?;
        self.optimizer.apply(&gradients, &variables)?;
        Ok(loss)
    }

    /// The numbers of the images, batch by batch, in random order.
    fn order(&self, images: usize) -> Tensor {
        let steps = images / BATCH;
        self.generator
            .permutation(images)
            .slice_axis(0, 0, steps * BATCH)
            .reshape([steps as isize, BATCH as isize])
    }

    /// An epoch; returns the mean loss.
    fn epoch(&self, images: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let order = self.order(images.dims::<4>()?[0]);
        let ((), losses) = scan((), &order, |(), rows: Tensor| Ok(((), self.step(images, labels, &rows)?)))?;
        Ok(losses.mean(..))
    }

    fn bits(&self) -> Result<Vec<u32>> {
        let mut bits = Vec::new();
        for variable in self.model.variables() {
            bits.extend(variable.read().cast(DType::F32).to_vec::<f32>()?.iter().map(|x| x.to_bits()));
        }
        Ok(bits)
    }
}

/// A call of a compiled function a step: the time of each epoch but the first, which compiles, and the weights.
fn step_by_step(
    set: &ImageSet,
    images: &Tensor,
    labels: &Tensor,
    epochs: usize,
) -> Result<(Vec<Duration>, Vec<u32>)> {
    let state = Training::new(set)?;
    let step = function("step", |x: &(Tensor, Tensor, Tensor)| state.step(&x.0, &x.1, &x.2));
    let mut times = Vec::new();
    for _ in 0..epochs {
        let start = Instant::now();
        let order = state.order(set.len());
        for number in 0..set.len() / BATCH {
            let rows = order.slice_axis(0, number, number + 1).squeeze(0);
            step.call(&(images.clone(), labels.clone(), rows))?;
        }
        times.push(start.elapsed());
    }
    Ok((times, state.bits()?))
}

/// A call an epoch.
fn in_one_call(
    set: &ImageSet,
    images: &Tensor,
    labels: &Tensor,
    epochs: usize,
) -> Result<(Vec<Duration>, Vec<u32>)> {
    let state = Training::new(set)?;
    let epoch = function("epoch", |x: &(Tensor, Tensor)| state.epoch(&x.0, &x.1));
    let mut times = Vec::new();
    for number in 0..epochs {
        let start = Instant::now();
        let loss = epoch.call(&(images.clone(), labels.clone()))?.item::<f32>()?;
        times.push(start.elapsed());
        println!("epoch {}: loss {loss:.3}", number + 1);
    }
    Ok((times, state.bits()?))
}

fn main() -> Result<()> {
    let (mut folder, mut limit, mut arguments) = (None, usize::MAX, std::env::args().skip(1));
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--data-dir", Some(path)) => folder = Some(PathBuf::from(path)),
            ("--limit", Some(count)) if count.parse::<usize>().is_ok() => {
                limit = count.parse().unwrap_or(limit)
            }
            _ => {
                return Err(Error::outside(
                    rushlight::ErrorKind::Value,
                    "arguments",
                    "--data-dir folder, --limit n",
                ));
            }
        }
    }
    let set = match folder {
        Some(folder) => cifar10::load(folder)?.train,
        None => drawn_shapes(320, 0, 1).train,
    };
    let set = set.take(limit);
    let [height, width, channels] = set.size();
    let pixels: Vec<u8> = (0..set.len()).flat_map(|image| set.image(image)).copied().collect();
    let images = Tensor::new(&pixels, [set.len(), height, width, channels]);
    let labels = Tensor::from(&set.labels[..]);
    println!("{} images, {} steps of {BATCH} an epoch", set.len(), set.len() / BATCH);

    let (one_call, bits) = in_one_call(&set, &images, &labels, 2)?;
    let (steps, expected) = step_by_step(&set, &images, &labels, 2)?;
    let same = bits == expected;
    println!("an epoch step by step: {:.2?}, after a first one of {:.2?}", steps[1], steps[0]);
    println!("an epoch in one call:  {:.2?}, after a first one of {:.2?}", one_call[1], one_call[0]);
    println!("weights and statistics are {}", if same { "the same to the bit" } else { "DIFFERENT" });
    if same {
        Ok(())
    } else {
        Err(Error::outside(rushlight::ErrorKind::Value, "epoch", "the two ways differ"))
    }
}
