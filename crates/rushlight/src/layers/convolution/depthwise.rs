//! Convolutions of each channel by itself.

use crate::layers::Layer;
use crate::layers::activations::{Function, Linear};
use crate::layers::convolution::Edges;
use crate::layers::define::{basics, class_by_rank, layer};
use crate::layers::sizes::{ChannelsLast, Sizes, attempt, image_axes};
use rushlight_core::{ConvOptions, Padding, Result, Spec, Tensor};

/// Depthwise convolution over one axis: `[batch, steps, channels] → [batch, steps', channels · multiplier]`. See
/// [`DepthwiseConv`].
pub type DepthwiseConv1d = DepthwiseConv<1>;
/// Depthwise convolution over two axes. See [`DepthwiseConv`].
pub type DepthwiseConv2d = DepthwiseConv<2>;

layer! {
    /// A convolution of each channel by itself, with `depth_multiplier` kernels each: output channel
    /// `c · multiplier + m` is channel `c` with `kernel[…, c, m]`; then bias and activation.
    ///
    /// # Shapes
    /// `[batch, spatial…, channels] → [batch, spatial'…, channels · multiplier]`; variables
    /// `kernel [size…, channels, multiplier]` and `bias [channels · multiplier]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let conv = DepthwiseConv2d::new(3).depth_multiplier(2).padding(Same);
    /// assert_eq!(conv.call(&Tensor::ones([1, 5, 5, 4], DType::F32)).shape()?, [1, 5, 5, 8]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    DepthwiseConv<N> = class_by_rank!(N: "DepthwiseConv1d", "DepthwiseConv2d", "DepthwiseConv3d");
    /// With a kernel of this size (one number, or one for each axis), one for each channel, strides and dilations
    /// of 1, no padding, a bias and no activation.
    new(kernel_size => Sizes<N>);
    settings {
        /// The steps from one output position to the next: one number, or one for each axis.
        strides => Sizes<N> = Sizes::from(1);
        /// What lies beyond the edges: `Valid` (the default), `Same`, or, over one axis, `Causal`.
        padding => Edges = Edges::default();
        /// How many kernels each channel has.
        depth_multiplier: usize = 1;
        /// The steps from one tap of the kernel to the next: one number, or one for each axis.
        dilation_rate => Sizes<N> = Sizes::from(1);
        /// What is applied to the sums.
        activation => Function = Linear;
        /// Whether there is a bias.
        use_bias: bool = true;
    }
    parameters {
        depthwise = GlorotUniform, depthwise_initializer depthwise_regularizer depthwise_constraint;
        bias = Zeros, bias_initializer bias_regularizer bias_constraint;
    }
    fixed {
        "data_format": ChannelsLast;
    }
}

/// The convolution of each channel, over one axis or two.
#[track_caller]
pub(super) fn depthwise<const N: usize>(
    x: &Tensor,
    kernel: &Tensor,
    strides: &Sizes<N>,
    dilations: &Sizes<N>,
    padding: Padding,
) -> Tensor {
    let options = ConvOptions::new().strides(strides.clone()).dilations(dilations.clone()).padding(padding);
    match N {
        1 => x.depthwise_conv1d(kernel, &options),
        _ => x.depthwise_conv2d(kernel, &options),
    }
}

impl<const N: usize> Layer for DepthwiseConv<N> {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        let class = self.state.class();
        let (_, channels) = image_axes::<N>(class, input)?;
        let mut dims = self.kernel_size.each(class, "the kernel's size")?.to_vec();
        dims.extend([channels, self.depth_multiplier]);
        self.depthwise.make("kernel", &dims)?;
        if self.use_bias {
            self.bias.make("bias", &[channels * self.depth_multiplier])?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let kernel = self.depthwise.read();
        let class = self.state.class();
        let padding = attempt!(self.padding.of_kernel(class, &kernel, &self.dilation_rate, &self.strides));
        let mut y = depthwise(x, &kernel, &self.strides, &self.dilation_rate, padding);
        if self.use_bias {
            y = y + self.bias.read();
        }
        self.activation.apply(&y)
    }
}
