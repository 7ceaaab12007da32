//! What a picture of a model shows: boxes, frames, and what leads from one to the other.

use crate::layers::{Layer, is_built_in, symbolic_call};
use crate::models::{Model, functional_of, layer_of};
use rushlight_core::tensor::{BATCH, display_dims, is_open};
use rushlight_core::trace::model::{ModelGraph, Source};
use rushlight_core::trace::model_input;
use rushlight_core::{Error, ErrorKind, Result, Spec};
use std::collections::{HashMap, HashSet};

/// The parts of a model, each behind those that it reads, and what leads from one to another.
pub(super) struct Diagram {
    pub(super) parts: Vec<Part>,
    pub(super) links: Vec<Link>,
}

pub(super) enum Part {
    /// Layers or ops that follow each other, a row for each.
    Rows(Vec<Row>),
    /// A layer with what is inside of it.
    Frame(Row, Diagram),
    /// Where something comes into the frame around.
    Entry,
    /// Where something leaves it.
    Exit,
}

/// One call of a layer or an op.
pub(super) struct Row {
    /// The layer's type, or the op.
    pub(super) class: String,
    /// Empty for ops.
    pub(super) name: String,
    pub(super) outputs: Vec<Spec>,
    pub(super) is_op: bool,
}

/// From a part to another one; the ports of frames are their entries and exits, in order. Boxes have only port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) from_port: usize,
    pub(super) to: usize,
    pub(super) to_port: usize,
}

impl Row {
    /// Shapes of one example with their dtypes: `32×32×3 f32`; in full where the batch axis is not the only open one.
    pub(super) fn shapes(&self) -> Vec<String> {
        self.outputs.iter().map(shape_text).collect()
    }
}

fn shape_text(spec: &Spec) -> String {
    let dims = match spec.dims.split_first() {
        Some((&BATCH, rest)) if !rest.is_empty() && !rest.iter().any(|&dim| is_open(dim)) => {
            rest.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
        }
        _ => display_dims(&spec.dims),
    };
    format!("{dims} {}", spec.dtype)
}

impl Diagram {
    pub(super) fn of_model(model: &Model, nested: bool) -> Result<Diagram> {
        let mut reader = Reader { nested, calls: HashMap::new() };
        if let Some(functional) = functional_of(model) {
            return Ok(reader.read(functional.graph(), true));
        }
        let inputs = model.state().first_inputs();
        if inputs.is_empty() {
            let rule = format!(
                "the shapes in `{}` are not known yet: call it once, or build it for an input",
                model.name()
            );
            return Err(Error::outside(ErrorKind::Value, "plot_model", rule));
        }
        let graph = traced(model, &inputs)?;
        Ok(reader.read(&graph, true))
    }

    /// How many boxes there are, those in frames included.
    pub(super) fn boxes(&self) -> usize {
        let boxes = |part: &Part| match part {
            Part::Rows(_) => 1,
            Part::Frame(_, inner) => inner.boxes(),
            Part::Entry | Part::Exit => 0,
        };
        self.parts.iter().map(boxes).sum()
    }

    /// Puts boxes that follow each other without branching into one.
    pub(super) fn stack(&mut self) {
        let count = self.parts.len();
        let (mut readers, mut reads) = (vec![0; count], vec![0; count]);
        for link in &self.links {
            readers[link.from] += 1;
            reads[link.to] += 1;
        }
        let stackable = |part: &Part| matches!(part, Part::Rows(rows) if rows[0].class != INPUT);
        // The part into which each part goes: the last of its chain, so that the order stays right.
        let mut into: Vec<usize> = (0..count).collect();
        for link in self.links.iter().rev() {
            if readers[link.from] == 1
                && reads[link.to] == 1
                && stackable(&self.parts[link.from])
                && stackable(&self.parts[link.to])
            {
                into[link.from] = link.to;
            }
        }
        for part in (0..count).rev() {
            into[part] = into[into[part]];
        }
        let mut new_index = vec![0; count];
        let mut stacked: Vec<Part> = Vec::new();
        let mut waiting: HashMap<usize, Vec<Row>> = HashMap::new();
        for (index, mut part) in self.parts.drain(..).enumerate() {
            match (&mut part, into[index]) {
                (Part::Rows(rows), last) if last != index => {
                    waiting.entry(last).or_default().append(rows);
                    continue;
                }
                (Part::Rows(rows), _) => {
                    let mut all = waiting.remove(&index).unwrap_or_default();
                    all.append(rows);
                    *rows = all;
                }
                (Part::Frame(_, inner), _) => inner.stack(),
                (Part::Entry | Part::Exit, _) => {}
            }
            new_index[index] = stacked.len();
            stacked.push(part);
        }
        self.parts = stacked;
        self.links.retain(|link| into[link.from] != into[link.to]);
        for link in &mut self.links {
            (link.from, link.to) = (new_index[into[link.from]], new_index[into[link.to]]);
        }
    }
}

