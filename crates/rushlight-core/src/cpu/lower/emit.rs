//! Walks the graph in order, gives every value a place and writes down the steps.

mod control;
mod convolution;
mod fused;

pub(crate) use control::with_carried_variables;

use crate::cpu::kernels::view::strides_of;
use crate::cpu::lower::arena::{Lifetime, lay_out};
use crate::cpu::lower::attach::Attached;
use crate::cpu::lower::body::users;
use crate::cpu::lower::channels::{self, Channels};
use crate::cpu::lower::kept::{Kept, move_to_front};
use crate::cpu::lower::layout::{Layouts, lanes_convolution, lanes_window};
use crate::cpu::lower::place::{Layout, Place, Storage, lanes_space};
use crate::cpu::lower::products::Products;
use crate::cpu::steps::{Step, Work};
use crate::graph::{Graph, Inputs, Kind, Node, ValueId};
use crate::ops::Op;
use crate::tensor::{Dims, Spec, Strides, Value};
use smallvec::SmallVec;
use std::collections::HashMap;

/// A graph as steps over laid out memory.
pub(crate) struct Lowered {
    pub(crate) steps: Vec<Step>,
    /// The number of its first step. Those of bodies come behind all others.
    pub(crate) first: usize,
    /// Of a body: the number of the step that runs it.
    pub(crate) outer: usize,
    /// Offset of each temporary memory in the arena.
    pub(crate) temporaries: Vec<usize>,
    /// Bytes of each temporary memory.
    pub(crate) temporary_bytes: Vec<usize>,
    pub(crate) arena_bytes: usize,
    /// Where each value lies that has memory.
    pub(crate) places: HashMap<ValueId, Place>,
    pub(crate) constants: Vec<Value>,
    pub(crate) outputs: Vec<Spec>,
    /// Where each result comes from.
    pub(crate) results: Vec<Source>,
    /// Values of the graph that are in their places after as many steps; none unless the graph keeps its history.
    pub(crate) watched: Vec<(usize, ValueId, Place)>,
    /// The first of the steps, whose results are kept from call to call.
    pub(crate) kept: Kept,
}

/// Where a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Steps write it to new memory.
    Computed,
    /// It is the argument, the constant or the earlier result of that number, whose memory it shares.
    Input(usize),
    Constant(usize),
    Result(usize),
}

/// Chooses layouts, places and steps.
pub(crate) fn lower(graph: &Graph) -> Lowered {
    let mut lowered = lower_with(graph, true);
    let mut next = lowered.steps.len();
    number_bodies(&mut lowered, &mut next);
    lowered
}

/// Gives the steps of bodies their numbers.
fn number_bodies(lowered: &mut Lowered, next: &mut usize) {
    for (outer, step) in (lowered.first..).zip(&mut lowered.steps) {
        let bodies = match &mut step.work {
            Work::Turns(program) => std::slice::from_mut(&mut program.body),
            Work::Choice(program) => &mut program.branches[..],
            _ => continue,
        };
        for body in bodies {
            (body.first, body.outer) = (*next, outer);
            *next += body.steps.len();
            number_bodies(body, next);
        }
    }
}

/// The same for the body of a loop or a branch, whose results are always written to memory that is there.
fn lower_body(graph: &Graph) -> Lowered {
    lower_with(graph, false)
}

fn lower_with(graph: &Graph, shares_results: bool) -> Lowered {
    let mut emitter = Emitter { shares_results, ..Emitter::new(graph) };
    for index in 0..graph.nodes.len() {
        let before = emitter.steps.len();
        emitter.node(index);
        if !graph.history.is_empty() && emitter.steps.len() > before {
            emitter.watch(index);
        }
    }
    emitter.deliver();
    emitter.finish()
}

struct Emitter<'a> {
    graph: &'a Graph,
    /// The node that steps are being written for.
    current: usize,
    layouts: Layouts,
    channels: Channels,
    attached: Attached,
    products: Products,
    steps: Vec<Step>,
    places: HashMap<ValueId, Place>,
    /// Strided copies of values in lanes, and copies in lanes of strided ones.
    converted: HashMap<ValueId, Place>,
    watched: Vec<(usize, ValueId, Place)>,
    /// Bytes of each temporary memory.
    temporaries: Vec<usize>,
    constants: Vec<Value>,
    /// The last node that reads each value; beyond all nodes for results and assigned values.
    last_use: HashMap<ValueId, usize>,
    /// The concatenation, and the channel in it, that a value is computed into.
    part_of: HashMap<ValueId, (ValueId, usize)>,
    /// The result that a value is computed into.
    result_of: HashMap<ValueId, usize>,
    /// The variable that a value is assigned to.
    assigned_to: HashMap<ValueId, usize>,
    /// The values that lie in each temporary memory and each variable.
    residents: HashMap<Storage, Vec<(ValueId, Place)>>,
    /// Whether results that need no step may share the memory of what they are.
    shares_results: bool,
}

