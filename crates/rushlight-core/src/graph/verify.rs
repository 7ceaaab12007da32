//! Checks that a graph is well formed; runs between passes in debug builds and tests.

use crate::graph::{Fused, Graph, Kind, Node, Operand, ValueId};
use crate::tensor::Spec;
use smallvec::SmallVec;

/// The first thing that is wrong with a graph, in words.
pub(crate) fn verify(graph: &Graph) -> Result<(), String> {
    for (index, node) in graph.nodes.iter().enumerate() {
        for &input in &node.inputs {
            if input.node as usize >= index {
                return Err(format!("node {index} reads %{} that does not come before it", input.node));
            }
            exists(graph, input)?;
        }
        let inputs: Vec<&Spec> = node.inputs.iter().map(|&id| graph.spec(id)).collect();
        check_node(graph, node, &inputs).map_err(|problem| format!("node {index}: {problem}"))?;
    }
    for id in graph.inputs.iter().copied().chain(graph.roots()) {
        exists(graph, id)?;
    }
    for (number, &id) in graph.inputs.iter().enumerate() {
        if graph.node(id).kind != Kind::Input(number) {
            return Err(format!("argument {number} is not an input node"));
        }
    }
    for &(variable, value) in &graph.assignments {
        let Some(variable) = graph.variables.get(variable) else {
            return Err(format!("there is no variable {variable} to assign"));
        };
        if variable.spec() != graph.spec(value) {
            return Err(format!(
                "variable {} is assigned a value that is {}",
                variable.name(),
                graph.spec(value)
            ));
        }
    }
    Ok(())
}

fn exists(graph: &Graph, id: ValueId) -> Result<(), String> {
    match graph.nodes.get(id.node as usize) {
        Some(node) if (id.output as usize) < node.outputs.len() => Ok(()),
        _ => Err(format!("there is no value %{}.{}", id.node, id.output)),
    }
}

fn check_node(graph: &Graph, node: &Node, inputs: &[&Spec]) -> Result<(), String> {
    match &node.kind {
        Kind::Input(_) => Ok(()),
        Kind::Variable(number) => match graph.variables.get(*number) {
            Some(variable) if *variable.spec() == node.outputs[0] => Ok(()),
            _ => Err(format!("variable {number} does not fit")),
        },
        Kind::Constant(constant) if constant.0.spec != node.outputs[0] => {
            Err("the constant does not fit".into())
        }
        Kind::Constant(_) => Ok(()),
        Kind::Op(op) => match op.infer(inputs) {
            Ok(outputs) if outputs == node.outputs => Ok(()),
            Ok(outputs) => Err(format!("{op:?} gives {outputs:?}, not {:?}", node.outputs)),
            Err(fault) => Err(format!("{op:?}: {}", fault.rule)),
        },
        Kind::Fused(fused) => check_fused(fused, node, inputs),
    }
}

fn check_fused(fused: &Fused, node: &Node, inputs: &[&Spec]) -> Result<(), String> {
    for (number, step) in fused.body.iter().enumerate() {
        let mut arguments: SmallVec<[&Spec; 3]> = SmallVec::new();
        for operand in &step.inputs {
            arguments.push(match *operand {
                Operand::Input(input) => {
                    inputs.get(input).ok_or("a fused op reads an input that is not there")?
                }
                Operand::Body(body) if body < number => &fused.body[body].output,
                Operand::Body(_) => return Err("a fused op reads what comes after it".into()),
            });
        }
        match step.op.infer(&arguments) {
            Ok(outputs) if outputs[..] == [step.output.clone()] => {}
            _ => return Err(format!("fused op {number} ({:?}) does not give {}", step.op, step.output)),
        }
    }
    let results = fused.results.iter().map(|&number| fused.body.get(number).map(|step| &step.output));
    if !results.eq(node.outputs.iter().map(Some)) {
        return Err("the results of the fused ops are not the node's".into());
    }
    Ok(())
}
