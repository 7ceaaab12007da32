//! The ops: what each one is, its shape rule, its gradient and its doc, one file an op family.
//!
//! [`Op`] lists the primitives. Everything else is composed of them, in public functions that trace,
//! compile and differentiate like the primitives do.

pub mod arrange;
pub mod control;
pub mod convolution;
pub mod effect;
pub mod einsum;
pub mod elementwise;
pub mod feed;
pub mod index;
pub mod linear;
pub mod loss;
pub mod nn;
pub mod normalization;
pub mod operand;
pub mod pooling;
pub mod random;
pub mod reduce;
pub mod sort;
pub mod spatial;
pub mod view;

pub(crate) mod gradient;

use crate::tensor::{DType, Dims, Fault, Spec, Tensor, close, display_dims, multiply};
use crate::trace::apply::{apply, fail};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// What an op gives, as far as it is known without running it.
pub(crate) type Specs = SmallVec<[Spec; 1]>;

/// A primitive operation with its static attributes; equal ops on equal inputs give equal results.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    // elementwise: all inputs have one shape (the public functions broadcast first)
    Unary(elementwise::Unary),
    Binary(elementwise::Binary),
    Compare(elementwise::Compare),
    /// `condition (bool), a, b → a where the condition holds, else b`
    Select,
    Cast(DType),
    // reductions and scans
    Reduce(reduce::Reduce),
    ArgReduce(reduce::ArgReduce),
    Cumulative(reduce::Cumulative),
    // products
    Dot(linear::Dot),
    Convolution(convolution::Convolution),
    ConvolutionInputGradient(convolution::Convolution, Dims),
    ConvolutionKernelGradient(convolution::Convolution, Dims),
    // windows
    Window(pooling::Window),
    WindowSumGradient(pooling::Window, Dims),
    WindowMaxGradient(pooling::Window),
    WindowMaxSelect(pooling::Window),
    // views: new shapes of the same elements
    Reshape(Dims),
    Transpose(view::Permutation),
    Broadcast(Dims),
    Slice(view::Slice),
    Flip(crate::tensor::Axes),
    // rearrangement
    Pad(view::Pad),
    Concat(usize),
    /// `values, indices (integer, any rank) → values taken along an axis; the axis becomes the axes of the indices`
    Take(usize),
    /// `operand, indices, updates → operand with the updates added at the places that Take would read`
    TakeAdd(usize),
    /// `values, indices (same rank) → values picked along an axis, index by index`
    TakeAlong(usize),
    /// `operand, indices, updates → operand with the updates added at the places that TakeAlong would read`
    TakeAlongAdd(usize),
    /// `operand, indices, updates → operand with the updates written there; the last one wins`
    TakeAlongSet(usize),
    /// `values → (sorted values, i32 indices)`
    Sort(sort::Sort),
    // sources
    Iota(index::Iota),
    /// `key (i64 [2]: seed, counter) → random elements`
    Random(random::Random),
    // control flow
    #[serde(skip)]
    Loop(Arc<control::Loop>),
    #[serde(skip)]
    Branch(Arc<control::Branch>),
    // effects
    /// `number of earlier effects (i64), tensors → number of effects`
    Effect(#[serde(with = "effect::saved")] Arc<effect::Effect>),
}

/// Elements that a result may have at most: as many as could be addressed, eight bytes each.
const MOST_ELEMENTS: usize = isize::MAX as usize / 8;

/// Applies a primitive for a public op of another name: broken rules are reported under that name.
#[track_caller]
pub(crate) fn apply_as(name: &str, op: Op, inputs: &[&Tensor]) -> Tensor {
    match infer_as(name, &op, inputs) {
        Ok(()) => apply(op, inputs),
        Err(carried) => carried,
    }
}

