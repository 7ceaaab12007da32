//! The loops that do the arithmetic.

mod axes;
#[allow(dead_code)]
pub(crate) mod conv;
#[allow(dead_code)]
pub(crate) mod dot;
mod elementwise;
#[allow(dead_code)]
pub(crate) mod gemm;
mod layout;
#[allow(dead_code)]
pub(crate) mod loops;
#[allow(dead_code)]
pub(crate) mod math;
#[cfg(test)]
#[allow(dead_code)]
mod samples;
#[cfg(test)]
mod testing;
mod view;
#[allow(dead_code)]
pub(crate) mod widen;

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
        Op::Dot(op) => dot::run(op, inputs, outputs),
        Op::Reshape(_) => layout::copy(&inputs[0], &mut outputs[0]),
        Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Flip(_) => {
            layout::copy(&view::of(op, &inputs[0], &outputs[0].dims), &mut outputs[0])
        }
        Op::Pad(op) => layout::pad(op, inputs, &mut outputs[0]),
        Op::Concat(axis) => layout::concat(*axis, inputs, &mut outputs[0]),
        _ => unreachable!("the kernel of {op:?} is on its way"),
    }
}
