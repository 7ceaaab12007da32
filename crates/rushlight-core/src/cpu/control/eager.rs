//! Loops and branches on values, node by node: what compiled ones are held against.

use crate::cpu::buffer::Buffer;
use crate::cpu::contiguous;
use crate::graph::evaluate;
use crate::ops::control::{Branch, Loop, Turns};
use crate::ops::effect::has_failed;
use crate::tensor::{DType, Spec, Value, contiguous_strides};
use smallvec::SmallVec;

/// The results of the branch that the first input numbers.
pub(crate) fn run_branch(op: &Branch, inputs: &[&Value]) -> SmallVec<[Value; 1]> {
    let number = contiguous(inputs[0]).view().slice::<i64>()[0];
    let branch = &op.branches[number.clamp(0, op.branches.len() as i64 - 1) as usize];
    let used: Vec<Value> = inputs[1..].iter().map(|&input| input.clone()).collect();
    evaluate(branch, &used, &[]).0.into()
}

/// The results of a loop.
pub(crate) fn run_loop(op: &Loop, inputs: &[&Value]) -> SmallVec<[Value; 1]> {
    let (leading, given) = inputs.split_at(op.leading());
    let (carried, given) = given.split_at(op.carried);
    let (sliced, captured) = given.split_at(op.sliced);
    let mut carried: Vec<Value> = carried.iter().map(|&value| value.clone()).collect();
    let most = match op.turns {
        Turns::Fixed(count) => Some(count),
        Turns::Counted(most) => {
            let count = contiguous(leading[0]).view().slice::<i64>()[0];
            Some((count.max(0) as usize).min(most))
        }
        Turns::While(most) => most,
    };
    let mut holds = !op.has_condition() || holds(leading[0]);
    let mut stacks: Vec<Vec<(usize, Value)>> = vec![Vec::new(); op.stacked];
    let mut turn = 0;
    while holds && most.is_none_or(|most| turn < most) && !has_failed() {
        let row = match (op.reverse, most) {
            (true, Some(most)) => most - 1 - turn,
            _ => turn,
        };
        let mut body_inputs = vec![Value::scalar(row as f64, DType::I64)];
        body_inputs.append(&mut carried);
        body_inputs.extend(sliced.iter().map(|stack| row_of(stack, row)));
        body_inputs.extend(captured.iter().map(|&value| value.clone()));
        let mut results = evaluate(&op.body, &body_inputs, &[]).0.into_iter();
        if op.has_condition() {
            holds = self::holds(&results.next().expect("the condition comes first"));
        }
        carried.extend(results.by_ref().take(op.carried));
        for (stack, result) in stacks.iter_mut().zip(results) {
            stack.push((row, contiguous(&result)));
        }
        turn += 1;
    }
    let mut outputs: SmallVec<[Value; 1]> = carried.into();
    let rows = &op.body.outputs[usize::from(op.has_condition()) + op.carried..];
    for (stack, &row) in stacks.iter().zip(rows) {
        outputs.push(stacked(stack, op.stacked_spec(op.body.spec(row))));
    }
    if op.has_condition() {
        outputs.push(Value::scalar(turn as f64, DType::I64));
    }
    outputs
}

fn holds(condition: &Value) -> bool {
    contiguous(condition).view().slice::<bool>()[0]
}

/// A row of a stack, in its memory.
fn row_of(stack: &Value, row: usize) -> Value {
    let offset = (stack.offset as isize + row as isize * stack.strides[0]) as usize;
    let spec = Spec::new(&stack.spec.dims[1..], stack.spec.dtype);
    Value { buffer: stack.buffer.clone(), offset, spec, strides: stack.strides[1..].into() }
}

/// Rows in one memory; zeros where there is none.
fn stacked(rows: &[(usize, Value)], spec: Spec) -> Value {
    let mut buffer = Buffer::new(spec.bytes());
    // SAFETY: the buffer has room for a stack of this spec; rows lie inside and cannot overlap a new buffer.
    unsafe {
        std::ptr::write_bytes(buffer.as_mut_ptr(), 0, spec.bytes());
        for (row, value) in rows {
            let bytes = value.spec.bytes();
            std::ptr::copy_nonoverlapping(value.view().data, buffer.as_mut_ptr().add(row * bytes), bytes);
        }
    }
    let strides = contiguous_strides(&spec.dims);
    Value { buffer: buffer.into(), offset: 0, spec, strides }
}
