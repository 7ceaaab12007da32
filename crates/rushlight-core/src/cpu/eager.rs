//! Eager execution: one op now, views without copying.

use crate::cpu::buffer::{Buffer, ViewMut};
use crate::cpu::kernels;
use crate::ops::{Op, Specs};
use crate::tensor::{Spec, Strides, Value, contiguous_strides};
use smallvec::SmallVec;

/// Runs an op whose shapes have been checked.
pub(crate) fn execute(op: &Op, inputs: &[&Value], outputs: Specs) -> SmallVec<[Value; 1]> {
    if let Some(view) = view_of(op, inputs, &outputs[0]) {
        return SmallVec::from_elem(view, 1);
    }
    let views: SmallVec<[_; 4]> = inputs.iter().map(|value| value.view()).collect();
    let mut buffers: SmallVec<[Buffer; 1]> = outputs.iter().map(|spec| Buffer::new(spec.bytes())).collect();
    let mut targets: SmallVec<[ViewMut; 1]> = buffers
        .iter_mut()
        .zip(&outputs)
        // SAFETY: each buffer was made for its output and is borrowed by this view alone.
        .map(|(buffer, spec)| unsafe { ViewMut::new(buffer.as_mut_ptr(), spec.dtype, spec.dims.clone()) })
        .collect();
    kernels::run(op, &views, &mut targets);
    drop(targets);
    buffers.into_iter().zip(outputs).map(|(buffer, spec)| Value::contiguous(buffer, spec)).collect()
}

/// The result of an op that only looks differently at the same memory.
fn view_of(op: &Op, inputs: &[&Value], output: &Spec) -> Option<Value> {
    let x = *inputs.first()?;
    let view = |offset: usize, strides: Strides| Value {
        buffer: x.buffer.clone(),
        offset,
        spec: output.clone(),
        strides,
    };
    match op {
        Op::Reshape(dims) if x.is_contiguous() => Some(view(x.offset, contiguous_strides(dims))),
        // A tensor of one repeated element stays one in any shape.
        Op::Reshape(dims)
            if x.strides.iter().zip(&x.spec.dims).all(|(&stride, &dim)| stride == 0 || dim == 1) =>
        {
            Some(view(x.offset, SmallVec::from_elem(0, dims.len())))
        }
        Op::Transpose(permutation) => {
            Some(view(x.offset, permutation.iter().map(|&axis| x.strides[axis]).collect()))
        }
        Op::Broadcast(dims) => {
            let added = dims.len() - x.spec.rank();
            let strides = (0..dims.len()).map(|axis| match axis.checked_sub(added) {
                Some(own) if x.spec.dims[own] == dims[axis] => x.strides[own],
                _ => 0,
            });
            Some(view(x.offset, strides.collect()))
        }
        Op::Slice(slice) if output.count() > 0 => {
            let start = slice.start.iter().zip(&x.strides).map(|(&start, &stride)| start as isize * stride);
            let offset = (x.offset as isize + start.sum::<isize>()) as usize;
            let strides = slice.step.iter().zip(&x.strides).map(|(&step, &stride)| step as isize * stride);
            Some(view(offset, strides.collect()))
        }
        Op::Flip(axes) if output.count() > 0 => {
            let mut strides = x.strides.clone();
            let mut offset = x.offset as isize;
            for &axis in axes {
                offset += (x.spec.dims[axis] as isize - 1) * strides[axis];
                strides[axis] = -strides[axis];
            }
            Some(view(offset as usize, strides))
        }
        _ => None,
    }
}

/// The value with its elements in row-major order: itself if they already are.
pub(crate) fn contiguous(value: &Value) -> Value {
    if value.is_contiguous() {
        return value.clone();
    }
    // Broadcasting to the same shape, done by the kernel instead of a view, is a plain copy.
    let op = Op::Broadcast(value.spec.dims.clone());
    let mut buffer = Buffer::new(value.spec.bytes());
    // SAFETY: the buffer was made for this value and is borrowed by this view alone.
    let mut target = unsafe { ViewMut::new(buffer.as_mut_ptr(), value.spec.dtype, value.spec.dims.clone()) };
    kernels::run(&op, &[value.view()], std::slice::from_mut(&mut target));
    drop(target);
    Value::contiguous(buffer, value.spec.clone())
}
