//! Threads that prepare batches ahead, which come out in their order whoever made them.

use crate::data::Batch;
use crate::data::epoch::Plan;
use rushlight_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The reading end; when it is dropped, the threads stop.
pub(crate) struct Workers(Arc<Shared>);

struct Shared {
    plan: Plan,
    /// How many batches may be ready or in the making.
    ahead: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The batch that the next free thread makes.
    to_make: usize,
    /// The batch that is read next.
    to_read: usize,
    made: BTreeMap<usize, Result<Batch>>,
    ended: bool,
}

impl Workers {
    pub(crate) fn begin(plan: Plan, threads: usize, ahead: usize) -> Workers {
        let state = State { to_make: 0, to_read: 0, made: BTreeMap::new(), ended: false };
        let shared = Arc::new(Shared {
            plan,
            ahead: ahead.max(threads),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        for _ in 0..threads {
            let worker = shared.clone();
            let name = "rushlight-data".to_string();
            let spawned = std::thread::Builder::new().name(name).spawn(move || worker.work());
            if let Err(error) = spawned {
                let mut state = shared.lock();
                let next = state.to_make;
                state.made.insert(next, Err(error.into()));
                state.to_make = usize::MAX;
            }
        }
        Workers(shared)
    }

    /// The next batch. After an error there are no more.
    pub(crate) fn next(&mut self) -> Option<Result<Batch>> {
        let mut state = self.0.lock();
        loop {
            if state.ended || state.to_read >= self.0.plan.batches() {
                return None;
            }
            let number = state.to_read;
            if let Some(batch) = state.made.remove(&number) {
                state.to_read += 1;
                state.ended = batch.is_err();
                self.0.changed.notify_all();
                return Some(batch);
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if state.ended || state.to_make >= self.plan.batches() {
                return;
            }
            if state.to_make >= state.to_read + self.ahead {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let number = state.to_make;
            state.to_make += 1;
            drop(state);
            let batch = catch_unwind(AssertUnwindSafe(|| self.plan.batch(number))).unwrap_or_else(|_| {
                let rule = "the thread that prepares batches panicked";
                Err(Error::outside(ErrorKind::Value, "dataset", rule))
            });
            state = self.lock();
            if batch.is_err() {
                // Nobody needs what comes behind a fault.
                state.to_make = usize::MAX;
            }
            state.made.insert(number, batch);
            self.changed.notify_all();
        }
    }
}
