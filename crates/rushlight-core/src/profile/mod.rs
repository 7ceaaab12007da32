//! What ran, for whom, from when to when: the times behind tables, traces and TensorBoard's profiles.
//!
//! Nothing is noted, and nothing costs more than a look at a flag, unless [`profile`] is on the way.

mod picture;

pub use picture::{Joint, Lifetime, Picture, PictureEdge, PictureKind, PictureNode, Plan, Share, Within};

use crate::graph::Origin;
use crate::tensor::Spec;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One kernel that ran.
#[derive(Clone, Debug)]
pub struct KernelRun {
    /// The kernel and the ops that it computes, for instance `conv 3×3, winograd` or `loop: mul add max`.
    pub kernel: String,
    /// The path of layers, such as `model/dense_1`.
    pub path: Option<Arc<str>>,
    /// The user's line that the op comes from, if it is known.
    pub location: Option<&'static Location<'static>>,
    /// When it started, counted from the start of the profile.
    pub start: Duration,
    /// How long it ran.
    pub duration: Duration,
    /// Floating-point operations that the ops ask for (a convolution counts as the direct one does).
    pub flops: u64,
    /// Bytes of all operands and results, each counted once.
    pub bytes: u64,
    /// Shapes and dtypes of the results.
    pub outputs: Vec<Spec>,
    /// Where it stands in a compiled graph; nothing for what ran eagerly.
    pub place: Option<KernelPlace>,
}

/// A kernel inside of a loop or a branch, in all turns that a call makes.
#[derive(Clone, Debug)]
pub struct InnerRun {
    /// The kernel and the ops that it computes.
    pub kernel: String,
    /// The kernel of the loop or the branch around it, which contains its time, by its number in the program.
    pub outer: usize,
    /// When it ran first, counted from the start of the profile.
    pub start: Duration,
    /// How long it ran in all turns.
    pub duration: Duration,
    /// How often it ran.
    pub runs: usize,
}

/// Where a kernel stands in a compiled graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelPlace {
    /// The call, by its number in [`Profile::graphs`].
    pub call: usize,
    /// The number of the kernel in the graph's program.
    pub step: usize,
}

/// What one thread of the pool did for one kernel.
#[derive(Clone, Debug)]
pub struct WorkerRun {
    /// The thread: 0 for the one that called, workers from 1 on.
    pub worker: usize,
    /// The kernel, by its number in [`Profile::kernels`].
    pub kernel: usize,
    /// When its first task started, counted from the start of the profile.
    pub start: Duration,
    /// From the start of its first task to the end of its last.
    pub duration: Duration,
    /// How many tasks it took.
    pub tasks: usize,
}

/// Something else that took time, such as waiting for data or making them on another thread.
#[derive(Clone, Debug)]
pub struct SpanRun {
    pub name: String,
    /// The name of the thread; nothing for the one that is profiled.
    pub thread: Option<String>,
    /// When it started, counted from the start of the profile.
    pub start: Duration,
    pub duration: Duration,
}

/// One step of something that goes on in steps, such as a training.
#[derive(Clone, Debug)]
pub struct StepRun {
    pub name: String,
    pub number: u64,
    /// When it started, counted from the start of the profile.
    pub start: Duration,
    pub duration: Duration,
}

/// One call of a compiled graph.
#[derive(Clone, Debug)]
pub struct GraphRun {
    /// The name of the function.
    pub function: Arc<str>,
    /// When it started, counted from the start of the profile.
    pub start: Duration,
    /// How long it ran, from its first kernel to its last.
    pub duration: Duration,
    /// Bytes of temporary memory.
    pub temporary_bytes: usize,
    /// What was recorded, what it was compiled to, and which kernel computes what.
    pub plan: Arc<Plan>,
}

