//! The stack of recordings on this thread: which nodes were made, which variables were read and assigned.

use crate::tensor::{Error, ErrorKind, Result, Spec, Tensor};
use crate::trace::node::{Call, MODEL, Node, RecordingId};
use crate::trace::variable::Variable;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A variable that a recorded function reads or assigns.
#[derive(Clone)]
pub(crate) struct RecordedVariable {
    pub(crate) variable: Variable,
    /// The value at the start of the call.
    pub(crate) initial: Tensor,
    /// The value that program order has reached; at the end, what is assigned.
    pub(crate) current: Tensor,
}

/// Everything recorded of one run of a function's body.
pub(crate) struct Recording {
    id: RecordingId,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) variables: Vec<RecordedVariable>,
    /// Whether something was used that every thread has one of, such as the default generator.
    pub(crate) is_bound_to_thread: bool,
    by_variable: HashMap<u64, usize>,
}

enum Level {
    Recording(Recording),
    /// Inside [`eagerly`]: ops on values run, and variables are read and assigned at once.
    Eager,
}

thread_local! {
    static LEVELS: RefCell<Vec<Level>> = const { RefCell::new(Vec::new()) };
}

static NEXT_INDEX: AtomicU64 = AtomicU64::new(1);
static NEXT_RECORDING: AtomicU64 = AtomicU64::new(MODEL + 1);

/// Runs `body` while everything symbolic is recorded; returns its result and the recording.
pub(crate) fn record_with<R>(body: impl FnOnce() -> R) -> (R, Recording) {
    let id = NEXT_RECORDING.fetch_add(1, Ordering::Relaxed);
    let recording = Recording {
        id,
        nodes: Vec::new(),
        variables: Vec::new(),
        is_bound_to_thread: false,
        by_variable: HashMap::new(),
    };
    LEVELS.with_borrow_mut(|levels| levels.push(Level::Recording(recording)));
    let guard = PopOnPanic;
    let result = body();
    std::mem::forget(guard);
    match LEVELS.with_borrow_mut(|levels| levels.pop()) {
        Some(Level::Recording(recording)) if recording.id == id => (result, recording),
        _ => unreachable!("levels are pushed and popped in pairs"),
    }
}

/// Runs `body` outside of any recording: what it computes from values is computed now, once.
///
/// Layers make their variables this way when they are built while a function is recorded.
pub fn eagerly<R>(body: impl FnOnce() -> R) -> R {
    LEVELS.with_borrow_mut(|levels| levels.push(Level::Eager));
    let _guard = PopOnPanic;
    body()
}

struct PopOnPanic;

impl Drop for PopOnPanic {
    fn drop(&mut self) {
        LEVELS.with_borrow_mut(|levels| levels.pop());
    }
}

/// Whether a function is being recorded on this thread right now.
pub fn is_recording() -> bool {
    with_recording(|_| ()).is_some()
}

/// Notes that the recording serves this thread alone.
pub(crate) fn bind_to_thread() {
    with_recording(|recording| recording.is_bound_to_thread = true);
}

/// Whether a recording is still going on, on this thread.
pub(crate) fn is_going_on(id: RecordingId) -> bool {
    LEVELS.with_borrow(|levels| {
        levels.iter().any(|level| matches!(level, Level::Recording(recording) if recording.id == id))
    })
}

fn with_recording<R>(body: impl FnOnce(&mut Recording) -> R) -> Option<R> {
    LEVELS.with_borrow_mut(|levels| match levels.last_mut() {
        Some(Level::Recording(recording)) => Some(body(recording)),
        _ => None,
    })
}

impl Recording {
    /// Whether a symbol was made by this recording.
    pub(crate) fn owns(&self, symbol: &crate::tensor::Symbol) -> bool {
        symbol.node.recording == self.id
    }

    fn push(&mut self, make: impl FnOnce(RecordingId, u64) -> Node) -> Arc<Node> {
        let node = Arc::new(make(self.id, next_index()));
        self.nodes.push(node.clone());
        node
    }

