//! Images moved, turned and zoomed.

use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::images::random::Range;
use crate::layers::images::resize::Interpolation;
use crate::layers::images::sample::{FillMode, Sampling};
use crate::layers::sizes::{ChannelsLast, attempt, image_axes};
use crate::layers::{Layer, is_training};
use rushlight_core::{DType, Result, Spec, Tensor};

/// Rows and columns `[1, height, 1]` and `[1, 1, width]` of the new image.
fn grid(height: usize, width: usize) -> (Tensor, Tensor) {
    let rows = Tensor::iota([1, height, 1], 1, DType::F32);
    (rows, Tensor::iota([1, 1, width], 2, DType::F32))
}

/// A random number for each image, `[batch, 1, 1]`.
#[track_caller]
fn draw(noise: &Noise, input: &Spec, range: &Range) -> Tensor {
    noise.generator().uniform([input.dims[0], 1, 1], range.low, range.high, DType::F32)
}

macro_rules! random_transforms {
    ($(
        $(#[$doc:meta])*
        $Name:ident = $class:literal, new($(#[$new_doc:meta])* $($factor:ident),*), $(optional $optional:ident,)?
        |$layer:ident, $spec:ident, $height:ident, $width:ident| $places:expr;
    )*) => {$(
        layer! {
            $(#[$doc])*
            ///
            /// # Shapes
            /// `[batch, height, width, channels] → ` the same
            $Name = $class;
            $(#[$new_doc])*
            new($($factor => Range),*);
            settings {
                $(
                    /// The same for columns, if they have another factor.
                    $optional ? Range = None;
                )?
                /// What lies beyond the edges; the image, mirrored, by default.
                fill_mode: FillMode = FillMode::Reflect;
                /// How values between pixels are found; bilinear by default.
                interpolation: Interpolation = Interpolation::Bilinear;
                /// The same changes whenever the program runs.
                seed => Noise = Noise::from(None);
                /// The value beyond the edges, for [`FillMode::Constant`].
                fill_value: f64 = 0.0;
            }
            fixed {
                "data_format": ChannelsLast;
            }
        }

        impl $Name {
            /// Where each pixel of the new images is read: rows and columns.
            #[track_caller]
            fn places(&self, $spec: &Spec, $height: usize, $width: usize) -> Result<(Tensor, Tensor)> {
                let $layer = self;
                $places
            }
        }

        impl Layer for $Name {
            basics!();

            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let spec = attempt!(x.spec());
                let ([height, width], _) = attempt!(image_axes::<2>($class, spec));
                if !is_training() {
                    return x.clone();
                }
                let (rows, columns) = attempt!(self.places(spec, height, width));
                let dims = [spec.dims[0], height, width];
                let sampling = Sampling {
                    interpolation: self.interpolation,
                    fill_mode: self.fill_mode,
                    fill_value: self.fill_value,
                };
                attempt!(sampling.read(x, &rows.broadcast_to(&dims), &columns.broadcast_to(&dims)))
            }
        }
    )*};
}

random_transforms! {
    /// Moves each image by a random part of its size while training.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let shift = RandomTranslation::new((0.5, 0.5), 0.0).fill_mode(FillMode::Constant);
    /// let y = training(true, || shift.call(&Tensor::new(&[1.0f32, 2.0], [1, 2, 1, 1])));
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 1.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    RandomTranslation = "RandomTranslation",
    new(
        /// By up to these parts of height (positive: down) and width (positive: right), within -1 and 1.
        height_factor, width_factor
    ),
    |layer, spec, height, width| {
        layer.height_factor.within("RandomTranslation", -1.0, 1.0)?;
        layer.width_factor.within("RandomTranslation", -1.0, 1.0)?;
        let (rows, columns) = grid(height, width);
        let down = draw(&layer.seed, spec, &layer.height_factor) * height as f64;
        let right = draw(&layer.seed, spec, &layer.width_factor) * width as f64;
        Ok((rows - down, columns - right))
    };
    /// Turns each image around its middle by a random angle while training.
    RandomRotation = "RandomRotation",
    new(
        /// By up to this part of a full turn, counter-clockwise, within -1 and 1.
        factor
    ),
    |layer, spec, height, width| {
        layer.factor.within("RandomRotation", -1.0, 1.0)?;
        let (middle_row, middle_column) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let (rows, columns) = grid(height, width);
        let (rows, columns) = (rows - middle_row, columns - middle_column);
        let angle = draw(&layer.seed, spec, &layer.factor) * (2.0 * std::f64::consts::PI);
        let (sine, cosine) = (angle.sin(), angle.cos());
        Ok((
            &columns * &sine + &rows * &cosine + middle_row,
            columns * cosine - rows * sine + middle_column,
        ))
    };
    /// Zooms into, or out of, the middle of each image while training.
    RandomZoom = "RandomZoom",
    new(
        /// By up to this factor: 0.2 is up to 20% smaller, -0.2 up to 20% larger; within -1 and 1.
        height_factor
    ),
    optional width_factor,
    |layer, spec, height, width| {
        layer.height_factor.within("RandomZoom", -1.0, 1.0)?;
        let (middle_row, middle_column) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let (rows, columns) = grid(height, width);
        let down = draw(&layer.seed, spec, &layer.height_factor) + 1.0;
        let across = match &layer.width_factor {
            Some(factor) => {
                factor.within("RandomZoom", -1.0, 1.0)?;
                draw(&layer.seed, spec, factor) + 1.0
            }
            None => down.clone(),
        };
        Ok(((rows - middle_row) * down + middle_row, (columns - middle_column) * across + middle_column))
    };
}
