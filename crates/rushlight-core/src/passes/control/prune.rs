//! Takes out of loops and branches what nobody reads: results, what is carried for them, inputs.

use super::with_ends;
use crate::graph::{Graph, Inputs, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::control::{Branch, Loop};
use smallvec::SmallVec;
use std::sync::Arc;

pub(super) fn run(graph: &Graph) -> Graph {
    let uses = graph.use_counts();
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        let read: Vec<bool> = uses[index].iter().map(|&count| count > 0).collect();
        match &node.kind {
            Kind::Op(Op::Loop(op)) if read.contains(&true) => {
                prune_loop(&mut rewriter, index, node, op, &read)
            }
            Kind::Op(Op::Branch(op)) if read.contains(&true) => {
                prune_branch(&mut rewriter, index, node, op, &read);
            }
            _ => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

/// By number of the input: whether these results need it.
fn needed_inputs(body: &Graph, results: impl Iterator<Item = ValueId>) -> Vec<bool> {
    let mut needed = vec![false; body.nodes.len()];
    results.for_each(|id| needed[id.node as usize] = true);
    let mut inputs = vec![false; body.inputs.len()];
    for (index, node) in body.nodes.iter().enumerate().rev() {
        if !needed[index] {
            continue;
        }
        if let Kind::Input(number) = node.kind {
            inputs[number] = true;
        }
        node.inputs.iter().for_each(|id| needed[id.node as usize] = true);
    }
    inputs
}

fn push(rewriter: &mut Rewriter, op: Op, inputs: Inputs, node: &Node) -> ValueId {
    let outputs = {
        let spec = |id: &ValueId| &rewriter.nodes[id.node as usize].outputs[id.output as usize];
        let specs: SmallVec<[_; 8]> = inputs.iter().map(spec).collect();
        op.infer(&specs).expect("a smaller loop or branch fits its inputs")
    };
    rewriter.push(Node { kind: Kind::Op(op), inputs, outputs, origin: node.origin.clone() })
}

fn prune_loop(rewriter: &mut Rewriter, index: usize, node: &Node, op: &Loop, read: &[bool]) {
    let body = &op.body;
    let conditions = usize::from(op.has_condition());
    let carried_result = |at: usize| body.outputs[conditions + at];
    // What comes out of a turn as it went in is no state.
    let is_constant = |at: usize| carried_result(at) == body.inputs[1 + at];
    let mut live: Vec<bool> = (0..op.carried).map(|at| read[at] && !is_constant(at)).collect();
    let stacked: Vec<usize> = (0..op.stacked).filter(|&at| read[op.carried + at]).collect();
    let needed = loop {
        let results = body.outputs[..conditions]
            .iter()
            .copied()
            .chain(stacked.iter().map(|&at| body.outputs[conditions + op.carried + at]))
            .chain((0..op.carried).filter(|&at| live[at]).map(carried_result));
        let needed = needed_inputs(body, results);
        let next: Vec<bool> =
            (0..op.carried).map(|at| live[at] || needed[1 + at] && !is_constant(at)).collect();
        if next == live {
            break needed;
        }
        live = next;
    };
    let first_sliced = 1 + op.carried;
    let first_captured = first_sliced + op.sliced;
    let carried: Vec<usize> = (0..op.carried).filter(|&at| live[at]).collect();
    let sliced: Vec<usize> = (0..op.sliced).filter(|&at| needed[first_sliced + at]).collect();
    let mut inputs = vec![0];
    inputs.extend(carried.iter().map(|at| 1 + at));
    inputs.extend(sliced.iter().map(|at| first_sliced + at));
    // Captured values, and constant state among them.
    inputs.extend((1..=op.carried).filter(|&number| needed[number] && !live[number - 1]));
    inputs.extend((first_captured..body.inputs.len()).filter(|&number| needed[number]));
    let mut outputs = body.outputs[..conditions].to_vec();
    outputs.extend(carried.iter().map(|&at| carried_result(at)));
    outputs.extend(stacked.iter().map(|&at| body.outputs[conditions + op.carried + at]));
    let same = inputs.len() == body.inputs.len() && outputs.len() == body.outputs.len();
    if same && carried.len() == op.carried {
        rewriter.keep(index);
        return;
    }
    let outer = |number: usize| node.inputs[op.leading() + number - 1];
    let mut outer_inputs: Inputs =
        node.inputs[..op.leading()].iter().map(|&id| rewriter.new_id(id)).collect();
    outer_inputs.extend(inputs[1..].iter().map(|&number| rewriter.new_id(outer(number))));
    // Unread results still need a value to stand for them until dead code is dropped: any of the right spec does.
    for at in (0..op.carried).filter(|&at| !live[at]) {
        let initial = rewriter.new_id(outer(1 + at));
        rewriter.replace(ValueId { node: index as u32, output: at as u32 }, initial);
    }
    let pruned = Loop {
        body: with_ends(body, &inputs, outputs),
        carried: carried.len(),
        sliced: sliced.len(),
        stacked: stacked.len(),
        ..op.clone()
    };
    if pruned.output_count() == 0 {
        return;
    }
    let first = push(rewriter, Op::Loop(Arc::new(pruned)), outer_inputs, node);
    let kept = carried.iter().copied().chain(stacked.iter().map(|at| op.carried + at));
    let kept = kept.chain((op.carried + op.stacked..).take(conditions));
    for (new, old) in kept.enumerate() {
        let old = ValueId { node: index as u32, output: old as u32 };
        rewriter.replace(old, ValueId { output: new as u32, ..first });
    }
}

fn prune_branch(rewriter: &mut Rewriter, index: usize, node: &Node, op: &Branch, read: &[bool]) {
    let results: Vec<usize> = (0..op.output_count()).filter(|&at| read[at]).collect();
    // A constant index leaves one branch.
    let index_node = rewriter.new_id(node.inputs[0]);
    if let Kind::Constant(constant) = &rewriter.nodes[index_node.node as usize].kind
        && let Some(number) = constant.as_f64()
    {
        let branch = &op.branches[number.clamp(0.0, (op.branches.len() - 1) as f64) as usize];
        let used: Vec<ValueId> = node.inputs[1..].iter().map(|&id| rewriter.new_id(id)).collect();
        let values = rewriter.inline(branch, &used);
        rewriter.replace_all(index, &values);
        return;
    }
    let mut needed = vec![false; node.inputs.len() - 1];
    for branch in &op.branches {
        let used = needed_inputs(branch, results.iter().map(|&at| branch.outputs[at]));
        needed.iter_mut().zip(used).for_each(|(needed, used)| *needed |= used);
    }
    let inputs: Vec<usize> = (0..needed.len()).filter(|&number| needed[number]).collect();
    if inputs.len() == needed.len() && results.len() == op.output_count() {
        rewriter.keep(index);
        return;
    }
    let branches = op
        .branches
        .iter()
        .map(|branch| with_ends(branch, &inputs, results.iter().map(|&at| branch.outputs[at]).collect()))
        .collect();
    let mut outer: Inputs = SmallVec::from_elem(index_node, 1);
    outer.extend(inputs.iter().map(|&number| rewriter.new_id(node.inputs[1 + number])));
    let first = push(rewriter, Op::Branch(Arc::new(Branch { name: op.name, branches })), outer, node);
    for (new, &old) in results.iter().enumerate() {
        let old = ValueId { node: index as u32, output: old as u32 };
        rewriter.replace(old, ValueId { output: new as u32, ..first });
    }
}
