//! What a file may ask of an op, beyond the rules that every op checks itself.

use crate::graph::{Graph, ValueId};
use crate::ops::Op;
use crate::ops::control::{Branch, Loop};
use crate::tensor::{DType, Spec, close};
use serde_json::Value as Json;

/// Bytes of a value, at most.
const LARGEST_BYTES: usize = 1 << 36;

/// Sizes, strides, margins and places, at most: so small that no product of two leaves the range of numbers.
const LARGEST_NUMBER: u64 = 1 << 30;

/// Whether all numbers of a file are plain and small.
pub(super) fn check_numbers(json: &Json) -> Result<(), String> {
    match json {
        Json::Number(number) => match number.as_u64() {
            Some(number) if close(number as usize, 1) as u64 <= LARGEST_NUMBER => Ok(()),
            _ => Err(format!("{number} is no whole number up to {LARGEST_NUMBER}")),
        },
        Json::Array(items) => items.iter().try_for_each(check_numbers),
        Json::Object(fields) => fields.values().try_for_each(check_numbers),
        Json::Null | Json::Bool(_) | Json::String(_) => Ok(()),
    }
}

/// How many inputs an op takes, from and to.
fn inputs_of(op: &Op) -> (usize, usize) {
    match op {
        Op::Iota(_) => (0, 0),
        Op::Unary(_) | Op::Cast(_) | Op::Reduce(_) | Op::ArgReduce(_) | Op::Cumulative(_) => (1, 1),
        Op::Window(_) | Op::WindowSumGradient(..) | Op::Sort(_) | Op::Random(_) => (1, 1),
        Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Flip(_) => (1, 1),
        Op::Pad(_) => (1, 2),
        Op::Binary(_) | Op::Compare(_) | Op::Dot(_) | Op::Convolution(_) => (2, 2),
        Op::ConvolutionInputGradient(..) | Op::ConvolutionKernelGradient(..) => (2, 2),
        Op::WindowMaxGradient(_) | Op::WindowMaxSelect(_) | Op::Take(_) | Op::TakeAlong(_) => (2, 2),
        Op::Select | Op::TakeAdd(_) | Op::TakeAlongAdd(_) | Op::TakeAlongSet(_) => (3, 3),
        Op::Concat(_) => (1, usize::MAX),
        Op::Effect(_) => (2, 2),
        // They say themselves how many they take.
        Op::Loop(_) | Op::Branch(_) => (0, usize::MAX),
    }
}

/// Whether an op can be applied to inputs of these shapes.
pub(super) fn check_op(op: &Op, inputs: &[&Spec]) -> Result<(), String> {
    let (least, most) = inputs_of(op);
    if !(least..=most).contains(&inputs.len()) {
        return Err(format!("`{}` cannot have {} inputs", op.name(), inputs.len()));
    }
    let fits = match op {
        Op::Iota(iota) => iota.axis < iota.dims.len() && iota.dtype != DType::Bool,
        Op::TakeAlong(axis) | Op::TakeAlongAdd(axis) | Op::TakeAlongSet(axis) => {
            inputs[0].dims.get(*axis).is_some_and(|&size| size > 0) || inputs[1].count() == 0
        }
        Op::Flip(axes) => axes.windows(2).all(|pair| pair[0] < pair[1]),
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("`{}` has attributes that do not fit", op.name())) }
}

/// Whether a value is of a size that can be computed at all.
pub(super) fn check_size(spec: &Spec) -> Result<(), String> {
    let bytes =
        spec.dims.iter().try_fold(spec.dtype.size(), |bytes, &dim| bytes.checked_mul(close(dim, 1).max(1)));
    match bytes {
        Some(bytes) if bytes <= LARGEST_BYTES => Ok(()),
        _ => Err(format!("a value of {spec} is too large")),
    }
}

/// Whether the body of a loop has the inputs and results that the loop counts on.
pub(super) fn check_loop(op: &Loop) -> Result<(), String> {
    let (inputs, outputs) = (&op.body.inputs, &op.body.outputs);
    let leading = usize::from(op.has_condition());
    let fits = inputs.len() > op.carried + op.sliced
        && outputs.len() == leading + op.carried + op.stacked
        && *op.body.spec(inputs[0]) == Spec::new([], DType::I64)
        && (leading == 0 || *op.body.spec(outputs[0]) == Spec::new([], DType::Bool))
        && (op.turns.most().is_some() || op.stacked + op.sliced == 0);
    if fits {
        Ok(())
    } else {
        Err("the loop's body does not have the inputs and results that it needs".to_string())
    }
}

/// Whether all branches take and give the same.
pub(super) fn check_branch(op: &Branch) -> Result<(), String> {
    let specs =
        |graph: &Graph, ids: &[ValueId]| ids.iter().map(|&id| graph.spec(id).clone()).collect::<Vec<_>>();
    let ends = |graph: &Graph| (specs(graph, &graph.inputs), specs(graph, &graph.outputs));
    let same = op.branches.iter().all(|branch| ends(branch) == ends(&op.branches[0]));
    if same && !op.branches.is_empty() {
        Ok(())
    } else {
        Err("the branches do not take and give the same".to_string())
    }
}
