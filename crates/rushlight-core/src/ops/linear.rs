//! Matrix products.

use crate::ops::Op;
use crate::ops::gradient::{Context, InputGradients};
use crate::tensor::{Axes, DType, Dims, Fault, Spec, Tensor, broadcast_dims, element_count, normalize_axis};
use crate::trace::apply::{apply, fail};
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

/// `[batch…, m, k] · [batch…, k, n] → [batch…, m, n]`; the batch axes of both sides are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dot {
    /// The left side is stored `[batch…, k, m]`.
    pub transpose_left: bool,
    /// The right side is stored `[batch…, n, k]`.
    pub transpose_right: bool,
}

impl Dot {
    pub(crate) fn infer(&self, a: &Spec, b: &Spec) -> Result<Spec, Fault> {
        same_dtype(a, b)?;
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
            return Err(inner_axes_differ());
        }
        let mut dims = Dims::from_slice(&a.dims[..batch]);
        dims.extend([m, n]);
        Ok(Spec { dims, dtype: a.dtype })
    }
}

impl Tensor {
    /// The matrix product `Σₖ a[…, i, k] · b[…, k, j]`, by NumPy's rules.
    ///
    /// Both sides have one dtype and at least one axis.
    ///
    /// # Shapes
    /// - matrices: `[m, k] · [k, n] → [m, n]`;
    /// - vectors: `[k] · [k] → []`, `[k] · [k, n] → [n]`, `[m, k] · [k] → [m]`;
    /// - batches: the leading axes broadcast, `[5, 1, m, k] · [3, k, n] → [5, 3, m, n]`.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// let (a, b) = (Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]), Tensor::from([10.0f32, 1.0]));
    /// assert_eq!(a.matmul(&b).to_vec::<f32>()?, [12.0, 34.0]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let (Some(a), Some(b)) = (self.known_spec(), other.known_spec()) else {
            return if self.error().is_some() { self.clone() } else { other.clone() };
        };
        if let Err(fault) = check_matmul(a, b) {
            return fail("matmul", fault, &[self, other]);
        }
        // A vector is a matrix of one row (left) or one column (right), whose axis the result does not have.
        let left = if a.rank() == 1 { self.expand_dims(0) } else { self.clone() };
        let right = if b.rank() == 1 { other.expand_dims(-1) } else { other.clone() };
        let product = left.matmul_of_matrices(&right);
        match (a.rank(), b.rank()) {
            (1, 1) => product.reshape_to(&[]),
            (1, _) => product.squeeze(-2),
            (_, 1) => product.squeeze(-1),
            _ => product,
        }
    }

    #[track_caller]
    fn matmul_of_matrices(&self, other: &Tensor) -> Tensor {
        let (Some(a), Some(b)) = (self.known_spec(), other.known_spec()) else { return self.clone() };
        let (rows, inner, columns) = (a.dims[a.rank() - 2], a.dims[a.rank() - 1], b.dims[b.rank() - 1]);
        let (left_batch, right_batch) = (&a.dims[..a.rank() - 2], &b.dims[..b.rank() - 2]);
        if right_batch.is_empty() && !left_batch.is_empty() {
            // One large product instead of many with the same weights.
            let flat = [element_count(&a.dims[..a.rank() - 1]), inner];
            let mut dims = Dims::from_slice(left_batch);
            dims.extend([rows, columns]);
            return dot(&self.reshape_to(&flat), other, false, false).reshape_to(&dims);
        }
        let batch = broadcast_dims(left_batch, right_batch).unwrap_or_default();
        let with_batch = |rows: usize, columns: usize| {
            let mut dims = batch.clone();
            dims.extend([rows, columns]);
            dims
        };
        let left = self.broadcast_to(&with_batch(rows, inner));
        let right = other.broadcast_to(&with_batch(inner, columns));
        dot(&left, &right, false, false)
    }

    /// NumPy's `dot`: the sum of products over the last axis of the left side and the second-to-last (or only)
    /// axis of the right; a scalar side multiplies.
    ///
    /// # Shapes
    /// `[a…, k] · [b…, k, n] → [a…, b…, n]`: batch axes are not matched up as in [`Tensor::matmul`].
    #[track_caller]
    pub fn dot(&self, other: &Tensor) -> Tensor {
        let (Some(a), Some(b)) = (self.known_spec(), other.known_spec()) else {
            return if self.error().is_some() { self.clone() } else { other.clone() };
        };
        if a.rank() == 0 || b.rank() == 0 {
            return self * other;
        }
        let axis = b.rank().saturating_sub(2);
        if a.dims[a.rank() - 1] != b.dims[axis] || a.dtype != b.dtype {
            return fail("dot", same_dtype(a, b).err().unwrap_or_else(inner_axes_differ), &[self, other]);
        }
        self.tensordot(other, &[-1], &[axis as isize])
    }

    /// The sum of products over pairs of axes: `axes[i]` of this tensor runs along with `other_axes[i]`.
    ///
    /// The result has the remaining axes of this tensor, then those of the other.
    ///
    /// ```
    /// use rushlight_core::{DType, Tensor};
    /// let (a, b) = (Tensor::ones([2, 3, 4], DType::F32), Tensor::ones([4, 3, 5], DType::F32));
    /// assert_eq!(a.tensordot(&b, &[1, 2], &[1, 0]).shape()?, [2, 5]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn tensordot(&self, other: &Tensor, axes: &[isize], other_axes: &[isize]) -> Tensor {
        let (Some(a), Some(b)) = (self.known_spec(), other.known_spec()) else {
            return if self.error().is_some() { self.clone() } else { other.clone() };
        };
        let contracted = match check_tensordot(a, b, axes, other_axes) {
            Ok(contracted) => contracted,
            Err(fault) => return fail("tensordot", fault, &[self, other]),
        };
        let (left, right) = contracted;
        let free =
            |rank: usize, taken: &Axes| (0..rank).filter(|axis| !taken.contains(axis)).collect::<Axes>();
        let (left_free, right_free) = (free(a.rank(), &left), free(b.rank(), &right));
        let sizes = |spec: &Spec, axes: &Axes| axes.iter().map(|&axis| spec.dims[axis]).collect::<Dims>();
        let (rows, columns) = (sizes(a, &left_free), sizes(b, &right_free));
        let inner = element_count(&sizes(a, &left));
        let dims: Dims = rows.iter().chain(&columns).copied().collect();
        let left = self.permuted(left_free.into_iter().chain(left).collect());
        let right = other.permuted(right.into_iter().chain(right_free).collect());
        let left = left.reshape_to(&[element_count(&rows), inner]);
        let right = right.reshape_to(&[inner, element_count(&columns)]);
        dot(&left, &right, false, false).reshape_to(&dims)
    }
}

