//! A walk through a graph with a limit of memory. Where a node's results find no room, values are given up that are
//! cheap to have back, large, and not read for long; they are computed again when they are read.

use super::values::{Home, Values};
use crate::graph::{Graph, Inputs, Kind, Node, Rewriter, ValueId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Nodes in the new graph for each in the old one; with more, a limit counts as impossible.
const MOST_NODES: usize = 4;

/// A graph that computes some values more than once, so as to need less memory.
pub(super) struct Schedule {
    pub(super) graph: Graph,
    /// The most memory that the walk needed.
    pub(super) peak: usize,
}

impl Schedule {
    /// Nothing if the limit is too low.
    pub(super) fn make(graph: &Graph, values: &Values, limit: usize) -> Option<Schedule> {
        let mut walk = Walk {
            graph,
            values,
            limit,
            rewriter: Rewriter::new(graph),
            at: 0,
            here: BTreeMap::new(),
            nowhere: HashMap::new(),
            held: BTreeMap::new(),
            given_up: BTreeSet::new(),
            blocks: vec![Block::NotYet; values.blocks.len()],
            used: 0,
            peak: 0,
        };
        for index in 0..graph.nodes.len() {
            walk.at = index;
            walk.node(index)?;
        }
        walk.at = graph.nodes.len();
        let mut held = Vec::new();
        for root in graph.roots() {
            let id = walk.fetch(root, &mut held)?;
            walk.rewriter.replace(root, id);
        }
        let peak = walk.peak;
        Some(Schedule { graph: crate::passes::without_dead_code(&walk.rewriter.finish()), peak })
    }
}

/// A block of memory that several values share.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    NotYet,
    InUse,
    Free,
}

struct Walk<'a> {
    graph: &'a Graph,
    values: &'a Values,
    limit: usize,
    rewriter: Rewriter<'a>,
    /// The node of the old graph that the walk has come to.
    at: usize,
    /// The values that are in memory now, with what stands for them in the new graph.
    here: BTreeMap<ValueId, ValueId>,
    /// The same for values that are nowhere, with what the new node reads.
    nowhere: HashMap<ValueId, (Inputs, ValueId)>,
    /// Values that must stay, because a node is about to read them; how often.
    held: BTreeMap<ValueId, u32>,
    /// Values that will be computed again.
    given_up: BTreeSet<ValueId>,
    blocks: Vec<Block>,
    used: usize,
    peak: usize,
}

