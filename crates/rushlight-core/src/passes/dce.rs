//! Dead code: drops nodes that neither results nor assignments need.

use crate::graph::{Graph, Kind, Rewriter};

pub(super) fn run(graph: &Graph) -> Graph {
    let mut needed = vec![false; graph.nodes.len()];
    graph.roots().for_each(|id| needed[id.node as usize] = true);
    for index in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[index];
        // Arguments stay, so that the signature does.
        needed[index] |= matches!(node.kind, Kind::Input(_));
        if needed[index] {
            node.inputs.iter().for_each(|id| needed[id.node as usize] = true);
        }
    }
    let mut rewriter = Rewriter::new(graph);
    for index in (0..graph.nodes.len()).filter(|&index| needed[index]) {
        rewriter.keep(index);
    }
    rewriter.finish()
}
