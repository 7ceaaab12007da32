//! Parts of images.

use crate::layers::Layer;
use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::images::resize::{Interpolation, cropped_to_ratio, resized};
use crate::layers::is_training;
use crate::layers::sizes::{ChannelsLast, attempt, image_axes};
use rushlight_core::{DType, Result, Tensor};

layer! {
    /// The middle of images; of images that are too small as much as has the proportions, enlarged.
    ///
    /// # Shapes
    /// `[batch, …, …, channels] → [batch, height, width, channels]`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = CenterCrop::new(3, 4).call(&Tensor::ones([1, 9, 9, 3], DType::F32));
    /// assert_eq!(y.shape()?, [1, 3, 4, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    CenterCrop = "CenterCrop";
    /// To this size.
    new(height: usize, width: usize);
    fixed {
        "data_format": ChannelsLast;
    }
}

/// The middle of images in this size.
#[track_caller]
fn center(x: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    let ([rows, columns], _) = image_axes::<2>("CenterCrop", x.spec()?)?;
    if height <= rows && width <= columns {
        let (top, left) = ((rows - height) / 2, (columns - width) / 2);
        return Ok(x.slice_axis(1, top, top + height).slice_axis(2, left, left + width));
    }
    let x = if x.dtype()?.is_float() { x.clone() } else { x.cast(DType::F32) };
    resized(&cropped_to_ratio(&x, [height, width])?, [height, width], Interpolation::Bilinear)
}

impl Layer for CenterCrop {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        attempt!(center(x, [self.height, self.width]))
    }
}

layer! {
    /// While training a random part of images, the same of all in a batch; in inference their middle. Images that are
    /// too small are enlarged.
    ///
    /// # Shapes
    /// `[batch, …, …, channels] → [batch, height, width, channels]`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = training(true, || RandomCrop::new(3, 4).call(&Tensor::ones([2, 9, 9, 3], DType::F32)));
    /// assert_eq!(y.shape()?, [2, 3, 4, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    RandomCrop = "RandomCrop";
    /// To this size.
    new(height: usize, width: usize);
    settings {
        /// The same parts whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

impl RandomCrop {
    #[track_caller]
    fn output(&self, x: &Tensor) -> Result<Tensor> {
        let ([rows, columns], _) = image_axes::<2>("RandomCrop", x.spec()?)?;
        if !is_training() || self.height >= rows || self.width >= columns {
            return center(x, [self.height, self.width]);
        }
        let mut y = x.clone();
        for (axis, size, wanted) in [(1, rows, self.height), (2, columns, self.width)] {
            let start = self.seed.generator().randint([1], 0, (size - wanted) as i64 + 1, DType::I64);
            y = y.take(&(Tensor::arange(wanted as i64, DType::I64) + start), axis);
        }
        Ok(y)
    }
}

impl Layer for RandomCrop {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        attempt!(self.output(x))
    }
}
