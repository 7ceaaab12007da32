//! Which convolutions run with channels in the lanes, and what they take along: a normalization and an activation on the way
//! in; on the way out a normalization or bias, a shortcut's sum and an activation.
//!
//! What a convolution takes along is a fused loop of its own in the graph, and has no step then. A convolution that takes
//! along what follows it is computed where that stands.

use crate::cpu::kernels::conv_channels::ChannelsConv;
use crate::cpu::lower::body::{Body, Users};
use crate::cpu::lower::layout::lanes_convolution;
use crate::graph::{Graph, Kind, Node, Operand, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use crate::tensor::DType;
use std::collections::HashMap;

/// Parts of a concatenation with fewer channels than this are copied: computed in place, their rows would be too short.
const LEAST_CHANNELS_OF_PART: usize = 16;

/// `max(x · scale + shift + added, floor)`, where each part may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Terms {
    /// One number a channel.
    pub(super) scale: Option<ValueId>,
    pub(super) shift: Option<ValueId>,
    /// Of the same shape as `x`.
    pub(super) added: Option<ValueId>,
    pub(super) floor: Option<f32>,
}

/// A convolution with what it takes along.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) sizes: ChannelsConv,
    /// Its node.
    pub(super) convolution: usize,
    pub(super) input: ValueId,
    pub(super) kernel: ValueId,
    pub(super) before: Terms,
    pub(super) after: Terms,
    /// What it computes in the end.
    pub(super) output: ValueId,
    /// The nodes that it computes besides the one where it stands.
    pub(super) along: Vec<usize>,
}

impl Planned {
    /// All values that it reads.
    fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        let of = |terms: &Terms| [terms.scale, terms.shift, terms.added];
        [self.input, self.kernel]
            .into_iter()
            .chain(of(&self.before).into_iter().chain(of(&self.after)).flatten())
    }
}

/// The convolutions of a graph that run with channels in lanes.
pub(super) struct Channels {
    /// By the node where they are computed.
    planned: HashMap<usize, Planned>,
    /// By node: whether it is part of a convolution elsewhere.
    taken: Vec<bool>,
}

impl Channels {
    pub(super) fn choose(graph: &Graph, users: &Users) -> Channels {
        let mut channels = Channels { planned: HashMap::new(), taken: vec![false; graph.nodes.len()] };
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(sizes) = channels_convolution(graph, node) else { continue };
            let output = ValueId { node: index as u32, output: 0 };
            let mut planned = Planned {
                sizes,
                convolution: index,
                input: node.inputs[0],
                kernel: node.inputs[1],
                before: Terms::default(),
                after: Terms::default(),
                output,
                along: Vec::new(),
            };
            let before = planned.input.node as usize;
            if users[before].len() == 1
                && !channels.taken[before]
                && let Some((x, terms)) = Terms::of(graph, before, None)
            {
                (planned.input, planned.before) = (x, terms);
                channels.taken[before] = true;
                planned.along.push(before);
            }
            let mut place = index;
            if let [Some(after)] = users[index][..]
                && let Some((_, terms)) = Terms::of(graph, after, Some(output))
            {
                planned.after = terms;
                planned.output = ValueId { node: after as u32, output: 0 };
                channels.taken[index] = true;
                channels.taken[after] = true;
                planned.along.push(index);
                place = after;
            }
            channels.planned.insert(place, planned);
        }
        channels
    }

    /// The convolution that is computed at a node.
    pub(super) fn at(&self, node: usize) -> Option<&Planned> {
        self.planned.get(&node)
    }

    /// Whether a node is part of a convolution that is computed elsewhere.
    pub(super) fn is_taken(&self, node: usize) -> bool {
        self.taken[node] && !self.planned.contains_key(&node)
    }

    /// What convolutions take along is read where they are computed.
    pub(super) fn extend_lives(&self, last_use: &mut HashMap<ValueId, usize>) {
        for (&node, planned) in &self.planned {
            for id in planned.reads() {
                let last = last_use.entry(id).or_insert(node);
                *last = (*last).max(node);
            }
        }
    }
}