    fn variable(
        &mut self,
        variable: &Variable,
        location: &'static Location<'static>,
    ) -> &mut RecordedVariable {
        let index = match self.by_variable.get(&variable.id()) {
            Some(&index) => index,
            None => {
                let node = self.push(|recording, index| Node {
                    call: Call::Variable(variable.clone()),
                    inputs: SmallVec::new(),
                    outputs: SmallVec::from_elem(variable.spec().clone(), 1),
                    path: Some(variable.name().into()),
                    location,
                    recording,
                    index,
                });
                let initial = Tensor::from_symbol(&node, 0);
                self.variables.push(RecordedVariable {
                    variable: variable.clone(),
                    current: initial.clone(),
                    initial,
                });
                self.by_variable.insert(variable.id(), self.variables.len() - 1);
                self.variables.len() - 1
            }
        };
        &mut self.variables[index]
    }
}

fn next_index() -> u64 {
    NEXT_INDEX.fetch_add(1, Ordering::Relaxed)
}

/// Adds a node to whatever its symbolic inputs belong to; otherwise says in words why that cannot be.
pub(crate) fn add(
    make: impl FnOnce(RecordingId, u64) -> Node,
    inputs: &[&Tensor],
) -> std::result::Result<Arc<Node>, String> {
    let mut owner = None;
    for symbol in inputs.iter().filter_map(|input| input.symbol()) {
        match owner {
            None => owner = Some(symbol.node.recording),
            Some(id) if id == symbol.node.recording => {}
            Some(MODEL) | Some(_) if symbol.node.recording == MODEL || owner == Some(MODEL) => {
                return Err("a symbolic tensor of a model met one of a function that is being recorded: \
                            call the model on the function's tensors instead"
                    .to_string());
            }
            Some(_) => return Err(left_recording()),
        }
    }
    match owner {
        None | Some(MODEL) => Ok(Arc::new(make(MODEL, next_index()))),
        Some(id) => with_recording(|recording| (recording.id == id).then(|| recording.push(make)))
            .flatten()
            .ok_or_else(left_recording),
    }
}

pub(crate) fn left_recording() -> String {
    "a tensor of a recording was used outside of it: symbolic tensors must not be stored outside the function, \
     return them instead"
        .to_string()
}

/// A new argument of the function being recorded.
pub(crate) fn add_input(name: &str, spec: Spec) -> Tensor {
    let location = Location::caller();
    let node = with_recording(|recording| {
        recording.push(|recording, index| Node {
            call: Call::Input(name.into()),
            inputs: SmallVec::new(),
            outputs: SmallVec::from_elem(spec, 1),
            path: None,
            location,
            recording,
            index,
        })
    })
    .expect("arguments are added while recording");
    Tensor::from_symbol(&node, 0)
}

/// A new input of a model, with any axis open that is [`crate::tensor::BATCH`].
#[track_caller]
pub fn model_input(name: &str, spec: Spec) -> Tensor {
    let node = Arc::new(Node {
        call: Call::Input(name.into()),
        inputs: SmallVec::new(),
        outputs: SmallVec::from_elem(spec, 1),
        path: None,
        location: Location::caller(),
        recording: MODEL,
        index: next_index(),
    });
    Tensor::from_symbol(&node, 0)
}

/// The recorded value of a variable in program order, if a function is being recorded.
#[track_caller]
pub(crate) fn read(variable: &Variable) -> Option<Tensor> {
    let location = Location::caller();
    with_recording(|recording| recording.variable(variable, location).current.clone())
}

/// Notes an assignment in program order; false if nothing is being recorded.
#[track_caller]
pub(crate) fn assign(variable: &Variable, value: &Tensor) -> Result<bool> {
    let location = Location::caller();
    if let Some(symbol) = value.symbol() {
        let here = with_recording(|recording| recording.id == symbol.node.recording).unwrap_or(false);
        if !here {
            return Err(Error::new(ErrorKind::Recording, "assign", left_recording()));
        }
    }
    let value = value.detached();
    Ok(with_recording(|recording| recording.variable(variable, location).current = value).is_some())
}
