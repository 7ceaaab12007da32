//! What ran, for whom, from when to when: the times behind tables, traces and TensorBoard's profiles.
//!
//! Nothing is noted, and nothing costs more than a look at a flag, unless [`profile`] is on the way.

use crate::graph::Origin;
use crate::tensor::Spec;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
}

/// Everything that ran on one thread (and on the workers that helped it) during [`profile`].
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Kernels in the order in which they ran.
    pub kernels: Vec<KernelRun>,
    /// Calls of compiled graphs, in the order in which they ended.
    pub graphs: Vec<GraphRun>,
    /// How long all of it took.
    pub duration: Duration,
}

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static COLLECTED: RefCell<Option<(Instant, Profile)>> = const { RefCell::new(None) };
}

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
    struct Restore(Option<(Instant, Profile)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let outer = self.0.take();
            ACTIVE.set(outer.is_some());
            COLLECTED.set(outer);
        }
    }
    let start = Instant::now();
    let restore = Restore(COLLECTED.replace(Some((start, Profile::default()))));
    ACTIVE.set(true);
    let result = body();
    let (_, mut profile) = COLLECTED.take().unwrap_or((start, Profile::default()));
    profile.duration = start.elapsed();
    drop(restore);
    (result, profile)
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
pub(crate) fn timed(origin: Option<&Origin>, describe: impl FnOnce() -> Described, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    let duration = start.elapsed();
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
        });
    });
}

/// Notes a call of a compiled graph that began at `start` and ends now.
pub(crate) fn graph_done(function: &Arc<str>, start: Instant, temporary_bytes: usize) {
    note(|zero, profile| {
        profile.graphs.push(GraphRun {
            function: function.clone(),
            start: start.duration_since(zero),
            duration: start.elapsed(),
            temporary_bytes,
        });
    });
}

fn note(write: impl FnOnce(Instant, &mut Profile)) {
    COLLECTED.with_borrow_mut(|collected| {
        if let Some((zero, profile)) = collected {
            write(*zero, profile);
        }
    });
}
