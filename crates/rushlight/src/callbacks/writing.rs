//! Writing down what happens.

use crate::callbacks::{Callback, Progressing};
use crate::training::History;
use rushlight_core::Result;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// Takes the time of each epoch, validation included, and of the whole training. Clones share the times.
///
/// ```
/// use rushlight::prelude::*;
/// let mut model = Sequential::new().add(Dense::new(1)).model([1])?;
/// model.compile(Sgd::new(0.1), MeanSquaredError, ());
/// let (x, timer) = (Tensor::ones([8, 1], DType::F32), Timer::new());
/// model.fit(&Dataset::from_tensors(&x, &x)?, Fit::epochs(3).verbose(0).callback(timer.clone()))?;
/// assert_eq!(timer.epochs().len(), 3);
/// assert!(timer.total() >= timer.epochs().iter().sum());
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Timer(Arc<Mutex<Times>>);

#[derive(Debug, Default)]
struct Times {
    training_since: Option<Instant>,
    epoch_since: Option<Instant>,
    epochs: Vec<Duration>,
    total: Duration,
}

impl Timer {
    pub fn new() -> Timer {
        Timer::default()
    }

    /// How long each finished epoch of the last training took.
    pub fn epochs(&self) -> Vec<Duration> {
        self.change(|times| times.epochs.clone())
    }

    /// How long the last training took.
    pub fn total(&self) -> Duration {
        self.change(|times| times.total)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Times) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Callback for Timer {
    fn on_train_begin(&mut self, _training: &Progressing) -> Result<()> {
        self.change(|times| *times = Times { training_since: Some(Instant::now()), ..Times::default() });
        Ok(())
    }

    fn on_epoch_begin(&mut self, _training: &Progressing) -> Result<()> {
        self.change(|times| times.epoch_since = Some(Instant::now()));
        Ok(())
    }

    fn on_epoch_end(&mut self, _training: &Progressing, _history: &History) -> Result<()> {
        self.change(|times| times.epochs.extend(times.epoch_since.map(|since| since.elapsed())));
        Ok(())
    }

    fn on_train_end(&mut self, _training: &Progressing) -> Result<()> {
        self.change(|times| {
            times.total = times.training_since.map_or(Duration::ZERO, |since| since.elapsed())
        });
        Ok(())
    }
}
