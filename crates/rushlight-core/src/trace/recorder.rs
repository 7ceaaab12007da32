//! The stack of recordings on this thread: which nodes were made, which variables were read and assigned.

use crate::tensor::{Error, ErrorKind, Result, Spec, Symbol, Tensor};
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
    /// Whether the batch axis of some arguments is open.
    has_open_batch: bool,
    /// The number of effects so far, if there are any.
    pub(crate) effects: Option<Variable>,
    by_variable: HashMap<u64, usize>,
    /// Whether this is the body of a loop or a branch, which may use symbols of what surrounds it.
    is_body: bool,
    /// What a body uses of its surroundings, each with the input that stands for it inside.
    pub(crate) captures: Vec<(Tensor, Tensor)>,
    /// The input that stands for an output of a node outside.
    by_capture: HashMap<(usize, usize), usize>,
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
    record_level(false, body)
}

/// The same for the body of a loop or a branch: symbols of what surrounds it become inputs of its own.
pub(crate) fn record_body<R>(body: impl FnOnce() -> R) -> (R, Recording) {
    let (result, recording) = record_level(true, body);
    if recording.is_bound_to_thread {
        bind_to_thread();
    }
    (result, recording)
}

fn record_level<R>(is_body: bool, body: impl FnOnce() -> R) -> (R, Recording) {
    let id = NEXT_RECORDING.fetch_add(1, Ordering::Relaxed);
    let recording = Recording {
        id,
        nodes: Vec::new(),
        variables: Vec::new(),
        is_bound_to_thread: false,
        has_open_batch: false,
        effects: None,
        by_variable: HashMap::new(),
        is_body,
        captures: Vec::new(),
        by_capture: HashMap::new(),
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

/// Notes that the function being recorded has arguments with an open batch axis.
pub(crate) fn open_batch() {
    with_recording(|recording| recording.has_open_batch = true);
}

/// Whether the function being recorded has arguments with an open batch axis.
pub(crate) fn has_open_batch() -> bool {
    LEVELS.with_borrow(|levels| {
        let recordings = levels.iter().rev().take_while(|level| matches!(level, Level::Recording(_)));
        recordings.into_iter().any(|level| matches!(level, Level::Recording(one) if one.has_open_batch))
    })
}

/// Name of the variable that holds the number of effects.
pub(crate) const EFFECTS: &str = "number of effects";

/// The number of effects of the function that is being recorded: what puts its effects in order.
#[track_caller]
pub(crate) fn effects() -> Result<Variable> {
    // The function itself is the outermost of the levels down to one that runs eagerly.
    fn with_function<R>(body: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        LEVELS.with_borrow_mut(|levels| {
            let first = levels.iter().rposition(|level| matches!(level, Level::Eager)).map_or(0, |i| i + 1);
            match levels.get_mut(first) {
                Some(Level::Recording(recording)) => Some(body(recording)),
                _ => None,
            }
        })
    }
    if let Some(known) = with_function(|recording| recording.effects.clone()).flatten() {
        return Ok(known);
    }
    let made = Variable::new(EFFECTS, &Tensor::scalar(0i64))?.untrainable();
    with_function(|recording| recording.effects = Some(made.clone()));
    Ok(made)
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

    /// A new input that nothing has been computed from yet.
    pub(crate) fn input(&mut self, name: &str, spec: Spec, location: &'static Location<'static>) -> Tensor {
        let node = self.push(|recording, index| Node {
            call: Call::Input(name.into()),
            inputs: SmallVec::new(),
            outputs: SmallVec::from_elem(spec, 1),
            path: None,
            location,
            recording,
            index,
        });
        Tensor::from_symbol(&node, 0)
    }

    /// The input of this body that stands for a symbol of the level below.
    fn capture(&mut self, outer: &Tensor, symbol: &Symbol) -> Tensor {
        let key = (Arc::as_ptr(&symbol.node) as usize, symbol.output);
        if let Some(&number) = self.by_capture.get(&key) {
            return self.captures[number].1.clone();
        }
        let spec = symbol.node.outputs[symbol.output].clone();
        let inner = self.input(symbol.node.call.name(), spec, symbol.node.location);
        self.by_capture.insert(key, self.captures.len());
        self.captures.push((outer.clone(), inner.clone()));
        inner
    }

    /// What is known of a variable, which is read now if it was not before.
    pub(crate) fn variable(
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

/// What is new of a node: everything but its inputs.
type MakeNode<'a> = &'a mut dyn FnMut(SmallVec<[Tensor; 3]>, RecordingId, u64) -> Node;

/// Adds a node to whatever its symbolic inputs belong to; otherwise says in words why that cannot be.
pub(crate) fn add(make: MakeNode, inputs: &[&Tensor]) -> std::result::Result<Arc<Node>, String> {
    let in_body = with_recording(|recording| recording.is_body).unwrap_or(false);
    if in_body && inputs.iter().any(|input| input.is_symbolic()) {
        return LEVELS.with_borrow_mut(|levels| {
            let inputs = inputs.iter().map(|input| import_into(levels, input)).collect::<Result<_, _>>()?;
            match levels.last_mut() {
                Some(Level::Recording(body)) => {
                    Ok(body.push(|recording, index| make(inputs, recording, index)))
                }
                _ => unreachable!("a body is being recorded"),
            }
        });
    }
    let owned = || inputs.iter().map(|&input| input.clone()).collect();
    let mut owner = None;
    for symbol in inputs.iter().filter_map(|input| input.symbol()) {
        match owner {
            None => owner = Some(symbol.node.recording),
            Some(id) if id == symbol.node.recording => {}
            Some(MODEL) | Some(_) if symbol.node.recording == MODEL || owner == Some(MODEL) => {
                return Err(met_model());
            }
            Some(_) => return Err(left_recording()),
        }
    }
    match owner {
        // What has an open shape but no symbolic input belongs to the function whose batch is open.
        None if has_open_batch() => {
            with_recording(|recording| recording.push(|recording, index| make(owned(), recording, index)))
                .ok_or_else(left_recording)
        }
        None | Some(MODEL) => Ok(Arc::new(make(owned(), MODEL, next_index()))),
        Some(id) => with_recording(|recording| {
            (recording.id == id).then(|| recording.push(|recording, index| make(owned(), recording, index)))
        })
        .flatten()
        .ok_or_else(left_recording),
    }
}

fn met_model() -> String {
    "a symbolic tensor of a model met one of a function that is being recorded: \
     call the model on the function's tensors instead"
        .to_string()
}

/// What stands for a tensor in the innermost of these levels; says in words why nothing does.
fn import_into(levels: &mut [Level], tensor: &Tensor) -> std::result::Result<Tensor, String> {
    let Some(symbol) = tensor.symbol() else { return Ok(tensor.clone()) };
    let of_model = symbol.node.recording == MODEL;
    match levels.split_last_mut() {
        Some((Level::Recording(top), _)) if top.id == symbol.node.recording => Ok(tensor.clone()),
        Some((Level::Recording(top), below)) if top.is_body => {
            let outer = import_into(below, tensor)?;
            Ok(match outer.symbol() {
                Some(symbol) => top.capture(&outer, symbol),
                None => outer.clone(),
            })
        }
        Some((Level::Recording(_), _)) if of_model => Err(met_model()),
        _ if of_model => Ok(tensor.clone()),
        _ => Err(left_recording()),
    }
}

/// What stands for a tensor in the body that is being recorded: itself, or an input for what surrounds the body.
pub(crate) fn import(tensor: &Tensor) -> std::result::Result<Tensor, String> {
    LEVELS.with_borrow_mut(|levels| import_into(levels, tensor))
}

/// The body of a loop or a branch that is being recorded right now, if one is.
pub(crate) fn current_body() -> Option<RecordingId> {
    with_recording(|recording| recording.is_body.then_some(recording.id)).flatten()
}

pub(crate) fn left_recording() -> String {
    "a tensor of a recording was used outside of it: symbolic tensors must not be stored outside the function, \
     return them instead"
        .to_string()
}

/// A new argument of the function being recorded.
pub(crate) fn add_input(name: &str, spec: Spec) -> Tensor {
    let location = Location::caller();
    with_recording(|recording| recording.input(name, spec, location))
        .expect("arguments are added while recording")
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
    let imported = match (is_recording(), value.is_symbolic()) {
        (true, true) => import(value).map_err(|rule| Error::new(ErrorKind::Recording, "assign", rule))?,
        (false, true) => return Err(Error::new(ErrorKind::Recording, "assign", left_recording())),
        (_, false) => value.clone(),
    };
    let value = imported.detached();
    Ok(with_recording(|recording| recording.variable(variable, location).current = value).is_some())
}
