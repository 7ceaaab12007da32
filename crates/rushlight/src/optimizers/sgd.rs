//! Stochastic gradient descent, and Lion.

use crate::config::configured;
use crate::optimizers::{Descent, LearningRate, Slot, UpdateRule, VariableStep};
use rushlight_core::{Error, ErrorKind, Result, Tensor, Variable};

configured! {
    /// The rule of [`Sgd`].
    pub struct SgdRule as "SGD" { momentum: f64 = 0.0, nesterov: bool = false }
}

/// Stochastic gradient descent, by Keras's formulas:
///
/// `w ← w - η·g`; with momentum `v ← μ·v - η·g`, `w ← w + v`; with Nesterov's `w ← w + μ·v - η·g`.
///
/// ```
/// use rushlight::prelude::*;
/// let optimizer = Sgd::new(CosineDecay::new(0.1, 1000)).momentum(0.9).nesterov(true).clipnorm(1.0);
/// assert_eq!(optimizer.learning_rate()?, 0.1);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub type Sgd = Descent<SgdRule>;

impl Descent<SgdRule> {
    /// Plain gradient descent. Keras's learning rate is 0.01.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Sgd {
        Descent::of(SgdRule::default(), learning_rate)
    }

    /// The part of the last change that goes into the next; 0 by default.
    pub fn momentum(self, momentum: f64) -> Sgd {
        self.with(|rule| rule.momentum = momentum)
    }

    /// Whether the momentum is Nesterov's.
    pub fn nesterov(self, nesterov: bool) -> Sgd {
        self.with(|rule| rule.nesterov = nesterov)
    }
}

const MOMENTUM: &str = "momentum";

impl UpdateRule for SgdRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        if self.momentum == 0.0 { Vec::new() } else { vec![Slot::new(MOMENTUM)] }
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let change = &step.gradient * step.learning_rate();
        if self.momentum == 0.0 {
            return Ok(&step.value - change);
        }
        let velocity = step.remember(MOMENTUM, step.slot(MOMENTUM) * self.momentum - &change)?;
        Ok(&step.value + if self.nesterov { velocity * self.momentum - change } else { velocity })
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        within("momentum", self.momentum, 0.0, 1.0)
    }
}

/// An error if an argument is outside of `[low, high]`.
#[track_caller]
pub(crate) fn within(name: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let rule = format!("`{name}` must be in [{low}, {high}], not {value}");
    Err(Error::new(ErrorKind::Value, "optimizer", rule))
}

configured! {
    /// The rule of [`Lion`].
    pub struct LionRule as "Lion" { beta_1: f64 = 0.9, beta_2: f64 = 0.99 }
}

/// Lion: `w ← w - η·sign(β₁·m + (1 - β₁)·g)`, then `m ← β₂·m + (1 - β₂)·g`.
///
/// Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
pub type Lion = Descent<LionRule>;

impl Descent<LionRule> {
    /// Lion with `β₁` 0.9, `β₂` 0.99. Keras's learning rate is 0.001; about a tenth of Adam's suits it.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Lion {
        Descent::of(LionRule::default(), learning_rate)
    }

    /// How much of the momentum counts in a step, and is kept for the next.
    pub fn betas(self, beta_1: f64, beta_2: f64) -> Lion {
        self.with(|rule| (rule.beta_1, rule.beta_2) = (beta_1, beta_2))
    }
}

impl UpdateRule for LionRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        vec![Slot::new(MOMENTUM)]
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let momentum = step.slot(MOMENTUM);
        let mixed = |beta: f64| &momentum * beta + &step.gradient * (1.0 - beta);
        step.remember(MOMENTUM, mixed(self.beta_2))?;
        Ok(&step.value - step.learning_rate() * mixed(self.beta_1).sign())
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        within("beta_1", self.beta_1, f64::MIN_POSITIVE, 1.0)
    }
}
