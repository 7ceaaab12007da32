//! Taking and putting elements by index.

use crate::ops::Op;
use crate::ops::elementwise::where_;
use crate::ops::gradient::{Context, InputGradients, none};
use crate::tensor::{DType, Dims, Fault, Spec, Tensor};
use crate::trace::apply::apply;
use smallvec::smallvec;

/// Each element is its own index along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    pub dims: Dims,
    pub axis: usize,
    pub dtype: DType,
}

fn check_indices(axis: usize, x: &Spec, indices: &Spec) -> Result<(), Fault> {
    if axis >= x.rank() {
        return Err(Fault::shape(format!("there must be an axis {axis}")));
    }
    if !matches!(indices.dtype, DType::I32 | DType::I64) {
        return Err(Fault::dtype("the indices (second) must be i32 or i64"));
    }
    Ok(())
}

pub(crate) fn infer_take(axis: usize, x: &Spec, indices: &Spec) -> Result<Spec, Fault> {
    check_indices(axis, x, indices)?;
    if x.dims[axis] == 0 && indices.count() > 0 {
        return Err(Fault::shape(format!("axis {axis} must not be empty")));
    }
    let dims = x.dims[..axis].iter().chain(&indices.dims).chain(&x.dims[axis + 1..]);
    Ok(Spec { dims: dims.copied().collect(), dtype: x.dtype })
}

pub(crate) fn infer_take_add(axis: usize, x: &Spec, indices: &Spec, updates: &Spec) -> Result<Spec, Fault> {
    match infer_take(axis, x, indices)? == *updates {
        true => Ok(x.clone()),
        false => Err(Fault::shape("the updates (third) must be shaped like what take reads")),
    }
}

pub(crate) fn infer_take_along(axis: usize, x: &Spec, indices: &Spec) -> Result<Spec, Fault> {
    check_indices(axis, x, indices)?;
    let fits = x.rank() == indices.rank() && (0..x.rank()).all(|i| i == axis || x.dims[i] == indices.dims[i]);
    if !fits {
        return Err(Fault::shape(format!("values and indices must agree on all axes but axis {axis}")));
    }
    Ok(Spec { dims: indices.dims.clone(), dtype: x.dtype })
}

pub(crate) fn infer_take_along_put(
    axis: usize,
    x: &Spec,
    indices: &Spec,
    updates: &Spec,
) -> Result<Spec, Fault> {
    match infer_take_along(axis, x, indices)? == *updates {
        true => Ok(x.clone()),
        false => Err(Fault::shape("the updates (third) must have the shape of the indices")),
    }
}

// Taking and adding back are each other's transposes, so their gradients are each other.

#[track_caller]
pub(crate) fn gradient_take(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    let zero = context.inputs[0].zeros_like();
    smallvec![Some(apply(Op::TakeAdd(axis), &[&zero, &context.inputs[1], g])), None]
}

#[track_caller]
pub(crate) fn gradient_take_add(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    smallvec![Some(g.clone()), None, Some(apply(Op::Take(axis), &[g, &context.inputs[1]]))]
}

#[track_caller]
pub(crate) fn gradient_take_along(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    let zero = context.inputs[0].zeros_like();
    smallvec![Some(apply(Op::TakeAlongAdd(axis), &[&zero, &context.inputs[1], g])), None]
}

#[track_caller]
pub(crate) fn gradient_take_along_add(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    smallvec![Some(g.clone()), None, Some(apply(Op::TakeAlong(axis), &[g, &context.inputs[1]]))]
}

/// What was overwritten has no influence; of several updates of one place only the one that stayed has.
#[track_caller]
pub(crate) fn gradient_take_along_set(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    let (indices, updates) = (&context.inputs[1], &context.inputs[2]);
    let put = |operand: &Tensor, values: &Tensor| apply(Op::TakeAlongSet(axis), &[operand, indices, values]);
    let take = |tensor: &Tensor| apply(Op::TakeAlong(axis), &[tensor, indices]);
    let Some(spec) = updates.known_spec() else { return none(3) };
    // Each update writes its own number; those that read their number back are the ones that stayed.
    let number = apply(Op::Iota(Iota { dims: spec.dims.clone(), axis, dtype: DType::I32 }), &[]);
    let ground = Tensor::full(&dims_of(&context.inputs[0]), -1.0, DType::I32);
    let stayed = take(&put(&ground, &number)).equal(&number);
    let zero = updates.zeros_like();
    smallvec![
        context.wanted[0].then(|| put(g, &zero)),
        None,
        context.wanted[2].then(|| where_(&stayed, &take(g), &zero)),
    ]
}

fn dims_of(tensor: &Tensor) -> Dims {
    tensor.known_spec().map(|spec| spec.dims.clone()).unwrap_or_default()
}
