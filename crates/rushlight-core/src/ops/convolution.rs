//! Convolutions over one to three spatial axes, and the two products that are their gradients.

use crate::ops::gradient::{Context, InputGradients};
use crate::ops::spatial::{Margins, Padding, PerAxis, Sizes, axes_in_words, halves};
use crate::ops::{Op, apply_as};
use crate::tensor::{Dims, Fault, Spec, Tensor, display_dims};
use crate::trace::apply::{apply, fail};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

/// `input [batch, spatial…, channels] ⋆ kernel [spatial…, channels / groups, filters] → [batch, spatial…, filters]`.
///
/// A cross-correlation, as everywhere in deep learning: output position `o` and kernel tap `t` meet the input
/// at `o * stride + t * dilation - low padding`; what lies outside counts as zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    pub strides: SmallVec<[usize; 3]>,
    pub dilations: SmallVec<[usize; 3]>,
    /// Rows of zeros before and after each spatial axis.
    pub padding: SmallVec<[(usize, usize); 3]>,
    pub groups: usize,
}

impl Convolution {
    /// Size of an output axis, or nothing if the kernel does not fit into the padded input.
    pub(crate) fn output_size(&self, axis: usize, input: usize, kernel: usize) -> Option<usize> {
        let reach = (kernel.checked_sub(1)?) * self.dilations[axis] + 1;
        let padded = input + self.padding[axis].0 + self.padding[axis].1;
        (padded.checked_sub(reach)?).checked_div(self.strides[axis]).map(|steps| steps + 1)
    }

    fn check(&self, input: &Spec, kernel: &Spec) -> Result<(), Fault> {
        let spatial = self.strides.len();
        let attributes_fit = (1..=3).contains(&spatial)
            && self.dilations.len() == spatial
            && self.padding.len() == spatial
            && self.strides.iter().chain(&self.dilations).all(|&step| step > 0)
            && self.groups > 0;
        if !attributes_fit {
            return Err(Fault::value(
                "strides, dilations and padding must have one positive entry for each of one to three spatial axes",
            ));
        }
        if input.dtype != kernel.dtype || !input.dtype.is_float() {
            return Err(Fault::dtype("input and kernel must be of the same floating-point dtype"));
        }
        if input.rank() != spatial + 2 || kernel.rank() != spatial + 2 {
            let axes = axes_in_words(spatial);
            let rule = format!(
                "the input must be [batch, {axes}, channels] and the kernel [{axes}, channels / groups, filters]"
            );
            return Err(Fault::shape(rule));
        }
        Ok(())
    }

    pub(crate) fn infer(&self, input: &Spec, kernel: &Spec) -> Result<Spec, Fault> {
        self.check(input, kernel)?;
        let spatial = self.strides.len();
        let (channels, filters) = (input.dims[spatial + 1], kernel.dims[spatial + 1]);
        if kernel.dims[spatial] * self.groups != channels || filters % self.groups != 0 {
            let rule = match self.groups {
                1 => "the input's last axis (channels) must equal the kernel's second-to-last".to_string(),
                groups => format!(
                    "the input's last axis (channels) must be the kernel's second-to-last times {groups} groups, \
                     which must divide the filters"
                ),
            };
            return Err(Fault::shape(rule));
        }
        let mut dims = Dims::from_slice(&[input.dims[0]]);
        for axis in 0..spatial {
            match self.output_size(axis, input.dims[axis + 1], kernel.dims[axis]) {
                Some(size) => dims.push(size),
                None => return Err(Fault::shape("the kernel must fit into the padded input")),
            }
        }
        dims.push(filters);
        Ok(Spec { dims, dtype: input.dtype })
    }

    pub(crate) fn infer_input_gradient(&self, dims: &Dims, g: &Spec, kernel: &Spec) -> Result<Spec, Fault> {
        let input = Spec { dims: dims.clone(), dtype: g.dtype };
        match self.infer(&input, kernel)? == *g {
            true => Ok(input),
            false => Err(Fault::shape(format!(
                "the left side must be what the convolution makes of {}",
                display_dims(dims)
            ))),
        }
    }

    pub(crate) fn infer_kernel_gradient(&self, dims: &Dims, input: &Spec, g: &Spec) -> Result<Spec, Fault> {
        let kernel = Spec { dims: dims.clone(), dtype: g.dtype };
        match self.infer(input, &kernel)? == *g {
            true => Ok(kernel),
            false => Err(Fault::shape(format!(
                "the right side must be what the convolution makes of the left with a kernel {}",
                display_dims(dims)
            ))),
        }
    }
}

