//! Loss scaling that finds its factor by itself.

use crate::config::Config;
use crate::optimizers::state::{check, scalar_variable};
use crate::optimizers::{Optimizer, OptimizerState, from_config};
use rushlight_core::trace::Flat;
use rushlight_core::{Error, ErrorKind, Result, Structure, Tensor, Variable, where_};
use std::fmt;
use std::sync::Arc;

/// An optimizer around another one that scales the loss up before gradients are taken, so that they survive in `f16`,
/// and the gradients down again.
///
/// The factor doubles after 2000 steps in a row with finite gradients. A step with others is left out, and halves
/// the factor.
///
/// Source: Micikevicius et al., "Mixed Precision Training", 2017; Keras's `LossScaleOptimizer`.
///
/// ```
/// use rushlight::prelude::*;
/// let optimizer = LossScaleOptimizer::new(Adam::new(0.001)).initial_scale(8.0);
/// assert_eq!(optimizer.scale_loss(&Tensor::scalar(0.5f32)).item::<f32>()?, 4.0);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone)]
pub struct LossScaleOptimizer {
    inner: Arc<dyn Optimizer>,
    initial_scale: f64,
    growth_steps: usize,
    /// Keras keeps these two, which mean nothing, in its files.
    unused: [Variable; 2],
    steps: Variable,
    scale: Variable,
}

impl LossScaleOptimizer {
    /// A first factor of 2¹⁵, doubled every 2000 steps.
    pub fn new(inner: impl Optimizer) -> LossScaleOptimizer {
        let variable = |name: &str, value| scalar_variable(format!("loss_scale_optimizer/{name}"), value);
        LossScaleOptimizer {
            inner: Arc::new(inner),
            initial_scale: 32768.0,
            growth_steps: 2000,
            unused: [
                variable("iteration", Tensor::scalar(0i64)),
                variable("learning_rate", Tensor::scalar(0f64)),
            ],
            steps: variable("step_counter", Tensor::scalar(0i64)),
            scale: variable("dynamic_scale", Tensor::scalar(32768f32)),
        }
    }

    /// The factor to begin with.
    pub fn initial_scale(mut self, scale: f64) -> LossScaleOptimizer {
        self.initial_scale = scale;
        self.scale = scalar_variable(self.scale.name().to_string(), Tensor::scalar(scale as f32));
        self
    }

    /// After how many steps in a row with finite gradients the factor doubles.
    pub fn dynamic_growth_steps(mut self, steps: usize) -> LossScaleOptimizer {
        self.growth_steps = steps;
        self
    }

    /// The factor as it is now.
    pub fn scale(&self) -> &Variable {
        &self.scale
    }

    pub(crate) fn from_config(config: &Config) -> Result<LossScaleOptimizer> {
        let Some(inner) = config.get("inner_optimizer") else {
            let rule = "a LossScaleOptimizer needs an `inner_optimizer`";
            return Err(Error::outside(ErrorKind::Value, "optimizers", rule));
        };
        let made = LossScaleOptimizer::new(from_config(&Config::from_json(inner)?)?)
            .initial_scale(config.float("initial_scale", 32768.0)?);
        Ok(made.dynamic_growth_steps(config.optional_count("dynamic_growth_steps")?.unwrap_or(2000)))
    }
}

impl Optimizer for LossScaleOptimizer {
    fn state(&self) -> &OptimizerState {
        self.inner.state()
    }

    fn build(&self, variables: &[Variable]) -> Result<()> {
        self.inner.build(variables)
    }

    #[track_caller]
    fn apply_if(
        &self,
        condition: Option<&Tensor>,
        gradients: &[Tensor],
        variables: &[Variable],
    ) -> Result<()> {
        check(gradients, variables)?;
        let finite = gradients.iter().map(|gradient| gradient.is_finite().all(..));
        let Some(finite) = finite.reduce(|all, one| all.logical_and(one)) else { return Ok(()) };
        let (steps, scale) = (self.steps.read(), self.scale.read());
        let scaled_down = gradients
            .iter()
            .zip(variables)
            .map(|(gradient, variable)| gradient / scale.cast(variable.spec().dtype));
        let both = condition.map_or_else(|| finite.clone(), |condition| finite.logical_and(condition));
        self.inner.apply_if(Some(&both), &scaled_down.collect::<Vec<_>>(), variables)?;
        let grows = steps.equal(self.growth_steps.saturating_sub(1)).logical_and(&finite);
        let counts = finite.logical_and(grows.logical_not());
        let new_steps = where_(&counts, &(&steps + 1), &steps.zeros_like());
        let new_scale = where_(&grows, &(&scale * 2.0), &where_(&finite, &scale, &(&scale * 0.5)));
        let chosen = |new: &Tensor, old: &Tensor| match condition {
            Some(condition) => where_(condition, new, old),
            None => new.clone(),
        };
        self.steps.assign(&chosen(&new_steps, &steps))?;
        self.scale.assign(&chosen(&new_scale, &scale))
    }

    #[track_caller]
    fn scale_loss(&self, loss: &Tensor) -> Tensor {
        match loss.dtype() {
            // The inner optimizer divides by a factor of its own, if it has one.
            Ok(dtype) => self.inner.scale_loss(loss) * self.scale.read().cast(dtype),
            Err(_) => loss.clone(),
        }
    }

    fn finalize_variable_values(&self, variables: &[Variable]) -> Result<()> {
        self.inner.finalize_variable_values(variables)
    }

    fn variables(&self) -> Vec<Variable> {
        let own = self.unused.iter().chain([&self.steps, &self.scale]).cloned();
        own.chain(self.inner.variables()).collect()
    }

    fn config(&self) -> Config {
        Config::new("LossScaleOptimizer")
            .with("name", "loss_scale_optimizer")
            .with("inner_optimizer", self.inner.config().to_json("keras.optimizers"))
            .with("initial_scale", self.initial_scale)
            .with("dynamic_growth_steps", self.growth_steps)
    }
}

impl fmt::Debug for LossScaleOptimizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LossScaleOptimizer({:?})", self.inner.state())
    }
}

impl Structure for LossScaleOptimizer {
    fn flatten(&self, flat: &mut Flat) {
        flat.identity("loss scale optimizer", self.scale.id());
        self.growth_steps.flatten(flat);
    }

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> LossScaleOptimizer {
        self.clone()
    }
}
