//! The gradient of a branch: the same choice, among the gradients of the branches.

use crate::ops::Op;
use crate::ops::control::{Branch, replay};
use crate::ops::gradient::{Context, InputGradients, none};
use crate::passes;
use crate::tensor::{Result, Spec, Tensor};
use crate::trace::apply::apply_all;
use crate::trace::{Tape, body};
use std::sync::Arc;

/// The gradients of what the branches use: each branch is computed again on the way back.
#[track_caller]
pub(crate) fn gradient(op: &Branch, context: &Context, from: &[Option<Tensor>]) -> InputGradients {
    let used = &context.inputs[1..];
    let wanted: Vec<usize> =
        (0..used.len()).filter(|&at| context.wanted[1 + at] && is_float(&used[at])).collect();
    let reached: Vec<usize> = (0..from.len()).filter(|&at| from[at].is_some()).collect();
    let mut gradients = none(context.inputs.len());
    match of_branches(op, used, &wanted, &reached) {
        Ok(branches) => {
            let seeds = reached.iter().filter_map(|&at| from[at].as_ref());
            let inputs: Vec<&Tensor> = context.inputs.iter().chain(seeds).collect();
            let found = apply_all(Op::Branch(Arc::new(branches)), &inputs);
            for (&at, gradient) in wanted.iter().zip(found) {
                gradients[1 + at] = Some(gradient);
            }
        }
        Err(error) => wanted.iter().for_each(|&at| gradients[1 + at] = Some(Tensor::carry(error.clone()))),
    }
    gradients
}

pub(super) fn is_float(tensor: &Tensor) -> bool {
    tensor.known_spec().is_some_and(|spec| spec.dtype.is_float())
}

/// `used…, gradients of the reached results… → gradients of what is wanted of the used`, a graph a branch.
#[track_caller]
fn of_branches(op: &Branch, used: &[Tensor], wanted: &[usize], reached: &[usize]) -> Result<Branch> {
    let mut branches = Vec::new();
    for graph in &op.branches {
        let result = |&at: &usize| graph.spec(graph.outputs[at]).clone();
        let mut specs: Vec<Spec> = used.iter().filter_map(|tensor| tensor.known_spec().cloned()).collect();
        specs.extend(reached.iter().map(result));
        let ((), recorded) = body::record(op.name, &specs, |symbols| {
            let (used, seeds) = symbols.split_at(used.len());
            let tape = Tape::new();
            wanted.iter().for_each(|&at| tape.watch(&used[at]));
            let results = replay(graph, used);
            let targets = reached.iter().map(|&at| results[at].clone()).zip(seeds.iter().cloned());
            let sources: Vec<Tensor> = wanted.iter().map(|&at| used[at].clone()).collect();
            let found = tape.gradients_of_all(targets, &sources)?;
            let filled = sources.iter().zip(found);
            Ok((
                (),
                filled.map(|(source, gradient)| gradient.unwrap_or_else(|| source.zeros_like())).collect(),
            ))
        })?;
        let (inputs, outputs) = (recorded.inputs.clone(), recorded.outputs.clone());
        branches.push(passes::tidy(&recorded.into_graph(op.name, &inputs, &outputs)));
    }
    Ok(Branch { name: op.name, branches })
}