/// How a convolution walks over its input: strides, dilations, padding, groups.
///
/// ```
/// use rushlight_core::{ConvOptions, Padding};
/// let options = ConvOptions::new().strides(2).padding(Padding::Same);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvOptions {
    strides: PerAxis,
    dilations: PerAxis,
    padding: Padding,
    groups: usize,
    output_padding: Option<PerAxis>,
}

impl Default for ConvOptions {
    fn default() -> ConvOptions {
        ConvOptions {
            strides: 1.into(),
            dilations: 1.into(),
            padding: Padding::Valid,
            groups: 1,
            output_padding: None,
        }
    }
}

impl ConvOptions {
    /// Strides and dilations of 1, no padding, one group.
    pub fn new() -> ConvOptions {
        ConvOptions::default()
    }

    /// The steps from one output position to the next: one number, or one for each spatial axis.
    pub fn strides(mut self, strides: impl Into<PerAxis>) -> ConvOptions {
        self.strides = strides.into();
        self
    }

    /// The steps from one tap of the kernel to the next: one number, or one for each spatial axis.
    pub fn dilations(mut self, dilations: impl Into<PerAxis>) -> ConvOptions {
        self.dilations = dilations.into();
        self
    }

    /// What lies beyond the edges of the input.
    pub fn padding(mut self, padding: Padding) -> ConvOptions {
        self.padding = padding;
        self
    }

    /// Channels and filters are divided into this many groups that do not see each other.
    pub fn groups(mut self, groups: usize) -> ConvOptions {
        self.groups = groups;
        self
    }

    /// Transposed convolutions only: rows added to the output, less than the stride. Keras chooses the output's
    /// size differently when this is given, see [`Tensor::conv2d_transpose`].
    pub fn output_padding(mut self, output_padding: impl Into<PerAxis>) -> ConvOptions {
        self.output_padding = Some(output_padding.into());
        self
    }
}

/// The size of the window that a dilated kernel covers.
fn reach(kernel: &[usize], dilations: &[usize]) -> Sizes {
    kernel.iter().zip(dilations).map(|(&size, &step)| size.saturating_sub(1) * step + 1).collect()
}

impl Tensor {
    /// Convolution over one axis: `input [batch, steps, channels] ⋆ kernel [size, channels / groups, filters] →
    /// [batch, steps', filters]`. See [`Tensor::conv2d`].
    #[track_caller]
    pub fn conv1d(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.conv("conv1d", kernel, options, 1)
    }