impl<'a> Emitter<'a> {
    fn new(graph: &'a Graph) -> Emitter<'a> {
        let mut last_use = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&id| {
                last_use.insert(id, index);
            });
        }
        graph.roots().for_each(|id| {
            last_use.insert(id, usize::MAX);
        });
        let layouts = Layouts::choose(graph);
        let users = users(graph);
        let channels = Channels::choose(graph, &users);
        channels.extend_lives(&mut last_use);
        let attached = Attached::find(graph, &layouts, &users);
        attached.extend_lives(graph, &mut last_use);
        let products = Products::find(graph, &users);
        products.extend_lives(graph, &mut last_use);
        let part_of = parts_of_concatenations(graph, &layouts, &channels);
        let mut result_of = HashMap::new();
        for (number, &id) in graph.outputs.iter().enumerate() {
            result_of.entry(id).or_insert(number);
        }
        // An effect that fails must find all variables as they were: they get their new values at the end then.
        let at_once = graph.assignments.iter().filter(|_| !graph.has_effects());
        let assigned_to = at_once.map(|&(variable, value)| (value, variable)).collect();
        Emitter {
            graph,
            current: 0,
            layouts,
            channels,
            attached,
            products,
            part_of,
            result_of,
            assigned_to,
            last_use,
            steps: Vec::new(),
            watched: Vec::new(),
            places: HashMap::new(),
            converted: HashMap::new(),
            temporaries: Vec::new(),
            constants: Vec::new(),
            residents: HashMap::new(),
            shares_results: true,
        }
    }

    /// Notes where the results of a node are that has just been computed.
    fn watch(&mut self, index: usize) {
        for output in 0..self.graph.nodes[index].outputs.len() as u32 {
            let id = ValueId { node: index as u32, output };
            if let Some(place) = self.places.get(&id) {
                self.watched.push((self.steps.len(), id, place.clone()));
            }
        }
    }

    fn node(&mut self, index: usize) {
        self.current = index;
        if self.attached.is_done_elsewhere(index) || self.products.is_taken(index) {
            return;
        }
        let node = &self.graph.nodes[index];
        let id = ValueId { node: index as u32, output: 0 };
        let spec = &node.outputs[0];
        if self.channels.is_taken(index) {
            return;
        }
        if let Some(planned) = self.channels.at(index).cloned() {
            return self.channels_convolution(planned);
        }
        match &node.kind {
            Kind::Input(number) => {
                self.settle(id, Place::contiguous(Storage::Input(*number), spec.dtype, &spec.dims))
            }
            Kind::Variable(number) => {
                self.settle(id, Place::contiguous(Storage::Variable(*number), spec.dtype, &spec.dims))
            }
            Kind::Constant(constant) => {
                let mut place =
                    Place::contiguous(Storage::Constant(self.constants.len()), spec.dtype, &spec.dims);
                place.layout = Layout::Strided(constant.0.strides.clone());
                self.constants.push(constant.0.clone());
                self.settle(id, place);
            }
            Kind::Fused(fused) => match self.attached.masked.get(&index).copied() {
                Some(masked) => self.masked(index, node, &masked),
                None => self.fused(index, node, fused),
            },
            Kind::Op(Op::Loop(op)) => self.turns(index, node, op),
            Kind::Op(Op::Branch(op)) => self.choice(index, node, op),
            Kind::Op(op) => {
                if let Some(place) = self.view(node, op) {
                    self.settle(id, place);
                } else if let Some(ends) = lanes_convolution(self.graph, node) {
                    self.convolution(index, node, op, ends.sizes);
                } else if matches!(op, Op::Concat(_))
                    && (self.layouts.is_lanes(id) || self.is_computed_in_parts(id))
                {
                    self.concatenation(id, node);
                } else if let Some(sizes) =
                    lanes_window(self.graph, node).filter(|_| self.layouts.is_lanes(id))
                {
                    self.window(index, node, op, sizes);
                } else {
                    self.op(index, node, op);
                }
            }
        }
    }

    /// A place that needs no step: the input's memory, looked at differently.
    fn view(&mut self, node: &Node, op: &Op) -> Option<Place> {
        let input = *node.inputs.first()?;
        let output = &node.outputs[0];
        // What is computed on load has no place.
        let known = self.places.get(&input)?.clone();
        if let (Op::Slice(slice), Layout::Lanes { .. }) = (op, &known.layout) {
            let whole = output.dims[..3] == known.dims[..3] && slice.step[3] == 1;
            if whole {
                return Some(known.channels(slice.start[3], output.dims[3]));
            }
        }
        if !matches!(op, Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Flip(_)) {
            return None;
        }
        let mut place = self.strided(input);
        let Layout::Strided(strides) = &place.layout else { unreachable!("made strided just now") };
        let (start, strides) = strides_of(op, &place.dims, strides, &output.dims)?;
        place.offset += start;
        place.dims = output.dims.clone();
        place.layout = Layout::Strided(strides);
        Some(place)
    }

    fn op(&mut self, index: usize, node: &Node, op: &Op) {
        let inputs: SmallVec<[Place; 4]> = node.inputs.iter().map(|&id| self.strided(id)).collect();
        let outputs = (0..node.outputs.len() as u32)
            .map(|output| self.allocate(ValueId { node: index as u32, output }, false))
            .collect();
        let work = fused::row_product(op, &inputs).unwrap_or_else(|| Work::Kernel(op.clone()));
        self.push(work, inputs, outputs, index);
    }

    /// The images in strides with their channels next to each other; copied if they lie otherwise.
    fn dense_channels(&mut self, id: ValueId) -> Place {
        let place = self.strided(id);
        match &place.layout {
            Layout::Strided(strides) if strides[3] == 1 && strides[..3].iter().all(|&stride| stride >= 0) => {
                place
            }
            _ => self.contiguous(id),
        }
    }

    /// Whether a concatenation has a place already because some part was computed there, or gets one inside another one.
    fn is_computed_in_parts(&self, id: ValueId) -> bool {
        self.places.contains_key(&id) || self.part_of.contains_key(&id)
    }

    /// Copies only those parts that could not be computed into their place.
    fn concatenation(&mut self, id: ValueId, node: &Node) {
        let whole = self.place_of_concatenation(id);
        let mut start = 0;
        for &part in &node.inputs {
            let channels = self.graph.spec(part).dims[3];
            if self.part_of.get(&part) != Some(&(id, start)) {
                let from = self.places[&part].clone();
                let to = whole.channels(start, channels);
                self.copy(part, from, to);
            }
            start += channels;
        }
        if !self.places.contains_key(&id) {
            self.settle(id, whole);
        }
    }

    /// The memory of a concatenation, made when the first of its parts is.
    fn place_of_concatenation(&mut self, id: ValueId) -> Place {
        if let Some(place) = self.places.get(&id) {
            return place.clone();
        }
        let place = self.allocate(id, self.layouts.is_lanes(id));
        self.settle(id, place.clone());
        place
    }

    /// Whether nothing that lies at a place is read after a node.
    fn dead_after(&self, index: usize, place: &Place) -> bool {
        let residents = self.residents.get(&place.storage).map_or(&[][..], Vec::as_slice);
        residents.iter().all(|(id, other)| {
            let dead = self.last_use.get(id).is_none_or(|&last| last <= index);
            dead || overlap(other, place) == Some(false)
        })
    }

    /// Makes a place for a value: in the concatenation or the result that it belongs to, or in new memory.
    fn allocate(&mut self, id: ValueId, lanes: bool) -> Place {
        let spec = self.graph.spec(id).clone();
        if let Some(&(whole, start)) = self.part_of.get(&id) {
            let place = self.place_of_concatenation(whole).channels(start, spec.dims[3]);
            self.settle(id, place.clone());
            return place;
        }
        let place = match self.result_of.get(&id) {
            Some(&number) if !lanes => Place::contiguous(Storage::Output(number), spec.dtype, &spec.dims),
            _ => self.temporary(&spec, lanes),
        };
        self.settle(id, place.clone());
        place
    }

    fn temporary(&mut self, spec: &Spec, lanes: bool) -> Place {
        let storage = Storage::Temporary(self.temporaries.len());
        let place = match lanes {
            true => Place::lanes(storage, spec.dtype, &spec.dims),
            false => Place::contiguous(storage, spec.dtype, &spec.dims),
        };
        self.temporaries.push(place.bytes());
        place
    }

    fn settle(&mut self, id: ValueId, place: Place) {
        self.residents.entry(place.storage).or_default().push((id, place.clone()));
        self.places.insert(id, place);
    }

    fn lanes(&mut self, ids: &Inputs) -> SmallVec<[Place; 4]> {
        ids.iter().map(|&id| self.in_lanes(id)).collect()
    }

    /// The value in lanes; copied there if it is not.
    fn in_lanes(&mut self, id: ValueId) -> Place {
        self.convert(id, true)
    }

    /// The value in strides; copied if it is in lanes.
    fn strided(&mut self, id: ValueId) -> Place {
        self.convert(id, false)
    }

    /// The value in row-major order; copied if it is not.
    fn contiguous(&mut self, id: ValueId) -> Place {
        let place = self.strided(id);
        if place.is_contiguous() {
            return place;
        }
        let copy = self.temporary(&Spec { dims: place.dims.clone(), dtype: place.dtype }, false);
        self.copy(id, place, copy.clone());
        copy
    }

    fn convert(&mut self, id: ValueId, lanes: bool) -> Place {
        let place = self.places[&id].clone();
        if place.is_lanes() == lanes {
            return place;
        }
        if let Some(copy) = self.converted.get(&id) {
            return copy.clone();
        }
        let copy = self.temporary(&Spec { dims: place.dims.clone(), dtype: place.dtype }, lanes);
        self.copy(id, place, copy.clone());
        self.converted.insert(id, copy.clone());
        // The copy is made once and stays as long as the value itself is read.
        self.residents.entry(copy.storage).or_default().push((id, copy.clone()));
        copy
    }

    fn push(&mut self, work: Work, inputs: SmallVec<[Place; 4]>, outputs: SmallVec<[Place; 2]>, node: usize) {
        let origin = self.graph.nodes[node].origin.clone();
        let work = match work {
            Work::Copy if inputs[0].is_contiguous() && outputs[0].is_contiguous() => {
                Work::Move(inputs[0].dims.iter().product::<usize>() * inputs[0].dtype.size())
            }
            work => work,
        };
        let along = SmallVec::new();
        self.steps.push(Step { work, inputs, outputs, origin, reader: self.current, copied: None, along });
    }

    /// Notes other nodes that the last step computes.
    fn along(&mut self, nodes: impl IntoIterator<Item = usize>) {
        if let Some(step) = self.steps.last_mut() {
            step.along.extend(nodes);
        }
    }

    /// A copy of a value for the node that steps are being written for.
    fn copy(&mut self, value: ValueId, from: Place, to: Place) {
        self.rearrange(Work::Copy, value, from, to);
    }

    /// A step that only puts a value elsewhere, in the order that its reader needs.
    fn rearrange(&mut self, work: Work, value: ValueId, from: Place, to: Place) {
        self.push(work, SmallVec::from_elem(from, 1), SmallVec::from_elem(to, 1), value.node as usize);
        if let Some(step) = self.steps.last_mut() {
            step.copied = Some(value);
        }
    }

    /// Copies results and new values of variables to where they go, unless they were computed there.
    fn deliver(&mut self) {
        self.current = self.graph.nodes.len();
        for (number, &id) in self.graph.outputs.iter().enumerate() {
            if self.source_of(number) != Source::Computed {
                continue;
            }
            let spec = self.graph.spec(id).clone();
            let to = Place::contiguous(Storage::Output(number), spec.dtype, &spec.dims);
            let from = self.places[&id].clone();
            if from.storage != to.storage {
                self.copy(id, from, to);
            }
        }
        let mut pending: Vec<(ValueId, Place, Place)> = Vec::new();
        for &(variable, id) in &self.graph.assignments {
            let spec = self.graph.spec(id);
            let to = Place::contiguous(Storage::Variable(variable), spec.dtype, &spec.dims);
            let from = self.places[&id].clone();
            if from.storage != to.storage || from.layout != to.layout || from.offset != 0 {
                pending.push((id, from, to));
            }
        }
        while !pending.is_empty() {
            // First what overwrites nothing that another one still reads.
            let is_free = |(_, _, to): &(ValueId, Place, Place)| {
                pending.iter().all(|(_, from, _)| from.storage != to.storage)
            };
            match pending.iter().position(is_free) {
                Some(next) => {
                    let (id, from, to) = pending.swap_remove(next);
                    self.copy(id, from, to);
                }
                // Variables that change places: one old value is saved.
                None => {
                    let (id, from, _) = &mut pending[0];
                    let (id, spec) = (*id, Spec { dims: from.dims.clone(), dtype: from.dtype });
                    let saved =
                        Place::contiguous(Storage::Temporary(self.temporaries.len()), spec.dtype, &spec.dims);
                    let old = std::mem::replace(from, saved.clone());
                    self.temporaries.push(spec.bytes());
                    self.copy(id, old, saved);
                }
            }
        }
    }

    fn source_of(&self, number: usize) -> Source {
        if !self.shares_results {
            return Source::Computed;
        }
        let id = self.graph.outputs[number];
        let earlier = self.graph.outputs[..number].iter().position(|&other| other == id);
        if let Some(earlier) = earlier {
            return Source::Result(earlier);
        }
        match (&self.graph.node(id).kind, self.places[&id].storage) {
            (Kind::Input(input), _) => Source::Input(*input),
            (Kind::Constant(_), Storage::Constant(constant)) => Source::Constant(constant),
            _ => Source::Computed,
        }
    }

    fn finish(mut self) -> Lowered {
        let assigned = self.graph.assignments.iter().map(|&(variable, _)| variable).collect();
        // Steps that are watched stay where they are.
        let kept = match self.graph.history.is_empty() {
            true => move_to_front(&mut self.steps, &assigned),
            false => Kept::default(),
        };
        let mut lifetimes: Vec<Lifetime> =
            self.temporaries.iter().map(|&bytes| Lifetime { bytes, first: usize::MAX, last: 0 }).collect();
        for (index, step) in self.steps.iter().enumerate() {
            for place in step.inputs.iter().chain(&step.outputs) {
                if let Storage::Temporary(number) = place.storage {
                    let lifetime = &mut lifetimes[number];
                    lifetime.first = lifetime.first.min(index);
                    lifetime.last = lifetime.last.max(index);
                }
            }
        }
        for &number in &kept.temporaries {
            (lifetimes[number].first, lifetimes[number].last) = (0, self.steps.len());
        }
        for lifetime in &mut lifetimes {
            lifetime.first = lifetime.first.min(lifetime.last);
        }
        let (temporaries, arena_bytes) = lay_out(&lifetimes);
        let specs = |ids: &[ValueId]| ids.iter().map(|&id| self.graph.spec(id).clone()).collect();
        Lowered {
            results: (0..self.graph.outputs.len()).map(|number| self.source_of(number)).collect(),
            temporaries,
            arena_bytes,
            temporary_bytes: self.temporaries,
            places: self.places,
            outputs: specs(&self.graph.outputs),
            watched: self.watched,
            kept,
            first: 0,
            outer: 0,
            steps: self.steps,
            constants: self.constants,
        }
    }
}

