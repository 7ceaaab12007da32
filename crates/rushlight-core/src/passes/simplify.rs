//! Algebra on single ops: views of views become one view, neutral operands disappear, broadcasts move outwards.

use crate::graph::{Graph, Kind, Node, Origin, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Unary};
use crate::ops::reduce::{Reduce, Reduction};
use crate::tensor::{Dims, Spec};
use smallvec::SmallVec;

pub(super) fn run(graph: &Graph) -> Graph {
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        let simpler = match &node.kind {
            Kind::Op(op) => {
                let inputs = rewriter.new_inputs(node);
                simplify(&mut rewriter, op, &inputs, node)
            }
            _ => None,
        };
        match simpler {
            Some(new) => rewriter.replace(ValueId { node: index as u32, output: 0 }, new),
            None => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

/// What may stand for `op(inputs)`, if anything simpler does.
fn simplify(rewriter: &mut Rewriter, op: &Op, inputs: &[ValueId], node: &Node) -> Option<ValueId> {
    let origin = &node.origin;
    let output = &node.outputs[0];
    match op {
        Op::Reshape(_) | Op::Broadcast(_) | Op::Cast(_) if rewriter.spec(inputs[0]) == output => {
            Some(inputs[0])
        }
        Op::Reshape(dims) => match rewriter.op_of(inputs[0])? {
            (Op::Reshape(_), from) => Some(rewriter.op(Op::Reshape(dims.clone()), &[from[0]], origin)),
            _ => None,
        },
        Op::Broadcast(dims) => match rewriter.op_of(inputs[0])? {
            (Op::Broadcast(_), from) => Some(rewriter.op(Op::Broadcast(dims.clone()), &[from[0]], origin)),
            // Axes of size one in front are what broadcasting adds.
            (Op::Reshape(reshaped), from) => {
                let plain = rewriter.spec(from[0]).dims.clone();
                let added = reshaped.len().checked_sub(plain.len())?;
                let only_added =
                    reshaped[..added].iter().all(|&dim| dim == 1) && reshaped[added..] == plain[..];
                only_added.then(|| rewriter.op(Op::Broadcast(dims.clone()), &[from[0]], origin))
            }
            _ => None,
        },
        Op::Transpose(outer) if outer.iter().copied().eq(0..outer.len()) => Some(inputs[0]),
        Op::Transpose(outer) => match rewriter.op_of(inputs[0])? {
            (Op::Transpose(inner), from) => {
                let both = outer.iter().map(|&axis| inner[axis]).collect();
                Some(rewriter.op(Op::Transpose(both), &[from[0]], origin))
            }
            _ => None,
        },
        Op::Slice(_) | Op::Pad(_) if rewriter.spec(inputs[0]) == output => Some(inputs[0]),
        Op::Concat(_) if inputs.len() == 1 => Some(inputs[0]),
        Op::Reduce(reduce) if reduce.axes.is_empty() => Some(inputs[0]),
        Op::Reduce(Reduce { kind: Reduction::Mean, axes }) => {
            let dims = &rewriter.spec(inputs[0]).dims;
            let count: usize = axes.iter().map(|&axis| dims[axis]).product();
            let sum = Op::Reduce(Reduce { kind: Reduction::Sum, axes: axes.clone() });
            let sum = rewriter.op(sum, inputs, origin);
            let count = rewriter.scalar(count as f64, output, origin);
            Some(rewriter.op(Op::Binary(Binary::Div), &[sum, count], origin))
        }
        Op::Unary(Unary::Neg) => match rewriter.op_of(inputs[0])? {
            (Op::Unary(Unary::Neg), from) => Some(from[0]),
            _ => None,
        },
        Op::Binary(binary) => {
            neutral(rewriter, *binary, inputs).or_else(|| widen_later(rewriter, op, inputs, output, origin))
        }
        Op::Unary(_) | Op::Compare(_) | Op::Select => widen_later(rewriter, op, inputs, output, origin),
        _ => None,
    }
    .or_else(|| match op {
        Op::Unary(_) | Op::Cast(_) => widen_later(rewriter, op, inputs, output, origin),
        _ => None,
    })
}

/// `x + 0`, `x - 0`, `x * 1`, `x / 1`: x.
fn neutral(rewriter: &Rewriter, binary: Binary, inputs: &[ValueId]) -> Option<ValueId> {
    let [left, right] = [inputs[0], inputs[1]].map(|id| rewriter.repeated_scalar(id));
    match binary {
        Binary::Add if right == Some(0.0) => Some(inputs[0]),
        Binary::Add if left == Some(0.0) => Some(inputs[1]),
        Binary::Sub if right == Some(0.0) => Some(inputs[0]),
        Binary::Mul if right == Some(1.0) => Some(inputs[0]),
        Binary::Mul if left == Some(1.0) => Some(inputs[1]),
        Binary::Div if right == Some(1.0) => Some(inputs[0]),
        _ => None,
    }
}

/// An op on repeated elements is the repetition of the op on the elements.
fn widen_later(
    rewriter: &mut Rewriter,
    op: &Op,
    inputs: &[ValueId],
    output: &Spec,
    origin: &Origin,
) -> Option<ValueId> {
    if output.rank() == 0 {
        return None;
    }
    let mut narrow: SmallVec<[ValueId; 3]> = SmallVec::new();
    let mut dims: Option<Dims> = None;
    for &input in inputs {
        let (Op::Broadcast(_), from) = rewriter.op_of(input)? else { return None };
        let from_dims = rewriter.spec(from[0]).dims.clone();
        if !from_dims.is_empty() {
            match &dims {
                Some(known) if *known != from_dims => return None,
                _ => dims = Some(from_dims),
            }
        }
        narrow.push(from[0]);
    }
    let dims = dims.unwrap_or_default();
    for id in &mut narrow {
        if rewriter.spec(*id).dims != dims {
            *id = rewriter.op(Op::Broadcast(dims.clone()), &[*id], origin);
        }
    }
    let small = rewriter.op(op.clone(), &narrow, origin);
    Some(rewriter.op(Op::Broadcast(output.dims.clone()), &[small], origin))
}
