//! Compiled graphs, ready to run: the seam between recorded functions and the engine.

use crate::cpu::buffer::{ALIGNMENT, Buffer};
use crate::cpu::contiguous;
use crate::cpu::fit::{PlannedMemory, fit};
use crate::cpu::lower::place::Storage;
use crate::cpu::lower::{Lowered, Source, lower};
use crate::cpu::steps::Memory;
use crate::graph::{Graph, ValueId};
use crate::ops::effect::{in_callback, take_failure};
use crate::profile::{self, KernelPlace, Plan};
use crate::tensor::{Error, ErrorKind, Inner, Result, Tensor, Value};
use crate::trace::{Variable, debug_level};
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A graph made ready to run.
pub(crate) struct Program {
    name: Arc<str>,
    lowered: Arc<Lowered>,
    /// For those who want to see what runs.
    plan: Arc<Plan>,
    /// Which variables are assigned.
    assigned: Vec<bool>,
    /// The numbers of the variables in the order in which they are locked: always the same for the same variables,
    /// so that two functions on two threads never wait for each other.
    lock_order: Vec<usize>,
    /// Whether steps have effects, which may fail.
    has_effects: bool,
    /// Where in this order the variables come that kept results depend on.
    kept_from: Vec<usize>,
    /// Which arguments the steps read.
    read: Vec<bool>,
    constants: Addresses,
    /// The temporary memory; a call holds it, so calls of one program follow each other.
    arena: Mutex<Option<Arena>>,
}

/// Temporary memory, and what it keeps from call to call.
struct Arena {
    memory: Buffer,
    /// The variables' memory from which the kept results were computed; nothing if there are none yet. It is known
    /// weakly: nobody can write there in place, nor can it come back as something else.
    kept_from: Option<Vec<(Weak<Buffer>, *const u8)>>,
    /// How often kept results were of use, and how often not.
    used: u32,
    outdated: u32,
}

// SAFETY: the addresses are compared only.
unsafe impl Send for Arena {}

impl Arena {
    fn new(bytes: usize) -> Arena {
        Arena { memory: Buffer::new(bytes), kept_from: None, used: 0, outdated: 0 }
    }

    /// Whether the kept results are those of these values; notes the values if not.
    ///
    /// Where variables change from call to call, keeping is given up: a variable that is known weakly is copied when a
    /// function assigns it.
    fn is_up_to_date(&mut self, values: &[&Value]) -> bool {
        let same = |(known, value): (&(Weak<Buffer>, *const u8), &&Value)| {
            std::ptr::eq(known.0.as_ptr(), Arc::as_ptr(&value.buffer)) && known.1 == value.address()
        };
        match &self.kept_from {
            Some(known) if known.iter().zip(values).all(same) => {
                self.used += 1;
                return true;
            }
            Some(_) => self.outdated += 1,
            None => {}
        }
        let worthwhile = self.outdated <= 2 + self.used;
        self.kept_from = worthwhile
            .then(|| values.iter().map(|value| (Arc::downgrade(&value.buffer), value.address())).collect());
        false
    }
}

/// Where the constants of a program are, which hold their memory as long as it exists.
struct Addresses(Vec<*const u8>);

// SAFETY: the memory is that of constants, which are only read.
unsafe impl Send for Addresses {}
// SAFETY: as above.
unsafe impl Sync for Addresses {}

/// Is shown values of the graph.
type Watch<'a> = &'a mut dyn FnMut(ValueId, Value);

/// The results of a call; nearly always few.
pub(crate) type Results = SmallVec<[Value; 2]>;

impl Program {
    /// Chooses kernels, layouts and places in memory for a graph that passes made of the recorded one.
    pub(crate) fn compile(recorded: Arc<Graph>, graph: Graph) -> Program {
        let lowered = lower(&graph);
        Program::of(recorded, graph, lowered)
    }

    /// The same within a budget of memory in bytes, if there is one: it may compute values more than once.
    pub(crate) fn compile_within(
        recorded: Arc<Graph>,
        graph: Graph,
        budget: Option<usize>,
    ) -> Result<Program> {
        let Some(budget) = budget else { return Ok(Program::compile(recorded, graph)) };
        let (graph, lowered) = fit(graph, budget)?;
        Ok(Program::of(recorded, graph, lowered))
    }

