//! Gated recurrent units.

use crate::layers::Layer;
use crate::layers::activations::{Function, Sigmoid, Tanh};
use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::recurrent::steps::{dropped, make_weights, recurrence};
use crate::layers::sizes::Off;
use rushlight_core::{Result, Spec, Tensor};

layer! {
    /// Gated recurrent units (Cho et al., 2014): with update gate `z = σ(x_z + h·U_z)` and reset gate
    /// `r = σ(x_r + h·U_r)`, `h ← z·h + (1 - z)·tanh(x_h + r·(h·U_h))` for each step, where `x_…` are the parts of
    /// `x·kernel + bias` and `U_…` those of the recurrent kernel (with a bias of its own). With
    /// `reset_after(false)` the reset comes before the product: `tanh(x_h + (r·h)·U_h)`.
    ///
    /// Steps that do not count by the input's mask leave the state as it is.
    ///
    /// # Shapes
    /// `[batch, steps, features] → [batch, units]`, or `[batch, steps, units]` with `return_sequences`. An initial state
    /// `[batch, units]` may follow the input: `layer.call([&x, &state])`; it is zero otherwise. Variables
    /// `kernel [features, 3·units]`, `recurrent_kernel [units, 3·units]` and `bias [2, 3·units]` (`[3·units]` if the
    /// reset comes before).
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// assert_eq!(GRU::new(4).call(&Tensor::ones([2, 5, 3], DType::F32)).shape()?, [2, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    GRU = "GRU";
    /// A state of `units` numbers.
    new(units: usize);
    settings {
        /// What is applied to the candidates; `tanh` by default.
        activation => Function = Tanh;
        /// What is applied to the gates; `sigmoid` by default.
        recurrent_activation => Function = Sigmoid;
        /// Whether there is a bias.
        use_bias: bool = true;
        /// Whether the reset gate comes after the product with the recurrent kernel.
        reset_after: bool = true;
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

impl Layer for GRU {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        make_weights(input, ("GRU", self.units, 3), &self.kernel, &self.recurrent)?;
        match (self.use_bias, self.reset_after) {
            (false, _) => Ok(()),
            (true, true) => self.bias.make("bias", &[2, 3 * self.units]),
            (true, false) => self.bias.make("bias", &[3 * self.units]),
        }
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let units = self.units;
        let recurrent = self.recurrent.read();
        let bias = self.use_bias.then(|| self.bias.read());
        // With two biases the first row goes with the input, the second with the state.
        let row = |place: usize| match (&bias, self.reset_after) {
            (Some(bias), true) => Some(bias.slice_axis(0, place, place + 1).squeeze(0)),
            (Some(bias), false) if place == 0 => Some(bias.clone()),
            _ => None,
        };
        let project = |x: &Tensor| {
            let y = x.matmul(&self.kernel.read());
            row(0).map_or_else(|| y.clone(), |bias| &y + bias)
        };
        let recurrent_bias = row(1);
        recurrence!(self, "GRU", 1).run(inputs, project, |x, states, factor| {
            let h = dropped(&states[0], factor);
            let part =
                |whole: &Tensor, first: usize, last: usize| whole.slice_axis(-1, first * units, last * units);
            let gates = if self.reset_after { recurrent.clone() } else { part(&recurrent, 0, 2) };
            let mut inner = h.matmul(&gates);
            if let Some(bias) = &recurrent_bias {
                inner = inner + bias;
            }
            let gate = |place: usize| {
                self.recurrent_activation.apply(&(part(x, place, place + 1) + part(&inner, place, place + 1)))
            };
            let (update, reset) = (gate(0), gate(1));
            let candidate = match self.reset_after {
                true => reset * part(&inner, 2, 3),
                false => (reset * h).matmul(&part(&recurrent, 2, 3)),
            };
            let candidate = self.activation.apply(&(part(x, 2, 3) + candidate));
            vec![&update * &states[0] + (1.0 - &update) * candidate]
        })
    }
}
