//! Elementwise fusion: ops over the same elements, and the reductions at their end, become one loop.
//!
//! A group holds ops of one iteration space. An op joins the group of one of its inputs unless another of its
//! inputs needs that group to have run. Broadcasts are taken into every group that reads them: they cost nothing. So are
//! values that are made by a few cheap ops from what the reading group has at hand (`recompute`).

use super::recompute::Recomputed;
use crate::graph::{Aside, Fused, FusedOp, Graph, Inputs, Kind, Node, Operand, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::reduce::Reduction;
use crate::tensor::{Axes, Dims};
use smallvec::SmallVec;
use std::collections::HashMap;

pub(super) fn run(graph: &Graph) -> Graph {
    let groups = Groups::form(graph);
    groups.rewrite(graph)
}

/// Whether a node can be part of a loop, and over which iteration space.
pub(super) fn space_of<'a>(graph: &'a Graph, node: &'a Node) -> Option<&'a Dims> {
    match &node.kind {
        Kind::Op(Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_)) => {
            let dims = &node.outputs[0].dims;
            (!dims.contains(&0)).then_some(dims)
        }
        Kind::Op(Op::Reduce(reduce))
            if matches!(reduce.kind, Reduction::Sum | Reduction::Max | Reduction::Min) =>
        {
            let dims = &graph.spec(node.inputs[0]).dims;
            (!dims.contains(&0)).then_some(dims)
        }
        _ => None,
    }
}

pub(super) fn is_reduction(node: &Node) -> bool {
    matches!(node.kind, Kind::Op(Op::Reduce(_)))
}

pub(super) fn is_broadcast(node: &Node) -> bool {
    matches!(node.kind, Kind::Op(Op::Broadcast(_)))
}

/// The size up to which the other readers of what a group reads are looked at.
const MOST_LOOKED_AT: usize = 4;

/// Which group each node belongs to; a group of its own if it is not fusible.
pub(super) struct Groups {
    /// By node: its group, before following `merged`.
    of: Vec<usize>,
    /// By group: the group it was merged into, or itself.
    merged: Vec<usize>,
    pub(super) members: Vec<Vec<usize>>,
    /// By group: the iteration space, if its members are fusible.
    pub(super) space: Vec<Option<Dims>>,
    /// By group: the axes that its reductions go over, the same for all of them.
    reduced: Vec<Option<Axes>>,
    /// By search: marks the groups seen, to avoid clearing.
    seen: Vec<u32>,
    search: u32,
}

