//! What each value of a graph takes in memory, for how long, and what it costs to compute.

use crate::cpu::lower::Lowered;
use crate::cpu::lower::place::Storage;
use crate::graph::{Graph, Kind, ValueId};
use crate::ops::Op;
use crate::tensor::Dims;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Home {
    /// Outside of the plan's memory: arguments, variables, constants.
    Given,
    /// In a block that it shares with others (the parts of a concatenation), or that must stay: by number.
    Shared(usize),
    /// In memory of its own, of so many bytes: it can be given up and computed again.
    Own(usize),
    /// Nowhere: another view of its input, or computed where it is read.
    Nowhere,
}

/// Everything that a schedule asks about values and nodes.
pub(super) struct Values {
    homes: HashMap<ValueId, Home>,
    /// Bytes of the blocks, by number, and the values that lie in them.
    pub(super) blocks: Vec<(usize, Vec<ValueId>)>,
    /// By node: the values in memory that it reads, also by way of others that are nowhere.
    pub(super) read: Vec<Vec<ValueId>>,
    /// By value: the nodes that read it, in order; the number of all nodes stands for results.
    readers: HashMap<ValueId, Vec<usize>>,
    /// By value with memory of its own: the blocks from which it can be computed.
    sources: HashMap<ValueId, BTreeSet<usize>>,
    /// By node: about how many seconds it takes.
    pub(super) seconds: Vec<f64>,
    storages: HashMap<ValueId, usize>,
}

impl Values {
    pub(super) fn of(graph: &Graph, lowered: &Lowered) -> Values {
        let storages = storages(graph, lowered);
        let mut residents: BTreeMap<usize, Vec<ValueId>> = BTreeMap::new();
        ids(graph).for_each(|id| {
            if let Some(&storage) = storages.get(&id) {
                residents.entry(storage).or_default().push(id);
            }
        });
        let (mut homes, mut blocks) = (HashMap::new(), Vec::new());
        for (storage, values) in residents {
            let is_concatenation = |id: &ValueId| matches!(graph.node(*id).kind, Kind::Op(Op::Concat(_)));
            let shared = values.len() > 1 && values.iter().any(is_concatenation);
            let fixed = |id: &ValueId| !is_repeatable(&graph.node(*id).kind);
            if shared || values.iter().any(fixed) {
                homes.extend(values.iter().map(|&id| (id, Home::Shared(blocks.len()))));
                blocks.push((lowered.temporary_bytes[storage], values));
            } else {
                homes.extend(values.iter().map(|&id| (id, Home::Own(lowered.places[&id].bytes()))));
            }
        }
        for id in ids(graph).filter(|id| !storages.contains_key(id)) {
            let home = match (&graph.node(id).kind, lowered.places.get(&id)) {
                (Kind::Input(_) | Kind::Variable(_) | Kind::Constant(_), _) => Home::Given,
                // A result, or a variable's new value.
                (_, Some(_)) if !is_view(graph, lowered, id) => {
                    blocks.push((0, vec![id]));
                    Home::Shared(blocks.len() - 1)
                }
                _ => Home::Nowhere,
            };
            homes.insert(id, home);
        }
        let mut values = Values {
            homes,
            blocks,
            read: Vec::new(),
            readers: HashMap::new(),
            sources: HashMap::new(),
            seconds: (0..graph.nodes.len()).map(|index| seconds(graph, index)).collect(),
            storages,
        };
        values.follow(graph);
        values
    }

