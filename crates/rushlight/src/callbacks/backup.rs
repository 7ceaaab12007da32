//! Going on where a training that was broken off had come.
//!
//! A backup is one safetensors file, replaced as a whole: `model/…` (the model's variables by name), `optimizer/i`,
//! `random/0` (the thread's default generator) and `random/i` (those of layers), `callbacks/i/j` (arrays that callbacks
//! remember), and `state`: JSON with `version`, `finished_epochs`, `is_stopped`, `settings`, and `callbacks`, a list
//! of `owner` and `values`. The order of the examples follows from the data set's seed and the number of the epoch.
//! Version 1 had one generator, `random`, and a `history` instead of callbacks.

use crate::callbacks::{Callback, CallbackMemory, Progressing};
use crate::files::write_atomically;
use crate::formats::{Format, arrays_from_bytes, arrays_to_bytes, at};
use crate::layers::Layer;
use crate::training::Logs;
use rushlight_core::{Error, ErrorKind, Result, Tensor, Variable, eagerly, random};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The version of the format that is written; older ones stay readable.
const VERSION: u64 = 2;

/// Whose memory the history of version 1 is.
const HISTORY: &str = "history";

fn wrong(rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, "backup", rule)
}

/// What a file of [`BackupAndRestore`] has, besides the arrays themselves.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The version of its format.
    pub version: u64,
    /// How many epochs were finished when it was written.
    pub finished_epochs: usize,
    /// Whether a callback had ended training by then.
    pub is_stopped: bool,
    /// What a training that goes on must have in common with the one that was broken off.
    pub settings: Value,
    memories: Vec<CallbackMemory>,
    arrays: Vec<(String, Tensor)>,
}

impl Backup {
    /// Reads the bytes of a file, of this version or an older one.
    ///
    /// # Errors
    /// If they are no backup, are damaged, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Backup> {
        let arrays = arrays_from_bytes(bytes)?;
        let state = arrays.iter().find(|(name, _)| name == "state").map(|(_, array)| array);
        let state = state.ok_or_else(|| wrong("this is no backup of a training: `state` is missing"))?;
        let state: Value = serde_json::from_slice(&state.to_vec::<u8>()?)
            .map_err(|error| wrong(format!("`state` is no JSON: {error}")))?;
        let version = state["version"].as_u64().unwrap_or(0);
        if version == 0 || version > VERSION {
            return Err(wrong(format!("version {version} is not known: {VERSION} is the latest")));
        }
        let finished = state["finished_epochs"].as_u64().and_then(|count| usize::try_from(count).ok());
        let mut backup = Backup {
            version,
            finished_epochs: finished.ok_or_else(|| wrong("`finished_epochs` must be a whole number"))?,
            is_stopped: state["is_stopped"] == json!(true),
            settings: state["settings"].clone(),
            memories: Vec::new(),
            arrays,
        };
        if version == 1 {
            backup.memories.push(CallbackMemory::new(HISTORY, state[HISTORY].clone()));
            backup
                .arrays
                .iter_mut()
                .filter(|(name, _)| name == "random")
                .for_each(|(name, _)| name.push_str("/0"));
        }
        for (index, callback) in state["callbacks"].as_array().into_iter().flatten().enumerate() {
            let owner = callback["owner"].as_str().unwrap_or_default();
            let mut memory = CallbackMemory::new(owner, callback["values"].clone());
            let array = |number: usize| backup.find(&format!("callbacks/{index}/{number}")).ok().cloned();
            memory.arrays = (0..).map_while(array).collect();
            backup.memories.push(memory);
        }
        Ok(backup)
    }

    fn find(&self, name: &str) -> Result<&Tensor> {
        let found = self.arrays.iter().find(|(known, _)| known == name).map(|(_, array)| array);
        found.ok_or_else(|| wrong(format!("`{name}` is missing")))
    }
}

/// Writes all that a training needs to go on to a file, and when `fit` is called again after the program was broken
/// off, goes on from there: weights, the optimizer's state, the random generators', the number of the epoch, and what
/// the other callbacks remember ([`Callback::memory`]). The file is removed once training is done.
///
/// Epochs are finished as a whole: a training that goes on gives the same weights, to the bit, as one that was never
/// broken off.
pub struct BackupAndRestore {
    path: PathBuf,
    every: Option<usize>,
    keeps: bool,
    starts_anew: bool,
    settings: Value,
    saved_at: usize,
    memories: Vec<CallbackMemory>,
}

