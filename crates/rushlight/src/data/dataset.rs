//! Data sets as training reads them: shuffled, in batches, prepared ahead on a thread of its own.

use crate::data::combine::{Cached, Mixed, Part, Zipped};
use crate::data::random::Random;
use crate::data::streams::{Each, Made, Stream, stacked};
use crate::data::workers::Workers;
use crate::data::{Augmentation, DataError, ImageSet, Normalization};
use rushlight_core::profile::span;
use rushlight_core::{Error, ErrorKind, Result, Tensor};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What profiles call the waiting for a batch, and the making of one.
pub(crate) const WAITING: &str = "wait for data";
pub(crate) const LOADING: &str = "make batch";

/// Examples that can be fetched by number.
pub trait Source: Send + Sync + 'static {
    /// The number of examples.
    fn len(&self) -> usize;

    /// The examples of these numbers as they are in this epoch, in this order.
    ///
    /// # Errors
    /// If they cannot be read.
    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch>;

    /// Whether there is no example.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Some examples: what goes into a model, and what should come out. The first axis of each tensor is the batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// One tensor for each input of the model.
    pub inputs: Vec<Tensor>,
    /// One tensor for each output of the model; none for data to predict on.
    pub targets: Vec<Tensor>,
    /// How much each example counts in the losses: nothing, one tensor for all outputs, or one for each output.
    pub weights: Vec<Tensor>,
}

impl Batch {
    /// Inputs and targets of a model that has one of each.
    pub fn new(input: Tensor, target: Tensor) -> Batch {
        Batch { inputs: vec![input], targets: vec![target], weights: Vec::new() }
    }

    /// The same with a weight for each example: how much it counts in the loss.
    pub fn with_weights(mut self, weights: Tensor) -> Batch {
        self.weights = vec![weights];
        self
    }

    /// Inputs, targets and weights.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.inputs.iter().chain(&self.targets).chain(&self.weights)
    }

    /// The number of examples.
    ///
    /// # Errors
    /// If a tensor carries an error, has no batch axis, or if two have different numbers of examples.
    pub fn size(&self) -> Result<usize> {
        let mut sizes = Vec::new();
        for tensor in self.tensors() {
            sizes.push(tensor.shape()?.first().copied());
        }
        match sizes.as_slice() {
            [Some(first), rest @ ..] if rest.iter().all(|size| size == &Some(*first)) => Ok(*first),
            _ => {
                let specs = self.tensors().flat_map(|tensor| tensor.spec().cloned());
                let rule = "all tensors of a batch must have a first axis of the same size";
                Err(Error::with_inputs(ErrorKind::Shape, "dataset", rule, specs.collect()))
            }
        }
    }
}

