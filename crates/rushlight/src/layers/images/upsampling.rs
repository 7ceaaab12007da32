//! Larger images by whole factors.

use crate::layers::Layer;
use crate::layers::define::{basics, layer};
use crate::layers::images::resize::{Interpolation, resized};
use crate::layers::sizes::{ChannelsLast, Sizes, attempt, image_axes};
use rushlight_core::{Result, Tensor};

/// Every place repeated along the spatial axes.
#[track_caller]
fn repeated<const N: usize>(class: &str, x: &Tensor, size: &Sizes<N>) -> Result<Tensor> {
    image_axes::<N>(class, x.spec()?)?;
    let size = size.each(class, "the size")?;
    let along = |x: Tensor, (axis, count): (usize, &usize)| x.repeat(*count, axis as isize + 1);
    Ok(size.iter().enumerate().fold(x.clone(), along))
}

layer! {
    /// Each step several times: `[batch, steps, channels] → [batch, steps · size, channels]`.
    UpSampling1d = "UpSampling1d";
    /// Each step twice.
    new();
    settings {
        /// How many times; 2 by default.
        size: usize = 2;
    }
}

impl Layer for UpSampling1d {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        attempt!(repeated::<1>("UpSampling1d", x, &Sizes::from(self.size)))
    }
}

layer! {
    /// Images enlarged by whole factors: `[batch, height, width, channels] → [batch, height · rows, width · columns,
    /// channels]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = UpSampling2d::new().size([2, 3]).call(&Tensor::ones([1, 4, 4, 3], DType::F32));
    /// assert_eq!(y.shape()?, [1, 8, 12, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    UpSampling2d = "UpSampling2d";
    /// Twice in both directions, by repeating pixels.
    new();
    settings {
        /// The factors: one number, or one for each axis; 2 by default.
        size => Sizes<2> = Sizes::from(2);
        /// How values between pixels are found; the nearest pixel by default.
        interpolation: Interpolation = Interpolation::Nearest;
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

impl Layer for UpSampling2d {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if self.interpolation == Interpolation::Nearest {
            return attempt!(repeated("UpSampling2d", x, &self.size));
        }
        let ([height, width], _) = attempt!(image_axes::<2>("UpSampling2d", attempt!(x.spec())));
        let [rows, columns] = attempt!(self.size.each("UpSampling2d", "the size"));
        attempt!(resized(x, [height * rows, width * columns], self.interpolation))
    }
}

layer! {
    /// Volumes enlarged by whole factors, by repeating each place.
    UpSampling3d = "UpSampling3d";
    /// Twice in all directions.
    new();
    settings {
        /// The factors: one number, or one for each axis; 2 by default.
        size => Sizes<3> = Sizes::from(2);
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

impl Layer for UpSampling3d {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        attempt!(repeated("UpSampling3d", x, &self.size))
    }
}
