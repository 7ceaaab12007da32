//! Which values a loop computes once more instead of reading them: those made by a few cheap ops from a single value
//! that the loop reads anyway, or that is kept in memory for somebody else.
//!
//! The mask of a ReLU in the backward pass is one: from the input of the normalization before it, two ops and a comparison
//! tell it, and neither the mask nor what the ReLU gave need stay in memory until then.

use super::fuse::{Groups, is_broadcast, is_reduction, space_of};
use crate::graph::{Graph, Kind, Node, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use std::collections::{HashMap, HashSet};

/// The most ops that are repeated for one value.
const MOST_OPS: usize = 6;

/// Values that groups compute for themselves.
#[derive(Default)]
pub(super) struct Recomputed {
    /// By group and value, what takes part, also in between.
    pub(super) inlined: HashSet<(usize, ValueId)>,
    /// By value: how many reads of it that saves.
    pub(super) saved_reads: HashMap<ValueId, u32>,
}

impl Recomputed {
    pub(super) fn choose(graph: &Graph, groups: &Groups) -> Recomputed {
        let mut recomputed = Recomputed::default();
        let stored = kept_for_others(graph);
        for (group, members) in groups.members.iter().enumerate() {
            let Some(space) = &groups.space[group] else { continue };
            let inputs = members.iter().flat_map(|&member| &graph.nodes[member].inputs).copied();
            let external: Vec<ValueId> = inputs.filter(|id| groups.of(id.node) != group).collect();
            let read: HashSet<ValueId> = external.iter().copied().collect();
            for &id in &external {
                if is_reduction(graph.node(id)) || space_of(graph, graph.node(id)) != Some(space) {
                    continue;
                }
                let is_kept = stored[id.node as usize];
                let at_hand =
                    |leaf: ValueId| read.contains(&leaf) || (!is_kept && stored[leaf.node as usize]);
                let mut cone = Vec::new();
                if collect(graph, id, id, &at_hand, &mut cone) {
                    recomputed.inlined.extend(cone.into_iter().map(|value| (group, value)));
                }
            }
            for id in external.into_iter().filter(|&id| recomputed.inlined.contains(&(group, id))) {
                *recomputed.saved_reads.entry(id).or_default() += 1;
            }
        }
        recomputed
    }
}

/// Collects the ops between a value and what is at hand; false if it takes others, or too many.
fn collect(
    graph: &Graph,
    root: ValueId,
    value: ValueId,
    at_hand: &impl Fn(ValueId) -> bool,
    cone: &mut Vec<ValueId>,
) -> bool {
    let node = graph.node(value);
    if is_broadcast(node) || (value != root && at_hand(value)) || cone.contains(&value) {
        return true;
    }
    if !is_cheap(node) || cone.len() == MOST_OPS {
        return false;
    }
    cone.push(value);
    node.inputs.iter().all(|&input| collect(graph, root, input, at_hand, cone))
}

/// Ops that cost less than a read from memory.
fn is_cheap(node: &Node) -> bool {
    match &node.kind {
        Kind::Op(Op::Binary(binary)) => {
            matches!(binary, Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min)
        }
        Kind::Op(Op::Compare(_) | Op::Select) => true,
        _ => false,
    }
}

/// By node: whether its value is in memory whatever loops do, because something else reads or gives it.
fn kept_for_others(graph: &Graph) -> Vec<bool> {
    let mut kept: Vec<bool> = graph
        .nodes
        .iter()
        .map(|node| matches!(node.kind, Kind::Input(_) | Kind::Variable(_) | Kind::Constant(_)))
        .collect();
    graph.roots().for_each(|id| kept[id.node as usize] = true);
    for node in graph.nodes.iter().filter(|node| space_of(graph, node).is_none()) {
        node.inputs.iter().for_each(|id| kept[id.node as usize] = true);
    }
    kept
}
