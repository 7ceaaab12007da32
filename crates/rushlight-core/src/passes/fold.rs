//! Constant folding: what depends on constants alone is computed while compiling.

use crate::cpu;
use crate::graph::{Constant, Graph, Inputs, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::tensor::Value;
use smallvec::SmallVec;

/// Results larger than this stay computed: a program should not carry what is cheap to make.
const LARGEST_BYTES: usize = 1 << 16;

pub(super) fn run(graph: &Graph) -> Graph {
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        match fold(&rewriter, node) {
            Some(values) => {
                for (output, value) in values.into_iter().enumerate() {
                    let new = rewriter.push(Node {
                        kind: Kind::Constant(Constant(value)),
                        inputs: Inputs::new(),
                        outputs: SmallVec::from_elem(node.outputs[output].clone(), 1),
                        origin: node.origin.clone(),
                    });
                    rewriter.replace(ValueId { node: index as u32, output: output as u32 }, new);
                }
            }
            None => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

fn fold(rewriter: &Rewriter, node: &Node) -> Option<SmallVec<[Value; 1]>> {
    let Kind::Op(op) = &node.kind else { return None };
    // A broadcast constant stays a broadcast, which later passes see through.
    let view = matches!(op, Op::Broadcast(_));
    // A loop takes its time when the program runs.
    let control = matches!(op, Op::Loop(_) | Op::Branch(_));
    if view || control || node.outputs.iter().any(|spec| spec.bytes() > LARGEST_BYTES) {
        return None;
    }
    let inputs: Option<SmallVec<[&Value; 4]>> = rewriter
        .new_inputs(node)
        .iter()
        .map(|id| match &rewriter.nodes[id.node as usize].kind {
            Kind::Constant(constant) => Some(&constant.0),
            _ => None,
        })
        .collect();
    Some(cpu::execute(op, &inputs?, node.outputs.clone()))
}