/// Whether two places in the same memory share elements; nothing if that cannot be told.
fn overlap(a: &Place, b: &Place) -> Option<bool> {
    if a.storage != b.storage {
        return Some(false);
    }
    match (&a.layout, &b.layout) {
        (Layout::Lanes { block_stride: x }, Layout::Lanes { block_stride: y }) if x == y => {
            // Ranges of channels of the same blocks.
            let range = |place: &Place| {
                let start = place.offset as usize;
                start..start + place.dims[3] * place.plane()
            };
            let (a, b) = (range(a), range(b));
            Some(a.start < b.end && b.start < a.end)
        }
        _ => None,
    }
}

/// The values that can be computed straight into a concatenation of channels, with the channel where they go.
///
/// Later concatenations come first, so that one inside another finds its own place in the outer one.
fn parts_of_concatenations(
    graph: &Graph,
    layouts: &Layouts,
    channels: &Channels,
) -> HashMap<ValueId, (ValueId, usize)> {
    let mut parts = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let id = ValueId { node: index as u32, output: 0 };
        let lanes = layouts.is_lanes(id);
        if !matches!(node.kind, Kind::Op(Op::Concat(_)))
            || !lanes && !channels::is_concatenation_of_channels(graph, id)
        {
            continue;
        }
        let mut start = 0;
        for &part in &node.inputs {
            let producer = graph.node(part);
            let own_memory = match &producer.kind {
                Kind::Fused(_) => true,
                Kind::Op(op) => !matches!(op, Op::Slice(_)),
                _ => false,
            };
            let fits =
                if lanes { layouts.is_lanes(part) } else { channels::may_be_part(graph, channels, part) };
            if own_memory && fits {
                parts.entry(part).or_insert((id, start));
            }
            start += graph.spec(part).dims[3];
        }
    }
    parts
}

/// Strides of a place over the axes in which it is copied.
pub(crate) fn copy_strides(from: &Place, to: &Place) -> (Dims, Strides, Strides) {
    if from.is_lanes() || to.is_lanes() {
        return (lanes_space(&from.dims), from.strides_in_lanes_space(), to.strides_in_lanes_space());
    }
    let (Layout::Strided(source), Layout::Strided(target)) = (&from.layout, &to.layout) else {
        unreachable!("neither is in lanes")
    };
    (from.dims.clone(), source.clone(), target.clone())
}
