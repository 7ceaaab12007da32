//! Eager execution: one op now, views without copying.

use crate::cpu::buffer::{Buffer, ViewMut};
use crate::cpu::kernels;
use crate::ops::{Op, Specs};
use crate::profile::{self, Described};
use crate::tensor::{Dims, Spec, Value};
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
    if profile::is_active() {
        profile::timed(None, || describe(op, inputs, &outputs), || kernels::run(op, &views, &mut targets));
    } else {
        kernels::run(op, &views, &mut targets);
    }
    drop(targets);
    buffers.into_iter().zip(outputs).map(|(buffer, spec)| Value::contiguous(buffer, spec)).collect()
}

fn describe(op: &Op, inputs: &[&Value], outputs: &Specs) -> Described {
    let dims: Vec<Dims> = inputs.iter().map(|value| value.spec.dims.clone()).collect();
    let results: Vec<Dims> = outputs.iter().map(|spec| spec.dims.clone()).collect();
    let bytes: usize = inputs.iter().map(|value| &value.spec).chain(outputs).map(Spec::bytes).sum();
    Described {
        kernel: op.name().to_string(),
        flops: op.flops(&dims, &results),
        bytes: bytes as u64,
        outputs: outputs.to_vec(),
    }
}

/// The result of an op that only looks differently at the same memory.
fn view_of(op: &Op, inputs: &[&Value], output: &Spec) -> Option<Value> {
    let x = *inputs.first()?;
    let (start, strides) = kernels::view::strides_of(op, &x.spec.dims, &x.strides, &output.dims)?;
    let offset = (x.offset as isize + start) as usize;
    Some(Value { buffer: x.buffer.clone(), offset, spec: output.clone(), strides })
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
