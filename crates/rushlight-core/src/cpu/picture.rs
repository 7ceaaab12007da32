//! Pictures of programs: which op runs in which kernel, on what memory.

use crate::cpu::lower::Lowered;
use crate::cpu::lower::place::{Place, Storage};
use crate::cpu::steps::{Step, Work};
use crate::graph::{Fused, FusedOp, Graph, Kind, Node, Operand, Origin, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Unary};
use crate::profile::{Lifetime, Picture, PictureEdge, PictureKind, PictureNode, Plan, Share};
use crate::tensor::Spec;
use std::collections::HashMap;

/// The compiled graph with its kernels.
pub(crate) fn picture_of_compiled(plan: &Plan) -> Picture {
    let drawn = Drawn::new(&plan.compiled, &plan.lowered);
    Picture { name: plan.compiled.name.clone(), nodes: drawn.nodes }
}

/// The recorded graph, with the times and the memory of what each node became.
pub(crate) fn picture_of_recorded(plan: &Plan) -> Picture {
    let graph = &plan.recorded;
    let Drawn { of_recorded, assigns, nodes: compiled, .. } = Drawn::new(&plan.compiled, &plan.lowered);
    let mut nodes: Vec<PictureNode> = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut picture = plain(graph, node);
        picture.inputs = node.inputs.iter().map(|&id| edge(id.node as usize, id.output as usize)).collect();
        if let Some((shares, bytes)) = of_recorded.get(&(index as u32)) {
            picture.shares = shares.clone();
            picture.bytes += bytes;
        }
        nodes.push(picture);
    }
    let producer = |id: ValueId| edge(id.node as usize, id.output as usize);
    let made = assignments(graph, &mut nodes, |id, _| producer(id));
    for (variable, node) in made {
        if let Some(&drawn) = assigns.get(&variable) {
            nodes[node].shares = compiled[drawn].shares.clone();
            nodes[node].bytes = compiled[drawn].bytes;
        }
    }
    results(graph, &mut nodes, |id, _| producer(id));
    settle(&mut nodes);
    Picture { name: graph.name.clone(), nodes }
}

/// When each piece of temporary memory is in use.
pub(crate) fn lifetimes(lowered: &Lowered) -> Vec<Lifetime> {
    let mut found: Vec<Option<Lifetime>> = vec![None; lowered.temporaries.len()];
    for (index, step) in lowered.steps.iter().enumerate() {
        for (is_output, place) in step
            .inputs
            .iter()
            .map(|place| (false, place))
            .chain(step.outputs.iter().map(|place| (true, place)))
        {
            let Storage::Temporary(number) = place.storage else { continue };
            let lifetime = found[number].get_or_insert_with(|| Lifetime {
                bytes: lowered.temporary_bytes[number],
                offset: lowered.temporaries[number],
                first: index,
                last: index,
                spec: None,
            });
            lifetime.last = index;
            if is_output && lifetime.spec.is_none() {
                lifetime.spec = Some(Spec { dims: place.dims.clone(), dtype: place.dtype });
            }
        }
    }
    found.into_iter().flatten().collect()
}

fn edge(node: usize, output: usize) -> PictureEdge {
    PictureEdge { node, output, is_control: false }
}

/// A node without edges, kernels and places.
fn plain(graph: &Graph, node: &Node) -> PictureNode {
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
        Kind::Op(op) => (PictureKind::Op, op.name().to_string(), op.label()),
        Kind::Fused(_) => (PictureKind::Op, "loop".to_string(), String::new()),
    };
    let bytes = match kind {
        PictureKind::Variable(_) => node.outputs.iter().map(Spec::bytes).sum(),
        _ => 0,
    };
    PictureNode {
        kind,
        op,
        detail,
        path: node.origin.path.clone(),
        location: Some(node.origin.location),
        inputs: Vec::new(),
        outputs: node.outputs.to_vec(),
        places: Vec::new(),
        bytes,
        kernel: None,
        shares: Vec::new(),
    }
}

