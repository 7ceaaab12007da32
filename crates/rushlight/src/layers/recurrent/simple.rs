//! The plain recurrent layer.

use crate::layers::Layer;
use crate::layers::activations::{Function, Tanh};
use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::recurrent::steps::{dropped, make_weights, recurrence};
use crate::layers::sizes::Off;
use rushlight_core::{Result, Spec, Tensor};

layer! {
    /// A layer that feeds its output back: `h ← activation(x·kernel + h·recurrent_kernel + bias)` for each step.
    ///
    /// Steps that do not count by the input's mask leave the state as it is.
    ///
    /// # Shapes
    /// `[batch, steps, features] → [batch, units]`, or `[batch, steps, units]` with `return_sequences`. An initial state
    /// `[batch, units]` may follow the input: `layer.call([&x, &state])`; it is zero otherwise. Variables
    /// `kernel [features, units]`, `recurrent_kernel [units, units]` and `bias [units]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = SimpleRNN::new(4).return_sequences(true).call(&Tensor::ones([2, 5, 3], DType::F32));
    /// assert_eq!(y.shape()?, [2, 5, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    SimpleRNN = "SimpleRNN";
    /// A state of `units` numbers.
    new(units: usize);
    settings {
        /// What is applied to the sums; `tanh` by default.
        activation => Function = Tanh;
        /// Whether there is a bias.
        use_bias: bool = true;
        /// The part of the input features that is dropped while training, the same at every step.
        dropout: f64 = 0.0;
        /// The part of the state that is dropped on its way to the next step while training, the same at every step.
        recurrent_dropout: f64 = 0.0;
        /// The same features are dropped whenever the program runs.
        seed => Noise = Noise::from(None);
        /// Whether the output has every step, and not only the last one.
        return_sequences: bool = false;
        /// Whether the last states follow the output: use `call_many`.
        return_state: bool = false;
        /// Whether the sequence is gone through from its end; a sequence comes out in that order.
        go_backwards: bool = false;
        /// Whether recorded functions hold every step by itself, and no loop.
        unroll: bool = false;
        /// Whether steps that do not count give zeros, and not the output of the step before.
        zero_output_for_mask: bool = false;
    }
    parameters {
        kernel = GlorotUniform, kernel_initializer kernel_regularizer kernel_constraint;
        recurrent = ORTHOGONAL, recurrent_initializer recurrent_regularizer recurrent_constraint;
        bias = Zeros, bias_initializer bias_regularizer bias_constraint;
    }
    fixed {
        "stateful": Off;
    }
}

impl Layer for SimpleRNN {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        make_weights(input, ("SimpleRNN", self.units, 1), &self.kernel, &self.recurrent)?;
        if self.use_bias {
            self.bias.make("bias", &[self.units])?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let recurrent = self.recurrent.read();
        let project = |x: &Tensor| {
            let y = x.matmul(&self.kernel.read());
            if self.use_bias { y + self.bias.read() } else { y }
        };
        recurrence!(self, "SimpleRNN", 1).run(inputs, project, |x, states, factor| {
            vec![self.activation.apply(&(x + dropped(&states[0], factor).matmul(&recurrent)))]
        })
    }
}
