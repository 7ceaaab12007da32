//! The recordings of a function: found by the signature of a call, or made by running the body on symbols.

use crate::cpu::{PlannedMemory, Program, Results};
use crate::graph::{Graph, from_recording};
use crate::passes;
use crate::profile;
use crate::saved::{self, Recorded};
use crate::tensor::{DType, Error, ErrorKind, Result, Tensor, Value};
use crate::trace::batch::{self, Programs};
use crate::trace::check::{self, Checked};
use crate::trace::explain::{self, Reason};
use crate::trace::recorder::Recording;
use crate::trace::signature::{Flat, Inputs, Key, Part};
use crate::trace::structure::{Returned, Structure};
use crate::trace::variable::{Variable, WeakVariable};
use crate::trace::{ambient, debug_level, is_recording, recorder, scope, tape};
use smallvec::SmallVec;
use std::any::{Any, type_name};
use std::cell::Cell;
use std::fs;
use std::panic::Location;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Recordings kept per function; the one unused for longest makes room.
pub(crate) const CAPACITY: usize = 32;

thread_local! {
    static RUN_EAGERLY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` with all recorded functions on this thread run as plain Rust code instead, op by op: for debugging.
pub fn run_functions_eagerly<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            RUN_EAGERLY.set(self.0);
        }
    }
    let _restore = Restore(RUN_EAGERLY.replace(true));
    body()
}

/// The recordings of one function.
pub struct Recordings {
    pub(crate) name: &'static str,
    pub(crate) made_at: &'static Location<'static>,
    /// The arguments whose first axis is open.
    open: &'static [&'static str],
    /// Bytes that a call may work on.
    budget: Option<usize>,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// The least recently used first.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// How many were ever made.
    pub(crate) total: u64,
    warned: bool,
}

/// One recording, compiled.
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) key: RecordingKey,
    pub(crate) programs: Programs,
    /// Those of the program, and whether each was trainable: gradients inside the body depend on that.
    pub(crate) variables: Vec<(WeakVariable, bool)>,
    /// The only thread that it serves.
    pub(crate) thread: Option<ThreadId>,
    /// The structure that the function returned, with placeholders for the tensors.
    template: Box<dyn Any + Send + Sync>,
    pub(crate) recorded_nodes: usize,
    pub(crate) compiled_nodes: usize,
    pub(crate) recording_time: Duration,
    pub(crate) compile_time: Duration,
    pub(crate) called_from: &'static Location<'static>,
    pub(crate) reason: Reason,
    pub(crate) calls: AtomicU64,
    /// What was recorded, as it was.
    pub(crate) recorded: Arc<Graph>,
    checked: OnceLock<Checked>,
    /// Kept alive here, since nobody else knows of it.
    _effects: Option<Variable>,
}

/// By what a recording is found, besides its variables.
pub(crate) struct RecordingKey {
    pub(crate) parts: SmallVec<[Part; 6]>,
    /// The body's type: a generic function's instances share one [`Recordings`], but have bodies of different types.
    pub(crate) body: &'static str,
    pub(crate) result: &'static str,
    /// The ambient key: whether layers train.
    pub(crate) ambient: u64,
}

/// An entry with its variables, which are kept alive for the time of a call.
struct Ready {
    entry: Arc<Entry>,
    variables: SmallVec<[Variable; 8]>,
}

/// A call that looks for its recording.
pub(crate) struct Call<'a> {
    pub(crate) arguments: &'a Flat,
    pub(crate) body: &'static str,
    ambient: u64,
    pub(crate) called_from: &'static Location<'static>,
    /// The function's recordings, if they are to be found by name.
    home: Option<&'static Recordings>,
    /// The size of the open batch axis, if the function has one.
    batch: Option<usize>,
}

impl<'a> Call<'a> {
    /// A call from the caller's line, of a function whose body is an `F`.
    #[track_caller]
    fn here<F>(arguments: &'a Flat, home: Option<&'static Recordings>) -> Call<'a> {
        let (body, called_from) = (type_name::<F>(), Location::caller());
        Call { arguments, body, ambient: ambient::current(), called_from, home, batch: None }
    }
}

impl Recordings {
    /// No recordings yet; the name shows in graphs, errors and profiles.
    #[track_caller]
    pub const fn new(name: &'static str) -> Recordings {
        let state = State { entries: Vec::new(), total: 0, warned: false };
        Recordings { name, made_at: Location::caller(), open: &[], budget: None, state: Mutex::new(state) }
    }

    /// Leaves the first axis of the arguments of these names open: one recording serves every batch size.
    pub const fn with_open_batch(mut self, arguments: &'static [&'static str]) -> Recordings {
        self.open = arguments;
        self
    }

    /// Plans calls so that all memory they work on ([`PlannedMemory::total`]) stays within a budget in bytes: values are
    /// computed again instead of kept. Where no plan is small enough, calls give an error that says what the least is.
    pub const fn with_memory_budget(mut self, bytes: usize) -> Recordings {
        self.budget = Some(bytes);
        self
    }

    /// Calls the function: finds the recording for the arguments' signature or makes it, then runs it.
    ///
    /// Inside another recording, inside [`run_functions_eagerly`] and where a gradient tape is active the body
    /// simply runs as it is written, so that what surrounds it sees its ops.
    #[track_caller]
    pub fn call<R, F>(&self, arguments: &Flat, body: F) -> R
    where
        R: Returned,
        R::Parts: Send + Sync + 'static,
        F: FnOnce(Inputs) -> R,
    {
        self.call_from(None, arguments, body)
    }

    /// The same for a function's own static recordings, which [`explain`](crate::trace::explain()) finds from then on.
    #[track_caller]
    pub fn call_static<R, F>(&'static self, arguments: &Flat, body: F) -> R
    where
        R: Returned,
        R::Parts: Send + Sync + 'static,
        F: FnOnce(Inputs) -> R,
    {
        self.call_from(Some(self), arguments, body)
    }

    #[track_caller]
    fn call_from<R, F>(&self, home: Option<&'static Recordings>, arguments: &Flat, body: F) -> R
    where
        R: Returned,
        R::Parts: Send + Sync + 'static,
        F: FnOnce(Inputs) -> R,
    {
        let call = Call::here::<F>(arguments, home);
        let symbolic = || arguments.tensors.iter().any(Tensor::is_symbolic);
        if is_recording() || tape::is_active() || RUN_EAGERLY.get() || symbolic() {
            return scope(self.name, None, || body(arguments.inputs(None)));
        }
        R::from_result(match self.opened(arguments) {
            Ok(None) => self.call_recorded(&call, body),
            Ok(Some((open, batch))) => self.call_recorded(&Call { arguments: &open, batch, ..call }, body),
            Err(error) => Err(error.into()),
        })
    }

    /// Records and compiles the function for arguments of this signature, unless that was done before; runs nothing.
    ///
    /// Gives the memory that the program plans for one call.
    ///
    /// # Errors
    /// As a call would.
    #[track_caller]
    pub fn prepare<R, F>(&self, arguments: &Flat, body: F) -> Result<PlannedMemory, R::Error>
    where
        R: Returned,
        R::Parts: Send + Sync + 'static,
        F: FnOnce(Inputs) -> R,
    {
        let call = Call::here::<F>(arguments, None);
        let Some((open, batch)) = self.opened(arguments)? else {
            let ready = self.find_or_record(&call, body)?;
            return Ok(ready.entry.programs.of(&ready.entry.recorded, None, self.budget)?.planned_memory());
        };
        let ready = self.find_or_record(&Call { arguments: &open, batch, ..call }, body)?;
        Ok(ready.entry.programs.of(&ready.entry.recorded, batch, self.budget)?.planned_memory())
    }

    /// The arguments with their batch axes open, and the batch size, if this function has such arguments.
    #[track_caller]
    fn opened(&self, arguments: &Flat) -> Result<Option<(Flat, Option<usize>)>> {
        match self.open {
            [] => Ok(None),
            open => arguments.with_open_batch(self.name, open).map(Some),
        }
    }

    fn call_recorded<R: Returned>(
        &self,
        call: &Call,
        body: impl FnOnce(Inputs) -> R,
    ) -> Result<R::Parts, R::Error>
    where
        R::Parts: Send + Sync + 'static,
    {
        let mut values: SmallVec<[&Value; 8]> = SmallVec::new();
        for tensor in &call.arguments.tensors {
            values.push(tensor.value(self.name)?);
        }
        let ready = self.find_or_record(call, body)?;
        ready.entry.calls.fetch_add(1, Ordering::Relaxed);
        let results = if check::is_on() {
            ready.entry.run_checked(call.batch, &ready.variables, &values)?
        } else {
            match &ready.entry.programs {
                Programs::One(program) => program.run(&ready.variables, &values)?,
                programs => {
                    let program = programs.of(&ready.entry.recorded, call.batch, self.budget)?;
                    program.run(&ready.variables, &values)?
                }
            }
        };
        let template = ready.entry.template.downcast_ref::<R::Parts>().expect("found by this very type");
        Ok(template.rebuild(&mut results.into_iter().map(Tensor::from_value)))
    }

    fn find_or_record<R: Returned>(
        &self,
        call: &Call,
        body: impl FnOnce(Inputs) -> R,
    ) -> Result<Ready, R::Error>
    where
        R::Parts: Send + Sync + 'static,
    {
        // The lock is let go of before recording: the body may call the same function.
        let found = self.lock().find::<R::Parts>(call);
        match found {
            Some(ready) => Ok(ready),
            None => self.record(call, body),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record<R: Returned>(&self, call: &Call, body: impl FnOnce(Inputs) -> R) -> Result<Ready, R::Error>
    where
        R::Parts: Send + Sync + 'static,
    {
        let began = Instant::now();
        let traced = trace(self.name, call.arguments, call.batch.is_some(), body)?;
        let recording_time = began.elapsed();
        let start = Instant::now();
        let recorded_nodes = traced.graph.len();
        let recorded = Arc::new(traced.graph);
        let (programs, compiled_nodes) = match call.batch {
            Some(_) => (Programs::PerBatch(Mutex::default()), recorded.len()),
            None => {
                let graph = passes::optimize(&recorded);
                let nodes = graph.len();
                let program = Program::compile_within(recorded.clone(), graph, self.budget)?;
                (Programs::One(Arc::new(program)), nodes)
            }
        };
        let compile_time = start.elapsed();
        profile::span_since("record and compile", began);
        let mut state = self.lock();
        // Another thread may have recorded the same in the meantime.
        if let Some(ready) = state.find::<R::Parts>(call) {
            return Ok(ready);
        }
        let key = RecordingKey {
            parts: call.arguments.parts.clone(),
            body: call.body,
            result: type_name::<R::Parts>(),
            ambient: call.ambient,
        };
        let reason = Reason::of(&key, &state.entries);
        // Recordings whose variables are gone can never be called again.
        state.entries.retain(|entry| !entry.variables.iter().any(|(variable, _)| variable.is_gone()));
        state.total += 1;
        let weak = |variable: &Variable| (variable.downgrade(), variable.is_trainable());
        let entry = Arc::new(Entry {
            number: state.total,
            key,
            programs,
            variables: traced.variables.iter().map(weak).collect(),
            thread: traced.is_bound_to_thread.then(|| thread::current().id()),
            template: Box::new(traced.template),
            recorded_nodes,
            compiled_nodes,
            recording_time,
            compile_time,
            called_from: call.called_from,
            reason,
            calls: AtomicU64::new(0),
            recorded,
            checked: OnceLock::new(),
            _effects: traced.effects,
        });
        if debug_level() >= 1 {
            eprint!("rushlight: function `{}`: {}", self.name, entry.describe());
        }
        if state.entries.len() >= CAPACITY {
            state.entries.remove(0);
        }
        state.entries.push(entry.clone());
        if let Some(home) = call.home {
            explain::register(call.body, home);
        }
        let advice = explain::advice(self, &state);
        if let Some(advice) = advice
            && !std::mem::replace(&mut state.warned, true)
        {
            eprintln!("rushlight: {advice}");
        }
        Ok(Ready { entry, variables: traced.variables })
    }

    /// What was recorded, for which arguments, why again, how long it took and how often it was called.
    pub fn explain(&self) -> String {
        explain::describe(self, &self.lock())
    }

    /// Writes the recordings to a file, one for each signature of tensors: of several that differ in other arguments
    /// alone, the one used last.
    ///
    /// # Errors
    /// If nothing was recorded yet, a recording has a [`callback`](crate::callback()), or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, bytes) = (path.as_ref(), self.to_bytes()?);
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.tmp", std::process::id()));
        // Under its own name there is all of it or nothing.
        let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
        written.map_err(|error| {
            let _ = fs::remove_file(&beside);
            let rule = format!("{} cannot be written: {error}", path.display());
            Error::outside(ErrorKind::Io, "save", rule)
        })
    }

    /// The contents of the file that [`Recordings::save`] writes.
    ///
    /// # Errors
    /// As [`Recordings::save`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let entries = self.lock().entries.clone();
        let mut seen: Vec<Vec<Key>> = Vec::new();
        let mut recorded = Vec::new();
        for entry in entries.iter().rev() {
            let Some(variables) = entry.upgrade_all() else { continue };
            let keys = entry.key.parts.iter().map(|part| part.key.clone());
            let tensors: Vec<Key> = keys.filter(|key| matches!(key, Key::Tensor(_))).collect();
            if seen.contains(&tensors) {
                continue;
            }
            seen.push(tensors);
            let text = |part: &Part| match &part.key {
                Key::Tensor(_) => None,
                key => Some(key.to_string()),
            };
            let arguments = entry.key.parts.iter().map(|part| (part.label().into_owned(), text(part)));
            recorded.push(Recorded { graph: &entry.recorded, variables, arguments: arguments.collect() });
        }
        recorded.reverse();
        saved::to_bytes(self.name, &recorded)
    }

    /// How many times the body was recorded.
    pub fn recording_count(&self) -> usize {
        self.lock().total as usize
    }

    /// How many recordings are kept: those whose variables are gone and those unused for longest are not.
    pub fn kept_count(&self) -> usize {
        let gone = |entry: &Entry| entry.variables.iter().any(|(variable, _)| variable.is_gone());
        let mut state = self.lock();
        state.entries.retain(|entry| !gone(entry));
        state.entries.len()
    }

    /// The memory that the newest recording's program plans for one call.
    pub fn planned_memory(&self) -> Option<PlannedMemory> {
        self.lock().newest().and_then(|entry| Some(entry.programs.newest()?.planned_memory()))
    }

    /// Time spent on compiling the newest recording, recording it included.
    pub fn compile_time(&self) -> Option<Duration> {
        self.lock().newest().map(|entry| entry.recording_time + entry.compile_time)
    }
}

impl State {
    /// The recording that serves a call; it becomes the most recently used.
    fn find<P: 'static>(&mut self, call: &Call) -> Option<Ready> {
        let serves = |entry: &Arc<Entry>| {
            let same = entry.template.is::<P>()
                && call.ambient == entry.key.ambient
                && call.arguments.is_same_signature(&entry.key.parts)
                && call.body == entry.key.body
                && entry.thread.is_none_or(|bound| bound == thread::current().id());
            if same { entry.live_variables() } else { None }
        };
        let found = self.entries.iter().enumerate().rev();
        let (index, variables) = found.filter_map(|(index, entry)| Some((index, serves(entry)?))).next()?;
        self.entries[index..].rotate_left(1);
        Some(Ready { entry: self.entries.last()?.clone(), variables })
    }

    pub(crate) fn newest(&self) -> Option<&Arc<Entry>> {
        self.entries.iter().max_by_key(|entry| entry.number)
    }
}

impl Entry {
    /// The variables, if all are still there.
    fn upgrade_all(&self) -> Option<Vec<Variable>> {
        self.variables.iter().map(|(weak, _)| weak.upgrade()).collect()
    }

    /// Calls the function both compiled and op by op.
    fn run_checked(
        &self,
        batch: Option<usize>,
        variables: &[Variable],
        inputs: &[&Value],
    ) -> Result<Results> {
        if let Some(batch) = batch {
            let graph = batch::closed(&self.recorded, batch)?;
            return Ok(Checked::new(&graph).run(&graph, variables, inputs)?.into());
        }
        let checked = self.checked.get_or_init(|| Checked::new(&self.recorded));
        Ok(checked.run(&self.recorded, variables, inputs)?.into())
    }

    /// The variables, if all are still there and as trainable as they were.
    fn live_variables(&self) -> Option<SmallVec<[Variable; 8]>> {
        let mut variables = SmallVec::with_capacity(self.variables.len());
        for (weak, trainable) in &self.variables {
            variables.push(weak.upgrade().filter(|variable| variable.is_trainable() == *trainable)?);
        }
        Some(variables)
    }
}

/// What running a body on symbols gave.
struct Traced<P> {
    graph: Graph,
    variables: SmallVec<[Variable; 8]>,
    is_bound_to_thread: bool,
    effects: Option<Variable>,
    template: P,
}

/// Runs the body on symbols and makes a graph of what it does.
fn trace<R: Returned>(
    name: &'static str,
    arguments: &Flat,
    has_open_batch: bool,
    body: impl FnOnce(Inputs) -> R,
) -> Result<Traced<R::Parts>, R::Error> {
    let ((result, inputs), recording) = recorder::record_with(|| {
        if has_open_batch {
            recorder::open_batch();
        }
        let mut inputs = Vec::with_capacity(arguments.tensors.len());
        for part in &arguments.parts {
            if let Key::Tensor(spec) = &part.key {
                inputs.push(recorder::add_input(&part.label(), spec.clone()));
            }
        }
        (scope(name, None, || body(arguments.inputs(Some(inputs.clone()))).into_result()), inputs)
    });
    let result = result?;
    let mut flat = Flat::default();
    result.flatten(&mut flat);
    for tensor in &flat.tensors {
        tensor.check()?;
        let foreign = tensor.symbol().is_some_and(|symbol| !recording.owns(symbol));
        if foreign {
            let rule = "the function returned a symbolic tensor of another recording or model";
            return Err(Error::new(ErrorKind::Recording, name, rule).into());
        }
    }
    let graph = from_recording(name, &recording, &inputs, &flat.tensors);
    // The symbols would keep the whole recording alive, with its variables.
    let placeholder = Tensor::scalar_of(0.0, DType::F32);
    let template = result.rebuild(&mut std::iter::repeat(placeholder));
    let variables = recording.variables.iter().map(|recorded| recorded.variable.clone()).collect();
    let Recording { is_bound_to_thread, effects, .. } = recording;
    Ok(Traced { graph, variables, is_bound_to_thread, effects, template })
}