impl Walk<'_> {
    fn id(node: usize, output: usize) -> ValueId {
        ValueId { node: node as u32, output: output as u32 }
    }

    /// The node in its old place.
    fn node(&mut self, index: usize) -> Option<()> {
        let outputs = self.graph.nodes[index].outputs.len();
        let homes = (0..outputs).map(|output| self.values.home(Walk::id(index, output)));
        let homes: Vec<Home> = homes.collect();
        if homes.iter().all(|home| *home == Home::Nowhere) {
            // It is made when it is first read.
            return Some(());
        }
        if homes.contains(&Home::Given) {
            self.rewriter.keep(index);
            return Some(());
        }
        self.run(index, None)?;
        let values = self.values;
        values.read[index].iter().for_each(|&id| self.let_go(id));
        (0..outputs).for_each(|output| self.let_go(Walk::id(index, output)));
        self.free_blocks();
        Some(())
    }

    /// Computes a node's results, or again one of them.
    fn run(&mut self, index: usize, wanted: Option<usize>) -> Option<()> {
        if self.rewriter.nodes.len() > MOST_NODES * self.graph.nodes.len() {
            return None;
        }
        let (graph, values) = (self.graph, self.values);
        let node = &graph.nodes[index];
        let mut held: Vec<ValueId> =
            values.read[index].iter().copied().filter(|id| self.here.contains_key(id)).collect();
        held.iter().for_each(|&id| self.hold(id));
        let mut inputs = Inputs::new();
        for &input in &node.inputs {
            inputs.push(self.fetch(input, &mut held)?);
        }
        let outputs: Vec<usize> = match wanted {
            Some(output) => vec![output],
            None => (0..node.outputs.len()).collect(),
        };
        self.make_room(self.bytes_of(index, &outputs))?;
        let made = match (&node.kind, wanted) {
            (Kind::Fused(fused), Some(output)) if node.outputs.len() > 1 => {
                let (fused, used) = fused.only(output);
                let inputs = used.iter().map(|&number| inputs[number]).collect();
                let outputs = smallvec::smallvec![node.outputs[output].clone()];
                let kind = Kind::Fused(Arc::new(fused));
                vec![self.rewriter.push(Node { kind, inputs, outputs, origin: node.origin.clone() })]
            }
            _ => {
                let first = self.rewriter.push(Node { inputs, ..node.clone() });
                outputs.iter().map(|&output| ValueId { output: output as u32, ..first }).collect()
            }
        };
        for (&output, id) in outputs.iter().zip(made) {
            let old = Walk::id(index, output);
            match values.home(old) {
                Home::Own(bytes) => self.used += bytes,
                Home::Shared(block) if self.blocks[block] == Block::NotYet => {
                    self.blocks[block] = Block::InUse;
                    self.used += values.blocks[block].0;
                }
                _ => {}
            }
            self.here.insert(old, id);
            self.given_up.remove(&old);
            if wanted.is_none() {
                self.rewriter.replace(old, id);
            }
        }
        self.peak = self.peak.max(self.used);
        for id in held {
            self.release(id);
            // What was computed only for this is not kept.
            if values.next_reader(id, self.at).is_none() {
                self.let_go(id);
            }
        }
        Some(())
    }

    /// What stands for a value in the new graph now; computes it again if it was given up, and holds what it reads.
    fn fetch(&mut self, id: ValueId, held: &mut Vec<ValueId>) -> Option<ValueId> {
        match self.values.home(id) {
            Home::Given => Some(self.rewriter.new_id(id)),
            Home::Shared(_) => self.here.get(&id).copied(),
            Home::Own(_) => {
                if !self.here.contains_key(&id) {
                    self.run(id.node as usize, Some(id.output as usize))?;
                }
                self.hold(id);
                held.push(id);
                self.here.get(&id).copied()
            }
            Home::Nowhere => {
                let node = &self.graph.nodes[id.node as usize];
                let mut inputs = Inputs::new();
                for &input in &node.inputs {
                    inputs.push(self.fetch(input, held)?);
                }
                if let Some((known, made)) = self.nowhere.get(&id)
                    && *known == inputs
                {
                    return Some(*made);
                }
                let first = self.rewriter.push(Node { inputs: inputs.clone(), ..node.clone() });
                let made = ValueId { output: id.output, ..first };
                if self.nowhere.insert(id, (inputs, made)).is_none() {
                    self.rewriter.replace(id, made);
                }
                Some(made)
            }
        }
    }

    /// Bytes that results take beyond those of values that are read for the last time and give them their memory.
    fn bytes_of(&self, index: usize, outputs: &[usize]) -> usize {
        let values = self.values;
        let bytes = |&output: &usize| {
            let id = Walk::id(index, output);
            match values.home(id) {
                Home::Own(bytes) => {
                    let is_last = |other: ValueId| values.next_reader(other, index + 1).is_none();
                    let gives = |&other: &ValueId| values.same_memory(id, other) && is_last(other);
                    if self.at == index && values.read[index].iter().any(gives) { 0 } else { bytes }
                }
                Home::Shared(block) if self.blocks[block] == Block::NotYet => values.blocks[block].0,
                _ => 0,
            }
        };
        outputs.iter().map(bytes).sum()
    }

    fn hold(&mut self, id: ValueId) {
        *self.held.entry(id).or_default() += 1;
    }

    fn release(&mut self, id: ValueId) {
        if let Some(count) = self.held.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&id);
            }
        }
    }

    /// Forgets a value that nobody will read after the node that the walk has come to.
    fn let_go(&mut self, id: ValueId) {
        let Home::Own(bytes) = self.values.home(id) else { return };
        let is_done = self.values.next_reader(id, self.at + 1).is_none();
        if is_done && !self.held.contains_key(&id) && self.here.remove(&id).is_some() {
            self.used -= bytes;
        }
    }

    /// Frees the blocks whose values nobody reads any more, unless something given up is made of them.
    fn free_blocks(&mut self) {
        let values = self.values;
        for (block, (bytes, members)) in values.blocks.iter().enumerate() {
            let is_read =
                |id: &ValueId| !self.here.contains_key(id) || values.next_reader(*id, self.at + 1).is_some();
            let needed = |id: &ValueId| values.sources(*id).contains(&block);
            if self.blocks[block] == Block::InUse
                && *bytes > 0
                && !members.iter().any(is_read)
                && !self.given_up.iter().any(needed)
            {
                self.blocks[block] = Block::Free;
                self.used -= bytes;
            }
        }
    }

    /// Gives values up until there is room.
    fn make_room(&mut self, bytes: usize) -> Option<()> {
        while self.used.saturating_add(bytes) > self.limit {
            let victim = self.cheapest()?;
            let Home::Own(bytes) = self.values.home(victim) else { return None };
            self.here.remove(&victim);
            self.given_up.insert(victim);
            self.used -= bytes;
        }
        Some(())
    }

    /// The value whose loss costs least for its size and for how long it is not read.
    fn cheapest(&self) -> Option<ValueId> {
        let mut best: Option<(f64, ValueId)> = None;
        for &id in self.here.keys() {
            let Home::Own(bytes) = self.values.home(id) else { continue };
            let gone = |block: &usize| self.blocks[*block] == Block::Free;
            if self.held.contains_key(&id) || bytes == 0 || self.values.sources(id).iter().any(gone) {
                continue;
            }
            let next = self.values.next_reader(id, self.at).unwrap_or(usize::MAX);
            let distance = (next - self.at).max(1) as f64;
            let mut seen = BTreeSet::new();
            let price = self.repair(id, &mut seen) / (bytes as f64 * distance);
            if best.is_none_or(|(least, _)| price < least) {
                best = Some((price, id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// Seconds to compute a value again, with everything that it needs and that is not there.
    fn repair(&self, id: ValueId, seen: &mut BTreeSet<ValueId>) -> f64 {
        if !seen.insert(id) {
            return 0.0;
        }
        let node = id.node as usize;
        let missing = |input: &&ValueId| {
            matches!(self.values.home(**input), Home::Own(_)) && !self.here.contains_key(input)
        };
        let missing: Vec<ValueId> = self.values.read[node].iter().filter(missing).copied().collect();
        self.values.seconds[node] + missing.into_iter().map(|input| self.repair(input, seen)).sum::<f64>()
    }
}
