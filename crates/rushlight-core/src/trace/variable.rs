//! Variables: named state that outlives a step, read and assigned eagerly or by recorded functions.

use crate::ops::effect::in_callback;
use crate::tensor::{Error, ErrorKind, Result, Spec, Tensor};
use crate::trace::{eagerly, recorder, tape};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

/// A tensor that can be assigned to: a weight, a moving statistic, an optimizer's slot, a generator's state.
///
/// A handle: clones share the same state. Shape and dtype are fixed when it is made.
#[derive(Clone)]
pub struct Variable(Arc<State>);

struct State {
    id: u64,
    name: Arc<str>,
    spec: Spec,
    trainable: AtomicBool,
    constraint: Mutex<Option<Projection>>,
    value: Mutex<Tensor>,
}

/// From a value to the nearest one that is allowed.
type Projection = Arc<dyn Fn(&Tensor) -> Tensor + Send + Sync>;

/// A variable that may be gone: what compiled functions hold, so that they keep no weights alive.
#[derive(Clone)]
pub(crate) struct WeakVariable {
    state: Weak<State>,
    id: u64,
    name: Arc<str>,
    spec: Spec,
}

impl WeakVariable {
    pub(crate) fn upgrade(&self) -> Option<Variable> {
        self.state.upgrade().map(Variable)
    }

    /// Whether the last handle is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.state.strong_count() == 0
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }
}

impl Variable {
    /// A trainable variable with a first value; the name is a path such as `dense_1/kernel`.
    ///
    /// # Errors
    /// If `initial` carries an error or is symbolic (make variables in `build`, not inside a recorded function,
    /// or wrap their making in [`eagerly`]).
    #[track_caller]
    pub fn new(name: impl Into<String>, initial: &Tensor) -> Result<Variable> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let spec = initial.value("Variable::new")?.spec.clone();
        Ok(Variable(Arc::new(State {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.into().into(),
            spec,
            trainable: AtomicBool::new(true),
            constraint: Mutex::new(None),
            value: Mutex::new(eagerly(|| initial.detached())),
        })))
    }

    /// The same variable, marked as not to be trained: a moving statistic, a counter.
    pub fn untrainable(self) -> Variable {
        self.set_trainable(false);
        self
    }

    /// Whether optimizers should update this variable.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Ordering::Relaxed);
    }

    /// What [`Variable::constrain`] makes of a value: optimizers keep to it after each update.
    pub fn set_constraint(&self, project: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) {
        *self.0.constraint.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(project));
    }

    /// Whether the variable has a constraint.
    pub fn is_constrained(&self) -> bool {
        self.0.constraint.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Brings the value back to what the constraint allows; does nothing to a variable without one.
    ///
    /// # Errors
    /// If the constraint does not fit the variable, which then keeps its value.
    #[track_caller]
    pub fn constrain(&self) -> Result<()> {
        let constraint = self.0.constraint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match constraint {
            Some(project) => self.assign(&project(&self.read())),
            None => Ok(()),
        }
    }

    /// The name given when it was made.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A number that no other variable of this program has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Shape and dtype.
    pub fn spec(&self) -> &Spec {
        &self.0.spec
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.0.spec.dims
    }

    /// The current value; while a function is recorded, the value it will have at this point of the program.
    #[track_caller]
    pub fn read(&self) -> Tensor {
        let value = match recorder::read(self) {
            Some(symbol) => symbol,
            None => match self.lock_unless_in_use() {
                Ok(value) => value.clone(),
                Err(error) => Tensor::carry(error),
            },
        };
        tape::variable_read(self, &value);
        value
    }

    /// Sets a new value; while a function is recorded, notes that the call will do so.
    ///
    /// # Errors
    /// If the value carries an error (the variable keeps its value), or has another shape or dtype.
    #[track_caller]
    pub fn assign(&self, value: &Tensor) -> Result<()> {
        let spec = value.spec()?;
        if spec != self.spec() {
            let rule = format!("the new value of variable `{}` must be {}", self.name(), self.spec());
            let kind = if spec.dims == self.spec().dims { ErrorKind::DType } else { ErrorKind::Shape };
            return Err(Error::with_inputs(kind, "assign", rule, vec![spec.clone()]));
        }
        if !recorder::assign(self, value)? {
            let value = Tensor::from_value(value.value("assign")?.clone());
            *self.lock_unless_in_use()? = value;
        }
        Ok(())
    }

    /// Adds to the value: `assign(read() + delta)`.
    #[track_caller]
    pub fn assign_add(&self, delta: &Tensor) -> Result<()> {
        self.assign(&(self.read() + delta))
    }

    /// Subtracts from the value: `assign(read() - delta)`.
    #[track_caller]
    pub fn assign_sub(&self, delta: &Tensor) -> Result<()> {
        self.assign(&(self.read() - delta))
    }

    /// Exclusive access to the stored value, for compiled functions that update it in place.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tensor> {
        self.0.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The same, but an error in a callback of a function that is using the variable, instead of waiting forever.
    #[track_caller]
    pub(crate) fn lock_unless_in_use(&self) -> Result<MutexGuard<'_, Tensor>> {
        if !in_callback() {
            return Ok(self.lock());
        }
        match self.0.value.try_lock() {
            Ok(value) => Ok(value),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let rule = format!(
                    "variable `{}` is in use by the function that this callback is a part of: pass its value to the \
                     callback as a tensor",
                    self.name()
                );
                Err(Error::new(ErrorKind::Recording, "callback", rule))
            }
        }
    }

    pub(crate) fn downgrade(&self) -> WeakVariable {
        let (name, spec) = (self.0.name.clone(), self.0.spec.clone());
        WeakVariable { state: Arc::downgrade(&self.0), id: self.0.id, name, spec }
    }
}

impl PartialEq for Variable {
    /// Whether both are handles of the same variable.
    fn eq(&self, other: &Variable) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Variable {}

impl fmt::Debug for Variable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Variable({}: {})", self.name(), self.spec())
    }
}
