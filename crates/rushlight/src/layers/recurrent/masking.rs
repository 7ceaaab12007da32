//! Steps that do not count.

use crate::layers::Layer;
use crate::layers::define::{basics, layer};
use crate::layers::masks::set_mask;
use crate::layers::sizes::{attempt, unfit};
use rushlight_core::{DType, Tensor};

layer! {
    /// Steps whose features all have one value do not count in the layers behind, and become zero.
    ///
    /// # Shapes
    /// `[batch, steps, features] → ` the same, with a mask `[batch, steps]`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let x = Tensor::new(&[3.0f32, 5.0, 0.0], [1, 3, 1]);
    /// let y = Masking::new().call(&x).apply(GlobalAveragePooling1d::new());
    /// assert_eq!(y.to_vec::<f32>()?, [4.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Masking = "Masking";
    /// Steps of zeros do not count.
    new();
    settings {
        /// The value of features that do not count; 0 by default.
        mask_value: f64 = 0.0;
    }
}

impl Layer for Masking {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        if spec.rank() < 2 || spec.dtype == DType::Bool {
            let rule = "the input must be numbers, [batch, …, features]";
            return Tensor::carry(unfit("Masking", rule, &[spec]));
        }
        let counts = x.not_equal(self.mask_value).any(-1);
        let y = x * counts.cast(spec.dtype).expand_dims(-1);
        set_mask(&y, &counts);
        y
    }
}