    fn of(recorded: Arc<Graph>, graph: Graph, lowered: Lowered) -> Program {
        let mut assigned = vec![false; graph.variables.len()];
        graph.assignments.iter().for_each(|&(variable, _)| assigned[variable] = true);
        let mut lock_order: Vec<usize> = (0..graph.variables.len()).collect();
        lock_order.sort_by_key(|&index| graph.variables[index].id());
        let lowered = Arc::new(lowered);
        let place = |number: &usize| lock_order.iter().position(|index| index == number);
        let kept_from = lowered.kept.variables.iter().filter_map(place).collect();
        if debug_level() >= 2 {
            let (steps, bytes) = (lowered.steps.len(), lowered.arena_bytes);
            eprintln!("program {}: {steps} steps, {bytes} bytes of temporary memory", graph.name);
            lowered.steps.iter().for_each(|step| eprintln!("  {step}"));
        }
        let constants = Addresses(lowered.constants.iter().map(Value::address).collect());
        let reads = |input| lowered.steps.iter().flat_map(|step| &step.inputs).any(|p| p.storage == input);
        let read = (0..graph.inputs.len()).map(|number| reads(Storage::Input(number))).collect();
        let (has_effects, name) = (graph.has_effects(), graph.name.clone());
        let plan = Arc::new(Plan { recorded, compiled: graph, lowered: lowered.clone() });
        Program {
            name,
            lowered,
            plan,
            assigned,
            lock_order,
            has_effects,
            kept_from,
            read,
            constants,
            arena: Mutex::new(None),
        }
    }

    /// Runs on the arguments and the current values of the variables, assigns variables, returns the results.
    ///
    /// `variables` are those of the graph, in its order: a program holds them weakly and keeps no weights alive.
    pub(crate) fn run(&self, variables: &[Variable], inputs: &[&Value]) -> Result<Results> {
        self.run_with(variables, inputs, None)
    }

    /// The same, showing the values of a graph that keeps its history as they are computed.
    pub(crate) fn run_watched(
        &self,
        variables: &[Variable],
        inputs: &[&Value],
        watch: Watch,
    ) -> Result<Results> {
        self.run_with(variables, inputs, Some(watch))
    }

