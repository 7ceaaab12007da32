//! Making images ready for a model: random shifts and flips, and bytes turned into normalized numbers.

use super::error::DataError;
use super::images::{ChannelStatistics, ImageSet};
use super::random::Random;

/// Random shifts and flips of training images, the usual ones of CIFAR-10 (Lin, Chen and Yan, "Network in
/// network", 2013).
///
/// What happens to an image depends on the seed, the epoch and its index alone, not on batches or threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Augmentation {
    /// Black pixels added to each side before a window of the old size is cut out at random; 0 for no shift.
    pub padding: usize,
    /// Whether to mirror left and right with probability one half.
    pub flip: bool,
    /// Chooses the sequence of random numbers.
    pub seed: u64,
}

/// What happens to one image: the window starts `down` and `right` of where the padded image does.
struct Change {
    down: usize,
    right: usize,
    mirrored: bool,
}

impl Augmentation {
    /// Four pixels of padding, and flips.
    pub fn standard(seed: u64) -> Self {
        Augmentation { padding: 4, flip: true, seed }
    }

    fn change(&self, epoch: u64, index: usize) -> Change {
        let mut random = Random::keyed(&[self.seed, epoch, index as u64]);
        let mut shift = || random.below(2 * self.padding + 1);
        let (down, right) = (shift(), shift());
        Change { down, right, mirrored: self.flip && random.chance(0.5) }
    }

    /// Writes the image of that index, as it looks in that epoch, to `output`.
    ///
    /// `image` and `output` are [row, column, channel] of the same `size`: height, width and channels.
    ///
    /// # Panics
    /// If `image` or `output` are not of that size.
    pub fn apply(&self, epoch: u64, index: usize, image: &[u8], size: [usize; 3], output: &mut [u8]) {
        let [height, width, channels] = size;
        assert_eq!([image.len(), output.len()], [height * width * channels; 2], "images of {size:?}");
        let Change { down, right, mirrored } = self.change(epoch, index);
        let row_bytes = (width * channels).max(1);
        for (row, output) in output.chunks_exact_mut(row_bytes).enumerate() {
            let Some(source) = (row + down).checked_sub(self.padding).filter(|&source| source < height)
            else {
                output.fill(0);
                continue;
            };
            shift_row(&image[source * row_bytes..][..row_bytes], output, channels, right, self.padding);
            if mirrored {
                mirror_row(output, channels);
            }
        }
    }

    /// The images at `indices` as they look in that epoch, one after the other.
    ///
    /// # Panics
    /// If an index is not below `set.len()`, as indexing a slice would.
    pub fn batch(&self, set: &ImageSet, indices: &[usize], epoch: u64) -> Vec<u8> {
        let mut batch = vec![0; indices.len() * set.image_bytes()];
        for (&index, output) in indices.iter().zip(batch.chunks_exact_mut(set.image_bytes().max(1))) {
            self.apply(epoch, index, set.image(index), set.size(), output);
        }
        batch
    }
}

/// `output` shows `row`, padded on both sides, from pixel `start` on.
fn shift_row(row: &[u8], output: &mut [u8], channels: usize, start: usize, padding: usize) {
    let black_first = padding.saturating_sub(start) * channels;
    let skipped = start.saturating_sub(padding) * channels;
    let shown = row.len().saturating_sub(black_first + skipped);
    output.fill(0);
    if shown > 0 {
        output[black_first..][..shown].copy_from_slice(&row[skipped..][..shown]);
    }
}

fn mirror_row(row: &mut [u8], channels: usize) {
    let width = row.len() / channels;
    for left in 0..width / 2 {
        for channel in 0..channels {
            row.swap(left * channels + channel, (width - 1 - left) * channels + channel);
        }
    }
}

/// Bytes to numbers of mean 0 and standard deviation 1 in each channel: `(byte / 255 - mean) / std`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// What each of the 256 bytes becomes, for each channel.
    tables: Vec<[f32; 256]>,
}

