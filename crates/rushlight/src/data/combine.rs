//! Data sets made of others: parts, one behind the other, side by side, kept in memory.

use crate::data::{Batch, Source};
use rushlight_core::{Error, ErrorKind, Result, concat};
use std::sync::{Arc, Mutex, PoisonError};

/// Some examples of a source, from one number on.
pub(crate) struct Part {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) start: usize,
    pub(crate) count: usize,
}

impl Source for Part {
    fn len(&self) -> usize {
        self.count
    }

    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch> {
        let examples: Vec<usize> = examples.iter().map(|example| self.start + example).collect();
        self.source.batch(&examples, epoch)
    }
}

/// Examples of several sources: where in which source each is.
pub(crate) struct Mixed {
    pub(crate) sources: Vec<Arc<dyn Source>>,
    /// By example: the number of the source, and of the example in it.
    pub(crate) places: Vec<(usize, usize)>,
}

impl Mixed {
    /// One source behind the other.
    pub(crate) fn chained(sources: Vec<Arc<dyn Source>>) -> Mixed {
        let places = sources.iter().enumerate();
        let places = places.flat_map(|(source, of)| (0..of.len()).map(move |example| (source, example)));
        Mixed { places: places.collect(), sources }
    }

    /// `block` examples of each source in turn, until none has any left.
    pub(crate) fn interleaved(sources: Vec<Arc<dyn Source>>, block: usize) -> Mixed {
        let lengths: Vec<usize> = sources.iter().map(|source| source.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut places = Vec::with_capacity(lengths.iter().sum());
        for start in (0..longest).step_by(block.max(1)) {
            for (source, &length) in lengths.iter().enumerate() {
                let stop = length.min(start + block.max(1));
                places.extend((start..stop.max(start)).map(|example| (source, example)));
            }
        }
        Mixed { sources, places }
    }
}

impl Source for Mixed {
    fn len(&self) -> usize {
        self.places.len()
    }

    /// Each run of examples of one source is fetched at once.
    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch> {
        let runs = examples.chunk_by(|&a, &b| self.places[a].0 == self.places[b].0);
        let parts = runs.map(|run| {
            let inner: Vec<usize> = run.iter().map(|&example| self.places[example].1).collect();
            self.sources[self.places[run[0]].0].batch(&inner, epoch)
        });
        joined(parts.collect::<Result<Vec<Batch>>>()?)
    }
}

/// Batches as one, along the first axis.
pub(crate) fn joined(mut parts: Vec<Batch>) -> Result<Batch> {
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let Some(first) = parts.first() else { return Ok(Batch::default()) };
    let counts = |batch: &Batch| [batch.inputs.len(), batch.targets.len(), batch.weights.len()];
    if let Some(other) = parts.iter().find(|part| counts(part) != counts(first)) {
        let (a, b) = (counts(first), counts(other));
        let rule = format!(
            "examples that are put together must have as many inputs, targets and weights: got {a:?} and {b:?}"
        );
        return Err(Error::outside(ErrorKind::Value, "dataset", rule));
    }
    let rows = |of: fn(&Batch) -> &Vec<rushlight_core::Tensor>| {
        let column = |column: usize| {
            let tensors: Vec<_> = parts.iter().map(|part| &of(part)[column]).collect();
            concat(&tensors, 0).check().cloned()
        };
        (0..of(first).len()).map(column).collect::<Result<Vec<_>>>()
    };
    Ok(Batch {
        inputs: rows(|batch| &batch.inputs)?,
        targets: rows(|batch| &batch.targets)?,
        weights: rows(|batch| &batch.weights)?,
    })
}

/// The examples of several sources of one length, side by side: inputs of all, targets of all.
pub(crate) struct Zipped(pub(crate) Vec<Arc<dyn Source>>);

impl Source for Zipped {
    fn len(&self) -> usize {
        self.0.iter().map(|source| source.len()).min().unwrap_or(0)
    }

    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch> {
        let mut all = Batch::default();
        for source in &self.0 {
            let batch = source.batch(examples, epoch)?;
            all.inputs.extend(batch.inputs);
            all.targets.extend(batch.targets);
            all.weights.extend(batch.weights);
        }
        Ok(all)
    }
}

/// A source whose examples are kept in memory once they have been read.
pub(crate) struct Cached {
    source: Arc<dyn Source>,
    examples: Mutex<Vec<Option<Batch>>>,
}

impl Cached {
    pub(crate) fn new(source: Arc<dyn Source>) -> Cached {
        let examples = Mutex::new(vec![None; source.len()]);
        Cached { source, examples }
    }
}

impl Source for Cached {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn batch(&self, examples: &[usize], _epoch: u64) -> Result<Batch> {
        let known =
            |number: usize| self.examples.lock().unwrap_or_else(PoisonError::into_inner)[number].clone();
        let missing: Vec<usize> =
            examples.iter().copied().filter(|&example| known(example).is_none()).collect();
        if !missing.is_empty() {
            // The first epoch's examples are those of all epochs.
            let read = self.source.batch(&missing, 0)?;
            let mut kept = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
            for (row, &example) in missing.iter().enumerate() {
                let cut = |tensors: &[rushlight_core::Tensor]| -> Result<Vec<_>> {
                    // Copied: a view would keep the whole batch.
                    tensors
                        .iter()
                        .map(|tensor| concat(&[&tensor.slice_axis(0, row, row + 1)], 0).check().cloned())
                        .collect()
                };
                kept[example] = Some(Batch {
                    inputs: cut(&read.inputs)?,
                    targets: cut(&read.targets)?,
                    weights: cut(&read.weights)?,
                });
            }
        }
        joined(examples.iter().filter_map(|&example| known(example)).collect())
    }
}
