//! Recording the body of a loop or a branch into a graph of its own.

use crate::graph::{Graph, from_recording};
use crate::tensor::{Error, ErrorKind, Result, Spec, Tensor};
use crate::trace::recorder::{self, RecordedVariable, Recording};
use crate::trace::tape;
use crate::trace::variable::Variable;
use std::panic::Location;

/// A body that was run on symbols.
pub(crate) struct Body {
    recording: Recording,
    /// The symbols that it was given.
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Tensor>,
    /// The variables that it reads or assigns.
    pub(crate) variables: Vec<RecordedVariable>,
}

/// Runs `body` on symbols of these specs; gives what it returned besides tensors, and the recording.
///
/// Tapes that are active outside do not look inside: they see the op that the body becomes a part of.
#[track_caller]
pub(crate) fn record<T>(
    name: &str,
    specs: &[Spec],
    body: impl FnOnce(&[Tensor]) -> Result<(T, Vec<Tensor>)>,
) -> Result<(T, Body)> {
    let ((result, inputs), mut recording) = tape::paused(|| {
        recorder::record_body(|| {
            let inputs: Vec<Tensor> =
                specs.iter().map(|spec| recorder::add_input("input", spec.clone())).collect();
            let result = body(&inputs).map(|(rest, outputs)| {
                let imported: Result<Vec<Tensor>, String> = outputs.iter().map(recorder::import).collect();
                (rest, imported)
            });
            (result, inputs)
        })
    });
    let (rest, outputs) = result?;
    let outputs = outputs.map_err(|rule| Error::new(ErrorKind::Recording, name, rule))?;
    outputs.iter().try_for_each(|output| output.check().map(drop))?;
    let variables = std::mem::take(&mut recording.variables);
    Ok((rest, Body { recording, inputs, outputs, variables }))
}

impl Body {
    /// What the body uses of its surroundings, each with the input that stands for it inside.
    pub(crate) fn captures(&self) -> &[(Tensor, Tensor)] {
        &self.recording.captures
    }

    /// A further input, which nothing reads.
    #[track_caller]
    pub(crate) fn add_input(&mut self, spec: &Spec) -> Tensor {
        self.recording.input("input", spec.clone(), Location::caller())
    }

    /// The graph between inputs and outputs of the recording.
    pub(crate) fn into_graph(self, name: &str, inputs: &[Tensor], outputs: &[Tensor]) -> Graph {
        from_recording(name, &self.recording, inputs, outputs)
    }
}

impl RecordedVariable {
    pub(crate) fn is_assigned(&self) -> bool {
        self.current.identity() != self.initial.identity()
    }
}

/// Gives variables, in order, the values that an op computed for them.
#[track_caller]
pub(crate) fn assign_all(variables: &[Variable], values: &[Tensor]) -> Result<()> {
    for (variable, value) in variables.iter().zip(values) {
        variable.assign(value)?;
    }
    Ok(())
}