/// Everything that ran on one thread (and on the workers that helped it) during [`profile`].
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Kernels in the order in which they ran.
    pub kernels: Vec<KernelRun>,
    /// Kernels inside of loops and branches of compiled graphs, whose own kernels contain their times.
    pub inner: BTreeMap<KernelPlace, InnerRun>,
    /// Calls of compiled graphs, in the order in which they began.
    pub graphs: Vec<GraphRun>,
    /// What the threads of the pool did, where a kernel was spread over them.
    pub workers: Vec<WorkerRun>,
    /// Everything else of which somebody told ([`span`]), on any thread of the program.
    pub spans: Vec<SpanRun>,
    /// Steps that were told of ([`step_since`]).
    pub steps: Vec<StepRun>,
    /// When it began, as time since 1970.
    pub began: Duration,
    /// How long all of it took.
    pub duration: Duration,
}

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    /// The kernel of a compiled graph that is running and noted.
    static RUNNING: Cell<Option<KernelPlace>> = const { Cell::new(None) };
    /// Profiles on the way, the innermost last, each with its start.
    static COLLECTED: RefCell<Vec<(Instant, Profile)>> = const { RefCell::new(Vec::new()) };
}

/// How many profiles are on the way on all threads.
static GOING_ON: AtomicUsize = AtomicUsize::new(0);

/// What other threads told meanwhile: when it began and ended, its name and the thread's.
static ELSEWHERE: Mutex<Vec<(Instant, Instant, String, String)>> = Mutex::new(Vec::new());

/// Runs a body and tells which kernels ran meanwhile on this thread, eagerly or in compiled graphs.
///
/// Inside another profile, the inner one takes what runs in it.
///
/// ```
/// use rushlight_core::{Tensor, profile::profile};
///
/// let x = Tensor::from([1.0f32, 2.0, 3.0]);
/// let (y, profile) = profile(|| (&x * 2.0).exp());
/// assert_eq!(profile.kernels.len(), 2);
/// assert_eq!(profile.kernels[1].kernel, "exp");
/// # drop(y);
/// ```
pub fn profile<R>(body: impl FnOnce() -> R) -> (R, Profile) {
    /// Ends the profile even if the body panics.
    struct End(bool);
    impl Drop for End {
        fn drop(&mut self) {
            if self.0 {
                stop();
            }
        }
    }
    start();
    let mut end = End(true);
    let result = body();
    end.0 = false;
    (result, stop())
}

/// Begins a profile on this thread, which [`stop`] ends: [`profile`] for work that is no closure.
pub fn start() {
    GOING_ON.fetch_add(1, Ordering::Relaxed);
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    COLLECTED.with_borrow_mut(|all| all.push((Instant::now(), Profile { began, ..Profile::default() })));
    ACTIVE.set(true);
}

/// Ends the profile that this thread began last, and gives what it collected; an empty one if there is none.
pub fn stop() -> Profile {
    let Some((zero, mut profile)) = COLLECTED.with_borrow_mut(Vec::pop) else { return Profile::default() };
    profile.duration = zero.elapsed();
    ACTIVE.set(COLLECTED.with_borrow(|all| !all.is_empty()));
    let mut elsewhere = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
    for (start, end, name, thread) in elsewhere.iter().filter(|(_, end, ..)| *end > zero) {
        let start = (*start).max(zero);
        let (start, duration) = (start.duration_since(zero), end.duration_since(start));
        profile.spans.push(SpanRun { name: name.clone(), thread: Some(thread.clone()), start, duration });
    }
    if GOING_ON.fetch_sub(1, Ordering::Relaxed) == 1 {
        elsewhere.clear();
    }
    profile
}

/// Runs a body that profiles are to show under a name: the reading of data, waiting for them, a whole step.
///
/// Costs nothing to speak of while nothing is profiled. On the profiled thread it shows beside the kernels; on any
/// other one under that thread's name.
pub fn span<R>(name: &str, body: impl FnOnce() -> R) -> R {
    if GOING_ON.load(Ordering::Relaxed) == 0 {
        return body();
    }
    let start = Instant::now();
    let result = body();
    span_since(name, start);
    result
}

