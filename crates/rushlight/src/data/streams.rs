//! Examples that a program makes: by number, or one after the other.

use crate::data::{Batch, Source};
use rushlight_core::{Error, ErrorKind, Result, Tensor, stack};
use std::sync::{Mutex, PoisonError};

/// Examples as one batch: each tensor gets a first axis.
pub(crate) fn stacked(examples: Vec<Batch>) -> Result<Batch> {
    let lifted = examples.into_iter().map(|example| {
        let lift = |tensors: Vec<Tensor>| -> Result<Vec<Tensor>> {
            tensors.iter().map(|tensor| stack(&[tensor], 0).check().cloned()).collect()
        };
        Ok(Batch {
            inputs: lift(example.inputs)?,
            targets: lift(example.targets)?,
            weights: lift(example.weights)?,
        })
    });
    super::combine::joined(lifted.collect::<Result<Vec<Batch>>>()?)
}

/// Examples that a function makes from their number and the epoch.
pub(crate) struct Made<F> {
    pub(crate) count: usize,
    pub(crate) make: F,
}

impl<F: Fn(usize, u64) -> Result<Batch> + Send + Sync + 'static> Source for Made<F> {
    fn len(&self) -> usize {
        self.count
    }

    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch> {
        let made = examples.iter().map(|&example| (self.make)(example, epoch));
        stacked(made.collect::<Result<Vec<Batch>>>()?)
    }
}

/// A function of each example of a source.
pub(crate) struct Each<F> {
    pub(crate) source: std::sync::Arc<dyn Source>,
    pub(crate) change: F,
}

impl<F: Fn(Batch) -> Result<Batch> + Send + Sync + 'static> Source for Each<F> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch> {
        let batch = self.source.batch(examples, epoch)?;
        let rows = (0..examples.len()).map(|row| {
            let row = |tensors: &[Tensor]| -> Vec<Tensor> {
                tensors.iter().map(|tensor| tensor.slice_axis(0, row, row + 1).squeeze(0)).collect()
            };
            let example = Batch {
                inputs: row(&batch.inputs),
                targets: row(&batch.targets),
                weights: row(&batch.weights),
            };
            (self.change)(example)
        });
        stacked(rows.collect::<Result<Vec<Batch>>>()?)
    }
}

type Examples = Box<dyn Iterator<Item = Result<Batch>> + Send>;

/// Examples that an iterator gives, a new one for each epoch.
pub(crate) struct Stream<F> {
    pub(crate) count: usize,
    pub(crate) begin: F,
    pub(crate) running: Mutex<Option<Running>>,
}

/// The iterator of an epoch, and the number of the example that comes next.
pub(crate) struct Running {
    epoch: u64,
    next: usize,
    examples: Examples,
}

impl<F: Fn(u64) -> Examples + Send + Sync + 'static> Source for Stream<F> {
    fn len(&self) -> usize {
        self.count
    }

    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let first = examples.first().copied().unwrap_or(0);
        if first == 0 || running.as_ref().is_none_or(|running| running.epoch != epoch) {
            *running = Some(Running { epoch, next: 0, examples: (self.begin)(epoch) });
        }
        let Some(running) = running.as_mut() else { return Ok(Batch::default()) };
        let mut taken = Vec::new();
        for &example in examples {
            if example < running.next {
                let rule = "an iterator gives its examples in order: it cannot be shuffled or read by several workers";
                return Err(Error::outside(ErrorKind::Value, "dataset", rule));
            }
            let skipped = example - running.next;
            running.next = example + 1;
            match running.examples.nth(skipped) {
                Some(example) => taken.push(example?),
                None => {
                    let rule = format!("the iterator ended before its example {example} of {}", self.count);
                    return Err(Error::outside(ErrorKind::Value, "dataset", rule));
                }
            }
        }
        stacked(taken)
    }
}
