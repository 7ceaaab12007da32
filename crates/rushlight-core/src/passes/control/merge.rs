//! A loop and the forward loop that its gradient asked for become one.

use crate::graph::{Graph, Inputs, Kind, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::control::Loop;
use std::collections::HashMap;
use std::sync::Arc;

/// Loops of one family on the same inputs differ only in how much they stack: the one that stacks most does for all
/// that stack no more than the original.
pub(super) fn run(graph: &Graph) -> Graph {
    let mut families: HashMap<(u64, Inputs), Vec<usize>> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if let Kind::Op(Op::Loop(op)) = &node.kind {
            families.entry((op.family, node.inputs.clone())).or_default().push(index);
        }
    }
    let loop_at = |index: usize| match &graph.nodes[index].kind {
        Kind::Op(Op::Loop(op)) => op.clone(),
        _ => unreachable!("only loops have a family"),
    };
    // By node: the loop that is made there, and by node: where its results are found.
    let mut made: HashMap<usize, usize> = HashMap::new();
    let mut found: HashMap<usize, usize> = HashMap::new();
    for members in families.into_values().filter(|members| members.len() > 1) {
        let stacked = |&index: &usize| loop_at(index).stacked;
        let least = members.iter().map(stacked).min().unwrap_or(0);
        let widest = *members.iter().max_by_key(|index| stacked(index)).expect("a family has members");
        let first = members[0];
        let joining: Vec<usize> =
            members.iter().copied().filter(|index| stacked(index) == least || *index == widest).collect();
        // Its inputs are there where the first one's are: they are the same.
        if joining.contains(&first) {
            made.insert(first, widest);
            joining.into_iter().filter(|&index| index != first).for_each(|index| {
                found.insert(index, first);
            });
        }
    }
    let mut rewriter = Rewriter::new(graph);
    let mut results: HashMap<usize, (u32, Arc<Loop>)> = HashMap::new();
    for index in 0..graph.nodes.len() {
        if let Some(&widest) = made.get(&index) {
            let node = &graph.nodes[widest];
            let inputs = rewriter.new_inputs(&graph.nodes[index]);
            let new = rewriter.push(crate::graph::Node { inputs, ..node.clone() });
            results.insert(index, (new.node, loop_at(widest)));
        }
        let home = found.get(&index).copied().unwrap_or(index);
        let Some((node, wide)) = results.get(&home).cloned() else {
            rewriter.keep(index);
            continue;
        };
        let narrow = loop_at(index);
        let mut outputs: Vec<u32> = (0..(narrow.carried + narrow.stacked) as u32).collect();
        if narrow.has_condition() {
            outputs.push((wide.carried + wide.stacked) as u32);
        }
        let outputs: Vec<ValueId> = outputs.into_iter().map(|output| ValueId { node, output }).collect();
        rewriter.replace_all(index, &outputs);
    }
    rewriter.finish()
}
