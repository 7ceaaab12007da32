//! Logs of a training, written as it goes on.

use super::weights::weight_image;
use super::{HParams, SessionStatus, Writer, write_profile};
use crate::callbacks::{Callback, Progressing};
use crate::data::Batch;
use crate::layers::Layer;
use crate::models::Model;
use crate::training::{History, Logs};
use rushlight_core::profile;
use rushlight_core::{ErrorKind, Result, Variable, eagerly};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

/// Logs a training for TensorBoard: the runs `train` and `validation` below a directory, by Keras's tags.
///
/// Always: what was measured in each epoch (`epoch_loss`, …), and the learning rate; for validation also over the steps
/// made (`evaluation_loss_vs_iterations`). The model's graph of layers (tag `keras`) and the graphs of the training step,
/// with the time and memory that each op took in the first step, unless [`TensorBoard::write_graph`] says otherwise. More
/// on request. Scalars after each batch cost about 0.15 % of a training step of the small net, a profiled step takes about
/// 2 % longer (example `tensorboard_cost`).
///
/// ```no_run
/// # use rushlight::prelude::*;
/// # let (model, data): (Model, Dataset) = unimplemented!();
/// use rushlight::tensorboard::{HParams, TensorBoard, UpdateFreq};
/// let log = TensorBoard::new("logs")
///     .update_freq(UpdateFreq::Batches(10))
///     .histogram_freq(1)
///     .write_images(true)
///     .profile_batch(5..=8)
///     .hparams(HParams::new().with("learning_rate", 0.1));
/// model.fit(&data, Fit::epochs(10).validation(&data).callback(log))?;
/// # Ok::<(), Error>(())
/// ```
pub struct TensorBoard {
    directory: PathBuf,
    update_freq: UpdateFreq,
    histogram_freq: usize,
    write_images: bool,
    write_grads: bool,
    write_graph: bool,
    write_steps_per_second: bool,
    profile_batch: Option<RangeInclusive<usize>>,
    hparams: Option<HParams>,
    embeddings_freq: usize,
    embeddings_metadata: HashMap<String, Vec<String>>,
    progress: Progress,
}

/// How often measured values are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateFreq {
    /// After each epoch.
    #[default]
    Epoch,
    /// Also after each batch (`batch_loss`, …).
    Batch,
    /// Also after each so many batches.
    Batches(usize),
}

/// Where the training has come to.
#[derive(Default)]
struct Progress {
    /// Writers of the runs, once they are needed.
    train: Option<Writer>,
    validation: Option<Writer>,
    /// When the batch that is running began.
    batch_began: Option<Instant>,
    epoch_began: Option<(Instant, usize)>,
    /// Of the values that were logged last: when, and after how many batches.
    logged: Option<(Instant, usize)>,
    /// The batch that was trained on last, if gradients are asked for.
    batch: Option<Batch>,
    is_profiling: bool,
    /// How many batches the last call trained on, and which of them was the last.
    batches: usize,
    last_batch: usize,
    is_described: bool,
    /// Whether the graphs of the training step have been logged.
    is_drawn: bool,
    /// The session of the hyper-parameters has begun and not ended.
    is_open: bool,
}

impl TensorBoard {
    /// Logs to this directory, which is made if need be.
    pub fn new(directory: impl Into<PathBuf>) -> TensorBoard {
        TensorBoard {
            directory: directory.into(),
            update_freq: UpdateFreq::Epoch,
            histogram_freq: 0,
            write_images: false,
            write_grads: false,
            write_graph: true,
            write_steps_per_second: false,
            profile_batch: None,
            hparams: None,
            embeddings_freq: 0,
            embeddings_metadata: HashMap::new(),
            progress: Progress { batches: 1, ..Progress::default() },
        }
    }

    /// How often to log what is measured: after each epoch if nothing is said.
    pub fn update_freq(mut self, frequency: UpdateFreq) -> TensorBoard {
        self.update_freq = frequency;
        self
    }

