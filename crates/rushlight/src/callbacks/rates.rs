//! Changing the learning rate while training.

use crate::callbacks::monitor::Monitor;
use crate::callbacks::{Callback, CallbackMemory, Direction, Progressing};
use crate::training::History;
use rushlight_core::{Error, ErrorKind, Result};
use serde_json::json;

/// Sets the learning rate at the beginning of each epoch, as a function of its number (from 0).
///
/// For one that changes with every step, give the optimizer a [schedule](crate::optimizers::schedules).
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

/// Makes the learning rate smaller when a measured value has not got better for some epochs.
pub struct ReduceLROnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    cooldown: usize,
    least: f64,
    waited: usize,
    cooling: usize,
}

impl ReduceLROnPlateau {
    /// To a tenth, after 10 epochs in which `monitor` (`val_loss`, …) did not get better by 10⁻⁴ at least.
    pub fn new(monitor: impl Into<String>) -> ReduceLROnPlateau {
        let monitor = Monitor { min_delta: 1e-4, ..Monitor::new("ReduceLROnPlateau", monitor) };
        ReduceLROnPlateau {
            monitor,
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            least: 0.0,
            waited: 0,
            cooling: 0,
        }
    }

    /// What the learning rate is multiplied by; below 1.
    pub fn factor(mut self, factor: f64) -> ReduceLROnPlateau {
        self.factor = factor;
        self
    }

    /// After so many epochs without a better value.
    pub fn patience(mut self, epochs: usize) -> ReduceLROnPlateau {
        self.patience = epochs;
        self
    }

    /// How much better counts as better.
    pub fn min_delta(mut self, delta: f64) -> ReduceLROnPlateau {
        self.monitor.min_delta = delta;
        self
    }

    /// So many epochs after a change are not looked at.
    pub fn cooldown(mut self, epochs: usize) -> ReduceLROnPlateau {
        self.cooldown = epochs;
        self
    }

    /// The learning rate does not fall below this.
    pub fn min_lr(mut self, least: f64) -> ReduceLROnPlateau {
        self.least = least;
        self
    }

    /// Which values are better; by the name, if nothing is said.
    pub fn direction(mut self, direction: Direction) -> ReduceLROnPlateau {
        self.monitor.direction = direction;
        self
    }
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _training: &Progressing) -> Result<()> {
        if self.factor.is_nan() || self.factor >= 1.0 || self.factor < 0.0 {
            let rule = format!("the factor must be in [0, 1), not {}", self.factor);
            return Err(Error::outside(ErrorKind::Value, "ReduceLROnPlateau", rule));
        }
        (self.waited, self.cooling, self.monitor.best) = (0, 0, None);
        Ok(())
    }

    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        let value = self.monitor.value(history)?;
        if self.cooling > 0 {
            self.cooling -= 1;
            self.waited = 0;
        }
        if self.monitor.improves(value) {
            self.waited = 0;
        } else if self.cooling == 0 {
            self.waited += 1;
            let rate = training.optimizer.learning_rate()?;
            if self.waited >= self.patience && rate > self.least {
                training.optimizer.set_learning_rate((rate * self.factor).max(self.least))?;
                (self.cooling, self.waited) = (self.cooldown, 0);
            }
        }
        Ok(())
    }

    fn memory(&self) -> Option<CallbackMemory> {
        let values = json!({ "best": self.monitor.best, "waited": self.waited, "cooling": self.cooling });
        Some(CallbackMemory::new(format!("ReduceLROnPlateau by {}", self.monitor.name), values))
    }

    fn remember(&mut self, _training: &Progressing, memory: &CallbackMemory) -> Result<()> {
        self.monitor.best = memory.number("best")?;
        (self.waited, self.cooling) = (memory.count("waited")?, memory.count("cooling")?);
        Ok(())
    }
}
