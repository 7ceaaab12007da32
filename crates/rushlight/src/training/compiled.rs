//! What `compile` puts together: a training step and an evaluation step over batches.

use crate::data::Batch;
use crate::layers::{Layer, mask_of, set_mask, training};
use crate::losses::{Loss, wide};
use crate::metrics::Mean;
use crate::models::Model;
use crate::training::{Compile, Forward, Logs, Step};
use rushlight_core::cpu::PlannedMemory;
use rushlight_core::trace::{Flat, Inputs, Recordings};
use rushlight_core::{Result, Structure, Tensor, Variable, eagerly, scan, stack};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// How a model is trained and judged, with the steps that have been recorded for it.
pub(crate) struct Compiled {
    pub(crate) settings: Compile,
    /// Over all examples since the last reset, as epochs report it.
    mean_loss: Mean,
    /// The same for each output, if there are several.
    output_losses: Vec<Mean>,
    output_names: Vec<String>,
    training_step: Recordings,
    training_steps: Recordings,
    evaluation_step: Recordings,
}

impl Compiled {
    #[track_caller]
    pub(crate) fn new(settings: Compile, output_names: Vec<String>) -> Compiled {
        let steps = |name| match settings.memory_budget {
            Some(bytes) => Recordings::new(name).with_memory_budget(bytes),
            None => Recordings::new(name),
        };
        let several = if settings.losses.len() > 1 { settings.losses.len() } else { 0 };
        Compiled {
            training_step: steps("training_step"),
            settings,
            mean_loss: Mean::new(),
            output_losses: (0..several).map(|_| Mean::new()).collect(),
            output_names,
            training_steps: Recordings::new("training_steps"),
            evaluation_step: Recordings::new("evaluation_step"),
        }
    }

    /// One for each output.
    pub(crate) fn losses(&self) -> &[Arc<dyn Loss>] {
        &self.settings.losses
    }

    fn output_name(&self, output: usize) -> String {
        self.output_names.get(output).cloned().unwrap_or_else(|| format!("output_{output}"))
    }

    /// Forgets what was measured.
    pub(crate) fn reset(&self) -> Result<()> {
        self.mean_loss.reset()?;
        self.output_losses.iter().try_for_each(Mean::reset)?;
        self.settings.metrics.iter().try_for_each(|judge| judge.metric.reset())
    }

    /// What was measured since the last reset; this is the only place where training waits for values.
    pub(crate) fn logs(&self, prefix: &str) -> Result<Logs> {
        let mut values = vec![(format!("{prefix}loss"), eagerly(|| self.mean_loss.result()).to_f64()?)];
        for (output, mean) in self.output_losses.iter().enumerate() {
            let name = format!("{prefix}{}_loss", self.output_name(output));
            values.push((name, eagerly(|| mean.result()).to_f64()?));
        }
        for judge in &self.settings.metrics {
            let output = match judge.is_named_after_output && self.losses().len() > 1 {
                true => format!("{}_", self.output_name(judge.output)),
                false => String::new(),
            };
            let name = format!("{prefix}{output}{}", judge.metric.name());
            let result = eagerly(|| judge.metric.result());
            if result.rank()? == 0 {
                values.push((name, result.to_f64()?));
                continue;
            }
            // One value for each class, or threshold.
            let each = eagerly(|| result.cast(rushlight_core::DType::F64).reshape([-1])).to_vec::<f64>()?;
            let numbered = each.into_iter().enumerate();
            values.extend(numbered.map(|(index, value)| (format!("{name}_{index}"), value)));
        }
        Ok(Logs(values))
    }

    /// Forward, loss, gradients, optimizer and measurements for one batch: one recorded function.
    #[track_caller]
    pub(crate) fn train(&self, model: &Model, variables: &[Variable], batch: &Batch) -> Result<()> {
        let step = self.step(model, variables, batch);
        training(true, || self.training_step.call(&arguments(batch, variables), step))
    }

    /// A step for each of several batches of the same shapes, in one call: their loop runs inside of the graph.
    #[track_caller]
    pub(crate) fn train_each(&self, model: &Model, variables: &[Variable], batches: &[Batch]) -> Result<()> {
        let (first, has_budget) = (batches.first(), self.settings.memory_budget.is_some());
        // The body of a loop is planned without a budget.
        let Some(first) = first.filter(|_| batches.len() > 1 && !has_budget) else {
            return batches.iter().try_for_each(|batch| self.train(model, variables, batch));
        };
        let rows = |of: fn(&Batch) -> &Vec<Tensor>| -> Vec<Tensor> {
            let column =
                |column: usize| stack(&batches.iter().map(|batch| &of(batch)[column]).collect::<Vec<_>>(), 0);
            (0..of(first).len()).map(column).collect()
        };
        let stacked = Batch {
            inputs: rows(|batch| &batch.inputs),
            targets: rows(|batch| &batch.targets),
            weights: rows(|batch| &batch.weights),
        };
        let steps = |mut tensors: Inputs| {
            let all = (
                tensors.owned(stacked.inputs.clone()),
                tensors.owned(stacked.targets.clone()),
                tensors.owned(stacked.weights.clone()),
            );
            type Row = (Vec<Tensor>, Vec<Tensor>, Vec<Tensor>);
            let ((), ()) = scan((), &all, |(), (inputs, targets, weights): Row| {
                let step = Step { model, variables, inputs, targets, weights, compiled: self };
                Ok(((), self.train_on(&step)?))
            })?;
            Ok(())
        };
        training(true, || self.training_steps.call(&arguments(&stacked, variables), steps))
    }

