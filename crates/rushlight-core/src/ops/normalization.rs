//! Moments, and normalization by them.

use crate::ops::reduce::IntoAxes;
use crate::ops::require_floats;
use crate::tensor::{Axes, Dims, Fault, Tensor, normalize_axis};
use crate::trace::apply::fail;

impl Tensor {
    /// Mean and population variance over some axes, for floats; the axes disappear.
    #[track_caller]
    pub fn moments(&self, axes: impl IntoAxes + Clone) -> (Tensor, Tensor) {
        if let Err(carried) = self.check_composed("moments", &axes) {
            return (carried.clone(), carried);
        }
        (self.mean(axes.clone()), self.variance(axes))
    }

    /// Batch normalization with the statistics of this very batch (Ioffe and Szegedy, 2015):
    /// `y = (x - mean) / √(variance + ε) · gamma + beta`, with mean and population variance over all axes but
    /// `axis`.
    ///
    /// Gives `(y, mean, variance)`; the last two are for moving averages. A missing gamma is 1, a missing beta 0.
    ///
    /// # Shapes
    /// `x [a…, channels, b…]`, gamma, beta, mean and variance `[channels]`
    ///
    /// # Errors
    /// All results carry one if the shapes do not fit or the dtypes are not the same floating-point one.
    #[track_caller]
    pub fn batch_normalization(
        &self,
        gamma: Option<&Tensor>,
        beta: Option<&Tensor>,
        axis: isize,
        epsilon: f64,
    ) -> (Tensor, Tensor, Tensor) {
        let parameters: Vec<&Tensor> = [gamma, beta].into_iter().flatten().collect();
        let kept = match self.check_normalization("batch_normalization", &[axis], &parameters) {
            Ok(kept) => kept,
            Err(carried) => return (carried.clone(), carried.clone(), carried),
        };
        let channels = normalize_axis(axis, kept.len());
        let over: Vec<isize> =
            (0..kept.len()).filter(|&other| Some(other) != channels).map(|axis| axis as isize).collect();
        let mean = self.mean_keepdims(&over);
        let centered = self - &mean;
        let variance = centered.square().mean_keepdims(&over);
        let y = scaled(centered * (&variance + epsilon).rsqrt(), gamma, beta, &kept);
        let flat = |statistic: &Tensor| statistic.reshape([-1]);
        (y, flat(&mean), flat(&variance))
    }

    /// Batch normalization with given statistics, as after training:
    /// `(x - mean) / √(variance + ε) · gamma + beta`.
    ///
    /// # Shapes
    /// `x [a…, channels, b…]`, gamma, beta, mean and variance `[channels]`
    #[track_caller]
    pub fn batch_normalization_with(
        &self,
        gamma: Option<&Tensor>,
        beta: Option<&Tensor>,
        mean: &Tensor,
        variance: &Tensor,
        axis: isize,
        epsilon: f64,
    ) -> Tensor {
        let mut parameters = vec![mean, variance];
        parameters.extend([gamma, beta].into_iter().flatten());
        let kept = match self.check_normalization("batch_normalization_with", &[axis], &parameters) {
            Ok(kept) => kept,
            Err(carried) => return carried,
        };
        let scale = (variance + epsilon).rsqrt();
        let centered = self - mean.reshape_to(&kept);
        scaled(centered * scale.reshape_to(&kept), gamma, beta, &kept)
    }

    /// Layer normalization (Ba, Kiros and Hinton, 2016): `y = (x - mean) / √(variance + ε) · gamma + beta`, with
    /// mean and population variance over `axes` of each example. A missing gamma is 1, a missing beta 0.
    ///
    /// # Shapes
    /// gamma and beta have the sizes of `axes`, in the order of the shape.
    #[track_caller]
    pub fn layer_normalization(
        &self,
        gamma: Option<&Tensor>,
        beta: Option<&Tensor>,
        axes: &[isize],
        epsilon: f64,
    ) -> Tensor {
        let parameters: Vec<&Tensor> = [gamma, beta].into_iter().flatten().collect();
        let kept = match self.check_normalization("layer_normalization", axes, &parameters) {
            Ok(kept) => kept,
            Err(carried) => return carried,
        };
        let centered = self - self.mean_keepdims(axes);
        let variance = centered.square().mean_keepdims(axes);
        scaled(centered * (variance + epsilon).rsqrt(), gamma, beta, &kept)
    }

    /// The shape in which parameters over `axes` broadcast against this tensor.
    #[track_caller]
    fn check_normalization(&self, op: &str, axes: &[isize], parameters: &[&Tensor]) -> Result<Dims, Tensor> {
        let inputs: Vec<&Tensor> = std::iter::once(self).chain(parameters.iter().copied()).collect();
        require_floats(op, &inputs)?;
        let Some(spec) = self.known_spec() else { return Err(self.clone()) };
        let Some(axes) = axes.axes(spec.rank()) else {
            let rule = format!("axes {axes:?} must exist, and each be named once");
            return Err(fail(op, Fault::shape(rule), &inputs));
        };
        let sizes: Dims = axes.iter().map(|&axis| spec.dims[axis]).collect();
        if parameters.iter().any(|tensor| tensor.known_spec().is_none_or(|own| own.dims != sizes)) {
            let sizes = crate::tensor::display_dims(&sizes);
            let rule = format!(
                "the parameters must have the sizes {sizes} of the normalized axes of the input (first)"
            );
            return Err(fail(op, Fault::shape(rule), &inputs));
        }
        Ok(only(&spec.dims, &axes))
    }
}

/// The shape with all axes but the given ones at size 1.
fn only(dims: &Dims, axes: &Axes) -> Dims {
    dims.iter().enumerate().map(|(axis, &dim)| if axes.contains(&axis) { dim } else { 1 }).collect()
}

#[track_caller]
fn scaled(x: Tensor, gamma: Option<&Tensor>, beta: Option<&Tensor>, kept: &Dims) -> Tensor {
    let x = match gamma {
        Some(gamma) => x * gamma.reshape_to(kept),
        None => x,
    };
    match beta {
        Some(beta) => x + beta.reshape_to(kept),
        None => x,
    }
}