impl Groups {
    fn form(graph: &Graph) -> Groups {
        let mut groups = Groups {
            of: Vec::new(),
            merged: Vec::new(),
            members: Vec::new(),
            space: Vec::new(),
            reduced: Vec::new(),
            seen: Vec::new(),
            search: 0,
        };
        // Groups that read a value, so that reductions of the same value meet.
        let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let group = groups.add(index, space_of(graph, node).cloned());
            if let Kind::Op(Op::Reduce(reduce)) = &node.kind {
                groups.reduced[group] = Some(reduce.axes.clone());
            }
            let Some(space) = space_of(graph, node) else { continue };
            let mut candidates: SmallVec<[usize; 4]> = node
                .inputs
                .iter()
                .filter(|id| !is_reduction(graph.node(**id)))
                .map(|id| groups.find(groups.of[id.node as usize]))
                .collect();
            if is_reduction(node) {
                candidates.extend(groups.reductions_beside(graph, node, &readers));
            }
            for candidate in candidates {
                // An earlier one may have been merged since: a selection can read two groups by three inputs.
                let (candidate, current) = (groups.find(candidate), groups.find(group));
                if candidate != current
                    && groups.space[candidate].as_ref() == Some(space)
                    && groups.may_merge(graph, candidate, current)
                {
                    groups.merge(candidate, current);
                }
            }
            for &input in &node.inputs {
                readers.entry(input).or_default().push(group);
            }
        }
        groups
    }

    /// Groups that read what a reduction reads, or that reduce what its ops read: both can be had in one pass.
    fn reductions_beside(
        &self,
        graph: &Graph,
        node: &Node,
        readers: &HashMap<ValueId, Vec<usize>>,
    ) -> Vec<usize> {
        let source = node.inputs[0];
        let found = |id: &ValueId| readers.get(id).into_iter().flatten().map(|&group| self.find(group));
        let mut beside: Vec<usize> = found(&source).collect();
        let own = self.of(source.node);
        if self.space[own].is_some() && self.members[own].len() <= MOST_LOOKED_AT {
            let read = self.members[own].iter().flat_map(|&member| &graph.nodes[member].inputs);
            beside.extend(read.flat_map(found).filter(|&group| self.reduced[group].is_some()));
        }
        beside
    }

    fn add(&mut self, node: usize, space: Option<Dims>) -> usize {
        let group = self.members.len();
        self.of.push(group);
        self.merged.push(group);
        self.members.push(vec![node]);
        self.space.push(space);
        self.reduced.push(None);
        self.seen.push(0);
        group
    }

    /// The group that a node is in.
    pub(super) fn of(&self, node: u32) -> usize {
        self.find(self.of[node as usize])
    }

    fn find(&self, mut group: usize) -> usize {
        while self.merged[group] != group {
            group = self.merged[group];
        }
        group
    }

    fn merge(&mut self, into: usize, from: usize) {
        let moved = std::mem::take(&mut self.members[from]);
        self.members[into].extend(moved);
        self.merged[from] = into;
        let axes = self.reduced[from].take();
        self.reduced[into] = self.reduced[into].take().or(axes);
    }

    /// Two groups may become one if neither needs the other through a third, and no member reads a member's total.
    fn may_merge(&mut self, graph: &Graph, a: usize, b: usize) -> bool {
        let one_reduction = match (&self.reduced[a], &self.reduced[b]) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        one_reduction && !self.reaches(graph, a, b) && !self.reaches(graph, b, a)
    }

    /// Whether `from` needs `to` by a way that leaves `from` through another group, or through a reduction of `to`.
    fn reaches(&mut self, graph: &Graph, from: usize, to: usize) -> bool {
        self.search += 1;
        let mut pending: Vec<usize> = Vec::new();
        let mut first = true;
        pending.push(from);
        while let Some(group) = pending.pop() {
            for position in 0..self.members[group].len() {
                let member = self.members[group][position];
                for &input in &graph.nodes[member].inputs {
                    let next = self.find(self.of[input.node as usize]);
                    if next == group {
                        continue;
                    }
                    if next == to {
                        // A direct read of an element is what fusion is for; anything else needs `to` finished.
                        if !first || is_reduction(graph.node(input)) {
                            return true;
                        }
                        continue;
                    }
                    if self.seen[next] != self.search {
                        self.seen[next] = self.search;
                        pending.push(next);
                    }
                }
            }
            first = false;
        }
        false
    }

    fn rewrite(&self, graph: &Graph) -> Graph {
        let recomputed = Recomputed::choose(graph, self);
        let order = self.order(graph);
        let mut uses = graph.use_counts();
        for (value, &count) in &recomputed.saved_reads {
            uses[value.node as usize][value.output as usize] -= count;
        }
        let mut rewriter = Rewriter::new(graph);
        for group in order {
            let members = &self.members[group];
            if self.space[group].is_none() {
                rewriter.keep(members[0]);
            } else {
                self.fuse(graph, group, &uses, &recomputed, &mut rewriter);
            }
        }
        rewriter.finish()
    }

    /// The groups in an order in which each comes after those it reads, near to the order of recording.
    fn order(&self, graph: &Graph) -> Vec<usize> {
        let mut order = Vec::new();
        let mut state = vec![0u8; self.members.len()];
        for start in 0..self.of.len() {
            let mut stack = vec![(self.find(self.of[start]), false)];
            while let Some((group, finished)) = stack.pop() {
                if finished {
                    order.push(group);
                    state[group] = 2;
                    continue;
                }
                if state[group] != 0 {
                    continue;
                }
                state[group] = 1;
                stack.push((group, true));
                for &member in self.members[group].iter().rev() {
                    for input in graph.nodes[member].inputs.iter().rev() {
                        let next = self.find(self.of[input.node as usize]);
                        if state[next] == 0 {
                            stack.push((next, false));
                        }
                    }
                }
            }
        }
        order
    }

    fn fuse(
        &self,
        graph: &Graph,
        group: usize,
        uses: &[SmallVec<[u32; 1]>],
        recomputed: &Recomputed,
        rewriter: &mut Rewriter,
    ) {
        let mut members = self.members[group].clone();
        members.sort_unstable();
        let mut body = Body::default();
        let mut inner_uses: HashMap<usize, u32> = HashMap::new();
        for &member in &members {
            let node = &graph.nodes[member];
            let mut operands = SmallVec::new();
            for &input in &node.inputs {
                if body.place.contains_key(&input.node) {
                    *inner_uses.entry(input.node as usize).or_default() += 1;
                }
                let inline = |value| recomputed.inlined.contains(&(group, value));
                operands.push(body.operand(graph, rewriter, input, &inline));
            }
            body.push(graph, member, operands);
        }
        let kept: Vec<usize> = members
            .iter()
            .copied()
            .filter(|member| uses[*member][0] > inner_uses.get(member).copied().unwrap_or(0))
            .collect();
        if kept.is_empty() {
            // Whoever needs these values computes them from what they are made of.
            return;
        }
        let results: SmallVec<[usize; 2]> = kept.iter().map(|member| body.place[&(*member as u32)]).collect();
        let outputs = results.iter().map(|&number| body.ops[number].output.clone()).collect();
        let last = &graph.nodes[*members.last().expect("a group has members")];
        let node = rewriter.push(Node {
            kind: Kind::Fused(std::sync::Arc::new(Fused { body: body.ops, results })),
            inputs: body.inputs,
            outputs,
            origin: last.origin.clone(),
        });
        for (output, member) in kept.into_iter().enumerate() {
            let old = ValueId { node: member as u32, output: 0 };
            rewriter.replace(old, ValueId { node: node.node, output: output as u32 });
        }
    }
}

