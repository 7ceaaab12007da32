//! What all optimizers keep: learning rate, number of steps, and what is remembered of each variable.

use crate::optimizers::{LearningRate, Schedule};
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Tensor, Variable, eagerly};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Learning rate, number of steps, and the slots (momenta and the like) of each variable, all of them variables.
///
/// Clones share all of it.
#[derive(Clone)]
pub struct OptimizerState {
    owner: Arc<str>,
    rate: Rate,
    iterations: Variable,
    slots: Arc<Mutex<Slots>>,
}

#[derive(Clone)]
enum Rate {
    Settable(Variable),
    Scheduled(Arc<dyn Schedule>),
}

#[derive(Default)]
struct Slots {
    of_variable: HashMap<(u64, &'static str), Variable>,
    in_order: Vec<Variable>,
}

/// A variable that an optimizer keeps for each variable that it trains.
#[derive(Clone, Debug)]
pub struct Slot {
    pub(crate) name: &'static str,
    pub(crate) initial: f64,
    pub(crate) spec: Option<Spec>,
    pub(crate) group: usize,
}

impl Slot {
    /// Zeros at first, in the variable's shape and dtype.
    pub fn new(name: &'static str) -> Slot {
        Slot { name, initial: 0.0, spec: None, group: 0 }
    }

    /// This value at first, everywhere.
    pub fn initial(mut self, value: f64) -> Slot {
        self.initial = value;
        self
    }

    /// Of another shape or dtype than the variable.
    pub fn spec(mut self, spec: Spec) -> Slot {
        self.spec = Some(spec);
        self
    }

    /// Slots of group 0, the usual one, are made variable by variable; those of group 1 for all variables after that,
    /// and so on. This only is their order in files.
    pub fn group(mut self, group: usize) -> Slot {
        self.group = group;
        self
    }
}

/// A scalar that belongs to an optimizer.
pub(crate) fn scalar_variable(name: String, value: Tensor) -> Variable {
    eagerly(|| Variable::new(name, &value)).expect("a scalar is a value").untrainable()
}

impl OptimizerState {
    /// The state of a new optimizer that has made no step; `owner` is the name before those of its variables.
    pub fn new(owner: &str, learning_rate: LearningRate) -> OptimizerState {
        let rate = match learning_rate {
            LearningRate::Constant(rate) => {
                Rate::Settable(scalar_variable(format!("{owner}/learning_rate"), Tensor::scalar(rate)))
            }
            LearningRate::Schedule(schedule) => Rate::Scheduled(schedule),
        };
        OptimizerState {
            owner: owner.into(),
            rate,
            iterations: scalar_variable(format!("{owner}/iteration"), Tensor::scalar(0i64)),
            slots: Arc::default(),
        }
    }

    /// The name before those of its variables: `adam`.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The number of calls of `apply` so far, as a variable (`i64`).
    pub fn iterations(&self) -> &Variable {
        &self.iterations
    }

    /// The learning rate of the step that comes next: a scalar in `f64`.
    #[track_caller]
    pub fn learning_rate(&self) -> Tensor {
        match &self.rate {
            Rate::Settable(variable) => variable.read(),
            Rate::Scheduled(schedule) => schedule.rate(&self.iterations.read().cast(DType::F64)),
        }
    }

    /// The schedule that the learning rate follows, if it does.
    pub fn schedule(&self) -> Option<&Arc<dyn Schedule>> {
        match &self.rate {
            Rate::Settable(_) => None,
            Rate::Scheduled(schedule) => Some(schedule),
        }
    }

    /// Sets the learning rate, also of steps that have been recorded.
    ///
    /// # Errors
    /// If the learning rate follows a schedule.
    #[track_caller]
    pub fn set_learning_rate(&self, learning_rate: f64) -> Result<()> {
        match &self.rate {
            Rate::Settable(variable) => eagerly(|| variable.assign(&Tensor::scalar(learning_rate))),
            Rate::Scheduled(_) => {
                let rule = "the learning rate follows a schedule and cannot be set; make the optimizer with a number";
                Err(Error::new(ErrorKind::Value, &*self.owner, rule))
            }
        }
    }