type Map = Arc<dyn Fn(Batch) -> Result<Batch> + Send + Sync>;

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
    source: Arc<dyn Source>,
    shuffle: Option<u64>,
    batch_size: Option<usize>,
    drop_remainder: bool,
    maps: Vec<Map>,
    prefetch: usize,
    workers: usize,
    repeats: usize,
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

    /// The rows of a tensor of inputs and of one of targets.
    ///
    /// # Errors
    /// If a tensor carries an error or has no value, or if they have different numbers of rows.
    #[track_caller]
    pub fn from_tensors(inputs: &Tensor, targets: &Tensor) -> Result<Dataset> {
        Dataset::from_batch(Batch::new(inputs.clone(), targets.clone()))
    }

    /// The rows of all tensors of one large batch.
    ///
    /// # Errors
    /// As [`Dataset::from_tensors`].
    #[track_caller]
    pub fn from_batch(all: Batch) -> Result<Dataset> {
        let count = all.size()?;
        if all.tensors().any(Tensor::is_symbolic) {
            let rule =
                "the tensors of a data set must be values, not symbols of a model or a recorded function";
            return Err(Error::new(ErrorKind::Recording, "dataset", rule));
        }
        Ok(Dataset::new(Rows { all, count }))
    }

    /// As [`Dataset::from_tensors`], with how much each example counts in the loss.
    ///
    /// # Errors
    /// As [`Dataset::from_tensors`].
    #[track_caller]
    pub fn from_weighted_tensors(inputs: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Dataset> {
        Dataset::from_batch(Batch::new(inputs.clone(), targets.clone()).with_weights(weights.clone()))
    }

    /// `count` examples, each made by a function of its number and the epoch. The tensors of an example have no batch
    /// axis; the function may be called on several threads at once.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let squares = Dataset::from_fn(100, |number, _epoch| {
    ///     let x = number as f32;
    ///     Ok(Batch::new(Tensor::from([x]), Tensor::from([x * x])))
    /// });
    /// let batch = squares.batch(4).workers(2).epoch(0).next().unwrap()?;
    /// assert_eq!(batch.targets[0].to_vec::<f32>()?, [0.0, 1.0, 4.0, 9.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn from_fn(
        count: usize,
        make: impl Fn(usize, u64) -> Result<Batch> + Send + Sync + 'static,
    ) -> Dataset {
        Dataset::new(Made { count, make })
    }

    /// The examples that an iterator gives, all kept in memory.
    ///
    /// # Errors
    /// If the iterator gives an error, or examples that do not fit together.
    pub fn from_examples(examples: impl IntoIterator<Item = Result<Batch>>) -> Result<Dataset> {
        Dataset::from_batch(stacked(examples.into_iter().collect::<Result<Vec<Batch>>>()?)?)
    }

    /// The first `count` examples of an iterator that begins anew in each epoch (whose number it is made from); they
    /// are read as they are needed, in order.
    ///
    /// Such a data set cannot be shuffled or read by several workers: that is an error when it is read.
    pub fn from_stream<I>(count: usize, begin: impl Fn(u64) -> I + Send + Sync + 'static) -> Dataset
    where
        I: Iterator<Item = Result<Batch>> + Send + 'static,
    {
        let begin = move |epoch| Box::new(begin(epoch)) as Box<dyn Iterator<Item = Result<Batch>> + Send>;
        Dataset::new(Stream { count, begin, running: Mutex::new(None) })
    }

    /// The arrays of these names in a `.npz` file, as inputs and targets; their first axis is that of the examples.
    ///
    /// # Errors
    /// If the file cannot be read, or lacks an array; the message names the file.
    pub fn from_npz(path: impl AsRef<Path>, inputs: &[&str], targets: &[&str]) -> Result<Dataset> {
        let path = path.as_ref();
        let named =
            |error: Error| Error::outside(error.kind(), "data", format!("{}: {error}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| DataError::io("read", path, error))?;
        let arrays = crate::formats::read_npz(&bytes).map_err(named)?;
        let array = |name: &&str| {
            let found = arrays.iter().find(|(own, _)| own == name);
            found.map(|(_, array)| array.clone()).ok_or_else(|| {
                let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
                DataError::malformed(path, format!("an array `{name}`"), names.join(", ")).into()
            })
        };
        let all = |names: &[&str]| names.iter().map(array).collect::<Result<Vec<Tensor>>>();
        let batch = Batch { inputs: all(inputs)?, targets: all(targets)?, weights: Vec::new() };
        Dataset::from_batch(batch).map_err(named)
    }

    /// Images, kept as bytes and turned into normalized `f32` batch by batch; labels are `i32`.
    pub fn from_images(images: impl Into<Arc<ImageSet>>, normalization: Normalization) -> Dataset {
        Dataset::new(Images { images: images.into(), normalization, augmentation: None })
    }

    /// As [`Dataset::from_images`], with random shifts and flips, other ones each epoch.
    pub fn from_augmented_images(
        images: impl Into<Arc<ImageSet>>,
        normalization: Normalization,
        augmentation: Augmentation,
    ) -> Dataset {
        Dataset::new(Images { images: images.into(), normalization, augmentation: Some(augmentation) })
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

impl fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Dataset({} examples in batches of {})", self.len(), self.batch_size())
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

/// Rows of tensors in memory.
struct Rows {
    all: Batch,
    count: usize,
}

impl Source for Rows {
    fn len(&self) -> usize {
        self.count
    }

    fn batch(&self, examples: &[usize], _epoch: u64) -> Result<Batch> {
        let rows: Vec<i64> = examples.iter().map(|&row| row as i64).collect();
        let rows = Tensor::from(rows);
        let take = |tensors: &[Tensor]| tensors.iter().map(|tensor| tensor.take(&rows, 0)).collect();
        Ok(Batch {
            inputs: take(&self.all.inputs),
            targets: take(&self.all.targets),
            weights: take(&self.all.weights),
        })
    }
}

/// Images kept as bytes.
struct Images {
    images: Arc<ImageSet>,
    normalization: Normalization,
    augmentation: Option<Augmentation>,
}

impl Source for Images {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch> {
        let [height, width, channels] = self.images.size();
        if self.normalization.channels() != channels {
            let have = self.normalization.channels();
            let rule = format!("a normalization of {have} channel(s) does not fit images of {channels}");
            return Err(Error::outside(ErrorKind::Value, "dataset", rule));
        }
        let pixels = match &self.augmentation {
            Some(augmentation) => augmentation.batch(&self.images, examples, epoch),
            None => examples.iter().flat_map(|&example| self.images.image(example)).copied().collect(),
        };
        let numbers = self.normalization.apply(&pixels);
        let labels: Vec<i32> = examples.iter().map(|&example| self.images.labels[example]).collect();
        let input = Tensor::new(&numbers, [examples.len(), height, width, channels]);
        Ok(Batch::new(input, Tensor::from(labels)))
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Error {
        let kind = match error {
            DataError::Argument(_) => ErrorKind::Value,
            _ => ErrorKind::Io,
        };
        Error::outside(kind, "data", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ChannelStatistics;
    use rushlight_core::DType;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn numbers(count: usize) -> Dataset {
        let x = Tensor::arange(count as i64, DType::F32).reshape([count as isize, 1]);
        Dataset::from_tensors(&x, &(&x * 10.0)).unwrap()
    }

    fn inputs(data: &Dataset, epoch: u64) -> Vec<Vec<f32>> {
        data.epoch(epoch).map(|batch| batch.unwrap().inputs[0].to_vec::<f32>().unwrap()).collect()
    }

    #[test]
    fn every_example_comes_once_an_epoch_with_its_target() {
        let data = numbers(23).shuffle(4).batch(5).prefetch(3);
        let mut seen = Vec::new();
        for batch in data.epoch(2) {
            let batch = batch.unwrap();
            let (x, y) = (&batch.inputs[0], &batch.targets[0]);
            assert_eq!((x * 10.0).to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
            seen.extend(x.to_vec::<f32>().unwrap().iter().map(|&value| value as usize));
        }
        assert_eq!(data.batches(), 5);
        assert!(!seen.is_sorted());
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..23));
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_alone() {
        let data = numbers(40).shuffle(9).batch(7);
        assert_eq!(inputs(&data, 1), inputs(&data.clone().prefetch(0), 1));
        assert_ne!(inputs(&data, 1), inputs(&data, 2));
        assert_ne!(inputs(&data, 1), inputs(&data.clone().shuffle(8), 1));
        assert_eq!(inputs(&numbers(5).batch(2), 3), [vec![0.0, 1.0], vec![2.0, 3.0], vec![4.0]]);
        assert_eq!(inputs(&numbers(5).batch(2).drop_remainder(), 3), [[0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(numbers(5).batch(2).drop_remainder().batches(), 2);
    }

    #[test]
    fn batches_are_changed_where_they_are_prepared() {
        let here = std::thread::current().id();
        let data = numbers(4).batch(2).map(move |batch| {
            assert_ne!(std::thread::current().id(), here);
            Ok(Batch::new(&batch.inputs[0] + 1.0, batch.targets[0].clone()))
        });
        assert_eq!(inputs(&data, 0), [[1.0, 2.0], [3.0, 4.0]]);
    }

    #[test]
    fn an_error_comes_once_and_ends_the_epoch() {
        for prefetch in [0, 1, 4] {
            let data = numbers(10).batch(2).prefetch(prefetch).map(|batch| {
                let first = batch.inputs[0].to_vec::<f32>()?[0];
                match first {
                    4.0 => Err(Error::outside(ErrorKind::Io, "disk", "went away")),
                    _ => Ok(batch),
                }
            });
            let results: Vec<Result<Batch>> = data.epoch(0).collect();
            assert_eq!(results.len(), 3);
            assert!(results[..2].iter().all(Result::is_ok));
            assert_eq!(results[2].as_ref().err().unwrap().to_string(), "[disk] went away");
        }
    }

    #[test]
    fn a_panic_of_the_worker_is_an_error() {
        let data = numbers(4).batch(2).map(|_| panic!("on purpose"));
        let results: Vec<Result<Batch>> = data.epoch(0).collect();
        assert_eq!(results.len(), 1);
        assert!(results[0].as_ref().err().unwrap().to_string().contains("panicked"));
    }

    #[test]
    fn the_worker_stops_when_nobody_reads() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let data = numbers(1000).batch(1).prefetch(2).map(move |batch| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(batch)
        });
        let mut batches = data.epoch(0);
        batches.next().unwrap().unwrap();
        drop(batches);
        // At most what fits into the queue, what was read, and what was being handed over.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(made.load(Ordering::SeqCst) <= 5, "{}", made.load(Ordering::SeqCst));
    }

    #[test]
    fn images_become_normalized_numbers() {
        let classes = vec!["a".to_string(), "b".to_string()];
        let set = ImageSet::new(vec![0, 255, 51, 102], vec![0, 1], [1, 2, 1], classes).unwrap();
        let statistics = ChannelStatistics { mean: vec![0.5], std: vec![0.5] };
        let data = Dataset::from_images(set.clone(), Normalization::new(&statistics).unwrap());
        let batch = data.epoch(0).next().unwrap().unwrap();
        assert_eq!(batch.inputs[0].shape().unwrap(), [2, 1, 2, 1]);
        let numbers = batch.inputs[0].to_vec::<f32>().unwrap();
        assert!(
            numbers.iter().zip([-1.0, 1.0, -0.6, -0.2]).all(|(a, b)| (a - b).abs() < 1e-6),
            "{numbers:?}"
        );
        assert_eq!(batch.targets[0].to_vec::<i32>().unwrap(), [0, 1]);
        let two = ChannelStatistics { mean: vec![0.5; 2], std: vec![0.5; 2] };
        let wrong = Dataset::from_images(set, Normalization::new(&two).unwrap());
        let error = wrong.epoch(0).next().unwrap().err().unwrap().to_string();
        assert!(error.contains("does not fit images of 1"), "{error}");
    }

    #[test]
    fn faulty_data_is_refused() {
        let (two, three) = (Tensor::zeros([2, 1], DType::F32), Tensor::zeros([3], DType::F32));
        let error = Dataset::from_tensors(&two, &three).err().unwrap().to_string();
        assert!(error.contains("same size: got [2, 1] and [3]"), "{error}");
        let zero = numbers(4).batch(0);
        let error = zero.epoch(0).next().unwrap().err().unwrap().to_string();
        assert!(error.contains("at least 1"), "{error}");
        assert_eq!(zero.epoch(0).count(), 1);
    }
}
