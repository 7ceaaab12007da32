//! Splits the graph of a body and its gradient: what runs in the forward loop, what in the backward one, and what is
//! kept of each turn for it.

use crate::graph::{Graph, Inputs, Kind, Node, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::Unary;
use crate::tensor::Spec;
use smallvec::SmallVec;

/// What the inputs of the joint graph are, by number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Turn,
    Carried,
    Sliced,
    Captured,
    /// The gradient of a result: only known on the way back.
    Gradient,
}

/// The two halves of a joint graph.
pub(super) struct Split {
    /// From the inputs that are no gradients to the forward results, and then what is kept.
    pub(super) forward: Graph,
    /// What the backward half reads besides the number of the turn and the gradients, in the order of its inputs.
    pub(super) rows: Vec<usize>,
    pub(super) captured: Vec<usize>,
    pub(super) kept: usize,
    /// From `turn, gradients…, rows…, kept…, captured…` to the backward results.
    pub(super) backward: Graph,
}

/// Splits `joint`, whose first `forward_results` results belong to the forward half.
pub(super) fn split(joint: &Graph, roles: &[Role], forward_results: usize) -> Split {
    let backwards = depends(joint, |number| roles[number] == Role::Gradient);
    let varies = depends(joint, |number| matches!(roles[number], Role::Carried | Role::Sliced | Role::Turn));
    // From the last node to the first: what the backward half needs, and whether it computes that itself.
    let mut needed: Vec<SmallVec<[bool; 1]>> =
        joint.nodes.iter().map(|node| SmallVec::from_elem(false, node.outputs.len())).collect();
    let mark = |needed: &mut Vec<SmallVec<[bool; 1]>>, id: ValueId| {
        needed[id.node as usize][id.output as usize] = true;
    };
    joint.outputs[forward_results..].iter().for_each(|&id| mark(&mut needed, id));
    let mut kept: Vec<ValueId> = Vec::new();
    let mut copied = vec![false; joint.nodes.len()];
    for index in (0..joint.nodes.len()).rev() {
        if !needed[index].contains(&true) {
            continue;
        }
        let node = &joint.nodes[index];
        let known = match &node.kind {
            Kind::Input(number) => roles[*number] != Role::Carried,
            _ => backwards[index] || !varies[index] || is_cheap(joint, node, &varies),
        };
        if known {
            copied[index] = true;
            node.inputs.iter().for_each(|&id| mark(&mut needed, id));
        } else {
            let outputs = (0..node.outputs.len() as u32).filter(|&output| needed[index][output as usize]);
            kept.extend(outputs.map(|output| ValueId { node: index as u32, output }));
        }
    }
    kept.reverse();
    let forward_inputs = roles.iter().take_while(|&&role| role != Role::Gradient).count();
    let mut forward = Extract::new(joint);
    for (index, node) in joint.nodes.iter().enumerate().filter(|(index, _)| !backwards[*index]) {
        forward.copy(index, node.kind.clone());
    }
    let results = joint.outputs[..forward_results].iter().chain(&kept).copied().collect::<Vec<_>>();
    let forward = forward.finish(&joint.inputs[..forward_inputs], &results);
    // Inputs first, in their order; then what is computed of them.
    let read = |role: Role| -> Vec<usize> {
        let inputs = joint.inputs.iter().enumerate();
        let read = inputs.filter(|(number, id)| roles[*number] == role && copied[id.node as usize]);
        read.map(|(number, _)| number).collect()
    };
    let (rows, captured) = (read(Role::Sliced), read(Role::Captured));
    let mut backward = Extract::new(joint);
    let mut inputs = vec![0];
    inputs.extend(forward_inputs..roles.len());
    inputs.extend(&rows);
    let inputs: Vec<ValueId> = inputs
        .into_iter()
        .map(|number| joint.inputs[number])
        .chain(kept.iter().copied())
        .chain(captured.iter().map(|&number| joint.inputs[number]))
        .collect();
    for (number, &id) in inputs.iter().enumerate() {
        backward.add_input(id, number);
    }
    for (index, node) in joint.nodes.iter().enumerate() {
        if copied[index] && !matches!(node.kind, Kind::Input(_)) {
            backward.copy(index, node.kind.clone());
        }
    }
    let backward = backward.finish(&inputs, &joint.outputs[forward_results..]);
    Split { forward, rows, captured, kept: kept.len(), backward }
}

/// For each node whether it depends on an input of which `is_seed` holds.
pub(super) fn depends(graph: &Graph, is_seed: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut depends = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let dependent = match &node.kind {
            Kind::Input(number) => is_seed(*number),
            _ => node.inputs.iter().any(|id| depends[id.node as usize]),
        };
        depends.push(dependent);
    }
    depends
}

/// Whether computing a node again costs less than keeping it: arithmetic on one value that is kept anyway.
fn is_cheap(graph: &Graph, node: &Node, varies: &[bool]) -> bool {
    let Kind::Op(op) = &node.kind else { return false };
    let cheap = match op {
        Op::Unary(unary) => matches!(unary, Unary::Neg | Unary::Square | Unary::Abs | Unary::Sign),
        Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) => true,
        Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) => true,
        _ => false,
    };
    let mut varying = node.inputs.iter().filter(|id| varies[id.node as usize]);
    let first = varying.next();
    let size = |spec: &Spec| spec.count();
    let no_larger = first.is_none_or(|&id| size(graph.spec(id)) <= size(&node.outputs[0]));
    cheap && no_larger && varying.all(|id| Some(id) == first)
}

/// Takes nodes of a graph over into a new one.
struct Extract<'a> {
    from: &'a Graph,
    nodes: Vec<Node>,
    replaced: Vec<SmallVec<[Option<ValueId>; 1]>>,
}

impl<'a> Extract<'a> {
    fn new(from: &'a Graph) -> Extract<'a> {
        let replaced = from.nodes.iter().map(|node| SmallVec::from_elem(None, node.outputs.len())).collect();
        Extract { from, nodes: Vec::new(), replaced }
    }

    fn new_id(&self, old: ValueId) -> ValueId {
        self.replaced[old.node as usize][old.output as usize]
            .expect("inputs are taken over before their users")
    }

    fn copy(&mut self, index: usize, kind: Kind) {
        let old = &self.from.nodes[index];
        let inputs = old.inputs.iter().map(|&id| self.new_id(id)).collect();
        self.nodes.push(Node { kind, inputs, ..old.clone() });
        for output in 0..old.outputs.len() {
            let new = ValueId { node: self.nodes.len() as u32 - 1, output: output as u32 };
            self.replaced[index][output].get_or_insert(new);
        }
    }

    /// Lets an input of that number stand for an old value.
    fn add_input(&mut self, old: ValueId, number: usize) {
        let node = self.from.node(old);
        let outputs = SmallVec::from_elem(node.outputs[old.output as usize].clone(), 1);
        self.nodes.push(Node {
            kind: Kind::Input(number),
            inputs: Inputs::new(),
            outputs,
            origin: node.origin.clone(),
        });
        let new = ValueId { node: self.nodes.len() as u32 - 1, output: 0 };
        self.replaced[old.node as usize][old.output as usize] = Some(new);
    }

    fn finish(self, inputs: &[ValueId], outputs: &[ValueId]) -> Graph {
        let id = |&old: &ValueId| self.new_id(old);
        Graph {
            name: self.from.name.clone(),
            inputs: inputs.iter().map(id).collect(),
            outputs: outputs.iter().map(id).collect(),
            variables: Vec::new(),
            assignments: Vec::new(),
            nodes: self.nodes,
            history: Vec::new(),
        }
    }
}
