//! Learning rates that follow the number of steps made.
//!
//! A schedule computes with tensors, so that recorded steps follow it without a new recording.
//!
//! ```
//! use rushlight::optimizers::schedules::{CosineDecay, Schedule};
//! use rushlight::prelude::*;
//! let schedule = CosineDecay::new(0.0, 90).warmup(1.0, 10);
//! let at = |step: f64| schedule.rate(&Tensor::scalar(step)).to_f64();
//! assert_eq!((at(5.0)?, at(10.0)?, at(100.0)?), (0.5, 1.0, 0.0));
//! # Ok::<(), rushlight::Error>(())
//! ```

use crate::config::{Config, Configured, configured};
use rushlight_core::{Error, ErrorKind, Result, Tensor, where_};
use std::f64::consts::PI;
use std::sync::Arc;

/// A learning rate that depends on the number of steps made.
pub trait Schedule: Send + Sync + 'static {
    /// The learning rate after `step` steps; both are scalars in `f64`.
    fn rate(&self, step: &Tensor) -> Tensor;

    /// Keras's class and arguments, if Keras has it.
    fn config(&self) -> Option<Config> {
        None
    }
}

/// Any function of the number of steps made.
impl<F: Fn(&Tensor) -> Tensor + Send + Sync + 'static> Schedule for F {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        self(step)
    }
}

impl Schedule for Arc<dyn Schedule> {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        (**self).rate(step)
    }

    fn config(&self) -> Option<Config> {
        (**self).config()
    }
}

/// What an optimizer is made with: a number, which can be set later on, or a schedule.
#[derive(Clone)]
pub enum LearningRate {
    Constant(f64),
    Schedule(Arc<dyn Schedule>),
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> LearningRate {
        LearningRate::Constant(rate)
    }
}

impl<S: Schedule> From<S> for LearningRate {
    fn from(schedule: S) -> LearningRate {
        LearningRate::Schedule(Arc::new(schedule))
    }
}

impl LearningRate {
    /// The `learning_rate` of an optimizer that Keras describes.
    pub(crate) fn from_config(config: &Config) -> Result<LearningRate> {
        match config.get("learning_rate") {
            Some(value) if value.is_object() => {
                Ok(LearningRate::Schedule(from_config(&Config::from_json(value)?)?))
            }
            _ => Ok(LearningRate::Constant(config.float("learning_rate", 0.001)?)),
        }
    }
}

/// The schedule that Keras describes so.
///
/// # Errors
/// If there is no schedule of that class, or an argument is of another kind than expected.
pub fn from_config(config: &Config) -> Result<Arc<dyn Schedule>> {
    fn made<S: Schedule + Configured>(config: &Config) -> Result<Arc<dyn Schedule>> {
        Ok(Arc::new(S::from_config(config)?))
    }
    match config.class() {
        "ExponentialDecay" => made::<ExponentialDecay>(config),
        "InverseTimeDecay" => made::<InverseTimeDecay>(config),
        "PolynomialDecay" => made::<PolynomialDecay>(config),
        "PiecewiseConstantDecay" => made::<PiecewiseConstantDecay>(config),
        "CosineDecay" => made::<CosineDecay>(config),
        "CosineDecayRestarts" => made::<CosineDecayRestarts>(config),
        other => {
            let rule = format!("there is no learning rate schedule `{other}`");
            Err(Error::outside(ErrorKind::Value, "schedules", rule))
        }
    }
}

/// `step / decay_steps`, or a carried error if that cannot be.
#[track_caller]
fn part(schedule: &str, step: &Tensor, decay_steps: f64) -> Tensor {
    if decay_steps > 0.0 {
        return step / decay_steps;
    }
    let rule = format!("the number of steps to decay over must be above 0, not {decay_steps}");
    Tensor::carry(Error::new(ErrorKind::Value, schedule, rule))
}

fn floored_if(staircase: bool, part: Tensor) -> Tensor {
    if staircase { part.floor() } else { part }
}

/// `baseˣ` for a positive base.
fn power(base: f64, exponent: &Tensor) -> Tensor {
    Tensor::scalar(base).pow(exponent)
}

configured! {
    /// `η = η₀ · r^(step / n)`; as a staircase, `step / n` is rounded down.
    pub struct ExponentialDecay as "ExponentialDecay" {
        initial_learning_rate: f64 = 0.001,
        decay_steps: f64 = 1.0,
        decay_rate: f64 = 1.0,
        staircase: bool = false,
    }
}

impl ExponentialDecay {
    /// The learning rate is multiplied by `decay_rate` every `decay_steps` steps, gradually.
    pub fn new(initial_learning_rate: f64, decay_steps: usize, decay_rate: f64) -> ExponentialDecay {
        let decay_steps = decay_steps as f64;
        ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase: false }
    }

    /// All at once, every `decay_steps` steps.
    pub fn staircase(self) -> ExponentialDecay {
        ExponentialDecay { staircase: true, ..self }
    }
}

