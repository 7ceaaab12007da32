//! RMSprop.

use crate::config::configured;
use crate::optimizers::{Descent, LearningRate, Slot, UpdateRule, VariableStep};
use rushlight_core::{Result, Tensor, Variable};

configured! {
    /// The rule of [`RmsProp`].
    pub struct RmsPropRule as "RMSprop" {
        rho: f64 = 0.9,
        momentum: f64 = 0.0,
        epsilon: f64 = 1e-7,
        centered: bool = false,
    }
}

/// RMSprop, by Keras's formulas: `v ← ρ·v + (1 - ρ)·g²`, `w ← w - η·g / √(v + ε)`; centered, `v - ā²` stands for `v`,
/// with the mean gradient `ā ← ρ·ā + (1 - ρ)·g`; with momentum, `m ← μ·m + η·g/√(v + ε)`, `w ← w - m`.
///
/// Source: Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012.
pub type RmsProp = Descent<RmsPropRule>;

impl Descent<RmsPropRule> {
    /// RMSprop with `ρ` 0.9, `ε` 10⁻⁷. Keras's learning rate is 0.001.
    pub fn new(learning_rate: impl Into<LearningRate>) -> RmsProp {
        Descent::of(RmsPropRule::default(), learning_rate)
    }

    /// How much of the mean squared gradient is kept at each step.
    pub fn rho(self, rho: f64) -> RmsProp {
        self.with(|rule| rule.rho = rho)
    }

    /// The part of the last change that goes into the next; 0 by default.
    pub fn momentum(self, momentum: f64) -> RmsProp {
        self.with(|rule| rule.momentum = momentum)
    }

    /// What is added to the mean squared gradient.
    pub fn epsilon(self, epsilon: f64) -> RmsProp {
        self.with(|rule| rule.epsilon = epsilon)
    }

    /// Whether gradients are normalized by their variance instead of their mean square.
    pub fn centered(self, centered: bool) -> RmsProp {
        self.with(|rule| rule.centered = centered)
    }
}

const VELOCITY: &str = "velocity";
const MOMENTUM: &str = "momentum";
const AVERAGE: &str = "average_gradient";

impl UpdateRule for RmsPropRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        let momentum = (self.momentum > 0.0).then(|| Slot::new(MOMENTUM).group(1));
        let average = self.centered.then(|| Slot::new(AVERAGE).group(2));
        std::iter::once(Slot::new(VELOCITY)).chain(momentum).chain(average).collect()
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let gradient = &step.gradient;
        let kept =
            |name, new: &Tensor| step.remember(name, step.slot(name) * self.rho + new * (1.0 - self.rho));
        let mut denominator = kept(VELOCITY, &gradient.square())?;
        if self.centered {
            denominator = denominator - kept(AVERAGE, gradient)?.square();
        }
        let change = step.learning_rate() * gradient / (denominator + self.epsilon).sqrt();
        if self.momentum > 0.0 {
            return Ok(&step.value - step.remember(MOMENTUM, step.slot(MOMENTUM) * self.momentum + change)?);
        }
        Ok(&step.value - change)
    }
}
