//! Rows of a table for whole numbers.

use crate::layers::Layer;
use crate::layers::define::{basics, layer};
use crate::layers::masks::set_mask;
use crate::layers::sizes::{attempt, unfit};
use rushlight_core::{DType, Result, Spec, Tensor};

layer! {
    /// A trained vector for each whole number below `input_dim`: `y[…] = table[x[…]]`.
    ///
    /// With [`Embedding::mask_zero`] the number 0 stands for padding: it does not count in the layers behind.
    ///
    /// # Shapes
    /// `[batch, …] → [batch, …, output_dim]`; variable `embeddings [input_dim, output_dim]`. Inputs of a floating-point
    /// dtype are cast to integers.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let words = Tensor::from([[4, 0, 7]]);
    /// assert_eq!(Embedding::new(10, 3).call(&words).shape()?, [1, 3, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Embedding = "Embedding";
    /// `input_dim` vectors of `output_dim` numbers each.
    new(input_dim: usize, output_dim: usize);
    settings {
        /// Whether 0 is padding.
        mask_zero: bool = false;
    }
    parameters {
        embeddings = UNIFORM, embeddings_initializer embeddings_regularizer embeddings_constraint;
    }
}

impl Layer for Embedding {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        if input.dtype == DType::Bool {
            return Err(unfit("Embedding", "the input must be whole numbers", &[input]));
        }
        self.embeddings.make("embeddings", &[self.input_dim, self.output_dim])
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let indices = match attempt!(x.dtype()) {
            DType::I32 | DType::I64 => x.clone(),
            _ => x.cast(DType::I32),
        };
        let y = self.embeddings.read().take(&indices, 0);
        if self.mask_zero {
            set_mask(&y, &indices.not_equal(0));
        }
        y
    }
}
