//! The frame of all optimizers: what they share, around the rule by which each differs.

use crate::config::{Config, Configured};
use crate::layers::snake_case;
use crate::optimizers::settings::Settings;
use crate::optimizers::state::check;
use crate::optimizers::{LearningRate, Optimizer, OptimizerState, Slot};
use rushlight_core::trace::Flat;
use rushlight_core::{DType, Error, ErrorKind, Result, Structure, Tensor, Variable, eagerly, scope, where_};
use serde_json::Value;
use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a variable follows its gradient: all that one optimizer has and others have not.
///
/// [`Descent`] makes an optimizer of it. A rule of your own:
///
/// ```
/// use rushlight::config::Configured;
/// use rushlight::optimizers::{Descent, UpdateRule, VariableStep};
/// use rushlight::prelude::*;
///
/// /// `w ← w - η · sign(g)`
/// #[derive(Clone, Debug)]
/// struct SignRule;
///
/// impl Configured for SignRule {
///     const CLASS: &'static str = "SignDescent";
/// }
///
/// impl UpdateRule for SignRule {
///     fn update(&self, step: &VariableStep) -> Result<Tensor> {
///         Ok(&step.value - step.gradient.sign() * step.learning_rate())
///     }
/// }
///
/// let w = Variable::new("w", &Tensor::from([1.0f32, -2.0]))?;
/// let optimizer = Descent::of(SignRule, 0.5).clipvalue(1.0);
/// optimizer.apply(&[Tensor::from([3.0f32, -4.0])], std::slice::from_ref(&w))?;
/// assert_eq!(w.read().to_vec::<f32>()?, [0.5, -1.5]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub trait UpdateRule: Configured + Clone + Debug + Send + Sync + 'static {
    /// What is remembered of a variable from step to step.
    fn slots(&self, variable: &Variable) -> Vec<Slot> {
        let _ = variable;
        Vec::new()
    }

    /// Scalars that are remembered once for all variables, with their first values.
    fn shared(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Called once a step, before the variables' updates: the place to renew what is shared.
    fn begin(&self, clock: &Clock) -> Result<()> {
        let _ = clock;
        Ok(())
    }

    /// The variable's new value; new values of slots go to [`VariableStep::remember`].
    fn update(&self, step: &VariableStep) -> Result<Tensor>;

    /// The weight decay of one variable, given that of all.
    fn weight_decay(&self, variable: &Variable, common: Option<f64>) -> Option<f64> {
        let _ = variable;
        common
    }

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// If they do not.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// An optimizer that follows a rule: [`Sgd`](super::Sgd) is `Descent<SgdRule>`, and so on.
///
/// A step, in Keras's order: gradients are divided by the loss scale factor and accumulated if that is asked for,
/// clipped, variables decay (`w ← w - η·λ·w`), the rule updates them, and averages of them are renewed.
#[derive(Clone, Debug)]
pub struct Descent<R> {
    state: OptimizerState,
    settings: Settings,
    rule: R,
    /// Another one for other arguments: recorded functions are told apart by it.
    id: u64,
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<R: UpdateRule> Descent<R> {
    /// The optimizer that follows this rule, with a learning rate or a schedule of it.
    pub fn of(rule: R, learning_rate: impl Into<LearningRate>) -> Descent<R> {
        let state = OptimizerState::new(&snake_case(R::CLASS), learning_rate.into());
        Descent { state, settings: Settings::default(), rule, id: next_id() }
    }

    /// The optimizer that Keras describes so.
    ///
    /// # Errors
    /// If an argument is of another kind than expected.
    pub fn from_config(config: &Config) -> Result<Descent<R>> {
        let mut made = Descent::of(R::from_config(config)?, LearningRate::from_config(config)?);
        made.settings = Settings::read(config)?;
        Ok(made)
    }

    /// The rule with its arguments.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// The same with other arguments of the rule.
    pub fn with(mut self, change: impl FnOnce(&mut R)) -> Descent<R> {
        change(&mut self.rule);
        self.id = next_id();
        self
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Descent<R> {
        change(&mut self.settings);
        self.id = next_id();
        self
    }

    /// How strongly weights shrink: each step begins with `w ← w - η·λ·w`.
    pub fn weight_decay(self, decay: f64) -> Descent<R> {
        self.set(|settings| settings.weight_decay = Some(decay))
    }

    /// Variables whose own name (`bias`, `gamma`) contains one of these do not shrink.
    pub fn exclude_from_weight_decay(self, names: &[&str]) -> Descent<R> {
        self.set(|settings| settings.undecayed = names.iter().map(|name| name.to_string()).collect())
    }

    /// Gradients of a larger norm are scaled down to this one, each for itself: `g ← g·c / max(‖g‖, c)`.
    pub fn clipnorm(self, norm: f64) -> Descent<R> {
        self.set(|settings| settings.clipnorm = Some(norm))
    }

    /// Each element of the gradients is kept within ± this value.
    pub fn clipvalue(self, value: f64) -> Descent<R> {
        self.set(|settings| settings.clipvalue = Some(value))
    }

    /// All gradients together are scaled down to this norm, if theirs is larger.
    pub fn global_clipnorm(self, norm: f64) -> Descent<R> {
        self.set(|settings| settings.global_clipnorm = Some(norm))
    }

    /// Keeps an exponential moving average of the weights, `a ← m·a + (1 - m)·w`, which takes their place at the end
    /// of `fit`. Keras's momentum is 0.99.
    pub fn use_ema(self, momentum: f64) -> Descent<R> {
        self.set(|settings| settings.ema_momentum = Some(momentum))
    }

    /// The average takes the weights' place also every so many steps.
    pub fn ema_overwrite_frequency(self, steps: usize) -> Descent<R> {
        self.set(|settings| settings.ema_overwrite_frequency = Some(steps))
    }

    /// The weights change only every so many steps, by the mean of the gradients since then.
    pub fn gradient_accumulation_steps(self, steps: usize) -> Descent<R> {
        self.set(|settings| settings.accumulation_steps = Some(steps))
    }

    /// The loss is multiplied by this before gradients are taken ([`Optimizer::scale_loss`]), and they are divided by
    /// it: small ones survive in half precision.
    pub fn loss_scale_factor(self, factor: f64) -> Descent<R> {
        self.set(|settings| settings.loss_scale_factor = Some(factor))
    }

    /// The value after weight decay.
    fn decayed(&self, variable: &Variable, clock: &Clock) -> Tensor {
        let value = variable.read();
        let decay = self.rule.weight_decay(variable, self.settings.weight_decay);
        match decay.filter(|decay| *decay != 0.0 && !self.settings.spares(variable)) {
            None => value,
            Some(decay) => &value - &value * (&clock.learning_rate * decay).cast(variable.spec().dtype),
        }
    }

    /// The gradients to follow and, if gradients are accumulated, whether this is the step to do so.
    #[track_caller]
    fn accumulated(
        &self,
        gradients: Vec<Tensor>,
        variables: &[Variable],
        condition: Option<&Tensor>,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let Some(steps) = self.settings.accumulation_steps else {
            return Ok((gradients, condition.cloned()));
        };
        let due = ((self.state.iterations().read() + 1) % steps as f64).equal(0);
        let mut sums = Vec::new();
        for (gradient, variable) in gradients.iter().zip(variables) {
            let Some(slot) = self.state.slot(ACCUMULATOR, variable) else { continue };
            let old = slot.read();
            let sum = &old + gradient;
            let kept = where_(&due, &sum.zeros_like(), &sum);
            slot.assign(&choose(condition, &kept, &old))?;
            sums.push(sum / steps as f64);
        }
        let due = match condition {
            Some(condition) => due.logical_and(condition),
            None => due,
        };
        Ok((sums, Some(due)))
    }

    /// Renews the averages of the weights. `updates` counts the updates before this one.
    fn average(&self, variables: &[Variable], updates: &Tensor, condition: Option<&Tensor>) -> Result<()> {
        let Some(momentum) = self.settings.ema_momentum else { return Ok(()) };
        // The first average is the weights themselves.
        let momentum = updates.not_equal(0).cast(DType::F64) * momentum;
        let overwrites =
            self.settings.ema_overwrite_frequency.map(|steps| ((updates + 1) % steps as f64).equal(0));
        for variable in variables {
            let Some(slot) = self.state.slot(AVERAGE, variable) else { continue };
            let (old, value) = (slot.read(), variable.read());
            let momentum = momentum.cast(variable.spec().dtype);
            let average = &momentum * &old + (1.0 - &momentum) * &value;
            slot.assign(&choose(condition, &average, &old))?;
            if let Some(overwrites) = &overwrites {
                let new = where_(overwrites, &average, &value);
                variable.assign(&choose(condition, &new, &value))?;
            }
        }
        Ok(())
    }
}

const ACCUMULATOR: &str = "gradient_accumulator";
const AVERAGE: &str = "average";

/// The new value where the condition holds, or there is none.
fn choose(condition: Option<&Tensor>, new: &Tensor, old: &Tensor) -> Tensor {
    condition.map_or_else(|| new.clone(), |condition| where_(condition, new, old))
}

impl<R: UpdateRule> Optimizer for Descent<R> {
    fn state(&self) -> &OptimizerState {
        &self.state
    }

    fn build(&self, variables: &[Variable]) -> Result<()> {
        self.state.make_slots(variables, |variable| {
            let average = self.settings.ema_momentum.map(|_| Slot::new(AVERAGE));
            let accumulator = self.settings.accumulation_steps.map(|_| Slot::new(ACCUMULATOR).group(1));
            let own = self.rule.slots(variable).into_iter().map(|slot| {
                let group = slot.group + 2;
                slot.group(group)
            });
            average.into_iter().chain(accumulator).chain(own).collect()
        })?;
        let dtype = variables.first().map_or(DType::F32, |variable| variable.spec().dtype);
        self.rule.shared().iter().for_each(|(name, initial)| self.state.make_shared(name, *initial, dtype));
        Ok(())
    }

    #[track_caller]
    fn apply_if(
        &self,
        condition: Option<&Tensor>,
        gradients: &[Tensor],
        variables: &[Variable],
    ) -> Result<()> {
        check(gradients, variables)?;
        self.settings.check(self.state.owner())?;
        self.rule.check()?;
        if variables.is_empty() {
            return Ok(());
        }
        self.build(variables)?;
        let gradients = match self.settings.loss_scale_factor {
            Some(factor) => gradients.iter().map(|gradient| gradient / factor).collect(),
            None => gradients.to_vec(),
        };
        let (gradients, apply) = self.accumulated(gradients, variables, condition)?;
        let calls = self.state.iterations().read();
        let updates = match self.settings.accumulation_steps {
            Some(steps) => calls.floor_div(steps),
            None => calls.clone(),
        };
        let clock = Clock {
            state: &self.state,
            learning_rate: self.state.learning_rate(),
            number: (&updates + 1).cast(DType::F64),
            apply,
            made: RefCell::default(),
        };
        self.rule.begin(&clock)?;
        for (gradient, variable) in self.settings.clip(gradients).into_iter().zip(variables) {
            scope(&variable.name().replace('/', "_"), None, || {
                let value = self.decayed(variable, &clock);
                let new = self.rule.update(&VariableStep { clock: &clock, variable, value, gradient })?;
                variable.assign(&choose(clock.apply.as_ref(), &new, &variable.read()))
            })?;
        }
        self.average(variables, &updates, condition)?;
        variables.iter().try_for_each(Variable::constrain)?;
        self.state.iterations().assign(&choose(condition, &(&calls + 1), &calls))
    }

    #[track_caller]
    fn scale_loss(&self, loss: &Tensor) -> Tensor {
        self.settings.loss_scale_factor.map_or_else(|| loss.clone(), |factor| loss * factor)
    }

    fn finalize_variable_values(&self, variables: &[Variable]) -> Result<()> {
        variables.iter().try_for_each(|variable| match self.state.slot(AVERAGE, variable) {
            Some(average) => variable.assign(&average.read()),
            None => Ok(()),
        })
    }

    fn config(&self) -> Config {
        let config = self.rule.config().with("name", self.state.owner());
        let rate = match self.state.schedule().and_then(|schedule| schedule.config()) {
            Some(schedule) => schedule.to_json("keras.optimizers.schedules"),
            None => self.learning_rate().map_or(Value::Null, Value::from),
        };
        self.settings.write(config).with("learning_rate", rate)
    }
}

/// One step of an optimizer.
pub struct Clock<'a> {
    state: &'a OptimizerState,
    learning_rate: Tensor,
    number: Tensor,
    /// Whether the step is to be made, if that depends on something.
    apply: Option<Tensor>,
    made: RefCell<Vec<(&'static str, Tensor)>>,
}

impl Clock<'_> {
    /// The learning rate of this step: a scalar in `f64`.
    pub fn learning_rate(&self) -> &Tensor {
        &self.learning_rate
    }

    /// The number of the step, from 1: a scalar in `f64`.
    pub fn number(&self) -> &Tensor {
        &self.number
    }

    /// Whether the learning rate follows a schedule.
    pub fn is_scheduled(&self) -> bool {
        self.state.schedule().is_some()
    }

    /// `1 - βᵗ` at step `t`: by how much a mean that began with zeros is too small.
    pub fn bias_correction(&self, beta: f64) -> Tensor {
        1.0 - (&self.number * beta.ln()).exp()
    }

    /// What is the same for all variables, made once a step.
    pub fn once(&self, name: &'static str, make: impl FnOnce() -> Tensor) -> Tensor {
        if let Some((_, tensor)) = self.made.borrow().iter().find(|(known, _)| *known == name) {
            return tensor.clone();
        }
        let tensor = make();
        self.made.borrow_mut().push((name, tensor.clone()));
        tensor
    }

    /// A scalar that [`UpdateRule::shared`] declares.
    #[track_caller]
    pub fn shared(&self, name: &'static str) -> Tensor {
        match self.state.shared(name) {
            Some(variable) => variable.read(),
            None => Tensor::carry(undeclared(self.state, name)),
        }
    }

    /// A new value of a shared scalar.
    #[track_caller]
    pub fn set_shared(&self, name: &'static str, value: &Tensor) -> Result<()> {
        let variable = self.state.shared(name).ok_or_else(|| undeclared(self.state, name))?;
        variable.assign(&choose(self.apply.as_ref(), value, &variable.read()))
    }
}

/// One step of an optimizer for one variable.
pub struct VariableStep<'a> {
    clock: &'a Clock<'a>,
    /// The variable, for its name and shape.
    pub variable: &'a Variable,
    /// Its value after weight decay.
    pub value: Tensor,
    /// Its gradient, clipped.
    pub gradient: Tensor,
}

impl VariableStep<'_> {
    /// What is the same for all variables.
    pub fn clock(&self) -> &Clock<'_> {
        self.clock
    }

    /// The dtype of the variable.
    pub fn dtype(&self) -> DType {
        self.variable.spec().dtype
    }

    /// The learning rate as a scalar of the variable's dtype.
    pub fn learning_rate(&self) -> Tensor {
        self.clock.learning_rate.cast(self.dtype())
    }

    /// The number of the step, from 1, as a scalar of the variable's dtype.
    pub fn number(&self) -> Tensor {
        self.clock.number.cast(self.dtype())
    }

    /// What is remembered of the variable under this name.
    #[track_caller]
    pub fn slot(&self, name: &'static str) -> Tensor {
        match self.clock.state.slot(name, self.variable) {
            Some(slot) => slot.read(),
            None => Tensor::carry(undeclared(self.clock.state, name)),
        }
    }

    /// Whether the rule declared a slot of this name for the variable.
    pub fn has_slot(&self, name: &'static str) -> bool {
        self.clock.state.slot(name, self.variable).is_some()
    }

    /// Remembers this until the next step; gives it back.
    ///
    /// # Errors
    /// If the rule has not declared the slot, or the value does not fit it.
    #[track_caller]
    pub fn remember(&self, name: &'static str, value: Tensor) -> Result<Tensor> {
        let state = self.clock.state;
        let slot = state.slot(name, self.variable).ok_or_else(|| undeclared(state, name))?;
        slot.assign(&choose(self.clock.apply.as_ref(), &value, &slot.read()))?;
        Ok(value)
    }

    /// `s ← s + (x - s)·(1 - β)`: a running mean in a slot; gives its new value.
    ///
    /// # Errors
    /// As [`VariableStep::remember`].
    #[track_caller]
    pub fn running_mean(&self, name: &'static str, x: &Tensor, beta: f64) -> Result<Tensor> {
        let old = self.slot(name);
        self.remember(name, &old + (x - &old) * (1.0 - beta))
    }
}

#[track_caller]
fn undeclared(state: &OptimizerState, name: &str) -> Error {
    let rule = format!("the rule declares no slot `{name}` for this variable");
    Error::new(ErrorKind::Value, state.owner(), rule)
}

/// An optimizer as an argument of a recorded function is captured by reference.
impl<R: UpdateRule> Structure for Descent<R> {
    fn flatten(&self, flat: &mut Flat) {
        flat.identity("optimizer", self.id);
    }

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> Descent<R> {
        self.clone()
    }
}

impl<R: UpdateRule> Descent<R> {
    /// The learning rate, as it is now.
    ///
    /// # Errors
    /// If its schedule fails.
    #[track_caller]
    pub fn learning_rate(&self) -> Result<f64> {
        eagerly(|| self.state.learning_rate().to_f64())
    }
}
