//! The graph as it runs: kernels, the ops inside them, copies, and where everything lies.

use super::canvas::{Canvas, Values, body_input, edge, is_effects, made, plain};
use super::weights::{joint_name, kernel_name, weight, weight_of_kernel};
use crate::cpu::lower::place::{Place, Storage};
use crate::cpu::lower::{Lowered, with_carried_variables};
use crate::cpu::steps::{Step, Work};
use crate::graph::{Fused, Graph, Kind, Node, Operand, Origin, ValueId};
use crate::ops::Op;
use crate::profile::{Joint, PictureEdge, PictureKind, PictureNode, Share};
use crate::tensor::Spec;
use std::collections::{HashMap, HashSet};

/// What recorded ops, assignments and results came to: parts of kernels, and bytes that these fill.
#[derive(Default)]
pub(super) struct Found {
    ops: HashMap<u32, (Vec<Share>, usize)>,
    ends: HashMap<Storage, (Vec<Share>, usize)>,
}

impl Found {
    /// Of an op, once: where a loop was recorded again for its gradient, both became one.
    pub(super) fn take_op(&mut self, origin: &Origin) -> (Vec<Share>, usize) {
        origin.sources.first().and_then(|source| self.ops.remove(source)).unwrap_or_default()
    }

    /// Of what is assigned to a variable, or of a result.
    pub(super) fn of_end(&self, storage: Storage) -> (&[Share], usize) {
        self.ends.get(&storage).map_or((&[], 0), |(shares, bytes)| (shares, *bytes))
    }

    /// Of several recorded ops that became one, the first is what was computed.
    fn note(&mut self, origin: &Origin, share: Share, bytes: usize) {
        if let Some(&source) = origin.sources.first() {
            add(self.ops.entry(source).or_default(), share, bytes);
        }
    }

    fn note_bytes(&mut self, origin: &Origin, bytes: usize) {
        if let Some(found) = origin.sources.first().and_then(|source| self.ops.get_mut(source)) {
            found.1 += bytes;
        }
    }

    fn note_end(&mut self, storage: Storage, share: Share, bytes: usize) {
        add(self.ends.entry(storage).or_default(), share, bytes);
    }
}

fn add((shares, filled): &mut (Vec<Share>, usize), share: Share, bytes: usize) {
    shares.push(share);
    *filled += bytes;
}

/// Draws a compiled function.
pub(super) fn draw(graph: &Graph, lowered: &Lowered) -> (Vec<PictureNode>, Found) {
    let mut drawing = Drawing { canvas: Canvas::default(), found: Found::default() };
    let values = Values::of(graph, &|kind| is_effects(graph, kind));
    let mut level = Level { graph, lowered, values, copies: HashMap::new(), body: None };
    drawing.nodes(&mut level);
    drawing.ends(&level);
    (drawing.canvas.nodes, drawing.found)
}

struct Drawing {
    canvas: Canvas,
    found: Found,
}

/// A function or a body that is being drawn.
struct Level<'a> {
    graph: &'a Graph,
    lowered: &'a Lowered,
    values: Values,
    /// Where copies of values lie, and the nodes that made them.
    copies: HashMap<ValueId, Vec<(Storage, usize)>>,
    /// Of a body: what it is given, and the op that it belongs to.
    body: Option<(Vec<Option<PictureEdge>>, &'a Origin)>,
}

