//! Noise while training: dropout and its kin.

use crate::layers::Layer;
use crate::layers::Setting;
use crate::layers::define::{basics, class_by_rank, layer};
use crate::layers::mode::is_training;
use crate::layers::sizes::{ChannelsLast, attempt, bad_setting, image_axes};
use rushlight_core::random::{Generator, randint};
use rushlight_core::{DType, Error, Result, Tensor, eagerly, where_};
use serde_json::Value;

/// The generator of a layer, seeded by the user or from the thread's default generator.
#[derive(Clone, Debug)]
pub struct Noise {
    seed: Option<u64>,
    generator: Generator,
}

impl Noise {
    pub(crate) fn generator(&self) -> &Generator {
        &self.generator
    }
}

impl From<Option<u64>> for Noise {
    fn from(seed: Option<u64>) -> Noise {
        let arbitrary = || eagerly(|| randint([], 0, 1 << 53, DType::I64)).item::<i64>().unwrap_or(0) as u64;
        Noise { seed, generator: Generator::new(seed.unwrap_or_else(arbitrary)) }
    }
}

impl From<u64> for Noise {
    fn from(seed: u64) -> Noise {
        Noise::from(Some(seed))
    }
}

impl Setting for Noise {
    fn to_value(&self) -> Result<Value, String> {
        self.seed.to_value()
    }

    fn from_value(value: &Value) -> Result<Noise, String> {
        // Keras may write a generator's config instead of a number: then the layer has a seed of its own.
        Ok(Noise::from(value.as_u64()))
    }

    fn generator(&self) -> Option<&Generator> {
        Some(&self.generator)
    }
}

/// Whether there is anything to do; an error if the rate makes no sense.
fn is_active(layer: &str, what: &str, rate: f64) -> Result<bool, Error> {
    if !(0.0..=1.0).contains(&rate) {
        return Err(bad_setting(layer, format!("the {what} {rate} must lie between 0 and 1")));
    }
    Ok(is_training() && rate > 0.0)
}

/// Zero where a random number is below the rate, the others scaled up; `dims` may have sizes of 1 that all share.
#[track_caller]
pub(super) fn drop_out(x: &Tensor, rate: f64, dims: &[usize], generator: &Generator) -> Tensor {
    if rate >= 1.0 {
        return x.check().map_or_else(Tensor::carry, Tensor::zeros_like);
    }
    let kept = generator.bernoulli(dims, 1.0 - rate, DType::Bool);
    where_(&kept, &(x / (1.0 - rate)), &x.zeros_like())
}

layer! {
    /// Sets a random part of the elements to zero while training, and scales the others up by `1 / (1 - rate)`, so
    /// that the expected sum stays. In inference it passes its input on.
    ///
    /// Each layer has a generator of its own, seeded from the thread's default one. Source: Srivastava et al.,
    /// Dropout, 2014.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let (dropout, x) = (Dropout::new(0.5).seed(3), Tensor::ones([1000], DType::F32));
    /// assert_eq!(dropout.call(&x).sum(..).item::<f32>()?, 1000.0);
    /// let dropped = training(true, || dropout.call(&x));
    /// assert!(dropped.to_vec::<f32>()?.iter().all(|&y| y == 0.0 || y == 2.0));
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Dropout = "Dropout";
    /// `rate` is the part that is dropped.
    new(rate: f64);
    settings {
        /// A shape in which all elements along axes of size 1 are dropped together; `None` for the input's size.
        noise_shape => Option<Vec<Option<usize>>> = None;
        /// The same elements are dropped whenever the program runs.
        seed => Noise = Noise::from(None);
    }
}

impl Layer for Dropout {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !attempt!(is_active("Dropout", "rate", self.rate)) {
            return x.clone();
        }
        let dims = attempt!(x.shape());
        let noise = match &self.noise_shape {
            Some(noise) if noise.len() == dims.len() => {
                noise.iter().zip(dims).map(|(noise, &size)| noise.unwrap_or(size)).collect()
            }
            Some(noise) => {
                let rule = format!("the noise shape {noise:?} must have {} sizes", dims.len());
                return Tensor::carry(bad_setting("Dropout", rule));
            }
            None => dims.to_vec(),
        };
        drop_out(x, self.rate, &noise, self.seed.generator())
    }
}

