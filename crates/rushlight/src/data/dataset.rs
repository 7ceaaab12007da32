//! Data sets as training reads them: shuffled, in batches, prepared ahead on a thread of its own.

use crate::data::combine::{Cached, Mixed, Part, Zipped};
use crate::data::streams::Each;
use crate::data::{Batch, Source};
use rushlight_core::{Error, ErrorKind, Result};
use std::fmt;
use std::sync::Arc;

pub(super) type Map = Arc<dyn Fn(Batch) -> Result<Batch> + Send + Sync>;

/// A data set with how to go through it: order, batch size, what is done to each batch, how far to work ahead.
///
/// The order depends on the seed and the epoch alone. Cheap to clone.
///
/// ```
/// use rushlight::prelude::*;
/// let x = Tensor::arange(10, DType::F32).reshape([10, 1]);
/// let data = Dataset::from_tensors(&x, &(&x * 2.0))?.shuffle(7).batch(4);
/// let sizes: Vec<usize> = data.epoch(0).map(|batch| batch?.size()).collect::<Result<_>>()?;
/// assert_eq!(sizes, [4, 4, 2]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone)]
pub struct Dataset {
    pub(super) source: Arc<dyn Source>,
    pub(super) shuffle: Option<u64>,
    batch_size: Option<usize>,
    drop_remainder: bool,
    pub(super) maps: Vec<Map>,
    pub(super) prefetch: usize,
    pub(super) workers: usize,
    pub(super) repeats: usize,
}

/// Keras's batch size where none is given.
const DEFAULT_BATCH_SIZE: usize = 32;

impl Dataset {
    /// The examples of a source, in its order, two batches prepared ahead.
    pub fn new(source: impl Source) -> Dataset {
        Dataset {
            source: Arc::new(source),
            shuffle: None,
            batch_size: None,
            drop_remainder: false,
            maps: Vec::new(),
            prefetch: 2,
            workers: 1,
            repeats: 1,
        }
    }

    /// In random order, another one each epoch.
    pub fn shuffle(mut self, seed: u64) -> Dataset {
        self.shuffle = Some(seed);
        self
    }

    /// In batches of this size; the last one may be smaller.
    pub fn batch(mut self, size: usize) -> Dataset {
        self.batch_size = Some(size);
        self
    }

    /// Leaves out the last batch if it is smaller than the others.
    pub fn drop_remainder(mut self) -> Dataset {
        self.drop_remainder = true;
        self
    }

    /// In the source's own order.
    pub fn unshuffled(mut self) -> Dataset {
        self.shuffle = None;
        self
    }

    /// The first `count` examples, in the order before shuffling.
    pub fn take(self, count: usize) -> Dataset {
        let count = count.min(self.source.len());
        self.part(0, count)
    }

    /// All examples but the first `count`, in the order before shuffling.
    pub fn skip(self, count: usize) -> Dataset {
        let (start, all) = (count.min(self.source.len()), self.source.len());
        self.part(start, all - start)
    }

    fn part(mut self, start: usize, count: usize) -> Dataset {
        self.source = Arc::new(Part { source: self.source, start, count });
        self
    }

    /// The first part of the examples and the rest, in the order before shuffling.
    ///
    /// # Errors
    /// If `part` is not in [0, 1].
    pub fn split(&self, part: f64) -> Result<(Dataset, Dataset)> {
        if !(0.0..=1.0).contains(&part) {
            let rule = format!("a data set can be split at a part in [0, 1], not at {part}");
            return Err(Error::outside(ErrorKind::Value, "dataset", rule));
        }
        let first = (self.source.len() as f64 * part).round() as usize;
        Ok((self.clone().take(first), self.clone().skip(first)))
    }

    /// So many times in an epoch, shuffled anew each time.
    pub fn repeat(mut self, times: usize) -> Dataset {
        self.repeats = times;
        self
    }

    /// The examples of another data set behind these.
    pub fn concatenate(mut self, other: &Dataset) -> Dataset {
        self.source = Arc::new(Mixed::chained(vec![self.source, other.source.clone()]));
        self
    }

    /// The examples of data sets in turn, `block` of each at a time, until none has any left.
    pub fn interleave(sets: &[Dataset], block: usize) -> Dataset {
        Dataset::new(Mixed::interleaved(sets.iter().map(|set| set.source.clone()).collect(), block))
    }

    /// The examples of data sets side by side, for models with several inputs: inputs of all, then targets of all. As
    /// many as the shortest has.
    pub fn zip(sets: &[Dataset]) -> Dataset {
        Dataset::new(Zipped(sets.iter().map(|set| set.source.clone()).collect()))
    }

    /// Keeps each example in memory once it has been read.
    pub fn cache(mut self) -> Dataset {
        self.source = Arc::new(Cached::new(self.source));
        self
    }

    /// Does something to each example, whose tensors have no batch axis, on the thread that prepares it.
    pub fn map_examples(
        mut self,
        change: impl Fn(Batch) -> Result<Batch> + Send + Sync + 'static,
    ) -> Dataset {
        self.source = Arc::new(Each { source: self.source, change });
        self
    }

    /// Prepares batches on so many threads; their order stays the same.
    pub fn workers(mut self, count: usize) -> Dataset {
        self.workers = count.max(1);
        self
    }

    /// Does something to each batch, on the thread that prepares it.
    pub fn map(mut self, change: impl Fn(Batch) -> Result<Batch> + Send + Sync + 'static) -> Dataset {
        self.maps.push(Arc::new(change));
        self
    }

    /// How many batches are prepared ahead, on a thread of their own; 0 prepares each when it is asked for.
    pub fn prefetch(mut self, batches: usize) -> Dataset {
        self.prefetch = batches;
        self
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.source.len() * self.repeats
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Examples in a batch; 32 if nothing else was asked for.
    pub fn batch_size(&self) -> usize {
        self.batch_size.unwrap_or(DEFAULT_BATCH_SIZE)
    }

    pub(crate) fn has_batch_size(&self) -> bool {
        self.batch_size.is_some()
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        let size = self.batch_size().max(1);
        if self.drop_remainder { self.len() / size } else { self.len().div_ceil(size) }
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Dataset({} examples in batches of {})", self.len(), self.batch_size())
    }
}

#[cfg(test)]
mod tests;
