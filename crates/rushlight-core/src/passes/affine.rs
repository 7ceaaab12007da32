//! Sums put off their affine terms: in `core + x · u + v`, with one number a channel in `u` and `v`, only the core is
//! added up element by element; the terms wait until somebody needs the whole sum.
//!
//! Gradients of feature maps that many layers read grow this way, one layer after the other: every batch normalization
//! adds such terms for its statistics. A slice of channels takes its share of the terms along, terms of the same `x` are
//! added per channel, and each element is corrected once, where the gradient of its own channel is needed.

use crate::graph::{Graph, Kind, Node, Origin, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use crate::ops::view::Slice;
use crate::tensor::Dims;
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

pub(super) fn run(graph: &Graph) -> Graph {
    let may_wait = sums_that_may_wait(graph);
    let mut rewriter = Rewriter::new(graph);
    let mut waiting: HashMap<ValueId, Terms> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = ValueId { node: index as u32, output: 0 };
        match Terms::of(graph, &mut rewriter, &waiting, node) {
            Some(terms) if may_wait[index] => {
                waiting.insert(id, terms);
            }
            Some(terms) if node.inputs.iter().any(|input| waiting.contains_key(input)) => {
                let sum = terms.add_up(&mut rewriter, &node.outputs[0].dims, &node.origin);
                rewriter.replace(id, sum);
            }
            _ => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

/// By node: whether its value is only cut into channels and added to one other.
fn sums_that_may_wait(graph: &Graph) -> Vec<bool> {
    #[derive(Clone, Default)]
    struct Uses {
        cuts: u32,
        additions: u32,
        others: u32,
    }
    let mut uses = vec![Uses::default(); graph.nodes.len()];
    graph.roots().for_each(|id| uses[id.node as usize].others += 1);
    for node in &graph.nodes {
        for input in &node.inputs {
            let uses = &mut uses[input.node as usize];
            match &node.kind {
                Kind::Op(Op::Slice(slice)) if cuts_channels(slice, &graph.spec(*input).dims) => {
                    uses.cuts += 1
                }
                Kind::Op(Op::Binary(Binary::Add)) => uses.additions += 1,
                _ => uses.others += 1,
            }
        }
    }
    uses.iter()
        .map(|uses| uses.others == 0 && uses.additions <= 1 && uses.cuts + uses.additions > 0)
        .collect()
}

/// Whether a slice takes a range of the last axis, and everything of the others.
fn cuts_channels(slice: &Slice, dims: &[usize]) -> bool {
    let last = dims.len() - 1;
    slice.step.iter().all(|&step| step == 1)
        && (0..last).all(|axis| (slice.start[axis], slice.stop[axis]) == (0, dims[axis]))
}

/// `core + Σ x · u + v`, in the new graph; `u` and `v` have one axis, the last one of the sum.
#[derive(Clone, Default)]
struct Terms {
    core: Option<ValueId>,
    scaled: SmallVec<[(ValueId, ValueId); 2]>,
    shift: Option<ValueId>,
}

impl Terms {
    /// The terms of a sum or of a slice of one, if it has a core and anything that can wait.
    fn of(
        graph: &Graph,
        rewriter: &mut Rewriter,
        waiting: &HashMap<ValueId, Terms>,
        node: &Node,
    ) -> Option<Terms> {
        let terms = match &node.kind {
            Kind::Op(Op::Binary(Binary::Add)) if node.outputs[0].rank() > 1 => {
                let mut sum = Terms::operand(graph, rewriter, waiting, node.inputs[0]);
                let other = Terms::operand(graph, rewriter, waiting, node.inputs[1]);
                sum.add(other, rewriter, &node.origin);
                sum
            }
            Kind::Op(Op::Slice(slice)) => {
                let terms = waiting.get(&node.inputs[0])?;
                terms.cut(slice, rewriter, &node.origin)
            }
            _ => return None,
        };
        (terms.core.is_some() && (!terms.scaled.is_empty() || terms.shift.is_some())).then_some(terms)
    }

    /// An operand of a sum, as terms.
    fn operand(graph: &Graph, rewriter: &Rewriter, waiting: &HashMap<ValueId, Terms>, id: ValueId) -> Terms {
        if let Some(terms) = waiting.get(&id) {
            return terms.clone();
        }
        let per_channel = |id: ValueId| {
            let node = graph.node(id);
            let repeated = matches!(node.kind, Kind::Op(Op::Broadcast(_)));
            let is_row =
                || graph.spec(node.inputs[0]).dims[..] == node.outputs[0].dims[node.outputs[0].rank() - 1..];
            (repeated && is_row()).then(|| rewriter.new_id(node.inputs[0]))
        };
        let node = graph.node(id);
        if let Some(shift) = per_channel(id) {
            return Terms { shift: Some(shift), ..Terms::default() };
        }
        if let Kind::Op(Op::Binary(Binary::Mul)) = node.kind {
            let [left, right] = [node.inputs[0], node.inputs[1]];
            for (x, factor) in [(left, right), (right, left)] {
                // What is waiting itself has no value yet.
                if let Some(factor) = per_channel(factor)
                    && !waiting.contains_key(&x)
                    && is_stored(graph, x)
                {
                    return Terms { scaled: smallvec![(rewriter.new_id(x), factor)], ..Terms::default() };
                }
            }
        }
        Terms { core: Some(rewriter.new_id(id)), ..Terms::default() }
    }

    fn add(&mut self, other: Terms, rewriter: &mut Rewriter, origin: &Origin) {
        let mut sum = |a: Option<ValueId>, b: Option<ValueId>| match (a, b) {
            (Some(a), Some(b)) => Some(rewriter.op(Op::Binary(Binary::Add), &[a, b], origin)),
            (a, b) => a.or(b),
        };
        self.core = sum(self.core, other.core);
        self.shift = sum(self.shift, other.shift);
        for (x, factor) in other.scaled {
            match self.scaled.iter_mut().find(|(known, _)| *known == x) {
                Some((_, known)) => *known = sum(Some(*known), Some(factor)).unwrap_or(factor),
                None => self.scaled.push((x, factor)),
            }
        }
    }

    fn cut(&self, slice: &Slice, rewriter: &mut Rewriter, origin: &Origin) -> Terms {
        let last = slice.start.len() - 1;
        let channels = Slice {
            start: smallvec![slice.start[last]],
            stop: smallvec![slice.stop[last]],
            step: smallvec![1],
        };
        Terms {
            core: self.core.map(|core| rewriter.slice(slice.clone(), core, origin)),
            scaled: self
                .scaled
                .iter()
                .map(|&(x, factor)| {
                    let x = rewriter.slice(slice.clone(), x, origin);
                    (x, rewriter.slice(channels.clone(), factor, origin))
                })
                .collect(),
            shift: self.shift.map(|shift| rewriter.slice(channels.clone(), shift, origin)),
        }
    }

    /// The sum as a value.
    fn add_up(self, rewriter: &mut Rewriter, dims: &Dims, origin: &Origin) -> ValueId {
        let mut sum = self.core.expect("a sum that waits has a core");
        for (x, factor) in self.scaled {
            let wide = rewriter.op(Op::Broadcast(dims.clone()), &[factor], origin);
            let term = rewriter.op(Op::Binary(Binary::Mul), &[x, wide], origin);
            sum = rewriter.op(Op::Binary(Binary::Add), &[sum, term], origin);
        }
        if let Some(shift) = self.shift {
            let wide = rewriter.op(Op::Broadcast(dims.clone()), &[shift], origin);
            sum = rewriter.op(Op::Binary(Binary::Add), &[sum, wide], origin);
        }
        sum
    }
}

/// Whether a value is in memory anyway: not the result of an elementwise op that would have to be kept for this.
fn is_stored(graph: &Graph, id: ValueId) -> bool {
    !matches!(
        graph.node(id).kind,
        Kind::Op(Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_) | Op::Broadcast(_))
    )
}