/// Adds a node for each new value of a variable; gives the variable and the node.
fn assignments(
    graph: &Graph,
    nodes: &mut Vec<PictureNode>,
    read: impl Fn(ValueId, Option<Storage>) -> PictureEdge,
) -> Vec<(usize, usize)> {
    let mut made = Vec::new();
    for &(variable, value) in &graph.assignments {
        let name: std::sync::Arc<str> = graph.variables[variable].name().into();
        let mut inputs = Vec::new();
        let of_variable = |node: &Node| node.kind == Kind::Variable(variable);
        let old = graph.nodes.iter().position(of_variable);
        let old = old.map(|node| read(ValueId { node: node as u32, output: 0 }, None).node);
        inputs.extend(old.map(|old| edge(old, 0)));
        let new = read(value, Some(Storage::Variable(variable)));
        inputs.push(new);
        // Whoever reads the old value must have done so before.
        let readers = nodes.iter().enumerate().filter(|(index, node)| {
            *index != new.node && old.is_some_and(|old| node.inputs.iter().any(|input| input.node == old))
        });
        inputs.extend(
            readers
                .map(|(index, _)| PictureEdge { node: index, output: 0, is_control: true })
                .collect::<Vec<_>>(),
        );
        made.push((variable, nodes.len()));
        nodes.push(PictureNode {
            kind: PictureKind::Assign(name),
            op: "AssignVariable".to_string(),
            detail: String::new(),
            path: None,
            location: None,
            inputs,
            outputs: vec![graph.spec(value).clone()],
            places: Vec::new(),
            bytes: 0,
            kernel: None,
            shares: Vec::new(),
        });
    }
    made
}

fn results(
    graph: &Graph,
    nodes: &mut Vec<PictureNode>,
    read: impl Fn(ValueId, Option<Storage>) -> PictureEdge,
) {
    for (number, &id) in graph.outputs.iter().enumerate() {
        nodes.push(PictureNode {
            kind: PictureKind::Result(number),
            op: "Result".to_string(),
            detail: String::new(),
            path: None,
            location: None,
            inputs: vec![read(id, Some(Storage::Output(number)))],
            outputs: vec![graph.spec(id).clone()],
            places: Vec::new(),
            bytes: 0,
            kernel: None,
            shares: Vec::new(),
        });
    }
}

/// A copy of a value, made by a step of its own.
struct Copied {
    to: Storage,
    node: usize,
}

/// A program being drawn.
struct Drawn<'a> {
    graph: &'a Graph,
    lowered: &'a Lowered,
    nodes: Vec<PictureNode>,
    /// Where each value comes from.
    producers: HashMap<ValueId, PictureEdge>,
    copies: HashMap<ValueId, Vec<Copied>>,
    /// The node of each variable's new value.
    assigns: HashMap<usize, usize>,
    /// By recorded node: its parts of kernels, and the bytes that it fills.
    of_recorded: HashMap<u32, (Vec<Share>, usize)>,
}

