//! Adam and its kin: AdamW, Adamax, Nadam, LAMB.

use crate::config::configured;
use crate::optimizers::{Clock, Descent, LearningRate, Slot, UpdateRule, VariableStep};
use rushlight_core::{Result, Tensor, Variable, where_};

/// The arguments that Adam and its kin share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// How much of the mean gradient is kept at each step.
    pub beta_1: f64,
    /// How much of the mean squared gradient is kept at each step.
    pub beta_2: f64,
    /// What is added to the denominator.
    pub epsilon: f64,
}

const MOMENTUM: &str = "momentum";
const VELOCITY: &str = "velocity";

/// Adam's new value of a variable; `largest` is the slot of AMSGrad.
#[track_caller]
pub(crate) fn adam_update(
    step: &VariableStep,
    moments: &Moments,
    ratio: f64,
    largest: Option<&'static str>,
) -> Result<Tensor> {
    let clock = step.clock();
    let rate = clock.once("adam", || {
        let correction = clock.bias_correction(moments.beta_2).sqrt() / clock.bias_correction(moments.beta_1);
        clock.learning_rate() * correction * ratio
    });
    let (m, mut v) = step_moments(step, moments)?;
    if let Some(name) = largest {
        v = step.remember(name, step.slot(name).maximum(v))?;
    }
    Ok(&step.value - m * rate.cast(step.dtype()) / (v.sqrt() + moments.epsilon))
}

/// The new means of the gradient and of its square.
#[track_caller]
fn step_moments(step: &VariableStep, moments: &Moments) -> Result<(Tensor, Tensor)> {
    let m = step.running_mean(MOMENTUM, &step.gradient, moments.beta_1)?;
    let v = step.running_mean(VELOCITY, &step.gradient.square(), moments.beta_2)?;
    Ok((m, v))
}

fn moment_slots() -> Vec<Slot> {
    vec![Slot::new(MOMENTUM), Slot::new(VELOCITY)]
}

/// Gives an optimizer of the family its constructor and the builders of the arguments that all of them have.
macro_rules! moments {
    ($($rule:ident $name:ident $(decays $decay:literal)?;)*) => {$(
        impl $rule {
            fn moments(&self) -> Moments {
                Moments { beta_1: self.beta_1, beta_2: self.beta_2, epsilon: self.epsilon }
            }
        }

        impl Descent<$rule> {
            /// `β₁` 0.9, `β₂` 0.999, `ε` 10⁻⁷. Keras's learning rate is 0.001.
            pub fn new(learning_rate: impl Into<LearningRate>) -> $name {
                Descent::of($rule::default(), learning_rate)$(.weight_decay($decay))?
            }

            /// How much of the mean gradient and of the mean squared gradient is kept at each step.
            pub fn betas(self, beta_1: f64, beta_2: f64) -> $name {
                self.with(|rule| (rule.beta_1, rule.beta_2) = (beta_1, beta_2))
            }

            /// What is added to the denominator.
            pub fn epsilon(self, epsilon: f64) -> $name {
                self.with(|rule| rule.epsilon = epsilon)
            }
        }
    )*};
}

moments! {
    AdamRule Adam;
    AdamWRule AdamW decays 0.004;
    AdamaxRule Adamax;
    NadamRule Nadam;
    LambRule Lamb;
}

configured! {
    /// The rule of [`Adam`].
    pub struct AdamRule as "Adam" {
        beta_1: f64 = 0.9,
        beta_2: f64 = 0.999,
        epsilon: f64 = 1e-7,
        amsgrad: bool = false,
    }
}

configured! {
    /// The rule of [`AdamW`].
    pub struct AdamWRule as "AdamW" {
        beta_1: f64 = 0.9,
        beta_2: f64 = 0.999,
        epsilon: f64 = 1e-7,
        amsgrad: bool = false,
    }
}

configured! {
    /// The rule of [`Adamax`].
    pub struct AdamaxRule as "Adamax" { beta_1: f64 = 0.9, beta_2: f64 = 0.999, epsilon: f64 = 1e-7 }
}

configured! {
    /// The rule of [`Nadam`].
    pub struct NadamRule as "Nadam" { beta_1: f64 = 0.9, beta_2: f64 = 0.999, epsilon: f64 = 1e-7 }
}

configured! {
    /// The rule of [`Lamb`].
    pub struct LambRule as "Lamb" { beta_1: f64 = 0.9, beta_2: f64 = 0.999, epsilon: f64 = 1e-7 }
}

/// Adam, by Keras's formulas: at step `t`
///
/// `m ← m + (g - m)·(1 - β₁)`, `v ← v + (g² - v)·(1 - β₂)`, `w ← w - η·√(1 - β₂ᵗ)/(1 - β₁ᵗ) · m / (√v + ε)`.
///
/// Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014.
pub type Adam = Descent<AdamRule>;

/// Adam with a weight decay of its own, 0.004 if nothing else is asked for: each step begins with `w ← w - η·λ·w`.
///
/// Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017.
pub type AdamW = Descent<AdamWRule>;

