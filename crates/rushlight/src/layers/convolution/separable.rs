//! Depthwise convolutions followed by one over the channels.

use crate::layers::Layer;
use crate::layers::activations::{Function, Linear};
use crate::layers::convolution::Edges;
use crate::layers::convolution::depthwise::depthwise;
use crate::layers::define::{basics, class_by_rank, layer};
use crate::layers::sizes::{ChannelsLast, Sizes, attempt, image_axes};
use rushlight_core::{ConvOptions, Result, Spec, Tensor};

/// Separable convolution over one axis: `[batch, steps, channels] → [batch, steps', filters]`. See [`SeparableConv`].
pub type SeparableConv1d = SeparableConv<1>;
/// Separable convolution over two axes. See [`SeparableConv`].
pub type SeparableConv2d = SeparableConv<2>;

layer! {
    /// A depthwise convolution, then a product over the channels at each place, bias and activation.
    ///
    /// # Shapes
    /// `[batch, spatial…, channels] → [batch, spatial'…, filters]`; variables
    /// `depthwise_kernel [size…, channels, multiplier]`, `pointwise_kernel [1…, channels · multiplier, filters]` and
    /// `bias [filters]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let conv = SeparableConv2d::new(8, 3).padding(Same);
    /// assert_eq!(conv.call(&Tensor::ones([1, 5, 5, 4], DType::F32)).shape()?, [1, 5, 5, 8]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    SeparableConv<N> = class_by_rank!(N: "SeparableConv1d", "SeparableConv2d", "SeparableConv3d");
    /// To `filters` channels with a kernel of this size (one number, or one for each axis), strides and dilations of
    /// 1, no padding, a bias and no activation.
    new(filters: usize, kernel_size => Sizes<N>);
    settings {
        /// The steps from one output position to the next: one number, or one for each axis.
        strides => Sizes<N> = Sizes::from(1);
        /// What lies beyond the edges: `Valid` (the default), `Same`, or, over one axis, `Causal`.
        padding => Edges = Edges::default();
        /// The steps from one tap of the kernel to the next: one number, or one for each axis.
        dilation_rate => Sizes<N> = Sizes::from(1);
        /// How many kernels each channel has.
        depth_multiplier: usize = 1;
        /// What is applied to the sums.
        activation => Function = Linear;
        /// Whether there is a bias.
        use_bias: bool = true;
    }
    parameters {
        depthwise = GlorotUniform, depthwise_initializer depthwise_regularizer depthwise_constraint;
        pointwise = GlorotUniform, pointwise_initializer pointwise_regularizer pointwise_constraint;
        bias = Zeros, bias_initializer bias_regularizer bias_constraint;
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

impl<const N: usize> Layer for SeparableConv<N> {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        let class = self.state.class();
        let (_, channels) = image_axes::<N>(class, input)?;
        let mut dims = self.kernel_size.each(class, "the kernel's size")?.to_vec();
        dims.extend([channels, self.depth_multiplier]);
        self.depthwise.make("depthwise_kernel", &dims)?;
        let mut dims = vec![1; N];
        dims.extend([channels * self.depth_multiplier, self.filters]);
        self.pointwise.make("pointwise_kernel", &dims)?;
        if self.use_bias {
            self.bias.make("bias", &[self.filters])?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let kernel = self.depthwise.read();
        let class = self.state.class();
        let padding = attempt!(self.padding.of_kernel(class, &kernel, &self.dilation_rate, &self.strides));
        let x = depthwise(x, &kernel, &self.strides, &self.dilation_rate, padding);
        let mut y = match N {
            1 => x.conv1d(&self.pointwise.read(), &ConvOptions::new()),
            _ => x.conv2d(&self.pointwise.read(), &ConvOptions::new()),
        };
        if self.use_bias {
            y = y + self.bias.read();
        }
        self.activation.apply(&y)
    }
}