/// Checks the inputs of a primitive; a tensor that carries the error under the public op's name if they do not fit.
#[track_caller]
pub(crate) fn infer_as(name: &str, op: &Op, inputs: &[&Tensor]) -> Result<(), Tensor> {
    if let Some(carrier) = inputs.iter().find(|input| input.error().is_some()) {
        return Err((*carrier).clone());
    }
    let specs: SmallVec<[&Spec; 4]> = inputs.iter().filter_map(|input| input.known_spec()).collect();
    match op.infer(&specs) {
        Ok(_) => Ok(()),
        Err(fault) => Err(fail(name, fault, inputs)),
    }
}

/// The first carried error among the inputs, or one if they are not of the same floating-point dtype.
#[track_caller]
pub(crate) fn require_floats(name: &str, inputs: &[&Tensor]) -> Result<(), Tensor> {
    if let Some(carrier) = inputs.iter().find(|input| input.error().is_some()) {
        return Err((*carrier).clone());
    }
    let mut dtypes = inputs.iter().filter_map(|input| input.known_spec()).map(|spec| spec.dtype);
    let Some(first) = dtypes.next() else { return Ok(()) };
    let rule = match (first.is_float(), inputs.len()) {
        (true, _) if dtypes.all(|dtype| dtype == first) => return Ok(()),
        (_, 1) => "the input must be of a floating-point dtype (cast it first)",
        _ => "the inputs must be of the same floating-point dtype (cast them first)",
    };
    Err(fail(name, Fault::dtype(rule), inputs))
}

