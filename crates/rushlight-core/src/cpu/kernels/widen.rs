//! Copies of views for kernels that want their input dense or, for 16-bit floats, in `f32`; and results rounded back.

use crate::cpu::buffer::{View, ViewMut};
use crate::tensor::{DType, Element};
use half::{bf16, f16};
use std::borrow::Cow;

/// A contiguous copy of a view of `f16` or `bf16` as `f32`.
pub(crate) fn widen(view: &View) -> Vec<f32> {
    match view.dtype {
        DType::F16 => gather::<f16, f32>(view),
        DType::BF16 => gather::<bf16, f32>(view),
        other => unreachable!("widening {other}"),
    }
}

/// Rounds results in `f32` to the dtype of the output.
pub(crate) fn narrow(values: &[f32], output: &mut ViewMut) {
    match output.dtype {
        DType::F16 => round(values, output.slice::<f16>()),
        DType::BF16 => round(values, output.slice::<bf16>()),
        other => unreachable!("narrowing to {other}"),
    }
}

/// The elements of a view in row-major order.
fn to_vec<T: Element>(view: &View) -> Vec<T> {
    gather::<T, T>(view)
}

/// The elements of a view in row-major order, copied only if they are stored otherwise.
pub(crate) fn dense<'a, T: Element>(view: &View<'a>) -> Cow<'a, [T]> {
    if view.is_contiguous() { Cow::Borrowed(view.slice()) } else { Cow::Owned(to_vec(view)) }
}

/// The elements of a view in row-major order, converted.
fn gather<T: Element + Into<R>, R>(view: &View) -> Vec<R> {
    let mut values = Vec::with_capacity(view.count());
    each_row(&view.dims, &view.strides, |offset, count, stride| {
        let row = view.pointer::<T>().wrapping_offset(offset);
        // SAFETY: `each_row` visits the elements of the view only.
        values.extend((0..count).map(|i| unsafe { *row.offset(i as isize * stride) }.into()));
    });
    values
}

fn round<T: Element>(values: &[f32], output: &mut [T]) {
    for (to, &from) in output.iter_mut().zip(values) {
        *to = T::from_f64(from as f64);
    }
}

/// Calls `visit(offset, count, stride)` for each row along the last axis, in row-major order.
pub(crate) fn each_row(dims: &[usize], strides: &[isize], mut visit: impl FnMut(isize, usize, isize)) {
    let Some((&count, outer)) = dims.split_last() else { return visit(0, 1, 0) };
    let stride = strides[outer.len()];
    for row in 0..outer.iter().product() {
        visit(offset_of(row, outer, strides), count, stride);
    }
}

/// Where the element with that row-major number lies.
pub(crate) fn offset_of(mut number: usize, dims: &[usize], strides: &[isize]) -> isize {
    let mut offset = 0;
    for (&dim, &stride) in dims.iter().zip(strides).rev() {
        offset += (number % dim) as isize * stride;
        number /= dim;
    }
    offset
}