impl Level<'_> {
    /// Where a reader of a value finds it: in a copy that lies where it reads, or where it was computed.
    fn read(&self, id: ValueId, reads: &[Storage]) -> Option<PictureEdge> {
        let copies = self.copies.get(&id).map_or(&[][..], Vec::as_slice);
        match copies.iter().rev().find(|(to, _)| reads.contains(to)) {
            Some(&(_, node)) => Some(PictureEdge { is_control: self.values.is_count(id), ..edge(node, 0) }),
            None => self.values.get(id),
        }
    }

    fn read_all(&self, node: &Node, step: &Step) -> Vec<Option<PictureEdge>> {
        let reads = storages(step);
        node.inputs.iter().map(|&id| self.read(id, &reads)).collect()
    }

    /// The whole time of a step.
    fn share(&self, number: usize) -> Share {
        Share { step: self.lowered.first + number, from: 0.0, to: 1.0 }
    }

    fn place_of(&self, node: usize, output: usize) -> Option<&Place> {
        self.lowered.places.get(&ValueId { node: node as u32, output: output as u32 })
    }

    /// Whether a result of a loop goes straight into a variable of the function.
    fn is_assigned_in_place(&self, node: usize, output: usize) -> bool {
        let storage = self.place_of(node, output).map(|place| place.storage);
        self.body.is_none() && matches!(storage, Some(Storage::Variable(_)))
    }

    fn describe(&self, place: &Place) -> String {
        let text = match (place.storage, &self.body) {
            (Storage::Temporary(number), _) => {
                let start =
                    self.lowered.temporaries[number] as isize + place.offset * place.dtype.size() as isize;
                format!("temporary memory at byte {start}")
            }
            (Storage::Input(number), _) => format!("argument {number}"),
            (Storage::Variable(number), None) => format!("variable {}", self.graph.variables[number].name()),
            (Storage::Variable(number), Some(_)) => format!("carried value {number}"),
            (Storage::Constant(number), _) => format!("constant {number}"),
            (Storage::Output(number), _) => format!("result {number}"),
            (Storage::Passing, _) => "no memory".to_string(),
        };
        let layout = match place.is_lanes() {
            true => "lanes [batch/16][channel][height][width][16]",
            false if place.is_contiguous() => "row-major",
            false => "strided",
        };
        format!("{text}, {layout}")
    }
}

fn storages(step: &Step) -> Vec<Storage> {
    step.inputs.iter().map(|place| place.storage).collect()
}

/// Bytes that a step fills, with the temporary memory of the bodies that it runs.
fn filled(step: &Step) -> usize {
    step.outputs.iter().map(|place| place.dims.iter().product::<usize>() * place.dtype.size()).sum()
}

/// The time of a kernel being spread over what it computes.
struct Spread {
    joint: Joint,
    total: f64,
    done: f64,
    /// Bytes that belong to none of its parts so far.
    bytes: usize,
}

impl Spread {
    fn take(&mut self, weight: f64) -> Share {
        let from = self.done / self.total;
        self.done += weight;
        Share { step: self.joint.step, from, to: self.done / self.total }
    }

    fn fill(&mut self, bytes: usize) -> usize {
        self.bytes = self.bytes.saturating_sub(bytes);
        bytes
    }
}

impl Drawing {
    fn nodes(&mut self, level: &mut Level) {
        let lowered = level.lowered;
        let mut steps_of: HashMap<usize, Vec<usize>> = HashMap::new();
        for (number, step) in lowered.steps.iter().enumerate() {
            steps_of.entry(step.reader).or_default().push(number);
        }
        // What a kernel computes along is drawn there, once for each that does.
        let along: HashSet<usize> =
            lowered.steps.iter().flat_map(|step| step.along.iter().copied()).collect();
        for index in (0..level.graph.nodes.len()).filter(|index| !along.contains(index)) {
            // Copies that a node asked for come before it.
            let mut own = None;
            for &number in steps_of.get(&index).into_iter().flatten() {
                match lowered.steps[number].copied {
                    Some(value) => self.copy(level, number, value),
                    None => own = Some(number),
                }
            }
            self.node(level, index, own);
        }
        for &number in steps_of.get(&level.graph.nodes.len()).into_iter().flatten() {
            if let Some(value) = lowered.steps[number].copied {
                self.copy(level, number, value);
            }
        }
    }

    fn copy(&mut self, level: &mut Level, number: usize, value: ValueId) {
        let step = &level.lowered.steps[number];
        let (from, to) = (&step.inputs[0], &step.outputs[0]);
        let spec = Spec { dims: to.dims.clone(), dtype: to.dtype };
        let share = level.share(number);
        self.note_copy(level, step, value, share, spec.bytes());
        let name = match (&step.work, from.is_lanes(), to.is_lanes()) {
            (Work::PackKernel(_), ..) => "pack_kernel",
            (_, false, true) => "copy_to_lanes",
            (_, true, false) => "copy_from_lanes",
            _ => "copy",
        };
        let mut node = made(PictureKind::Op, name, Some(&step.origin));
        node.detail = format!("{from} -> {to}");
        node.inputs.extend(level.read(value, &[from.storage]));
        node.bytes = spec.bytes();
        node.outputs.push(spec);
        node.places.push(level.describe(to));
        node.shares.push(share);
        let drawn = self.canvas.push(node);
        level.copies.entry(value).or_default().push((to.storage, drawn));
    }

