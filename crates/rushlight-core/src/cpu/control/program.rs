//! Programs inside of programs: the body of a loop runs over and over in memory that was laid out once.

use crate::cpu::control::scalars::ScalarTurns;
use crate::cpu::lower::Lowered;
use crate::cpu::lower::place::Place;
use crate::cpu::steps::{Memory, Step};
use crate::ops::control::{Loop, Turns};
use crate::ops::effect::has_failed;
use crate::profile::{self, TurnTimes};
use crate::tensor::Value;
use smallvec::SmallVec;
use std::fmt;
use std::time::Instant;

/// A loop made ready to run. Its step's places are:
///
/// - inputs: `[count or condition], carried…, sliced…, captured…`, all in row-major order;
/// - outputs: `carried…, stacked…, [number of turns], temporary memory`.
///
/// The carried values live in the places of the results: the body updates them there, from turn to turn.
pub(crate) struct LoopProgram {
    pub(crate) body: Lowered,
    turns: Turns,
    reverse: bool,
    carried: usize,
    /// Bytes of a row of each sliced input and of each stacked result.
    sliced: SmallVec<[usize; 8]>,
    stacked: SmallVec<[usize; 8]>,
    /// The body on registers, if that is all it needs.
    scalars: Option<ScalarTurns>,
}

type Pointers<T> = SmallVec<[T; 24]>;

impl LoopProgram {
    /// The body has variables where the loop carries values, and results where it stacks rows.
    pub(crate) fn new(op: &Loop, body: Lowered) -> LoopProgram {
        let spec_bytes = |id| op.body.spec(id).bytes();
        let sliced = &op.body.inputs[1 + op.carried..][..op.sliced];
        let stacked = &op.body.outputs[usize::from(op.has_condition()) + op.carried..];
        LoopProgram {
            turns: op.turns,
            reverse: op.reverse,
            carried: op.carried,
            sliced: sliced.iter().map(|&id| spec_bytes(id)).collect(),
            stacked: stacked.iter().map(|&id| spec_bytes(id)).collect(),
            scalars: ScalarTurns::new(op, &body),
            body,
        }
    }

    /// Floating-point operations of all turns, if it is known how many there are.
    pub(crate) fn flops(&self) -> u64 {
        let a_turn: u64 = self.body.steps.iter().map(Step::flops).sum();
        match self.turns {
            Turns::Fixed(count) => a_turn * count as u64,
            _ => 0,
        }
    }

    /// Runs all turns.
    ///
    /// # Safety
    /// The places must be those of the step that this loop belongs to, in memory that nobody else writes to.
    pub(crate) unsafe fn run(&self, memory: &Memory, inputs: &[Place], outputs: &[Place]) {
        let leading = usize::from(!matches!(self.turns, Turns::Fixed(_)));
        let has_condition = matches!(self.turns, Turns::While(_));
        let (given, rest) = inputs[leading..].split_at(self.carried);
        let (sliced, captured) = rest.split_at(self.sliced.len());
        let (finals, rest) = outputs.split_at(self.carried);
        let (stacked, rest) = rest.split_at(self.stacked.len());
        let arena = memory.address(&rest[rest.len() - 1]);
        // SAFETY: lowering gave the results places of their own, apart from initial values
        // that they take over; rows lie inside their stacks; a condition and a count are scalars of their dtype.
        let (first, most) = unsafe {
            match self.turns {
                Turns::Fixed(count) => (true, Some(count)),
                Turns::Counted(most) => {
                    let count = *memory.address(&inputs[0]).cast::<i64>();
                    (true, Some((count.max(0) as usize).min(most)))
                }
                Turns::While(most) => (*memory.address(&inputs[0]) != 0, most),
            }
        };
        let mut carried: Pointers<*mut u8> = SmallVec::with_capacity(self.carried);
        for (from, to) in given.iter().zip(finals) {
            let (source, target) = (memory.address(from), memory.address(to));
            if source != target {
                let bytes = from.dims.iter().product::<usize>() * from.dtype.size();
                // SAFETY: as above.
                unsafe { std::ptr::copy_nonoverlapping(source, target, bytes) };
            }
            carried.push(target);
        }
        if let Some(scalars) = &self.scalars {
            let captured = captured.iter().map(|place| memory.address(place).cast_const());
            let turn_at = |turn: usize| match (self.reverse, most) {
                (true, Some(most)) => (most - 1 - turn) as i64,
                _ => turn as i64,
            };
            // SAFETY: as above.
            unsafe {
                let turns = scalars.run(&carried, captured, first, most, turn_at);
                if has_condition {
                    *memory.address(&rest[0]).cast::<i64>() = turns as i64;
                }
            }
            return;
        }
        // Written while the body's pointers to them exist, so only ever reached through pointers.
        let (mut turn, mut again) = (0i64, u8::from(first));
        let (turn_at, again_at) = (&raw mut turn, &raw mut again);
        let first_row = match (self.reverse, most) {
            (true, Some(most)) => most.saturating_sub(1),
            _ => 0,
        };
        // The body's inputs by number: the turn, a gap for what is carried, rows, captured values.
        let mut body_inputs: Pointers<*const u8> = SmallVec::with_capacity(1 + inputs.len());
        body_inputs.push(turn_at.cast_const().cast());
        body_inputs.extend(carried.iter().map(|pointer| pointer.cast_const()));
        let rows_at = body_inputs.len();
        for (place, bytes) in sliced.iter().zip(&self.sliced) {
            body_inputs.push(memory.address(place).wrapping_add(first_row * bytes));
        }
        body_inputs.extend(captured.iter().map(|place| memory.address(place).cast_const()));
        let mut body_outputs: Pointers<*mut u8> = SmallVec::new();
        if has_condition {
            body_outputs.push(again_at);
        }
        let stacks_at = body_outputs.len();
        for (place, bytes) in stacked.iter().zip(&self.stacked) {
            body_outputs.push(memory.address(place).wrapping_add(first_row * bytes));
        }
        let constants: Pointers<*const u8> = pointers(&self.body.constants);
        let mut turns = 0;
        let mut inside = Inside::of(&self.body);
        // SAFETY: as above.
        unsafe {
            // A condition that does not hold ends the call, and so must every loop.
            while *again_at != 0 && most.is_none_or(|most| turns < most) && !has_failed() {
                *turn_at = match (self.reverse, most) {
                    (true, Some(most)) => most - 1 - turns,
                    _ => turns,
                } as i64;
                let memory = Memory {
                    inputs: &body_inputs,
                    variables: &carried,
                    constants: &constants,
                    outputs: &body_outputs,
                    arena,
                    temporaries: &self.body.temporaries,
                };
                inside.run(&memory);
                turns += 1;
                let step_of = |bytes: usize| if self.reverse { bytes.wrapping_neg() } else { bytes };
                for (pointer, &bytes) in body_inputs[rows_at..].iter_mut().zip(&self.sliced) {
                    *pointer = pointer.wrapping_add(step_of(bytes));
                }
                for (pointer, &bytes) in body_outputs[stacks_at..].iter_mut().zip(&self.stacked) {
                    *pointer = pointer.wrapping_add(step_of(bytes));
                }
            }
            if !matches!(self.turns, Turns::Fixed(_)) {
                let possible = self.turns.most().unwrap_or(turns);
                for (place, bytes) in stacked.iter().zip(&self.stacked) {
                    let missing = memory.address(place).wrapping_add(turns * bytes);
                    std::ptr::write_bytes(missing, 0, (possible - turns) * bytes);
                }
            }
            if has_condition {
                *memory.address(&rest[0]).cast::<i64>() = turns as i64;
            }
        }
        inside.tell();
    }
}

