//! A callback put together from closures.

use crate::callbacks::{Callback, Progressing};
use crate::training::{History, Logs};
use rushlight_core::Result;

type OnState = Box<dyn FnMut(&Progressing) -> Result<()> + Send>;
type OnBatchEnd = Box<dyn FnMut(&Progressing, &dyn Fn() -> Result<Logs>) -> Result<()> + Send>;
type OnEpochEnd = Box<dyn FnMut(&Progressing, &History) -> Result<()> + Send>;

/// A callback put together from closures; see the [module](crate::callbacks).
#[derive(Default)]
pub struct LambdaCallback {
    train_begin: Option<OnState>,
    epoch_begin: Option<OnState>,
    batch_begin: Option<OnState>,
    batch_end: Option<OnBatchEnd>,
    epoch_end: Option<OnEpochEnd>,
    train_end: Option<OnState>,
}

impl LambdaCallback {
    /// One that does nothing yet.
    pub fn new() -> LambdaCallback {
        LambdaCallback::default()
    }

    /// Called before each training step.
    pub fn on_batch_begin(mut self, call: impl FnMut(&Progressing) -> Result<()> + Send + 'static) -> Self {
        self.batch_begin = Some(Box::new(call));
        self
    }

    /// Called after each training step, with a way to read what was measured so far.
    pub fn on_batch_end(
        mut self,
        call: impl FnMut(&Progressing, &dyn Fn() -> Result<Logs>) -> Result<()> + Send + 'static,
    ) -> Self {
        self.batch_end = Some(Box::new(call));
        self
    }

    /// Called before each epoch.
    pub fn on_epoch_begin(mut self, call: impl FnMut(&Progressing) -> Result<()> + Send + 'static) -> Self {
        self.epoch_begin = Some(Box::new(call));
        self
    }

    /// Called after each epoch.
    pub fn on_epoch_end(
        mut self,
        call: impl FnMut(&Progressing, &History) -> Result<()> + Send + 'static,
    ) -> Self {
        self.epoch_end = Some(Box::new(call));
        self
    }

    /// Called once before training.
    pub fn on_train_begin(mut self, call: impl FnMut(&Progressing) -> Result<()> + Send + 'static) -> Self {
        self.train_begin = Some(Box::new(call));
        self
    }

    /// Called once after training.
    pub fn on_train_end(mut self, call: impl FnMut(&Progressing) -> Result<()> + Send + 'static) -> Self {
        self.train_end = Some(Box::new(call));
        self
    }
}

impl Callback for LambdaCallback {
    fn on_train_begin(&mut self, training: &Progressing) -> Result<()> {
        self.train_begin.as_mut().map_or(Ok(()), |call| call(training))
    }

    fn on_epoch_begin(&mut self, training: &Progressing) -> Result<()> {
        self.epoch_begin.as_mut().map_or(Ok(()), |call| call(training))
    }

    fn on_batch_begin(&mut self, training: &Progressing) -> Result<()> {
        self.batch_begin.as_mut().map_or(Ok(()), |call| call(training))
    }

    fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        self.batch_end.as_mut().map_or(Ok(()), |call| call(training, logs))
    }

    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        self.epoch_end.as_mut().map_or(Ok(()), |call| call(training, history))
    }

    fn on_train_end(&mut self, training: &Progressing) -> Result<()> {
        self.train_end.as_mut().map_or(Ok(()), |call| call(training))
    }
}