    /// A copy counts to what made the value, if that is an op, or else to what asked for the copy.
    fn note_copy(&mut self, level: &Level, step: &Step, value: ValueId, share: Share, bytes: usize) {
        let producer = level.graph.node(value);
        let is_op = matches!(producer.kind, Kind::Op(_) | Kind::Fused(_));
        match (level.graph.nodes.get(step.reader), &level.body) {
            _ if level.values.is_count(value) && is_op => self.found.note(&producer.origin, share, bytes),
            (None, None) => {
                let storage = match step.outputs[0].storage {
                    Storage::Temporary(_) => {
                        // Saved before the variable where it comes from gets a new value itself.
                        let assigned = level.graph.assignments.iter().find(|(_, id)| *id == value);
                        assigned.map(|&(variable, _)| Storage::Variable(variable))
                    }
                    storage => Some(storage),
                };
                storage.into_iter().for_each(|storage| self.found.note_end(storage, share, bytes));
            }
            (None, Some((_, owner))) if !is_op => self.found.note(owner, share, bytes),
            (Some(reader), _) if !is_op => self.found.note(&reader.origin, share, bytes),
            _ => self.found.note(&producer.origin, share, bytes),
        }
    }

    fn node(&mut self, level: &mut Level, index: usize, step: Option<usize>) {
        let graph = level.graph;
        let node = &graph.nodes[index];
        let id = ValueId { node: index as u32, output: 0 };
        if let (Some((given, _)), Some(number)) = (&level.body, body_input(&node.kind)) {
            let given = given[number];
            return level.values.put_all(id, 1, |_| given);
        }
        if is_effects(graph, &node.kind) {
            return;
        }
        let mut picture = plain(graph, node);
        let places: Vec<&Place> =
            (0..node.outputs.len()).filter_map(|output| level.place_of(index, output)).collect();
        picture.places = places.iter().map(|place| level.describe(place)).collect();
        let mut is_control = false;
        if let Some(number) = step {
            let step = &level.lowered.steps[number];
            if matches!(node.kind, Kind::Fused(_)) || !step.along.is_empty() {
                return self.joint(level, index, number);
            }
            let inputs = level.read_all(node, step);
            let ends = self.bodies(level, node, step, &inputs);
            is_control = ends.is_some();
            picture.inputs = ends.unwrap_or(inputs).into_iter().flatten().collect();
            if !is_control {
                picture.op = kernel_name(step);
            }
            picture.shares.push(level.share(number));
            picture.bytes += filled(step);
            self.found.note(&node.origin, level.share(number), filled(step));
        } else {
            let reads: Vec<Storage> = places.iter().map(|place| place.storage).collect();
            picture.inputs = node.inputs.iter().filter_map(|&input| level.read(input, &reads)).collect();
        }
        let drawn = self.canvas.push(picture);
        if is_control {
            self.canvas.leave();
        }
        level.values.put_all(id, node.outputs.len(), |output| Some(edge(drawn, output)));
    }

