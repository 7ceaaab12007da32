//! The rectifier with a trained slope.

use crate::layers::Layer;
use crate::layers::define::{basics, layer};
use crate::layers::sizes::bad_setting;
use rushlight_core::{Result, Spec, Tensor};

layer! {
    /// `max(x, 0) - alpha · max(-x, 0)`: a trained slope for negative input (He et al., 2015).
    ///
    /// # Shapes
    /// `[batch, …] → ` the same; variable `alpha` with the input's sizes but the batch, 1 along the shared axes.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let prelu = PReLU::new().shared_axes(vec![1, 2]);
    /// prelu.call(&Tensor::ones([2, 8, 8, 3], DType::F32));
    /// assert_eq!(prelu.variables()[0].shape(), [1, 1, 3]);
    /// ```
    PReLU = "PReLU";
    /// A slope for each element of an example, zero at first.
    new();
    settings {
        /// The axes, counted from 1 behind the batch axis, along which all elements have one slope: `[1, 2]` of
        /// images leaves one for each channel.
        shared_axes => Option<Vec<isize>> = None;
    }
    parameters {
        alpha = Zeros, alpha_initializer alpha_regularizer alpha_constraint;
    }
}

impl Layer for PReLU {
    basics!(passes_mask);

    fn build(&self, input: &Spec) -> Result<()> {
        let mut dims = input.dims.get(1..).unwrap_or_default().to_vec();
        for &axis in self.shared_axes.iter().flatten() {
            let place = usize::try_from(axis).ok().and_then(|axis| axis.checked_sub(1));
            match place.and_then(|place| dims.get_mut(place)) {
                Some(size) => *size = 1,
                None => {
                    let rule = format!("the shared axis {axis} must be one of 1 to {}", dims.len());
                    return Err(bad_setting("PReLU", rule));
                }
            }
        }
        self.alpha.make("alpha", &dims)
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.relu() - self.alpha.read() * (-x).relu()
    }
}
