//! Data sets in memory: rows of tensors, images as bytes, arrays of files, examples that a program makes.

use crate::data::streams::{Made, Stream, stacked};
use crate::data::{Augmentation, Batch, DataError, Dataset, ImageSet, Normalization, Source};
use rushlight_core::{Error, ErrorKind, Result, Tensor};
use std::path::Path;
use std::sync::{Arc, Mutex};

impl Dataset {
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

    /// The arrays in two `.npy` files, as inputs and targets; their first axis is that of the examples.
    ///
    /// ```
    /// use rushlight::formats::write_npy;
    /// use rushlight::prelude::*;
    /// let file = |name: &str, array: &Tensor| -> Result<std::path::PathBuf> {
    ///     let path = std::env::temp_dir().join(name);
    ///     std::fs::write(&path, write_npy(array)?)?;
    ///     Ok(path)
    /// };
    /// let x = Tensor::arange(6, DType::F32).reshape([3, 2]);
    /// let files = [file("rushlight-x.npy", &x)?, file("rushlight-y.npy", &x.sum([-1]))?];
    /// let data = Dataset::from_npy(&files[0], &files[1])?.batch(2);
    /// assert_eq!(data.epoch(0).next().unwrap()?.targets[0].to_vec::<f32>()?, [1.0, 5.0]);
    /// # files.into_iter().try_for_each(std::fs::remove_file)?;
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a file cannot be read, or the arrays have different numbers of examples; the message names the file.
    pub fn from_npy(inputs: impl AsRef<Path>, targets: impl AsRef<Path>) -> Result<Dataset> {
        let array = |path: &Path| {
            let bytes = std::fs::read(path).map_err(|error| DataError::io("read", path, error))?;
            crate::formats::read_npy(&bytes).map_err(in_file(path))
        };
        let batch = Batch::new(array(inputs.as_ref())?, array(targets.as_ref())?);
        Dataset::from_batch(batch).map_err(in_file(targets.as_ref()))
    }

    /// The arrays of these names in a `.npz` file, as inputs and targets; their first axis is that of the examples.
    ///
    /// # Errors
    /// If the file cannot be read, or lacks an array; the message names the file.
    pub fn from_npz(path: impl AsRef<Path>, inputs: &[&str], targets: &[&str]) -> Result<Dataset> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| DataError::io("read", path, error))?;
        let arrays = crate::formats::read_npz(&bytes).map_err(in_file(path))?;
        let array = |name: &&str| {
            let found = arrays.iter().find(|(own, _)| own == name);
            found.map(|(_, array)| array.clone()).ok_or_else(|| {
                let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
                DataError::malformed(path, format!("an array `{name}`"), names.join(", ")).into()
            })
        };
        let all = |names: &[&str]| names.iter().map(array).collect::<Result<Vec<Tensor>>>();
        let batch = Batch { inputs: all(inputs)?, targets: all(targets)?, weights: Vec::new() };
        Dataset::from_batch(batch).map_err(in_file(path))
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
}

/// Names the file in an error about its content.
fn in_file(path: &Path) -> impl Fn(Error) -> Error {
    move |error| Error::outside(error.kind(), "data", format!("{}: {error}", path.display()))
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
