//! One training step, as it is recorded.

use crate::layers::{Layer, collect_losses};
use crate::models::Model;
use crate::optimizers::Optimizer;
use crate::training::Compiled;
use rushlight_core::{Error, ErrorKind, Result, Tensor, Variable, scope, value_and_grad};
use std::sync::Arc;

/// A batch on its way through a training step, with what the model was compiled with.
///
/// This is what a [train step of your own](crate::training::Compile::train_step) gets; the usual one is
/// `step.measure(&step.minimize(|| step.forward())?)`.
pub struct Step<'a> {
    /// The model that is trained.
    pub model: &'a Model,
    /// The variables to train.
    pub variables: &'a [Variable],
    /// One tensor for each input of the model.
    pub inputs: Vec<Tensor>,
    /// One tensor for each output of the model.
    pub targets: Vec<Tensor>,
    /// How much each example counts: nothing, one tensor for all outputs, or one for each.
    pub weights: Vec<Tensor>,
    pub(crate) compiled: &'a Compiled,
}

/// What a forward pass gives.
#[derive(Clone, Debug)]
pub struct Forward {
    /// One tensor for each output of the model.
    pub predictions: Vec<Tensor>,
    /// The loss of each output.
    pub losses: Vec<Tensor>,
    /// The weighted sum of the losses, with what layers and regularizers add: what training minimizes.
    pub loss: Tensor,
}

impl Step<'_> {
    /// The optimizer that the model was compiled with.
    pub fn optimizer(&self) -> &Arc<dyn Optimizer> {
        &self.compiled.settings.optimizer
    }

    /// The weights of the examples for one output.
    pub(crate) fn weights_of(&self, output: usize) -> Option<&Tensor> {
        if self.weights.len() == 1 { self.weights.first() } else { self.weights.get(output) }
    }

    /// Runs the model on the inputs and takes its loss.
    ///
    /// # Errors
    /// If inputs or targets do not fit the model, or there are not as many losses as outputs.
    #[track_caller]
    pub fn forward(&self) -> Result<Forward> {
        self.forward_on(&self.inputs)
    }

    /// As [`Step::forward`], on other inputs: disturbed ones, for instance.
    ///
    /// # Errors
    /// As [`Step::forward`].
    #[track_caller]
    pub fn forward_on(&self, inputs: &[Tensor]) -> Result<Forward> {
        let (predictions, mut added) = collect_losses(|| self.model.call_many(inputs));
        for prediction in &predictions {
            prediction.check()?;
        }
        let settings = &self.compiled.settings;
        let (wanted, outputs, given) = (settings.losses.len(), predictions.len(), self.targets.len());
        if wanted != outputs || wanted != given || wanted == 0 {
            let rule =
                format!("{wanted} loss(es), {outputs} output(s) and {given} target(s) must be as many");
            return Err(Error::new(ErrorKind::Value, "fit", rule));
        }
        let factors = &settings.loss_weights;
        if !factors.is_empty() && factors.len() != wanted {
            let rule = format!("there must be one loss weight for each loss: {} for {wanted}", factors.len());
            return Err(Error::new(ErrorKind::Value, "fit", rule));
        }
        if self.weights.len() > 1 && self.weights.len() != wanted {
            let rule = format!(
                "{} tensors of sample weights came for {wanted} outputs: one, or one each, is expected",
                self.weights.len()
            );
            return Err(Error::new(ErrorKind::Value, "fit", rule));
        }
        let mut losses = Vec::new();
        let mut total: Option<Tensor> = None;
        for (output, loss) in settings.losses.iter().enumerate() {
            let weights = self.weights_of(output);
            let value =
                scope("loss", None, || loss.reduced(&self.targets[output], &predictions[output], weights));
            // A loss that is not reduced counts as its sum.
            let value = if value.rank()? > 0 { value.sum(..) } else { value };
            losses.push(value.clone());
            let value = factors.get(output).map_or_else(|| value.clone(), |factor| &value * *factor);
            total = Some(total.map_or_else(|| value.clone(), |sum| sum + &value));
        }
        added.extend(self.model.regularization_losses());
        let loss = added.into_iter().map(Some).fold(total, |sum, cost| Some(sum? + cost?));
        let loss =
            loss.ok_or_else(|| Error::new(ErrorKind::Value, "fit", "there must be at least one loss"))?;
        Ok(Forward { predictions, losses, loss })
    }

    /// Takes the gradients of the loss that `forward` gives, and one step of the optimizer.
    ///
    /// # Errors
    /// If `forward` fails, or the step; then no variable has changed.
    #[track_caller]
    pub fn minimize(&self, forward: impl FnOnce() -> Result<Forward>) -> Result<Forward> {
        let optimizer = self.optimizer();
        let mut made = None;
        let (_, gradients) = value_and_grad(
            || match forward() {
                Ok(forward) => optimizer.scale_loss(&made.insert(forward).loss),
                Err(error) => Tensor::carry(error),
            },
            self.variables,
        )?;
        scope("optimizer", None, || optimizer.apply(&gradients, self.variables))?;
        made.ok_or_else(|| Error::new(ErrorKind::Value, "fit", "no loss was computed"))
    }

    /// Notes losses and metrics, for the logs.
    ///
    /// # Errors
    /// If a metric does not fit targets and predictions.
    #[track_caller]
    pub fn measure(&self, forward: &Forward) -> Result<()> {
        scope("metrics", None, || self.compiled.measure(self, forward))
    }
}
