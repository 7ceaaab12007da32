//! Things to do while training: save, stop, change the learning rate, write down.
//!
//! A callback of your own implements [`Callback`]; a small one is put together from closures:
//!
//! ```
//! use rushlight::prelude::*;
//! let mut model = Sequential::new().add(Dense::new(1)).model([1])?;
//! model.compile(Sgd::new(0.1), MeanSquaredError, ());
//! let x = Tensor::linspace(-1.0, 1.0, 32, DType::F32).reshape([32, 1]);
//! let good_enough = LambdaCallback::new().on_epoch_end(|training, history| {
//!     if history.last("loss").is_some_and(|loss| loss < 0.01) {
//!         training.stop_training();
//!     }
//!     Ok(())
//! });
//! let history = model.fit(&Dataset::from_tensors(&x, &(&x * 2.0))?, Fit::epochs(500).verbose(0).callback(good_enough))?;
//! assert!(history.epochs.len() < 500);
//! # Ok::<(), rushlight::Error>(())
//! ```

mod backup;
mod checkpoint;
mod lambda;
mod memory;
mod monitor;
mod nan;
mod progress_bar;
mod rates;
mod stopping;
mod writing;

pub use backup::{Backup, BackupAndRestore};
pub use checkpoint::ModelCheckpoint;
pub use lambda::LambdaCallback;
pub use memory::CallbackMemory;
pub use monitor::Direction;
pub use nan::TerminateOnNaN;
pub use progress_bar::ProgressBar;
pub use rates::{LearningRateScheduler, ReduceLROnPlateau};
pub use stopping::EarlyStopping;
pub use writing::{CsvLogger, Timer};

pub(crate) use nan::has_not_finite;

use crate::data::Batch;
use crate::models::Model;
use crate::optimizers::Optimizer;
use crate::training::{History, Logs};
use rushlight_core::Result;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

    /// Before each training step.
    fn on_batch_begin(&mut self, training: &Progressing) -> Result<()> {
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

    /// What this callback must know to go on later as if nothing had happened; nothing by default.
    fn memory(&self) -> Option<CallbackMemory> {
        None
    }

    /// Takes up what [`Callback::memory`] gave when the backup was written that training goes on from. Called after
    /// `on_train_begin`.
    fn remember(&mut self, training: &Progressing, memory: &CallbackMemory) -> Result<()> {
        let _ = (training, memory);
        Ok(())
    }

    /// After `on_epoch_end` of all callbacks, with what they remember: for callbacks that write backups.
    fn on_backup(&mut self, training: &Progressing, memories: &[CallbackMemory]) -> Result<()> {
        let _ = (training, memories);
        Ok(())
    }

    /// After `on_train_begin` of all callbacks: what they remembered, for callbacks that read backups.
    fn on_restore(&mut self, training: &Progressing) -> Result<Vec<CallbackMemory>> {
        let _ = training;
        Ok(Vec::new())
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
    /// The epoch at which training ends, if nothing ends it before.
    pub epochs: usize,
    /// Examples in an epoch.
    pub examples: usize,
    /// Examples that were trained on in this epoch so far.
    pub seen: usize,
    /// Training steps made since `fit` was called.
    pub step: usize,
    /// The batch of the training step, before and after it.
    pub batch: Option<&'a Batch>,
    pub(crate) signals: &'a Signals,
}

/// What callbacks tell `fit`.
#[derive(Default)]
pub(crate) struct Signals {
    enough: AtomicBool,
    now: AtomicBool,
    /// One more than the epoch to begin with.
    start: AtomicUsize,
}

impl Signals {
    pub(crate) fn is_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    pub(crate) fn is_now(&self) -> bool {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn start(&self) -> Option<usize> {
        self.start.load(Ordering::Relaxed).checked_sub(1)
    }
}

impl<'a> Progressing<'a> {
    /// Ends training after this epoch.
    pub fn stop_training(&self) {
        self.signals.enough.store(true, Ordering::Relaxed);
    }

    /// Whether training ends after this epoch.
    pub fn is_stopping(&self) -> bool {
        self.signals.is_enough()
    }

    /// Ends training after this batch; the epoch counts as finished.
    pub fn stop_training_now(&self) {
        self.stop_training();
        self.signals.now.store(true, Ordering::Relaxed);
    }

    /// Begins with this epoch, counted from 0; to be called in [`Callback::on_train_begin`].
    pub fn begin_with_epoch(&self, epoch: usize) {
        self.signals.start.store(epoch + 1, Ordering::Relaxed);
    }
}
