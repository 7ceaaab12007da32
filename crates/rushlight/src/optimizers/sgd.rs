//! Stochastic gradient descent.

use crate::optimizers::{Optimizer, OptimizerState};
use rushlight_core::{Result, Tensor, Variable};

/// Stochastic gradient descent, by Keras's formulas:
///
/// `w ← w - η·g`; with momentum `v ← μ·v - η·g`, `w ← w + v`; with Nesterov's `w ← w + μ·v - η·g`. With weight decay
/// `λ` each step begins with `w ← w - η·λ·w`.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct Sgd {
    state: OptimizerState,
    momentum: f64,
    nesterov: bool,
}

impl Sgd {
    /// Plain gradient descent.
    pub fn new(learning_rate: f64) -> Sgd {
        Sgd { state: OptimizerState::new(learning_rate), momentum: 0.0, nesterov: false }
    }

    /// The part of the last change that goes into the next; 0 by default.
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.momentum = momentum;
        self
    }

    /// Whether the momentum is Nesterov's.
    pub fn nesterov(mut self, nesterov: bool) -> Sgd {
        self.nesterov = nesterov;
        self
    }

    /// How strongly weights shrink; 0 by default.
    pub fn weight_decay(mut self, weight_decay: f64) -> Sgd {
        self.state.set_weight_decay(weight_decay);
        self
    }
}

impl Optimizer for Sgd {
    fn state(&self) -> &OptimizerState {
        &self.state
    }

    #[track_caller]
    fn apply(&self, gradients: &[Tensor], variables: &[Variable]) -> Result<()> {
        self.state.check(gradients, variables)?;
        let learning_rate = self.state.learning_rate().read();
        for (gradient, variable) in gradients.iter().zip(variables) {
            let value = self.state.decayed(variable, &learning_rate);
            let step = gradient * learning_rate.cast(variable.spec().dtype);
            if self.momentum == 0.0 {
                variable.assign(&(value - step))?;
                continue;
            }
            let slot = self.state.slot("momentum", variable)?;
            let velocity = slot.read() * self.momentum - &step;
            slot.assign(&velocity)?;
            let change = if self.nesterov { velocity * self.momentum - step } else { velocity };
            variable.assign(&(value + change))?;
        }
        self.state.count_step()
    }
}
