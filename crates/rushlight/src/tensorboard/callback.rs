//! Logs of a training, written as it goes on.

use super::Writer;
use crate::callbacks::{Callback, Progressing};
use crate::training::History;
use rushlight_core::Result;
use std::path::PathBuf;

/// Logs what was measured in each epoch, and the learning rate: the runs `train` and `validation` in a directory that
/// TensorBoard shows.
///
/// ```no_run
/// # use rushlight::prelude::*;
/// # let (model, data): (Model, Dataset) = unimplemented!();
/// use rushlight::tensorboard::TensorBoard;
/// model.fit(&data, Fit::epochs(10).validation(&data).callback(TensorBoard::new("logs")))?;
/// # Ok::<(), Error>(())
/// ```
pub struct TensorBoard {
    directory: PathBuf,
    train: Option<Writer>,
    validation: Option<Writer>,
}

impl TensorBoard {
    /// Logs to this directory, which is made if need be.
    pub fn new(directory: impl Into<PathBuf>) -> TensorBoard {
        TensorBoard { directory: directory.into(), train: None, validation: None }
    }
}

impl Callback for TensorBoard {
    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        let Some(epoch) = history.epochs.last() else {
            return Ok(());
        };
        let step = epoch.number as i64;
        let mut write = |name: &str, value: f64| -> Result<()> {
            let (run, writer, measure) = match name.strip_prefix("val_") {
                Some(measure) => ("validation", &mut self.validation, measure),
                None => ("train", &mut self.train, name),
            };
            let writer = match writer {
                Some(writer) => writer,
                None => writer.insert(Writer::create(self.directory.join(run))?),
            };
            writer.scalar(&format!("epoch_{measure}"), step, value)
        };
        for (name, value) in &epoch.logs.0 {
            write(name, *value)?;
        }
        write("learning_rate", training.optimizer.learning_rate()?)?;
        for writer in [&mut self.train, &mut self.validation].into_iter().flatten() {
            writer.flush()?;
        }
        Ok(())
    }
}