impl Normalization {
    /// With the statistics of a training set. A channel that is the same everywhere is only shifted.
    ///
    /// Fails unless there is a finite mean and a finite standard deviation for each channel.
    ///
    /// ```
    /// use rushlight::data::{ChannelStatistics, Normalization};
    /// let statistics = ChannelStatistics { mean: vec![0.5], std: vec![0.25] };
    /// let normalization = Normalization::new(&statistics).unwrap();
    /// assert_eq!(normalization.apply(&[0, 255]), [-2.0, 2.0]);
    /// ```
    pub fn new(statistics: &ChannelStatistics) -> Result<Self, DataError> {
        let ChannelStatistics { mean, std } = statistics;
        if mean.is_empty() || mean.len() != std.len() {
            return Err(DataError::Argument(format!(
                "a normalization needs a mean and a standard deviation for each channel, got {} and {}",
                mean.len(),
                std.len()
            )));
        }
        if let Some(bad) = mean.iter().chain(std).find(|value| !value.is_finite()) {
            return Err(DataError::Argument(format!("a normalization needs finite statistics, got {bad}")));
        }
        let table = |(&mean, &std): (&f32, &f32)| {
            let scale = if std > 0.0 { 1.0 / std } else { 1.0 };
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) * scale)
        };
        Ok(Normalization { tables: mean.iter().zip(std).map(table).collect() })
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.tables.len()
    }

    /// The images, whose last axis is the channel, as numbers.
    pub fn apply(&self, images: &[u8]) -> Vec<f32> {
        let mut output = vec![0.0; images.len()];
        self.apply_to(images, &mut output);
        output
    }

    /// As [`apply`](Self::apply), into a buffer.
    ///
    /// # Panics
    /// If the buffer is not as long as `images`, or `images` is not of whole pixels.
    pub fn apply_to(&self, images: &[u8], output: &mut [f32]) {
        let channels = self.channels();
        assert_eq!(images.len(), output.len(), "a number for each byte");
        assert_eq!(images.len() % channels, 0, "pixels of {channels} channels");
        for (pixel, output) in images.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
            for ((&byte, output), table) in pixel.iter().zip(output).zip(&self.tables) {
                *output = table[usize::from(byte)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: pad, cut, mirror, pixel by pixel.
    fn expected(
        change: &Change,
        padding: usize,
        image: &[u8],
        [height, width, channels]: [usize; 3],
    ) -> Vec<u8> {
        let mut output = Vec::new();
        for row in 0..height {
            for column in 0..width {
                let column = if change.mirrored { width - 1 - column } else { column };
                let (row, column) = (row + change.down, column + change.right);
                let inside = |at: usize, size| (padding..padding + size).contains(&at);
                for channel in 0..channels {
                    let at = |row, column| {
                        image[((row - padding) * width + column - padding) * channels + channel]
                    };
                    output.push(if inside(row, height) && inside(column, width) {
                        at(row, column)
                    } else {
                        0
                    });
                }
            }
        }
        output
    }

    #[test]
    fn shifts_and_flips_are_those_of_the_definition() {
        for (size, padding, flip) in
            [([5, 4, 3], 2, true), ([3, 3, 1], 4, true), ([2, 6, 2], 0, true), ([4, 4, 3], 1, false)]
        {
            let count: usize = size.iter().product();
            let image: Vec<u8> = (0..count).map(|i| i as u8 + 1).collect();
            let augmentation = Augmentation { padding, flip, seed: 5 };
            for index in 0..60 {
                let change = augmentation.change(1, index);
                let mut output = vec![99; count];
                augmentation.apply(1, index, &image, size, &mut output);
                assert_eq!(output, expected(&change, padding, &image, size), "{size:?} {padding} {index}");
                assert!(flip || !change.mirrored);
            }
        }
    }

    #[test]
    fn every_shift_and_both_sides_occur_about_equally() {
        let augmentation = Augmentation::standard(1);
        let mut counts = [[0; 9]; 2];
        let mut mirrored = 0;
        for index in 0..9000 {
            let change = augmentation.change(0, index);
            counts[0][change.down] += 1;
            counts[1][change.right] += 1;
            mirrored += usize::from(change.mirrored);
        }
        assert!(counts.iter().flatten().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert!((4200..4800).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn a_batch_depends_on_seed_epoch_and_index_alone() {
        let images = (0..20 * 48).map(|i| (i % 255) as u8 + 1).collect();
        let set = ImageSet::new(images, vec![0; 20], [4, 4, 3], vec!["only".into()]).unwrap();
        let augmentation = Augmentation { padding: 1, flip: true, seed: 9 };
        let all: Vec<usize> = (0..20).collect();
        let batch = augmentation.batch(&set, &all, 3);
        let backwards: Vec<usize> = all.iter().rev().copied().collect();
        let reversed = augmentation.batch(&set, &backwards, 3);
        for (a, b) in batch.chunks(48).zip(reversed.chunks(48).rev()) {
            assert_eq!(a, b);
        }
        assert_ne!(augmentation.batch(&set, &all, 4), batch);
        assert_ne!(Augmentation { seed: 10, ..augmentation }.batch(&set, &all, 3), batch);
    }

    #[test]
    fn normalized_images_have_mean_zero_and_deviation_one() {
        let images: Vec<u8> = (0..600).map(|i| (i * 7 % 256) as u8 / (1 + (i % 3) as u8)).collect();
        let set = ImageSet::new(images, vec![0; 2], [10, 10, 3], vec!["only".into()]).unwrap();
        let values = Normalization::new(&set.channel_statistics()).unwrap().apply(&set.images);
        for channel in 0..3 {
            let of_channel = || values.iter().skip(channel).step_by(3);
            let mean = of_channel().sum::<f32>() / 200.0;
            let variance = of_channel().map(|v| v * v).sum::<f32>() / 200.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
        }
        let flat = ChannelStatistics { mean: vec![0.2], std: vec![0.0] };
        assert_eq!(Normalization::new(&flat).unwrap().apply(&[51]), [0.0]);
    }

    #[test]
    fn statistics_that_make_no_sense_are_refused() {
        let error = |mean: &[f32], std: &[f32]| {
            Normalization::new(&ChannelStatistics { mean: mean.into(), std: std.into() })
                .unwrap_err()
                .to_string()
        };
        assert!(error(&[0.1, 0.2], &[1.0]).ends_with("got 2 and 1"));
        assert!(error(&[], &[]).ends_with("got 0 and 0"));
        assert!(error(&[f32::NAN], &[1.0]).ends_with("got NaN"));
    }
}
