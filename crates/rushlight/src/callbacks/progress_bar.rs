//! The progress of a training, written wherever one wants to read it.

use crate::callbacks::{Callback, Progressing};
use crate::training::{History, Logs, Output, Progress, Verbosity};
use rushlight_core::Result;
use std::io::Write;

/// Shows how far training has come, with what was measured: the bar of [`Fit::verbose`](crate::training::Fit::verbose), for
/// another place than standard output.
///
/// ```
/// use rushlight::prelude::*;
/// let mut model = Sequential::new().add(Dense::new(1)).model([1])?;
/// model.compile(Sgd::new(0.1), MeanSquaredError, ());
/// let x = Tensor::ones([8, 1], DType::F32);
/// let bar = ProgressBar::to(std::io::stderr());
/// model.fit(&Dataset::from_tensors(&x, &x)?, Fit::epochs(3).verbose(0).callback(bar))?;
/// # Ok::<(), rushlight::Error>(())
/// ```
pub struct ProgressBar {
    output: Output,
    progress: Option<Progress>,
    seen: usize,
}

impl ProgressBar {
    /// On standard output.
    pub fn new() -> ProgressBar {
        ProgressBar::to(std::io::stdout())
    }

    /// On anything that can be written to.
    pub fn to(output: impl Write + Send + 'static) -> ProgressBar {
        ProgressBar { output: Output::new(output), progress: None, seen: 0 }
    }
}

impl Default for ProgressBar {
    fn default() -> ProgressBar {
        ProgressBar::new()
    }
}

impl Callback for ProgressBar {
    fn on_epoch_begin(&mut self, training: &Progressing) -> Result<()> {
        let progress =
            Progress::new(Verbosity::Bar, "examples", training.epoch, training.epochs, training.examples);
        self.progress = Some(progress.on(self.output.clone()));
        Ok(())
    }

    fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        self.seen = training.seen;
        match self.progress.as_mut().filter(|progress| progress.is_due()) {
            Some(progress) => {
                progress.show(training.seen, &logs()?);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn on_epoch_end(&mut self, _training: &Progressing, history: &History) -> Result<()> {
        if let (Some(progress), Some(epoch)) = (self.progress.take(), history.epochs.last()) {
            progress.finish(self.seen, epoch.training_time, &epoch.logs);
        }
        Ok(())
    }
}