    /// Convolution over two axes, in fact a cross-correlation, as everywhere in deep learning:
    ///
    /// `y[b, i, j, f] = Σ x[b, i·s + u·d - p, j·s + v·d - p, c] · kernel[u, v, c, f]` over `u`, `v` and `c`, with
    /// strides `s`, dilations `d` and low padding `p`; what lies outside of `x` counts as zero.
    ///
    /// # Shapes
    /// `input [batch, height, width, channels] ⋆ kernel [kh, kw, channels / groups, filters] →
    /// [batch, height', width', filters]`, sizes as [`Padding`] says. Filter `f` belongs to group
    /// `f / (filters / groups)`.
    ///
    /// # Errors
    /// The result carries one if the shapes do not fit, the dtypes are not the same floating-point one, or an
    /// option makes no sense.
    ///
    /// ```
    /// use rushlight_core::{ConvOptions, DType, Padding, Tensor};
    /// let (image, kernel) = (Tensor::ones([1, 5, 5, 2], DType::F32), Tensor::ones([3, 3, 2, 4], DType::F32));
    /// let y = image.conv2d(&kernel, &ConvOptions::new().strides(2).padding(Padding::Same));
    /// assert_eq!(y.shape()?, [1, 3, 3, 4]);
    /// assert_eq!(y.max(..).item::<f32>()?, 18.0);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn conv2d(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.conv("conv2d", kernel, options, 2)
    }

    /// Convolution over three axes: `input [batch, depth, height, width, channels] ⋆
    /// kernel [kd, kh, kw, channels / groups, filters] → [batch, depth', height', width', filters]`. See
    /// [`Tensor::conv2d`].
    #[track_caller]
    pub fn conv3d(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.conv("conv3d", kernel, options, 3)
    }

    #[track_caller]
    fn conv(&self, op: &str, kernel: &Tensor, options: &ConvOptions, axes: usize) -> Tensor {
        let (Some(x), Some(k)) = (self.known_spec(), kernel.known_spec()) else {
            return if self.error().is_some() { self.clone() } else { kernel.clone() };
        };
        match forward(options, x, k, axes) {
            Ok(conv) => apply_as(op, Op::Convolution(conv), &[self, kernel]),
            Err(fault) => fail(op, fault, &[self, kernel]),
        }
    }

    /// Convolution of each channel by itself over one axis: `input [batch, steps, channels] ⋆
    /// kernel [size, channels, multiplier] → [batch, steps', channels · multiplier]`.
    #[track_caller]
    pub fn depthwise_conv1d(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.depthwise_conv("depthwise_conv1d", kernel, options, 1)
    }

    /// Convolution of each channel by itself: output channel `c · multiplier + m` is channel `c` with
    /// `kernel[…, c, m]`. The options' groups do not matter.
    ///
    /// # Shapes
    /// `input [batch, height, width, channels] ⋆ kernel [kh, kw, channels, multiplier] →
    /// [batch, height', width', channels · multiplier]`
    #[track_caller]
    pub fn depthwise_conv2d(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.depthwise_conv("depthwise_conv2d", kernel, options, 2)
    }

    #[track_caller]
    fn depthwise_conv(&self, op: &str, kernel: &Tensor, options: &ConvOptions, axes: usize) -> Tensor {
        let (Some(x), Some(k)) = (self.known_spec(), kernel.known_spec()) else {
            return if self.error().is_some() { self.clone() } else { kernel.clone() };
        };
        if x.rank() != axes + 2 || k.rank() != axes + 2 || x.dims[axes + 1] != k.dims[axes] {
            let axes = axes_in_words(axes);
            let rule = format!(
                "the input must be [batch, {axes}, channels] and the kernel [{axes}, channels, multiplier]"
            );
            return fail(op, Fault::shape(rule), &[self, kernel]);
        }
        let channels = k.dims[axes];
        let mut dims = k.dims.clone();
        (dims[axes], dims[axes + 1]) = (1, channels * k.dims[axes + 1]);
        self.conv(op, &kernel.reshape_to(&dims), &options.clone().groups(channels), axes)
    }

    /// Transposed convolution over one axis: `input [batch, steps, channels]`, `kernel [size, filters, channels] →
    /// [batch, steps', filters]`. See [`Tensor::conv2d_transpose`].
    #[track_caller]
    pub fn conv1d_transpose(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.conv_transpose("conv1d_transpose", kernel, options, 1)
    }

    /// Transposed convolution (also "deconvolution"): the gradient of [`Tensor::conv2d`] with respect to its
    /// input, as a function of its own. Each input element adds a kernel, scaled by it, to the output.
    ///
    /// # Shapes
    /// `input [batch, height, width, channels]`, `kernel [kh, kw, filters / groups, channels] →
    /// [batch, height', width', filters]`. As in Keras, with the reach `r = (k - 1) · dilation + 1`, a size `n`
    /// becomes
    /// - `n · stride` with [`Padding::Same`], or `(n - 1) · stride + r mod 2 + output_padding` where that is given;
    /// - `(n - 1) · stride + max(r, stride)` with [`Padding::Valid`], or `(n - 1) · stride + r + output_padding`;
    /// - the latter less the padding with [`Padding::Explicit`] (where output padding is zero unless given).
    ///
    /// # Errors
    /// As [`Tensor::conv2d`].
    #[track_caller]
    pub fn conv2d_transpose(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.conv_transpose("conv2d_transpose", kernel, options, 2)
    }

    /// Transposed convolution over three axes: `input [batch, depth, height, width, channels]`,
    /// `kernel [kd, kh, kw, filters, channels]`. See [`Tensor::conv2d_transpose`].
    #[track_caller]
    pub fn conv3d_transpose(&self, kernel: &Tensor, options: &ConvOptions) -> Tensor {
        self.conv_transpose("conv3d_transpose", kernel, options, 3)
    }

    #[track_caller]
    fn conv_transpose(&self, op: &str, kernel: &Tensor, options: &ConvOptions, axes: usize) -> Tensor {
        let (Some(x), Some(k)) = (self.known_spec(), kernel.known_spec()) else {
            return if self.error().is_some() { self.clone() } else { kernel.clone() };
        };
        match transposed(options, x, k, axes) {
            Ok((conv, dims)) => apply_as(op, Op::ConvolutionInputGradient(conv, dims), &[self, kernel]),
            Err(fault) => fail(op, fault, &[self, kernel]),
        }
    }
}

/// The primitive that the options mean for these shapes.
fn forward(options: &ConvOptions, input: &Spec, kernel: &Spec, axes: usize) -> Result<Convolution, Fault> {
    let mut conv = Convolution {
        strides: options.strides.positive("the strides", axes)?,
        dilations: options.dilations.positive("the dilations", axes)?,
        padding: Margins::from_elem((0, 0), axes),
        groups: options.groups,
    };
    conv.check(input, kernel)?;
    let reach = reach(&kernel.dims[..axes], &conv.dilations);
    conv.padding = options.padding.margins(&input.dims[1..=axes], &reach, &conv.strides)?;
    Ok(conv)
}

