//! Optimizers: from gradients to new values of variables.
//!
//! ```
//! use rushlight::prelude::*;
//! let w = Variable::new("w", &Tensor::from([1.0f32, -2.0]))?;
//! let optimizer = Sgd::new(0.1);
//! let (_, gradients) = value_and_grad(|| w.read().square().sum(..), std::slice::from_ref(&w))?;
//! optimizer.apply(&gradients, std::slice::from_ref(&w))?;
//! assert_eq!(w.read().to_vec::<f32>()?, [0.8, -1.6]);
//! # Ok::<(), rushlight::Error>(())
//! ```
//!
//! Each optimizer is a [`Descent`] by a rule; weight decay, clipping, averages of weights, gradient accumulation and
//! loss scaling belong to the descent and so to all of them. A learning rate is a number or a
//! [schedule](schedules).

mod adafactor;
mod adagrad;
mod adam;
mod descent;
mod ftrl;
mod loss_scale;
mod muon;
mod rmsprop;
pub mod schedules;
mod settings;
mod sgd;
mod state;

pub use adafactor::{Adafactor, AdafactorRule};
pub use adagrad::{Adadelta, AdadeltaRule, Adagrad, AdagradRule};
pub use adam::{
    Adam, AdamRule, AdamW, AdamWRule, Adamax, AdamaxRule, Lamb, LambRule, Moments, Nadam, NadamRule,
};
pub use descent::{Clock, Descent, UpdateRule, VariableStep};
pub use ftrl::{Ftrl, FtrlRule};
pub use loss_scale::LossScaleOptimizer;
pub use muon::{Muon, MuonRule};
pub use rmsprop::{RmsProp, RmsPropRule};
pub use schedules::{LearningRate, Schedule};
pub use sgd::{Lion, LionRule, Sgd, SgdRule};
pub use state::{OptimizerState, Slot};

use crate::config::Config;
use rushlight_core::{Error, ErrorKind, Result, Tensor, Variable, eagerly};
use std::sync::Arc;

/// A rule by which variables follow gradients.
///
/// Everything an optimizer remembers is in variables, so that [`Optimizer::apply`] works eagerly and inside recorded
/// functions, and a new learning rate needs no new recording. To make one of your own, see [`UpdateRule`].
pub trait Optimizer: Send + Sync + 'static {
    /// Learning rate, number of steps, and what is remembered for each variable.
    fn state(&self) -> &OptimizerState;

    /// Makes what is remembered of these variables, unless it exists; the first step does the same.
    ///
    /// # Errors
    /// If that fails.
    fn build(&self, variables: &[Variable]) -> Result<()>;

    /// One step: each variable gets a new value by its gradient.
    ///
    /// # Errors
    /// If there are not as many gradients as variables, if a gradient carries an error, or has another shape or
    /// dtype than its variable. Then no variable has changed.
    #[track_caller]
    fn apply(&self, gradients: &[Tensor], variables: &[Variable]) -> Result<()> {
        self.apply_if(None, gradients, variables)
    }

    /// As [`Optimizer::apply`], where a condition (a `bool` scalar) holds; otherwise nothing changes.
    ///
    /// # Errors
    /// As [`Optimizer::apply`].
    fn apply_if(
        &self,
        condition: Option<&Tensor>,
        gradients: &[Tensor],
        variables: &[Variable],
    ) -> Result<()>;

    /// The loss to take gradients of: scaled up, if the optimizer scales gradients down again.
    #[track_caller]
    fn scale_loss(&self, loss: &Tensor) -> Tensor {
        loss.clone()
    }

    /// Puts averages of the weights in their place, if the optimizer keeps some; called at the end of `fit`.
    ///
    /// # Errors
    /// If a variable cannot be assigned.
    fn finalize_variable_values(&self, variables: &[Variable]) -> Result<()> {
        let _ = variables;
        Ok(())
    }

    /// All variables of the optimizer in Keras's order, which is that of its files.
    fn variables(&self) -> Vec<Variable> {
        self.state().variables()
    }

    /// Keras's class and arguments.
    fn config(&self) -> Config;

    /// The learning rate, as it is now.
    ///
    /// # Errors
    /// If its schedule fails.
    fn learning_rate(&self) -> Result<f64> {
        eagerly(|| self.state().learning_rate().to_f64())
    }

    /// Sets the learning rate, also of steps that have been recorded.
    ///
    /// # Errors
    /// If the learning rate follows a schedule.
    #[track_caller]
    fn set_learning_rate(&self, learning_rate: f64) -> Result<()> {
        self.state().set_learning_rate(learning_rate)
    }
}

impl Optimizer for Arc<dyn Optimizer> {
    fn state(&self) -> &OptimizerState {
        (**self).state()
    }

    fn build(&self, variables: &[Variable]) -> Result<()> {
        (**self).build(variables)
    }

    #[track_caller]
    fn apply_if(
        &self,
        condition: Option<&Tensor>,
        gradients: &[Tensor],
        variables: &[Variable],
    ) -> Result<()> {
        (**self).apply_if(condition, gradients, variables)
    }

    #[track_caller]
    fn scale_loss(&self, loss: &Tensor) -> Tensor {
        (**self).scale_loss(loss)
    }

    fn finalize_variable_values(&self, variables: &[Variable]) -> Result<()> {
        (**self).finalize_variable_values(variables)
    }

    fn variables(&self) -> Vec<Variable> {
        (**self).variables()
    }

    fn config(&self) -> Config {
        (**self).config()
    }
}

/// The optimizer that Keras describes so: class and arguments as `get_config` gives them.
///
/// # Errors
/// If there is no optimizer of that class, or an argument is of another kind than expected.
pub fn from_config(config: &Config) -> Result<Arc<dyn Optimizer>> {
    fn made<R: UpdateRule>(config: &Config) -> Result<Arc<dyn Optimizer>> {
        Ok(Arc::new(Descent::<R>::from_config(config)?))
    }
    match config.class() {
        "SGD" => made::<SgdRule>(config),
        "RMSprop" => made::<RmsPropRule>(config),
        "Adam" => made::<AdamRule>(config),
        "AdamW" => made::<AdamWRule>(config),
        "Adamax" => made::<AdamaxRule>(config),
        "Adadelta" => made::<AdadeltaRule>(config),
        "Adagrad" => made::<AdagradRule>(config),
        "Nadam" => made::<NadamRule>(config),
        "Ftrl" => made::<FtrlRule>(config),
        "Lion" => made::<LionRule>(config),
        "Adafactor" => made::<AdafactorRule>(config),
        "Lamb" => made::<LambRule>(config),
        "Muon" => made::<MuonRule>(config),
        "LossScaleOptimizer" => Ok(Arc::new(LossScaleOptimizer::from_config(config)?)),
        other => {
            let rule = format!("there is no optimizer `{other}`");
            Err(Error::outside(ErrorKind::Value, "optimizers", rule))
        }
    }
}
