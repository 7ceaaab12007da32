//! What a model consists of, as a table.

use crate::layers::{Layer, LayerState};
use crate::models::Model;
use crate::models::functional::{Functional, layer_of};
use rushlight_core::cpu::PlannedMemory;
use rushlight_core::tensor::display_dims;
use rushlight_core::trace::model::Source;
use rushlight_core::{Spec, Variable};
use std::collections::HashMap;
use std::fmt;

/// The layers of a model, with output shapes, parameters and connections; prints as a table.
pub struct Summary {
    /// The model's name.
    pub name: String,
    /// One row a layer or op, in the order in which they run.
    pub rows: Vec<SummaryRow>,
    /// Numbers that optimizers update.
    pub trainable_parameters: usize,
    /// Numbers that are kept but not trained, such as moving statistics.
    pub other_parameters: usize,
    /// Bytes of all parameters.
    pub parameter_bytes: usize,
    /// Batch size and planned memory of one training step, where they were asked for.
    pub training_step: Option<(usize, PlannedMemory)>,
}

/// One layer or op of a model.
pub struct SummaryRow {
    pub name: String,
    /// The layer's type; nothing for an op.
    pub class: Option<&'static str>,
    /// Shapes of the outputs; empty if the layer has not been called yet.
    pub outputs: Vec<Spec>,
    /// Parameters of the layer and what is inside.
    pub parameters: usize,
    /// Names of the rows whose outputs come in.
    pub connected_to: Vec<String>,
}

impl Model {
    /// The layers of this model as a table: `println!("{}", model.summary())`.
    ///
    /// A model whose layers are not built yet shows them without shapes and parameters.
    pub fn summary(&self) -> Summary {
        let variables = self.variables();
        let count = |trainable: bool| {
            let chosen = variables.iter().filter(|variable| variable.is_trainable() == trainable);
            chosen.map(|variable| variable.spec().count()).sum()
        };
        Summary {
            name: self.name().to_string(),
            rows: match self.functional() {
                Some(functional) => rows_of_graph(functional),
                None => rows_of_layers(self.state()),
            },
            trainable_parameters: count(true),
            other_parameters: count(false),
            parameter_bytes: variables.iter().map(|variable| variable.spec().bytes()).sum(),
            training_step: None,
        }
    }
}

fn parameters(variables: &[Variable]) -> usize {
    variables.iter().map(|variable| variable.spec().count()).sum()
}

fn rows_of_graph(functional: &Functional) -> Vec<SummaryRow> {
    let graph = functional.graph();
    let mut rows = Vec::new();
    let mut name_of_slot: HashMap<usize, String> = HashMap::new();
    for (slot, (name, spec)) in graph.inputs().iter().enumerate() {
        name_of_slot.insert(slot, name.clone());
        rows.push(SummaryRow {
            name: name.clone(),
            class: Some("Input"),
            outputs: vec![spec.clone()],
            parameters: 0,
            connected_to: Vec::new(),
        });
    }
    let mut ops: HashMap<&str, usize> = HashMap::new();
    for step in graph.steps() {
        // A constant that an op brings along, such as the 0 of a ReLU, is no row of its own.
        if !step
            .inputs()
            .iter()
            .any(|source| matches!(source, Source::Slot(slot) if name_of_slot.contains_key(slot)))
        {
            continue;
        }
        let layer = layer_of(step);
        let name = match layer {
            Some(layer) => layer.state().name().to_string(),
            None => {
                let count = ops.entry(step.name()).or_insert(0);
                *count += 1;
                if *count == 1 { step.name().to_string() } else { format!("{}_{}", step.name(), *count - 1) }
            }
        };
        for output in 0..step.outputs().len() {
            name_of_slot.insert(step.slot() + output, name.clone());
        }
        let mut connected_to = Vec::new();
        for source in step.inputs() {
            if let Source::Slot(slot) = source
                && let Some(name) = name_of_slot.get(slot)
                && !connected_to.contains(name)
            {
                connected_to.push(name.clone());
            }
        }
        rows.push(SummaryRow {
            name,
            class: layer.map(|layer| layer.state().class()),
            outputs: step.outputs().to_vec(),
            parameters: layer.map_or(0, |layer| parameters(&layer.variables())),
            connected_to,
        });
    }
    rows
}

