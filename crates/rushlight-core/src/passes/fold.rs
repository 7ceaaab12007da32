//! Constant folding: what depends on constants alone is computed while compiling.

use crate::cpu;
use crate::graph::{Constant, Graph, Inputs, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::reduce::{Reduce, Reduction};
use crate::tensor::{DType, Value};
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
    if let Some(sum) = sum_of_equals(rewriter, op, node) {
        return Some(SmallVec::from_elem(sum, 1));
    }
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

/// The sum of a constant that is repeated: how many there are, times the constant.
fn sum_of_equals(rewriter: &Rewriter, op: &Op, node: &Node) -> Option<Value> {
    let Op::Reduce(Reduce { kind: Reduction::Sum, .. }) = op else { return None };
    let spread = rewriter.new_id(node.inputs[0]);
    let from = &rewriter.nodes[spread.node as usize];
    let (Kind::Op(Op::Broadcast(dims)), [output]) = (&from.kind, &node.outputs[..]) else { return None };
    let Kind::Constant(one) = &rewriter.nodes[from.inputs[0].node as usize].kind else { return None };
    let count = dims.iter().product::<usize>() as f64;
    // Only where sum and product are exact.
    (output.rank() == 0 && one.as_f64() == Some(1.0) && matches!(output.dtype, DType::F64 | DType::I64))
        .then(|| Value::scalar(count, output.dtype))
}
