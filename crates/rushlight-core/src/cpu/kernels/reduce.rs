//! Reductions over axes.

use super::elementwise;
use super::layout::with_contiguous;
use super::loops::{fill_identity, reducer_of};
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::ops::Op;
use crate::ops::reduce::{Reduce, Reduction};
use crate::tensor::{DType, Element, contiguous_strides};
use crate::with_dtype;

/// Reduces the axes of a view in any layout.
pub(crate) fn run(op: &Reduce, inputs: &[View], output: &mut ViewMut) {
    let input = &inputs[0];
    if matches!(input.dtype, DType::F16 | DType::BF16) {
        return with_scratch::<f32, _>(input.count() + output.count(), |memory| {
            // SAFETY: the scratch has room for both and is lent to this closure alone.
            let (mut wide, mut result) = unsafe {
                (
                    ViewMut::new(memory.cast(), DType::F32, input.dims.clone()),
                    ViewMut::new(memory.add(input.count()).cast(), DType::F32, output.dims.clone()),
                )
            };
            elementwise::run(&Op::Cast(DType::F32), inputs, &mut wide);
            // SAFETY: each view is read only after it was written.
            unsafe {
                let wide =
                    View::new(wide.data, DType::F32, wide.dims.clone(), contiguous_strides(&wide.dims));
                run(op, &[wide], &mut result);
                let result =
                    View::new(result.data, DType::F32, result.dims.clone(), contiguous_strides(&result.dims));
                elementwise::run(&Op::Cast(output.dtype), &[result], output);
            }
        });
    }
    let kept = (0..input.dims.len()).filter(|axis| !op.axes.contains(axis));
    let order: Vec<usize> = kept.chain(op.axes.iter().copied()).collect();
    let count: usize = op.axes.iter().map(|&axis| input.dims[axis]).product();
    let (dims, strides) = (
        order.iter().map(|&axis| input.dims[axis]).collect(),
        order.iter().map(|&axis| input.strides[axis]).collect(),
    );
    let reducer =
        reducer_of(Isa::current(), op.kind, input.dtype).expect("the shape rule has checked the dtype");
    // SAFETY: the same elements in another order of axes.
    let ordered = unsafe { View::new(input.data, input.dtype, dims, strides) };
    with_contiguous(&ordered, |ordered| {
        with_dtype!(reducer.folded, A => with_dtype!(output.dtype, T => {
            for (i, out) in output.slice::<T>().iter_mut().enumerate() {
                let mut total = A::default();
                let place = (&raw mut total).cast::<u8>();
                // SAFETY: one accumulator, and `count` elements that begin at the i-th run.
                unsafe {
                    fill_identity(op.kind, reducer.folded, place, 1);
                    let run = ordered.data.add(i * count * input.dtype.size());
                    (reducer.fold)(count, place, run, std::ptr::null(), std::ptr::null());
                }
                *out = if op.kind == Reduction::Mean {
                    T::from_f64(total.to_f64() / count as f64)
                } else if reducer.folded.is_float() {
                    T::from_f64(total.to_f64())
                } else {
                    T::from_i64(total.to_i64())
                };
            }
        }));
    });
}