    /// Iterations, the learning rate unless it follows a schedule, then the slots in the order in which they were
    /// made: Keras's order.
    pub fn variables(&self) -> Vec<Variable> {
        let rate = match &self.rate {
            Rate::Settable(variable) => Some(variable.clone()),
            Rate::Scheduled(_) => None,
        };
        let slots = self.lock().in_order.clone();
        std::iter::once(self.iterations.clone()).chain(rate).chain(slots).collect()
    }

    /// Makes the slots of these variables that do not exist yet.
    pub(crate) fn make_slots(
        &self,
        variables: &[Variable],
        slots_of: impl Fn(&Variable) -> Vec<Slot>,
    ) -> Result<()> {
        let mut slots = self.lock();
        let mut missing: Vec<(Slot, &Variable)> = Vec::new();
        for variable in variables {
            let wanted = slots_of(variable).into_iter();
            let new = wanted.filter(|slot| !slots.of_variable.contains_key(&(variable.id(), slot.name)));
            missing.extend(new.map(|slot| (slot, variable)));
        }
        // Stable: within a group variable by variable.
        missing.sort_by_key(|(slot, _)| slot.group);
        for (slot, variable) in missing {
            let spec = slot.spec.as_ref().unwrap_or(variable.spec());
            let name = format!("{}/{}_{}", self.owner, variable.name().replace('/', "_"), slot.name);
            let made = eagerly(|| Variable::new(name, &Tensor::full(&spec.dims, slot.initial, spec.dtype)))?;
            let made = made.untrainable();
            slots.of_variable.insert((variable.id(), slot.name), made.clone());
            slots.in_order.push(made);
        }
        Ok(())
    }

    /// Makes a scalar that all variables share, unless it exists.
    pub(crate) fn make_shared(&self, name: &'static str, initial: f64, dtype: DType) {
        let Slots { of_variable, in_order } = &mut *self.lock();
        of_variable.entry((SHARED, name)).or_insert_with(|| {
            let made = scalar_variable(format!("{}/{name}", self.owner), Tensor::scalar_of(initial, dtype));
            in_order.push(made.clone());
            made
        });
    }

    /// What is remembered of a variable under a name; nothing if that slot has not been made.
    pub fn slot(&self, name: &'static str, variable: &Variable) -> Option<Variable> {
        self.lock().of_variable.get(&(variable.id(), name)).cloned()
    }

    /// A scalar that all variables share; nothing if it has not been made.
    pub fn shared(&self, name: &'static str) -> Option<Variable> {
        self.lock().of_variable.get(&(SHARED, name)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No variable has this number.
const SHARED: u64 = 0;

impl fmt::Debug for OptimizerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({} variables)", self.owner, self.variables().len())
    }
}

/// Checks the arguments of [`Optimizer::apply`](super::Optimizer::apply).
#[track_caller]
pub(crate) fn check(gradients: &[Tensor], variables: &[Variable]) -> Result<()> {
    let error = |kind, rule: String, got: Vec<Spec>| Err(Error::with_inputs(kind, "optimizer", rule, got));
    if gradients.len() != variables.len() {
        let (have, need) = (gradients.len(), variables.len());
        return error(ErrorKind::Value, format!("{have} gradients came for {need} variables"), vec![]);
    }
    for (gradient, variable) in gradients.iter().zip(variables) {
        let got = gradient.spec()?;
        if got != variable.spec() {
            let rule = format!("the gradient of `{}` must be {}", variable.name(), variable.spec());
            let kind = if got.dims == variable.spec().dims { ErrorKind::DType } else { ErrorKind::Shape };
            return error(kind, rule, vec![got.clone()]);
        }
    }
    Ok(())
}