impl<'a> Drawn<'a> {
    fn new(graph: &'a Graph, lowered: &'a Lowered) -> Drawn<'a> {
        let mut drawn = Drawn {
            graph,
            lowered,
            nodes: Vec::new(),
            producers: HashMap::new(),
            copies: HashMap::new(),
            assigns: HashMap::new(),
            of_recorded: HashMap::new(),
        };
        let mut steps_of: HashMap<usize, Vec<usize>> = HashMap::new();
        for (number, step) in lowered.steps.iter().enumerate() {
            steps_of.entry(step.reader).or_default().push(number);
        }
        for index in 0..graph.nodes.len() {
            // Copies that a node asked for come before it.
            let mut own = None;
            for &number in steps_of.get(&index).into_iter().flatten() {
                match lowered.steps[number].copied {
                    Some(value) => drawn.copy(number, value),
                    None => own = Some(number),
                }
            }
            drawn.node(index, own);
        }
        for &number in steps_of.get(&graph.nodes.len()).into_iter().flatten() {
            if let Some(value) = lowered.steps[number].copied {
                drawn.copy(number, value);
            }
        }
        drawn.ends();
        settle(&mut drawn.nodes);
        drawn
    }

    /// Where a reader of a value finds it: in a copy that lies where it reads, or where it was computed.
    fn read(&self, id: ValueId, reads: &[Storage]) -> PictureEdge {
        let copies = self.copies.get(&id).map_or(&[][..], Vec::as_slice);
        match copies.iter().rev().find(|copy| reads.contains(&copy.to)) {
            Some(copy) => edge(copy.node, 0),
            None => self.producers[&id],
        }
    }

    fn copy(&mut self, number: usize, value: ValueId) {
        let step = &self.lowered.steps[number];
        let (from, to) = (&step.inputs[0], &step.outputs[0]);
        let input = self.read(value, &[from.storage]);
        let spec = Spec { dims: to.dims.clone(), dtype: to.dtype };
        let share = Share { step: number, from: 0.0, to: 1.0 };
        let origin = &self.graph.nodes[value.node as usize].origin;
        self.note(origin, share, spec.bytes());
        let name = match (from.is_lanes(), to.is_lanes()) {
            (false, true) => "copy_to_lanes",
            (true, false) => "copy_from_lanes",
            _ => "copy",
        };
        self.nodes.push(PictureNode {
            kind: PictureKind::Op,
            op: name.to_string(),
            detail: format!("{from} -> {to}"),
            path: step.origin.path.clone(),
            location: Some(step.origin.location),
            inputs: vec![input],
            bytes: spec.bytes(),
            outputs: vec![spec],
            places: vec![self.place(to)],
            kernel: None,
            shares: vec![share],
        });
        let node = self.nodes.len() - 1;
        self.copies.entry(value).or_default().push(Copied { to: to.storage, node });
    }

    fn node(&mut self, index: usize, step: Option<usize>) {
        let node = &self.graph.nodes[index];
        if let (Kind::Fused(fused), Some(number)) = (&node.kind, step) {
            return self.fused(index, fused, number);
        }
        let id = |output: usize| ValueId { node: index as u32, output: output as u32 };
        let mut picture = plain(self.graph, node);
        let places: Vec<Option<&Place>> =
            (0..node.outputs.len()).map(|output| self.lowered.places.get(&id(output))).collect();
        picture.places = places.iter().flatten().map(|place| self.place(place)).collect();
        let reads: Vec<Storage> = match step {
            Some(number) => self.lowered.steps[number].inputs.iter().map(|place| place.storage).collect(),
            None => places.iter().flatten().map(|place| place.storage).collect(),
        };
        picture.inputs = node.inputs.iter().map(|&input| self.read(input, &reads)).collect();
        if let Some(number) = step {
            let share = Share { step: number, from: 0.0, to: 1.0 };
            picture.op = kernel_name(&self.lowered.steps[number]);
            picture.shares = vec![share];
            picture.bytes = node.outputs.iter().map(Spec::bytes).sum();
            self.note(&node.origin, share, picture.bytes);
        }
        for output in 0..node.outputs.len() {
            self.producers.insert(id(output), edge(self.nodes.len(), output));
        }
        self.nodes.push(picture);
    }

    /// The ops of a loop, each with its part of the loop's time.
    fn fused(&mut self, index: usize, fused: &Fused, number: usize) {
        let node = &self.graph.nodes[index];
        let step = &self.lowered.steps[number];
        let reads: Vec<Storage> = step.inputs.iter().map(|place| place.storage).collect();
        let stored_in_variable = |result: usize| {
            let place = self.lowered.places.get(&ValueId { node: index as u32, output: result as u32 });
            matches!(place.map(|place| place.storage), Some(Storage::Variable(_)))
        };
        // What goes straight into a variable is written there by the same loop: that is the assignment's part.
        let in_place = (0..node.outputs.len()).filter(|&result| stored_in_variable(result)).count();
        let input_dims = |input: usize| &self.graph.spec(node.inputs[input]).dims;
        let points = fused.space(input_dims).iter().product::<usize>() as f64;
        let weights: Vec<f64> = fused.body.iter().map(|op| weight(op, points)).collect();
        let total = weights.iter().sum::<f64>() + in_place as f64 * points;
        // Where the result of each op of the body is found.
        let mut found: Vec<PictureEdge> = Vec::with_capacity(fused.body.len());
        let mut done = 0.0;
        for (position, (op, weight)) in fused.body.iter().zip(&weights).enumerate() {
            let share = Share { step: number, from: done / total, to: (done + weight) / total };
            done += weight;
            let result = fused.results.iter().position(|&body| body == position);
            let place = result.and_then(|result| {
                self.lowered.places.get(&ValueId { node: index as u32, output: result as u32 })
            });
            let bytes = if place.is_some() { op.output.bytes() } else { 0 };
            let inputs = op
                .inputs
                .iter()
                .map(|operand| match *operand {
                    Operand::Input(input) => self.read(node.inputs[input], &reads),
                    Operand::Body(earlier) => found[earlier],
                })
                .collect::<Vec<PictureEdge>>();
            self.note(&op.origin.0, share, bytes);
            if matches!(op.op, Op::Broadcast(_)) {
                // Only a way of reading, no op of its own.
                found.push(inputs[0]);
                continue;
            }
            found.push(edge(self.nodes.len(), 0));
            self.nodes.push(PictureNode {
                kind: PictureKind::Op,
                op: op.op.name().to_string(),
                detail: op.op.label(),
                path: node.origin.path.clone(),
                location: Some(op.origin.0.location),
                inputs,
                outputs: vec![op.output.clone()],
                places: place.map(|place| self.place(place)).into_iter().collect(),
                bytes,
                kernel: Some(number),
                shares: vec![share],
            });
        }
        for (result, &body) in fused.results.iter().enumerate() {
            let id = ValueId { node: index as u32, output: result as u32 };
            self.producers.insert(id, found[body]);
        }
    }

    /// Assignments and results.
    fn ends(&mut self) {
        let mut nodes = std::mem::take(&mut self.nodes);
        let made = assignments(self.graph, &mut nodes, |id, storage| self.read(id, storage.as_slice()));
        for &(variable, node) in &made {
            self.assigns.insert(variable, node);
        }
        results(self.graph, &mut nodes, |id, storage| self.read(id, storage.as_slice()));
        // Assignments made by loops: the last part of each loop's time, shared among them.
        let mut of_loop: HashMap<usize, Vec<usize>> = HashMap::new();
        for &(variable, node) in &made {
            let value = nodes[node].inputs.iter().rfind(|input| !input.is_control);
            let Some(producer) = value.map(|input| input.node) else { continue };
            nodes[node].places = vec![format!("variable {}", self.graph.variables[variable].name())];
            if let Some(kernel) = nodes[producer].kernel {
                of_loop.entry(kernel).or_default().push(node);
                // The bytes are the variable's own: count them once.
                nodes[node].bytes = std::mem::take(&mut nodes[producer].bytes);
            }
        }
        for (kernel, assigned) in of_loop {
            let computed =
                nodes.iter().filter(|node| node.kernel == Some(kernel)).flat_map(|node| &node.shares);
            let from = computed.map(|share| share.to).fold(0.0, f64::max);
            let each = (1.0 - from) / assigned.len() as f64;
            for (position, node) in assigned.into_iter().enumerate() {
                let start = from + each * position as f64;
                nodes[node].shares = vec![Share { step: kernel, from: start, to: start + each }];
            }
        }
        self.nodes = nodes;
    }

    /// Notes that a recorded op took part in a kernel. Of several that became one, the first is what was computed.
    fn note(&mut self, origin: &Origin, share: Share, bytes: usize) {
        if let Some(&source) = origin.sources.first() {
            let (shares, filled) = self.of_recorded.entry(source).or_default();
            shares.push(share);
            *filled += bytes;
        }
    }

    fn place(&self, place: &Place) -> String {
        let text = match place.storage {
            Storage::Temporary(number) => {
                let start =
                    self.lowered.temporaries[number] as isize + place.offset * place.dtype.size() as isize;
                format!("temporary memory at byte {start}")
            }
            Storage::Input(number) => format!("argument {number}"),
            Storage::Variable(number) => format!("variable {}", self.graph.variables[number].name()),
            Storage::Constant(number) => format!("constant {number}"),
            Storage::Output(number) => format!("result {number}"),
            Storage::Passing => "no memory".to_string(),
        };
        let layout = match place.is_lanes() {
            true => "lanes [batch/16][channel][height][width][16]",
            false if place.is_contiguous() => "row-major",
            false => "strided",
        };
        format!("{text}, {layout}")
    }
}