    /// Draws the bodies of a loop or a branch; gives what the op itself reads then, which is to be drawn next.
    fn bodies(
        &mut self,
        level: &Level,
        node: &Node,
        step: &Step,
        outer: &[Option<PictureEdge>],
    ) -> Option<Vec<Option<PictureEdge>>> {
        let is_count = |input: usize| level.values.is_count(node.inputs[input]);
        let body = |drawing: &mut Drawing,
                    graph: &Graph,
                    lowered: &Lowered,
                    given: Vec<Option<PictureEdge>>,
                    counts: &dyn Fn(usize) -> bool| {
            let values = Values::of(graph, &|kind| body_input(kind).is_some_and(counts));
            let body = Some((given, &node.origin));
            let mut inner = Level { graph, lowered, values, copies: HashMap::new(), body };
            drawing.nodes(&mut inner);
            let outputs = graph.outputs.iter().enumerate();
            let mut ends: Vec<Option<PictureEdge>> =
                outputs.map(|(number, &id)| inner.read(id, &[Storage::Output(number)])).collect();
            let carried = graph.assignments.iter();
            ends.extend(carried.map(|&(number, id)| inner.read(id, &[Storage::Variable(number)])));
            ends
        };
        let mut ends: Vec<Option<PictureEdge>>;
        match (&node.kind, &step.work) {
            (Kind::Op(Op::Loop(op)), Work::Turns(program)) => {
                let leading = op.leading();
                let counts = |number: usize| number > 0 && is_count(leading + number - 1);
                self.canvas.enter(op.name, node.origin.path.as_ref());
                self.canvas.part(Some("body"));
                let given = self.canvas.given_to_loop(op, outer, counts);
                ends = outer[..leading].to_vec();
                ends.extend(body(self, &with_carried_variables(op), &program.body, given, &counts));
            }
            (Kind::Op(Op::Branch(op)), Work::Choice(program)) => {
                self.canvas.enter(op.name, node.origin.path.as_ref());
                ends = outer[..1].to_vec();
                for (number, (graph, lowered)) in op.branches.iter().zip(&program.branches).enumerate() {
                    self.canvas.part(Some(&format!("branch_{number}")));
                    let counts = |number: usize| is_count(1 + number);
                    ends.extend(body(self, graph, lowered, outer[1..].to_vec(), &counts));
                }
            }
            _ => return None,
        }
        self.canvas.part(None);
        Some(ends)
    }

    /// A kernel that computes several ops, each with its part of the time.
    fn joint(&mut self, level: &mut Level, index: usize, number: usize) {
        let step = &level.lowered.steps[number];
        let graph = level.graph;
        let mut parts: Vec<usize> = step.along.iter().copied().chain([index]).collect();
        parts.sort_unstable();
        let weights = |part: usize| match &graph.nodes[part].kind {
            Kind::Fused(fused) => {
                let points = points(graph, part, fused);
                fused.body.iter().map(|op| weight(op, points)).collect()
            }
            _ => vec![weight_of_kernel(step).max(1.0)],
        };
        let weights: Vec<Vec<f64>> = parts.iter().map(|&part| weights(part)).collect();
        // What goes straight into a variable is written there by the same loop: that is the assignment's part.
        let outputs = graph.nodes[index].outputs.len();
        let in_place = (0..outputs).filter(|&output| level.is_assigned_in_place(index, output)).count();
        let writes = match &graph.nodes[index].kind {
            Kind::Fused(fused) => in_place as f64 * points(graph, index, fused),
            _ => 0.0,
        };
        let (name, path) = (joint_name(step), step.origin.path.clone());
        let joint = Joint { step: level.lowered.first + number, name, path };
        let total = weights.iter().flatten().sum::<f64>() + writes;
        let mut spread = Spread { joint, total, done: 0.0, bytes: filled(step) };
        for (&part, weights) in parts.iter().zip(&weights) {
            match &graph.nodes[part].kind {
                Kind::Fused(fused) => self.fused(level, part, fused, number, weights, &mut spread),
                _ => self.main_part(level, part, number, weights[0], &mut spread),
            }
        }
        // Results that nobody asked for.
        if let Some(last) = self.canvas.nodes.last_mut().filter(|_| spread.bytes > 0) {
            last.bytes += spread.bytes;
            self.found.note_bytes(&graph.nodes[index].origin, spread.bytes);
        }
    }

    /// The op that a kernel computes others along with.
    fn main_part(&mut self, level: &mut Level, part: usize, number: usize, weight: f64, spread: &mut Spread) {
        let (node, step) = (&level.graph.nodes[part], &level.lowered.steps[number]);
        let share = spread.take(weight);
        let place = level.place_of(part, 0);
        let mut picture = plain(level.graph, node);
        picture.op = kernel_name(step);
        picture.places = place.map(|place| level.describe(place)).into_iter().collect();
        picture.bytes = spread.fill(place.map_or(0, |_| node.outputs[0].bytes()));
        picture.inputs = level.read_all(node, step).into_iter().flatten().collect();
        picture.kernel = Some(spread.joint.clone());
        picture.shares.push(share);
        self.found.note(&node.origin, share, picture.bytes);
        let drawn = edge(self.canvas.push(picture), 0);
        level.values.put(ValueId { node: part as u32, output: 0 }, drawn);
    }

