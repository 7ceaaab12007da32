//! What is the same in every turn of a loop is computed once, before it.

use crate::graph::{Graph, Inputs, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::control::{Loop, Turns};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn run(graph: &Graph) -> Graph {
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        match &node.kind {
            Kind::Op(Op::Loop(op)) => hoist(&mut rewriter, index, node, op),
            _ => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

/// Whether a node would be hoisted for its own sake: views cost nothing where they are.
fn is_worth_it(node: &Node) -> bool {
    match &node.kind {
        Kind::Op(Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Flip(_)) => false,
        // Outside it would run even if the loop around never did, and might never end.
        Kind::Op(Op::Loop(op)) => op.turns != Turns::While(None),
        Kind::Op(_) => true,
        _ => false,
    }
}

fn hoist(rewriter: &mut Rewriter, index: usize, node: &Node, op: &Loop) {
    let body = &op.body;
    let first_captured = 1 + op.carried + op.sliced;
    let mut same: Vec<bool> = Vec::with_capacity(body.nodes.len());
    for node in &body.nodes {
        let is_same = match &node.kind {
            Kind::Input(number) => *number >= first_captured,
            Kind::Constant(_) => true,
            Kind::Op(Op::Loop(op)) if op.turns == Turns::While(None) => false,
            _ => node.inputs.iter().all(|id| same[id.node as usize]),
        };
        same.push(is_same);
    }
    // Read by something that changes: the last values that stay the same.
    let mut border: Vec<ValueId> = Vec::new();
    let mut pending: Vec<ValueId> = body.outputs.clone();
    for (_, node) in body.nodes.iter().enumerate().filter(|(at, _)| !same[*at]) {
        pending.extend(&node.inputs);
    }
    while let Some(id) = pending.pop() {
        if !same[id.node as usize] || border.contains(&id) {
            continue;
        }
        let node = body.node(id);
        if is_worth_it(node) {
            border.push(id);
        } else {
            pending.extend(&node.inputs);
        }
    }
    if border.is_empty() {
        rewriter.keep(index);
        return;
    }
    border.sort_unstable();
    // Outside: what leads to the border.
    let mut needed = vec![false; body.nodes.len()];
    border.iter().for_each(|id| needed[id.node as usize] = true);
    for at in (0..body.nodes.len()).rev().filter(|&at| needed[at]).collect::<Vec<_>>() {
        mark_inputs(body, at, &mut needed);
    }
    let mut outside: HashMap<ValueId, ValueId> = HashMap::new();
    for (at, inner) in body.nodes.iter().enumerate() {
        if !needed[at] {
            continue;
        }
        let new = match &inner.kind {
            Kind::Input(number) => rewriter.new_id(node.inputs[op.leading() + number - 1]),
            _ => {
                let inputs = inner.inputs.iter().map(|id| outside[id]).collect();
                rewriter.push(Node { inputs, ..inner.clone() })
            }
        };
        for output in 0..inner.outputs.len() as u32 {
            let output_of =
                if matches!(inner.kind, Kind::Input(_)) { new } else { ValueId { output, ..new } };
            outside.insert(ValueId { node: at as u32, output }, output_of);
        }
    }
    // Inside: new inputs where the border was.
    let mut nodes: Vec<Node> = Vec::new();
    let mut replaced: HashMap<ValueId, ValueId> = HashMap::new();
    let mut inputs = Vec::new();
    for (number, &id) in border.iter().enumerate() {
        let inner = body.node(id);
        replaced.insert(id, ValueId { node: nodes.len() as u32, output: 0 });
        inputs.push(ValueId { node: nodes.len() as u32, output: 0 });
        nodes.push(Node {
            kind: Kind::Input(body.inputs.len() + number),
            inputs: Inputs::new(),
            outputs: smallvec![body.spec(id).clone()],
            origin: inner.origin.clone(),
        });
    }
    for (at, inner) in body.nodes.iter().enumerate() {
        let all_replaced = (0..inner.outputs.len() as u32)
            .all(|output| border.contains(&ValueId { node: at as u32, output }));
        let is_dead = inner.inputs.iter().any(|id| !replaced.contains_key(id));
        if all_replaced || is_dead {
            continue;
        }
        let inner_inputs = inner.inputs.iter().map(|id| replaced[id]).collect();
        let new = nodes.len() as u32;
        nodes.push(Node { inputs: inner_inputs, ..inner.clone() });
        for output in 0..inner.outputs.len() as u32 {
            replaced.entry(ValueId { node: at as u32, output }).or_insert(ValueId { node: new, output });
        }
    }
    let moved = |id: &ValueId| replaced[id];
    let hoisted = Graph {
        name: body.name.clone(),
        inputs: body.inputs.iter().map(moved).chain(inputs).collect(),
        outputs: body.outputs.iter().map(moved).collect(),
        nodes,
        variables: Vec::new(),
        assignments: Vec::new(),
        history: Vec::new(),
    };
    let mut outer: Inputs = rewriter.new_inputs(node);
    outer.extend(border.iter().map(|id| outside[id]));
    let loop_node = rewriter.push(Node {
        kind: Kind::Op(Op::Loop(Arc::new(Loop { body: hoisted, ..op.clone() }))),
        inputs: outer,
        ..node.clone()
    });
    let results: SmallVec<[ValueId; 8]> =
        (0..node.outputs.len() as u32).map(|output| ValueId { output, ..loop_node }).collect();
    rewriter.replace_all(index, &results);
}

/// Marks all that a node needs.
fn mark_inputs(body: &Graph, at: usize, needed: &mut [bool]) {
    let mut pending = vec![at];
    while let Some(at) = pending.pop() {
        for id in &body.nodes[at].inputs {
            if !std::mem::replace(&mut needed[id.node as usize], true) {
                pending.push(id.node as usize);
            }
        }
    }
}
