//! From an op to its gradient: one table that points to the formulas in the op families.

use crate::ops::{Op, control, convolution, elementwise, index, linear, pooling, reduce, sort, view};
use crate::tensor::Tensor;
use smallvec::{SmallVec, smallvec};

/// The gradients of an op's inputs; `None` where nothing flows.
pub(crate) type InputGradients = SmallVec<[Option<Tensor>; 3]>;

/// What a gradient formula may use.
pub(crate) struct Context<'a> {
    pub(crate) inputs: &'a [Tensor],
    pub(crate) outputs: &'a [Tensor],
    /// Which inputs' gradients are asked for; a formula may leave the others out.
    pub(crate) wanted: &'a [bool],
}

/// The gradients of the inputs from those of the outputs (`None`: the output was not used).
///
/// The formulas are made of public tensor ops, so they record, compile and differentiate again.
#[track_caller]
pub(crate) fn of(
    op: &Op,
    inputs: &[Tensor],
    outputs: &[Tensor],
    from: &[Option<Tensor>],
    wanted: &[bool],
) -> InputGradients {
    let context = Context { inputs, outputs, wanted };
    match op {
        Op::Sort(sort) => {
            return from[0].as_ref().map_or_else(InputGradients::new, |g| sort::gradient(sort, &context, g));
        }
        Op::Loop(op) => return control::gradient_loop(op, &context, from),
        Op::Branch(op) => return control::gradient_branch(op, &context, from),
        _ => {}
    }
    let Some(g) = &from[0] else { return InputGradients::new() };
    match op {
        Op::Unary(unary) => elementwise::gradient_unary(*unary, &context, g),
        Op::Binary(binary) => elementwise::gradient_binary(*binary, &context, g),
        Op::Select => elementwise::gradient_select(&context, g),
        Op::Cast(_) => elementwise::gradient_cast(&context, g),
        Op::Reduce(reduce) => reduce::gradient(reduce, &context, g),
        Op::Cumulative(cumulative) => reduce::gradient_cumulative(cumulative, &context, g),
        Op::Dot(dot) => linear::gradient(dot, &context, g),
        Op::Convolution(conv) => convolution::gradient(conv, &context, g),
        Op::ConvolutionInputGradient(conv, _) => convolution::gradient_of_input_gradient(conv, &context, g),
        Op::ConvolutionKernelGradient(conv, _) => convolution::gradient_of_kernel_gradient(conv, &context, g),
        Op::Window(window) => pooling::gradient(window, &context, g),
        Op::WindowSumGradient(window, _) => pooling::gradient_of_sum_gradient(window, g),
        Op::WindowMaxGradient(window) => pooling::gradient_of_max_gradient(window, &context, g),
        Op::WindowMaxSelect(window) => pooling::gradient_of_max_select(window, &context, g),
        Op::Reshape(_) => view::gradient_reshape(&context, g),
        Op::Transpose(permutation) => view::gradient_transpose(permutation, g),
        Op::Broadcast(_) => view::gradient_broadcast(&context, g),
        Op::Slice(slice) => view::gradient_slice(slice, &context, g),
        Op::Flip(axes) => view::gradient_flip(axes, g),
        Op::Pad(pad) => view::gradient_pad(pad, &context, g),
        Op::Concat(axis) => view::gradient_concat(*axis, &context, g),
        Op::Take(axis) => index::gradient_take(*axis, &context, g),
        Op::TakeAdd(axis) => index::gradient_take_add(*axis, &context, g),
        Op::TakeAlong(axis) => index::gradient_take_along(*axis, &context, g),
        Op::TakeAlongAdd(axis) => index::gradient_take_along_add(*axis, &context, g),
        Op::TakeAlongSet(axis) => index::gradient_take_along_set(*axis, &context, g),
        Op::Compare(_)
        | Op::ArgReduce(_)
        | Op::Iota(_)
        | Op::Random(_)
        | Op::Sort(_)
        | Op::Effect(_)
        | Op::Loop(_)
        | Op::Branch(_) => InputGradients::new(),
    }
}

/// The gradients of an op with one input.
pub(crate) fn one(gradient: Tensor) -> InputGradients {
    smallvec![Some(gradient)]
}

/// No gradient flows to any of the inputs.
pub(crate) fn none(inputs: usize) -> InputGradients {
    smallvec![None; inputs]
}
