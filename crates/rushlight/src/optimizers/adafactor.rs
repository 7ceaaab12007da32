//! Adafactor.

use crate::config::configured;
use crate::optimizers::{Descent, LearningRate, Slot, UpdateRule, VariableStep};
use rushlight_core::{DType, Result, Spec, Tensor, Variable};

configured! {
    /// The rule of [`Adafactor`].
    pub struct AdafactorRule as "Adafactor" {
        beta_2_decay: f64 = -0.8,
        epsilon_1: f64 = 1e-30,
        epsilon_2: f64 = 1e-3,
        clip_threshold: f64 = 1.0,
        relative_step: bool = true,
    }
}

/// Adafactor, by Keras's formulas: the mean squared gradients of a matrix are kept as those of its rows, `r`, and
/// columns, `c`, which takes far less memory than Adam.
///
/// `β = 1 - tᵈ`, `r ← β·r + (1 - β)·mean(g² + ε₁)` over columns, `c` alike over rows, `v = r/mean(r) ⊗ c` (for vectors
/// `v ← β·v + (1 - β)·(g² + ε₁)`), `u = g/√v`, `w ← w - max(ε₂, rms(w))·min(η, 1/√t) · u / max(1, rms(u)/d)`.
///
/// Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018.
pub type Adafactor = Descent<AdafactorRule>;

impl Descent<AdafactorRule> {
    /// Adafactor with Keras's arguments. Keras's learning rate is 0.001.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Adafactor {
        Descent::of(AdafactorRule::default(), learning_rate)
    }

    /// The power `d` of the step's number in `β = 1 - tᵈ`.
    pub fn beta_2_decay(self, decay: f64) -> Adafactor {
        self.with(|rule| rule.beta_2_decay = decay)
    }

    /// What is added to squared gradients, and the least scale of a variable.
    pub fn epsilons(self, epsilon_1: f64, epsilon_2: f64) -> Adafactor {
        self.with(|rule| (rule.epsilon_1, rule.epsilon_2) = (epsilon_1, epsilon_2))
    }

    /// The root mean square of an update above which it is scaled down.
    pub fn clip_threshold(self, threshold: f64) -> Adafactor {
        self.with(|rule| rule.clip_threshold = threshold)
    }
}

const ROWS: &str = "r";
const COLUMNS: &str = "c";
const VELOCITY: &str = "velocity";

fn root_mean_square(x: &Tensor) -> Tensor {
    x.square().mean(..).sqrt()
}

impl UpdateRule for AdafactorRule {
    fn slots(&self, variable: &Variable) -> Vec<Slot> {
        let spec = variable.spec();
        let (rows, columns) = match spec.dims.as_slice() {
            [outer @ .., rows, columns] => (
                Spec::new([outer, &[*rows]].concat(), spec.dtype),
                Spec::new([outer, &[*columns]].concat(), spec.dtype),
            ),
            // Vectors are not factored; Keras's files have placeholders for them.
            _ => (Spec::new([], DType::I32), Spec::new([], DType::I32)),
        };
        vec![Slot::new(ROWS).spec(rows), Slot::new(COLUMNS).spec(columns), Slot::new(VELOCITY)]
    }

    #[track_caller]
    fn update(&self, step: &VariableStep) -> Result<Tensor> {
        let (number, gradient) = (step.number(), &step.gradient);
        // Keras's `relative_step` caps the learning rate at 1/√t a second time, which changes nothing.
        let rate = step.learning_rate().minimum(number.rsqrt());
        let rate = root_mean_square(&step.value).maximum(self.epsilon_2) * rate;
        let beta = 1.0 - number.pow(self.beta_2_decay);
        let squares = gradient.square() + self.epsilon_1;
        let kept = |name, new: Tensor| step.remember(name, &beta * step.slot(name) + (1.0 - &beta) * new);
        let velocity = if step.variable.spec().rank() >= 2 {
            let rows = kept(ROWS, squares.mean(-1))?;
            let columns = kept(COLUMNS, squares.mean(-2))?;
            let rows = &rows / rows.mean_keepdims(-1);
            step.remember(VELOCITY, rows.expand_dims(-1) * columns.expand_dims(-2))?
        } else {
            kept(VELOCITY, squares)?
        };
        let update = gradient / velocity.sqrt();
        let scale = (root_mean_square(&update) / self.clip_threshold).maximum(1.0);
        Ok(&step.value - rate * (update / scale))
    }
}
