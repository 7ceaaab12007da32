//! Matrix products.

use crate::ops::Op;
use crate::ops::gradient::{Context, InputGradients};
use crate::tensor::{Dims, Fault, Spec, Tensor};
use crate::trace::apply::apply;
use smallvec::smallvec;

/// `[batch…, m, k] · [batch…, k, n] → [batch…, m, n]`; the batch axes of both sides are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dot {
    /// The left side is stored `[batch…, k, m]`.
    pub transpose_left: bool,
    /// The right side is stored `[batch…, n, k]`.
    pub transpose_right: bool,
}

impl Dot {
    pub(crate) fn infer(&self, a: &Spec, b: &Spec) -> Result<Spec, Fault> {
        if a.dtype != b.dtype {
            return Err(Fault::dtype("both sides must have the same dtype (cast one of them)"));
        }
        if a.rank() < 2 || a.rank() != b.rank() {
            return Err(Fault::shape("both sides must have the same number of axes, two at least"));
        }
        let batch = a.rank() - 2;
        if a.dims[..batch] != b.dims[..batch] {
            return Err(Fault::shape("the leading axes of both sides must be equal"));
        }
        let matrix = |spec: &Spec, transposed: bool| {
            let (rows, columns) = (spec.dims[batch], spec.dims[batch + 1]);
            if transposed { (columns, rows) } else { (rows, columns) }
        };
        let (m, left) = matrix(a, self.transpose_left);
        let (right, n) = matrix(b, self.transpose_right);
        if left != right {
            return Err(Fault::shape(
                "the last axis of the left side must equal the second-to-last of the right",
            ));
        }
        let mut dims = Dims::from_slice(&a.dims[..batch]);
        dims.extend([m, n]);
        Ok(Spec { dims, dtype: a.dtype })
    }
}

#[track_caller]
fn dot(a: &Tensor, b: &Tensor, transpose_left: bool, transpose_right: bool) -> Tensor {
    apply(Op::Dot(Dot { transpose_left, transpose_right }), &[a, b])
}

#[track_caller]
pub(crate) fn gradient(op: &Dot, context: &Context, g: &Tensor) -> InputGradients {
    let (a, b) = (&context.inputs[0], &context.inputs[1]);
    let (ta, tb) = (op.transpose_left, op.transpose_right);
    // For y = a·b: da = g·bᵀ, db = aᵀ·g; a side stored transposed wants its gradient transposed.
    let da = || if ta { dot(b, g, tb, true) } else { dot(g, b, false, !tb) };
    let db = || if tb { dot(g, a, true, ta) } else { dot(a, g, !ta, false) };
    smallvec![context.wanted[0].then(da), context.wanted[1].then(db)]
}
