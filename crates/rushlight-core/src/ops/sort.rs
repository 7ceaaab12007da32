//! Sorting and the largest elements.

use crate::ops::gradient::{Context, InputGradients, one};
use crate::ops::{Op, Specs};
use crate::tensor::{DType, Fault, Spec, Tensor};
use crate::trace::apply::apply;
use smallvec::smallvec;

/// A stable sort along an axis; NaN comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    pub axis: usize,
    pub descending: bool,
}

impl Sort {
    pub(crate) fn infer(&self, x: &Spec) -> Result<Specs, Fault> {
        if self.axis >= x.rank() {
            return Err(Fault::shape(format!("there must be an axis {}", self.axis)));
        }
        Ok(smallvec![x.clone(), Spec { dims: x.dims.clone(), dtype: DType::I32 }])
    }
}

/// Each sorted value's gradient goes back to where the value came from.
#[track_caller]
pub(crate) fn gradient(sort: &Sort, context: &Context, g: &Tensor) -> InputGradients {
    let zero = context.inputs[0].zeros_like();
    one(apply(Op::TakeAlongAdd(sort.axis), &[&zero, &context.outputs[1], g]))
}