/// Adam by the largest gradient instead of the mean squared one: `u ← max(β₂·u, |g|)`,
/// `w ← w - η/(1 - β₁ᵗ) · m / (u + ε)`.
///
/// Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", section 7, 2014.
pub type Adamax = Descent<AdamaxRule>;

/// Adam with Nesterov's momentum: with `μₜ = β₁·(1 - 0.96ᵗ/2)`,
///
/// `w ← w - η·(μₜ₊₁·m/(1 - Πμ·μₜ₊₁) + (1 - μₜ)·g/(1 - Πμ)) / (√(v/(1 - β₂ᵗ)) + ε)`.
///
/// Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.
pub type Nadam = Descent<NadamRule>;

/// LAMB, for large batches: Adam's update `u = m̂/(√v̂ + ε)` scaled to the size of the variable,
/// `w ← w - η·‖w‖/‖u‖·u`.
///
/// Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2019.
pub type Lamb = Descent<LambRule>;

const LARGEST: &str = "velocity_hat";

macro_rules! adam_rules {
    ($($rule:ident $name:ident;)*) => {$(
        impl Descent<$rule> {
            /// Whether the largest mean squared gradient so far counts instead of the last one (AMSGrad).
            pub fn amsgrad(self, amsgrad: bool) -> $name {
                self.with(|rule| rule.amsgrad = amsgrad)
            }
        }

        impl UpdateRule for $rule {
            fn slots(&self, _variable: &Variable) -> Vec<Slot> {
                let largest = self.amsgrad.then(|| Slot::new(LARGEST).group(1));
                moment_slots().into_iter().chain(largest).collect()
            }

            #[track_caller]
            fn update(&self, step: &VariableStep) -> Result<Tensor> {
                adam_update(step, &self.moments(), 1.0, self.amsgrad.then_some(LARGEST))
            }
        }
    )*};
}

adam_rules! {
    AdamRule Adam;
    AdamWRule AdamW;
}

const NORM: &str = "norm";

impl UpdateRule for AdamaxRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        vec![Slot::new(MOMENTUM), Slot::new(NORM)]
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let moments = self.moments();
        let clock = step.clock();
        let rate = clock.once("adamax", || clock.learning_rate() / clock.bias_correction(moments.beta_1));
        let m = step.running_mean(MOMENTUM, &step.gradient, moments.beta_1)?;
        let norm = (step.slot(NORM) * moments.beta_2).maximum(step.gradient.abs());
        let norm = step.remember(NORM, norm)?;
        Ok(&step.value - m * rate.cast(step.dtype()) / (norm + moments.epsilon))
    }
}

const PRODUCT: &str = "u_product";

impl NadamRule {
    /// `μ` of the step that comes so many after this one.
    fn momentum_at(&self, clock: &Clock, later: f64) -> Tensor {
        (1.0 - ((clock.number() + later) * 0.96f64.ln()).exp() * 0.5) * self.beta_1
    }
}

impl UpdateRule for NadamRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        moment_slots()
    }

    fn shared(&self) -> Vec<(&'static str, f64)> {
        vec![(PRODUCT, 1.0)]
    }

    #[track_caller]
    fn begin(&self, clock: &Clock) -> Result<()> {
        let product = clock.shared(PRODUCT);
        let momentum = self.momentum_at(clock, 0.0).cast(product.dtype()?);
        let product = clock.once(PRODUCT, || product * momentum);
        clock.set_shared(PRODUCT, &product)
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let (moments, clock, dtype) = (self.moments(), step.clock(), step.dtype());
        let product = clock.once(PRODUCT, || clock.shared(PRODUCT)).cast(dtype);
        let now = clock.once("now", || self.momentum_at(clock, 0.0)).cast(dtype);
        let next = clock.once("next", || self.momentum_at(clock, 1.0)).cast(dtype);
        let correction = clock.once("correction", || clock.bias_correction(moments.beta_2)).cast(dtype);
        let (m, v) = step_moments(step, &moments)?;
        let m = m * (&next / (1.0 - &product * &next)) + &step.gradient * ((1.0 - now) / (1.0 - product));
        Ok(&step.value - m * step.learning_rate() / ((v / correction).sqrt() + moments.epsilon))
    }
}

impl UpdateRule for LambRule {
    fn slots(&self, _variable: &Variable) -> Vec<Slot> {
        moment_slots()
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let (moments, clock, dtype) = (self.moments(), step.clock(), step.dtype());
        let (m, v) = step_moments(step, &moments)?;
        let first = clock.once("first", || clock.bias_correction(moments.beta_1)).cast(dtype);
        let second = clock.once("second", || clock.bias_correction(moments.beta_2)).cast(dtype);
        let update = m / first / ((v / second).sqrt() + moments.epsilon);
        let norm = |x: &Tensor| x.square().sum(..).sqrt();
        let (weight, change) = (norm(&step.value), norm(&update));
        let known = weight.greater(0.0).logical_and(change.greater(0.0));
        let ratio = where_(&known, &(&weight / &change), &weight.ones_like());
        Ok(&step.value - ratio * step.learning_rate() * update)
    }
}
