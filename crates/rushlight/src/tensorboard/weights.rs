//! Weights as pictures.

use rushlight_core::{DType, Tensor, eagerly};

/// Filters that a picture shows at most.
const MOST: usize = 64;

/// A batch of images of a weight, grey unless it has three input channels, and how many are to be side by side; nothing
/// for what has no shape of a picture.
///
/// Vectors and matrices are one image; of a convolution's kernel `[height, width, channels, filters]` each filter is
/// one, by its first channel if there are not three. Values are stretched from the least, black, to the greatest, white.
pub(super) fn weight_image(weight: &Tensor) -> Option<(Tensor, usize)> {
    let dims = weight.shape().ok()?.to_vec();
    if dims.contains(&0) {
        return None;
    }
    eagerly(|| {
        let values = weight.cast(DType::F32);
        let (least, greatest) = (values.min(..), values.max(..));
        let values = (&values - &least) / (&greatest - &least).maximum(f32::MIN_POSITIVE as f64);
        match *dims.as_slice() {
            [_] => Some((values.reshape([1, 1, -1, 1]), 1)),
            [rows, columns] => {
                let wide = if rows > columns { values.transpose([1, 0]) } else { values };
                Some((wide.expand_dims(0).expand_dims(-1), 1))
            }
            [_, _, channels, filters] => {
                let shown = if channels == 3 { 3 } else { 1 };
                let images = values.slice_axis(2, 0, shown).slice_axis(3, 0, filters.min(MOST));
                Some((images.transpose([3, 0, 1, 2]), 8))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_shapes_of_pictures() {
        let shape = |dims: &[usize]| {
            let count: usize = dims.iter().product();
            let weight = Tensor::arange(count as i64, DType::F32)
                .reshape(dims.iter().map(|&d| d as isize).collect::<Vec<_>>());
            weight_image(&weight).map(|(image, columns)| (image.shape().unwrap().to_vec(), columns))
        };
        assert_eq!(shape(&[7]), Some((vec![1, 1, 7, 1], 1)));
        assert_eq!(shape(&[5, 2]), Some((vec![1, 2, 5, 1], 1)));
        assert_eq!(shape(&[3, 3, 3, 10]), Some((vec![10, 3, 3, 3], 8)));
        assert_eq!(shape(&[3, 3, 12, 100]), Some((vec![64, 3, 3, 1], 8)));
        assert_eq!((shape(&[]), shape(&[2, 3, 4])), (None, None));
        let image = weight_image(&Tensor::from([-1.0f32, 0.0, 3.0])).unwrap().0;
        assert_eq!(image.to_vec::<f32>().unwrap(), [0.0, 0.25, 1.0]);
        let equal = weight_image(&Tensor::from([2.0f32, 2.0])).unwrap().0;
        assert_eq!(equal.to_vec::<f32>().unwrap(), [0.0, 0.0]);
    }
}
