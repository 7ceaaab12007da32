//! Watching a measured value: whether it got better.

use crate::training::History;
use rushlight_core::{Error, ErrorKind, Result};

/// Which values of what is monitored are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Larger ones for accuracies and the like, by the name; smaller ones for everything else.
    #[default]
    Auto,
    /// Smaller ones.
    Min,
    /// Larger ones.
    Max,
}

/// Parts of the names of metrics that should become large.
const LARGER: [&str; 9] =
    ["acc", "auc", "precision", "recall", "f1_score", "fbeta_score", "io_u", "r2_score", "sensitivity"];

/// A measured value, its best so far, and how much better counts as better.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    pub(crate) callback: &'static str,
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) min_delta: f64,
    pub(crate) best: Option<f64>,
}

impl Monitor {
    pub(crate) fn new(callback: &'static str, name: impl Into<String>) -> Monitor {
        Monitor { callback, name: name.into(), direction: Direction::Auto, min_delta: 0.0, best: None }
    }

    /// The value in the last epoch.
    ///
    /// # Errors
    /// If it is not measured.
    pub(crate) fn value(&self, history: &History) -> Result<f64> {
        let logs = history.epochs.last().map(|epoch| &epoch.logs);
        logs.and_then(|logs| logs.get(&self.name)).ok_or_else(|| {
            let names = logs.map(|logs| logs.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
            let names = names.unwrap_or_default().join(", ");
            let rule = format!("`{}` is not measured; there are {names}", self.name);
            Error::outside(ErrorKind::Value, self.callback, rule)
        })
    }

    /// Whether a value is better than the best so far, which it then is.
    pub(crate) fn improves(&mut self, value: f64) -> bool {
        let better = self.is_better(value, self.best);
        if better {
            self.best = Some(value);
        }
        better
    }

    pub(crate) fn is_better(&self, value: f64, than: Option<f64>) -> bool {
        let larger = match self.direction {
            Direction::Auto => LARGER.iter().any(|part| self.name.contains(part)),
            Direction::Min => false,
            Direction::Max => true,
        };
        let delta = self.min_delta.abs();
        let better = |best| if larger { value - delta > best } else { value + delta < best };
        !value.is_nan() && than.is_none_or(better)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_larger_for_accuracies_and_smaller_for_losses() {
        let mut loss = Monitor::new("X", "val_loss");
        assert!(loss.improves(1.0) && !loss.improves(1.0) && loss.improves(0.5) && !loss.improves(f64::NAN));
        let mut accuracy = Monitor { min_delta: 0.1, ..Monitor::new("X", "val_accuracy") };
        assert!(accuracy.improves(0.5) && !accuracy.improves(0.55) && accuracy.improves(0.7));
        let mut given = Monitor { direction: Direction::Min, ..Monitor::new("X", "accuracy") };
        assert!(given.improves(0.5) && !given.improves(0.6));
    }
}
