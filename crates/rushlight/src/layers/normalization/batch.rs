//! Batch normalization, by Keras's definition.

use crate::initializers::Initializer;
use crate::layers::define::{basics, layer};
use crate::layers::masks::mask_of;
use crate::layers::sizes::{Off, attempt, unfit};
use crate::layers::{Layer, is_training};
use rushlight_core::{DType, Result, Spec, Tensor};

layer! {
    /// Normalizes each channel, then scales and shifts it: `y = γ · (x - mean) / √(variance + ε) + β`.
    ///
    /// While training, mean and (biased) variance are those of the batch over all axes but the channels', and the
    /// moving statistics follow: `moving = moving · momentum + batch · (1 - momentum)`. In inference, and if the layer
    /// is frozen, the moving statistics are used. Steps that do not count by the input's mask are left out.
    ///
    /// # Shapes
    /// `[batch, …] → ` the same; variables `gamma`, `beta` and, not trained, `moving_mean`, `moving_variance`, all
    /// `[channels]`.
    ///
    /// Source: Ioffe and Szegedy, Batch Normalization, 2015; defaults (ε 10⁻³, momentum 0.99) are Keras's.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let norm = BatchNormalization::new().momentum(0.9);
    /// let y = training(true, || norm.call(&Tensor::from([[1.0f32], [3.0]])));
    /// assert!((y.mean(..).item::<f32>()?).abs() < 1e-6);
    /// let moving_mean = &norm.variables()[2];
    /// assert!((moving_mean.read().item::<f32>()? - 0.2).abs() < 1e-6);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    BatchNormalization = "BatchNormalization";
    /// Over the last axis, with Keras's defaults.
    new();
    settings {
        /// The axis of the channels; the last one by default.
        axis: isize = -1;
        /// How much of the old moving statistics each step keeps; 0.99 by default.
        momentum: f64 = 0.99;
        /// What is added to the variance; 10⁻³ by default.
        epsilon: f64 = 1e-3;
        /// Whether there is a shift β.
        center: bool = true;
        /// Whether there is a scale γ.
        scale: bool = true;
        /// The first moving means; zeros by default.
        moving_mean_initializer: Initializer = Initializer::Zeros;
        /// The first moving variances; ones by default.
        moving_variance_initializer: Initializer = Initializer::Ones;
    }
    parameters {
        gamma = Ones, gamma_initializer gamma_regularizer gamma_constraint;
        beta = Zeros, beta_initializer beta_regularizer beta_constraint;
    }
    weights { moving_mean, moving_variance }
    fixed {
        "renorm": Off;
    }
}

impl BatchNormalization {
    fn channel_axis(&self, rank: usize) -> Option<usize> {
        rushlight_core::tensor::normalize_axis(self.axis, rank).filter(|_| rank >= 2)
    }

    /// Mean and variance of the batch, in one pass over it: both reductions read `x` alone.
    ///
    /// `mean(x²) - mean²` and not the mean of squared distances, because it does not have to wait for the mean: the
    /// compiler takes both sums where `x` is produced, and shares them between all readers of `x`, also through a
    /// concatenation. What it loses where the mean is many times the deviation is cut off at zero and stays far
    /// below ε there.
    #[track_caller]
    fn batch_statistics(x: &Tensor, axes: &[isize]) -> (Tensor, Tensor) {
        let mean = x.mean(axes);
        let variance = (x.square().mean(axes) - mean.square()).maximum(0.0);
        (mean, variance)
    }

    /// The same of the steps that count.
    #[track_caller]
    fn masked_statistics(x: &Tensor, mask: &Tensor, axes: &[isize]) -> (Tensor, Tensor) {
        let dtype = x.dtype().unwrap_or(DType::F32);
        let weights = x.zeros_like() + mask.cast(dtype).expand_dims(-1);
        let count = weights.sum_keepdims(axes) + 1e-7;
        let mean = (x * &weights).sum_keepdims(axes) / &count;
        let variance = ((x - &mean).square() * &weights).sum_keepdims(axes) / count;
        (mean.reshape([-1]), variance.reshape([-1]))
    }

    #[track_caller]
    fn update_moving(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        for (moving, batch) in [(&self.moving_mean, mean), (&self.moving_variance, variance)] {
            let batch = batch.stop_gradient();
            moving.assign(&(moving.read() * self.momentum + batch * (1.0 - self.momentum)))?;
        }
        Ok(())
    }
}

impl Layer for BatchNormalization {
    basics!(passes_mask, full_precision);

    fn build(&self, input: &Spec) -> Result<()> {
        let Some(axis) = self.channel_axis(input.rank()) else {
            let rule = format!("the input must have a batch axis and an axis {} of channels", self.axis);
            return Err(unfit("BatchNormalization", rule, &[input]));
        };
        let channels = &input.dims[axis..=axis];
        if self.scale {
            self.gamma.make("gamma", channels)?;
        }
        if self.center {
            self.beta.make("beta", channels)?;
        }
        self.moving_mean.make_untrainable("moving_mean", channels, &self.moving_mean_initializer)?;
        self.moving_variance.make_untrainable("moving_variance", channels, &self.moving_variance_initializer)
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        let Some(axis) = self.channel_axis(spec.rank()) else {
            let rule = format!("the input must have an axis {} of channels", self.axis);
            return Tensor::carry(unfit("BatchNormalization", rule, &[spec]));
        };
        let (mean, variance) = if is_training() && self.state.is_trainable() {
            let axes: Vec<isize> = (0..spec.rank()).filter(|&i| i != axis).map(|i| i as isize).collect();
            let (mean, variance) = match mask_of(x) {
                Some(mask) => BatchNormalization::masked_statistics(x, &mask, &axes),
                None => BatchNormalization::batch_statistics(x, &axes),
            };
            attempt!(self.update_moving(&mean, &variance));
            (mean, variance)
        } else {
            (self.moving_mean.read(), self.moving_variance.read())
        };
        // One multiplication and one addition an element; everything else is done once a channel.
        let mut factor = (variance + self.epsilon).rsqrt();
        if self.scale {
            factor = factor * self.gamma.read();
        }
        let mut shift = -(mean * &factor);
        if self.center {
            shift = shift + self.beta.read();
        }
        let mut dims = vec![1isize; spec.rank() - axis];
        dims[0] = -1;
        x * factor.reshape(&dims) + shift.reshape(&dims)
    }
}
