//! The one door: every primitive op, eager or recorded, goes through [`apply`].

use crate::cpu;
use crate::ops::Op;
use crate::ops::effect::take_failure;
use crate::tensor::{Error, ErrorKind, Fault, Inner, Spec, Tensor, Value, copied, is_open};
use crate::trace::node::{Call, Node};
use crate::trace::{recorder, scope, tape};
use smallvec::SmallVec;
use std::cell::Cell;
use std::panic::Location;
use std::sync::Arc;

/// The results of an op; nearly always one.
pub(crate) type Outputs = SmallVec<[Tensor; 1]>;

/// Applies a primitive with one result.
#[track_caller]
pub(crate) fn apply(op: Op, inputs: &[&Tensor]) -> Tensor {
    let mut outputs = apply_all(op, inputs);
    debug_assert_eq!(outputs.len(), 1);
    outputs.pop().expect("every op has a result")
}

/// The same for an elementwise op on one or two values, which may differ in shape if one is a single number: what is
/// common takes a shorter way. Nothing if this is not it.
#[inline]
pub(crate) fn apply_at_once(op: &Op, inputs: &[&Tensor]) -> Option<Tensor> {
    let (Inner::Value(first), Inner::Value(last)) = (&*inputs.first()?.0, &*inputs.last()?.0) else {
        return None;
    };
    if tape::is_active() {
        return None;
    }
    let values = [first, last];
    let (buffer, dtype, wide) = cpu::at_once(op, &values[..inputs.len()])?;
    APPLIED.set(APPLIED.get() + 1);
    // Made where it stays, since moving a value costs as much as adding a few numbers.
    let Value { spec: Spec { dims, .. }, strides, .. } = values[wide];
    Some(Tensor(Arc::new(Inner::Value(Value {
        buffer: Arc::new(buffer),
        offset: 0,
        spec: Spec { dims: copied(dims), dtype },
        strides: copied(strides),
    }))))
}

thread_local! {
    static APPLIED: Cell<u64> = const { Cell::new(0) };
}

/// How many primitives have been run or recorded on this thread, for tests that none was.
#[doc(hidden)]
pub fn applied_ops() -> u64 {
    APPLIED.get()
}

/// Applies a primitive: passes a carried error on, checks shapes and dtypes, then runs the kernel or records a node.
#[track_caller]
pub(crate) fn apply_all(op: Op, inputs: &[&Tensor]) -> Outputs {
    let mut symbolic = false;
    for &input in inputs {
        match &*input.0 {
            Inner::Carried(_) => return SmallVec::from_elem(input.clone(), op.output_count()),
            Inner::Symbol(_) => symbolic = true,
            Inner::Value(_) => {}
        }
    }
    let mut specs: SmallVec<[&Spec; 4]> = SmallVec::new();
    for input in inputs {
        specs.extend(input.known_spec());
    }
    let outputs = match op.infer(&specs) {
        Ok(outputs) => outputs,
        Err(fault) => {
            let error = fault_at_caller(op.name(), fault, specs.into_iter().cloned().collect());
            return SmallVec::from_elem(Tensor::carry(error), op.output_count());
        }
    };
    APPLIED.set(APPLIED.get() + 1);
    // Only a model has open axes: what is made for one belongs to it, even without a symbolic input.
    symbolic |= outputs.iter().any(|spec| spec.dims.iter().any(|&dim| is_open(dim)));
    let results: Outputs = if symbolic {
        record(Call::Op(op.clone()), inputs, outputs)
    } else {
        let mut values: SmallVec<[&Value; 4]> = SmallVec::new();
        for input in inputs {
            match &*input.0 {
                Inner::Value(value) => values.push(value),
                _ => unreachable!("neither symbols nor carried errors get here"),
            }
        }
        let mut results = Outputs::new();
        cpu::execute_into(&op, &values, outputs, |value| results.push(Tensor::from_value(value)));
        // What happens in the turns of a loop or in a branch may fail.
        if matches!(op, Op::Loop(_) | Op::Branch(_))
            && let Some(error) = take_failure()
        {
            return SmallVec::from_elem(Tensor::carry(error), op.output_count());
        }
        results
    };
    tape::observe(&op, inputs, &results);
    results
}

/// Adds a node to the recording or model that the symbolic inputs belong to.
#[track_caller]
pub(crate) fn record(call: Call, inputs: &[&Tensor], outputs: SmallVec<[Spec; 1]>) -> Outputs {
    let count = outputs.len();
    let (path, made_at) = scope::current();
    let location = made_at.unwrap_or(Location::caller());
    let mut make = |inputs, recording, index| {
        let (call, outputs, path) = (call.clone(), outputs.clone(), path.clone());
        Node { call, inputs, outputs, path, location, recording, index }
    };
    match recorder::add(&mut make, inputs) {
        Ok(node) => (0..count).map(|output| Tensor::from_symbol(&node, output)).collect(),
        Err(mut rule) => {
            let symbols = inputs.iter().filter_map(|input| input.symbol());
            if let Some(symbol) = symbols.into_iter().find(|symbol| symbol.node.is_of_ended_recording()) {
                rule += &symbol.node.origin();
            }
            let error = Error::new(ErrorKind::Recording, call.name(), rule);
            SmallVec::from_elem(Tensor::carry(error), count)
        }
    }
}

#[track_caller]
fn fault_at_caller(op: &str, fault: Fault, got: Vec<Spec>) -> Error {
    Error::with_inputs(fault.kind, op, fault.rule, got)
}

/// What a composed op returns when its arguments break a rule: the first carried error of its inputs, or a new one.
#[track_caller]
pub(crate) fn fail(op: &str, fault: Fault, inputs: &[&Tensor]) -> Tensor {
    if let Some(carrier) = inputs.iter().find(|input| input.error().is_some()) {
        return (*carrier).clone();
    }
    let got = inputs.iter().filter_map(|input| input.known_spec().cloned()).collect();
    Tensor::carry(fault_at_caller(op, fault, got))
}