/// The sizes of a convolution that runs with channels in lanes.
fn channels_convolution(graph: &Graph, node: &Node) -> Option<ChannelsConv> {
    let Kind::Op(Op::Convolution(conv)) = &node.kind else { return None };
    if node.outputs[0].dtype != DType::F32 || lanes_convolution(graph, node).is_some() {
        return None;
    }
    ChannelsConv::new(conv, &graph.spec(node.inputs[0]).dims, &graph.spec(node.inputs[1]).dims)
}

impl Terms {
    /// The fused loop at a node as terms of `x`, or of the only value of its shape that it reads.
    fn of(graph: &Graph, index: usize, x: Option<ValueId>) -> Option<(ValueId, Terms)> {
        let body = Body::of(graph, index)?;
        let (node, fused) = (body.node, body.fused);
        let [result] = fused.results[..] else { return None };
        let candidates: Vec<ValueId> = node.inputs.iter().copied().filter(|&id| body.is_whole(id)).collect();
        let x = match (x, &candidates[..]) {
            (Some(x), _) => x,
            (None, &[only]) => only,
            _ => return None,
        };
        let mut terms = Terms::default();
        // The numbers of the body that give `x` with all terms so far; the last one must be the result.
        let mut running: Option<usize> = None;
        for (number, step) in fused.body.iter().enumerate() {
            if matches!(step.op, Op::Broadcast(_)) {
                continue;
            }
            let Op::Binary(op) = step.op else { return None };
            let is_running = |operand: &Operand| match (*operand, running) {
                (Operand::Body(number), Some(running)) => number == running,
                (Operand::Input(input), None) => node.inputs[input] == x,
                _ => false,
            };
            let other = match (is_running(&step.inputs[0]), is_running(&step.inputs[1])) {
                (true, false) => Other::of(&body, x, step.inputs[1])?,
                (false, true) => Other::of(&body, x, step.inputs[0])?,
                _ => return None,
            };
            terms.put(op, other)?;
            running = Some(number);
        }
        (running == Some(result)).then_some((x, terms))
    }

    /// Puts one more term behind those so far, if there is a place for it.
    fn put(&mut self, op: Binary, other: Other) -> Option<()> {
        match (op, other) {
            (Binary::Mul, Other::Channels(id)) if *self == Terms::default() => self.scale = Some(id),
            (Binary::Add, Other::Channels(id))
                if self.shift.is_none() && self.added.is_none() && self.floor.is_none() =>
            {
                self.shift = Some(id);
            }
            (Binary::Add, Other::Whole(id)) if self.added.is_none() && self.floor.is_none() => {
                self.added = Some(id)
            }
            (Binary::Max, Other::Number(floor)) if self.floor.is_none() => self.floor = Some(floor),
            _ => return None,
        }
        Some(())
    }
}

/// What an element is combined with.
enum Other {
    Number(f32),
    /// One number a channel.
    Channels(ValueId),
    /// An element of the same place.
    Whole(ValueId),
}

impl Other {
    /// What an operand is to the elements of `x`.
    fn of(body: &Body, x: ValueId, operand: Operand) -> Option<Other> {
        if let Some(number) = body.number(operand) {
            return Some(Other::Number(number));
        }
        match body.whole(operand) {
            Some(id) => (id != x).then_some(Other::Whole(id)),
            None => body.per_channel(operand).map(Other::Channels),
        }
    }
}

/// Whether a value is computed by a step that can write some of the channels of wider images.
pub(super) fn may_be_part(graph: &Graph, channels: &Channels, id: ValueId) -> bool {
    let node = graph.node(id);
    if is_concatenation_of_channels(graph, id) {
        return true;
    }
    let index = id.node as usize;
    let writes =
        matches!(node.kind, Kind::Fused(_)) && !channels.is_taken(index) || channels.at(index).is_some();
    writes && graph.spec(id).dims.last() >= Some(&LEAST_CHANNELS_OF_PART)
}

/// Whether a value is image batches side by side along their channels.
pub(super) fn is_concatenation_of_channels(graph: &Graph, id: ValueId) -> bool {
    matches!(graph.node(id).kind, Kind::Op(Op::Concat(3))) && graph.spec(id).rank() == 4
}
