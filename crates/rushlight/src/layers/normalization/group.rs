//! Normalization of groups of channels.

use crate::layers::Layer;
use crate::layers::define::{basics, layer};
use crate::layers::sizes::{attempt, unfit};
use rushlight_core::tensor::normalize_axis;
use rushlight_core::{Result, Spec, Tensor};

layer! {
    /// Normalizes groups of channels of each example, then scales and shifts each channel:
    /// `y = γ · (x - mean) / √(variance + ε) + β` with mean and variance over a group and all axes but the batch's
    /// (Wu and He, 2018). One group for each channel (`groups(-1)`) is instance normalization.
    ///
    /// # Shapes
    /// `[batch, …] → ` the same; variables `gamma` and `beta` `[channels]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = GroupNormalization::new().groups(2).call(&Tensor::ones([2, 4, 4, 6], DType::F32));
    /// assert_eq!(y.shape()?, [2, 4, 4, 6]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    GroupNormalization = "GroupNormalization";
    /// 32 groups of the last axis.
    new();
    settings {
        /// The number of groups, which divides the channels; -1 for as many as there are channels.
        groups: isize = 32;
        /// The axis of the channels; the last one by default.
        axis: isize = -1;
        /// What is added to the variance; 10⁻³ by default.
        epsilon: f64 = 1e-3;
        /// Whether there is a shift β.
        center: bool = true;
        /// Whether there is a scale γ.
        scale: bool = true;
    }
    parameters {
        gamma = Ones, gamma_initializer gamma_regularizer gamma_constraint;
        beta = Zeros, beta_initializer beta_regularizer beta_constraint;
    }
}

impl GroupNormalization {
    /// The axis of the channels and the number of groups.
    fn layout(&self, input: &Spec) -> Result<(usize, usize)> {
        let axis = normalize_axis(self.axis, input.rank()).filter(|&axis| axis > 0);
        let Some(axis) = axis else {
            let rule = format!("the input must have an axis {} of channels besides the batch's", self.axis);
            return Err(unfit("GroupNormalization", rule, &[input]));
        };
        let channels = input.dims[axis];
        match usize::try_from(self.groups) {
            Err(_) if self.groups == -1 => Ok((axis, channels)),
            Ok(groups) if groups > 0 && channels.is_multiple_of(groups) => Ok((axis, groups)),
            _ => {
                let rule = format!("the {channels} channels must divide into {} groups", self.groups);
                Err(unfit("GroupNormalization", rule, &[input]))
            }
        }
    }
}

impl Layer for GroupNormalization {
    basics!(passes_mask, full_precision);

    fn build(&self, input: &Spec) -> Result<()> {
        let (axis, _) = self.layout(input)?;
        let channels = &input.dims[axis..=axis];
        if self.scale {
            self.gamma.make("gamma", channels)?;
        }
        if self.center {
            self.beta.make("beta", channels)?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        let (axis, groups) = attempt!(self.layout(spec));
        // The channels' axis becomes two: groups, and channels of a group.
        let mut dims = spec.dims.to_vec();
        dims.splice(axis..=axis, [groups, spec.dims[axis] / groups.max(1)]);
        let x_grouped = x.reshape_to(&dims);
        let axes: Vec<isize> =
            (1..dims.len()).filter(|&other| other != axis).map(|other| other as isize).collect();
        let mean = x_grouped.mean_keepdims(axes.as_slice());
        let centered = &x_grouped - mean;
        let variance = centered.square().mean_keepdims(axes.as_slice());
        let mut y = (centered * (variance + self.epsilon).rsqrt()).reshape_to(&spec.dims);
        let mut sizes = vec![1isize; spec.rank() - axis];
        sizes[0] = -1;
        if self.scale {
            y = y * self.gamma.read().reshape(&sizes);
        }
        if self.center {
            y = y + self.beta.read().reshape(&sizes);
        }
        y
    }
}
