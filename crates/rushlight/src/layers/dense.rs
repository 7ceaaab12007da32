//! The fully connected layer.

use crate::initializers::Initializer;
use crate::layers::{Layer, LayerState, Weight, activations};
use rushlight_core::{Error, ErrorKind, Result, Spec, Tensor};

/// `y = activation(x · kernel + bias)` over the last axis.
///
/// # Shapes
/// `[batch, …, features] → [batch, …, units]`; variables `kernel [features, units]` and `bias [units]`.
///
/// ```
/// use rushlight::prelude::*;
/// let dense = Dense::new(3).activation(activations::Relu);
/// let y = dense.call(&Tensor::ones([2, 5], DType::F32));
/// assert_eq!(y.shape()?, [2, 3]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dense {
    state: LayerState,
    units: usize,
    use_bias: bool,
    activation: activations::Function,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel: Weight,
    bias: Weight,
}

impl Dense {
    /// A layer with `units` outputs, a bias and no activation.
    #[track_caller]
    pub fn new(units: usize) -> Dense {
        Dense {
            state: LayerState::new("Dense"),
            units,
            use_bias: true,
            activation: activations::Linear,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            kernel: Weight::new(),
            bias: Weight::new(),
        }
    }

    /// What is applied to the sums.
    pub fn activation(mut self, activation: activations::Function) -> Dense {
        self.activation = activation;
        self
    }

    /// Whether there is a bias.
    pub fn use_bias(mut self, use_bias: bool) -> Dense {
        self.use_bias = use_bias;
        self
    }

    /// The first values of the kernel; [`Initializer::GlorotUniform`] by default.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Dense {
        self.kernel_initializer = initializer;
        self
    }

    /// The first values of the bias; zeros by default.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Dense {
        self.bias_initializer = initializer;
        self
    }
}

impl Layer for Dense {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn build(&self, input: &Spec) -> Result<()> {
        if input.rank() < 2 {
            let rule = "the input must have a batch axis and a feature axis";
            return Err(Error::with_inputs(ErrorKind::Shape, "dense", rule, vec![input.clone()]));
        }
        let features = input.dims[input.rank() - 1];
        self.kernel.make("kernel", &[features, self.units], &self.kernel_initializer)?;
        if self.use_bias {
            self.bias.make("bias", &[self.units], &self.bias_initializer)?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = x.matmul(&self.kernel.read());
        if self.use_bias {
            y = y + self.bias.read();
        }
        self.activation.apply(&y)
    }
}
