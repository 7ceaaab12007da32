//! Ending training when it no longer helps.

use crate::callbacks::monitor::Monitor;
use crate::callbacks::{Callback, CallbackMemory, Direction, Progressing};
use crate::layers::Layer;
use crate::training::History;
use rushlight_core::{Result, Tensor, Variable};
use serde_json::json;

/// Ends training when a measured value has not got better for some epochs.
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    start_from_epoch: usize,
    restore_best: bool,
    best_weights: Vec<(Variable, Tensor)>,
    waited: usize,
}

impl EarlyStopping {
    /// After `patience` epochs without a better `monitor` (`val_loss`, `val_accuracy`, …).
    pub fn new(monitor: impl Into<String>, patience: usize) -> EarlyStopping {
        EarlyStopping {
            monitor: Monitor::new("EarlyStopping", monitor),
            patience,
            baseline: None,
            start_from_epoch: 0,
            restore_best: false,
            best_weights: Vec::new(),
            waited: 0,
        }
    }

    /// At the end the model gets back the weights of its best epoch.
    pub fn restore_best_weights(mut self) -> EarlyStopping {
        self.restore_best = true;
        self
    }

    /// How much better counts as better; anything by default.
    pub fn min_delta(mut self, delta: f64) -> EarlyStopping {
        self.monitor.min_delta = delta;
        self
    }

    /// Which values are better; by the name, if nothing is said.
    pub fn direction(mut self, direction: Direction) -> EarlyStopping {
        self.monitor.direction = direction;
        self
    }

    /// An epoch that is no better than this does not count as getting better.
    pub fn baseline(mut self, value: f64) -> EarlyStopping {
        self.baseline = Some(value);
        self
    }

    /// Epochs before this one, counted from 0, are not looked at.
    pub fn start_from_epoch(mut self, epoch: usize) -> EarlyStopping {
        self.start_from_epoch = epoch;
        self
    }

    fn keep_weights(&mut self, training: &Progressing) {
        if self.restore_best {
            let variables = training.model.variables().into_iter();
            self.best_weights = variables.map(|variable| (variable.clone(), variable.read())).collect();
        }
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _training: &Progressing) -> Result<()> {
        (self.waited, self.monitor.best) = (0, None);
        self.best_weights.clear();
        Ok(())
    }

    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        let value = self.monitor.value(history)?;
        if training.epoch < self.start_from_epoch {
            return Ok(());
        }
        if self.best_weights.is_empty() {
            self.keep_weights(training);
        }
        self.waited += 1;
        if self.monitor.improves(value) {
            self.keep_weights(training);
            // Better than before, but not better than the baseline, is not good enough.
            if self.baseline.is_none_or(|baseline| self.monitor.is_better(value, Some(baseline))) {
                self.waited = 0;
            }
        } else if self.waited >= self.patience {
            training.stop_training();
        }
        Ok(())
    }

    fn memory(&self) -> Option<CallbackMemory> {
        let values = json!({ "best": self.monitor.best, "waited": self.waited });
        let arrays = self.best_weights.iter().map(|(_, value)| value.clone()).collect();
        Some(CallbackMemory {
            arrays,
            ..CallbackMemory::new(format!("EarlyStopping by {}", self.monitor.name), values)
        })
    }

    fn remember(&mut self, training: &Progressing, memory: &CallbackMemory) -> Result<()> {
        (self.monitor.best, self.waited) = (memory.number("best")?, memory.count("waited")?);
        let variables = training.model.variables().into_iter();
        self.best_weights = variables.zip(memory.arrays.iter().cloned()).collect();
        Ok(())
    }

    fn on_train_end(&mut self, _training: &Progressing) -> Result<()> {
        self.best_weights.drain(..).try_for_each(|(variable, value)| variable.assign(&value))
    }
}
