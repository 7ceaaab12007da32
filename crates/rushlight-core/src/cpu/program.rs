//! Compiled graphs, ready to run: the seam between recorded functions and the engine.

use crate::cpu::buffer::Buffer;
use crate::cpu::contiguous;
use crate::cpu::lower::{Lowered, lower};
use crate::cpu::steps::Memory;
use crate::graph::Graph;
use crate::profile;
use crate::tensor::{Inner, Result, Tensor, Value};
use crate::trace::{Variable, debug_level};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A graph made ready to run.
pub(crate) struct Program {
    name: Arc<str>,
    lowered: Lowered,
    /// Which variables are assigned.
    assigned: Vec<bool>,
    /// The temporary memory; a call holds it, so calls of one program follow each other.
    arena: Mutex<Option<Buffer>>,
}

impl Program {
    /// Chooses kernels, layouts and places in memory for a graph.
    pub(crate) fn compile(graph: Graph) -> Program {
        let mut assigned = vec![false; graph.variables.len()];
        graph.assignments.iter().for_each(|&(variable, _)| assigned[variable] = true);
        let lowered = lower(&graph);
        if debug_level() >= 2 {
            let (steps, bytes) = (lowered.steps.len(), lowered.arena_bytes);
            eprintln!("program {}: {steps} steps, {bytes} bytes of temporary memory", graph.name);
            lowered.steps.iter().for_each(|step| eprintln!("  {step}"));
        }
        Program { name: graph.name, lowered, assigned, arena: Mutex::new(None) }
    }

    /// Runs on the arguments and the current values of the variables, assigns variables, returns the results.
    ///
    /// `variables` are those of the graph, in its order: a program holds them weakly and keeps no weights alive.
    pub(crate) fn run(&self, variables: &[Variable], inputs: &[&Value]) -> Result<Vec<Value>> {
        let Lowered { steps, temporaries, arena_bytes, constants, outputs, .. } = &self.lowered;
        let mut arena = self.arena.lock().unwrap_or_else(PoisonError::into_inner);
        let arena = arena.get_or_insert_with(|| Buffer::new(*arena_bytes));
        let mut guards = lock_in_order(variables);
        let variable_pointers: Vec<*mut u8> = guards
            .iter_mut()
            .zip(&self.assigned)
            .map(|(guard, &assigned)| exclusive(guard, assigned))
            .collect();
        let inputs: Vec<Value> = inputs.iter().map(|&input| contiguous(input)).collect();
        let address = |value: &Value| value.view().data;
        let input_pointers: Vec<*const u8> = inputs.iter().map(address).collect();
        let constant_pointers: Vec<*const u8> = constants.iter().map(address).collect();
        let mut results: Vec<Buffer> = outputs.iter().map(|spec| Buffer::new(spec.bytes())).collect();
        let result_pointers: Vec<*mut u8> = results.iter_mut().map(Buffer::as_mut_ptr).collect();
        let memory = Memory {
            inputs: &input_pointers,
            variables: &variable_pointers,
            constants: &constant_pointers,
            outputs: &result_pointers,
            arena: arena.as_mut_ptr(),
            temporaries,
        };
        if profile::is_active() {
            let start = Instant::now();
            for step in steps {
                // SAFETY: as below.
                profile::timed(Some(&step.origin), || step.describe(), || unsafe { step.run(&memory) });
            }
            profile::graph_done(&self.name, start, *arena_bytes);
        } else {
            for step in steps {
                // SAFETY: arena, results and assigned variables are held exclusively; the rest is only read.
                unsafe { step.run(&memory) };
            }
        }
        let values =
            results.into_iter().zip(outputs).map(|(buffer, spec)| Value::contiguous(buffer, spec.clone()));
        Ok(values.collect())
    }

    /// Bytes planned for one call besides arguments, variables and results.
    pub(crate) fn planned_bytes(&self) -> usize {
        self.lowered.arena_bytes
    }
}

/// Locks all variables, always in the same order, so that two functions on two threads never wait for each other.
fn lock_in_order(variables: &[Variable]) -> Vec<MutexGuard<'_, Tensor>> {
    let mut order: Vec<usize> = (0..variables.len()).collect();
    order.sort_unstable_by_key(|&index| variables[index].id());
    let mut guards: Vec<_> = order.into_iter().map(|index| (index, variables[index].lock())).collect();
    guards.sort_unstable_by_key(|(index, _)| *index);
    guards.into_iter().map(|(_, guard)| guard).collect()
}

/// The memory of a variable in row-major order; not shared with any other tensor if it is to be written.
fn exclusive(variable: &mut Tensor, written: bool) -> *mut u8 {
    let Inner::Value(value) = &*variable.0 else { unreachable!("variables hold values") };
    if !value.is_contiguous() {
        *variable = Tensor::from_value(contiguous(value));
    }
    if written && exclusive_value(variable).is_none() {
        let Inner::Value(value) = &*variable.0 else { unreachable!("variables hold values") };
        let view = value.view();
        let mut copy = Buffer::new(value.spec.bytes());
        // SAFETY: a contiguous value has as many bytes as its spec says, and a new buffer cannot overlap it.
        unsafe { std::ptr::copy_nonoverlapping(view.data, copy.as_mut_ptr(), value.spec.bytes()) };
        *variable = Tensor::from_value(Value::contiguous(copy, value.spec.clone()));
    }
    let Inner::Value(value) = &*variable.0 else { unreachable!("variables hold values") };
    value.view().data.cast_mut()
}

/// The value, if no other handle or view shares its memory.
fn exclusive_value(variable: &mut Tensor) -> Option<&mut Value> {
    match Arc::get_mut(&mut variable.0)? {
        Inner::Value(value) => Arc::get_mut(&mut value.buffer).is_some().then_some(value),
        _ => None,
    }
}
