//! The loops that do the arithmetic.

#[allow(dead_code)]
pub(crate) mod conv;
#[allow(dead_code)]
pub(crate) mod dot;
#[allow(dead_code)]
pub(crate) mod gemm;
#[allow(dead_code)]
pub(crate) mod loops;
#[allow(dead_code)]
pub(crate) mod math;
#[cfg(test)]
#[allow(dead_code)]
mod samples;
#[cfg(test)]
mod testing;
#[allow(dead_code)]
pub(crate) mod widen;

use crate::cpu::buffer::{View, ViewMut};
use crate::ops::Op;

/// Runs an op whose shapes and dtypes have been checked.
pub(crate) fn run(op: &Op, inputs: &[View], outputs: &mut [ViewMut]) {
    match op {
        Op::Convolution(op) => conv::run(op, inputs, outputs),
        Op::ConvolutionInputGradient(op, _) => conv::run_input_gradient(op, inputs, outputs),
        Op::ConvolutionKernelGradient(op, _) => conv::run_kernel_gradient(op, inputs, outputs),
        Op::Dot(op) => dot::run(op, inputs, outputs),
        _ => unreachable!("the kernel of {op:?} is on its way"),
    }
}
