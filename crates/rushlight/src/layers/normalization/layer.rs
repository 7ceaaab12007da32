//! Normalization of each example by itself.

use crate::layers::Layer;
use crate::layers::activation::AxisList;
use crate::layers::define::{basics, layer};
use crate::layers::merge::unit_vectors;
use crate::layers::sizes::{attempt, unfit};
use rushlight_core::tensor::normalize_axis;
use rushlight_core::{Result, Spec, Tensor};

/// The axes in the order of the shape, with their sizes.
fn normalized(layer: &str, axes: &AxisList, input: &Spec) -> Result<(Vec<isize>, Vec<usize>)> {
    let mut places: Vec<usize> =
        axes.axes.iter().filter_map(|&axis| normalize_axis(axis, input.rank())).collect();
    places.sort_unstable();
    places.dedup();
    if places.len() != axes.axes.len() || places.is_empty() || places[0] == 0 {
        let rule = format!("the axes {:?} must exist, be named once, and not be the batch's", axes.axes);
        return Err(unfit(layer, rule, &[input]));
    }
    let sizes = places.iter().map(|&place| input.dims[place]).collect();
    Ok((places.into_iter().map(|place| place as isize).collect(), sizes))
}

layer! {
    /// Normalizes each example over some axes, then scales and shifts: `y = γ · (x - mean) / √(variance + ε) + β`
    /// (Ba, Kiros and Hinton, 2016).
    ///
    /// # Shapes
    /// `[batch, …] → ` the same; variables `gamma` and `beta` with the sizes of the axes.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = LayerNormalization::new().call(&Tensor::from([[1.0f32, 3.0, 5.0]]));
    /// assert!(y.mean(..).item::<f32>()?.abs() < 1e-6);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    LayerNormalization = "LayerNormalization";
    /// Over the last axis.
    new();
    settings {
        /// Over another axis, or several: `[1, 2]`.
        axis => AxisList = AxisList::from(-1);
        /// What is added to the variance; 10⁻³ by default.
        epsilon: f64 = 1e-3;
        /// Whether there is a shift β.
        center: bool = true;
        /// Whether there is a scale γ.
        scale: bool = true;
        /// Divides by the root of the variance only, and takes off no mean: `y = γ · x / √(variance + ε)`.
        rms_scaling: bool = false;
    }
    parameters {
        gamma = Ones, gamma_initializer gamma_regularizer gamma_constraint;
        beta = Zeros, beta_initializer beta_regularizer beta_constraint;
    }
}

impl Layer for LayerNormalization {
    basics!(passes_mask, full_precision);

    fn build(&self, input: &Spec) -> Result<()> {
        let (_, sizes) = normalized("LayerNormalization", &self.axis, input)?;
        if self.scale || self.rms_scaling {
            self.gamma.make("gamma", &sizes)?;
        }
        if self.center && !self.rms_scaling {
            self.beta.make("beta", &sizes)?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (axes, _) = attempt!(normalized("LayerNormalization", &self.axis, attempt!(x.spec())));
        let gamma = (self.scale || self.rms_scaling).then(|| self.gamma.read());
        if self.rms_scaling {
            let variance = x.variance_keepdims(axes.as_slice());
            let y = x * (variance + self.epsilon).rsqrt();
            return scaled(&y, gamma, &axes);
        }
        let beta = self.center.then(|| self.beta.read());
        x.layer_normalization(gamma.as_ref(), beta.as_ref(), &axes, self.epsilon)
    }
}

/// Times a factor over some axes.
#[track_caller]
fn scaled(x: &Tensor, factor: Option<Tensor>, axes: &[isize]) -> Tensor {
    let (Some(factor), Ok(dims)) = (factor, x.shape()) else { return x.clone() };
    let kept = |axis: usize| axes.contains(&(axis as isize));
    let dims: Vec<usize> =
        dims.iter().enumerate().map(|(axis, &size)| if kept(axis) { size } else { 1 }).collect();
    x * factor.reshape_to(&dims)
}

layer! {
    /// Divides each example by its root mean square over some axes, then scales: `y = scale · x / √(mean(x²) + ε)`
    /// (Zhang and Sennrich, 2019).
    ///
    /// # Shapes
    /// `[batch, …] → ` the same; variable `scale` with the sizes of the axes.
    RMSNormalization = "RMSNormalization";
    /// Over the last axis.
    new();
    settings {
        /// Over another axis, or several: `[1, 2]`.
        axis => AxisList = AxisList::from(-1);
        /// What is added to the mean square; 10⁻⁶ by default.
        epsilon: f64 = 1e-6;
    }
    weights { scale }
}

impl Layer for RMSNormalization {
    basics!(passes_mask, full_precision);

    fn build(&self, input: &Spec) -> Result<()> {
        let (_, sizes) = normalized("RMSNormalization", &self.axis, input)?;
        self.scale.make("scale", &sizes, &crate::initializers::Initializer::Ones)
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (axes, _) = attempt!(normalized("RMSNormalization", &self.axis, attempt!(x.spec())));
        let square = x.square().mean_keepdims(axes.as_slice());
        scaled(&(x * (square + self.epsilon).rsqrt()), Some(self.scale.read()), &axes)
    }
}

layer! {
    /// Scales each example to length 1 over some axes: `y = x / max(‖x‖, 10⁻¹²)`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = UnitNormalization::new().call(&Tensor::from([[3.0f32, 4.0]]));
    /// assert!((y.to_vec::<f32>()?[0] - 0.6).abs() < 1e-6);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    UnitNormalization = "UnitNormalization";
    /// Over the last axis.
    new();
    settings {
        /// Over another axis, or several: `[1, 2]`.
        axis => AxisList = AxisList::from(-1);
    }
}

impl Layer for UnitNormalization {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        unit_vectors(x, &self.axis.axes, 1e-12)
    }
}
