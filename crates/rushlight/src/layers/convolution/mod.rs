//! Convolutions over one to three spatial axes.

mod depthwise;
mod edges;
mod separable;
mod transpose;

pub use depthwise::{DepthwiseConv, DepthwiseConv1d, DepthwiseConv2d};
pub use edges::{Causal, Edges};
pub use separable::{SeparableConv, SeparableConv1d, SeparableConv2d};
pub use transpose::{Conv1dTranspose, Conv2dTranspose, Conv3dTranspose, ConvTranspose};

use crate::layers::Layer;
use crate::layers::activations::{Function, Linear};
use crate::layers::define::{basics, class_by_rank, layer};
use crate::layers::sizes::{ChannelsLast, Sizes, attempt, image_axes, unfit};
use rushlight_core::{ConvOptions, Result, Spec, Tensor};

/// Convolution over one axis: `[batch, steps, channels] → [batch, steps', filters]`. See [`Conv`].
pub type Conv1d = Conv<1>;
/// Convolution over two axes: `[batch, height, width, channels] → [batch, height', width', filters]`. See [`Conv`].
pub type Conv2d = Conv<2>;
/// Convolution over three axes: `[batch, depth, height, width, channels] → [batch, depth', height', width',
/// filters]`. See [`Conv`].
pub type Conv3d = Conv<3>;

layer! {
    /// `y = activation(x ⋆ kernel + bias)`: a convolution over `N` spatial axes.
    ///
    /// # Shapes
    /// `[batch, spatial…, channels] → [batch, spatial'…, filters]`, sizes as [`Padding`](rushlight_core::Padding)
    /// says; variables `kernel [size…, channels / groups, filters]` and `bias [filters]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let conv = Conv2d::new(8, 3).strides(2).padding(Same).activation(activations::Relu);
    /// let y = conv.call(&Tensor::ones([1, 9, 9, 3], DType::F32));
    /// assert_eq!(y.shape()?, [1, 5, 5, 8]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Conv<N> = class_by_rank!(N: "Conv1d", "Conv2d", "Conv3d");
    /// A convolution to `filters` channels with a kernel of this size (one number, or one for each axis), strides
    /// and dilations of 1, no padding, a bias and no activation.
    new(filters: usize, kernel_size => Sizes<N>);
    settings {
        /// The steps from one output position to the next: one number, or one for each axis.
        strides => Sizes<N> = Sizes::from(1);
        /// What lies beyond the edges: `Valid` (the default), `Same`, places given for each axis, or, over one axis,
        /// [`Causal`].
        padding => Edges = Edges::default();
        /// The steps from one tap of the kernel to the next: one number, or one for each axis.
        dilation_rate => Sizes<N> = Sizes::from(1);
        /// Channels and filters are divided into this many groups that do not see each other.
        groups: usize = 1;
        /// What is applied to the sums.
        activation => Function = Linear;
        /// Whether there is a bias.
        use_bias: bool = true;
    }
    parameters {
        kernel = GlorotUniform, kernel_initializer kernel_regularizer kernel_constraint;
        bias = Zeros, bias_initializer bias_regularizer bias_constraint;
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

impl<const N: usize> Layer for Conv<N> {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        let class = self.state.class();
        let (_, channels) = image_axes::<N>(class, input)?;
        let mut dims = self.kernel_size.each(class, "the kernel's size")?.to_vec();
        let divides = |count: usize| count.is_multiple_of(self.groups);
        if self.groups == 0 || !divides(channels) || !divides(self.filters) {
            let (filters, groups) = (self.filters, self.groups);
            let rule = format!("channels and {filters} filters must divide into {groups} groups");
            return Err(unfit(class, rule, &[input]));
        }
        dims.extend([channels / self.groups, self.filters]);
        self.kernel.make("kernel", &dims)?;
        if self.use_bias {
            self.bias.make("bias", &[self.filters])?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let class = self.state.class();
        let kernel = self.kernel.read();
        let padding = attempt!(self.padding.of_kernel(class, &kernel, &self.dilation_rate, &self.strides));
        let options = ConvOptions::new()
            .strides(self.strides.clone())
            .dilations(self.dilation_rate.clone())
            .padding(padding)
            .groups(self.groups);
        let mut y = match N {
            1 => x.conv1d(&kernel, &options),
            2 => x.conv2d(&kernel, &options),
            _ => x.conv3d(&kernel, &options),
        };
        if self.use_bias {
            y = y + self.bias.read();
        }
        self.activation.apply(&y)
    }
}
