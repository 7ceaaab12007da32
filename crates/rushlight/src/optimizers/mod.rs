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

mod adam;
mod sgd;
mod state;

pub use adam::Adam;
pub use sgd::Sgd;
pub use state::OptimizerState;

use rushlight_core::{Result, Tensor, Variable};
use std::sync::Arc;

/// A rule by which variables follow gradients.
///
/// Everything an optimizer remembers is in variables, so that [`Optimizer::apply`] works eagerly and inside recorded
/// functions, and a new learning rate needs no new recording.
pub trait Optimizer: Send + Sync + 'static {
    /// Learning rate, number of steps, and what is remembered for each variable.
    fn state(&self) -> &OptimizerState;

    /// One step: each variable gets a new value by its gradient.
    ///
    /// # Errors
    /// If there are not as many gradients as variables, if a gradient carries an error, or has another shape or
    /// dtype than its variable. Then no variable has changed.
    fn apply(&self, gradients: &[Tensor], variables: &[Variable]) -> Result<()>;

    /// The learning rate, as it is now.
    fn learning_rate(&self) -> f64 {
        self.state().learning_rate_now()
    }

    /// Sets the learning rate, also of steps that have been recorded.
    fn set_learning_rate(&self, learning_rate: f64) {
        self.state().set_learning_rate(learning_rate);
    }
}

impl Optimizer for Arc<dyn Optimizer> {
    fn state(&self) -> &OptimizerState {
        (**self).state()
    }

    fn apply(&self, gradients: &[Tensor], variables: &[Variable]) -> Result<()> {
        (**self).apply(gradients, variables)
    }
}
