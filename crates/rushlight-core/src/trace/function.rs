//! Recorded functions: Rust code run once per signature to record a graph, which is compiled and run from then on.

use crate::cpu::Program;
use crate::graph::{Graph, from_recording};
use crate::passes;
use crate::tensor::{Error, ErrorKind, Result, Tensor};
use crate::trace::structure::{Flat, Key, Returned, Structure};
use crate::trace::variable::{Variable, WeakVariable};
use crate::trace::{ambient, debug_level, is_recording, recorder, scope, tape};
use std::any::Any;
use std::cell::Cell;
use std::fmt::Write;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Recordings kept per function; the one unused for longest makes room.
const CAPACITY: usize = 32;

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
    name: &'static str,
    made_at: &'static Location<'static>,
    entries: Mutex<Vec<Arc<Entry>>>,
    clock: AtomicU64,
    total: AtomicU64,
}

struct Entry {
    number: u64,
    keys: Vec<(&'static str, Key)>,
    program: Program,
    variables: Vec<WeakVariable>,
    /// The structure that the function returned, holding symbols where results go.
    template: Box<dyn Any + Send + Sync>,
    recorded_nodes: usize,
    compiled_nodes: usize,
    recording_time: Duration,
    compile_time: Duration,
    called_from: &'static Location<'static>,
    reason: String,
    last_use: AtomicU64,
    calls: AtomicU64,
}

impl Recordings {
    /// No recordings yet; the name shows in graphs, errors and profiles.
    #[track_caller]
    pub const fn new(name: &'static str) -> Recordings {
        Recordings {
            name,
            made_at: Location::caller(),
            entries: Mutex::new(Vec::new()),
            clock: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Calls the function: finds the recording for the arguments' signature or makes it, then runs it.
    ///
    /// Inside another recording, inside [`run_functions_eagerly`] and where a gradient tape is active the body
    /// simply runs as it is written, so that what surrounds it sees its ops.
    #[track_caller]
    pub fn call<R: Returned>(&self, mut arguments: Flat, body: impl FnOnce(Vec<Tensor>) -> R) -> R
    where
        R::Parts: Send + Sync + 'static,
    {
        let called_from = Location::caller();
        if is_recording() || tape::is_active() || RUN_EAGERLY.get() || holds_symbols(&arguments) {
            return scope(self.name, None, || body(arguments.tensors));
        }
        if ambient::current() != 0 {
            arguments.argument("mode").identity("mode", ambient::current());
        }
        R::from_result(self.call_recorded(arguments, body, called_from))
    }

    fn call_recorded<R: Returned>(
        &self,
        arguments: Flat,
        body: impl FnOnce(Vec<Tensor>) -> R,
        called_from: &'static Location<'static>,
    ) -> Result<R::Parts>
    where
        R::Parts: Send + Sync + 'static,
    {
        let values =
            arguments.tensors.iter().map(|tensor| tensor.value(self.name)).collect::<Result<Vec<_>>>()?;
        let entry = match self.find::<R::Parts>(&arguments.keys) {
            Some(entry) => entry,
            None => self.record(&arguments, body, called_from)?,
        };
        entry.last_use.store(self.clock.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        entry.calls.fetch_add(1, Ordering::Relaxed);
        let variables: Vec<Variable> = entry.variables.iter().filter_map(WeakVariable::upgrade).collect();
        let results = entry.program.run(&variables, &values)?;
        let template = entry.template.downcast_ref::<R::Parts>().expect("found by this very type");
        Ok(template.rebuild(&mut results.into_iter().map(Tensor::from_value)))
    }

    fn find<P: 'static>(&self, keys: &[(&'static str, Key)]) -> Option<Arc<Entry>> {
        let entries = self.lock();
        let serves = |entry: &&Arc<Entry>| {
            entry.keys == keys
                && entry.template.is::<P>()
                && !entry.variables.iter().any(WeakVariable::is_gone)
        };
        entries.iter().rev().find(serves).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn record<R: Returned>(
        &self,
        arguments: &Flat,
        body: impl FnOnce(Vec<Tensor>) -> R,
        called_from: &'static Location<'static>,
    ) -> Result<Arc<Entry>>
    where
        R::Parts: Send + Sync + 'static,
    {
        let start = Instant::now();
        let (graph, template) = trace(self.name, arguments, body)?;
        let recording_time = start.elapsed();
        let start = Instant::now();
        let recorded_nodes = graph.len();
        let graph = passes::optimize(graph);
        let compiled_nodes = graph.len();
        let variables = graph.variables.clone();
        let program = Program::compile(graph);
        let compile_time = start.elapsed();
        let mut entries = self.lock();
        // Recordings whose variables are gone can never be called again.
        entries.retain(|entry| !entry.variables.iter().any(WeakVariable::is_gone));
        let entry = Arc::new(Entry {
            number: self.total.fetch_add(1, Ordering::Relaxed) + 1,
            reason: reason(&entries, &arguments.keys),
            keys: arguments.keys.clone(),
            program,
            variables,
            template: Box::new(template),
            recorded_nodes,
            compiled_nodes,
            recording_time,
            compile_time,
            called_from,
            last_use: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        });
        if debug_level() >= 1 {
            eprint!("rushlight: function `{}`: {}", self.name, entry.describe());
        }
        if entries.len() >= CAPACITY {
            let oldest =
                (0..entries.len()).min_by_key(|&index| entries[index].last_use.load(Ordering::Relaxed));
            oldest.map(|index| entries.remove(index));
        }
        entries.push(entry.clone());
        Ok(entry)
    }

    /// What was recorded, for which arguments, why again, how long it took and how often it was called.
    pub fn explain(&self) -> String {
        let entries = self.lock();
        let mut text = format!(
            "function `{}` ({}:{}): {} recording(s) made, {} kept\n",
            self.name,
            self.made_at.file(),
            self.made_at.line(),
            self.total.load(Ordering::Relaxed),
            entries.len()
        );
        entries.iter().for_each(|entry| text.push_str(&entry.describe()));
        text
    }

    /// How many times the body was recorded.
    pub fn recording_count(&self) -> usize {
        self.total.load(Ordering::Relaxed) as usize
    }

    /// The memory in bytes that the newest recording's program plans for one call, besides variables and arguments.
    pub fn planned_bytes(&self) -> Option<usize> {
        self.lock().last().map(|entry| entry.program.planned_bytes())
    }

    /// Time spent on compiling the newest recording, recording it included.
    pub fn compile_time(&self) -> Option<Duration> {
        self.lock().last().map(|entry| entry.recording_time + entry.compile_time)
    }
}

impl Entry {
    fn describe(&self) -> String {
        let mut text = String::new();
        let arguments: Vec<String> = self.keys.iter().map(|(name, key)| format!("{name}: {key}")).collect();
        let _ = writeln!(text, "  recording {} ({})", self.number, arguments.join(", "));
        let place = self.called_from;
        let _ = writeln!(text, "    because {} ({}:{})", self.reason, place.file(), place.line());
        let _ = writeln!(
            text,
            "    recorded {} nodes in {:.1} ms, compiled to {} in {:.1} ms; {} call(s)",
            self.recorded_nodes,
            self.recording_time.as_secs_f64() * 1e3,
            self.compiled_nodes,
            self.compile_time.as_secs_f64() * 1e3,
            self.calls.load(Ordering::Relaxed)
        );
        text
    }
}

/// Why the kept recordings do not serve a call: what differs from the one that is nearest.
fn reason(entries: &[Arc<Entry>], keys: &[(&'static str, Key)]) -> String {
    let differences = |entry: &Entry| {
        let length = (entry.keys.len() as isize - keys.len() as isize).unsigned_abs();
        entry.keys.iter().zip(keys).filter(|(old, new)| old != new).count() + length
    };
    let Some(nearest) = entries.iter().min_by_key(|entry| differences(entry)) else {
        return "it is the first call".to_string();
    };
    let changed = nearest.keys.iter().zip(keys).find(|(old, new)| old != new);
    match changed {
        Some(((_, old), (name, new))) => format!("argument `{name}` was {old} before and is {new} now"),
        None if nearest.keys.len() != keys.len() => "the number of arguments differs".to_string(),
        None => "the type of the result differs".to_string(),
    }
}

fn holds_symbols(arguments: &Flat) -> bool {
    arguments.tensors.iter().any(Tensor::is_symbolic)
}

/// Runs the body on symbols and makes a graph of what it does.
fn trace<R: Returned>(
    name: &'static str,
    arguments: &Flat,
    body: impl FnOnce(Vec<Tensor>) -> R,
) -> Result<(Graph, R::Parts)> {
    let ((result, inputs), recording) = recorder::record_with(|| {
        let inputs: Vec<Tensor> = arguments
            .keys
            .iter()
            .filter_map(|(name, key)| match key {
                Key::Tensor(spec) => Some(recorder::add_input(name, spec.clone())),
                _ => None,
            })
            .collect();
        (scope(name, None, || body(inputs.clone())).into_result(), inputs)
    });
    let template = result?;
    let mut flat = Flat::default();
    template.flatten(&mut flat);
    for tensor in &flat.tensors {
        tensor.check()?;
        let foreign = tensor.symbol().is_some_and(|symbol| !recording.owns(symbol));
        if foreign {
            let rule = "the function returned a symbolic tensor of another recording or model";
            return Err(Error::new(ErrorKind::Recording, name, rule));
        }
    }
    let graph = from_recording(name, &recording, &inputs, &flat.tensors);
    Ok((graph, template))
}

/// A closure that is recorded once per signature and run as a compiled graph from then on.
pub struct Function<F, A, R> {
    recordings: Recordings,
    body: F,
    types: PhantomData<fn(A) -> R>,
}

/// Makes a recorded function of a closure over tensors (or other [`Structure`]s).
///
/// The closure runs once for each signature (shapes, dtypes and static values of its arguments); variables that
/// it reads are captured by reference. The compiled graph runs without going back to the closure.
///
/// ```
/// use rushlight_core::{Tensor, Variable, function};
/// let total = Variable::new("total", &Tensor::scalar(0.0f32))?;
/// let add = function("add", {
///     let total = total.clone();
///     move |x: &Tensor| {
///         total.assign_add(&x.sum(..))?;
///         Ok(total.read())
///     }
/// });
/// assert_eq!(add.call(&Tensor::from([1.0f32, 2.0]))?.item::<f32>()?, 3.0);
/// assert_eq!(add.call(&Tensor::from([3.0f32, 4.0]))?.item::<f32>()?, 10.0);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn function<F, A, R>(name: &'static str, body: F) -> Function<F, A, R>
where
    F: Callable<A, R>,
{
    Function { recordings: Recordings::new(name), body, types: PhantomData }
}

impl<F, A, R> Function<F, A, R> {
    /// What was recorded, why again, and how long it took.
    pub fn explain(&self) -> String {
        self.recordings.explain()
    }

    /// The recordings made so far.
    pub fn recordings(&self) -> &Recordings {
        &self.recordings
    }
}

/// Closures that [`function`] takes: up to four references to structures.
pub trait Callable<A, R> {}

macro_rules! callables {
    ($($call:ident ($($name:ident $argument:ident $index:tt $label:literal),+))*) => {$(
        impl<F, R, $($name: Structure),+> Callable<($($name,)+), R> for F where F: Fn($(&$name),+) -> R {}

        impl<F, R: Returned, $($name: Structure),+> Function<F, ($($name,)+), R>
        where
            F: Fn($(&$name),+) -> R,
            R::Parts: Send + Sync + 'static,
        {
            /// Calls the function; the first time for a signature records and compiles it.
            #[track_caller]
            pub fn $call(&self, $($argument: &$name),+) -> R {
                let mut flat = Flat::default();
                $($argument.flatten(flat.argument($label));)+
                self.recordings.call(flat, |tensors| {
                    let mut tensors = tensors.into_iter();
                    (self.body)($(&$argument.rebuild(&mut tensors)),+)
                })
            }
        }
    )*};
}

callables! {
    call (A a 0 "0")
    call2 (A a 0 "0", B b 1 "1")
    call3 (A a 0 "0", B b 1 "1", C c 2 "2")
    call4 (A a 0 "0", B b 1 "1", C c 2 "2", D d 3 "3")
}