    fn run_with(
        &self,
        variables: &[Variable],
        inputs: &[&Value],
        mut watch: Option<Watch>,
    ) -> Result<Results> {
        let Lowered { steps, temporaries, arena_bytes, outputs, results, kept, .. } = &*self.lowered;
        let mut arena = match *arena_bytes > 0 {
            true if in_callback() => Some(self.arena.try_lock().map_err(|_| self.is_running())?),
            true => Some(self.arena.lock().unwrap_or_else(PoisonError::into_inner)),
            false => None,
        };
        let mut arena = arena.as_mut().map(|arena| arena.get_or_insert_with(|| Arena::new(*arena_bytes)));
        let mut guards: SmallVec<[MutexGuard<Tensor>; 8]> = SmallVec::with_capacity(variables.len());
        let mut variable_addresses: SmallVec<[*mut u8; 8]> =
            SmallVec::from_elem(std::ptr::null_mut(), variables.len());
        for &index in &self.lock_order {
            let mut guard = variables[index].lock_unless_in_use()?;
            variable_addresses[index] = exclusive(&mut guard, self.assigned[index]);
            guards.push(guard);
        }
        let steps = match &mut arena {
            Some(arena) if kept.steps > 0 => {
                let values: Vec<&Value> =
                    self.kept_from.iter().filter_map(|&place| value_of(&guards[place])).collect();
                if arena.is_up_to_date(&values) { &steps[kept.steps..] } else { &steps[..] }
            }
            _ => &steps[..],
        };
        // Only what does not lie in order is copied.
        let mut copies: SmallVec<[Value; 2]> = SmallVec::new();
        let mut input_addresses: SmallVec<[*const u8; 8]> = SmallVec::with_capacity(inputs.len());
        for (input, &read) in inputs.iter().zip(&self.read) {
            if !read || input.is_contiguous() {
                input_addresses.push(input.address());
            } else {
                let copy = contiguous(input);
                input_addresses.push(copy.address());
                copies.push(copy);
            }
        }
        let mut buffers: SmallVec<[Option<Buffer>; 2]> = SmallVec::with_capacity(outputs.len());
        let mut output_addresses: SmallVec<[*mut u8; 4]> = SmallVec::with_capacity(outputs.len());
        for (spec, source) in outputs.iter().zip(results) {
            let mut buffer = (*source == Source::Computed).then(|| Buffer::new(spec.bytes()));
            output_addresses.push(buffer.as_mut().map_or(std::ptr::null_mut(), Buffer::as_mut_ptr));
            buffers.push(buffer);
        }
        let memory = Memory {
            inputs: &input_addresses,
            variables: &variable_addresses,
            constants: &self.constants.0,
            outputs: &output_addresses,
            // Without any temporary element the address is never read from, but kernels want it aligned.
            arena: arena
                .map_or(std::ptr::without_provenance_mut(ALIGNMENT), |arena| arena.memory.as_mut_ptr()),
            temporaries,
        };
        if profile::is_active() {
            let call = profile::graph_begun(&self.name, &self.plan, *arena_bytes);
            let first = self.lowered.steps.len() - steps.len();
            for (number, step) in (first..).zip(steps) {
                let place = call.map(|call| KernelPlace { call, step: number });
                // SAFETY: as below.
                profile::timed(
                    Some(&step.origin),
                    place,
                    || step.describe(),
                    || unsafe { step.run(&memory) },
                );
                if self.has_effects
                    && let Some(error) = take_failure()
                {
                    profile::graph_done(call);
                    return Err(error);
                }
            }
            profile::graph_done(call);
        } else {
            let mut watched = self.lowered.watched.iter().peekable();
            for (index, step) in steps.iter().enumerate() {
                // SAFETY: arena, results and assigned variables are held exclusively; the rest is only read.
                unsafe { step.run(&memory) };
                if let Some(watch) = &mut watch {
                    while let Some((_, id, place)) = watched.next_if(|(after, ..)| *after == index + 1) {
                        // SAFETY: the step has written it, and no other runs now.
                        watch(*id, unsafe { memory.read(place) });
                    }
                }
                if self.has_effects
                    && let Some(error) = take_failure()
                {
                    return Err(error);
                }
            }
        }
        let mut values = Results::with_capacity(outputs.len());
        for ((spec, source), buffer) in outputs.iter().zip(results).zip(buffers) {
            let value = match (*source, buffer) {
                (Source::Input(number), _) => inputs[number].clone(),
                (Source::Constant(number), _) => self.lowered.constants[number].clone(),
                (Source::Result(number), _) => values[number].clone(),
                (Source::Computed, buffer) => {
                    Value::contiguous(buffer.expect("what is computed has memory"), spec.clone())
                }
            };
            values.push(value);
        }
        Ok(values)
    }

    fn is_running(&self) -> Error {
        let rule = format!("a callback cannot call the function `{}` that it is a part of", self.name);
        Error::new(ErrorKind::Recording, "callback", rule)
    }

    /// All memory that a call works on.
    pub(crate) fn planned_memory(&self) -> PlannedMemory {
        PlannedMemory::of(&self.plan.compiled, &self.lowered)
    }
}

fn value_of(variable: &Tensor) -> Option<&Value> {
    match &*variable.0 {
        Inner::Value(value) => Some(value),
        _ => None,
    }
}

/// The memory of a variable in row-major order; not shared with any other tensor if it is to be written.
fn exclusive(variable: &mut Tensor, written: bool) -> *mut u8 {
    let Inner::Value(value) = &*variable.0 else { unreachable!("variables hold values") };
    let in_order = value.is_contiguous();
    if !in_order {
        *variable = Tensor::from_value(contiguous(value));
    } else if written && !is_exclusive(variable) {
        let Inner::Value(value) = &*variable.0 else { unreachable!("variables hold values") };
        let mut copy = Buffer::new(value.spec.bytes());
        // SAFETY: a contiguous value has as many bytes as its spec says, and a new buffer cannot overlap it.
        unsafe { std::ptr::copy_nonoverlapping(value.address(), copy.as_mut_ptr(), value.spec.bytes()) };
        *variable = Tensor::from_value(Value::contiguous(copy, value.spec.clone()));
    }
    let Inner::Value(value) = &*variable.0 else { unreachable!("variables hold values") };
    value.address().cast_mut()
}

/// Whether no other handle or view shares the value's memory.
fn is_exclusive(variable: &mut Tensor) -> bool {
    match Arc::get_mut(&mut variable.0) {
        Some(Inner::Value(value)) => Arc::get_mut(&mut value.buffer).is_some(),
        _ => false,
    }
}
