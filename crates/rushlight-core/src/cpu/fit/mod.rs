//! Plans that fit into a budget of memory.
//!
//! A value that waits long for its next reader (what a forward pass leaves for the backward pass) need not be kept: it
//! can be computed once more when it is read. [`values`] tells what each value takes, [`schedule`] walks the graph with
//! a limit of memory and gives up what is cheapest to have back, and [`fit`] looks for the limit with which the plan,
//! laid out for real, is small enough.

mod schedule;
mod values;

use crate::cpu::lower::{Lowered, lower};
use crate::graph::Graph;
use crate::tensor::{Error, ErrorKind, Result};
use schedule::Schedule;
use values::Values;

/// Limits that are tried between what a plan takes that computes everything once and the least that there is a way for.
const LIMITS: usize = 16;

/// Bytes that a compiled graph works on, all of them known before it first runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlannedMemory {
    /// The variables that it reads or assigns: weights, and what an optimizer keeps.
    pub variables: usize,
    /// Its arguments, such as a batch of data.
    pub arguments: usize,
    /// Its results, and constants.
    pub results: usize,
    /// Everything in between: one block of memory, used again from call to call.
    pub temporary: usize,
}

impl PlannedMemory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.variables + self.arguments + self.results + self.temporary
    }

    pub(crate) fn of(graph: &Graph, lowered: &Lowered) -> PlannedMemory {
        let constants: usize = lowered.constants.iter().map(|constant| constant.buffer.bytes()).sum();
        PlannedMemory {
            variables: graph.variables.iter().map(|variable| variable.spec().bytes()).sum(),
            arguments: graph.inputs.iter().map(|&id| graph.spec(id).bytes()).sum(),
            results: graph.outputs.iter().map(|&id| graph.spec(id).bytes()).sum::<usize>() + constants,
            temporary: lowered.arena_bytes,
        }
    }
}

/// The graph, computing values once more where it must to stay within a budget in bytes, with its plan.
///
/// The same budget gives the same plan. Its results are those of the graph, computed by the same ops.
pub(super) fn fit(graph: Graph, budget: usize) -> Result<(Graph, Lowered)> {
    let lowered = lower(&graph);
    let total = |lowered: &Lowered| PlannedMemory::of(&graph, lowered).total();
    let mut least = total(&lowered);
    if least <= budget {
        return Ok((graph, lowered));
    }
    let values = Values::of(&graph, &lowered);
    let most = Schedule::make(&graph, &values, usize::MAX).map_or(0, |schedule| schedule.peak);
    let lowest = lowest_limit(&graph, &values, most);
    for step in 1..=LIMITS {
        let limit = most - (most - lowest) * step / LIMITS;
        let Some(schedule) = Schedule::make(&graph, &values, limit) else { continue };
        let lowered = lower(&schedule.graph);
        let bytes = total(&lowered);
        if bytes <= budget {
            return Ok((schedule.graph, lowered));
        }
        least = least.min(bytes);
    }
    let rule = format!(
        "`{}` does not fit into {budget} bytes of memory: with values computed again instead of kept it needs at least \
         {least}",
        graph.name
    );
    Err(Error::outside(ErrorKind::Value, "memory_budget", rule))
}

/// About the lowest limit for which there is a schedule.
fn lowest_limit(graph: &Graph, values: &Values, most: usize) -> usize {
    let (mut impossible, mut possible) = (0, most);
    while possible - impossible > most / 64 + 1 {
        let middle = impossible.midpoint(possible);
        match Schedule::make(graph, values, middle) {
            Some(_) => possible = middle,
            None => impossible = middle,
        }
    }
    possible
}
