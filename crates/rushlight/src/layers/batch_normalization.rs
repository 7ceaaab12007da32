//! Batch normalization, by Keras's definition.

use crate::initializers::Initializer;
use crate::layers::{Layer, LayerState, Weight, is_training};
use rushlight_core::{Error, ErrorKind, Result, Spec, Tensor};

/// Normalizes each channel, then scales and shifts it: `y = γ · (x - mean) / √(variance + ε) + β`.
///
/// While training, mean and (biased) variance are those of the batch over all axes but the channels', and the moving
/// statistics follow: `moving = moving · momentum + batch · (1 - momentum)`. In inference, and if the layer is
/// frozen, the moving statistics are used.
///
/// # Shapes
/// `[batch, …] → ` the same; variables `gamma`, `beta` and, not trained, `moving_mean`, `moving_variance`, all
/// `[channels]`.
///
/// Source: Ioffe and Szegedy, Batch Normalization, 2015; defaults (ε 10⁻³, momentum 0.99) are Keras's.
#[derive(Clone, Debug)]
pub struct BatchNormalization {
    state: LayerState,
    axis: isize,
    momentum: f64,
    epsilon: f64,
    center: bool,
    scale: bool,
    gamma: Weight,
    beta: Weight,
    moving_mean: Weight,
    moving_variance: Weight,
}

impl BatchNormalization {
    #[track_caller]
    pub fn new() -> BatchNormalization {
        BatchNormalization {
            state: LayerState::new("BatchNormalization"),
            axis: -1,
            momentum: 0.99,
            epsilon: 1e-3,
            center: true,
            scale: true,
            gamma: Weight::new(),
            beta: Weight::new(),
            moving_mean: Weight::new(),
            moving_variance: Weight::new(),
        }
    }

    /// The axis of the channels; the last one by default.
    pub fn axis(mut self, axis: isize) -> BatchNormalization {
        self.axis = axis;
        self
    }

    /// How much of the old moving statistics each step keeps; 0.99 by default.
    pub fn momentum(mut self, momentum: f64) -> BatchNormalization {
        self.momentum = momentum;
        self
    }

    /// What is added to the variance; 10⁻³ by default.
    pub fn epsilon(mut self, epsilon: f64) -> BatchNormalization {
        self.epsilon = epsilon;
        self
    }

    /// Whether there is a shift β.
    pub fn center(mut self, center: bool) -> BatchNormalization {
        self.center = center;
        self
    }

    /// Whether there is a scale γ.
    pub fn scale(mut self, scale: bool) -> BatchNormalization {
        self.scale = scale;
        self
    }

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

    #[track_caller]
    fn update_moving(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        for (moving, batch) in [(&self.moving_mean, mean), (&self.moving_variance, variance)] {
            let batch = batch.stop_gradient();
            moving.assign(&(moving.read() * self.momentum + batch * (1.0 - self.momentum)))?;
        }
        Ok(())
    }
}

impl Default for BatchNormalization {
    #[track_caller]
    fn default() -> BatchNormalization {
        BatchNormalization::new()
    }
}

impl Layer for BatchNormalization {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn build(&self, input: &Spec) -> Result<()> {
        let Some(axis) = self.channel_axis(input.rank()) else {
            let rule = format!("the input must have a batch axis and an axis {} of channels", self.axis);
            return Err(Error::with_inputs(
                ErrorKind::Shape,
                "batch_normalization",
                rule,
                vec![input.clone()],
            ));
        };
        let channels = &input.dims[axis..=axis];
        if self.scale {
            self.gamma.make("gamma", channels, &Initializer::Ones)?;
        }
        if self.center {
            self.beta.make("beta", channels, &Initializer::Zeros)?;
        }
        self.moving_mean.make_untrainable("moving_mean", channels, &Initializer::Zeros)?;
        self.moving_variance.make_untrainable("moving_variance", channels, &Initializer::Ones)
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = match x.spec() {
            Ok(spec) => spec,
            Err(error) => return Tensor::carry(error),
        };
        let Some(axis) = self.channel_axis(spec.rank()) else {
            let rule = format!("the input must have an axis {} of channels", self.axis);
            let got = vec![spec.clone()];
            return Tensor::carry(Error::with_inputs(ErrorKind::Shape, "batch_normalization", rule, got));
        };
        let (mean, variance) = if is_training() && self.state.is_trainable() {
            let axes: Vec<isize> = (0..spec.rank()).filter(|&i| i != axis).map(|i| i as isize).collect();
            let (mean, variance) = BatchNormalization::batch_statistics(x, &axes);
            if let Err(error) = self.update_moving(&mean, &variance) {
                return Tensor::carry(error);
            }
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