fn inner_axes_differ() -> Fault {
    Fault::shape("the last axis of the left side must equal the second-to-last of the right")
}

fn same_dtype(a: &Spec, b: &Spec) -> Result<(), Fault> {
    if a.dtype != b.dtype {
        return Err(Fault::dtype("both sides must have the same dtype (cast one of them)"));
    }
    if a.dtype == DType::Bool {
        return Err(Fault::dtype("both sides must be numbers, not bool (cast them first)"));
    }
    Ok(())
}

fn check_matmul(a: &Spec, b: &Spec) -> Result<(), Fault> {
    same_dtype(a, b)?;
    if a.rank() == 0 || b.rank() == 0 {
        return Err(Fault::shape("both sides must have one axis at least (multiply by a scalar with `*`)"));
    }
    let outer = |spec: &Spec| Dims::from_slice(&spec.dims[..spec.rank().saturating_sub(2)]);
    if a.dims[a.rank() - 1] != b.dims[b.rank().saturating_sub(2)] {
        return Err(match b.rank() {
            1 => Fault::shape("the last axis of the left side must equal the only one of the right"),
            _ => inner_axes_differ(),
        });
    }
    if broadcast_dims(&outer(a), &outer(b)).is_none() {
        return Err(Fault::shape("the axes before the last two must be equal or broadcast to each other"));
    }
    Ok(())
}

fn check_tensordot(a: &Spec, b: &Spec, axes: &[isize], other_axes: &[isize]) -> Result<(Axes, Axes), Fault> {
    same_dtype(a, b)?;
    let rule = || Fault::shape(format!("axes {axes:?} of the left side must exist and be named once"));
    let left = distinct_axes(axes, a.rank()).ok_or_else(rule)?;
    let rule = || Fault::shape(format!("axes {other_axes:?} of the right side must exist and be named once"));
    let right = distinct_axes(other_axes, b.rank()).ok_or_else(rule)?;
    let sizes_agree = left.iter().zip(&right).all(|(&i, &j)| a.dims[i] == b.dims[j]);
    if left.len() != right.len() || !sizes_agree {
        let rule =
            format!("axes {axes:?} of the left side must have the sizes of axes {other_axes:?} of the right");
        return Err(Fault::shape(rule));
    }
    Ok((left, right))
}

/// The axes in the given order, counted from the front; nothing if one does not exist or is named twice.
fn distinct_axes(axes: &[isize], rank: usize) -> Option<Axes> {
    let found: Axes = axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Option<_>>()?;
    let distinct = (0..found.len()).all(|i| !found[..i].contains(&found[i]));
    distinct.then_some(found)
}

/// The product of two stacks of matrices, either stored transposed.
#[track_caller]
pub(crate) fn dot(a: &Tensor, b: &Tensor, transpose_left: bool, transpose_right: bool) -> Tensor {
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
