//! Labelled images in memory.

use super::error::DataError;
use super::random::Random;
use std::fmt;

/// Labelled images of one size, as bytes in the order [image, row, column, channel].
#[derive(Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// The pixels: `len() × height × width × channels` bytes.
    pub images: Vec<u8>,
    /// The class of each image, in `0..classes.len()`.
    pub labels: Vec<i32>,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Values of a pixel: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// The name of each class.
    pub classes: Vec<String>,
}

/// A data set in the two parts that its publisher made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageData {
    /// What a model learns from.
    pub train: ImageSet,
    /// What it is judged by.
    pub test: ImageSet,
    /// What the user should know about how the parts came about, if they are not the publisher's own.
    pub note: Option<String>,
}

/// Mean and standard deviation of each channel, of values scaled to [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStatistics {
    /// One mean for each channel.
    pub mean: Vec<f32>,
    /// One standard deviation for each channel (of the whole, divided by n).
    pub std: Vec<f32>,
}

impl ImageSet {
    /// Images with their labels.
    ///
    /// `size` is height, width and channels. Fails if the number of bytes or a label does not fit.
    ///
    /// ```
    /// use rushlight::data::ImageSet;
    /// let classes = vec!["dark".to_string(), "bright".to_string()];
    /// let set = ImageSet::new(vec![0, 255], vec![0, 1], [1, 1, 1], classes).unwrap();
    /// assert_eq!(set.image(1), [255]);
    /// ```
    pub fn new(
        images: Vec<u8>,
        labels: Vec<i32>,
        size: [usize; 3],
        classes: Vec<String>,
    ) -> Result<Self, DataError> {
        let [height, width, channels] = size;
        let wanted =
            [labels.len(), height, width, channels].iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if wanted != Some(images.len()) {
            return Err(DataError::Argument(format!(
                "{} labels of images of {height}×{width}×{channels} need {} bytes of pixels, got {}",
                labels.len(),
                wanted.map_or("more than can be addressed".into(), |n| n.to_string()),
                images.len()
            )));
        }
        if let Some((index, label)) = (0..).zip(&labels).find(|&(_, &l)| l < 0 || l as usize >= classes.len())
        {
            return Err(DataError::Argument(format!(
                "label {label} of image {index} is outside 0..{}, the number of classes",
                classes.len()
            )));
        }
        Ok(ImageSet { images, labels, height, width, channels, classes })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Height, width and channels of an image.
    pub fn size(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// The bytes of one image.
    pub fn image_bytes(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The pixels of one image, as [row, column, channel].
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len), as indexing a slice would.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.images[index * self.image_bytes()..][..self.image_bytes()]
    }

    /// The first `count` images, or all if there are fewer.
    pub fn take(mut self, count: usize) -> Self {
        let count = count.min(self.len());
        self.images.truncate(count * self.image_bytes());
        self.labels.truncate(count);
        self.images.shrink_to_fit();
        self
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len), as indexing a slice would.
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut images = Vec::with_capacity(indices.len() * self.image_bytes());
        indices.iter().for_each(|&index| images.extend_from_slice(self.image(index)));
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        ImageSet { images, labels, classes: self.classes.clone(), ..*self }
    }

