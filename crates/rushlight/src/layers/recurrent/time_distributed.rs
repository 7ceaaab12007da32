//! The same layer at every step.

use crate::layers::define::{basics, layer};
use crate::layers::sizes::{attempt, unfit};
use crate::layers::{Inner, Layer, is_training};
use rushlight_core::tensor::multiply;
use rushlight_core::{Result, Spec, Tensor, stack};

layer! {
    /// Applies a layer to every step of a sequence by itself.
    ///
    /// # Shapes
    /// `[batch, steps, …] → [batch, steps, …']` if the layer takes `[batch, …]` to `[batch, …']`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let frames = TimeDistributed::new(Conv2d::new(4, 3));
    /// assert_eq!(frames.call(&Tensor::ones([2, 10, 8, 8, 3], DType::F32)).shape()?, [2, 10, 6, 6, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    TimeDistributed = "TimeDistributed";
    /// This layer at every step.
    new(layer => Inner);
}

/// The shape of one step.
fn step_of(input: &Spec) -> Result<Spec> {
    match input.dims.as_slice() {
        [batch, _, rest @ ..] => {
            let dims: Vec<usize> = std::iter::once(*batch).chain(rest.iter().copied()).collect();
            Ok(Spec::new(dims, input.dtype))
        }
        _ => Err(unfit("TimeDistributed", "the input must be [batch, steps, …]", &[input])),
    }
}

impl Layer for TimeDistributed {
    basics!(passes_mask);

    fn build(&self, input: &Spec) -> Result<()> {
        self.layer.build(&step_of(input)?)
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        attempt!(step_of(spec));
        let (batch, steps) = (spec.dims[0], spec.dims[1]);
        // Layers that gather statistics of their batches see one step after the other, as in Keras.
        let gathers =
            is_training() && self.layer.0.variables().iter().any(|variable| !variable.is_trainable());
        if gathers {
            let outputs: Vec<Tensor> = x.unstack(1).iter().map(|step| self.layer.0.call(step)).collect();
            return stack(&outputs.iter().collect::<Vec<_>>(), 1);
        }
        // For all others steps are so many more examples.
        let merged: Vec<usize> =
            std::iter::once(multiply(batch, steps)).chain(spec.dims[2..].iter().copied()).collect();
        let y = self.layer.0.call(x.reshape_to(&merged));
        let rest = attempt!(y.shape())[1..].to_vec();
        y.reshape_to(&[batch, steps].into_iter().chain(rest).collect::<Vec<usize>>())
    }
}
