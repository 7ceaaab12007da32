//! Loops of few small turns are written out, so that fusion sees across them.

use super::size_of;
use crate::graph::{Graph, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::control::{Loop, Turns};
use crate::ops::view::Slice;
use crate::tensor::Dims;
use smallvec::SmallVec;

/// Nodes that a loop may be written out to.
const MOST_NODES: usize = 96;
const MOST_TURNS: usize = 8;

pub(super) fn run(graph: &Graph) -> Graph {
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        match &node.kind {
            Kind::Op(Op::Loop(op)) if pays(op) => {
                let results = unroll(&mut rewriter, node, op);
                rewriter.replace_all(index, &results);
            }
            _ => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

fn pays(op: &Loop) -> bool {
    let Turns::Fixed(turns) = op.turns else { return false };
    // An empty stack has no row to be made of.
    if turns == 0 {
        return op.stacked == 0;
    }
    let ops: usize = op.body.nodes.iter().filter(|node| matches!(node.kind, Kind::Op(_))).map(size_of).sum();
    turns == 1 || turns <= MOST_TURNS && turns * (ops + op.sliced + op.stacked) <= MOST_NODES
}

fn unroll(rewriter: &mut Rewriter, node: &Node, op: &Loop) -> Vec<ValueId> {
    let Turns::Fixed(turns) = op.turns else { unreachable!("only a known number of turns is written out") };
    let origin = &node.origin;
    let given: Vec<ValueId> = rewriter.new_inputs(node).into_vec();
    let (initial, rest) = given.split_at(op.carried);
    let (sliced, captured) = rest.split_at(op.sliced);
    let mut carried = initial.to_vec();
    let mut rows: Vec<Vec<ValueId>> = vec![Vec::new(); op.stacked];
    for turn in 0..turns {
        let row = if op.reverse { turns - 1 - turn } else { turn };
        let mut inputs = vec![rewriter.number(row, origin)];
        inputs.append(&mut carried);
        for &stack in sliced {
            inputs.push(row_of(rewriter, stack, row, node));
        }
        inputs.extend(captured);
        let mut results = rewriter.inline(&op.body, &inputs);
        for (rows, result) in rows.iter_mut().zip(results.split_off(op.carried)) {
            rows.push(result);
        }
        carried = results;
    }
    for (at, mut rows) in rows.into_iter().enumerate() {
        if op.reverse {
            rows.reverse();
        }
        let stack = &node.outputs[op.carried + at];
        let mut dims: Dims = stack.dims.clone();
        dims[0] = 1;
        let rows: SmallVec<[ValueId; 8]> =
            rows.into_iter().map(|row| rewriter.op(Op::Reshape(dims.clone()), &[row], origin)).collect();
        carried.push(if rows.len() == 1 { rows[0] } else { rewriter.op(Op::Concat(0), &rows, origin) });
    }
    carried
}

fn row_of(rewriter: &mut Rewriter, stack: ValueId, row: usize, node: &Node) -> ValueId {
    let dims = rewriter.nodes[stack.node as usize].outputs[stack.output as usize].dims.clone();
    let mut slice = Slice {
        start: SmallVec::from_elem(0, dims.len()),
        stop: dims.clone(),
        step: SmallVec::from_elem(1, dims.len()),
    };
    (slice.start[0], slice.stop[0]) = (row, row + 1);
    let kept = rewriter.op(Op::Slice(slice), &[stack], &node.origin);
    rewriter.op(Op::Reshape(dims[1..].into()), &[kept], &node.origin)
}