    /// The ops of a fused node.
    fn fused(
        &mut self,
        level: &mut Level,
        part: usize,
        fused: &Fused,
        number: usize,
        weights: &[f64],
        spread: &mut Spread,
    ) {
        let (node, step) = (&level.graph.nodes[part], &level.lowered.steps[number]);
        let reads = storages(step);
        // Where the result of each op of the body is found.
        let mut found: Vec<Option<PictureEdge>> = Vec::with_capacity(fused.body.len());
        for (position, (op, &weight)) in fused.body.iter().zip(weights).enumerate() {
            let share = spread.take(weight);
            let result = fused.results.iter().position(|&body| body == position);
            let place = result.and_then(|result| level.place_of(part, result));
            let bytes = spread.fill(place.map_or(0, |_| op.output.bytes()));
            let inputs: Vec<Option<PictureEdge>> = op
                .inputs
                .iter()
                .map(|operand| match *operand {
                    Operand::Input(input) => level.read(node.inputs[input], &reads),
                    Operand::Body(earlier) => found[earlier],
                })
                .collect();
            self.found.note(&op.origin.0, share, bytes);
            if matches!(op.op, Op::Broadcast(_)) {
                // Only a way of reading, no op of its own.
                found.push(inputs[0]);
                continue;
            }
            let mut picture = made(PictureKind::Op, op.op.name(), Some(&op.origin.0));
            picture.detail = op.op.label();
            picture.inputs = inputs.into_iter().flatten().collect();
            picture.outputs.push(op.output.clone());
            picture.places = place.map(|place| level.describe(place)).into_iter().collect();
            picture.bytes = bytes;
            picture.kernel = Some(spread.joint.clone());
            picture.shares.push(share);
            found.push(Some(edge(self.canvas.push(picture), 0)));
        }
        for (result, &body) in fused.results.iter().enumerate() {
            let id = ValueId { node: part as u32, output: result as u32 };
            level.values.put_all(id, 1, |_| found[body]);
        }
    }

    /// Assignments and results.
    fn ends(&mut self, level: &Level) {
        let graph = level.graph;
        let read = |id: ValueId, storage: Option<Storage>| level.read(id, storage.as_slice());
        let assigned = self.canvas.assignments(graph, read);
        self.canvas.results(graph, read);
        // Assignments made by loops: the last part of each loop's time, shared among them.
        let nodes = &mut self.canvas.nodes;
        let mut of_loop: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
        for &(variable, node) in &assigned {
            nodes[node].places = vec![format!("variable {}", graph.variables[variable].name())];
            let value = nodes[node].inputs.iter().rfind(|input| !input.is_control);
            let Some(producer) = value.map(|input| input.node) else { continue };
            if let Some(kernel) = &nodes[producer].kernel {
                of_loop.entry(kernel.step).or_default().push((variable, node));
                // What the variable holds, written by that kernel.
                nodes[node].bytes = nodes[producer].bytes;
            }
        }
        for (step, assigned) in of_loop {
            let of_kernel =
                |node: &&PictureNode| node.kernel.as_ref().is_some_and(|joint| joint.step == step);
            let computed = nodes.iter().filter(of_kernel).flat_map(|node| &node.shares);
            let from = computed.map(|share| share.to).fold(0.0, f64::max);
            let each = (1.0 - from) / assigned.len() as f64;
            for (position, (variable, node)) in assigned.into_iter().enumerate() {
                let start = from + each * position as f64;
                let share = Share { step, from: start, to: start + each };
                nodes[node].shares = vec![share];
                self.found.note_end(Storage::Variable(variable), share, nodes[node].bytes);
            }
        }
    }
}

/// The elements that a fused node goes through; at least one, so that there is something to share.
fn points(graph: &Graph, index: usize, fused: &Fused) -> f64 {
    let node = &graph.nodes[index];
    let space = fused.space(|input| &graph.spec(node.inputs[input]).dims);
    space.iter().product::<usize>().max(1) as f64
}
