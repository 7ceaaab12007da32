//! Products of the rows that a loop reads with a matrix that stays the same are taken before it, all at once.

use crate::graph::{Graph, Inputs, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::control::{Loop, Turns};
use crate::tensor::Dims;
use smallvec::SmallVec;
use std::sync::Arc;

/// From as many lines in a row on, a product is no faster together with those of other turns.
const MOST_LINES: usize = 32;
/// The most elements of the products of all turns.
const MOST_ELEMENTS: usize = 1 << 24;

pub(super) fn run(graph: &Graph) -> Graph {
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        let products = match &node.kind {
            Kind::Op(Op::Loop(op)) => products(op),
            _ => Vec::new(),
        };
        match &node.kind {
            Kind::Op(Op::Loop(op)) if !products.is_empty() => {
                take_out(&mut rewriter, index, node, op, &products)
            }
            _ => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

/// A product in the body by its node, and its factors by the numbers of the body's inputs.
struct Product {
    at: usize,
    row: usize,
    matrix: usize,
}

fn products(op: &Loop) -> Vec<Product> {
    let body = &op.body;
    let Turns::Fixed(turns) = op.turns else { return Vec::new() };
    let rows = 1 + op.carried..1 + op.carried + op.sliced;
    let input = |id: ValueId| match body.node(id).kind {
        Kind::Input(number) => Some(number),
        _ => None,
    };
    let product = |(at, node): (usize, &Node)| {
        let Kind::Op(Op::Dot(dot)) = &node.kind else { return None };
        let (row, matrix) = (input(node.inputs[0])?, input(node.inputs[1])?);
        let [lines, columns] = node.outputs[0].dims[..] else { return None };
        let pays = turns > 1 && lines < MOST_LINES && turns * lines * columns <= MOST_ELEMENTS;
        (pays && !dot.transpose_left && rows.contains(&row) && matrix >= rows.end).then_some(Product {
            at,
            row,
            matrix,
        })
    };
    body.nodes.iter().enumerate().filter_map(product).collect()
}

fn take_out(rewriter: &mut Rewriter, index: usize, node: &Node, op: &Loop, products: &[Product]) {
    let body = &op.body;
    let first_captured = 1 + op.carried + op.sliced;
    let outer = |number: usize| op.leading() + number - 1;
    let mut inputs: Inputs = rewriter.new_inputs(node);
    let mut stacks: SmallVec<[ValueId; 4]> = SmallVec::new();
    for product in products {
        let inner = &body.nodes[product.at];
        let (stack, matrix) = (inputs[outer(product.row)], inputs[outer(product.matrix)]);
        let mut dims: Dims = body.spec(inner.inputs[1]).dims.clone();
        dims.insert(0, rewriter.nodes[stack.node as usize].outputs[stack.output as usize].dims[0]);
        let repeated = rewriter.op(Op::Broadcast(dims), &[matrix], &inner.origin);
        let Kind::Op(dot) = &inner.kind else { unreachable!("a product is an op") };
        stacks.push(rewriter.op(dot.clone(), &[stack, repeated], &inner.origin));
    }
    inputs.insert_many(outer(first_captured), stacks);
    // Inside, a row of its products stands for each; what is captured comes behind them.
    let mut body = body.clone();
    for node in &mut body.nodes {
        if let Kind::Input(number) = &mut node.kind
            && *number >= first_captured
        {
            *number += products.len();
        }
    }
    let mut rows: SmallVec<[ValueId; 4]> = SmallVec::new();
    for (number, product) in products.iter().enumerate() {
        let inner = &mut body.nodes[product.at];
        (inner.kind, inner.inputs) = (Kind::Input(first_captured + number), Inputs::new());
        rows.push(ValueId { node: product.at as u32, output: 0 });
    }
    body.inputs.splice(first_captured..first_captured, rows);
    let op = Loop { body, sliced: op.sliced + products.len(), ..op.clone() };
    let new = rewriter.push(Node { kind: Kind::Op(Op::Loop(Arc::new(op))), inputs, ..node.clone() });
    let results: SmallVec<[ValueId; 8]> =
        (0..node.outputs.len() as u32).map(|output| ValueId { output, ..new }).collect();
    rewriter.replace_all(index, &results);
}
