//! Pictures in folders, one folder for each class.

use crate::data::pictures::Pixels;
use crate::data::{Batch, DataError, Dataset, Source};
use rushlight_core::{Result, Tensor};
use std::path::{Path, PathBuf};

/// PNG and JPEG pictures in folders whose names are their classes, read and decoded as they are needed.
///
/// Inputs are `f32 [height, width, channels]` from 0 to 255, targets `i32` class numbers, in the order of the folders'
/// names. Pictures of other sizes are brought to this one.
///
/// ```no_run
/// use rushlight::data::ImageFolder;
/// use rushlight::prelude::*;
/// let folder = ImageFolder::open("flowers", [180, 180])?;
/// println!("{:?}", folder.classes());
/// let data = folder.dataset().shuffle(1).batch(32).workers(2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, i32)>,
    size: [usize; 2],
    channels: usize,
}

impl ImageFolder {
    /// Looks for pictures (`.png`, `.jpg`, `.jpeg`) in all folders in a directory, and below them.
    ///
    /// # Errors
    /// If the directory cannot be read, has no folders, or there is no picture in them; or if a size is zero.
    pub fn open(directory: impl AsRef<Path>, size: [usize; 2]) -> Result<ImageFolder, DataError> {
        let directory = directory.as_ref();
        if size.contains(&0) {
            return Err(DataError::Argument(format!("pictures of {size:?} pixels have no pixels")));
        }
        let mut folders = entries(directory)?;
        folders.retain(|path| path.is_dir());
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for (number, folder) in folders.iter().enumerate() {
            classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
            let mut found = Vec::new();
            pictures(folder, &mut found)?;
            files.extend(found.into_iter().map(|path| (path, number as i32)));
        }
        if files.is_empty() {
            let expected = "folders, one for each class, with .png or .jpg pictures".to_string();
            return Err(DataError::Missing { path: directory.to_path_buf(), expected });
        }
        Ok(ImageFolder { classes, files, size, channels: 3 })
    }

    /// With one channel instead of three.
    pub fn grayscale(mut self) -> ImageFolder {
        self.channels = 1;
        self
    }

    /// The names of the folders.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The files, with their classes.
    pub fn files(&self) -> &[(PathBuf, i32)] {
        &self.files
    }

    /// The pictures as a data set.
    pub fn dataset(self) -> Dataset {
        Dataset::new(self)
    }
}

/// What is in a directory, sorted by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error| DataError::io("read", directory, error);
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn pictures(directory: &Path, into: &mut Vec<PathBuf>) -> Result<(), DataError> {
    for path in entries(directory)? {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if path.is_dir() {
            pictures(&path, into)?;
        } else if ending.is_some_and(|ending| ["png", "jpg", "jpeg"].contains(&ending.as_str())) {
            into.push(path);
        }
    }
    Ok(())
}

impl Source for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn batch(&self, examples: &[usize], _epoch: u64) -> Result<Batch> {
        let [height, width] = self.size;
        let mut numbers = Vec::with_capacity(examples.len() * height * width * self.channels);
        let mut labels = Vec::with_capacity(examples.len());
        for &example in examples {
            let (path, label) = &self.files[example];
            numbers.extend(Pixels::read(path)?.with_channels(self.channels).resized(height, width));
            labels.push(*label);
        }
        let input = Tensor::new(&numbers, [examples.len(), height, width, self.channels]);
        Ok(Batch::new(input, Tensor::from(labels)))
    }
}
