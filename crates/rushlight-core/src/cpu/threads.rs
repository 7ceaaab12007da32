//! The thread pool that kernels share their work over.

/// Runs `body(0) … body(tasks - 1)`, spread over the threads, and returns when all are done.
///
/// Which thread runs which task is not defined, so results must not depend on it.
pub(crate) fn parallel_for(tasks: usize, body: impl Fn(usize) + Sync) {
    for task in 0..tasks {
        body(task);
    }
}

/// The number of threads that work is spread over, the caller included.
pub fn thread_count() -> usize {
    1
}