/// The body of a fused node, as it is put together.
#[derive(Default)]
struct Body {
    ops: Vec<FusedOp>,
    inputs: Inputs,
    /// By node: where its op is.
    place: HashMap<u32, usize>,
    input_numbers: HashMap<ValueId, usize>,
}

impl Body {
    /// The operand for a value: of the body, an input, or computed here once more.
    fn operand(
        &mut self,
        graph: &Graph,
        rewriter: &Rewriter,
        value: ValueId,
        inline: &impl Fn(ValueId) -> bool,
    ) -> Operand {
        if let Some(&number) = self.place.get(&value.node) {
            return Operand::Body(number);
        }
        let producer = graph.node(value);
        if is_broadcast(producer) {
            let narrow = self.input(rewriter, producer.inputs[0]);
            return self.push(graph, value.node as usize, SmallVec::from_elem(narrow, 1));
        }
        if inline(value) {
            let operands =
                producer.inputs.iter().map(|&input| self.operand(graph, rewriter, input, inline)).collect();
            return self.push(graph, value.node as usize, operands);
        }
        self.input(rewriter, value)
    }

    fn input(&mut self, rewriter: &Rewriter, value: ValueId) -> Operand {
        let inputs = &mut self.inputs;
        Operand::Input(*self.input_numbers.entry(value).or_insert_with(|| {
            inputs.push(rewriter.new_id(value));
            inputs.len() - 1
        }))
    }

    fn push(&mut self, graph: &Graph, node: usize, inputs: SmallVec<[Operand; 3]>) -> Operand {
        let producer = &graph.nodes[node];
        let Kind::Op(op) = &producer.kind else { unreachable!("only ops are fused") };
        let origin = Aside(producer.origin.clone());
        self.ops.push(FusedOp { op: op.clone(), inputs, output: producer.outputs[0].clone(), origin });
        self.place.insert(node as u32, self.ops.len() - 1);
        Operand::Body(self.ops.len() - 1)
    }
}
