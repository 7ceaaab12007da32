//! Things to do while training.

use crate::models::Model;
use crate::optimizers::Optimizer;
use crate::training::{History, Logs};
use rushlight_core::{Error, ErrorKind, Result, Tensor, Variable};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Called by `fit` as training goes on. An error ends training.
pub trait Callback: Send {
    fn on_train_begin(&mut self, training: &Progressing) -> Result<()> {
        let _ = training;
        Ok(())
    }

    fn on_epoch_begin(&mut self, training: &Progressing) -> Result<()> {
        let _ = training;
        Ok(())
    }

    /// After each training step. `logs` reads what was measured in this epoch so far, which takes a little time.
    fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        let _ = (training, logs);
        Ok(())
    }

    /// After training and validation of an epoch, whose logs are the last of the history.
    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        let _ = (training, history);
        Ok(())
    }

    /// At the end, also of an interrupted training; not after an error.
    fn on_train_end(&mut self, training: &Progressing) -> Result<()> {
        let _ = training;
        Ok(())
    }
}

/// What is being trained, and how far it has come.
pub struct Progressing<'a> {
    /// The model being trained.
    pub model: &'a Model,
    /// Its optimizer, whose learning rate may be changed.
    pub optimizer: &'a dyn Optimizer,
    /// The epoch, from 0.
    pub epoch: usize,
    /// Training steps made since `fit` was called.
    pub step: usize,
    stop: &'a AtomicBool,
}

impl<'a> Progressing<'a> {
    pub(crate) fn new(
        model: &'a Model,
        optimizer: &'a dyn Optimizer,
        epoch: usize,
        step: usize,
        stop: &'a AtomicBool,
    ) -> Progressing<'a> {
        Progressing { model, optimizer, epoch, step, stop }
    }

    /// Ends training after this epoch.
    pub fn stop_training(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whether smaller or larger values are better: larger ones if the name speaks of accuracy.
fn is_better(monitor: &str, value: f64, best: Option<f64>) -> bool {
    let larger = monitor.contains("acc");
    !value.is_nan() && best.is_none_or(|best| if larger { value > best } else { value < best })
}

/// The monitored value of the last epoch.
fn monitored(callback: &str, monitor: &str, history: &History) -> Result<f64> {
    let logs = history.epochs.last().map(|epoch| &epoch.logs);
    logs.and_then(|logs| logs.get(monitor)).ok_or_else(|| {
        let names = logs.map(|logs| logs.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        let rule = format!("`{monitor}` is not measured; there are {}", names.unwrap_or_default().join(", "));
        Error::outside(ErrorKind::Value, callback, rule)
    })
}

/// Saves the weights after each epoch, or only when a measured value got better.
pub struct ModelCheckpoint {
    path: PathBuf,
    monitor: Option<String>,
    best: Option<f64>,
}

impl ModelCheckpoint {
    /// After each epoch, over the last ones.
    pub fn new(path: impl Into<PathBuf>) -> ModelCheckpoint {
        ModelCheckpoint { path: path.into(), monitor: None, best: None }
    }

    /// Only when this value (`val_loss`, `val_accuracy`, …) is the best so far.
    pub fn best(mut self, monitor: impl Into<String>) -> ModelCheckpoint {
        self.monitor = Some(monitor.into());
        self
    }
}

impl Callback for ModelCheckpoint {
    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        if let Some(monitor) = &self.monitor {
            let value = monitored("ModelCheckpoint", monitor, history)?;
            if !is_better(monitor, value, self.best) {
                return Ok(());
            }
            self.best = Some(value);
        }
        training.model.save_weights(&self.path)
    }
}

/// Ends training when a measured value has not got better for some epochs.
pub struct EarlyStopping {
    monitor: String,
    patience: usize,
    restore_best: bool,
    best: Option<f64>,
    best_weights: Vec<(Variable, Tensor)>,
    waited: usize,
}

impl EarlyStopping {
    /// After `patience` epochs without a better `monitor` (`val_loss`, `val_accuracy`, …).
    pub fn new(monitor: impl Into<String>, patience: usize) -> EarlyStopping {
        EarlyStopping {
            monitor: monitor.into(),
            patience,
            restore_best: false,
            best: None,
            best_weights: Vec::new(),
            waited: 0,
        }
    }

    /// At the end the model gets back the weights of its best epoch.
    pub fn restore_best_weights(mut self) -> EarlyStopping {
        self.restore_best = true;
        self
    }
}

impl Callback for EarlyStopping {
    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        let value = monitored("EarlyStopping", &self.monitor, history)?;
        if is_better(&self.monitor, value, self.best) {
            self.best = Some(value);
            self.waited = 0;
            if self.restore_best {
                use crate::layers::Layer;
                let variables = training.model.variables();
                self.best_weights = variables.into_iter().map(|v| (v.clone(), v.read())).collect();
            }
            return Ok(());
        }
        self.waited += 1;
        if self.waited >= self.patience {
            training.stop_training();
        }
        Ok(())
    }

    fn on_train_end(&mut self, _training: &Progressing) -> Result<()> {
        self.best_weights.drain(..).try_for_each(|(variable, value)| variable.assign(&value))
    }
}

/// Sets the learning rate at the beginning of each epoch, as a function of its number (from 0).
pub struct LearningRateScheduler<F> {
    schedule: F,
}

impl<F: FnMut(usize) -> f64 + Send> LearningRateScheduler<F> {
    pub fn new(schedule: F) -> LearningRateScheduler<F> {
        LearningRateScheduler { schedule }
    }
}

impl<F: FnMut(usize) -> f64 + Send> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, training: &Progressing) -> Result<()> {
        training.optimizer.set_learning_rate((self.schedule)(training.epoch))
    }
}

/// Writes the history to a CSV file after each epoch.
pub struct CsvLogger {
    path: PathBuf,
}

impl CsvLogger {
    pub fn new(path: impl Into<PathBuf>) -> CsvLogger {
        CsvLogger { path: path.into() }
    }
}

impl Callback for CsvLogger {
    fn on_epoch_end(&mut self, _training: &Progressing, history: &History) -> Result<()> {
        history.write_csv(&self.path)
    }
}
