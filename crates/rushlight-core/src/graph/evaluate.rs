//! Runs a graph node by node with the eager kernels: the bodies of loops and branches on values, and what compiled
//! programs are held against.

use crate::cpu;
use crate::graph::{Fused, Graph, Kind, Operand};
use crate::ops::Op;
use crate::tensor::{Spec, Value};
use smallvec::SmallVec;

/// The results and the new values of the assigned variables.
pub(crate) fn evaluate(graph: &Graph, inputs: &[Value], variables: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let values = evaluate_all(graph, inputs, variables);
    let value = |id: &crate::graph::ValueId| values[id.node as usize][id.output as usize].clone();
    (graph.outputs.iter().map(value).collect(), graph.assignments.iter().map(|(_, id)| value(id)).collect())
}

/// The values of all nodes.
pub(crate) fn evaluate_all(
    graph: &Graph,
    inputs: &[Value],
    variables: &[Value],
) -> Vec<SmallVec<[Value; 1]>> {
    let mut values: Vec<SmallVec<[Value; 1]>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let arguments: SmallVec<[&Value; 4]> =
            node.inputs.iter().map(|id| &values[id.node as usize][id.output as usize]).collect();
        let results = match &node.kind {
            Kind::Input(number) => SmallVec::from_elem(inputs[*number].clone(), 1),
            Kind::Variable(number) => SmallVec::from_elem(variables[*number].clone(), 1),
            Kind::Constant(constant) => SmallVec::from_elem(constant.0.clone(), 1),
            Kind::Op(op) => run(op, &arguments, &node.outputs),
            Kind::Fused(fused) => evaluate_fused(fused, &arguments),
        };
        drop(arguments);
        values.push(results);
    }
    values
}

fn run(op: &Op, inputs: &[&Value], outputs: &[Spec]) -> SmallVec<[Value; 1]> {
    cpu::execute(op, inputs, outputs.iter().cloned().collect())
}

fn evaluate_fused(fused: &Fused, inputs: &[&Value]) -> SmallVec<[Value; 1]> {
    let mut body: Vec<Value> = Vec::with_capacity(fused.body.len());
    for step in &fused.body {
        let arguments: SmallVec<[&Value; 3]> = step
            .inputs
            .iter()
            .map(|operand| match *operand {
                Operand::Input(number) => inputs[number],
                Operand::Body(number) => &body[number],
            })
            .collect();
        let result = run(&step.op, &arguments, std::slice::from_ref(&step.output)).remove(0);
        drop(arguments);
        body.push(result);
    }
    fused.results.iter().map(|&number| body[number].clone()).collect()
}
