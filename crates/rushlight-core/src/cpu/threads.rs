//! The thread pool that kernels share their work over.
//!
//! One job runs at a time. A job is a counter that the caller and the workers draw task numbers from; it closes
//! when the caller finds no task left, and a worker that wakes up too late finds it closed and goes back to sleep.

use crate::profile;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker without work, or a caller waiting for workers, looks busily before it goes to sleep.
const SPIN: Duration = Duration::from_micros(40);

/// The most threads that [`set_thread_count`] accepts.
const MOST_THREADS: usize = 1024;

/// Runs `body(0) … body(tasks - 1)`, spread over the threads, and returns when all are done.
///
/// Which thread runs which task is not defined, so results must not depend on it. A call from within a task, or
/// while another thread's call is running, runs all its tasks on the calling thread. A panic in a task is passed
/// on to the caller once no task runs any more; tasks not yet begun are then skipped.
pub fn parallel_for(tasks: usize, body: impl Fn(usize) + Sync) {
    if profile::is_active() && tasks > 1 && thread_count() > 1 {
        return profiled(tasks, body);
    }
    spread(tasks, body);
}

/// The same, telling the profile which thread was at work from when to when.
#[cold]
fn profiled(tasks: usize, body: impl Fn(usize) + Sync) {
    let runs: Mutex<Vec<(usize, Instant, Instant, usize)>> = Mutex::default();
    spread(tasks, |task| {
        let start = Instant::now();
        body(task);
        let (end, worker) = (Instant::now(), WORKER.get());
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        match runs.iter_mut().find(|run| run.0 == worker) {
            Some(run) => (run.2, run.3) = (end, run.3 + 1),
            None => runs.push((worker, start, end, 1)),
        }
    });
    profile::workers_done(&runs.into_inner().unwrap_or_else(PoisonError::into_inner));
}

