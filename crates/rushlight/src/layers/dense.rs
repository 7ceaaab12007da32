//! The fully connected layer.

use crate::layers::Layer;
use crate::layers::activations::{Function, Linear};
use crate::layers::define::{basics, layer};
use crate::layers::sizes::unfit;
use rushlight_core::{Result, Spec, Tensor};

layer! {
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
    Dense = "Dense";
    /// A layer with `units` outputs, a bias and no activation.
    new(units: usize);
    settings {
        /// What is applied to the sums.
        activation => Function = Linear;
        /// Whether there is a bias.
        use_bias: bool = true;
    }
    parameters {
        kernel = GlorotUniform, kernel_initializer kernel_regularizer kernel_constraint;
        bias = Zeros, bias_initializer bias_regularizer bias_constraint;
    }
}

impl Layer for Dense {
    basics!(passes_mask);

    fn build(&self, input: &Spec) -> Result<()> {
        if input.rank() < 2 {
            return Err(unfit("Dense", "the input must have a batch axis and a feature axis", &[input]));
        }
        let features = input.dims[input.rank() - 1];
        self.kernel.make("kernel", &[features, self.units])?;
        if self.use_bias {
            self.bias.make("bias", &[self.units])?;
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
