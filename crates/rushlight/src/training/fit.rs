//! `compile`, `fit`, `evaluate`, `predict`.

use crate::callbacks::{Callback, Progressing};
use crate::data::{Batch, Dataset};
use crate::layers::{Inputs, Layer, training};
use crate::metrics::IntoMetrics;
use crate::models::{Model, Summary};
use crate::optimizers::Optimizer;
use crate::training::progress::{Progress, Verbosity};
use crate::training::{Compiled, Epoch, History, IntoLosses, Logs};
use rushlight_core::tensor::{BATCH, Dims};
use rushlight_core::trace::{Flat, model_input};
use rushlight_core::{
    Error, ErrorKind, Result, Spec, Structure, Tensor, concat, eagerly, run_functions_eagerly,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// How training steps are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Recorded once, compiled and run as one graph.
    #[default]
    Graph,
    /// Op by op, as the Rust code goes: for debugging.
    Eager,
}

/// What `fit` is asked to do.
///
/// ```
/// use rushlight::prelude::*;
/// let x = Tensor::linspace(-1.0, 1.0, 64, DType::F32).reshape([64, 1]);
/// let data = Dataset::from_tensors(&x, &(&x * 3.0 + 1.0))?.shuffle(0).batch(16);
/// let mut model = Sequential::new().add(Dense::new(1)).model([1])?;
/// model.compile(Sgd::new(0.2), MeanSquaredError, ());
/// let history = model.fit(&data, Fit::epochs(40).verbose(0))?;
/// assert!(history.last("loss").unwrap() < 1e-3);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub struct Fit {
    epochs: usize,
    batch_size: Option<usize>,
    validation: Option<Dataset>,
    callbacks: Vec<Box<dyn Callback>>,
    mode: Mode,
    verbose: Option<u8>,
    unit: &'static str,
    stop: Arc<AtomicBool>,
}

impl Fit {
    /// Training for this many passes over the data.
    pub fn epochs(epochs: usize) -> Fit {
        Fit {
            epochs,
            batch_size: None,
            validation: None,
            callbacks: Vec::new(),
            mode: Mode::Graph,
            verbose: None,
            unit: "examples",
            stop: Arc::default(),
        }
    }

    /// Batches of this size, whatever the data set was made for.
    pub fn batch_size(mut self, size: usize) -> Fit {
        self.batch_size = Some(size);
        self
    }

    /// Data to evaluate on after each epoch; what is measured gets names with `val_`.
    pub fn validation(mut self, data: &Dataset) -> Fit {
        self.validation = Some(data.clone());
        self
    }

    /// Something to do while training; callbacks are called in the order in which they were added.
    pub fn callback(mut self, callback: impl Callback + 'static) -> Fit {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Graph (the default) or eager.
    pub fn mode(mut self, mode: Mode) -> Fit {
        self.mode = mode;
        self
    }

    /// 0: print nothing; 1: a progress bar; 2: a line for each epoch. By default 1 on a terminal, else 2.
    pub fn verbose(mut self, verbose: u8) -> Fit {
        self.verbose = Some(verbose);
        self
    }

    /// What progress counts, in the plural: "images", "sentences"; "examples" otherwise.
    pub fn unit(mut self, unit: &'static str) -> Fit {
        self.unit = unit;
        self
    }

    /// Raising this flag, from a signal handler for instance, ends training after the batch that is running.
    pub fn stop_flag(mut self, stop: Arc<AtomicBool>) -> Fit {
        self.stop = stop;
        self
    }
}

impl Model {
    /// Sets how the model is to be trained and judged: optimizer, loss (one, or one for each output), metrics of the
    /// first output (an array or tuple, or `()`).
    #[track_caller]
    pub fn compile(&mut self, optimizer: impl Optimizer, losses: impl IntoLosses, metrics: impl IntoMetrics) {
        let compiled = Compiled::new(Arc::new(optimizer), losses.into_losses(), metrics.into_metrics());
        self.compiled = Some(Arc::new(compiled));
    }

