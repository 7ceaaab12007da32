//! Loops and branches: bodies are rewritten like graphs, and what need not run in every turn is taken out of them.

mod hoist;
mod merge;
mod prune;
mod rows;
mod unroll;

use crate::graph::{Constant, Graph, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::control::{Branch, Loop};
use crate::passes;
use crate::tensor::{DType, Spec, Value};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// Bodies first, from the inside out; then this graph's own loops and branches, until nothing changes.
pub(super) fn run(graph: &Graph) -> Graph {
    let mut graph = merge::run(&passes::tidy(graph));
    graph = with_bodies(&graph, &|body| {
        if is_in(body) { passes::tidy(&run(body)) } else { passes::tidy(body) }
    });
    // Each round can bring what the next one needs: a pruned loop a smaller body, an unrolled one constants.
    for _ in 0..MOST_ROUNDS {
        let before = (graph.len(), graph.nodes.iter().map(size_of).sum::<usize>());
        graph = passes::tidy(&prune::run(&graph));
        graph = passes::tidy(&rows::run(&hoist::run(&graph)));
        graph = passes::tidy(&unroll::run(&graph));
        if before == (graph.len(), graph.nodes.iter().map(size_of).sum::<usize>()) {
            break;
        }
    }
    graph
}

const MOST_ROUNDS: usize = 8;

/// The remaining passes on all bodies, after those on the graph around them.
pub(super) fn finish_bodies(graph: &Graph) -> Graph {
    with_bodies(graph, &|body| passes::finish(body))
}

/// Whether a graph has a loop or a branch.
pub(super) fn is_in(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| matches!(node.kind, Kind::Op(Op::Loop(_) | Op::Branch(_))))
}

/// Nodes, with those of bodies.
fn size_of(node: &Node) -> usize {
    let of = |graph: &Graph| graph.nodes.iter().map(size_of).sum::<usize>() + graph.inputs.len();
    match &node.kind {
        Kind::Op(Op::Loop(op)) => 1 + of(&op.body),
        Kind::Op(Op::Branch(op)) => 1 + op.branches.iter().map(of).sum::<usize>(),
        _ => 1,
    }
}

/// The graph with other bodies, of the same inputs and results.
fn with_bodies(graph: &Graph, rewrite: &dyn Fn(&Graph) -> Graph) -> Graph {
    let mut graph = graph.clone();
    for node in &mut graph.nodes {
        match &node.kind {
            Kind::Op(Op::Loop(op)) => {
                let op = Loop { body: rewrite(&op.body), ..(**op).clone() };
                node.kind = Kind::Op(Op::Loop(Arc::new(op)));
            }
            Kind::Op(Op::Branch(op)) => {
                let branches = op.branches.iter().map(rewrite).collect();
                node.kind = Kind::Op(Op::Branch(Arc::new(Branch { name: op.name, branches })));
            }
            _ => {}
        }
    }
    graph
}

/// A body with fewer inputs and results: inputs are given by their old numbers, in their new order.
fn with_ends(body: &Graph, inputs: &[usize], outputs: Vec<ValueId>) -> Graph {
    let mut body = body.clone();
    let old = std::mem::replace(&mut body.outputs, outputs);
    drop(old);
    // What reads an input that is left out is dead, but for the node of the input itself.
    let mut numbers = vec![None; body.inputs.len()];
    inputs.iter().enumerate().for_each(|(new, &old)| numbers[old] = Some(new));
    let mut needed = vec![false; body.nodes.len()];
    body.outputs.iter().for_each(|id| needed[id.node as usize] = true);
    for index in (0..body.nodes.len()).rev() {
        let is_kept = matches!(body.nodes[index].kind, Kind::Input(number) if numbers[number].is_some());
        needed[index] |= is_kept;
        if needed[index] {
            body.nodes[index].inputs.iter().for_each(|id| needed[id.node as usize] = true);
        }
    }
    let mut places = vec![u32::MAX; body.nodes.len()];
    let mut nodes = Vec::new();
    for (index, node) in body.nodes.into_iter().enumerate().filter(|(index, _)| needed[*index]) {
        places[index] = nodes.len() as u32;
        let kind = match node.kind {
            Kind::Input(number) => Kind::Input(numbers[number].expect("needed inputs are kept")),
            kind => kind,
        };
        let inputs = node.inputs.iter().map(|id| ValueId { node: places[id.node as usize], ..*id }).collect();
        nodes.push(Node { kind, inputs, ..node });
    }
    let moved = |id: ValueId| ValueId { node: places[id.node as usize], ..id };
    Graph {
        inputs: inputs.iter().map(|&number| moved(body.inputs[number])).collect(),
        outputs: body.outputs.into_iter().map(moved).collect(),
        nodes,
        ..body
    }
}

impl Rewriter<'_> {
    /// Writes the nodes of a body into the new graph, on given inputs; returns its results.
    fn inline(&mut self, body: &Graph, inputs: &[ValueId]) -> Vec<ValueId> {
        let mut places: Vec<SmallVec<[ValueId; 1]>> = Vec::with_capacity(body.nodes.len());
        for node in &body.nodes {
            let results = match node.kind {
                Kind::Input(number) => smallvec![inputs[number]],
                _ => {
                    let inputs =
                        node.inputs.iter().map(|id| places[id.node as usize][id.output as usize]).collect();
                    let first = self.push(Node { inputs, ..node.clone() });
                    (0..node.outputs.len() as u32).map(|output| ValueId { output, ..first }).collect()
                }
            };
            places.push(results);
        }
        body.outputs.iter().map(|id| places[id.node as usize][id.output as usize]).collect()
    }

    /// An `i64` constant without axes.
    fn number(&mut self, number: usize, origin: &crate::graph::Origin) -> ValueId {
        self.push(Node {
            kind: Kind::Constant(Constant(Value::scalar(number as f64, DType::I64))),
            inputs: SmallVec::new(),
            outputs: smallvec![Spec::new([], DType::I64)],
            origin: origin.clone(),
        })
    }

    /// Lets values stand for the results of an old node, in order.
    fn replace_all(&mut self, index: usize, results: &[ValueId]) {
        for (output, &new) in results.iter().enumerate() {
            self.replace(ValueId { node: index as u32, output: output as u32 }, new);
        }
    }
}
