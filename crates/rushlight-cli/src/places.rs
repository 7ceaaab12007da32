//! Where the results of a training go.

use crate::failure::Failure;
use crate::text::shown;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Below it each run that was given no directory gets a new one.
const RUNS: &str = "rushlight-runs";

/// The files of a run.
pub(crate) struct Places {
    pub(crate) directory: PathBuf,
    pub(crate) weights: PathBuf,
}

impl Places {
    /// Chooses the directory and finds out, before any work is done, whether everything can be written there. Leaves
    /// nothing behind.
    pub(crate) fn choose(logdir: Option<&Path>, stem: &str, save: Option<&Path>) -> Result<Places, Failure> {
        let directory = match logdir {
            Some(directory) => directory.to_path_buf(),
            None => unused(Path::new(RUNS), stem),
        };
        let weights = save.map_or_else(|| directory.join("weights.safetensors"), Path::to_path_buf);
        let places = Places { directory, weights };
        for file in
            [&places.weights, &places.history(), &places.curve(), &places.tensorboard().join("events")]
        {
            check_writable(file)
                .map_err(|error| Failure::Other(format!("{} cannot be written: {error}", shown(file))))?;
        }
        Ok(places)
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.directory.join("history.csv")
    }

    pub(crate) fn curve(&self) -> PathBuf {
        self.directory.join("learning-curve.svg")
    }

    pub(crate) fn tensorboard(&self) -> PathBuf {
        self.directory.join("tensorboard")
    }
}

/// `parent/stem-1`, or the next number that is not there yet.
fn unused(parent: &Path, stem: &str) -> PathBuf {
    let mut number = 1;
    loop {
        let path = parent.join(format!("{stem}-{number}"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}

/// Whether a file of that name can be written, with the directories that are missing on the way made for it.
pub(crate) fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    let named = path.file_name().is_some();
    let here = Path::new(".");
    let parents = path.ancestors().skip(1).map(|parent| if parent == Path::new("") { here } else { parent });
    let Some(existing) = parents.into_iter().find(|parent| parent.exists()).filter(|_| named) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
    };
    if !existing.is_dir() {
        let text = format!("{} is no directory", existing.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
    }
    // Permissions, file systems that are read-only and full disks are known best by trying.
    let trial = existing.join(format!(".rushlight-{}.tmp", std::process::id()));
    fs::write(&trial, [0])?;
    fs::remove_file(&trial)
}
