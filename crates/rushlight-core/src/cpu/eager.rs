//! Eager execution: one op now, views without copying.

use crate::cpu::buffer::{Buffer, ViewMut};
use crate::cpu::control;
use crate::cpu::kernels::{self, Dense, run_dense};
use crate::ops::{Op, Specs};
use crate::profile::{self, Described};
use crate::tensor::{DType, Dims, Spec, Value};
use smallvec::SmallVec;

/// Runs an op whose shapes have been checked.
pub(crate) fn execute(op: &Op, inputs: &[&Value], outputs: Specs) -> SmallVec<[Value; 1]> {
    let mut values = SmallVec::new();
    execute_into(op, inputs, outputs, |value| values.push(value));
    values
}

/// The same; hands each result on as soon as it is there.
#[inline]
pub(crate) fn execute_into(op: &Op, inputs: &[&Value], outputs: Specs, mut deliver: impl FnMut(Value)) {
    match op {
        Op::Loop(op) => return control::run_loop(op, inputs).into_iter().for_each(deliver),
        Op::Branch(op) => return control::run_branch(op, inputs).into_iter().for_each(deliver),
        _ => {}
    }
    if let Some(buffer) = few_elements(op, inputs, &outputs[0]) {
        let spec = outputs.into_iter().next().expect("elementwise ops have one result");
        return deliver(Value::contiguous(buffer, spec));
    }
    if let Some(view) = view_of(op, inputs, &outputs[0]) {
        return deliver(view);
    }
    let buffers = run(op, inputs, &outputs);
    buffers.into_iter().zip(outputs).for_each(|(buffer, spec)| deliver(Value::contiguous(buffer, spec)));
}

/// Runs the op's kernel.
fn run(op: &Op, inputs: &[&Value], outputs: &Specs) -> SmallVec<[Buffer; 1]> {
    let views: SmallVec<[_; 4]> = inputs.iter().map(|value| value.view()).collect();
    let mut buffers: SmallVec<[Buffer; 1]> = outputs.iter().map(|spec| Buffer::new(spec.bytes())).collect();
    let mut targets: SmallVec<[ViewMut; 1]> = buffers
        .iter_mut()
        .zip(outputs)
        // SAFETY: each buffer was made for its output and is borrowed by this view alone.
        .map(|(buffer, spec)| unsafe { ViewMut::new(buffer.as_mut_ptr(), spec.dtype, spec.dims.clone()) })
        .collect();
    if profile::is_active() {
        profile::timed(
            None,
            None,
            || describe(op, inputs, outputs),
            || kernels::run(op, &views, &mut targets),
        );
    } else {
        kernels::run(op, &views, &mut targets);
    }
    drop(targets);
    buffers
}

/// The result of an elementwise op on values of few elements that lie in order, of which one may be a single number:
/// its memory, and which input has its sizes.
///
/// Nothing if the shape rule has to say something or another way is needed: [`execute_into`] knows all.
#[inline]
pub(crate) fn at_once(op: &Op, inputs: &[&Value]) -> Option<(Buffer, DType, usize)> {
    let (first, last) = (inputs.first()?, inputs.last()?);
    let dtype = match op {
        Op::Unary(unary) if unary.accepts(first.spec.dtype) => unary.result_dtype(first.spec.dtype),
        Op::Binary(binary) if binary.accepts(first.spec.dtype) => first.spec.dtype,
        Op::Compare(_) => DType::Bool,
        _ => return None,
    };
    let is_number = |value: &Value| value.spec.rank() == 0;
    let [a_is_number, b_is_number] = [is_number(first), is_number(last)];
    let fits = first.spec.dtype == last.spec.dtype
        && (a_is_number || b_is_number || first.spec.dims == last.spec.dims)
        && first.is_contiguous()
        && last.is_contiguous();
    let wide = if a_is_number { inputs.len() - 1 } else { 0 };
    let count: usize = inputs[wide].spec.dims.iter().product();
    if !fits || count > FEW || profile::is_active() {
        return None;
    }
    let both = a_is_number && b_is_number;
    let operand = |value: &Value, is_number: bool| Dense {
        data: value.address(),
        dtype: value.spec.dtype,
        is_scalar: is_number && !both,
    };
    let operands = [operand(first, a_is_number), operand(last, b_is_number)];
    let mut buffer = Buffer::new(count * dtype.size());
    // SAFETY: each operand is one number or has as many elements as the result, for which the buffer was made.
    unsafe { run_dense(op, &operands[..inputs.len()], count, buffer.as_mut_ptr()) };
    Some((buffer, dtype, wide))
}

/// The most elements for which calling the inner loop at once beats looking for a better way.
const FEW: usize = 4096;

/// The result of an elementwise op on a few elements that lie in order or are all the same one.
fn few_elements(op: &Op, inputs: &[&Value], output: &Spec) -> Option<Buffer> {
    if !matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_)) {
        return None;
    }
    let count = output.count();
    // A profile times kernels one by one.
    if count > FEW || profile::is_active() {
        return None;
    }
    let mut operands: SmallVec<[Dense; 3]> = SmallVec::new();
    let mut any_dense = false;
    for input in inputs {
        let is_dense = input.is_contiguous();
        let is_scalar = !is_dense && input.strides.iter().all(|&stride| stride == 0);
        if !is_dense && !is_scalar {
            return None;
        }
        any_dense |= is_dense;
        operands.push(Dense { data: input.address(), dtype: input.spec.dtype, is_scalar });
    }
    // Where all operands are one element each, so is the result: that one is computed once and repeated.
    if !any_dense {
        return None;
    }
    let mut buffer = Buffer::new(output.bytes());
    // SAFETY: the shape rule has checked that each operand has as many elements as the output, for which the
    // buffer was made.
    unsafe { run_dense(op, &operands, count, buffer.as_mut_ptr()) };
    Some(buffer)
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
