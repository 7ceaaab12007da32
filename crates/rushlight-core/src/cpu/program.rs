//! Compiled graphs.

use crate::graph::{Graph, evaluate};
use crate::tensor::{Inner, Result, Tensor, Value};
use crate::trace::Variable;

/// A graph made ready to run: the seam between recorded functions and the engine.
pub(crate) struct Program {
    graph: Graph,
}

impl Program {
    /// Chooses kernels, layouts and places in memory for a graph.
    pub(crate) fn compile(graph: Graph) -> Program {
        Program { graph }
    }

    /// Runs on the arguments and the current values of the variables, assigns variables, returns the results.
    ///
    /// `variables` are those of the graph, in its order: a program holds them weakly and keeps no weights alive.
    pub(crate) fn run(&self, variables: &[Variable], inputs: &[&Value]) -> Result<Vec<Value>> {
        let mut order: Vec<usize> = (0..variables.len()).collect();
        // One order for everybody, so that two functions on two threads never wait for each other.
        order.sort_unstable_by_key(|&index| variables[index].id());
        let mut guards: Vec<_> = order.iter().map(|&index| (index, variables[index].lock())).collect();
        guards.sort_unstable_by_key(|(index, _)| *index);
        let values: Vec<Value> = guards
            .iter()
            .map(|(_, guard)| match &*guard.0 {
                Inner::Value(value) => value.clone(),
                _ => unreachable!("variables hold values"),
            })
            .collect();
        let inputs: Vec<Value> = inputs.iter().map(|&input| input.clone()).collect();
        let (results, assigned) = evaluate(&self.graph, &inputs, &values);
        for ((variable, _), value) in self.graph.assignments.iter().zip(assigned) {
            *guards[*variable].1 = Tensor::from_value(value);
        }
        Ok(results)
    }

    /// Bytes planned for one call besides arguments and variables.
    pub(crate) fn planned_bytes(&self) -> usize {
        0
    }
}