fn rows_of_layers(state: &LayerState) -> Vec<SummaryRow> {
    let row = |layer: &LayerState, variables: Vec<Variable>| SummaryRow {
        name: layer.name().to_string(),
        class: Some(layer.class()),
        outputs: layer.first_outputs(),
        parameters: parameters(&variables),
        connected_to: Vec::new(),
    };
    let mut rows: Vec<SummaryRow> =
        state.inner_layers().iter().map(|layer| row(layer, layer.variables())).collect();
    if rows.is_empty() || !state.weights().is_empty() {
        rows.push(row(state, state.weights()));
    }
    rows
}

impl Summary {
    /// In one line: `12 layers, 76,810 parameters (300.0 KiB)`.
    pub(crate) fn totals(&self) -> String {
        let layers = self.rows.iter().filter(|row| row.class.is_some_and(|class| class != "Input")).count();
        format!(
            "{layers} {}, {} parameters ({})",
            if layers == 1 { "layer" } else { "layers" },
            grouped(self.trainable_parameters + self.other_parameters),
            readable_bytes(self.parameter_bytes)
        )
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that keeps the number short: `304.0 KiB`.
pub(crate) fn readable_bytes(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

impl SummaryRow {
    fn cells(&self) -> [String; 4] {
        let shapes: Vec<String> = self.outputs.iter().map(|spec| display_dims(&spec.dims)).collect();
        [
            match self.class {
                Some(class) => format!("{} ({class})", self.name),
                None => self.name.clone(),
            },
            if shapes.is_empty() { "?".to_string() } else { shapes.join(", ") },
            grouped(self.parameters),
            self.connected_to.join(", "),
        ]
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TITLES: [&str; 4] = ["Layer (type)", "Output shape", "Parameters", "Connected to"];
        let cells: Vec<[String; 4]> = self.rows.iter().map(SummaryRow::cells).collect();
        let widths: [usize; 4] = std::array::from_fn(|column| {
            let longest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            longest.max(TITLES[column].len())
        });
        let line = |left: char, middle: char, right: char, fill: char| {
            let parts: Vec<String> =
                widths.iter().map(|width| std::iter::repeat_n(fill, width + 2).collect()).collect();
            format!("{left}{}{right}", parts.join(&middle.to_string()))
        };
        let write_row = |formatter: &mut fmt::Formatter<'_>, row: [&str; 4]| {
            let [a, b, c, d] = widths;
            writeln!(formatter, "│ {:<a$} │ {:<b$} │ {:>c$} │ {:<d$} │", row[0], row[1], row[2], row[3])
        };
        writeln!(formatter, "Model: {}", self.name)?;
        writeln!(formatter, "{}", line('┌', '┬', '┐', '─'))?;
        write_row(formatter, TITLES)?;
        writeln!(formatter, "{}", line('├', '┼', '┤', '─'))?;
        for row in &cells {
            write_row(formatter, row.each_ref().map(String::as_str))?;
        }
        writeln!(formatter, "{}", line('└', '┴', '┘', '─'))?;
        let total = self.trainable_parameters + self.other_parameters;
        writeln!(formatter, "Parameters: {} ({})", grouped(total), readable_bytes(self.parameter_bytes))?;
        writeln!(formatter, "  trainable: {}", grouped(self.trainable_parameters))?;
        writeln!(formatter, "  not trainable: {}", grouped(self.other_parameters))?;
        if let Some((batch, memory)) = self.training_step {
            let total = readable_bytes(memory.total());
            writeln!(formatter, "Memory of one training step of {batch} examples: {total}")?;
            writeln!(
                formatter,
                "  weights, optimizer and metrics: {}, batch: {}, in between: {}",
                readable_bytes(memory.variables),
                readable_bytes(memory.arguments),
                readable_bytes(memory.results + memory.temporary)
            )?;
        }
        Ok(())
    }
}