impl BackupAndRestore {
    /// Into this file (`backup.safetensors`), after each epoch.
    pub fn new(path: impl Into<PathBuf>) -> BackupAndRestore {
        BackupAndRestore {
            path: path.into(),
            every: None,
            keeps: false,
            starts_anew: false,
            settings: Value::Null,
            saved_at: 0,
            memories: Vec::new(),
        }
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

    /// Passes over a file that is there, and replaces it.
    pub fn start_anew(mut self) -> BackupAndRestore {
        self.starts_anew = true;
        self
    }

    /// An object of what must be the same in a training that goes on: the size of batches, say.
    pub fn settings(mut self, settings: Value) -> BackupAndRestore {
        self.settings = settings;
        self
    }

    fn variables(training: &Progressing) -> Vec<(String, Variable)> {
        let model = training.model.named_variables().into_iter();
        let model = model.map(|(name, variable)| (format!("model/{name}"), variable));
        let own = training.optimizer.variables().into_iter().enumerate();
        let own = own.map(|(index, variable)| (format!("optimizer/{index}"), variable));
        let generators =
            std::iter::once(random::default_generator()).chain(training.model.state().generators());
        let generators = generators.enumerate();
        let generators = generators.map(|(index, it)| (format!("random/{index}"), it.state().clone()));
        model.chain(own).chain(generators).collect()
    }

    fn save(&self, training: &Progressing, finished: usize) -> Result<()> {
        let callbacks = self.memories.iter().map(|it| json!({ "owner": it.owner, "values": it.values }));
        let state = json!({
            "version": VERSION,
            "finished_epochs": finished,
            "is_stopped": training.is_stopping(),
            "settings": self.settings,
            "callbacks": callbacks.collect::<Vec<_>>(),
        });
        let mut arrays: Vec<(String, Tensor)> = BackupAndRestore::variables(training)
            .into_iter()
            .map(|(name, variable)| (name, eagerly(|| variable.read())))
            .collect();
        for (index, memory) in self.memories.iter().enumerate() {
            let own = memory.arrays.iter().enumerate();
            arrays.extend(own.map(|(number, array)| (format!("callbacks/{index}/{number}"), array.clone())));
        }
        arrays.push(("state".to_string(), Tensor::from(state.to_string().into_bytes())));
        let bytes = arrays_to_bytes(&arrays, Format::Safetensors)?;
        write_atomically(&self.path, &bytes).map_err(|error| {
            let rule = format!("{} cannot be written: {error}", self.path.display());
            Error::outside(ErrorKind::Io, "backup", rule)
        })
    }

    fn restore(&self, training: &Progressing) -> Result<Vec<CallbackMemory>> {
        let backup = Backup::from_bytes(&crate::formats::read_file(&self.path)?)?;
        // Settings that an older version did not write down are not compared.
        for (key, before) in backup.settings.as_object().into_iter().flatten() {
            if self.settings[key] != *before {
                let rule = format!("it belongs to a run with other settings: `{key}` was {before}");
                return Err(wrong(format!("{rule} and is {}", self.settings[key])));
            }
        }
        training.optimizer.build(&training.model.trainable_variables())?;
        let mut values = Vec::new();
        for (name, variable) in BackupAndRestore::variables(training) {
            if backup.version == 1 && name.starts_with("random/") && name != "random/0" {
                continue;
            }
            let value = backup.find(&name)?;
            if value.spec()? != variable.spec() {
                let rule = format!("`{name}` is {} and must be {}", value.spec()?, variable.spec());
                return Err(wrong(rule));
            }
            values.push((variable, value));
        }
        values.into_iter().try_for_each(|(variable, value)| eagerly(|| variable.assign(value)))?;
        training.begin_with_epoch(backup.finished_epochs);
        if backup.is_stopped {
            training.stop_training();
        }
        Ok(backup.memories)
    }
}

impl Callback for BackupAndRestore {
    fn on_train_begin(&mut self, _training: &Progressing) -> Result<()> {
        self.saved_at = 0;
        self.memories.clear();
        Ok(())
    }

    fn on_restore(&mut self, training: &Progressing) -> Result<Vec<CallbackMemory>> {
        if self.starts_anew || !self.path.exists() {
            return Ok(Vec::new());
        }
        self.memories = self.restore(training).map_err(|error| at(&self.path, error))?;
        Ok(self.memories.clone())
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

    fn on_backup(&mut self, training: &Progressing, memories: &[CallbackMemory]) -> Result<()> {
        self.memories = memories.to_vec();
        self.save(training, training.epoch + 1)
    }

    fn on_train_end(&mut self, _training: &Progressing) -> Result<()> {
        if self.keeps || !self.path.exists() {
            return Ok(());
        }
        std::fs::remove_file(&self.path).map_err(|error| {
            let rule = format!("{} cannot be removed: {error}", self.path.display());
            Error::outside(ErrorKind::Io, "backup", rule)
        })
    }
}
