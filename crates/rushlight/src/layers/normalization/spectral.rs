//! Weights divided by their largest singular value.

use crate::initializers::Initializer;
use crate::layers::define::{basics, layer};
use crate::layers::merge::unit_vectors;
use crate::layers::sizes::{attempt, bad_setting};
use crate::layers::{Inner, Layer, is_training};
use rushlight_core::{Result, Spec, Tensor, Variable};

layer! {
    /// Wraps a layer, and divides its kernel by an estimate of the kernel's largest singular value before each
    /// training step (Miyato et al., 2018). In inference it only calls the layer.
    ///
    /// The estimate is by power iterations from a vector that is kept: `v = normalize(u·Wᵀ)`, `u = normalize(v·W)`,
    /// `σ = v·W·uᵀ`, with all axes of the kernel but the last taken together.
    ///
    /// # Shapes
    /// Those of the layer; variable `vector_u [1, last size of the kernel]`, not trained.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let conv = SpectralNormalization::new(Conv2d::new(8, 3));
    /// assert_eq!(conv.call(&Tensor::ones([1, 5, 5, 3], DType::F32)).shape()?, [1, 3, 3, 8]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    SpectralNormalization = "SpectralNormalization";
    /// Around a layer with a weight called `kernel` or `embeddings`.
    new(layer => Inner);
    settings {
        /// The power iterations at each step; 1 by default.
        power_iterations: usize = 1;
    }
    weights { vector_u }
}

impl SpectralNormalization {
    fn kernel(&self) -> Result<Variable> {
        let is_kernel =
            |variable: &Variable| matches!(variable.name().rsplit('/').next(), Some("kernel" | "embeddings"));
        self.layer.0.state().weights().into_iter().find(is_kernel).ok_or_else(|| {
            let rule = format!("{} has no weight called kernel or embeddings", self.layer.0.state().class());
            bad_setting("SpectralNormalization", rule)
        })
    }

    /// Replaces kernel and vector by their new values.
    #[track_caller]
    fn normalize(&self) -> Result<()> {
        let variable = self.kernel()?;
        let kernel = variable.read().stop_gradient();
        let last = variable.shape().last().copied().unwrap_or(1);
        let weights = kernel.reshape([-1, last as isize]);
        let mut u = self.vector_u.read();
        let mut v = u.clone();
        for _ in 0..self.power_iterations {
            v = unit_vectors(&u.matmul(&weights.t()), &[0, 1], 1e-7);
            u = unit_vectors(&v.matmul(&weights), &[0, 1], 1e-7);
        }
        let sigma = v.matmul(&weights).matmul(&u.t()).reshape([]);
        // A kernel of zeros has no direction to find and stays.
        let is_zero = weights.abs().max(..).equal(0.0);
        let choose = |old: &Tensor, new: &Tensor| rushlight_core::where_(&is_zero, old, new);
        self.vector_u.assign(&choose(&self.vector_u.read(), &u))?;
        variable.assign(&choose(&kernel, &(&kernel / sigma)))
    }
}

impl Layer for SpectralNormalization {
    basics!(passes_mask);

    fn build(&self, input: &Spec) -> Result<()> {
        if self.power_iterations == 0 {
            let rule = "there must be at least one power iteration";
            return Err(bad_setting("SpectralNormalization", rule));
        }
        self.layer.build(input)?;
        let kernel = self.kernel()?;
        let last = kernel.shape().last().copied().unwrap_or(1);
        let initializer = Initializer::TruncatedNormal { mean: 0.0, stddev: 0.02 };
        self.vector_u.make_untrainable("vector_u", &[1, last], &initializer)
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if is_training() {
            attempt!(self.normalize());
        }
        self.layer.0.call(x)
    }
}