impl Schedule for ExponentialDecay {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        let part = part(Self::CLASS, step, self.decay_steps);
        power(self.decay_rate, &floored_if(self.staircase, part)) * self.initial_learning_rate
    }

    fn config(&self) -> Option<Config> {
        Some(Configured::config(self))
    }
}

configured! {
    /// `η = η₀ / (1 + r · step / n)`; as a staircase, `step / n` is rounded down.
    pub struct InverseTimeDecay as "InverseTimeDecay" {
        initial_learning_rate: f64 = 0.001,
        decay_steps: f64 = 1.0,
        decay_rate: f64 = 1.0,
        staircase: bool = false,
    }
}

impl InverseTimeDecay {
    /// With `decay_rate` 1 the learning rate is halved after `decay_steps` steps, and a third after twice as many.
    pub fn new(initial_learning_rate: f64, decay_steps: usize, decay_rate: f64) -> InverseTimeDecay {
        let decay_steps = decay_steps as f64;
        InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase: false }
    }

    /// All at once, every `decay_steps` steps.
    pub fn staircase(self) -> InverseTimeDecay {
        InverseTimeDecay { staircase: true, ..self }
    }
}

impl Schedule for InverseTimeDecay {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        let part = floored_if(self.staircase, part(Self::CLASS, step, self.decay_steps));
        self.initial_learning_rate / (part * self.decay_rate + 1.0)
    }

    fn config(&self) -> Option<Config> {
        Some(Configured::config(self))
    }
}

configured! {
    /// `η = (η₀ - η₁) · (1 - step / n)ᵖ + η₁`; after `n` steps `η₁`, or the same again over `2n`, `3n`, … steps.
    pub struct PolynomialDecay as "PolynomialDecay" {
        initial_learning_rate: f64 = 0.001,
        decay_steps: f64 = 1.0,
        end_learning_rate: f64 = 0.0001,
        power: f64 = 1.0,
        cycle: bool = false,
    }
}

impl PolynomialDecay {
    /// A straight line from one learning rate to another.
    pub fn new(initial_learning_rate: f64, decay_steps: usize, end_learning_rate: f64) -> PolynomialDecay {
        let decay_steps = decay_steps as f64;
        PolynomialDecay {
            initial_learning_rate,
            decay_steps,
            end_learning_rate,
            ..PolynomialDecay::default()
        }
    }

    /// The power `p`: 1 is a straight line.
    pub fn power(self, power: f64) -> PolynomialDecay {
        PolynomialDecay { power, ..self }
    }

    /// Whether to begin anew, over more steps each time.
    pub fn cycle(self, cycle: bool) -> PolynomialDecay {
        PolynomialDecay { cycle, ..self }
    }
}

impl Schedule for PolynomialDecay {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        let part = part(Self::CLASS, step, self.decay_steps);
        let part = if self.cycle { &part / part.ceil().maximum(1.0) } else { part.minimum(1.0) };
        let distance = self.initial_learning_rate - self.end_learning_rate;
        (1.0 - part).pow(self.power) * distance + self.end_learning_rate
    }

    fn config(&self) -> Option<Config> {
        Some(Configured::config(self))
    }
}

configured! {
    /// A constant up to each boundary (inclusive), another one from there on.
    pub struct PiecewiseConstantDecay as "PiecewiseConstantDecay" {
        boundaries: Vec<f64> = Vec::new(),
        values: Vec<f64> = Vec::new(),
    }
}

impl PiecewiseConstantDecay {
    /// `values[0]` up to step `boundaries[0]`, and so on; there is one value more than boundaries.
    pub fn new(boundaries: &[usize], values: &[f64]) -> PiecewiseConstantDecay {
        PiecewiseConstantDecay {
            boundaries: boundaries.iter().map(|&boundary| boundary as f64).collect(),
            values: values.to_vec(),
        }
    }
}

impl Schedule for PiecewiseConstantDecay {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        let (boundaries, values) = (self.boundaries.len(), self.values.len());
        match self.values.split_first() {
            Some((&first, rest)) if rest.len() == boundaries => {
                let pieces = self.boundaries.iter().zip(rest);
                pieces.fold(Tensor::scalar(first), |rate, (&boundary, &value)| {
                    where_(&step.greater(boundary), &Tensor::scalar(value), &rate)
                })
            }
            _ => {
                let rule = format!("there must be one value more than boundaries: {values} for {boundaries}");
                Tensor::carry(Error::new(ErrorKind::Value, Self::CLASS, rule))
            }
        }
    }

    fn config(&self) -> Option<Config> {
        Some(Configured::config(self))
    }
}

