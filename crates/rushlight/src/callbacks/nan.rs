//! Stopping at the first number that is none.

use crate::callbacks::{Callback, Progressing};
use crate::layers::{Layer, first_not_finite, training};
use crate::training::Logs;
use rushlight_core::{Error, ErrorKind, Result, Tensor, Variable, eagerly, run_functions_eagerly};

/// Ends training with an error as soon as the loss is not a finite number, and says in which layer the first such
/// number appeared. The model keeps the weights that it had before that step.
///
/// To find the layer, all variables are copied before each step, and the loss is read after it: use it while looking
/// for the fault.
#[derive(Debug, Default)]
pub struct TerminateOnNaN {
    before: Vec<(Variable, Tensor)>,
}

impl TerminateOnNaN {
    pub fn new() -> TerminateOnNaN {
        TerminateOnNaN::default()
    }

    /// What to say: the batch goes through the model once more, layer by layer.
    fn find(&self, state: &Progressing) -> String {
        let Some(batch) = state.batch else { return String::new() };
        let is_finite = |tensor: &Tensor| !has_not_finite(tensor);
        if let Some(index) = batch.inputs.iter().position(|input| !is_finite(input)) {
            return format!("input {index} of the batch is not finite itself");
        }
        if let Some(index) = batch.targets.iter().position(|target| !is_finite(target)) {
            return format!("target {index} of the batch is not finite itself");
        }
        if let Some((variable, _)) = self.before.iter().find(|(_, value)| !is_finite(value)) {
            return format!("variable `{}` was not finite before the step", variable.name());
        }
        let run = || {
            first_not_finite(|| {
                run_functions_eagerly(|| training(true, || state.model.call_many(&batch.inputs)));
            })
        };
        match run() {
            Some(layer) => format!("it first appeared in the output of layer `{layer}`"),
            None => "all layers' outputs are finite: it appeared in the loss or in its gradients".to_string(),
        }
    }

    fn restore(&self) -> Result<()> {
        self.before.iter().try_for_each(|(variable, value)| variable.assign(value))
    }
}

/// Whether a tensor of floats has an element that is infinite or not a number.
pub(crate) fn has_not_finite(tensor: &Tensor) -> bool {
    let floats = tensor.dtype().is_ok_and(|dtype| dtype.is_float());
    floats && eagerly(|| tensor.is_finite().all(..)).item::<bool>().is_ok_and(|all| !all)
}

impl Callback for TerminateOnNaN {
    fn on_batch_begin(&mut self, training: &Progressing) -> Result<()> {
        let variables = training.model.variables().into_iter().chain(training.optimizer.variables());
        self.before = variables.map(|variable| (variable.clone(), variable.read())).collect();
        Ok(())
    }

    fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        let Some(loss) = logs()?.get("loss").filter(|loss| !loss.is_finite()) else { return Ok(()) };
        self.restore()?;
        let found = self.find(training);
        self.restore()?;
        let (epoch, step) = (training.epoch + 1, training.step);
        let rule = format!("the loss is {loss} in epoch {epoch}, after step {step}: {found}");
        Err(Error::outside(ErrorKind::Value, "TerminateOnNaN", rule))
    }
}