/// As [`span`], for what began earlier and ends now.
pub fn span_since(name: &str, start: Instant) {
    if is_active() {
        note(|zero, profile| {
            let from = start.max(zero);
            let (name, duration) = (name.to_string(), from.elapsed());
            profile.spans.push(SpanRun { name, thread: None, start: from.duration_since(zero), duration });
        });
    } else if GOING_ON.load(Ordering::Relaxed) > 0 {
        let thread = std::thread::current().name().unwrap_or("thread").to_string();
        let told = (start, Instant::now(), name.to_string(), thread);
        ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}

/// Tells the profile of this thread, if there is one, of a step that began then and ends now.
pub fn step_since(name: &str, number: u64, start: Instant) {
    note(|zero, profile| {
        let from = start.max(zero);
        let (start, duration) = (from.duration_since(zero), from.elapsed());
        profile.steps.push(StepRun { name: name.to_string(), number, start, duration });
    });
}

/// Whether kernels are to be noted.
#[inline]
pub(crate) fn is_active() -> bool {
    ACTIVE.get()
}

/// What a kernel is called and how much it does, told only when a profile asks.
pub(crate) struct Described {
    pub(crate) kernel: String,
    pub(crate) flops: u64,
    pub(crate) bytes: u64,
    pub(crate) outputs: Vec<Spec>,
}

/// Runs a kernel and notes it.
pub(crate) fn timed(
    origin: Option<&Origin>,
    place: Option<KernelPlace>,
    describe: impl FnOnce() -> Described,
    run: impl FnOnce(),
) {
    let around = RUNNING.replace(place);
    let start = Instant::now();
    run();
    let duration = start.elapsed();
    RUNNING.set(around);
    note(|zero, profile| {
        let Described { kernel, flops, bytes, outputs } = describe();
        profile.kernels.push(KernelRun {
            kernel,
            path: origin.and_then(|origin| origin.path.clone()),
            location: origin.map(|origin| origin.location),
            start: start.duration_since(zero),
            duration,
            flops,
            bytes,
            outputs,
            place,
        });
    });
}

/// When a step of a body ran first, how long in all turns, and how often.
#[derive(Clone, Copy, Default)]
pub(crate) struct TurnTimes(Option<Instant>, Duration, usize);

impl TurnTimes {
    /// Adds a run that began then and ends now.
    pub(crate) fn add(&mut self, start: Instant) {
        self.0.get_or_insert(start);
        self.1 += start.elapsed();
        self.2 += 1;
    }
}

/// Notes the times of the steps of a body, by the numbers of its first step and of the step around it.
pub(crate) fn turns_done(first: usize, outer: usize, times: &[TurnTimes], kernel: impl Fn(usize) -> String) {
    let Some(running) = RUNNING.get() else { return };
    note(|zero, profile| {
        for (number, &TurnTimes(start, duration, runs)) in times.iter().enumerate() {
            let Some(start) = start else { continue };
            let start = start.duration_since(zero);
            let place = KernelPlace { step: first + number, ..running };
            let new = || InnerRun { kernel: kernel(number), outer, start, duration: Duration::ZERO, runs: 0 };
            let run = profile.inner.entry(place).or_insert_with(new);
            run.duration += duration;
            run.runs += runs;
        }
    });
}

/// Notes that a call of a compiled graph begins; gives its number.
pub(crate) fn graph_begun(function: &Arc<str>, plan: &Arc<Plan>, temporary_bytes: usize) -> Option<usize> {
    let mut number = None;
    note(|zero, profile| {
        number = Some(profile.graphs.len());
        profile.graphs.push(GraphRun {
            function: function.clone(),
            start: zero.elapsed(),
            duration: Duration::ZERO,
            temporary_bytes,
            plan: plan.clone(),
        });
    });
    number
}

/// Notes that the call of that number has ended.
pub(crate) fn graph_done(call: Option<usize>) {
    note(|zero, profile| {
        if let Some(run) = call.and_then(|call| profile.graphs.get_mut(call)) {
            run.duration = zero.elapsed().saturating_sub(run.start);
        }
    });
}

/// Notes what the threads of the pool did for the kernel that is running: thread, first start, last end, tasks.
pub(crate) fn workers_done(runs: &[(usize, Instant, Instant, usize)]) {
    note(|zero, profile| {
        let kernel = profile.kernels.len();
        for &(worker, start, end, tasks) in runs {
            let (start, duration) = (start.duration_since(zero), end.duration_since(start));
            profile.workers.push(WorkerRun { worker, kernel, start, duration, tasks });
        }
    });
}

fn note(write: impl FnOnce(Instant, &mut Profile)) {
    COLLECTED.with_borrow_mut(|collected| {
        if let Some((zero, profile)) = collected.last_mut() {
            write(*zero, profile);
        }
    });
}
