//! Looks through concatenations: a reduction over other axes is the concatenation of the parts' reductions, and a slice
//! is made of those parts that it covers.
//!
//! So what is known of a feature map is computed once, however many concatenations read it: equal reductions of equal
//! parts are one.

use crate::graph::{Graph, Kind, Node, Origin, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::reduce::Reduce;
use crate::ops::view::Slice;

pub(super) fn run(graph: &Graph) -> Graph {
    let uses = graph.use_counts();
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        let new = match &node.kind {
            Kind::Op(Op::Reduce(reduce)) => reduced_by_parts(graph, &mut rewriter, reduce, node, &uses),
            Kind::Op(Op::Slice(slice)) => {
                let input = rewriter.new_id(node.inputs[0]);
                rewriter.slice_of_parts(slice, input, &node.origin)
            }
            _ => None,
        };
        match new {
            Some(new) => rewriter.replace(ValueId { node: index as u32, output: 0 }, new),
            None => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

/// `reduce(concat(…))`, or `reduce(f(concat(…)))` with an op on single elements that nobody else needs.
fn reduced_by_parts(
    graph: &Graph,
    rewriter: &mut Rewriter,
    reduce: &Reduce,
    node: &Node,
    uses: &[smallvec::SmallVec<[u32; 1]>],
) -> Option<ValueId> {
    let source = node.inputs[0];
    let (through, whole) = match &graph.node(source).kind {
        Kind::Op(op @ (Op::Unary(_) | Op::Cast(_))) if uses[source.node as usize][0] == 1 => {
            (Some(op), graph.node(source).inputs[0])
        }
        _ => (None, source),
    };
    let whole = rewriter.new_id(whole);
    rewriter.reduction_of_parts(reduce, through, whole, &node.origin)
}

impl Rewriter<'_> {
    fn reduction_of_parts(
        &mut self,
        reduce: &Reduce,
        through: Option<&Op>,
        whole: ValueId,
        origin: &Origin,
    ) -> Option<ValueId> {
        let (Op::Concat(axis), parts) = self.op_of(whole)? else { return None };
        if reduce.axes.contains(&axis) {
            return None;
        }
        let reduced: Vec<ValueId> = parts
            .iter()
            .map(|&part| {
                self.reduction_of_parts(reduce, through, part, origin).unwrap_or_else(|| {
                    let element = through.map_or(part, |op| self.op(op.clone(), &[part], origin));
                    self.op(Op::Reduce(reduce.clone()), &[element], origin)
                })
            })
            .collect();
        let left = axis - reduce.axes.iter().filter(|&&reduced| reduced < axis).count();
        Some(self.op(Op::Concat(left), &reduced, origin))
    }

    /// The slice, if it only takes whole parts of a concatenation, or lies within one.
    pub(super) fn slice_of_parts(
        &mut self,
        slice: &Slice,
        whole: ValueId,
        origin: &Origin,
    ) -> Option<ValueId> {
        let (Op::Concat(axis), parts) = self.op_of(whole)? else { return None };
        let dims = self.spec(whole).dims.clone();
        let others_whole = (0..dims.len()).all(|other| {
            slice.step[other] == 1
                && (other == axis || (slice.start[other], slice.stop[other]) == (0, dims[other]))
        });
        if !others_whole {
            return None;
        }
        let (start, stop) = (slice.start[axis], slice.stop[axis]);
        let (mut covered, mut at) = (Vec::new(), 0);
        for part in parts {
            let size = self.spec(part).dims[axis];
            let (from, to) = (start.max(at), stop.min(at + size));
            if from < to {
                match to - from == size {
                    true => covered.push(part),
                    // Inside of one part.
                    false if (from, to) == (start, stop) => {
                        let mut inner = slice.clone();
                        (inner.start[axis], inner.stop[axis]) = (from - at, to - at);
                        return Some(self.slice(inner, part, origin));
                    }
                    false => return None,
                }
            }
            at += size;
        }
        match &covered[..] {
            [] => None,
            [part] => Some(*part),
            _ => Some(self.op(Op::Concat(axis), &covered, origin)),
        }
    }

    /// A slice, looked up in the parts if it is one of a concatenation.
    pub(super) fn slice(&mut self, slice: Slice, whole: ValueId, origin: &Origin) -> ValueId {
        self.slice_of_parts(&slice, whole, origin)
            .unwrap_or_else(|| self.op(Op::Slice(slice), &[whole], origin))
    }
}
