//! Tensors as pictures.

use crate::files::encode_png;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, eagerly};

/// Pixels of a batch of images `[count, height, width, channels]`.
pub(super) struct Pixels {
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
    bytes: Vec<u8>,
}

impl Pixels {
    /// Of one image (`[height, width]`, `[height, width, channels]`) or a batch of them; 1 to 4 channels. Floats run
    /// from 0 to 1, integers from 0 to 255; what lies outside is cut off, NaN is black.
    #[track_caller]
    pub(super) fn of(images: &Tensor, most: usize) -> Result<Pixels> {
        let spec = images.spec()?;
        let dims = spec.dims.as_slice();
        let (count, height, width, channels) = match *dims {
            [height, width] => (1, height, width, 1),
            [height, width, channels] => (1, height, width, channels),
            [count, height, width, channels] => (count, height, width, channels),
            _ => (0, 0, 0, 0),
        };
        if count == 0 || height == 0 || width == 0 || !(1..=4).contains(&channels) || most == 0 {
            let rule = "images are [height, width], [height, width, channels] or [count, height, width, \
                        channels], not empty, with 1 to 4 channels, and at least one of them is asked for";
            return Err(Error::with_inputs(ErrorKind::Shape, "tensorboard", rule, vec![spec.clone()]));
        }
        let count = count.min(most);
        let bytes = eagerly(|| {
            let images = images.reshape([-1]).slice_axis(0, 0, count * height * width * channels);
            if spec.dtype == DType::U8 {
                return images.to_vec::<u8>();
            }
            let scale = if spec.dtype.is_float() || spec.dtype == DType::Bool { 255.0 } else { 1.0 };
            let values = images.cast(DType::F32).to_vec::<f32>()?;
            // A cast to u8 cuts off at both ends and makes NaN a zero.
            Ok(values.iter().map(|value| (value * scale).round() as u8).collect())
        })?;
        Ok(Pixels { count, height, width, channels, bytes })
    }

    /// A PNG file of each image.
    pub(super) fn encode(&self) -> Result<Encoded> {
        let size = [self.height, self.width, self.channels];
        let each = self.bytes.chunks_exact(size.iter().product());
        let files = each.map(|pixels| encode_png(pixels, size)).collect::<std::io::Result<_>>()?;
        Ok(Encoded { height: self.height, width: self.width, files })
    }

    /// All images in one, so many beside each other, with a line of one dark pixel between them.
    pub(super) fn grid(&self, columns: usize) -> Pixels {
        let columns = columns.clamp(1, self.count);
        let rows = self.count.div_ceil(columns);
        let (height, width) = (rows * (self.height + 1) - 1, columns * (self.width + 1) - 1);
        let mut bytes = vec![0; height * width * self.channels];
        let row_bytes = self.width * self.channels;
        for (index, row) in self.bytes.chunks_exact(row_bytes).enumerate() {
            let (image, y) = (index / self.height, index % self.height);
            let top = (image / columns) * (self.height + 1) + y;
            let left = (image % columns) * (self.width + 1);
            let start = (top * width + left) * self.channels;
            bytes[start..start + row_bytes].copy_from_slice(row);
        }
        Pixels { count: 1, height, width, channels: self.channels, bytes }
    }
}

/// Images as files, all of one size.
pub(super) struct Encoded {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) files: Vec<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_pixels() {
        let of = |tensor: &Tensor| Pixels::of(tensor, 3).unwrap().bytes;
        assert_eq!(of(&Tensor::from([[0.0f32, 0.5, 1.0], [-1.0, 7.0, f32::NAN]])), [0, 128, 255, 0, 255, 0]);
        assert_eq!(of(&Tensor::from([[0i32, 128], [300, -5]])), [0, 128, 255, 0]);
        assert_eq!(of(&Tensor::from([[true, false]])), [255, 0]);
        assert_eq!(of(&Tensor::from([[3u8, 255]])), [3, 255]);
    }

    #[test]
    fn images_are_laid_side_by_side() {
        let images = Tensor::arange(3 * 4, DType::U8).reshape([3, 2, 2, 1]);
        let grid = Pixels::of(&images, 10).unwrap().grid(2);
        assert_eq!((grid.count, grid.height, grid.width), (1, 5, 5));
        let expected = [0, 1, 0, 4, 5, 2, 3, 0, 6, 7, 0, 0, 0, 0, 0, 8, 9, 0, 0, 0, 10, 11, 0, 0, 0];
        assert_eq!(grid.bytes, expected);
        assert_eq!(
            Pixels::of(&images, 2).unwrap().encode().unwrap().files.len(),
            2,
            "no more than asked for"
        );
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for dims in [vec![3], vec![2, 3, 5], vec![0, 2, 2, 3], vec![1, 2, 2, 3, 1]] {
            let error = Pixels::of(&Tensor::zeros(&dims, DType::F32), 3).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Shape, "{dims:?}");
        }
    }
}