/// Gives ops without a kernel of their own a moment, but no time: views, what was folded into other ops, what was
/// computed once for several. That is when what they read was ready, or else when what reads them began.
fn settle(nodes: &mut [PictureNode]) {
    let is_open = |node: &PictureNode| {
        node.shares.is_empty() && matches!(node.kind, PictureKind::Op | PictureKind::Assign(_))
    };
    let moment = |step, part| Share { step, from: part, to: part };
    for index in 0..nodes.len() {
        if is_open(&nodes[index]) {
            let before = nodes[index].inputs.iter().filter(|input| !input.is_control);
            let last = before.flat_map(|input| &nodes[input.node].shares).max_by_key(|share| share.step);
            nodes[index].shares = last.map(|share| moment(share.step, share.to)).into_iter().collect();
        }
    }
    for index in (0..nodes.len()).rev() {
        let Some(first) = nodes[index].shares.iter().min_by_key(|share| share.step).copied() else {
            continue;
        };
        for input in nodes[index].inputs.clone() {
            if !input.is_control && is_open(&nodes[input.node]) {
                nodes[input.node].shares = vec![moment(first.step, first.from)];
            }
        }
    }
}

/// Name of a kernel as the op of a node.
fn kernel_name(step: &Step) -> String {
    match &step.work {
        Work::LanesConvolution(..) => "conv_lanes".to_string(),
        Work::LanesInputGradient(_) => "conv_input_gradient_lanes".to_string(),
        Work::LanesKernelGradient(..) => "conv_kernel_gradient_lanes".to_string(),
        Work::LanesWindow(op, ..) => format!("{}_lanes", op.name()),
        Work::Kernel(op) => op.name().to_string(),
        _ => step.work.name(),
    }
}

/// How long an op of a loop takes in comparison with others: an estimate by its elements.
fn weight(op: &FusedOp, points: f64) -> f64 {
    match &op.op {
        // Read by strides, without work of its own.
        Op::Broadcast(_) => 0.0,
        Op::Reduce(_) => points,
        Op::Binary(Binary::Div | Binary::Pow) => 4.0 * points,
        Op::Unary(Unary::Neg | Unary::Abs | Unary::Sign | Unary::Square) => points,
        Op::Unary(_) => 4.0 * points,
        _ => points,
    }
}
