//! Follow the regularized leader.

use crate::config::configured;
use crate::optimizers::{Descent, LearningRate, Slot, UpdateRule, VariableStep};
use rushlight_core::{Error, ErrorKind, Result, Tensor, Variable};

configured! {
    /// The rule of [`Ftrl`].
    pub struct FtrlRule as "Ftrl" {
        learning_rate_power: f64 = -0.5,
        initial_accumulator_value: f64 = 0.1,
        l1_regularization_strength: f64 = 0.0,
        l2_regularization_strength: f64 = 0.0,
        l2_shrinkage_regularization_strength: f64 = 0.0,
        beta: f64 = 0.0,
    }
}

/// FTRL-proximal, by Keras's formulas. With `n' = n + g²`, `p` the learning rate power, `λ₁`, `λ₂` the
/// regularizations and `s` the shrinkage:
///
/// `z ← z + g + 2·s·w - (n'⁻ᵖ - n⁻ᵖ)/η · w`, `w ← (clip(z, -λ₁, λ₁) - z) / (n'⁻ᵖ/η + 2·(λ₂ + β/(2·η)))`, `n ← n'`.
///
/// Source: McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013.
pub type Ftrl = Descent<FtrlRule>;

impl Descent<FtrlRule> {
    /// FTRL without regularization. Keras's learning rate is 0.001.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Ftrl {
        Descent::of(FtrlRule::default(), learning_rate)
    }

    /// The power of the sums by which the learning rate falls; at most 0.
    pub fn learning_rate_power(self, power: f64) -> Ftrl {
        self.with(|rule| rule.learning_rate_power = power)
    }

    /// What the sums of squared gradients begin with.
    pub fn initial_accumulator_value(self, value: f64) -> Ftrl {
        self.with(|rule| rule.initial_accumulator_value = value)
    }

    /// `λ₁`: weights of little use become exactly zero.
    pub fn l1(self, strength: f64) -> Ftrl {
        self.with(|rule| rule.l1_regularization_strength = strength)
    }

    /// `λ₂`.
    pub fn l2(self, strength: f64) -> Ftrl {
        self.with(|rule| rule.l2_regularization_strength = strength)
    }

    /// `s`: an L2 penalty on the loss, where `λ₂` stabilizes the steps.
    pub fn l2_shrinkage(self, strength: f64) -> Ftrl {
        self.with(|rule| rule.l2_shrinkage_regularization_strength = strength)
    }

    /// `β` of the paper.
    pub fn beta(self, beta: f64) -> Ftrl {
        self.with(|rule| rule.beta = beta)
    }
}

const ACCUMULATOR: &str = "accumulator";
const LINEAR: &str = "linear";

impl UpdateRule for FtrlRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        vec![Slot::new(ACCUMULATOR).initial(self.initial_accumulator_value), Slot::new(LINEAR)]
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let (rate, gradient, value) = (step.learning_rate(), &step.gradient, &step.value);
        let l1 = self.l1_regularization_strength;
        let l2 = self.beta / (2.0 * &rate) + self.l2_regularization_strength;
        let shrunk = match self.l2_shrinkage_regularization_strength {
            0.0 => gradient.clone(),
            strength => gradient + value * (2.0 * strength),
        };
        let powered = |sum: &Tensor| sum.pow(-self.learning_rate_power);
        let old = step.slot(ACCUMULATOR);
        let new = step.remember(ACCUMULATOR, &old + gradient.square())?;
        let change = shrunk - (powered(&new) - powered(&old)) / &rate * value;
        let linear = step.remember(LINEAR, step.slot(LINEAR) + change)?;
        let quadratic = powered(&new) / rate + l2 * 2.0;
        Ok((linear.clip(-l1, l1) - linear) / quadratic)
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        let error = |rule: &str| Err(Error::new(ErrorKind::Value, "ftrl", rule));
        let positive = [
            self.initial_accumulator_value,
            self.l1_regularization_strength,
            self.l2_regularization_strength,
            self.l2_shrinkage_regularization_strength,
        ];
        if positive.iter().any(|value| value.is_nan() || *value < 0.0) {
            return error("regularization strengths and the first value of the sums must not be negative");
        }
        if self.learning_rate_power.is_nan() || self.learning_rate_power > 0.0 {
            return error("the learning rate power must not be above 0");
        }
        Ok(())
    }
}
