//! Checkpoints of `rushlight fit`: all that a training needs to go on to the same bits.
//!
//! One safetensors file, replaced as a whole after each epoch: `model/…`, `optimizer/…`, the state of the random
//! generator, and `state`, which is JSON with a version, the number of finished epochs, the history and the settings
//! of the run. The order of the examples follows from the seed and the epoch's number.

use crate::text::shown;
use rushlight::callbacks::{Callback, Progressing};
use rushlight::files::write_atomically;
use rushlight::formats::{Format, arrays_from_bytes, arrays_to_bytes};
use rushlight::prelude::*;
use rushlight::{ErrorKind, eagerly};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The version of the format that is written; older ones stay readable.
const VERSION: u64 = 1;

/// Where the checkpoint is in a log directory.
pub(crate) fn path_in(directory: &Path) -> PathBuf {
    directory.join("checkpoint.safetensors")
}

/// What a run has measured so far: the content of its history file.
pub(crate) type Measured = Arc<Mutex<Value>>;

/// Writes a checkpoint after each epoch, and goes on from one.
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) resume: bool,
    /// What must be the same for a run that goes on.
    pub(crate) settings: Value,
    pub(crate) measured: Measured,
}

fn wrong(path: &Path, rule: impl std::fmt::Display) -> Error {
    Error::outside(ErrorKind::Value, "checkpoint", format!("{}: {rule}", shown(path)))
}

fn variables(training: &Progressing) -> Vec<(String, Variable)> {
    let model = training.model.named_variables().into_iter().map(|(name, it)| (format!("model/{name}"), it));
    let own = training.optimizer.variables().into_iter().enumerate();
    let own = own.map(|(index, it)| (format!("optimizer/{index}"), it));
    let random = ("random".to_string(), random::default_generator().state().clone());
    model.chain(own).chain([random]).collect()
}

impl Checkpoint {
    fn save(&self, training: &Progressing, finished: usize) -> Result<()> {
        let history = self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = json!({
            "version": VERSION,
            "finished_epochs": finished,
            "settings": self.settings,
            "history": history,
        });
        let mut arrays: Vec<(String, Tensor)> =
            variables(training).into_iter().map(|(name, it)| (name, eagerly(|| it.read()))).collect();
        arrays.push(("state".to_string(), Tensor::from(state.to_string().into_bytes())));
        let bytes = arrays_to_bytes(&arrays, Format::Safetensors)?;
        write_atomically(&self.path, &bytes)
            .map_err(|error| wrong(&self.path, format!("cannot be written: {error}")))
    }

    fn restore(&self, training: &Progressing) -> Result<()> {
        let bytes = std::fs::read(&self.path).map_err(|error| wrong(&self.path, error))?;
        let arrays = arrays_from_bytes(&bytes).map_err(|error| wrong(&self.path, error))?;
        let find = |name: &str| {
            let found = arrays.iter().find(|(known, _)| known == name).map(|(_, array)| array);
            found.ok_or_else(|| wrong(&self.path, format!("`{name}` is missing")))
        };
        let state: Value = serde_json::from_slice(&find("state")?.to_vec::<u8>()?)
            .map_err(|error| wrong(&self.path, format!("`state` is no JSON: {error}")))?;
        let version = state["version"].as_u64().unwrap_or(0);
        if version == 0 || version > VERSION {
            return Err(wrong(
                &self.path,
                format!("version {version} is not known: {VERSION} is the latest"),
            ));
        }
        if state["settings"] != self.settings {
            let rule = format!("it belongs to a run with other settings: {}", state["settings"]);
            return Err(wrong(&self.path, rule));
        }
        training.optimizer.build(&training.model.trainable_variables())?;
        let mut values = Vec::new();
        for (name, variable) in variables(training) {
            let value = find(&name)?;
            if value.spec()? != variable.spec() {
                let rule = format!("`{name}` is {} and must be {}", value.spec()?, variable.spec());
                return Err(wrong(&self.path, rule));
            }
            values.push((variable, value));
        }
        values.into_iter().try_for_each(|(variable, value)| eagerly(|| variable.assign(value)))?;
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = state["history"].clone();
        training.begin_with_epoch(state["finished_epochs"].as_u64().unwrap_or(0) as usize);
        Ok(())
    }
}

impl Callback for Checkpoint {
    fn on_train_begin(&mut self, training: &Progressing) -> Result<()> {
        if self.resume && self.path.exists() { self.restore(training) } else { Ok(()) }
    }

    fn on_epoch_end(&mut self, training: &Progressing, _history: &History) -> Result<()> {
        self.save(training, training.epoch + 1)
    }
}