    #[track_caller]
    fn compiled(&self) -> Result<&Arc<Compiled>> {
        self.compiled.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Value,
                "fit",
                "the model must be compiled first: model.compile(optimizer, loss, metrics)",
            )
        })
    }

    /// Trains the model.
    ///
    /// # Errors
    /// If the model is not compiled, if the data cannot be read or does not fit the model, if a callback fails.
    #[track_caller]
    pub fn fit(&self, data: &Dataset, options: Fit) -> Result<History> {
        let compiled = self.compiled()?.clone();
        let Fit { epochs, batch_size, validation, mut callbacks, mode, verbose, unit, stop } = options;
        let data = batch_size.map_or_else(|| data.clone(), |size| data.clone().batch(size));
        let validation = validation.map(|data| match batch_size {
            Some(size) if !data.has_batch_size() => data.batch(size),
            _ => data,
        });
        let mut run = Run {
            model: self,
            compiled: &compiled,
            stop,
            verbosity: Verbosity::of(verbose),
            unit,
            epochs,
            history: History::default(),
            step: 0,
        };
        let mut work = || run.all_epochs(&data, validation.as_ref(), &mut callbacks);
        match mode {
            Mode::Graph => work()?,
            Mode::Eager => run_functions_eagerly(work)?,
        }
        Ok(run.history)
    }

    /// Loss and metrics on a data set, without training.
    ///
    /// # Errors
    /// As [`Model::fit`].
    #[track_caller]
    pub fn evaluate(&self, data: &Dataset) -> Result<Logs> {
        let compiled = self.compiled()?;
        evaluate(self, compiled, data, "", &AtomicBool::new(false))
    }

    /// The output for these inputs (a tensor, or one for each input of the model), computed in batches of 64.
    ///
    /// # Errors
    /// If the inputs do not fit the model, or if it has several outputs ([`Model::predict_many`]).
    #[track_caller]
    pub fn predict(&self, inputs: impl Inputs) -> Result<Tensor> {
        let mut outputs = self.predict_many(inputs)?;
        match outputs.len() {
            1 => Ok(outputs.remove(0)),
            count => {
                let rule = format!("the model has {count} outputs: use predict_many");
                Err(Error::new(ErrorKind::Value, "predict", rule))
            }
        }
    }

    /// The outputs of a model that may have several.
    ///
    /// # Errors
    /// If the inputs do not fit the model.
    #[track_caller]
    pub fn predict_many(&self, inputs: impl Inputs) -> Result<Vec<Tensor>> {
        const ROWS: usize = 64;
        let all = Batch { inputs: inputs.tensors().into_iter().cloned().collect(), targets: Vec::new() };
        let count = all.size()?;
        let mut parts: Vec<Vec<Tensor>> = Vec::new();
        for start in (0..count).step_by(ROWS).chain((count == 0).then_some(0)) {
            let stop = count.min(start + ROWS);
            let rows: Vec<Tensor> = all.inputs.iter().map(|input| input.slice_axis(0, start, stop)).collect();
            for (index, output) in self.predict_batch(&rows)?.into_iter().enumerate() {
                if parts.len() <= index {
                    parts.push(Vec::new());
                }
                parts[index].push(output);
            }
        }
        parts.iter().map(|parts| concat(&parts.iter().collect::<Vec<_>>(), 0).check().cloned()).collect()
    }

    /// The outputs for one batch, by a recorded function.
    #[track_caller]
    fn predict_batch(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut arguments = Flat::default();
        let inputs = inputs.to_vec();
        inputs.flatten(arguments.argument("inputs"));
        training(false, || {
            self.prediction.call(&arguments, |mut symbols| Ok(self.call_many(symbols.owned(inputs.clone()))))
        })
    }

    /// Builds a model that waits for its first input, from what a batch looks like; computes nothing.
    #[track_caller]
    pub(crate) fn build_for(&self, batch: &Batch) -> Result<()> {
        // A functional model was built when its layers were called on its inputs.
        if self.functional().is_some() {
            return Ok(());
        }
        if self.state().is_built() && !self.state().inner_layers().iter().any(|layer| !layer.is_built()) {
            return Ok(());
        }
        let inputs = batch.inputs.iter().map(|input| {
            let spec = input.spec()?;
            let dims: Dims = std::iter::once(BATCH).chain(spec.dims.iter().skip(1).copied()).collect();
            Ok(model_input("input", Spec { dims, dtype: spec.dtype }))
        });
        let inputs = inputs.collect::<Result<Vec<Tensor>>>()?;
        for output in eagerly(|| self.call_many(&inputs)) {
            output.check()?;
        }
        Ok(())
    }

    /// [`Model::summary`] with the memory that a training step on a batch of this size will take: planned, not run.
    ///
    /// # Errors
    /// As [`Model::planned_training_bytes`].
    #[track_caller]
    pub fn summary_with_memory(&self, batch_size: usize) -> Result<Summary> {
        let bytes = self.planned_training_bytes(batch_size)?;
        Ok(Summary { training_step: Some((batch_size, bytes)), ..self.summary() })
    }

    /// The bytes that a training step on a batch of this size needs besides variables and data: planned, not run.
    ///
    /// # Errors
    /// If the model is not compiled, or is not built yet so that its inputs are not known.
    #[track_caller]
    pub fn planned_training_bytes(&self, batch_size: usize) -> Result<usize> {
        let compiled = self.compiled()?;
        let Some(functional) = self.functional() else {
            let rule = "the model's inputs must be known: make it with Model::new or Sequential::model";
            return Err(Error::new(ErrorKind::Value, "summary", rule));
        };
        let zeros = |spec: &Spec| {
            let spec = rushlight_core::trace::model::with_batch(spec, batch_size);
            Tensor::zeros(&spec.dims, spec.dtype)
        };
        let graph = functional.graph();
        let batch = Batch {
            inputs: graph.inputs().iter().map(|(_, spec)| zeros(spec)).collect(),
            targets: graph
                .outputs()
                .iter()
                .zip(compiled.losses())
                .map(|((_, spec), loss)| zeros(&loss.target_spec(spec)))
                .collect(),
        };
        compiled.planned_bytes(self, &self.trainable_variables(), &batch)
    }
}

