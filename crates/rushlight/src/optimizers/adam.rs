//! Adam, and AdamW.

use crate::optimizers::{Optimizer, OptimizerState};
use rushlight_core::{Result, Tensor, Variable};

/// Adam, by Keras's formulas: at step `t`
///
/// `m ← m + (g - m)·(1 - β₁)`, `v ← v + (g² - v)·(1 - β₂)`, `w ← w - η·√(1 - β₂ᵗ)/(1 - β₁ᵗ) · m / (√v + ε)`.
///
/// With weight decay `λ` each step begins with `w ← w - η·λ·w`: that is AdamW ([`Adam::w`]).
///
/// Sources: Kingma and Ba, 2014; Loshchilov and Hutter, 2017.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct Adam {
    state: OptimizerState,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

impl Adam {
    /// Adam with `β₁` 0.9, `β₂` 0.999, `ε` 10⁻⁷. Keras's learning rate is 0.001.
    pub fn new(learning_rate: f64) -> Adam {
        Adam { state: OptimizerState::new(learning_rate), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }

    /// AdamW: Adam with a weight decay of 0.004.
    pub fn w(learning_rate: f64) -> Adam {
        Adam::new(learning_rate).weight_decay(0.004)
    }

    /// How much of the mean gradient and of the mean squared gradient is kept at each step.
    pub fn betas(mut self, beta_1: f64, beta_2: f64) -> Adam {
        (self.beta_1, self.beta_2) = (beta_1, beta_2);
        self
    }

    /// What is added to the denominator.
    pub fn epsilon(mut self, epsilon: f64) -> Adam {
        self.epsilon = epsilon;
        self
    }

    /// How strongly weights shrink; 0 by default.
    pub fn weight_decay(mut self, weight_decay: f64) -> Adam {
        self.state.set_weight_decay(weight_decay);
        self
    }
}

impl Optimizer for Adam {
    fn state(&self) -> &OptimizerState {
        &self.state
    }

    #[track_caller]
    fn apply(&self, gradients: &[Tensor], variables: &[Variable]) -> Result<()> {
        self.state.check(gradients, variables)?;
        let learning_rate = self.state.learning_rate().read();
        let step = self.state.step_number();
        let left = |beta: f64| 1.0 - (&step * beta.ln()).exp();
        let rate = &learning_rate * left(self.beta_2).sqrt() / left(self.beta_1);
        for (gradient, variable) in gradients.iter().zip(variables) {
            let (mean, square) =
                (self.state.slot("momentum", variable)?, self.state.slot("velocity", variable)?);
            let value = self.state.decayed(variable, &learning_rate);
            let (m, v) = (mean.read(), square.read());
            let m = &m + (gradient - &m) * (1.0 - self.beta_1);
            let v = &v + (gradient.square() - &v) * (1.0 - self.beta_2);
            mean.assign(&m)?;
            square.assign(&v)?;
            let rate = rate.cast(variable.spec().dtype);
            variable.assign(&(value - m * rate / (v.sqrt() + self.epsilon)))?;
        }
        self.state.count_step()
    }
}