/// A branch made ready to run: inputs `index, captured…`, outputs `results…, temporary memory`.
pub(crate) struct BranchProgram {
    pub(crate) branches: Vec<Lowered>,
}

impl BranchProgram {
    /// Runs the branch that the first input numbers.
    ///
    /// # Safety
    /// The places must be those of the step that this branch belongs to, in memory that nobody else writes to.
    pub(crate) unsafe fn run(&self, memory: &Memory, inputs: &[Place], outputs: &[Place]) {
        // SAFETY: the index is an i64 scalar.
        let number = unsafe { *memory.address(&inputs[0]).cast::<i64>() };
        let branch = &self.branches[number.clamp(0, self.branches.len() as i64 - 1) as usize];
        let (results, arena) = outputs.split_at(outputs.len() - 1);
        let used: Pointers<*const u8> =
            inputs[1..].iter().map(|place| memory.address(place).cast_const()).collect();
        let results: Pointers<*mut u8> = results.iter().map(|place| memory.address(place)).collect();
        let inside = Memory {
            inputs: &used,
            variables: &[],
            constants: &pointers(&branch.constants),
            outputs: &results,
            arena: memory.address(&arena[0]),
            temporaries: &branch.temporaries,
        };
        let mut steps = Inside::of(branch);
        // SAFETY: lowering gave the results places of their own and enough temporary memory.
        unsafe { steps.run(&inside) };
        steps.tell();
    }
}

/// The steps of a body, and their times if a profile wants them.
struct Inside<'a> {
    body: &'a Lowered,
    times: Vec<TurnTimes>,
}

impl Inside<'_> {
    fn of(body: &Lowered) -> Inside<'_> {
        let wanted = if profile::is_active() { body.steps.len() } else { 0 };
        Inside { body, times: vec![TurnTimes::default(); wanted] }
    }

    /// # Safety
    /// The memory must be that of the body, and nobody else may write to it.
    unsafe fn run(&mut self, memory: &Memory) {
        if self.times.is_empty() {
            // SAFETY: passed on to the caller.
            return self.body.steps.iter().for_each(|step| unsafe { step.run(memory) });
        }
        for (step, times) in self.body.steps.iter().zip(&mut self.times) {
            let start = Instant::now();
            // SAFETY: passed on to the caller.
            unsafe { step.run(memory) };
            times.add(start);
        }
    }

    fn tell(self) {
        let Lowered { first, outer, steps, .. } = self.body;
        profile::turns_done(*first, *outer, &self.times, |step| steps[step].work.name());
    }
}

fn pointers(constants: &[Value]) -> Pointers<*const u8> {
    constants.iter().map(|value| value.address()).collect()
}

fn list(formatter: &mut fmt::Formatter<'_>, lowered: &Lowered) -> fmt::Result {
    lowered.steps.iter().try_for_each(|step| {
        let text = step.to_string();
        write!(formatter, "\n    {}", text.replace('\n', "\n    "))
    })
}

impl fmt::Display for LoopProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(formatter, &self.body)
    }
}

impl fmt::Display for BranchProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.branches.iter().try_for_each(|branch| {
            formatter.write_str("\n   or")?;
            list(formatter, branch)
        })
    }
}
