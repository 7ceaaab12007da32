//! Sorting and the largest elements.

use crate::ops::gradient::{Context, InputGradients, one};
use crate::ops::{Op, Specs};
use crate::tensor::{DType, Fault, Spec, Tensor, normalize_axis};
use crate::trace::apply::{apply, apply_all, fail};
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

/// A stable sort along an axis; NaN comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

impl Tensor {
    /// The elements along an axis in ascending order; NaN comes last.
    #[track_caller]
    pub fn sort(&self, axis: isize) -> Tensor {
        self.sorted("sort", axis, false).0
    }

    /// The elements along an axis in descending order; NaN comes last.
    #[track_caller]
    pub fn sort_descending(&self, axis: isize) -> Tensor {
        self.sorted("sort_descending", axis, true).0
    }

    /// The places along an axis, as `i32`, that the sorted elements come from; equal elements keep their order.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// assert_eq!(Tensor::from([3.0f32, 1.0, 2.0]).argsort(0).to_vec::<i32>()?, [1, 2, 0]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn argsort(&self, axis: isize) -> Tensor {
        self.sorted("argsort", axis, false).1
    }

    /// As [`Tensor::argsort`], in descending order.
    #[track_caller]
    pub fn argsort_descending(&self, axis: isize) -> Tensor {
        self.sorted("argsort_descending", axis, true).1
    }

    /// The `k` largest elements of the last axis, largest first, and their places as `i32`.
    ///
    /// # Errors
    /// Both results carry one if there is no axis, or less than `k` elements on it.
    #[track_caller]
    pub fn top_k(&self, k: usize) -> (Tensor, Tensor) {
        let Some(spec) = self.known_spec() else { return (self.clone(), self.clone()) };
        match spec.dims.last() {
            Some(&size) if k <= size => {
                let (values, indices) = self.sorted("top_k", -1, true);
                (values.slice_axis(-1, 0, k), indices.slice_axis(-1, 0, k))
            }
            _ => {
                let rule = format!("the last axis must have {k} elements at least");
                let carried = fail("top_k", Fault::shape(rule), &[self]);
                (carried.clone(), carried)
            }
        }
    }

    #[track_caller]
    fn sorted(&self, op: &str, axis: isize, descending: bool) -> (Tensor, Tensor) {
        let Some(spec) = self.known_spec() else { return (self.clone(), self.clone()) };
        let Some(axis) = normalize_axis(axis, spec.rank()) else {
            let carried = fail(op, Fault::shape(format!("there must be an axis {axis}")), &[self]);
            return (carried.clone(), carried);
        };
        let mut results = apply_all(Op::Sort(Sort { axis, descending }), &[self]);
        let indices = results.remove(1);
        (results.remove(0), indices)
    }
}

/// Each sorted value's gradient goes back to where the value came from.
#[track_caller]
pub(crate) fn gradient(sort: &Sort, context: &Context, g: &Tensor) -> InputGradients {
    let zero = context.inputs[0].zeros_like();
    one(apply(Op::TakeAlongAdd(sort.axis), &[&zero, &context.outputs[1], g]))
}
