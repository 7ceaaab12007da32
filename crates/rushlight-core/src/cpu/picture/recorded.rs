//! The graph as it was recorded, with what became of each op.

use super::canvas::{Canvas, Values, body_input, edge, is_effects, plain};
use super::compiled::Found;
use crate::cpu::lower::place::Storage;
use crate::graph::{Graph, Kind, Node, ValueId};
use crate::ops::Op;
use crate::profile::{PictureEdge, PictureNode};

/// Draws a recorded function.
pub(super) fn draw(graph: &Graph, found: &mut Found) -> Vec<PictureNode> {
    let mut canvas = Canvas::default();
    let mut values = Values::of(graph, &|kind| is_effects(graph, kind));
    nodes(&mut canvas, graph, &mut values, None, found);
    let made = canvas.assignments(graph, |id, _| values.get(id));
    let assigned = made.into_iter().map(|(variable, node)| (Storage::Variable(variable), node));
    let ends: Vec<(Storage, usize)> = assigned.collect();
    let made = canvas.results(graph, |id, _| values.get(id));
    let results = made.into_iter().map(|(number, node)| (Storage::Output(number), node));
    for (storage, node) in ends.into_iter().chain(results) {
        let (shares, bytes) = found.of_end(storage);
        let node = &mut canvas.nodes[node];
        (node.shares, node.bytes) = (shares.to_vec(), node.bytes.max(bytes));
    }
    canvas.nodes
}

/// Draws the nodes of a function, or of a body with what it is given.
fn nodes(
    canvas: &mut Canvas,
    graph: &Graph,
    values: &mut Values,
    given: Option<&[Option<PictureEdge>]>,
    found: &mut Found,
) {
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = ValueId { node: index as u32, output: 0 };
        if let (Some(given), Some(number)) = (given, body_input(&node.kind)) {
            values.put_all(id, 1, |_| given[number]);
            continue;
        }
        if is_effects(graph, &node.kind) {
            continue;
        }
        let inputs: Vec<Option<PictureEdge>> = node.inputs.iter().map(|&id| values.get(id)).collect();
        let is_count = |input: usize| values.is_count(node.inputs[input]);
        let ends = bodies(canvas, node, &inputs, &is_count, found);
        let is_control = ends.is_some();
        let mut picture = plain(graph, node);
        picture.inputs = ends.unwrap_or(inputs).into_iter().flatten().collect();
        let (shares, bytes) = found.take_op(&node.origin);
        picture.shares = shares;
        picture.bytes += bytes;
        let drawn = canvas.push(picture);
        if is_control {
            canvas.leave();
        }
        values.put_all(id, node.outputs.len(), |output| Some(edge(drawn, output)));
    }
}

/// Draws the bodies of a loop or a branch; gives what the op itself reads then, which is to be drawn next.
fn bodies(
    canvas: &mut Canvas,
    node: &Node,
    outer: &[Option<PictureEdge>],
    is_count: &dyn Fn(usize) -> bool,
    found: &mut Found,
) -> Option<Vec<Option<PictureEdge>>> {
    let (name, parts, leading) = match &node.kind {
        Kind::Op(Op::Loop(op)) => (op.name, std::slice::from_ref(&op.body), op.leading()),
        Kind::Op(Op::Branch(op)) => (op.name, &op.branches[..], 1),
        _ => return None,
    };
    canvas.enter(name, node.origin.path.as_ref());
    let mut ends: Vec<Option<PictureEdge>> = outer[..leading].to_vec();
    for (number, body) in parts.iter().enumerate() {
        let (given, first) = match &node.kind {
            Kind::Op(Op::Loop(op)) => {
                canvas.part(Some("body"));
                let counts = |number: usize| number > 0 && is_count(leading + number - 1);
                (canvas.given_to_loop(op, outer, counts), 1)
            }
            _ => {
                canvas.part(Some(&format!("branch_{number}")));
                (outer[1..].to_vec(), 0)
            }
        };
        let counts = |kind: &Kind| {
            body_input(kind).is_some_and(|number| number >= first && is_count(leading + number - first))
        };
        let mut values = Values::of(body, &counts);
        nodes(canvas, body, &mut values, Some(&given), found);
        ends.extend(body.outputs.iter().map(|&id| values.get(id)));
    }
    canvas.part(None);
    Some(ends)
}