/// The class that inputs of models are shown with.
pub(super) const INPUT: &str = "Input";

struct Reader {
    nested: bool,
    /// How many calls of each layer there were.
    calls: HashMap<u64, usize>,
}

impl Reader {
    /// Inputs are boxes in the whole model, and entries in a frame.
    fn read(&mut self, graph: &ModelGraph, whole: bool) -> Diagram {
        let mut diagram = Diagram { parts: Vec::new(), links: Vec::new() };
        let mut linked: HashSet<Link> = HashSet::new();
        // Part and port that give what is in each slot, and what it is.
        let mut slots: HashMap<usize, (usize, usize, Spec)> = HashMap::new();
        for (slot, (name, spec)) in graph.inputs().iter().enumerate() {
            slots.insert(slot, (diagram.parts.len(), 0, spec.clone()));
            let row = || Row {
                class: INPUT.to_string(),
                name: name.clone(),
                outputs: vec![spec.clone()],
                is_op: false,
            };
            diagram.parts.push(if whole { Part::Rows(vec![row()]) } else { Part::Entry });
        }
        for step in graph.steps() {
            let known = step.inputs().iter().enumerate().filter_map(|(number, source)| match source {
                Source::Slot(slot) => slots.get(slot).map(|found| (number, found.clone())),
                Source::Constant(_) => None,
            });
            let inputs: Vec<(usize, (usize, usize, Spec))> = known.collect();
            // What an op makes of constants alone, such as the 0 of a ReLU, is no part of the picture.
            if inputs.is_empty() {
                continue;
            }
            let layer = layer_of(step);
            let row = Row {
                class: layer.map_or(step.name(), |layer| layer.state().class()).to_string(),
                name: layer.map_or(String::new(), |layer| self.name(&**layer)),
                outputs: step.outputs().to_vec(),
                is_op: layer.is_none(),
            };
            let specs: Vec<Spec> = inputs.iter().map(|(_, (_, _, spec))| spec.clone()).collect();
            let inner = layer.filter(|_| self.nested).and_then(|layer| self.open(&**layer, &specs));
            let part = diagram.parts.len();
            let is_frame = inner.is_some();
            for (number, (from, from_port, _)) in inputs {
                let link = Link { from, from_port, to: part, to_port: if is_frame { number } else { 0 } };
                if linked.insert(link) {
                    diagram.links.push(link);
                }
            }
            for (output, spec) in step.outputs().iter().enumerate() {
                slots.insert(step.slot() + output, (part, if is_frame { output } else { 0 }, spec.clone()));
            }
            diagram.parts.push(match inner {
                Some(inner) => Part::Frame(row, inner),
                None => Part::Rows(vec![row]),
            });
        }
        if !whole {
            for (slot, _) in graph.outputs() {
                if let Some(&(from, from_port, _)) = slots.get(slot) {
                    diagram.links.push(Link { from, from_port, to: diagram.parts.len(), to_port: 0 });
                }
                diagram.parts.push(Part::Exit);
            }
        }
        diagram
    }

    /// The layer's name; calls after the first say so.
    fn name(&mut self, layer: &dyn Layer) -> String {
        let calls = self.calls.entry(layer.state().id()).or_insert(0);
        *calls += 1;
        match *calls {
            1 => layer.state().name().to_string(),
            call => format!("{} (call {call})", layer.state().name()),
        }
    }

    /// What is inside of a model, or of a layer of one's own that calls others.
    fn open(&mut self, layer: &dyn Layer, inputs: &[Spec]) -> Option<Diagram> {
        if let Some(functional) = functional_of(layer) {
            return Some(self.read(functional.graph(), false));
        }
        let state = layer.state();
        if state.inner_layers().is_empty() || is_built_in(state.class()) {
            return None;
        }
        // A layer that cannot run on symbols alone stays closed.
        traced(layer, inputs).ok().map(|graph| self.read(&graph, false))
    }
}

/// The calls inside of a layer, on inputs of these shapes.
fn traced(layer: &dyn Layer, inputs: &[Spec]) -> Result<ModelGraph> {
    let inputs: Vec<_> = inputs.iter().map(|spec| model_input(INPUT, spec.clone())).collect();
    let inputs: Vec<_> = inputs.iter().collect();
    let outputs = symbolic_call(layer, &inputs);
    ModelGraph::new(&inputs, &outputs.iter().collect::<Vec<_>>())
}