thread_local! {
    /// Which thread of the pool this is, from 1 on; 0 for those that call.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

fn spread(tasks: usize, body: impl Fn(usize) + Sync) {
    if tasks > 1 && thread_count() > 1 {
        let pool = Pool::get();
        if pool.claim() {
            return pool.run(tasks, &body);
        }
    }
    for task in 0..tasks {
        body(task);
    }
}

/// The number of threads that work is spread over, the caller included.
///
/// At first this is what the environment variable `RUSHLIGHT_THREADS` says, else the number of processors
/// that this process may use.
pub fn thread_count() -> usize {
    match THREADS.load(Relaxed) {
        0 => initial_thread_count(),
        count => count,
    }
}

/// Spreads work over `count` threads from now on, the caller included; 0 means one a processor.
///
/// Results do not depend on it, only the time they take.
pub fn set_thread_count(count: usize) {
    let count = if count == 0 { processors() } else { count.min(MOST_THREADS) };
    THREADS.store(count, Relaxed);
}

/// What [`thread_count`] returns; 0 until it is first asked for.
static THREADS: AtomicUsize = AtomicUsize::new(0);

#[cold]
fn initial_thread_count() -> usize {
    let wanted = std::env::var("RUSHLIGHT_THREADS").ok();
    let number =
        wanted.as_ref().and_then(|text| text.trim().parse::<usize>().ok()).filter(|&count| count > 0);
    let count = number.unwrap_or_else(processors).min(MOST_THREADS);
    if let (Some(text), None) = (&wanted, number) {
        eprintln!(
            "rushlight: RUSHLIGHT_THREADS must be a number of at least 1, not `{text}`; {count} are used"
        );
    }
    // Another thread may have set a count in the meantime: that one stays.
    match THREADS.compare_exchange(0, count, Relaxed, Relaxed) {
        Ok(_) => count,
        Err(other) => other,
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

/// A value on cache lines of its own, so that writing it does not slow down readers of its neighbours.
#[repr(align(128))]
struct Padded<T>(T);

/// What the workers need to know of the running job: a closure with its type erased, and how many tasks.
#[derive(Clone, Copy)]
struct Job {
    body: *const (),
    call: unsafe fn(*const (), usize),
    tasks: usize,
    /// Workers with a smaller number than this take part.
    helpers: usize,
}

struct Pool {
    /// Held by the thread whose job is running.
    claimed: Padded<AtomicBool>,
    /// Counts jobs twice, when one opens and when it closes: odd while one is open.
    epoch: Padded<AtomicUsize>,
    /// Written only by the thread that holds `claimed`, while the epoch is even and no worker is active.
    job: UnsafeCell<Job>,
    /// How many tasks have been taken: those of the caller in the lower half, those of the workers in the upper one.
    taken: Padded<AtomicU64>,
    /// Workers that are reading `job` or running its tasks.
    active: Padded<AtomicUsize>,
    /// Workers that were started, or could not be.
    requested: AtomicUsize,
    /// Workers that sleep until `wake` is notified.
    sleepers: AtomicUsize,
    /// Whether the caller sleeps until `done` is notified.
    caller_sleeps: AtomicBool,
    /// Guards going to sleep; holds the number of workers started.
    workers: Mutex<usize>,
    wake: Condvar,
    done: Condvar,
    /// The first panic of a task, boxed twice to fit a thin pointer.
    panic: AtomicPtr<Box<dyn Any + Send>>,
}

// SAFETY: `job` is written only while no other thread reads it (see the field), the rest is atomic or locked.
unsafe impl Sync for Pool {}
// SAFETY: the pointer in `job` is used only while the caller that owns the closure waits.
unsafe impl Send for Pool {}

impl Pool {
    fn get() -> &'static Pool {
        static POOL: OnceLock<Pool> = OnceLock::new();
        POOL.get_or_init(|| Pool {
            claimed: Padded(AtomicBool::new(false)),
            epoch: Padded(AtomicUsize::new(0)),
            job: UnsafeCell::new(Job { body: std::ptr::null(), call: |_, _| (), tasks: 0, helpers: 0 }),
            taken: Padded(AtomicU64::new(0)),
            active: Padded(AtomicUsize::new(0)),
            requested: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            caller_sleeps: AtomicBool::new(false),
            workers: Mutex::new(0),
            wake: Condvar::new(),
            done: Condvar::new(),
            panic: AtomicPtr::new(std::ptr::null_mut()),
        })
    }

    /// Tries to become the thread whose job runs.
    fn claim(&self) -> bool {
        !self.claimed.0.load(Relaxed) && !self.claimed.0.swap(true, Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // Nothing can be left half done under this lock, so poison means nothing.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a job; the calling thread holds the claim, which ends here.
    fn run<F: Fn(usize) + Sync>(&'static self, tasks: usize, body: &F) {
        /// # Safety
        /// `body` must point to a live `F`.
        unsafe fn call<F: Fn(usize)>(body: *const (), task: usize) {
            // SAFETY: the caller's promise.
            unsafe { (*body.cast::<F>())(task) }
        }
        let job = Job {
            body: std::ptr::from_ref(body).cast(),
            call: call::<F>,
            tasks,
            helpers: thread_count() - 1,
        };
        // SAFETY: the epoch is even and the last job waited for its workers: nobody reads the job now. A worker
        // that is just becoming active reads the epoch first, and the job only if it is odd.
        unsafe { *self.job.get() = job };
        self.taken.0.store(0, Relaxed);
        self.epoch.0.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) > 0 || self.requested.load(Relaxed) < job.helpers {
            self.wake(job);
        }
        self.work(job, true);
        // From here on no worker can begin; those that have begun are counted in `active`.
        self.epoch.0.fetch_add(1, SeqCst);
        self.wait_for_workers();
        let panic = self.panic.swap(std::ptr::null_mut(), Acquire);
        self.claimed.0.store(false, Release);
        if !panic.is_null() {
            // SAFETY: made by `Box::into_raw` in `work`, and taken out of the pool above.
            resume_unwind(*unsafe { Box::from_raw(panic) });
        }
    }

    /// Wakes as many sleeping workers as the job can use, and starts those that are missing.
    #[cold]
    fn wake(&'static self, job: Job) {
        let mut started = self.lock();
        self.requested.fetch_max(job.helpers, Relaxed);
        while *started < job.helpers {
            let number = *started;
            let thread = std::thread::Builder::new().name(format!("rushlight-{}", number + 1));
            if thread.spawn(move || self.serve(number)).is_err() {
                // No more threads to be had: those there are do all the work.
                break;
            }
            *started += 1;
        }
        // With workers too many, waking a few might wake only those that may not take part.
        let wake_all = job.tasks > job.helpers || *started > job.helpers;
        drop(started);
        if wake_all {
            self.wake.notify_all();
        } else {
            (1..job.tasks).for_each(|_| self.wake.notify_one());
        }
    }

    /// Takes tasks until none is left, the caller from the front, workers from the back: where jobs with the same data
    /// follow each other, each core finds in its cache what it worked on before. Panics are kept for the caller.
    fn work(&self, job: Job, is_caller: bool) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let taken = self.taken.0.fetch_add(if is_caller { 1 } else { 1 << 32 }, Relaxed);
                let (front, back) = (taken as u32 as usize, (taken >> 32) as usize);
                if front + back >= job.tasks {
                    break;
                }
                let task = if is_caller { front } else { job.tasks - 1 - back };
                // SAFETY: the job is open or this thread is counted in `active`, so its caller still waits.
                unsafe { (job.call)(job.body, task) };
            }
        }));
        if let Err(payload) = result {
            self.taken.0.fetch_add(job.tasks as u64, Relaxed);
            let payload = Box::into_raw(Box::new(payload));
            if self.panic.compare_exchange(std::ptr::null_mut(), payload, Release, Relaxed).is_err() {
                // SAFETY: just made above, and not stored.
                drop(unsafe { Box::from_raw(payload) });
            }
        }
    }

    fn wait_for_workers(&self) {
        if self.active.0.load(SeqCst) == 0 || spin_until(|| self.active.0.load(SeqCst) == 0) {
            return;
        }
        let mut guard = self.lock();
        self.caller_sleeps.store(true, SeqCst);
        while self.active.0.load(SeqCst) != 0 {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_sleeps.store(false, SeqCst);
    }

    /// The life of a worker.
    fn serve(&'static self, number: usize) {
        WORKER.set(number + 1);
        let mut seen = 0;
        loop {
            let epoch = self.wait_for_epoch(seen);
            seen = epoch;
            if epoch.is_multiple_of(2) {
                continue;
            }
            self.active.0.fetch_add(1, SeqCst);
            let epoch = self.epoch.0.load(SeqCst);
            if epoch % 2 == 1 {
                seen = epoch;
                // SAFETY: the job was open after this thread was counted, so its caller waits for this thread.
                let job = unsafe { *self.job.get() };
                if number < job.helpers {
                    self.work(job, false);
                }
            }
            if self.active.0.fetch_sub(1, SeqCst) == 1 && self.caller_sleeps.load(SeqCst) {
                let _guard = self.lock();
                self.done.notify_all();
            }
        }
    }

    /// Waits until the epoch differs from the one seen, first busily, then asleep.
    fn wait_for_epoch(&self, seen: usize) -> usize {
        let moved = || self.epoch.0.load(SeqCst) != seen;
        if !spin_until(moved) {
            let mut guard = self.lock();
            self.sleepers.fetch_add(1, SeqCst);
            while !moved() {
                guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, SeqCst);
        }
        self.epoch.0.load(SeqCst)
    }
}

