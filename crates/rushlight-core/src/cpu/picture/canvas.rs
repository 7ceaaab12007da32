//! What both pictures have in common: plain nodes, the ends of a function, bodies of loops and branches, and the order of
//! effects as edges without a value.

use crate::cpu::lower::place::Storage;
use crate::graph::{Graph, Kind, Node, Origin, ValueId};
use crate::ops::Op;
use crate::ops::control::Loop;
use crate::profile::{PictureEdge, PictureKind, PictureNode, Within};
use crate::tensor::Spec;
use crate::trace::recorder::EFFECTS;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Nodes drawn so far, and the loops and branches that the next ones lie in.
#[derive(Default)]
pub(super) struct Canvas {
    pub(super) nodes: Vec<PictureNode>,
    within: Vec<Within>,
    controls: usize,
}

pub(super) fn edge(node: usize, output: usize) -> PictureEdge {
    PictureEdge { node, output, is_control: false }
}

/// Where the values of a graph are found, and which of them only count effects.
pub(super) struct Values {
    producers: HashMap<ValueId, PictureEdge>,
    counts: HashSet<ValueId>,
}

impl Values {
    /// None yet. What of the arguments and variables counts effects is told by their nodes.
    pub(super) fn of(graph: &Graph, given: &dyn Fn(&Kind) -> bool) -> Values {
        Values { producers: HashMap::new(), counts: counts(graph, given) }
    }

    pub(super) fn put(&mut self, id: ValueId, at: PictureEdge) {
        self.producers.insert(id, at);
    }

    /// Puts the results of a node where they are found, from the first on.
    pub(super) fn put_all(
        &mut self,
        first: ValueId,
        count: usize,
        at: impl Fn(usize) -> Option<PictureEdge>,
    ) {
        for output in 0..count {
            if let Some(at) = at(output) {
                self.put(ValueId { output: first.output + output as u32, ..first }, at);
            }
        }
    }

    pub(super) fn is_count(&self, id: ValueId) -> bool {
        self.counts.contains(&id)
    }

    /// Where a value comes from; nothing for the number of effects if there were none yet.
    pub(super) fn get(&self, id: ValueId) -> Option<PictureEdge> {
        let &at = self.producers.get(&id)?;
        Some(PictureEdge { is_control: at.is_control || self.is_count(id), ..at })
    }
}

/// The values of a graph that count effects: they come from such values, and go through effects, loops and branches alone.
fn counts(graph: &Graph, given: &dyn Fn(&Kind) -> bool) -> HashSet<ValueId> {
    let mut found: HashSet<ValueId> = HashSet::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = |output: usize| ValueId { node: index as u32, output: output as u32 };
        let is_count = |input: usize| found.contains(&node.inputs[input]);
        let new: Vec<ValueId> = match &node.kind {
            Kind::Op(Op::Effect(_)) => vec![id(0)],
            Kind::Op(Op::Loop(op)) => {
                (0..op.carried).filter(|&at| is_count(op.leading() + at)).map(id).collect()
            }
            Kind::Op(Op::Branch(op)) => {
                let body = &op.branches[0];
                let inner = counts(body, &|kind| matches!(kind, Kind::Input(at) if is_count(1 + at)));
                let of_count = |&at: &usize| inner.contains(&body.outputs[at]);
                (0..op.output_count()).filter(of_count).map(id).collect()
            }
            kind if given(kind) => vec![id(0)],
            _ => Vec::new(),
        };
        found.extend(new);
    }
    found
}

/// Whether the node is the variable that counts the effects of a function.
pub(super) fn is_effects(graph: &Graph, kind: &Kind) -> bool {
    matches!(kind, Kind::Variable(number) if graph.variables[*number].name() == EFFECTS)
}

/// A node without edges, kernels and places.
pub(super) fn plain(graph: &Graph, node: &Node) -> PictureNode {
    let (kind, op, detail) = match &node.kind {
        Kind::Input(number) => (PictureKind::Argument(*number), "Argument".to_string(), String::new()),
        Kind::Variable(number) => (
            PictureKind::Variable(graph.variables[*number].name().into()),
            "Variable".to_string(),
            String::new(),
        ),
        Kind::Constant(constant) => {
            let value = constant.as_f64().map_or(String::new(), |value| value.to_string());
            (PictureKind::Constant, "Const".to_string(), value)
        }
        Kind::Op(op) => (PictureKind::Op, op.name().to_string(), detail(op)),
        Kind::Fused(_) => (PictureKind::Op, "loop".to_string(), String::new()),
    };
    let bytes = match kind {
        PictureKind::Variable(_) | PictureKind::Argument(_) => node.outputs.iter().map(Spec::bytes).sum(),
        _ => 0,
    };
    let outputs = match &node.kind {
        Kind::Op(Op::Effect(_)) => Vec::new(),
        _ => node.outputs.to_vec(),
    };
    PictureNode { bytes, detail, outputs, ..made(kind, &op, Some(&node.origin)) }
}

/// The attributes of an op; the bodies of loops and branches are drawn instead.
fn detail(op: &Op) -> String {
    match op {
        Op::Loop(op) => format!("{}, {:?}{}", op.name, op.turns, if op.reverse { ", backwards" } else { "" }),
        Op::Branch(op) => format!("{}, {} branches", op.name, op.branches.len()),
        _ => op.label(),
    }
}

