//! Batches of a data set for a loop inside of a compiled function.

use crate::data::{Batch, Batches, Dataset};
use rushlight_core::{Error, ErrorKind, Feed, Result, Spec, Structure, Tensor, fetch, while_loop};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Hands the batches of a data set to a function while it runs: the function takes them one by one, in order, and
/// threads prepare those that come next, [`Dataset::prefetch`] of them at most.
///
/// All batches have the same size, so a smaller last one is left out. Cheap to clone; all clones take from the same
/// batches.
///
/// ```
/// use rushlight::prelude::*;
/// let x = Tensor::arange(10, DType::F32).reshape([10, 1]);
/// let feed = Dataset::from_tensors(&x, &x)?.batch(5).feed()?;
/// let total = function("total", |start: &Tensor| {
///     feed.fold(start.clone(), |sum: Tensor, batch| Ok(sum + batch.inputs[0].sum(..)))
/// });
/// for epoch in 0..2 {
///     feed.begin(epoch);
///     assert_eq!(total.call(&Tensor::scalar(0.0f32))?.item::<f32>()?, 45.0);
/// }
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone)]
pub struct BatchFeed(Arc<Shared>);

struct Shared {
    data: Dataset,
    specs: Vec<Spec>,
    /// How many of the tensors are inputs, and how many targets; the others are weights.
    inputs: usize,
    targets: usize,
    running: Mutex<Option<Batches>>,
}

impl Dataset {
    /// The batches of this data set for a loop inside of a function; prepares one to see what they look like.
    ///
    /// # Errors
    /// If the batch cannot be prepared, or if there are not enough examples for one.
    pub fn feed(&self) -> Result<BatchFeed> {
        let data = self.clone().drop_remainder();
        let Some(first) = data.clone().prefetch(0).epoch(0).next().transpose()? else {
            let (have, size) = (self.len(), self.batch_size());
            let rule = format!("{have} examples do not make a batch of {size}");
            return Err(Error::outside(ErrorKind::Value, "feed", rule));
        };
        let specs = first.tensors().map(|tensor| tensor.spec().cloned()).collect::<Result<_>>()?;
        let (inputs, targets) = (first.inputs.len(), first.targets.len());
        let shared = Shared { data, specs, inputs, targets, running: Mutex::new(None) };
        Ok(BatchFeed(Arc::new(shared)))
    }
}

impl BatchFeed {
    /// Begins with the batches of an epoch, which are prepared from now on; what is left of those before is dropped.
    pub fn begin(&self, epoch: u64) {
        let batches = self.0.data.epoch(epoch);
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(batches);
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.0.data.batches()
    }

    /// The next batch, and whether there was one (`bool []`): at the end of the epoch it holds zeros.
    ///
    /// In a recorded function it is taken at each call and in each turn of a loop, see [`rushlight_core::fetch`].
    ///
    /// # Errors
    /// If the batch cannot be prepared; there is none after it then.
    #[track_caller]
    pub fn next(&self) -> Result<(Tensor, Batch)> {
        let feed: Arc<dyn Feed> = self.0.clone();
        let (more, tensors) = fetch(&feed)?;
        Ok((more, self.0.batch(tensors)))
    }

    /// Goes on with `body` from `state` for each batch until the epoch ends, as a loop in the graph where a function is
    /// recorded.
    ///
    /// # Errors
    /// As for [`BatchFeed::next`] and [`while_loop`].
    #[track_caller]
    pub fn fold<S: Structure>(&self, state: S, body: impl Fn(S, Batch) -> Result<S>) -> Result<S> {
        let tensors = |batch: Batch| batch.tensors().cloned().collect::<Vec<Tensor>>();
        let (more, first) = self.next()?;
        let initial = (state, more, tensors(first));
        let (state, ..) = while_loop(
            initial,
            |(_, more, _)| more.clone(),
            |(state, _, batch)| {
                let state = body(state, self.0.batch(batch))?;
                let (more, next) = self.next()?;
                Ok((state, more, tensors(next)))
            },
        )?;
        Ok(state)
    }
}

impl fmt::Debug for BatchFeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BatchFeed({:?})", self.0.data)
    }
}

impl Shared {
    fn batch(&self, mut inputs: Vec<Tensor>) -> Batch {
        let mut targets = inputs.split_off(self.inputs);
        let weights = targets.split_off(self.targets);
        Batch { inputs, targets, weights }
    }
}

impl Feed for Shared {
    fn specs(&self) -> &[Spec] {
        &self.specs
    }

    fn take(&self) -> Result<Option<Vec<Tensor>>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = running.as_mut().and_then(Iterator::next).transpose()?;
        Ok(batch.map(|batch| batch.tensors().cloned().collect()))
    }
}
