//! What `compile` puts together: a training step and an evaluation step over batches.

use crate::data::Batch;
use crate::layers::{Layer, collect_losses, training};
use crate::losses::Loss;
use crate::metrics::{Mean, Metric};
use crate::models::Model;
use crate::optimizers::Optimizer;
use crate::training::Logs;
use rushlight_core::trace::{Flat, Inputs, Recordings};
use rushlight_core::{Error, ErrorKind, Result, Structure, Tensor, Variable, eagerly, scope, value_and_grad};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The losses that a model is compiled with: one, or an array or a tuple with one for each output.
pub trait IntoLosses {
    fn into_losses(self) -> Vec<Arc<dyn Loss>>;
}

impl<L: Loss> IntoLosses for L {
    fn into_losses(self) -> Vec<Arc<dyn Loss>> {
        vec![Arc::new(self)]
    }
}

impl<L: Loss, const N: usize> IntoLosses for [L; N] {
    fn into_losses(self) -> Vec<Arc<dyn Loss>> {
        self.into_iter().map(|loss| Arc::new(loss) as Arc<dyn Loss>).collect()
    }
}

macro_rules! loss_tuples {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: Loss),+> IntoLosses for ($($name,)+) {
            fn into_losses(self) -> Vec<Arc<dyn Loss>> {
                vec![$(Arc::new(self.$index)),+]
            }
        }
    )*};
}

loss_tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
}

/// How a model is trained and judged, with the steps that have been recorded for it.
pub(crate) struct Compiled {
    pub(crate) optimizer: Arc<dyn Optimizer>,
    losses: Vec<Arc<dyn Loss>>,
    metrics: Vec<Arc<dyn Metric>>,
    /// Over all examples since the last reset, as epochs report it.
    mean_loss: Mean,
    training_step: Recordings,
    evaluation_step: Recordings,
}

impl Compiled {
    #[track_caller]
    pub(crate) fn new(
        optimizer: Arc<dyn Optimizer>,
        losses: Vec<Arc<dyn Loss>>,
        metrics: Vec<Arc<dyn Metric>>,
    ) -> Compiled {
        Compiled {
            optimizer,
            losses,
            metrics,
            mean_loss: Mean::new(),
            training_step: Recordings::new("training_step"),
            evaluation_step: Recordings::new("evaluation_step"),
        }
    }

    /// One for each output.
    pub(crate) fn losses(&self) -> &[Arc<dyn Loss>] {
        &self.losses
    }

    /// Forgets what was measured.
    pub(crate) fn reset(&self) -> Result<()> {
        self.mean_loss.reset()?;
        self.metrics.iter().try_for_each(|metric| metric.reset())
    }

    /// What was measured since the last reset; this is the only place where training waits for values.
    pub(crate) fn logs(&self, prefix: &str) -> Result<Logs> {
        let mut values = vec![(format!("{prefix}loss"), eagerly(|| self.mean_loss.result()).to_f64()?)];
        for metric in &self.metrics {
            let value = eagerly(|| metric.result()).to_f64()?;
            values.push((format!("{prefix}{}", metric.name()), value));
        }
        Ok(Logs(values))
    }

    /// Forward, loss, gradients, optimizer and measurements for one batch: one recorded function.
    #[track_caller]
    pub(crate) fn train(&self, model: &Model, variables: &[Variable], batch: &Batch) -> Result<()> {
        let step = self.step(model, variables, batch);
        training(true, || self.training_step.call(&arguments(batch, variables), step))
    }

    /// Bytes that a training step of such a batch needs besides variables and data; compiles it, runs nothing.
    #[track_caller]
    pub(crate) fn planned_bytes(
        &self,
        model: &Model,
        variables: &[Variable],
        batch: &Batch,
    ) -> Result<usize> {
        let step = self.step(model, variables, batch);
        training(true, || self.training_step.prepare(&arguments(batch, variables), step))
    }

    /// Forward, loss and measurements for one batch.
    #[track_caller]
    pub(crate) fn evaluate(&self, model: &Model, batch: &Batch) -> Result<()> {
        let step = |mut tensors: Inputs| {
            let inputs = tensors.owned(batch.inputs.clone());
            let targets = tensors.owned(batch.targets.clone());
            let (predictions, added) = collect_losses(|| model.call_many(&inputs));
            let loss = with_added(self.loss(&targets, &predictions)?, added, model);
            self.measure(&loss, &targets, &predictions)
        };
        training(false, || self.evaluation_step.call(&arguments(batch, &[]), step))
    }

