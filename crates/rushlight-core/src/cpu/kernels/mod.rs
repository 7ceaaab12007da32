//! The loops that do the arithmetic.

mod axes;
pub(crate) mod conv;
pub(crate) mod conv_channels;
pub(crate) mod conv_lanes;
pub(crate) mod dot;
mod elementwise;
pub(crate) mod fused;
pub(crate) mod gemm;
mod index;
pub(crate) mod layout;
pub(crate) mod loops;
pub(crate) mod math;
pub(crate) mod product_loop;
mod random;
mod reduce;
#[cfg(test)]
mod samples;
mod scan;
mod shared;
mod sort;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod view;
pub(crate) mod widen;
pub(crate) mod window;
pub(crate) mod window_lanes;

pub(crate) use elementwise::{Dense, run_dense};

use crate::cpu::buffer::{View, ViewMut};
use crate::ops::Op;

/// Runs an op whose shapes and dtypes have been checked.
pub(crate) fn run(op: &Op, inputs: &[View], outputs: &mut [ViewMut]) {
    match op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) => {
            elementwise::run(op, inputs, &mut outputs[0])
        }
        Op::Convolution(op) => conv::run(op, inputs, outputs),
        Op::ConvolutionInputGradient(op, _) => conv::run_input_gradient(op, inputs, outputs),
        Op::ConvolutionKernelGradient(op, _) => conv::run_kernel_gradient(op, inputs, outputs),
        Op::Reduce(op) => reduce::run(op, inputs, &mut outputs[0]),
        Op::ArgReduce(op) => scan::arg_reduce(op, inputs, &mut outputs[0]),
        Op::Cumulative(op) => scan::cumulative(op, inputs, &mut outputs[0]),
        Op::Dot(op) => dot::run(op, inputs, outputs),
        Op::Reshape(_) => layout::copy(&inputs[0], &mut outputs[0]),
        Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Flip(_) => {
            layout::copy(&view::of(op, &inputs[0], &outputs[0].dims), &mut outputs[0])
        }
        Op::Pad(op) => layout::pad(op, inputs, &mut outputs[0]),
        Op::Concat(axis) => layout::concat(*axis, inputs, &mut outputs[0]),
        Op::Take(axis) => index::take(*axis, inputs, &mut outputs[0]),
        Op::TakeAlong(axis) => index::take_along(*axis, inputs, &mut outputs[0]),
        Op::TakeAdd(_) | Op::TakeAlongAdd(_) => index::put_add(op, inputs, &mut outputs[0]),
        Op::TakeAlongSet(axis) => index::put_along(*axis, inputs, &mut outputs[0]),
        Op::Sort(op) => sort::run(op, inputs, outputs),
        Op::Iota(op) => index::iota(op, &mut outputs[0]),
        Op::Random(op) => random::run(op, inputs, &mut outputs[0]),
        Op::Window(op) => window::run(op, inputs, outputs),
        Op::WindowSumGradient(op, _) => window::run_sum_gradient(op, inputs, outputs),
        Op::WindowMaxGradient(op) => window::run_max_gradient(op, inputs, outputs),
        Op::WindowMaxSelect(op) => window::run_max_select(op, inputs, outputs),
        Op::Loop(_) | Op::Branch(_) => unreachable!("loops and branches are no kernels: they run kernels"),
        Op::Effect(effect) => effect.run(inputs, outputs),
    }
}