/// The convolution whose input gradient the transposed one is, and the shape of that input: the result's.
fn transposed(
    options: &ConvOptions,
    input: &Spec,
    kernel: &Spec,
    axes: usize,
) -> Result<(Convolution, Dims), Fault> {
    let mut conv = forward(&ConvOptions { padding: Padding::Valid, ..options.clone() }, input, kernel, axes)?;
    if kernel.dims[axes + 1] != input.dims[axes + 1] {
        return Err(Fault::shape("the last axis of the kernel (channels) must equal the input's last axis"));
    }
    let added = match &options.output_padding {
        Some(added) => match added.for_axes(axes) {
            Some(added) => Some(added),
            None => return Err(Fault::value(format!("the output padding must be one number, or {axes}"))),
        },
        None => None,
    };
    let reach = reach(&kernel.dims[..axes], &conv.dilations);
    let explicit = match &options.padding {
        Padding::Explicit(_) => options.padding.margins(&input.dims[1..=axes], &reach, &conv.strides)?,
        _ => Margins::new(),
    };
    let mut dims = Dims::from_slice(&[input.dims[0]]);
    for axis in 0..axes {
        let (stride, reach) = (conv.strides[axis], reach[axis]);
        let steps = input.dims[axis + 1].saturating_sub(1) * stride;
        let given = added.as_ref().map(|added| added[axis]);
        let size = match (&options.padding, given) {
            (Padding::Same, None) => input.dims[axis + 1] * stride,
            (Padding::Same, Some(added)) => steps + reach % 2 + added,
            (Padding::Valid, None) => steps + reach.max(stride),
            (Padding::Valid, Some(added)) => steps + reach + added,
            (Padding::Explicit(_), _) => {
                let (low, high) = explicit[axis];
                (steps + reach + given.unwrap_or(0)).saturating_sub(low + high)
            }
        };
        // What the kernels cover beyond the output is cut off: it is the padding of the convolution.
        let surplus = (steps + reach).saturating_sub(size);
        let (low, high) = match &options.padding {
            Padding::Explicit(_) => (explicit[axis].0, surplus.saturating_sub(explicit[axis].0)),
            _ => halves(surplus),
        };
        conv.padding[axis] = (low, high);
        if size == 0 || conv.output_size(axis, size, kernel.dims[axis]) != Some(input.dims[axis + 1]) {
            let rule = "the output padding must be smaller than the stride, and the padding than the output";
            return Err(Fault::value(rule));
        }
        dims.push(size);
    }
    dims.push(kernel.dims[axes] * conv.groups);
    Ok((conv, dims))
}

fn dims_of(tensor: &Tensor) -> Dims {
    tensor.known_spec().map(|spec| spec.dims.clone()).unwrap_or_default()
}

#[track_caller]
fn convolve(conv: &Convolution, input: &Tensor, kernel: &Tensor) -> Tensor {
    apply(Op::Convolution(conv.clone()), &[input, kernel])
}

#[track_caller]
fn input_gradient(conv: &Convolution, dims: Dims, g: &Tensor, kernel: &Tensor) -> Tensor {
    apply(Op::ConvolutionInputGradient(conv.clone(), dims), &[g, kernel])
}

#[track_caller]
fn kernel_gradient(conv: &Convolution, dims: Dims, input: &Tensor, g: &Tensor) -> Tensor {
    apply(Op::ConvolutionKernelGradient(conv.clone(), dims), &[input, g])
}

// The three products are bilinear in (input, kernel, output), so each one's gradients are the other two.

#[track_caller]
pub(crate) fn gradient(conv: &Convolution, context: &Context, g: &Tensor) -> InputGradients {
    let (input, kernel) = (&context.inputs[0], &context.inputs[1]);
    smallvec![
        context.wanted[0].then(|| input_gradient(conv, dims_of(input), g, kernel)),
        context.wanted[1].then(|| kernel_gradient(conv, dims_of(kernel), input, g)),
    ]
}

#[track_caller]
pub(crate) fn gradient_of_input_gradient(
    conv: &Convolution,
    context: &Context,
    g: &Tensor,
) -> InputGradients {
    let (output, kernel) = (&context.inputs[0], &context.inputs[1]);
    smallvec![
        context.wanted[0].then(|| convolve(conv, g, kernel)),
        context.wanted[1].then(|| kernel_gradient(conv, dims_of(kernel), g, output)),
    ]
}

#[track_caller]
pub(crate) fn gradient_of_kernel_gradient(
    conv: &Convolution,
    context: &Context,
    g: &Tensor,
) -> InputGradients {
    let (input, output) = (&context.inputs[0], &context.inputs[1]);
    smallvec![
        context.wanted[0].then(|| input_gradient(conv, dims_of(input), output, g)),
        context.wanted[1].then(|| convolve(conv, input, g)),
    ]
}
