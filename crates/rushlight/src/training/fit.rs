//! `compile`, `fit`, `evaluate`, `predict`, and the same for single batches.

use crate::data::{Batch, Dataset};
use crate::layers::{Inputs, Layer, training};
use crate::metrics::IntoMetrics;
use crate::models::{Model, Summary, layer_of};
use crate::optimizers::Optimizer;
use crate::training::run::{Run, evaluate};
use crate::training::{Compile, Compiled, Fit, History, IntoLosses, Logs, Mode};
use rushlight_core::cpu::PlannedMemory;
use rushlight_core::tensor::{BATCH, Dims};
use rushlight_core::trace::model::Step;
use rushlight_core::trace::{Flat, model_input};
use rushlight_core::{
    DType, Error, ErrorKind, Result, Spec, Structure, Tensor, concat, eagerly, run_functions_eagerly,
};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

impl Model {
    /// Sets how the model is to be trained and judged: optimizer, loss (one, or one for each output), metrics of the
    /// first output (an array or tuple, or `()`). [`Model::compile_with`] takes more.
    #[track_caller]
    pub fn compile(&mut self, optimizer: impl Optimizer, losses: impl IntoLosses, metrics: impl IntoMetrics) {
        self.compile_with(Compile::new(optimizer, losses).metrics(metrics));
    }

    /// As [`Model::compile`], with everything else that can be said: weights of losses, metrics of several outputs, a
    /// training step of your own.
    ///
    /// The optimizer of a model that computes in `f16` ([`DTypePolicy`](crate::layers::DTypePolicy)) is put into a
    /// [`LossScaleOptimizer`](crate::optimizers::LossScaleOptimizer), unless it is one.
    #[track_caller]
    pub fn compile_with(&mut self, mut settings: Compile) {
        if self.state().computes_in(DType::F16) {
            settings.scale_loss();
        }
        self.compiled = Some(Arc::new(Compiled::new(settings, self.output_names())));
    }

    /// What the model was compiled with.
    pub fn compile_settings(&self) -> Option<&Compile> {
        self.compiled.as_ref().map(|compiled| &compiled.settings)
    }

    /// The optimizer that the model was compiled with.
    pub fn optimizer(&self) -> Option<&Arc<dyn Optimizer>> {
        self.compile_settings().map(|settings| &settings.optimizer)
    }

    #[track_caller]
    pub(crate) fn compiled(&self) -> Result<&Arc<Compiled>> {
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
        let eager = options.mode == Mode::Eager || compiled.settings.run_eagerly;
        let work = || Run::new(self, &compiled, data, options)?.all_epochs();
        if eager { run_functions_eagerly(work) } else { work() }
    }

    /// Loss and metrics on a data set, without training.
    ///
    /// # Errors
    /// As [`Model::fit`].
    #[track_caller]
    pub fn evaluate(&self, data: &Dataset) -> Result<Logs> {
        let compiled = self.compiled()?;
        evaluate(self, compiled, data.epoch(0), "", &AtomicBool::new(false))
    }

    /// One training step; gives what has been measured since [`Model::reset_metrics`].
    ///
    /// # Errors
    /// As [`Model::fit`].
    #[track_caller]
    pub fn train_on_batch(&self, batch: &Batch) -> Result<Logs> {
        let compiled = self.compiled()?;
        self.build_for(batch)?;
        let step = || {
            compiled.train(self, &self.trainable_variables(), batch)?;
            compiled.logs("")
        };
        if compiled.settings.run_eagerly { run_functions_eagerly(step) } else { step() }
    }

    /// Loss and metrics of a batch, added to what has been measured since [`Model::reset_metrics`].
    ///
    /// # Errors
    /// As [`Model::fit`].
    #[track_caller]
    pub fn test_on_batch(&self, batch: &Batch) -> Result<Logs> {
        let compiled = self.compiled()?;
        self.build_for(batch)?;
        compiled.evaluate(self, batch)?;
        compiled.logs("")
    }

    /// The outputs for one batch of inputs, all at once.
    ///
    /// # Errors
    /// If the inputs do not fit the model.
    #[track_caller]
    pub fn predict_on_batch(&self, inputs: impl Inputs) -> Result<Vec<Tensor>> {
        let inputs: Vec<Tensor> = inputs.tensors().into_iter().cloned().collect();
        self.predict_batch(&inputs)
    }

    /// Forgets what losses and metrics have measured.
    ///
    /// # Errors
    /// If the model is not compiled.
    #[track_caller]
    pub fn reset_metrics(&self) -> Result<()> {
        self.compiled()?.reset()
    }

    /// The names of the layers that give the outputs, if they are known.
    fn output_names(&self) -> Vec<String> {
        let Some(functional) = self.functional() else { return Vec::new() };
        let graph = functional.graph();
        let named = graph.outputs().iter().enumerate().map(|(index, (slot, _))| {
            let makes = |step: &&Step| (step.slot()..step.slot() + step.outputs().len()).contains(slot);
            let layer = graph.steps().iter().find(makes).and_then(layer_of);
            layer.map_or_else(|| format!("output_{index}"), |layer| layer.state().name().to_string())
        });
        named.collect()
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
        let inputs = inputs.tensors().into_iter().cloned().collect();
        let all = Batch { inputs, ..Batch::default() };
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
    /// As [`Model::planned_training_memory`].
    #[track_caller]
    pub fn summary_with_memory(&self, batch_size: usize) -> Result<Summary> {
        let memory = self.planned_training_memory(batch_size)?;
        Ok(Summary { training_step: Some((batch_size, memory)), ..self.summary() })
    }

    /// The memory that training on batches of this size works on: planned, not run.
    ///
    /// # Errors
    /// If the model is not compiled, is not built yet so that its inputs are not known, or does not fit into the memory
    /// budget that it was compiled with.
    #[track_caller]
    pub fn planned_training_memory(&self, batch_size: usize) -> Result<PlannedMemory> {
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
            weights: Vec::new(),
        };
        compiled.planned_memory(self, &self.trainable_variables(), &batch)
    }
}