    /// Histograms of all weights after each so many epochs; 0, the default, means never.
    pub fn histogram_freq(mut self, epochs: usize) -> TensorBoard {
        self.histogram_freq = epochs;
        self
    }

    /// Whether weights are also shown as images, as often as their histograms; not by default.
    pub fn write_images(mut self, write: bool) -> TensorBoard {
        self.write_images = write;
        self
    }

    /// Whether histograms of the gradients of the loss are shown too, as often as those of the weights; not by default.
    ///
    /// They are taken once more, eagerly, on the last batch of the epoch; random numbers drawn for it are used up.
    pub fn write_grads(mut self, write: bool) -> TensorBoard {
        self.write_grads = write;
        self
    }

    /// Whether to log the graphs of the model and of the training step; by default, yes.
    pub fn write_graph(mut self, write: bool) -> TensorBoard {
        self.write_graph = write;
        self
    }

    /// Whether to log how many batches are trained a second, as often as values; not by default.
    pub fn write_steps_per_second(mut self, write: bool) -> TensorBoard {
        self.write_steps_per_second = write;
        self
    }

    /// Profiles these batches, counted from 1 over all epochs, for the tab Profile, and logs the compiled graph with the
    /// times of the last of them (tag `batch_8/compiled`). Batches that one call trains on are profiled together.
    pub fn profile_batch(mut self, batches: RangeInclusive<usize>) -> TensorBoard {
        self.profile_batch = Some(batches);
        self
    }

    /// Logs these hyper-parameters and how the training ended, for the tab HParams.
    pub fn hparams(mut self, hparams: HParams) -> TensorBoard {
        self.hparams = Some(hparams);
        self
    }

    /// Shows the weights of `Embedding` layers in the tab Projector, as they are after each so many epochs; 0, the default,
    /// means never. What earlier epochs showed is replaced.
    pub fn embeddings_freq(mut self, epochs: usize) -> TensorBoard {
        self.embeddings_freq = epochs;
        self
    }

    /// Labels for the points of the `Embedding` layer of that name, one for each row of its weights.
    pub fn embeddings_metadata<T: Into<String>>(
        mut self,
        layer: impl Into<String>,
        labels: impl IntoIterator<Item = T>,
    ) -> TensorBoard {
        self.embeddings_metadata.insert(layer.into(), labels.into_iter().map(Into::into).collect());
        self
    }

    fn train(&mut self) -> Result<&Writer> {
        opened(&mut self.progress.train, || self.directory.join("train"))
    }

    fn validation(&mut self) -> Result<&Writer> {
        opened(&mut self.progress.validation, || self.directory.join("validation"))
    }

    /// Whether one of these batches, counted from 1, was asked for.
    fn asks_for(&self, first: usize, last: usize) -> bool {
        self.profile_batch.as_ref().is_some_and(|asked| *asked.start() <= last && first <= *asked.end())
    }

    /// Whether a call that begins with the batch of this number is to be profiled: it takes as many as the last one did.
    fn wants(&self, batch: usize) -> bool {
        let is_first = batch == 1 && self.write_graph;
        is_first || self.asks_for(batch, batch + self.progress.batches - 1)
    }

    /// Begins profiling, if it is wanted, before the call that begins with the batch of this number.
    fn before_batch(&mut self, batch: usize) {
        if self.wants(batch) && !self.progress.is_profiling {
            profile::start();
            self.progress.is_profiling = true;
        }
        self.progress.batch_began = Some(Instant::now());
    }

    fn after_batch(&mut self, batch: usize) -> Result<()> {
        self.progress.batches = batch.saturating_sub(self.progress.last_batch).max(1);
        self.progress.last_batch = batch;
        if !self.progress.is_profiling {
            return Ok(());
        }
        if let Some(began) = self.progress.batch_began {
            profile::step_since("train", batch as u64, began);
        }
        if !self.wants(batch + 1) { self.write_profiled(batch) } else { Ok(()) }
    }