impl Op {
    /// Name shown in messages, graphs and profiles.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Unary(unary) => unary.name(),
            Op::Binary(binary) => binary.name(),
            Op::Compare(compare) => compare.name(),
            Op::Select => "select",
            Op::Cast(_) => "cast",
            Op::Reduce(reduce) => reduce.kind.name(),
            Op::ArgReduce(reduce) => reduce.name(),
            Op::Cumulative(cumulative) => cumulative.name(),
            Op::Dot(_) => "matmul",
            Op::Convolution(_) => "conv",
            Op::ConvolutionInputGradient(..) => "conv_transpose",
            Op::ConvolutionKernelGradient(..) => "conv_kernel_gradient",
            Op::Window(window) => window.kind.name(),
            Op::WindowSumGradient(..) => "sum_pool_gradient",
            Op::WindowMaxGradient(_) => "max_pool_gradient",
            Op::WindowMaxSelect(_) => "max_pool_select",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Broadcast(_) => "broadcast_to",
            Op::Slice(_) => "slice",
            Op::Flip(_) => "flip",
            Op::Pad(_) => "pad",
            Op::Concat(_) => "concat",
            Op::Take(_) => "take",
            Op::TakeAdd(_) => "take_add",
            Op::TakeAlong(_) => "take_along_axis",
            Op::TakeAlongAdd(_) => "scatter_add",
            Op::TakeAlongSet(_) => "scatter",
            Op::Sort(_) => "sort",
            Op::Iota(_) => "iota",
            Op::Random(random) => random.distribution.name(),
            Op::Loop(op) => op.name,
            Op::Branch(op) => op.name,
            Op::Effect(effect) => effect.name(),
        }
    }

    /// Number of results.
    pub(crate) fn output_count(&self) -> usize {
        match self {
            Op::Sort(_) => 2,
            Op::Loop(op) => op.output_count(),
            Op::Branch(op) => op.output_count(),
            Op::Effect(effect) => effect.output_count(),
            _ => 1,
        }
    }

    /// The shape and dtype of each result, or the rule that the inputs break.
    pub(crate) fn infer(&self, inputs: &[&Spec]) -> Result<Specs, Fault> {
        let one = match self {
            Op::Unary(unary) => unary.infer(inputs[0])?,
            Op::Binary(binary) => binary.infer(inputs[0], inputs[1])?,
            Op::Compare(_) => elementwise::infer_compare(inputs[0], inputs[1])?,
            Op::Select => elementwise::infer_select(inputs[0], inputs[1], inputs[2])?,
            Op::Cast(dtype) => Spec { dims: inputs[0].dims.clone(), dtype: *dtype },
            Op::Reduce(reduce) => reduce.infer(inputs[0])?,
            Op::ArgReduce(reduce) => reduce.infer(inputs[0])?,
            Op::Cumulative(cumulative) => cumulative.infer(inputs[0])?,
            Op::Dot(dot) => dot.infer(inputs[0], inputs[1])?,
            Op::Convolution(convolution) => convolution.infer(inputs[0], inputs[1])?,
            Op::ConvolutionInputGradient(convolution, dims) => {
                convolution.infer_input_gradient(dims, inputs[0], inputs[1])?
            }
            Op::ConvolutionKernelGradient(convolution, dims) => {
                convolution.infer_kernel_gradient(dims, inputs[0], inputs[1])?
            }
            Op::Window(window) => window.infer(inputs[0])?,
            Op::WindowSumGradient(window, dims) => window.infer_sum_gradient(dims, inputs[0])?,
            Op::WindowMaxGradient(window) => window.infer_max_gradient(inputs[0], inputs[1])?,
            Op::WindowMaxSelect(window) => window.infer_max_select(inputs[0], inputs[1])?,
            Op::Reshape(dims) => view::infer_reshape(dims, inputs[0])?,
            Op::Transpose(permutation) => view::infer_transpose(permutation, inputs[0])?,
            Op::Broadcast(dims) => view::infer_broadcast(dims, inputs[0])?,
            Op::Slice(slice) => slice.infer(inputs[0])?,
            Op::Flip(axes) => view::infer_flip(axes, inputs[0])?,
            Op::Pad(pad) => pad.infer(inputs)?,
            Op::Concat(axis) => view::infer_concat(*axis, inputs)?,
            Op::Take(axis) => index::infer_take(*axis, inputs[0], inputs[1])?,
            Op::TakeAdd(axis) => index::infer_take_add(*axis, inputs[0], inputs[1], inputs[2])?,
            Op::TakeAlong(axis) => index::infer_take_along(*axis, inputs[0], inputs[1])?,
            Op::TakeAlongAdd(axis) | Op::TakeAlongSet(axis) => {
                index::infer_take_along_put(*axis, inputs[0], inputs[1], inputs[2])?
            }
            Op::Sort(sort) => return sort.infer(inputs[0]),
            Op::Iota(iota) => Spec { dims: iota.dims.clone(), dtype: iota.dtype },
            Op::Random(random) => random.infer(inputs[0])?,
            Op::Loop(op) => return op.infer(inputs),
            Op::Branch(op) => return op.infer(inputs),
            Op::Effect(effect) => return effect.infer(inputs),
        };
        // So that nothing that multiplies sizes later on has to think of it.
        if one.dims.iter().fold(1, |count, &dim| multiply(count, close(dim, 1).max(1))) > MOST_ELEMENTS {
            return Err(Fault::value(format!("a result of {} is too large", display_dims(&one.dims))));
        }
        Ok(smallvec![one])
    }

    /// Whether a gradient can flow through this op; the others have constant or integer results.
    pub(crate) fn is_differentiable(&self) -> bool {
        match self {
            Op::Compare(_) | Op::ArgReduce(_) | Op::Iota(_) | Op::Random(_) | Op::Effect(_) => false,
            Op::Unary(unary) => unary.is_differentiable(),
            Op::Binary(binary) => binary.is_differentiable(),
            Op::Reduce(reduce) => !matches!(reduce.kind, reduce::Reduction::Any | reduce::Reduction::All),
            Op::Cast(dtype) => dtype.is_float(),
            _ => true,
        }
    }

    /// This op with an open batch size filled in wherever its attributes hold a shape.
    pub(crate) fn with_batch(&self, batch: usize) -> Op {
        let close = |dims: &Dims| dims.iter().map(|&dim| crate::tensor::close(dim, batch)).collect::<Dims>();
        match self {
            Op::Reshape(dims) => Op::Reshape(close(dims)),
            Op::Broadcast(dims) => Op::Broadcast(close(dims)),
            Op::ConvolutionInputGradient(convolution, dims) => {
                Op::ConvolutionInputGradient(convolution.clone(), close(dims))
            }
            Op::WindowSumGradient(window, dims) => Op::WindowSumGradient(window.clone(), close(dims)),
            Op::Slice(slice) => Op::Slice(view::Slice {
                start: slice.start.clone(),
                stop: slice.stop.iter().map(|&stop| crate::tensor::close(stop, batch)).collect(),
                step: slice.step.clone(),
            }),
            Op::Iota(iota) => Op::Iota(index::Iota { dims: close(&iota.dims), ..iota.clone() }),
            Op::Random(random) => Op::Random(random::Random { dims: close(&random.dims), ..random.clone() }),
            Op::Loop(op) => Op::Loop(Arc::new(op.with_batch(batch))),
            Op::Branch(op) => Op::Branch(Arc::new(op.with_batch(batch))),
            other => other.clone(),
        }
    }
}