/// One call of `fit`.
struct Run<'a> {
    model: &'a Model,
    compiled: &'a Compiled,
    stop: Arc<AtomicBool>,
    verbosity: Verbosity,
    unit: &'static str,
    epochs: usize,
    history: History,
    step: usize,
}

impl Run<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn progressing<'a>(&'a self, epoch: usize, stop: &'a AtomicBool) -> Progressing<'a> {
        Progressing::new(self.model, &*self.compiled.optimizer, epoch, self.step, stop)
    }

    #[track_caller]
    fn all_epochs(
        &mut self,
        data: &Dataset,
        validation: Option<&Dataset>,
        callbacks: &mut [Box<dyn Callback>],
    ) -> Result<()> {
        // Raised by callbacks: training ends as if all epochs were done.
        let enough = AtomicBool::new(false);
        for callback in callbacks.iter_mut() {
            callback.on_train_begin(&self.progressing(0, &enough))?;
        }
        for epoch in 0..self.epochs {
            if !self.epoch(epoch, data, validation, callbacks, &enough)? {
                self.history.interrupted = true;
                break;
            }
            if enough.load(Ordering::Relaxed) {
                break;
            }
        }
        let last = self.history.epochs.len().saturating_sub(1);
        for callback in callbacks.iter_mut() {
            callback.on_train_end(&self.progressing(last, &enough))?;
        }
        Ok(())
    }

    /// Trains one epoch; false if it was interrupted.
    #[track_caller]
    fn epoch(
        &mut self,
        epoch: usize,
        data: &Dataset,
        validation: Option<&Dataset>,
        callbacks: &mut [Box<dyn Callback>],
        enough: &AtomicBool,
    ) -> Result<bool> {
        for callback in callbacks.iter_mut() {
            callback.on_epoch_begin(&self.progressing(epoch, enough))?;
        }
        self.compiled.reset()?;
        let mut progress = Progress::new(self.verbosity, self.unit, epoch, self.epochs, data.len());
        let started = Instant::now();
        let mut seen = 0;
        let mut variables = Vec::new();
        for batch in data.epoch(epoch as u64) {
            if self.is_stopped() {
                progress.abandon();
                return Ok(false);
            }
            let batch = batch?;
            if variables.is_empty() {
                self.model.build_for(&batch)?;
                variables = self.model.trainable_variables();
            }
            self.compiled.train(self.model, &variables, &batch)?;
            seen += batch.size()?;
            self.step += 1;
            if progress.is_due() {
                progress.show(seen, &self.compiled.logs("")?);
            }
            for callback in callbacks.iter_mut() {
                callback.on_batch_end(&self.progressing(epoch, enough), &|| self.compiled.logs(""))?;
            }
        }
        if seen == 0 {
            let rule = "the data set must have at least one batch";
            return Err(Error::new(ErrorKind::Value, "fit", rule));
        }
        let training_time = started.elapsed();
        let mut logs = self.compiled.logs("")?;
        if let Some(validation) = validation {
            progress.validating(&logs);
            logs.0.extend(evaluate(self.model, self.compiled, validation, "val_", &self.stop)?.0);
        }
        if self.is_stopped() {
            progress.abandon();
            return Ok(false);
        }
        progress.finish(seen, training_time, &logs);
        self.history.epochs.push(Epoch { number: epoch, logs, training_time, examples: seen });
        for callback in callbacks.iter_mut() {
            callback.on_epoch_end(&self.progressing(epoch, enough), &self.history)?;
        }
        Ok(true)
    }
}

#[track_caller]
fn evaluate(
    model: &Model,
    compiled: &Compiled,
    data: &Dataset,
    prefix: &str,
    stop: &AtomicBool,
) -> Result<Logs> {
    compiled.reset()?;
    for batch in data.epoch(0) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let batch = batch?;
        model.build_for(&batch)?;
        compiled.evaluate(model, &batch)?;
    }
    compiled.logs(prefix)
}
