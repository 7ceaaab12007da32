//! Mirrored images.

use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::sizes::{ChannelsLast, attempt, image_axes};
use crate::layers::{Layer, is_training, words};
use rushlight_core::{DType, Tensor, where_};

/// Which way images are mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlipMode {
    /// Left and right.
    Horizontal,
    /// Up and down.
    Vertical,
    HorizontalAndVertical,
}

words!(FlipMode:
    "horizontal" => FlipMode::Horizontal,
    "vertical" => FlipMode::Vertical,
    "horizontal_and_vertical" => FlipMode::HorizontalAndVertical,
);

layer! {
    /// Mirrors each image with a chance of one half while training.
    ///
    /// # Shapes
    /// `[batch, height, width, channels] → ` the same
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let x = Tensor::new(&[1.0f32, 2.0], [1, 1, 2, 1]);
    /// let y = training(true, || RandomFlip::new().mode(FlipMode::Horizontal).call(&x));
    /// assert_eq!(y.sum(..).item::<f32>()?, 3.0);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    RandomFlip = "RandomFlip";
    /// Both ways.
    new();
    settings {
        /// Which way; both by default.
        mode: FlipMode = FlipMode::HorizontalAndVertical;
        /// The same choices whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

impl Layer for RandomFlip {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        attempt!(image_axes::<2>("RandomFlip", spec));
        if !is_training() {
            return x.clone();
        }
        let chance = || self.seed.generator().bernoulli([spec.dims[0], 1, 1, 1], 0.5, DType::Bool);
        let mut y = x.clone();
        if self.mode != FlipMode::Vertical {
            y = where_(&chance(), &y.flip([2]), &y);
        }
        if self.mode != FlipMode::Horizontal {
            y = where_(&chance(), &y.flip([1]), &y);
        }
        y
    }
}
