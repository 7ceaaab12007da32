//! Saving weights as training goes on.

use crate::callbacks::monitor::Monitor;
use crate::callbacks::{Callback, CallbackMemory, Direction, Progressing};
use crate::training::{History, Logs};
use rushlight_core::{Error, ErrorKind, Result};
use serde_json::json;
use std::path::PathBuf;

/// Saves the weights after each epoch, or only when a measured value got better.
///
/// The path may contain the number of the epoch, from 1, and measured values:
/// `weights-{epoch:02}-{val_loss:.3}.safetensors`.
pub struct ModelCheckpoint {
    path: PathBuf,
    monitor: Option<Monitor>,
    threshold: Option<f64>,
    every: Option<usize>,
    saved_at: usize,
}

impl ModelCheckpoint {
    /// After each epoch, over the last ones.
    pub fn new(path: impl Into<PathBuf>) -> ModelCheckpoint {
        ModelCheckpoint { path: path.into(), monitor: None, threshold: None, every: None, saved_at: 0 }
    }

    /// Only when this value (`val_loss`, `val_accuracy`, …) is the best so far.
    pub fn best(mut self, monitor: impl Into<String>) -> ModelCheckpoint {
        self.monitor = Some(Monitor::new("ModelCheckpoint", monitor));
        self
    }

    /// Which values are better; by the name, if nothing is said.
    pub fn direction(mut self, direction: Direction) -> ModelCheckpoint {
        if let Some(monitor) = &mut self.monitor {
            monitor.direction = direction;
        }
        self
    }

    /// Only values better than this are saved.
    pub fn initial_value_threshold(mut self, value: f64) -> ModelCheckpoint {
        self.threshold = Some(value);
        self
    }

    /// After every so many training steps, instead of after each epoch.
    pub fn every_steps(mut self, steps: usize) -> ModelCheckpoint {
        self.every = Some(steps.max(1));
        self
    }

    fn save(&self, training: &Progressing, logs: &Logs) -> Result<()> {
        let path = filled(&self.path.to_string_lossy(), training.epoch, logs)?;
        training.model.save_weights(path)
    }
}

/// The path with the epoch and measured values in it.
fn filled(path: &str, epoch: usize, logs: &Logs) -> Result<String> {
    let mut text = String::new();
    let mut rest = path;
    while let Some(start) = rest.find('{') {
        let Some(length) = rest[start..].find('}') else { break };
        let (name, format) =
            rest[start + 1..start + length].split_once(':').unwrap_or((&rest[start + 1..start + length], ""));
        text.push_str(&rest[..start]);
        let digits = |text: &str| text.trim_end_matches(['d', 'f']).parse::<usize>().ok();
        if name == "epoch" {
            text.push_str(&format!("{:0width$}", epoch + 1, width = digits(format).unwrap_or(1)));
        } else {
            let value = logs.get(name).ok_or_else(|| {
                let rule = format!("`{name}` in the path {path} is not measured");
                Error::outside(ErrorKind::Value, "ModelCheckpoint", rule)
            })?;
            let places = format.rsplit('.').next().and_then(digits).unwrap_or(4);
            text.push_str(&format!("{value:.places$}"));
        }
        rest = &rest[start + length + 1..];
    }
    text.push_str(rest);
    Ok(text)
}

impl Callback for ModelCheckpoint {
    fn on_train_begin(&mut self, _training: &Progressing) -> Result<()> {
        self.saved_at = 0;
        if let Some(monitor) = &mut self.monitor {
            monitor.best = monitor.best.or(self.threshold);
        }
        Ok(())
    }

    fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        match self.every {
            Some(steps) if training.step >= self.saved_at + steps => {
                self.saved_at = training.step;
                self.save(training, &logs()?)
            }
            _ => Ok(()),
        }
    }

    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        if self.every.is_some() {
            return Ok(());
        }
        if let Some(monitor) = &mut self.monitor {
            let value = monitor.value(history)?;
            if !monitor.improves(value) {
                return Ok(());
            }
        }
        match history.epochs.last() {
            Some(epoch) => self.save(training, &epoch.logs),
            None => Ok(()),
        }
    }

    fn memory(&self) -> Option<CallbackMemory> {
        let monitor = self.monitor.as_ref()?;
        Some(CallbackMemory::new(
            format!("ModelCheckpoint by {}", monitor.name),
            json!({ "best": monitor.best }),
        ))
    }

    fn remember(&mut self, _training: &Progressing, memory: &CallbackMemory) -> Result<()> {
        if let Some(monitor) = &mut self.monitor {
            monitor.best = memory.number("best")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_filled() {
        let logs = Logs(vec![("val_loss".into(), 0.123456)]);
        assert_eq!(filled("a-{epoch:02d}-{val_loss:.2f}.x", 4, &logs).unwrap(), "a-05-0.12.x");
        assert_eq!(filled("{epoch}{val_loss:.3}", 0, &logs).unwrap(), "10.123");
        assert_eq!(filled("plain{", 0, &logs).unwrap(), "plain{");
        assert!(filled("{loss}", 0, &logs).unwrap_err().to_string().contains("`loss` in the path {loss}"));
    }
}
