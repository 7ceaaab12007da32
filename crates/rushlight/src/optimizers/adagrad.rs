//! Adagrad and Adadelta.

use crate::config::configured;
use crate::optimizers::{Descent, LearningRate, Slot, UpdateRule, VariableStep};
use rushlight_core::{Result, Tensor, Variable};

configured! {
    /// The rule of [`Adagrad`].
    pub struct AdagradRule as "Adagrad" { initial_accumulator_value: f64 = 0.1, epsilon: f64 = 1e-7 }
}

/// Adagrad: `a ← a + g²`, `w ← w - η·g / √(a + ε)`.
///
/// Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011.
pub type Adagrad = Descent<AdagradRule>;

impl Descent<AdagradRule> {
    /// Adagrad whose sums begin with 0.1. Keras's learning rate is 0.001.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Adagrad {
        Descent::of(AdagradRule::default(), learning_rate)
    }

    /// What the sums of squared gradients begin with.
    pub fn initial_accumulator_value(self, value: f64) -> Adagrad {
        self.with(|rule| rule.initial_accumulator_value = value)
    }

    /// What is added to the sums.
    pub fn epsilon(self, epsilon: f64) -> Adagrad {
        self.with(|rule| rule.epsilon = epsilon)
    }
}

const ACCUMULATOR: &str = "accumulator";

impl UpdateRule for AdagradRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        vec![Slot::new(ACCUMULATOR).initial(self.initial_accumulator_value)]
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let sum = step.remember(ACCUMULATOR, step.slot(ACCUMULATOR) + step.gradient.square())?;
        Ok(&step.value - step.learning_rate() * &step.gradient / (sum + self.epsilon).sqrt())
    }
}

configured! {
    /// The rule of [`Adadelta`].
    pub struct AdadeltaRule as "Adadelta" { rho: f64 = 0.95, epsilon: f64 = 1e-7 }
}

/// Adadelta: `a ← ρ·a + (1 - ρ)·g²`, `Δ = -g·√(d + ε)/√(a + ε)`, `d ← ρ·d + (1 - ρ)·Δ²`, `w ← w + η·Δ`.
///
/// Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
pub type Adadelta = Descent<AdadeltaRule>;

impl Descent<AdadeltaRule> {
    /// Adadelta with `ρ` 0.95. Keras's learning rate is 0.001; the paper's 1.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Adadelta {
        Descent::of(AdadeltaRule::default(), learning_rate)
    }

    /// How much of the means is kept at each step.
    pub fn rho(self, rho: f64) -> Adadelta {
        self.with(|rule| rule.rho = rho)
    }

    /// What is added to the means.
    pub fn epsilon(self, epsilon: f64) -> Adadelta {
        self.with(|rule| rule.epsilon = epsilon)
    }
}

const GRADIENTS: &str = "accumulated_grad";
const CHANGES: &str = "accumulated_delta_var";

impl UpdateRule for AdadeltaRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        vec![Slot::new(GRADIENTS), Slot::new(CHANGES)]
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let kept = |name, new: &Tensor| {
            step.remember(name, step.slot(name) * self.rho + new.square() * (1.0 - self.rho))
        };
        let root = |x: Tensor| (x + self.epsilon).sqrt();
        let before = root(step.slot(CHANGES));
        let change = -(before * &step.gradient / root(kept(GRADIENTS, &step.gradient)?));
        kept(CHANGES, &change)?;
        Ok(&step.value + step.learning_rate() * change)
    }
}