impl Op {
    /// Name with the attributes that matter to a reader of a listing.
    pub(crate) fn label(&self) -> String {
        let name = self.name();
        match self {
            Op::Cast(dtype) => format!("{name}[{dtype}]"),
            Op::Effect(effect) => format!("{effect:?}"),
            Op::Reduce(reduce) => format!("{name}[axes {:?}]", reduce.axes.as_slice()),
            Op::ArgReduce(reduce) => format!("{name}[axis {}]", reduce.axis),
            Op::Convolution(conv)
            | Op::ConvolutionInputGradient(conv, _)
            | Op::ConvolutionKernelGradient(conv, _) => {
                let (strides, padding) = (conv.strides.as_slice(), conv.padding.as_slice());
                format!("{name}[strides {strides:?}, padding {padding:?}]")
            }
            Op::Window(window) => format!("{name}[{:?}]", window.size.as_slice()),
            Op::Transpose(axes) | Op::Flip(axes) => format!("{name}[{:?}]", axes.as_slice()),
            Op::Concat(axis) | Op::Take(axis) | Op::TakeAlong(axis) => format!("{name}[axis {axis}]"),
            Op::Slice(slice) => {
                let (start, stop) = (slice.start.as_slice(), slice.stop.as_slice());
                format!("{name}[{start:?}..{stop:?}]")
            }
            Op::Loop(op) => format!("{op:?}"),
            Op::Branch(op) => format!("{op:?}"),
            _ => name.to_string(),
        }
    }
}

impl Op {
    /// Floating-point operations: multiplications and additions of products, one for each element of anything else.
    pub(crate) fn flops(&self, inputs: &[Dims], outputs: &[Dims]) -> u64 {
        let count = |dims: &[usize]| dims.iter().product::<usize>();
        let operations = match self {
            // Every multiplication meets one element of each operand.
            Op::Dot(dot) => {
                let axis = inputs[0].len() - if dot.transpose_left { 2 } else { 1 };
                2 * count(&outputs[0]) * inputs[0][axis]
            }
            Op::Convolution(_) => 2 * count(&outputs[0]) * taps(&inputs[1]),
            Op::ConvolutionInputGradient(..) => 2 * count(&inputs[0]) * taps(&inputs[1]),
            Op::ConvolutionKernelGradient(..) => 2 * count(&inputs[1]) * taps(&outputs[0]),
            Op::Reduce(_) | Op::ArgReduce(_) | Op::Window(_) => count(&inputs[0]),
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cumulative(_) => {
                count(&outputs[0])
            }
            _ => 0,
        };
        operations as u64
    }
}

/// Products that make one element of a convolution by a kernel `[spatial…, channels, filters]`.
fn taps(kernel: &[usize]) -> usize {
    kernel[..kernel.len() - 1].iter().product()
}