layer! {
    /// Dropout of whole channels: over the spatial axes all elements of a channel are kept or dropped together.
    ///
    /// # Shapes
    /// `[batch, spatial…, channels] → ` the same
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = training(true, || SpatialDropout2d::new(0.5).call(&Tensor::ones([1, 4, 4, 8], DType::F32)));
    /// assert!(y.mean([1, 2]).to_vec::<f32>()?.iter().all(|&mean| mean == 0.0 || mean == 2.0));
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    SpatialDropout<N> = class_by_rank!(N: "SpatialDropout1d", "SpatialDropout2d", "SpatialDropout3d");
    /// `rate` is the part of the channels that is dropped.
    new(rate: f64);
    settings {
        /// The same channels are dropped whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

/// Dropout of whole channels over steps. See [`SpatialDropout`].
pub type SpatialDropout1d = SpatialDropout<1>;
/// Dropout of whole channels of images. See [`SpatialDropout`].
pub type SpatialDropout2d = SpatialDropout<2>;
/// Dropout of whole channels of volumes. See [`SpatialDropout`].
pub type SpatialDropout3d = SpatialDropout<3>;

impl<const N: usize> Layer for SpatialDropout<N> {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        let (_, channels) = attempt!(image_axes::<N>(self.state.class(), spec));
        if !attempt!(is_active(self.state.class(), "rate", self.rate)) {
            return x.clone();
        }
        let mut dims = vec![spec.dims[0]];
        dims.extend([1; N]);
        dims.push(channels);
        drop_out(x, self.rate, &dims, self.seed.generator())
    }
}

layer! {
    /// Adds normally distributed noise while training: `x + N(0, stddev²)`.
    GaussianNoise = "GaussianNoise";
    /// Noise with this standard deviation.
    new(stddev: f64);
    settings {
        /// The same noise whenever the program runs.
        seed => Noise = Noise::from(None);
    }
}

impl Layer for GaussianNoise {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !attempt!(is_active("GaussianNoise", "standard deviation", self.stddev)) {
            return x.clone();
        }
        let spec = attempt!(x.spec());
        x + self.seed.generator().normal(&spec.dims, 0.0, self.stddev, spec.dtype)
    }
}

layer! {
    /// Multiplies by normally distributed noise while training: `x · N(1, rate / (1 - rate))` (Srivastava et al., 2014).
    GaussianDropout = "GaussianDropout";
    /// Noise with the variance that a dropout of this rate has.
    new(rate: f64);
    settings {
        /// The same noise whenever the program runs.
        seed => Noise = Noise::from(None);
    }
}

impl Layer for GaussianDropout {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !attempt!(is_active("GaussianDropout", "rate", self.rate)) {
            return x.clone();
        }
        let spec = attempt!(x.spec());
        let deviation = (self.rate / (1.0 - self.rate)).sqrt();
        x * self.seed.generator().normal(&spec.dims, 1.0, deviation, spec.dtype)
    }
}

/// `-scale · alpha` of SELU: where its negative part saturates.
const SATURATION: f64 = -1.6732632423543772 * 1.0507009873554805;

layer! {
    /// Dropout for self-normalizing networks: sets a random part of the elements to SELU's negative saturation, and
    /// scales and shifts so that mean and variance stay (Klambauer et al., 2017).
    AlphaDropout = "AlphaDropout";
    /// `rate` is the part that is dropped.
    new(rate: f64);
    settings {
        /// A shape in which all elements along axes of size 1 are dropped together; `None` for the input's size.
        noise_shape => Option<Vec<Option<usize>>> = None;
        /// The same elements are dropped whenever the program runs.
        seed => Noise = Noise::from(None);
    }
}

impl Layer for AlphaDropout {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !attempt!(is_active("AlphaDropout", "rate", self.rate)) {
            return x.clone();
        }
        let dims = attempt!(x.shape());
        let sizes = |noise: &Vec<Option<usize>>| -> Vec<usize> {
            noise
                .iter()
                .enumerate()
                .map(|(axis, size)| size.or(dims.get(axis).copied()).unwrap_or(1))
                .collect()
        };
        let noise = self.noise_shape.as_ref().map_or_else(|| dims.to_vec(), sizes);
        let kept = self.seed.generator().bernoulli(&noise, 1.0 - self.rate, DType::Bool);
        let dropped = x.zeros_like() + SATURATION;
        let scale = ((1.0 - self.rate) * (1.0 + self.rate * SATURATION.powi(2))).powf(-0.5);
        where_(&kept, x, &dropped) * scale - scale * SATURATION * self.rate
    }
}

layer! {
    /// Passes its input on, and adds `(l1 · Σ|x| + l2 · Σx²) / batch` to the loss.
    ActivityRegularization = "ActivityRegularization";
    /// No cost yet.
    new();
    settings {
        /// What the absolute values cost.
        l1: f64 = 0.0;
        /// What the squares cost.
        l2: f64 = 0.0;
    }
}

impl Layer for ActivityRegularization {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let batch = attempt!(x.shape()).first().copied().unwrap_or(1).max(1);
        let cost = x.abs().sum(..) * self.l1 + x.square().sum(..) * self.l2;
        crate::layers::add_loss(&(cost / batch as f64));
        x.clone()
    }
}