    /// Two parts, drawn at random by `seed`: the first of `fraction × len()` images, rounded, the second of the
    /// rest. Both keep the order that the images have here.
    ///
    /// Fails if `fraction` is not within [0, 1].
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self), DataError> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(DataError::Argument(format!(
                "a fraction to split by lies within [0, 1], got {fraction}"
            )));
        }
        let first = (fraction * self.len() as f64).round() as usize;
        let mut order = Random::keyed(&[seed]).permutation(self.len());
        let (left, right) = order.split_at_mut(first);
        left.sort_unstable();
        right.sort_unstable();
        Ok((self.select(left), self.select(right)))
    }

    /// Mean and standard deviation of each channel over all images, of values scaled to [0, 1].
    ///
    /// Summed exactly, in integers. Without any image: mean 0 and standard deviation 1.
    pub fn channel_statistics(&self) -> ChannelStatistics {
        let mut sums = vec![(0u64, 0u64); self.channels];
        for pixel in self.images.chunks_exact(self.channels.max(1)) {
            for (&value, (sum, squares)) in pixel.iter().zip(&mut sums) {
                *sum += u64::from(value);
                *squares += u64::from(value) * u64::from(value);
            }
        }
        let count = (self.len() * self.height * self.width) as f64;
        let of = |&(sum, squares): &(u64, u64)| {
            if count == 0.0 {
                return (0.0, 1.0);
            }
            let mean = sum as f64 / count;
            let variance = (squares as f64 / count - mean * mean).max(0.0);
            ((mean / 255.0) as f32, (variance.sqrt() / 255.0) as f32)
        };
        let (mean, std) = sums.iter().map(of).unzip();
        ChannelStatistics { mean, std }
    }
}

impl fmt::Debug for ImageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width, channels] = self.size();
        write!(
            f,
            "ImageSet({} images of {height}×{width}×{channels}, classes {:?})",
            self.len(),
            self.classes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("class {i}")).collect()
    }

    fn counted(count: usize) -> ImageSet {
        let images = (0..count * 6).map(|i| (i / 6) as u8).collect();
        ImageSet::new(images, (0..count).map(|i| (i % 3) as i32).collect(), [2, 1, 3], names(3)).unwrap()
    }

    #[test]
    fn sizes_and_labels_must_fit() {
        let error =
            |images, labels| ImageSet::new(images, labels, [1, 1, 1], names(2)).unwrap_err().to_string();
        assert_eq!(
            error(vec![1, 2, 3], vec![0, 1]),
            "2 labels of images of 1×1×1 need 2 bytes of pixels, got 3"
        );
        let text = "label 2 of image 1 is outside 0..2, the number of classes";
        assert_eq!(error(vec![1, 2], vec![0, 2]), text);
        assert!(error(vec![1], vec![-1]).starts_with("label -1 of image 0"));
        let huge = ImageSet::new(vec![], vec![0, 0], [usize::MAX, 1, 1], names(1)).unwrap_err();
        assert!(huge.to_string().contains("more than can be addressed"));
    }

    #[test]
    fn taking_keeps_the_first() {
        let set = counted(10).take(4);
        assert_eq!((set.len(), set.labels.as_slice(), set.image(3)), (4, &[0, 1, 2, 0][..], &[3u8; 6][..]));
        assert_eq!(counted(3).take(100), counted(3));
        assert!(counted(3).take(0).is_empty());
    }

    #[test]
    fn splitting_divides_without_loss_and_by_the_seed() {
        let set = counted(100);
        let (left, right) = set.split(0.9, 1).unwrap();
        assert_eq!((left.len(), right.len()), (90, 10));
        let mut seen: Vec<u8> = left.images.iter().chain(&right.images).step_by(6).copied().collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..100), "each image is in one part");
        for i in 0..10 {
            assert_eq!(right.labels[i], i32::from(right.image(i)[0] % 3), "labels stay with their images");
        }
        assert_eq!(set.split(0.9, 1).unwrap(), (left, right.clone()));
        assert_ne!(set.split(0.9, 2).unwrap().1, right);
        assert!(set.split(1.0, 0).unwrap().1.is_empty());
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(set.split(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn statistics_are_those_of_each_channel() {
        let images = vec![0, 255, 51, 255, 255, 51, 0, 255, 51, 255, 255, 51];
        let set = ImageSet::new(images, vec![0, 0], [1, 2, 3], names(1)).unwrap();
        let ChannelStatistics { mean, std } = set.channel_statistics();
        assert_eq!(mean, [0.5, 1.0, 0.2]);
        assert_eq!(std, [0.5, 0.0, 0.0]);
        let nothing = set.take(0).channel_statistics();
        assert_eq!((nothing.mean, nothing.std), (vec![0.0; 3], vec![1.0; 3]));
    }
}