    /// Ends profiling after the batch of this number and writes what was found.
    fn write_profiled(&mut self, batch: usize) -> Result<()> {
        self.progress.is_profiling = false;
        let collected = profile::stop();
        let is_step =
            |call: &profile::GraphRun| ["training_step", "training_steps"].contains(&&*call.function);
        let call = collected.graphs.iter().rposition(is_step);
        let is_asked = self.asks_for(batch + 1 - self.progress.batches.min(batch), batch);
        let graph = self.write_graph;
        // In eager mode there is no graph.
        if let Some(call) = call.filter(|_| graph) {
            let is_first = !std::mem::replace(&mut self.progress.is_drawn, true);
            let train = self.train()?;
            if is_first {
                train.function("training_step", batch as i64, &collected, call)?;
            }
            if is_asked {
                train.compiled_function(&format!("batch_{batch}"), batch as i64, &collected, call)?;
            }
        }
        if is_asked {
            write_profile(self.directory.join("train"), &collected)?;
        }
        Ok(())
    }

    /// Once there is something to describe: the model's layers, as graph and as table.
    fn describe(&mut self, training: &Progressing) -> Result<()> {
        if !self.write_graph || std::mem::replace(&mut self.progress.is_described, true) {
            return Ok(());
        }
        let summary = training.model.summary().to_string();
        let train = self.train()?;
        train.model("keras", 0, training.model)?;
        train.text("model", 0, &format!("```\n{}\n```", summary.trim_end()))
    }

    fn log_batch(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        let is_due = match self.update_freq {
            UpdateFreq::Epoch => false,
            UpdateFreq::Batch => true,
            UpdateFreq::Batches(count) => training.step.is_multiple_of(count.max(1)),
        };
        if !is_due {
            return Ok(());
        }
        let step = training.step as i64;
        let now = Instant::now();
        let rate = self.progress.logged.filter(|_| self.write_steps_per_second).map(|(then, batches)| {
            (training.step - batches) as f64 / now.duration_since(then).as_secs_f64().max(1e-9)
        });
        self.progress.logged = Some((now, training.step));
        let learning_rate = training.optimizer.learning_rate()?;
        let train = self.train()?;
        for (name, value) in logs()?.0 {
            train.scalar(&format!("batch_{name}"), step, value)?;
        }
        train.scalar("batch_learning_rate", step, learning_rate)?;
        rate.map_or(Ok(()), |rate| train.scalar("batch_steps_per_second", step, rate))
    }

    fn log_epoch(&mut self, training: &Progressing, logs: &Logs) -> Result<()> {
        let step = training.epoch as i64;
        for (name, value) in &logs.0 {
            match name.strip_prefix("val_") {
                None => self.train()?.scalar(&format!("epoch_{name}"), step, *value)?,
                Some(name) => {
                    let validation = self.validation()?;
                    validation.scalar(&format!("epoch_{name}"), step, *value)?;
                    let tag = format!("evaluation_{name}_vs_iterations");
                    validation.scalar(&tag, training.step as i64, *value)?;
                }
            }
        }
        let learning_rate = training.optimizer.learning_rate()?;
        self.train()?.scalar("epoch_learning_rate", step, learning_rate)?;
        if let Some((began, batches)) = self.progress.epoch_began.filter(|_| self.write_steps_per_second) {
            let rate = (training.step - batches) as f64 / began.elapsed().as_secs_f64().max(1e-9);
            self.train()?.scalar("epoch_steps_per_second", step, rate)?;
        }
        Ok(())
    }

    fn log_weights(&mut self, epoch: usize, variables: &[Variable]) -> Result<()> {
        let images = self.write_images;
        let train = self.train()?;
        for variable in variables.iter().filter(|variable| variable.spec().count() > 0) {
            let (name, value) = (variable.name(), eagerly(|| variable.read()));
            train.histogram(&format!("{name}/histogram"), epoch as i64, &value)?;
            if let Some((image, columns)) = weight_image(&value).filter(|_| images) {
                train.image_grid(&format!("{name}/image"), epoch as i64, &image, columns)?;
            }
        }
        Ok(())
    }

