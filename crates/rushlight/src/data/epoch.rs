//! One pass through a data set: its order, and its batches, prepared ahead or when they are asked for.

use crate::data::random::Random;
use crate::data::workers::Workers;
use crate::data::{Batch, Dataset};
use rushlight_core::profile::span;
use rushlight_core::{Error, ErrorKind, Result};

/// What profiles call the waiting for a batch, and the making of one.
pub(crate) const WAITING: &str = "wait for data";
pub(crate) const LOADING: &str = "make batch";

impl Dataset {
    /// The batches of an epoch. After an error there are no more.
    pub fn epoch(&self, epoch: u64) -> Batches {
        if self.batch_size() == 0 {
            let error = Error::outside(ErrorKind::Value, "dataset", "the batch size must be at least 1");
            return Batches(Origin::Here(Box::new(std::iter::once(Err(error)))));
        }
        let count = self.source.len();
        let order = match self.shuffle {
            Some(seed) => {
                let pass = |pass: usize| Random::keyed(&[seed, epoch * self.repeats as u64 + pass as u64]);
                (0..self.repeats).flat_map(|turn| pass(turn).permutation(count)).collect()
            }
            None => (0..count * self.repeats).map(|index| index % count.max(1)).collect(),
        };
        let plan = Plan { data: self.clone(), order, epoch };
        if self.prefetch == 0 || self.is_empty() {
            return Batches(Origin::Here(Box::new(InOrder { plan, next: 0 })));
        }
        Batches(Origin::Threads(Workers::begin(plan, self.workers, self.prefetch)))
    }
}

/// The batches of one epoch, in order.
pub struct Batches(Origin);

enum Origin {
    Here(Box<dyn Iterator<Item = Result<Batch>> + Send>),
    Threads(Workers),
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        match &mut self.0 {
            Origin::Here(batches) => batches.next(),
            Origin::Threads(workers) => span(WAITING, || workers.next()),
        }
    }
}

/// What an epoch's batches are.
pub(crate) struct Plan {
    data: Dataset,
    order: Vec<usize>,
    epoch: u64,
}

impl Plan {
    pub(crate) fn batches(&self) -> usize {
        self.data.batches()
    }

    /// Prepares the batch of that number.
    pub(crate) fn batch(&self, number: usize) -> Result<Batch> {
        let size = self.data.batch_size();
        let examples = &self.order[number * size..((number + 1) * size).min(self.order.len())];
        span(LOADING, || {
            let mut batch = self.data.source.batch(examples, self.epoch);
            for change in &self.data.maps {
                batch = batch.and_then(|batch| change(batch));
            }
            // What goes on to training is values: an error that a tensor carries surfaces here, once.
            batch.and_then(|batch| batch.size().map(|_| batch))
        })
    }
}

struct InOrder {
    plan: Plan,
    next: usize,
}

impl Iterator for InOrder {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.next >= self.plan.batches() {
            return None;
        }
        let batch = self.plan.batch(self.next);
        self.next = if batch.is_err() { usize::MAX } else { self.next + 1 };
        Some(batch)
    }
}
