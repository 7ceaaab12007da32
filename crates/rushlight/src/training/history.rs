//! What was measured, epoch by epoch.

use crate::files::write_atomically;
use crate::plot::LearningCurve;
use rushlight_core::{Error, ErrorKind, Result};
use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Measured values by name, in the order in which they are shown: `loss`, metrics, `val_loss`, …
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs(pub Vec<(String, f64)>);

impl Logs {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

impl fmt::Display for Logs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { "  " };
            write!(formatter, "{space}{name} {value:.4}")?;
        }
        Ok(())
    }
}

/// One finished epoch.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its number, from 0.
    pub number: usize,
    /// What was measured.
    pub logs: Logs,
    /// How long training took, without validation.
    pub training_time: Duration,
    /// How much of that was spent waiting for the data.
    pub data_time: Duration,
    /// Examples trained on.
    pub examples: usize,
}

/// What `fit` returns: all finished epochs, and whether it was stopped from outside.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub epochs: Vec<Epoch>,
    /// The stop flag was raised: the epoch that was running is left out here, but has trained the model.
    pub interrupted: bool,
}

impl History {
    /// The values of that name, one for each epoch that has it: `history.get("val_accuracy")`.
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|epoch| epoch.logs.get(name)).collect()
    }

    /// Everything that was measured, in the order in which it came.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.epochs.iter().flat_map(|epoch| &epoch.logs.0) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The last value of that name.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }

    /// The learning curves: a panel for each measure, in it a line for training and one for validation.
    ///
    /// ```
    /// # use rushlight::prelude::*;
    /// # let x = Tensor::linspace(-1.0, 1.0, 32, DType::F32).reshape([32, 1]);
    /// # let data = Dataset::from_tensors(&x, &(&x * 2.0))?;
    /// # let mut model = Sequential::new().add(Dense::new(1)).model([1])?;
    /// # model.compile(Sgd::new(0.1), MeanSquaredError, ());
    /// let history = model.fit(&data, Fit::epochs(3).validation(&data).verbose(0))?;
    /// let path = std::env::temp_dir().join("rushlight-history.png");
    /// history.plot("a line").save(&path).unwrap();
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn plot(&self, title: impl Into<String>) -> LearningCurve {
        self.names().into_iter().fold(LearningCurve::new(title), |curve, name| {
            let (measure, run) = match name.strip_prefix("val_") {
                Some(measure) => (measure, "validation"),
                None => (name, "training"),
            };
            let value = |epoch: &Epoch| epoch.logs.get(name).map(|value| (epoch.number as f64 + 1.0, value));
            curve.series(measure, run, self.epochs.iter().filter_map(value))
        })
    }

    /// A table in CSV: a row for each epoch, numbered from 1, with everything measured.
    pub fn to_csv(&self) -> String {
        let names = self.names();
        let mut text = format!("epoch,{},seconds\n", names.join(","));
        for epoch in &self.epochs {
            let _ = write!(text, "{}", epoch.number + 1);
            for name in &names {
                let _ = match epoch.logs.get(name) {
                    Some(value) => write!(text, ",{value}"),
                    None => write!(text, ","),
                };
            }
            let _ = writeln!(text, ",{:.3}", epoch.training_time.as_secs_f64());
        }
        text
    }

    /// Writes [`History::to_csv`] to a file: all of it, or nothing.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        write_atomically(path, self.to_csv().as_bytes()).map_err(|error| {
            Error::outside(ErrorKind::Io, "history", format!("{} cannot be written: {error}", path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_column_for_all_that_was_ever_measured() {
        let epoch = |number, values: &[(&str, f64)]| Epoch {
            number,
            logs: Logs(values.iter().map(|(name, value)| (name.to_string(), *value)).collect()),
            training_time: Duration::from_millis(1500),
            data_time: Duration::ZERO,
            examples: 10,
        };
        let history = History {
            epochs: vec![epoch(0, &[("loss", 2.5)]), epoch(1, &[("loss", 1.0), ("val_loss", 1.25)])],
            interrupted: false,
        };
        assert_eq!(history.to_csv(), "epoch,loss,val_loss,seconds\n1,2.5,,1.500\n2,1,1.25,1.500\n");
        assert_eq!((history.get("loss"), history.last("val_loss")), (vec![2.5, 1.0], Some(1.25)));
    }
}