    /// Fills in who reads what.
    fn follow(&mut self, graph: &Graph) {
        let mut behind: HashMap<ValueId, BTreeSet<ValueId>> = HashMap::new();
        let mut readers: HashMap<ValueId, BTreeSet<usize>> = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let read: BTreeSet<ValueId> = node.inputs.iter().flat_map(|id| behind[id].clone()).collect();
            let mut sources = BTreeSet::new();
            for id in &read {
                match self.home(*id) {
                    Home::Shared(block) => {
                        sources.insert(block);
                    }
                    _ => sources.extend(self.sources.get(id).into_iter().flatten().copied()),
                }
            }
            let mut is_somewhere = false;
            for output in 0..node.outputs.len() as u32 {
                let id = ValueId { node: index as u32, output };
                let known = match self.home(id) {
                    Home::Nowhere => read.clone(),
                    Home::Given => BTreeSet::new(),
                    home => {
                        is_somewhere = true;
                        if matches!(home, Home::Own(_)) {
                            self.sources.insert(id, sources.clone());
                        }
                        BTreeSet::from([id])
                    }
                };
                behind.insert(id, known);
            }
            if is_somewhere {
                read.iter().for_each(|id| {
                    readers.entry(*id).or_default().insert(index);
                });
            }
            self.read.push(read.into_iter().collect());
        }
        for id in graph.roots().flat_map(|root| behind[&root].clone()) {
            readers.entry(id).or_default().insert(graph.nodes.len());
        }
        self.readers = readers.into_iter().map(|(id, all)| (id, all.into_iter().collect())).collect();
    }

    pub(super) fn home(&self, id: ValueId) -> Home {
        self.homes[&id]
    }

    /// The next node that reads a value, this one included.
    pub(super) fn next_reader(&self, id: ValueId, from: usize) -> Option<usize> {
        let readers = self.readers.get(&id)?;
        readers.get(readers.partition_point(|&reader| reader < from)).copied()
    }

    /// The blocks that a value with memory of its own is computed from.
    pub(super) fn sources(&self, id: ValueId) -> &BTreeSet<usize> {
        &self.sources[&id]
    }

    /// Whether the plan lets one value take over the memory of the other.
    pub(super) fn same_memory(&self, a: ValueId, b: ValueId) -> bool {
        self.storages.get(&a).is_some_and(|storage| self.storages.get(&b) == Some(storage))
    }
}

fn ids(graph: &Graph) -> impl Iterator<Item = ValueId> {
    let nodes = graph.nodes.iter().enumerate();
    nodes.flat_map(|(node, all)| {
        (0..all.outputs.len() as u32).map(move |output| ValueId { node: node as u32, output })
    })
}

/// The temporary memory of each value that has some, and is not only another view of it.
fn storages(graph: &Graph, lowered: &Lowered) -> HashMap<ValueId, usize> {
    let temporary = |id: ValueId| match lowered.places.get(&id)?.storage {
        Storage::Temporary(number) if !is_view(graph, lowered, id) => Some((id, number)),
        _ => None,
    };
    ids(graph).filter_map(temporary).collect()
}

/// Whether a value is its input, looked at in another way.
fn is_view(graph: &Graph, lowered: &Lowered, id: ValueId) -> bool {
    let node = graph.node(id);
    let Kind::Op(op) = &node.kind else { return false };
    if !matches!(op, Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Flip(_)) {
        return false;
    }
    match (lowered.places.get(&id), lowered.places.get(&node.inputs[0])) {
        (Some(view), Some(input)) => view.storage == input.storage,
        _ => false,
    }
}

/// Whether computing a node twice gives the same without doing anything else twice.
fn is_repeatable(kind: &Kind) -> bool {
    match kind {
        Kind::Op(Op::Effect(_) | Op::Loop(_) | Op::Branch(_)) => false,
        Kind::Op(_) | Kind::Fused(_) => true,
        _ => false,
    }
}

/// About how long a node takes on a machine of a few hundred GFLOP/s and tens of GB/s: only ratios matter.
fn seconds(graph: &Graph, index: usize) -> f64 {
    const FLOPS: f64 = 2e11;
    const BYTES: f64 = 2e10;
    let node = &graph.nodes[index];
    let inputs: Vec<Dims> = node.inputs.iter().map(|&id| graph.spec(id).dims.clone()).collect();
    let outputs: Vec<Dims> = node.outputs.iter().map(|spec| spec.dims.clone()).collect();
    let flops = match &node.kind {
        Kind::Op(op) => op.flops(&inputs, &outputs) as f64,
        Kind::Fused(fused) => {
            let points: usize = fused.space(|input| &inputs[input]).iter().product();
            (points * fused.body.len()) as f64
        }
        _ => return 0.0,
    };
    let read: usize = node.inputs.iter().map(|&id| graph.spec(id).bytes()).sum();
    let written: usize = node.outputs.iter().map(|spec| spec.bytes()).sum();
    flops / FLOPS + (read + written) as f64 / BYTES
}
