//! What all optimizers keep.

use rushlight_core::trace::Flat;
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Structure, Tensor, Variable, eagerly};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Learning rate, number of steps, and the slots (momenta and the like) of each variable, all of them variables.
///
/// Clones share all of it.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    learning_rate: Variable,
    iterations: Variable,
    weight_decay: f64,
    slots: Arc<Mutex<Slots>>,
}

#[derive(Debug, Default)]
struct Slots {
    of_variable: HashMap<(u64, &'static str), Variable>,
    in_order: Vec<Variable>,
}

impl OptimizerState {
    /// The state of a new optimizer that has made no step.
    pub fn new(learning_rate: f64) -> OptimizerState {
        let variable = |name: &str, value: Tensor| {
            eagerly(|| Variable::new(name, &value)).expect("a scalar is a value").untrainable()
        };
        OptimizerState {
            learning_rate: variable("learning_rate", Tensor::scalar(learning_rate)),
            iterations: variable("iterations", Tensor::scalar(0i64)),
            weight_decay: 0.0,
            slots: Arc::default(),
        }
    }

    /// Each step first makes all variables smaller by this part, times the learning rate.
    pub fn set_weight_decay(&mut self, weight_decay: f64) {
        self.weight_decay = weight_decay;
    }

    /// The learning rate as a variable (`f64`).
    pub fn learning_rate(&self) -> &Variable {
        &self.learning_rate
    }

    /// The number of steps made, as a variable (`i64`).
    pub fn iterations(&self) -> &Variable {
        &self.iterations
    }

    pub(crate) fn learning_rate_now(&self) -> f64 {
        eagerly(|| self.learning_rate.read().to_f64()).expect("the learning rate is a scalar")
    }

    pub(crate) fn set_learning_rate(&self, learning_rate: f64) {
        let value = Tensor::scalar(learning_rate);
        eagerly(|| self.learning_rate.assign(&value)).expect("the learning rate is an f64 scalar");
    }

    /// Iterations, learning rate, then the slots in the order in which they were made.
    pub fn variables(&self) -> Vec<Variable> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        [self.iterations.clone(), self.learning_rate.clone()]
            .into_iter()
            .chain(slots.in_order.iter().cloned())
            .collect()
    }

    /// What the optimizer remembers of a variable under a name; zeros at first.
    pub fn slot(&self, name: &'static str, variable: &Variable) -> Result<Variable> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.of_variable.get(&(variable.id(), name)) {
            return Ok(slot.clone());
        }
        let spec = variable.spec();
        let slot = eagerly(|| {
            Variable::new(format!("{}/{name}", variable.name()), &Tensor::zeros(&spec.dims, spec.dtype))
        })?
        .untrainable();
        slots.of_variable.insert((variable.id(), name), slot.clone());
        slots.in_order.push(slot.clone());
        Ok(slot)
    }

    /// Checks the arguments of [`Optimizer::apply`](super::Optimizer::apply).
    #[track_caller]
    pub fn check(&self, gradients: &[Tensor], variables: &[Variable]) -> Result<()> {
        let error =
            |kind, rule: String, got: Vec<Spec>| Err(Error::with_inputs(kind, "optimizer", rule, got));
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

    /// The variable's value after weight decay: `w - w · decay · learning rate`.
    pub fn decayed(&self, variable: &Variable, learning_rate: &Tensor) -> Tensor {
        let value = variable.read();
        match self.weight_decay {
            0.0 => value,
            decay => &value - &value * (learning_rate * decay).cast(variable.spec().dtype),
        }
    }

    /// Counts a step, once it is made.
    pub fn count_step(&self) -> Result<()> {
        self.iterations.assign_add(&Tensor::scalar(1i64))
    }

    /// The number of the step that is being made, from 1, as a scalar.
    pub fn step_number(&self) -> Tensor {
        (self.iterations.read() + Tensor::scalar(1i64)).cast(DType::F64)
    }
}

/// An optimizer as an argument of a recorded function is captured by reference.
impl Structure for OptimizerState {
    fn flatten(&self, flat: &mut Flat) {
        flat.identity("optimizer", self.iterations.id());
        self.weight_decay.flatten(flat);
    }

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> OptimizerState {
        self.clone()
    }
}