    fn log_gradients(&mut self, training: &Progressing) -> Result<()> {
        let (Some(batch), Some(compiled)) = (self.progress.batch.take(), &training.model.compiled) else {
            return Ok(());
        };
        let variables = training.model.trainable_variables();
        let gradients = compiled.gradients(training.model, &variables, &batch)?;
        let train = self.train()?;
        for (variable, gradient) in variables.iter().zip(&gradients) {
            train.histogram(&format!("{}/gradient", variable.name()), training.epoch as i64, gradient)?;
        }
        Ok(())
    }

    fn log_embeddings(&mut self, model: &Model) -> Result<()> {
        let mut layers = vec![model.state().clone()];
        while let Some(layer) = layers.pop() {
            layers.extend(layer.inner_layers());
            if layer.class() != "Embedding" {
                continue;
            }
            let labels = self.embeddings_metadata.get(&*layer.name()).cloned().unwrap_or_default();
            let train = self.train()?;
            for weight in layer.weights() {
                train.embedding(weight.name(), &eagerly(|| weight.read()), &labels)?;
            }
        }
        Ok(())
    }

    fn end_session(&mut self, status: SessionStatus) -> Result<()> {
        if std::mem::replace(&mut self.progress.is_open, false) {
            self.train()?.session_end(status)
        } else {
            Ok(())
        }
    }
}

fn opened(writer: &mut Option<Writer>, path: impl FnOnce() -> PathBuf) -> Result<&Writer> {
    Ok(match writer {
        Some(writer) => writer,
        None => writer.insert(Writer::create(path())?),
    })
}

impl Callback for TensorBoard {
    fn on_train_begin(&mut self, _training: &Progressing) -> Result<()> {
        if self.profile_batch.as_ref().is_some_and(|batches| *batches.start() == 0 || batches.is_empty()) {
            let rule = "profile_batch counts batches from 1, the first one first";
            return Err(rushlight_core::Error::outside(ErrorKind::Value, "TensorBoard", rule));
        }
        if let Some(hparams) = self.hparams.clone() {
            self.train()?.hparams(&hparams)?;
            self.progress.is_open = true;
        }
        Ok(())
    }

    fn on_epoch_begin(&mut self, training: &Progressing) -> Result<()> {
        let now = Instant::now();
        self.progress.epoch_began = Some((now, training.step));
        self.progress.logged = Some((now, training.step));
        self.before_batch(training.step + 1);
        Ok(())
    }

    fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        self.after_batch(training.step)?;
        if self.write_grads {
            self.progress.batch = training.batch.cloned();
        }
        self.describe(training)?;
        self.log_batch(training, logs)?;
        self.before_batch(training.step + 1);
        Ok(())
    }

    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        let Some(epoch) = history.epochs.last() else {
            return Ok(());
        };
        self.log_epoch(training, &epoch.logs)?;
        if self.histogram_freq > 0 && training.epoch.is_multiple_of(self.histogram_freq) {
            self.log_weights(training.epoch, &training.model.variables())?;
            self.log_gradients(training)?;
        }
        if self.embeddings_freq > 0 && (training.epoch + 1).is_multiple_of(self.embeddings_freq) {
            self.log_embeddings(training.model)?;
        }
        let Progress { train, validation, .. } = &self.progress;
        [train, validation].into_iter().flatten().try_for_each(Writer::flush)
    }

    fn on_train_end(&mut self, training: &Progressing) -> Result<()> {
        // Training ended before the last of the batches that were to be profiled.
        if self.progress.is_profiling {
            self.write_profiled(training.step)?;
        }
        self.end_session(SessionStatus::Success)?;
        let Progress { train, validation, .. } = &self.progress;
        [train, validation].into_iter().flatten().try_for_each(Writer::flush)
    }
}

impl Drop for TensorBoard {
    fn drop(&mut self) {
        if std::mem::replace(&mut self.progress.is_profiling, false) {
            profile::stop();
        }
        // Only after an error is the session still open; that error is the one to tell.
        let _ = self.end_session(SessionStatus::Failure);
    }
}
