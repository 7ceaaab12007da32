//! Nodes of what is being recorded: the back-links from a symbolic tensor to how it is computed.

use crate::ops::Op;
use crate::tensor::{Spec, Tensor};
use crate::trace::{Variable, recorder};
use smallvec::SmallVec;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Which recording a node belongs to; unique over the life of the program.
pub(crate) type RecordingId = u64;

/// The recording id of models: their nodes belong to no function.
pub(crate) const MODEL: RecordingId = 0;

/// One recorded call with its inputs and where it came from.
pub struct Node {
    pub(crate) call: Call,
    pub(crate) inputs: SmallVec<[Tensor; 3]>,
    pub(crate) outputs: SmallVec<[Spec; 1]>,
    pub(crate) path: Option<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) recording: RecordingId,
    /// Order in which the nodes of a recording were made.
    pub(crate) index: u64,
}

/// What a node does.
#[derive(Clone)]
pub(crate) enum Call {
    /// An argument of the function, or an input of the model, by name.
    Input(Arc<str>),
    /// The value that a variable has when the function is called.
    Variable(Variable),
    Op(Op),
    /// A call of something larger that the engine does not look into, such as a layer of a model.
    Composite(Arc<dyn Composite>),
}

/// Something larger than an op that a model records as one node and runs again when the model is called.
pub trait Composite: Send + Sync {
    /// Name shown in graphs and messages.
    fn name(&self) -> &str;
    /// Runs on other tensors, eager or symbolic, than it was recorded with; the results may carry an error.
    fn call(&self, inputs: &[&Tensor]) -> Vec<Tensor>;
    /// For the front, which knows what it put here.
    fn as_any(&self) -> &dyn std::any::Any;
}

impl Call {
    pub(crate) fn name(&self) -> &str {
        match self {
            Call::Input(_) => "input",
            Call::Variable(_) => "variable",
            Call::Op(op) => op.name(),
            Call::Composite(composite) => composite.name(),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{} → {:?}", self.call.name(), self.index, self.outputs)
    }
}

impl Node {
    /// Whether this node was made by a recording that has ended.
    pub(crate) fn is_of_ended_recording(&self) -> bool {
        self.recording != MODEL && !recorder::is_going_on(self.recording)
    }

    /// Where the node was made, for the end of a message.
    pub(crate) fn origin(&self) -> String {
        let (file, line) = (self.location.file(), self.location.line());
        match &self.path {
            Some(path) => {
                format!(" (it is the result of `{}` at {file}:{line}, in {path})", self.call.name())
            }
            None => format!(" (it is the result of `{}` at {file}:{line})", self.call.name()),
        }
    }

    /// Why this node's value cannot be read, as a rule for an error message.
    pub(crate) fn why_no_value(&self) -> String {
        if self.recording == MODEL {
            "the tensor stands for an input or a layer's output of a model and has no value: \
             call the model on data and read its result"
                .to_string()
        } else if self.is_of_ended_recording() {
            recorder::left_recording() + &self.origin()
        } else {
            "a value cannot be read while the function is being recorded: return the tensor from the \
             function and read it there, or compute with tensor ops only"
                .to_string()
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A long chain of nodes would otherwise be dropped recursively, one stack frame a node.
        let mut pending: Vec<Tensor> = self.inputs.drain(..).collect();
        while let Some(tensor) = pending.pop() {
            if let Some(crate::tensor::Inner::Symbol(symbol)) = Arc::into_inner(tensor.0)
                && let Some(mut node) = Arc::into_inner(symbol.node)
            {
                pending.extend(node.inputs.drain(..));
            }
        }
    }
}
