//! Transposed convolutions.

use crate::layers::Layer;
use crate::layers::activations::{Function, Linear};
use crate::layers::define::{basics, class_by_rank, layer};
use crate::layers::sizes::{ChannelsLast, Sizes, image_axes};
use rushlight_core::{ConvOptions, Padding, PerAxis, Result, Spec, Tensor};

/// Transposed convolution over one axis: `[batch, steps, channels] → [batch, steps', filters]`. See
/// [`ConvTranspose`].
pub type Conv1dTranspose = ConvTranspose<1>;
/// Transposed convolution over two axes. See [`ConvTranspose`].
pub type Conv2dTranspose = ConvTranspose<2>;
/// Transposed convolution over three axes. See [`ConvTranspose`].
pub type Conv3dTranspose = ConvTranspose<3>;

layer! {
    /// The transpose of a convolution as a layer of its own ("deconvolution"): each input element adds a kernel,
    /// scaled by it, to the output; then bias and activation.
    ///
    /// # Shapes
    /// `[batch, spatial…, channels] → [batch, spatial'…, filters]`, a size `n` becomes `n · stride` with `Same` and
    /// `(n - 1) · stride + max(reach, stride)` with `Valid` padding, see
    /// [`conv2d_transpose`](rushlight_core::Tensor::conv2d_transpose) for output padding; variables
    /// `kernel [size…, filters, channels]` and `bias [filters]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let up = Conv2dTranspose::new(4, 3).strides(2).padding(Same);
    /// assert_eq!(up.call(&Tensor::ones([1, 5, 5, 8], DType::F32)).shape()?, [1, 10, 10, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    ConvTranspose<N> = class_by_rank!(N: "Conv1dTranspose", "Conv2dTranspose", "Conv3dTranspose");
    /// To `filters` channels with a kernel of this size (one number, or one for each axis), strides and dilations of
    /// 1, no padding, a bias and no activation.
    new(filters: usize, kernel_size => Sizes<N>);
    settings {
        /// The steps from one input element's kernel to the next: one number, or one for each axis.
        strides => Sizes<N> = Sizes::from(1);
        /// How much of the edges is cut off: nothing with `Valid` (the default).
        padding: Padding = Padding::Valid;
        /// Rows added to the output, less than the stride.
        output_padding ? Sizes<N> = None;
        /// The steps from one tap of the kernel to the next: one number, or one for each axis.
        dilation_rate => Sizes<N> = Sizes::from(1);
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

impl<const N: usize> Layer for ConvTranspose<N> {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        let class = self.state.class();
        let (_, channels) = image_axes::<N>(class, input)?;
        let mut dims = self.kernel_size.each(class, "the kernel's size")?.to_vec();
        dims.extend([self.filters, channels]);
        self.kernel.make("kernel", &dims)?;
        if self.use_bias {
            self.bias.make("bias", &[self.filters])?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut options = ConvOptions::new()
            .strides(self.strides.clone())
            .dilations(self.dilation_rate.clone())
            .padding(self.padding.clone());
        if let Some(output_padding) = &self.output_padding {
            options = options.output_padding(PerAxis::from(output_padding.clone()));
        }
        let kernel = self.kernel.read();
        let mut y = match N {
            1 => x.conv1d_transpose(&kernel, &options),
            2 => x.conv2d_transpose(&kernel, &options),
            _ => x.conv3d_transpose(&kernel, &options),
        };
        if self.use_bias {
            y = y + self.bias.read();
        }
        self.activation.apply(&y)
    }
}