pub(super) fn made(kind: PictureKind, op: &str, origin: Option<&Origin>) -> PictureNode {
    PictureNode {
        kind,
        op: op.to_string(),
        detail: String::new(),
        path: origin.and_then(|origin| origin.path.clone()),
        location: origin.map(|origin| origin.location),
        inputs: Vec::new(),
        outputs: Vec::new(),
        places: Vec::new(),
        bytes: 0,
        kernel: None,
        within: Vec::new(),
        shares: Vec::new(),
    }
}

impl Canvas {
    /// Draws a node; gives its number.
    pub(super) fn push(&mut self, node: PictureNode) -> usize {
        self.nodes.push(PictureNode { within: self.within.clone(), ..node });
        self.nodes.len() - 1
    }

    /// Begins a loop or a branch.
    pub(super) fn enter(&mut self, name: &str, path: Option<&Arc<str>>) {
        self.controls += 1;
        let name = format!("{name}_{}", self.controls).into();
        self.within.push(Within { name, part: None, path: path.cloned() });
    }

    /// Goes on with one of its bodies, or with the op itself.
    pub(super) fn part(&mut self, part: Option<&str>) {
        if let Some(innermost) = self.within.last_mut() {
            innermost.part = part.map(Arc::from);
        }
    }

    pub(super) fn leave(&mut self) {
        self.within.pop();
    }

    /// Draws what the body of a loop is given by its surroundings: for each of its inputs, where its value is found.
    pub(super) fn given_to_loop(
        &mut self,
        op: &Loop,
        outer: &[Option<PictureEdge>],
        is_count: impl Fn(usize) -> bool,
    ) -> Vec<Option<PictureEdge>> {
        let uses = op.body.use_counts();
        let mut given = Vec::with_capacity(op.body.inputs.len());
        for (number, &id) in op.body.inputs.iter().enumerate() {
            let from = number.checked_sub(1).and_then(|at| outer[op.leading() + at]);
            let name = match number {
                0 => "turn",
                _ if number <= op.carried => "carried",
                _ if number <= op.carried + op.sliced => "row",
                _ => "",
            };
            // What does not change from turn to turn is read where it is; so is the order of effects.
            let is_read = uses[id.node as usize][id.output as usize] > 0;
            if name.is_empty() || !is_read || is_count(number) {
                given.push(from);
                continue;
            }
            let mut node = made(PictureKind::Op, name, None);
            node.inputs.extend(from);
            node.outputs.push(op.body.spec(id).clone());
            given.push(Some(edge(self.push(node), 0)));
        }
        given
    }

    /// Draws the new values of variables; gives each variable with its node.
    pub(super) fn assignments(
        &mut self,
        graph: &Graph,
        read: impl Fn(ValueId, Option<Storage>) -> Option<PictureEdge>,
    ) -> Vec<(usize, usize)> {
        let mut made_of = Vec::new();
        for &(variable, value) in &graph.assignments {
            let kind = Kind::Variable(variable);
            if is_effects(graph, &kind) {
                continue;
            }
            let name: Arc<str> = graph.variables[variable].name().into();
            let mut node = made(PictureKind::Assign(name), "AssignVariable", None);
            let old = graph.nodes.iter().position(|node| node.kind == kind);
            let old = old.and_then(|node| read(ValueId { node: node as u32, output: 0 }, None));
            let old = old.map(|old| old.node);
            let new = read(value, Some(Storage::Variable(variable)));
            node.inputs.extend(old.map(|old| edge(old, 0)));
            node.inputs.extend(new);
            // Whoever reads the old value must have done so before.
            let readers = self.nodes.iter().enumerate().filter(|(index, node)| {
                new.is_none_or(|new| *index != new.node)
                    && old.is_some_and(|old| node.inputs.iter().any(|input| input.node == old))
            });
            node.inputs.extend(readers.map(|(index, _)| PictureEdge {
                node: index,
                output: 0,
                is_control: true,
            }));
            node.outputs.push(graph.spec(value).clone());
            made_of.push((variable, self.push(node)));
        }
        made_of
    }

    /// Draws the results; gives each with its node.
    pub(super) fn results(
        &mut self,
        graph: &Graph,
        read: impl Fn(ValueId, Option<Storage>) -> Option<PictureEdge>,
    ) -> Vec<(usize, usize)> {
        let mut made_of = Vec::new();
        for (number, &id) in graph.outputs.iter().enumerate() {
            let mut node = made(PictureKind::Result(number), "Result", None);
            node.inputs.extend(read(id, Some(Storage::Output(number))));
            node.outputs.push(graph.spec(id).clone());
            node.bytes = graph.spec(id).bytes();
            made_of.push((number, self.push(node)));
        }
        made_of
    }
}

/// Which input of a body a node stands for: carried values may have become variables.
pub(super) fn body_input(kind: &Kind) -> Option<usize> {
    match *kind {
        Kind::Input(number) => Some(number),
        Kind::Variable(number) => Some(1 + number),
        _ => None,
    }
}