    /// The memory that a training step of such a batch works on; compiles it, runs nothing.
    #[track_caller]
    pub(crate) fn planned_memory(
        &self,
        model: &Model,
        variables: &[Variable],
        batch: &Batch,
    ) -> Result<PlannedMemory> {
        let step = self.step(model, variables, batch);
        training(true, || self.training_step.prepare(&arguments(batch, variables), step))
    }

    /// Forward, loss and measurements for one batch.
    #[track_caller]
    pub(crate) fn evaluate(&self, model: &Model, batch: &Batch) -> Result<()> {
        let evaluate = |mut tensors: Inputs| {
            let step = self.bound(model, &[], batch, &mut tensors);
            step.measure(&step.forward()?)
        };
        training(false, || self.evaluation_step.call(&arguments(batch, &[]), evaluate))
    }

    fn step<'a>(
        &'a self,
        model: &'a Model,
        variables: &'a [Variable],
        batch: &'a Batch,
    ) -> impl FnOnce(Inputs) -> Result<()> + 'a {
        move |mut tensors| self.train_on(&self.bound(model, variables, batch, &mut tensors))
    }

    /// The step on these tensors, in the place of the batch's own.
    fn bound<'a>(
        &'a self,
        model: &'a Model,
        variables: &'a [Variable],
        batch: &Batch,
        tensors: &mut Inputs,
    ) -> Step<'a> {
        let inputs = tensors.owned(batch.inputs.clone());
        let targets = tensors.owned(batch.targets.clone());
        let weights = tensors.owned(batch.weights.clone());
        Step { model, variables, inputs, targets, weights, compiled: self }
    }

    /// The gradients of the loss on a batch while training; what the forward pass assigned is taken back.
    #[track_caller]
    pub(crate) fn gradients(
        &self,
        model: &Model,
        variables: &[Variable],
        batch: &Batch,
    ) -> Result<Vec<Tensor>> {
        let (inputs, targets, weights) = (batch.inputs.clone(), batch.targets.clone(), batch.weights.clone());
        let step = Step { model, variables, inputs, targets, weights, compiled: self };
        let before: Vec<(Variable, Tensor)> =
            Layer::variables(model).into_iter().map(|variable| (variable.clone(), variable.read())).collect();
        let loss = || step.forward().map_or_else(Tensor::carry, |forward| forward.loss);
        let taken = training(true, || rushlight_core::value_and_grad(loss, variables));
        before.iter().try_for_each(|(variable, value)| variable.assign(value))?;
        Ok(taken?.1)
    }

    #[track_caller]
    fn train_on(&self, step: &Step) -> Result<()> {
        match &self.settings.train_step {
            Some(own) => own(step),
            None => step.measure(&step.minimize(|| step.forward())?),
        }
    }

    #[track_caller]
    pub(crate) fn measure(&self, step: &Step, forward: &Forward) -> Result<()> {
        let first = forward.predictions.first();
        let examples = first.map_or(Ok(1), |prediction| prediction.shape().map(|dims| dims[0]))?;
        self.mean_loss.add_mean(&forward.loss, examples)?;
        for (mean, loss) in self.output_losses.iter().zip(&forward.losses) {
            mean.add_mean(loss, examples)?;
        }
        for judge in &self.settings.metrics {
            let (Some(target), Some(prediction)) =
                (step.targets.get(judge.output), forward.predictions.get(judge.output))
            else {
                continue;
            };
            let prediction = wide_with_mask(prediction);
            let weights = if judge.is_weighted { step.weights_of(judge.output) } else { None };
            judge.metric.update_weighted(target, &prediction, weights)?;
        }
        Ok(())
    }
}

/// Predictions in at least single precision, with their mask.
#[track_caller]
fn wide_with_mask(prediction: &Tensor) -> Tensor {
    let widened = wide(prediction);
    if let Some(mask) = mask_of(prediction) {
        set_mask(&widened, &mask);
    }
    widened
}

/// The arguments by which a recorded step is found: shapes and dtypes, and which variables are trained.
fn arguments(batch: &Batch, variables: &[Variable]) -> Flat {
    let mut flat = Flat::default();
    batch.inputs.flatten(flat.argument("inputs"));
    batch.targets.flatten(flat.argument("targets"));
    batch.weights.flatten(flat.argument("weights"));
    let mut hasher = DefaultHasher::new();
    variables.iter().for_each(|variable| variable.id().hash(&mut hasher));
    flat.argument("variables").identity("set of trained variables", hasher.finish());
    flat
}
