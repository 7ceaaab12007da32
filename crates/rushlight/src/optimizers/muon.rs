//! Muon.

use crate::config::configured;
use crate::optimizers::adam::{Moments, adam_update};
use crate::optimizers::{Descent, LearningRate, Slot, UpdateRule, VariableStep};
use rushlight_core::{Result, Tensor, Variable};

configured! {
    /// The rule of [`Muon`].
    pub struct MuonRule as "Muon" {
        adam_beta_1: f64 = 0.9,
        adam_beta_2: f64 = 0.999,
        adam_weight_decay: Option<f64> = Some(0.004),
        epsilon: f64 = 1e-7,
        exclude_layers: Vec<String> = Vec::new(),
        exclude_embeddings: bool = true,
        muon_a: f64 = 3.4445,
        muon_b: f64 = -4.7750,
        muon_c: f64 = 2.0315,
        adam_lr_ratio: f64 = 1.0,
        momentum: f64 = 0.95,
        ns_steps: usize = 5,
        nesterov: bool = true,
        rms_rate: Option<f64> = Some(0.2),
    }
}

/// Muon, by Keras's formulas: matrices follow an orthogonalized momentum, everything else (vectors, convolution
/// kernels, embeddings) follows AdamW.
///
/// `m ← μ·m + g`, `u = orthogonalize(g + μ·m)`, `w ← w - η·u·√max(rows, columns)·0.2`. Orthogonalizing takes five
/// Newton-Schulz steps `X ← a·X + (b·XXᵀ + c·(XXᵀ)²)·X` from `X = u/‖u‖`.
///
/// Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is
/// Scalable for LLM Training", 2025.
pub type Muon = Descent<MuonRule>;

impl Descent<MuonRule> {
    /// Muon with momentum 0.95 and a weight decay of 0.004. Keras's learning rate is 0.001.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Muon {
        Descent::of(MuonRule::default(), learning_rate).weight_decay(0.004)
    }

    /// The part of the momentum that is kept at each step.
    pub fn momentum(self, momentum: f64) -> Muon {
        self.with(|rule| rule.momentum = momentum)
    }

    /// Whether the gradient counts once more on top of the momentum.
    pub fn nesterov(self, nesterov: bool) -> Muon {
        self.with(|rule| rule.nesterov = nesterov)
    }

    /// The number of Newton-Schulz steps.
    pub fn ns_steps(self, steps: usize) -> Muon {
        self.with(|rule| rule.ns_steps = steps)
    }

    /// Updates are scaled by `√max(rows, columns)` times this; not at all for nothing.
    pub fn rms_rate(self, rate: Option<f64>) -> Muon {
        self.with(|rule| rule.rms_rate = rate)
    }

    /// The learning rate of what follows AdamW, relative to that of matrices.
    pub fn adam_lr_ratio(self, ratio: f64) -> Muon {
        self.with(|rule| rule.adam_lr_ratio = ratio)
    }

    /// Variables with one of these in their names follow AdamW.
    pub fn exclude_layers(self, names: &[&str]) -> Muon {
        self.with(|rule| rule.exclude_layers = names.iter().map(|name| name.to_string()).collect())
    }
}

const MOMENTUM: &str = "momentum";
const VELOCITY: &str = "velocity";

impl MuonRule {
    fn follows_adam(&self, variable: &Variable) -> bool {
        let name = variable.name();
        variable.spec().rank() != 2
            || (self.exclude_embeddings && name.to_lowercase().contains("embedding"))
            || self.exclude_layers.iter().any(|part| name.contains(part.as_str()))
    }

    /// A matrix with (about) the same singular vectors, and singular values near 1.
    #[track_caller]
    fn orthogonalized(&self, matrix: &Tensor) -> Tensor {
        let Ok(&[rows, columns]) = matrix.shape() else { return matrix.clone() };
        let mut x = if rows > columns { matrix.t() } else { matrix.clone() };
        x = &x / (x.square().sum(..).sqrt() + 1e-7);
        for _ in 0..self.ns_steps {
            let square = x.matmul(&x.t());
            let polynomial = &square * self.muon_b + (&square * self.muon_c).matmul(&square);
            x = &x * self.muon_a + polynomial.matmul(&x);
        }
        if rows > columns { x.t() } else { x }
    }
}

impl UpdateRule for MuonRule {
    fn slots(&self, variable: &Variable) -> Vec<Slot> {
        let velocity = self.follows_adam(variable).then(|| Slot::new(VELOCITY));
        std::iter::once(Slot::new(MOMENTUM)).chain(velocity).collect()
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        if step.has_slot(VELOCITY) {
            let moments =
                Moments { beta_1: self.adam_beta_1, beta_2: self.adam_beta_2, epsilon: self.epsilon };
            return adam_update(step, &moments, self.adam_lr_ratio, None);
        }
        let gradient = &step.gradient;
        let momentum = step.remember(MOMENTUM, gradient + step.slot(MOMENTUM) * self.momentum)?;
        let direction = if self.nesterov { gradient + momentum * self.momentum } else { momentum };
        let mut rate = step.learning_rate();
        if let (Some(scale), Some(&largest)) = (self.rms_rate, step.variable.shape().iter().max()) {
            rate = rate * ((largest as f64).sqrt() * scale);
        }
        Ok(&step.value - self.orthogonalized(&direction) * rate)
    }

    fn weight_decay(&self, variable: &Variable, common: Option<f64>) -> Option<f64> {
        if self.follows_adam(variable) { self.adam_weight_decay } else { common }
    }
}