    fn step<'a>(
        &'a self,
        model: &'a Model,
        variables: &'a [Variable],
        batch: &'a Batch,
    ) -> impl FnOnce(Inputs) -> Result<()> + 'a {
        move |mut tensors| {
            let inputs = tensors.owned(batch.inputs.clone());
            let targets = tensors.owned(batch.targets.clone());
            let mut predictions = Vec::new();
            let mut values = None;
            let (_, gradients) = value_and_grad(
                || {
                    let (outputs, added) = collect_losses(|| model.call_many(&inputs));
                    predictions = outputs;
                    match self.loss(&targets, &predictions) {
                        Ok(loss) => {
                            let loss = with_added(loss, added, model);
                            values.insert(loss).mean(..)
                        }
                        Err(error) => Tensor::carry(error),
                    }
                },
                variables,
            )?;
            scope("optimizer", None, || {
                self.optimizer.apply(&gradients, variables)?;
                variables.iter().try_for_each(Variable::constrain)
            })?;
            match values {
                Some(values) => self.measure(&values, &targets, &predictions),
                None => unreachable!("without a loss there are no gradients"),
            }
        }
    }

    /// The loss of each example (of each element, for losses that have one for each); several outputs' losses add up.
    #[track_caller]
    fn loss(&self, targets: &[Tensor], predictions: &[Tensor]) -> Result<Tensor> {
        let (wanted, outputs, given) = (self.losses.len(), predictions.len(), targets.len());
        if let Some(prediction) = predictions.iter().find(|prediction| prediction.error().is_some()) {
            prediction.check()?;
        }
        if wanted != outputs || wanted != given {
            let rule =
                format!("{wanted} loss(es), {outputs} output(s) and {given} target(s) must be as many");
            return Err(Error::new(ErrorKind::Value, "fit", rule));
        }
        let each = self.losses.iter().zip(targets).zip(predictions);
        let values_of = |((loss, target), prediction): ((&Arc<dyn Loss>, &Tensor), &Tensor)| {
            scope("loss", None, || loss.values(target, prediction))
        };
        let mut values = each.map(values_of);
        let Some(first) = values.next() else {
            return Err(Error::new(ErrorKind::Value, "fit", "there must be at least one loss"));
        };
        match values.map(|value| value.mean(..)).reduce(|sum, value| sum + value) {
            Some(others) => Ok(first.mean(..) + others),
            None => Ok(first),
        }
    }

    #[track_caller]
    fn measure(&self, loss: &Tensor, targets: &[Tensor], predictions: &[Tensor]) -> Result<()> {
        let examples =
            predictions.first().map_or(Ok(1), |prediction| prediction.shape().map(|dims| dims[0]))?;
        scope("metrics", None, || {
            self.mean_loss.add_mean(loss, examples)?;
            let (Some(target), Some(prediction)) = (targets.first(), predictions.first()) else {
                return Ok(());
            };
            self.metrics.iter().try_for_each(|metric| metric.update(target, prediction))
        })
    }
}

/// The loss with what layers and the regularizers of weights add to it.
#[track_caller]
fn with_added(loss: Tensor, mut added: Vec<Tensor>, model: &Model) -> Tensor {
    added.extend(model.regularization_losses());
    match added.into_iter().reduce(|sum, cost| sum + cost) {
        Some(sum) => loss.mean(..) + sum,
        None => loss,
    }
}

/// The arguments by which a recorded step is found: shapes and dtypes, and which variables are trained.
fn arguments(batch: &Batch, variables: &[Variable]) -> Flat {
    let mut flat = Flat::default();
    batch.inputs.flatten(flat.argument("inputs"));
    batch.targets.flatten(flat.argument("targets"));
    let mut hasher = DefaultHasher::new();
    variables.iter().for_each(|variable| variable.id().hash(&mut hasher));
    flat.argument("variables").identity("set of trained variables", hasher.finish());
    flat
}