/// Looks until the condition holds; gives up, returning false, after [`SPIN`].
fn spin_until(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            if condition() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SPIN {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// Runs with at least two threads, whatever the machine has.
    fn with_threads(count: usize, test: impl FnOnce()) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let before = thread_count();
        set_thread_count(count);
        test();
        set_thread_count(before);
    }

    fn counts(tasks: usize) -> Vec<usize> {
        let counters: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        parallel_for(tasks, |task| {
            counters[task].fetch_add(1, Relaxed);
        });
        counters.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 8] {
            with_threads(threads, || {
                for tasks in (0..40).chain([1000]) {
                    assert_eq!(counts(tasks), vec![1; tasks]);
                }
            });
        }
    }

    #[test]
    fn other_threads_take_part() {
        with_threads(2, || {
            let caller = std::thread::current().id();
            let helped = AtomicBool::new(false);
            // The caller's task ends only once another thread has taken one. Another test's job may be running,
            // so that this one runs inline: then it gives up and tries again.
            for _ in 0..200 {
                let start = Instant::now();
                parallel_for(2, |_| {
                    if std::thread::current().id() != caller {
                        helped.store(true, SeqCst);
                    }
                    while !helped.load(SeqCst) && start.elapsed() < Duration::from_millis(50) {
                        std::thread::yield_now();
                    }
                });
                if helped.load(SeqCst) {
                    return;
                }
            }
            panic!("no other thread took part");
        });
    }

    #[test]
    fn nested_calls_run_inline() {
        with_threads(4, || {
            let sum = AtomicU64::new(0);
            parallel_for(10, |outer| {
                let thread = std::thread::current().id();
                parallel_for(10, |inner| {
                    assert_eq!(std::thread::current().id(), thread);
                    sum.fetch_add((outer * 10 + inner) as u64, Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), 99 * 100 / 2);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        with_threads(3, || {
            for bad in [0, 7, 99] {
                let result = catch_unwind(|| {
                    parallel_for(100, |task| {
                        if task == bad {
                            panic!("task {task}");
                        }
                    })
                });
                let payload = result.expect_err("the panic is passed on");
                assert_eq!(payload.downcast_ref::<String>().unwrap(), &format!("task {bad}"));
                assert_eq!(counts(50), vec![1; 50]);
            }
        });
    }

    #[test]
    fn many_callers_at_once() {
        with_threads(3, || {
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        for tasks in 0..300 {
                            assert_eq!(counts(tasks % 17), vec![1; tasks % 17]);
                        }
                    });
                }
            });
        });
    }

    #[test]
    fn sleeping_workers_wake_up() {
        with_threads(2, || {
            for _ in 0..20 {
                std::thread::sleep(SPIN * 5);
                assert_eq!(counts(3), vec![1; 3]);
            }
        });
    }
}
