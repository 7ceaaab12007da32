//! Going on where a training that was broken off had come.

use crate::callbacks::{Callback, Progressing};
use crate::layers::Layer;
use crate::models::{read_variables, weights_metadata, write_variables};
use crate::training::{History, Logs};
use rushlight_core::{Error, ErrorKind, Result, Variable};
use std::path::PathBuf;

/// The key of the file's metadata under which the number of finished epochs is written.
const EPOCHS_KEY: &str = "finished_epochs";

/// Writes weights, the optimizer's state and the number of the epoch to a file, and when `fit` is called again after
/// the program was broken off, goes on from there. The file is removed once training is done.
///
/// Epochs are finished as a whole: a training that goes on gives the same weights, to the bit, as one that was never
/// broken off, as long as nothing in it depends on a generator of random numbers.
pub struct BackupAndRestore {
    path: PathBuf,
    every: Option<usize>,
    keeps: bool,
    saved_at: usize,
}

impl BackupAndRestore {
    /// Into this file (`backup.safetensors`), after each epoch.
    pub fn new(path: impl Into<PathBuf>) -> BackupAndRestore {
        BackupAndRestore { path: path.into(), every: None, keeps: false, saved_at: 0 }
    }

    /// Also after every so many training steps; the epoch that was broken off then begins anew, with these weights.
    pub fn every_steps(mut self, steps: usize) -> BackupAndRestore {
        self.every = Some(steps.max(1));
        self
    }

    /// Leaves the file there at the end.
    pub fn keep(mut self) -> BackupAndRestore {
        self.keeps = true;
        self
    }

    fn variables(training: &Progressing) -> Vec<(String, Variable)> {
        let own = training.optimizer.variables().into_iter().enumerate();
        let own = own.map(|(index, variable)| (format!("optimizer/{index}"), variable));
        let model = training.model.named_variables().into_iter();
        model.map(|(name, variable)| (format!("model/{name}"), variable)).chain(own).collect()
    }

    fn save(&self, training: &Progressing, finished: usize) -> Result<()> {
        let metadata = [(EPOCHS_KEY.to_string(), finished.to_string())].into_iter().collect();
        write_variables("BackupAndRestore", &self.path, &BackupAndRestore::variables(training), metadata)
    }
}

impl Callback for BackupAndRestore {
    fn on_train_begin(&mut self, training: &Progressing) -> Result<()> {
        self.saved_at = 0;
        if !self.path.exists() {
            return Ok(());
        }
        let wrong = |rule: String| Err(Error::outside(ErrorKind::Value, "BackupAndRestore", rule));
        let finished = weights_metadata(&self.path)?.get(EPOCHS_KEY).and_then(|text| text.parse().ok());
        let Some(finished) = finished else {
            return wrong(format!("{} is no backup of a training", self.path.display()));
        };
        training.optimizer.build(&training.model.trainable_variables())?;
        read_variables("BackupAndRestore", &self.path, &BackupAndRestore::variables(training))?;
        training.begin_with_epoch(finished);
        Ok(())
    }

    fn on_batch_end(&mut self, training: &Progressing, _logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        match self.every {
            Some(steps) if training.step >= self.saved_at + steps => {
                self.saved_at = training.step;
                self.save(training, training.epoch)
            }
            _ => Ok(()),
        }
    }

    fn on_epoch_end(&mut self, training: &Progressing, _history: &History) -> Result<()> {
        self.save(training, training.epoch + 1)
    }

    fn on_train_end(&mut self, _training: &Progressing) -> Result<()> {
        if self.keeps || !self.path.exists() {
            return Ok(());
        }
        std::fs::remove_file(&self.path).map_err(|error| {
            let rule = format!("{} cannot be removed: {error}", self.path.display());
            Error::outside(ErrorKind::Io, "BackupAndRestore", rule)
        })
    }
}
