//! Products of matrices of little depth that only a loop over their elements reads: both are done together.

use crate::cpu::lower::body::Users;
use crate::graph::{Graph, Kind, Node, ValueId};
use crate::ops::Op;
use crate::tensor::DType;
use std::collections::{HashMap, HashSet};

/// The largest depth: beyond it, the product takes so long that writing and reading it does not count.
const MOST_DEPTH: usize = 256;
/// From as many elements on.
const FEWEST_ELEMENTS: usize = 8 * 1024;
/// A row at a time has to stay in the second-level cache.
const MOST_COLUMNS: usize = 4096;

/// Which loops do the product that they read.
pub(super) struct Products {
    /// The product's node by that of the loop.
    by_loop: HashMap<usize, usize>,
    taken: HashSet<usize>,
}

impl Products {
    pub(super) fn find(graph: &Graph, users: &Users) -> Products {
        let mut by_loop = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            if let [Some(reader)] = users[index][..]
                && is_shallow(graph, node)
                && reads_elements(graph, reader, index)
            {
                by_loop.entry(reader).or_insert(index);
            }
        }
        let taken = by_loop.values().copied().collect();
        Products { by_loop, taken }
    }

    /// The product that the loop does.
    pub(super) fn at(&self, reader: usize) -> Option<usize> {
        self.by_loop.get(&reader).copied()
    }

    /// Whether a loop does that product.
    pub(super) fn is_taken(&self, index: usize) -> bool {
        self.taken.contains(&index)
    }

    /// Factors are read until the loop has ended, which may not write over them.
    pub(super) fn extend_lives(&self, graph: &Graph, last_use: &mut HashMap<ValueId, usize>) {
        for (&reader, &product) in &self.by_loop {
            for &factor in &graph.nodes[product].inputs {
                let last = last_use.entry(factor).or_insert(0);
                *last = (*last).max(reader + 1);
            }
        }
    }
}

fn is_shallow(graph: &Graph, node: &Node) -> bool {
    let Kind::Op(Op::Dot(dot)) = &node.kind else { return false };
    let product = &node.outputs[0];
    let [m, n] = product.dims[..] else { return false };
    let depth = graph.spec(node.inputs[0]).dims[usize::from(!dot.transpose_left)];
    matches!(product.dtype, DType::F32 | DType::F64)
        && m * n >= FEWEST_ELEMENTS
        && (1..=MOST_COLUMNS).contains(&n)
        && (1..=MOST_DEPTH).contains(&depth)
}

/// Whether a node is a loop over the product's elements that reduces nothing.
fn reads_elements(graph: &Graph, reader: usize, product: usize) -> bool {
    let node = &graph.nodes[reader];
    let Kind::Fused(fused) = &node.kind else { return false };
    let space = fused.space(|input| &graph.spec(node.inputs[input]).dims);
    *space == graph.nodes[product].outputs[0].dims
        && fused.body.iter().all(|step| !matches!(step.op, Op::Reduce(_)))
        && node.outputs.iter().all(|output| output.dims == *space)
}
