//! Other brightness and contrast.

use crate::layers::config::items;
use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::sizes::{ChannelsLast, attempt, bad_setting, image_axes};
use crate::layers::{Layer, Setting, is_training};
use rushlight_core::{Error, Tensor};
use serde_json::Value;

/// Where a random number lies: `0.2` for -0.2 to 0.2, or both ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Given as one number.
    single: bool,
}

impl From<f64> for Range {
    fn from(factor: f64) -> Range {
        Range { low: -factor.abs(), high: factor.abs(), single: true }
    }
}

impl From<(f64, f64)> for Range {
    fn from((low, high): (f64, f64)) -> Range {
        Range { low: low.min(high), high: high.max(low), single: false }
    }
}

impl Range {
    /// An error if the range leaves these bounds.
    pub(super) fn within(&self, layer: &str, low: f64, high: f64) -> Result<(), Error> {
        match self.low >= low && self.high <= high {
            true => Ok(()),
            false => {
                let rule = format!("the factor {} to {} must lie in {low} to {high}", self.low, self.high);
                Err(bad_setting(layer, rule))
            }
        }
    }
}

impl Setting for Range {
    fn to_value(&self) -> Result<Value, String> {
        if self.single { self.high.to_value() } else { (self.low, self.high).to_value() }
    }

    fn from_value(value: &Value) -> Result<Range, String> {
        match items(value) {
            Some(_) => <(f64, f64)>::from_value(value).map(Range::from),
            None => f64::from_value(value).map(Range::from),
        }
        .map_err(|_| "a number, or a pair of them".to_string())
    }
}

/// The values that pixels may have: `(0, 255)` or `(0, 1)`.
pub type ValueRange = (f64, f64);

layer! {
    /// Adds a random number, times the range of values, to each image while training.
    ///
    /// # Shapes
    /// `[batch, height, width, channels] → ` the same
    RandomBrightness = "RandomBrightness";
    /// Up to this part of the range: `0.2`, or `(low, high)` within -1 and 1.
    new(factor => Range);
    settings {
        /// The values that pixels may have, beyond which they are cut off; 0 to 255 by default.
        value_range: ValueRange = (0.0, 255.0);
        /// The same changes whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

impl Layer for RandomBrightness {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        attempt!(image_axes::<2>("RandomBrightness", spec));
        attempt!(self.factor.within("RandomBrightness", -1.0, 1.0));
        if !is_training() {
            return x.clone();
        }
        let (low, high) = self.value_range;
        let generator = self.seed.generator();
        let delta = generator.uniform([spec.dims[0], 1, 1, 1], self.factor.low, self.factor.high, spec.dtype);
        (x + delta * (high - low)).clip(low, high)
    }
}

layer! {
    /// Moves each image's values away from, or towards, their mean while training: `(x - mean) · factor + mean`, with
    /// the mean of each channel and a random factor around 1.
    ///
    /// # Shapes
    /// `[batch, height, width, channels] → ` the same
    RandomContrast = "RandomContrast";
    /// A factor of `1 - f` to `1 + f` for one number `f`, or of `1 - low` to `1 + high`; both within 0 and 1.
    new(factor => Contrast);
    settings {
        /// The values that pixels may have, beyond which they are cut off; 0 to 255 by default.
        value_range: ValueRange = (0.0, 255.0);
        /// The same changes whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

/// How much less and how much more contrast there may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast(f64, f64);

impl From<f64> for Contrast {
    fn from(factor: f64) -> Contrast {
        Contrast(factor, factor)
    }
}

impl From<(f64, f64)> for Contrast {
    fn from((low, high): (f64, f64)) -> Contrast {
        Contrast(low, high)
    }
}

impl Setting for Contrast {
    fn to_value(&self) -> Result<Value, String> {
        (self.0, self.1).to_value()
    }

    fn from_value(value: &Value) -> Result<Contrast, String> {
        match items(value) {
            Some(_) => <(f64, f64)>::from_value(value).map(Contrast::from),
            None => f64::from_value(value).map(Contrast::from),
        }
    }
}

impl Layer for RandomContrast {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        attempt!(image_axes::<2>("RandomContrast", spec));
        let Contrast(less, more) = self.factor;
        if !is_training() {
            return x.clone();
        }
        let (low, high) = self.value_range;
        let generator = self.seed.generator();
        let factor = generator.uniform([spec.dims[0], 1, 1, 1], 1.0 - less, 1.0 + more, spec.dtype);
        let mean = x.mean_keepdims([1, 2]);
        ((x - &mean) * factor + mean).clip(low, high)
    }
}
