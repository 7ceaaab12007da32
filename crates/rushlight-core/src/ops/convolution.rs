//! Convolutions over one to three spatial axes, and the two products that are their gradients.

use crate::ops::Op;
use crate::ops::gradient::{Context, InputGradients};
use crate::tensor::{Dims, Fault, Spec, Tensor, display_dims};
use crate::trace::apply::apply;
use smallvec::{SmallVec, smallvec};

/// `input [batch, spatial…, channels] ⋆ kernel [spatial…, channels / groups, filters] → [batch, spatial…, filters]`.
///
/// A cross-correlation, as everywhere in deep learning: output position `o` and kernel tap `t` meet the input
/// at `o * stride + t * dilation - low padding`; what lies outside counts as zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
            let rule = format!(
                "the input must be [batch, {spatial} spatial axes, channels] and the kernel \
                 [{spatial} spatial axes, channels / groups, filters]"
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
            let rule = format!(
                "the input's channels must be the kernel's second-to-last axis times {} group(s), \
                 which divide the filters",
                self.groups
            );
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
