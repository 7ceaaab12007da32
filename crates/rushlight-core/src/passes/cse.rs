//! Common subexpressions: equal ops on equal inputs are computed once.

use crate::graph::{Graph, Inputs, Kind, Rewriter, ValueId};
use std::collections::HashMap;

pub(super) fn run(graph: &Graph) -> Graph {
    let mut seen: HashMap<(Kind, Inputs), u32> = HashMap::new();
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        let key = (node.kind.clone(), rewriter.new_inputs(node));
        match seen.get(&key) {
            Some(&earlier) => {
                let sources = node.origin.sources.iter().copied();
                rewriter.nodes[earlier as usize].origin.sources.extend(sources);
                for output in 0..node.outputs.len() as u32 {
                    rewriter
                        .replace(ValueId { node: index as u32, output }, ValueId { node: earlier, output });
                }
            }
            None => {
                let new = rewriter.keep(index);
                seen.insert(key, new.node);
            }
        }
    }
    rewriter.finish()
}
