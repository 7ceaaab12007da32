//! Names of kernels in pictures, and estimates of how the time of one that computes several ops is spread over them.

use crate::cpu::steps::{Step, Work};
use crate::graph::FusedOp;
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Unary};

/// Name of a kernel as the op of a node.
pub(super) fn kernel_name(step: &Step) -> String {
    match &step.work {
        Work::LanesConvolution(..) => "conv_lanes".to_string(),
        Work::LanesInputGradient(_) | Work::LanesMaskedGradient(..) => {
            "conv_input_gradient_lanes".to_string()
        }
        Work::LanesKernelGradient(..) => "conv_kernel_gradient_lanes".to_string(),
        Work::ChannelsConvolution(..) => "conv_channels".to_string(),
        Work::LanesWindow(op, ..) => format!("{}_lanes", op.name()),
        Work::Kernel(op) => op.name().to_string(),
        Work::Product(_) | Work::RowProduct(..) => "matmul".to_string(),
        _ => step.work.name(),
    }
}

/// What a kernel that computes several ops is above all.
pub(super) fn joint_name(step: &Step) -> &'static str {
    match &step.work {
        Work::Loop(_) | Work::Scalars(_) => "loop",
        Work::Product(_) => "matmul",
        Work::LanesKernelGradient(..) => "conv_kernel_gradient",
        Work::LanesInputGradient(_) | Work::LanesMaskedGradient(..) => "conv_input_gradient",
        Work::LanesConvolution(..) | Work::ChannelsConvolution(..) => "conv",
        _ => "pooling",
    }
}

/// How long the op itself takes that a kernel computes others along with: by its products, or by the elements it reads.
pub(super) fn weight_of_kernel(step: &Step) -> f64 {
    let elements = step.inputs.first().map_or(0, |place| place.dims.iter().product::<usize>());
    (step.flops() as f64 / 2.0).max(elements as f64)
}

/// How long an op of a loop takes in comparison with others, by the elements it goes through.
pub(super) fn weight(op: &FusedOp, points: f64) -> f64 {
    match &op.op {
        // Read by strides, without work of its own.
        Op::Broadcast(_) => 0.0,
        Op::Reduce(_) => points,
        Op::Binary(Binary::Div | Binary::Pow) => 4.0 * points,
        Op::Unary(Unary::Neg | Unary::Abs | Unary::Sign | Unary::Square) => points,
        Op::Unary(_) => 4.0 * points,
        _ => points,
    }
}
