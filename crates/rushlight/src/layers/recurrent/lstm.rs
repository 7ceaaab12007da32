//! Long short-term memory.

use crate::initializers::Initializer;
use crate::layers::Layer;
use crate::layers::activations::{Function, Sigmoid, Tanh};
use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::recurrent::steps::{dropped, make_weights, recurrence};
use crate::layers::sizes::Off;
use rushlight_core::{Result, Spec, Tensor, concat};

layer! {
    /// Long short-term memory (Hochreiter and Schmidhuber, 1997): with `z = x·kernel + h·recurrent_kernel + bias` in
    /// four parts `i, f, g, o`, `c ← σ(f)·c + σ(i)·tanh(g)` and `h ← σ(o)·tanh(c)` for each step; `h` is the output.
    ///
    /// Steps that do not count by the input's mask leave the states as they are.
    ///
    /// # Shapes
    /// `[batch, steps, features] → [batch, units]`, or `[batch, steps, units]` with `return_sequences`; with
    /// `return_state` `h` and `c` `[batch, units]` follow. Initial states may follow the input:
    /// `layer.call([&x, &h, &c])`; they are zero otherwise. Variables `kernel [features, 4·units]`,
    /// `recurrent_kernel [units, 4·units]` and `bias [4·units]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let lstm = LSTM::new(4).return_state(true);
    /// let outputs = lstm.call_many(&Tensor::ones([2, 5, 3], DType::F32));
    /// assert_eq!(outputs.len(), 3);
    /// assert_eq!(outputs[0].to_vec::<f32>()?, outputs[1].to_vec::<f32>()?);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    LSTM = "LSTM";
    /// States of `units` numbers.
    new(units: usize);
    settings {
        /// What is applied to candidates and states; `tanh` by default.
        activation => Function = Tanh;
        /// What is applied to the gates; `sigmoid` by default.
        recurrent_activation => Function = Sigmoid;
        /// Whether there is a bias.
        use_bias: bool = true;
        /// Whether the forget gate's bias begins with ones.
        unit_forget_bias: bool = true;
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

impl Layer for LSTM {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        make_weights(input, ("LSTM", self.units, 4), &self.kernel, &self.recurrent)?;
        if !self.use_bias {
            return Ok(());
        }
        if !self.unit_forget_bias {
            return self.bias.make("bias", &[4 * self.units]);
        }
        let (first, units) = (self.bias.initializer.clone(), self.units);
        let initializer = Initializer::custom(move |spec| {
            let (input_gate, others) =
                (first.tensor(&[units], spec.dtype), first.tensor(&[2 * units], spec.dtype));
            Ok(concat(&[&input_gate, &Tensor::ones([units], spec.dtype), &others], 0))
        });
        self.bias.make_with("bias", &[4 * self.units], &initializer)
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let recurrent = self.recurrent.read();
        let project = |x: &Tensor| {
            let y = x.matmul(&self.kernel.read());
            if self.use_bias { y + self.bias.read() } else { y }
        };
        recurrence!(self, "LSTM", 2).run(inputs, project, |x, states, factor| {
            let z = x + dropped(&states[0], factor).matmul(&recurrent);
            let part = |place: usize| z.slice_axis(-1, place * self.units, (place + 1) * self.units);
            let gate = |place: usize| self.recurrent_activation.apply(&part(place));
            let c = gate(1) * &states[1] + gate(0) * self.activation.apply(&part(2));
            let h = gate(3) * self.activation.apply(&c);
            vec![h, c]
        })
    }
}