configured! {
    /// `η = η₀ · ((1 - α) · (1 + cos(π · step / n)) / 2 + α)`, where a warm-up comes first if that is asked for: a
    /// straight line from `η₀` to its target, from which the cosine falls.
    ///
    /// Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.
    pub struct CosineDecay as "CosineDecay" {
        initial_learning_rate: f64 = 0.001,
        decay_steps: f64 = 1.0,
        alpha: f64 = 0.0,
        warmup_target: Option<f64> = None,
        warmup_steps: f64 = 0.0,
    }
}

impl CosineDecay {
    /// To zero, within `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: usize) -> CosineDecay {
        let decay_steps = decay_steps as f64;
        CosineDecay { initial_learning_rate, decay_steps, ..CosineDecay::default() }
    }

    /// The part of the learning rate that is left at the end.
    pub fn alpha(self, alpha: f64) -> CosineDecay {
        CosineDecay { alpha, ..self }
    }

    /// Before the decay the learning rate rises from the initial one to `target` in so many steps.
    pub fn warmup(self, target: f64, steps: usize) -> CosineDecay {
        CosineDecay { warmup_target: Some(target), warmup_steps: steps as f64, ..self }
    }

    fn decayed(&self, from: f64, step: &Tensor) -> Tensor {
        let part = part(Self::CLASS, step, self.decay_steps).minimum(1.0);
        (cosine(&part) * (1.0 - self.alpha) + self.alpha) * from
    }
}

/// Half a wave of cosine, from 1 to 0.
fn cosine(part: &Tensor) -> Tensor {
    ((part * PI).cos() + 1.0) * 0.5
}

impl Schedule for CosineDecay {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        let initial = self.initial_learning_rate;
        match self.warmup_target.filter(|_| self.warmup_steps > 0.0) {
            None => self.decayed(self.warmup_target.unwrap_or(initial), step),
            Some(target) => {
                let rising = step / self.warmup_steps * (target - initial) + initial;
                let falling = self.decayed(target, &(step - self.warmup_steps));
                where_(&step.less(self.warmup_steps), &rising, &falling)
            }
        }
    }

    fn config(&self) -> Option<Config> {
        Some(Configured::config(self))
    }
}

configured! {
    /// Cosine decays one after the other, each over `t` times as many steps as the one before, from `m` times its
    /// learning rate.
    ///
    /// Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.
    pub struct CosineDecayRestarts as "CosineDecayRestarts" {
        initial_learning_rate: f64 = 0.001,
        first_decay_steps: f64 = 1.0,
        t_mul: f64 = 2.0,
        m_mul: f64 = 1.0,
        alpha: f64 = 0.0,
    }
}

impl CosineDecayRestarts {
    /// Each decay takes twice as long as the one before and begins with the same learning rate.
    pub fn new(initial_learning_rate: f64, first_decay_steps: usize) -> CosineDecayRestarts {
        let first_decay_steps = first_decay_steps as f64;
        CosineDecayRestarts { initial_learning_rate, first_decay_steps, ..CosineDecayRestarts::default() }
    }

    /// How much longer each decay takes than the one before.
    pub fn t_mul(self, factor: f64) -> CosineDecayRestarts {
        CosineDecayRestarts { t_mul: factor, ..self }
    }

    /// The learning rate that each decay begins with, relative to that of the one before.
    pub fn m_mul(self, factor: f64) -> CosineDecayRestarts {
        CosineDecayRestarts { m_mul: factor, ..self }
    }

    /// The part of the learning rate that is left at the end of each decay.
    pub fn alpha(self, alpha: f64) -> CosineDecayRestarts {
        CosineDecayRestarts { alpha, ..self }
    }
}

impl Schedule for CosineDecayRestarts {
    #[track_caller]
    fn rate(&self, step: &Tensor) -> Tensor {
        let done = part(Self::CLASS, step, self.first_decay_steps);
        let (restarts, part) = if self.t_mul == 1.0 {
            let restarts = done.floor();
            let part = done - &restarts;
            (restarts, part)
        } else {
            // The decays before the i-th take (1 - tⁱ) / (1 - t) times as long as the first.
            let restarts = ((1.0 - &done * (1.0 - self.t_mul)).log() / self.t_mul.ln()).floor();
            let length = power(self.t_mul, &restarts);
            let part = (done - (1.0 - &length) / (1.0 - self.t_mul)) / length;
            (restarts, part)
        };
        let height = power(self.m_mul, &restarts) * cosine(&part);
        (height * (1.0 - self.alpha) + self.alpha) * self.initial_learning_rate
    }

    fn config(&self) -> Option<Config> {
        Some(Configured::config(self))
    }
}
