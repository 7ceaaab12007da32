//! What every layer keeps besides its hyper-parameters: name, place, variables and inner layers.

use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::loading::first_value;
use crate::layers::precision::{self, DTypePolicy, cast_float};
use crate::regularizers::Regularizer;
use rushlight_core::random::Generator;
use rushlight_core::tensor::BATCH;
use rushlight_core::trace::{Flat, Key, scope_path};
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Structure, Tensor, Variable, eagerly};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The part that all layers have in common; a field of each of them. Clones share it: they are the same layer.
#[derive(Clone)]
pub struct LayerState(Arc<Shared>);

struct Shared {
    id: u64,
    class: &'static str,
    made_at: &'static Location<'static>,
    built: AtomicBool,
    trainable: AtomicBool,
    contents: Mutex<Contents>,
    building: Mutex<()>,
}

#[derive(Default)]
struct Contents {
    name: Option<Arc<str>>,
    /// Given by the user, not made from the class.
    is_named: bool,
    weights: Vec<Own>,
    inner: Vec<LayerState>,
    generators: Vec<Generator>,
    /// Of the first call, the batch axis open.
    inputs: Vec<Spec>,
    outputs: Vec<Spec>,
    activity_regularizer: Option<Regularizer>,
    policy: Option<DTypePolicy>,
}

struct Own {
    variable: Variable,
    /// Made to be trained; a moving statistic is not.
    trains: bool,
    regularizer: Option<Regularizer>,
}

thread_local! {
    /// How many layers of each class have been named on this thread.
    static COUNTERS: RefCell<HashMap<String, usize>> = RefCell::new(HashMap::new());
    /// The layers being built or computed, outermost first.
    static ACTIVE: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

struct Frame {
    state: LayerState,
    stage: Stage,
    /// The dtype in which weights are read.
    autocast: Option<DType>,
}

/// What a layer is doing.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// Making weights of this dtype. A model put together meanwhile is recorded as anywhere else.
    Building(DType),
    Computing,
    /// Computing on a model's symbols to find out shapes: nothing is recorded of the layers inside.
    Trying,
}

impl LayerState {
    /// The state of a new layer; `class` is its type's name (`Dense`), from which it gets its own (`dense_1`).
    ///
    /// Remembers the caller's line for error messages: make constructors of layers `#[track_caller]`.
    #[track_caller]
    pub fn new(class: &'static str) -> LayerState {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        LayerState(Arc::new(Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            class,
            made_at: Location::caller(),
            built: AtomicBool::new(false),
            trainable: AtomicBool::new(true),
            contents: Mutex::new(Contents { policy: policy_of_new_layers(), ..Contents::default() }),
            building: Mutex::new(()),
        }))
    }

    /// A number that no other layer of this program has.
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// The type's name, such as `Conv2d`.
    pub fn class(&self) -> &'static str {
        self.0.class
    }

    /// The line on which the layer was made.
    pub fn made_at(&self) -> &'static Location<'static> {
        self.0.made_at
    }

    /// The layer's name: as given, or made on first use from its class and a count, per thread.
    pub fn name(&self) -> Arc<str> {
        self.lock().name.get_or_insert_with(|| next_name(self.0.class).into()).clone()
    }

    /// Gives the layer a name of your own.
    pub fn set_name(&self, name: impl Into<String>) {
        let mut contents = self.lock();
        contents.name = Some(name.into().into());
        contents.is_named = true;
    }

    /// The name, if it was given and not made from the class.
    pub(crate) fn given_name(&self) -> Option<Arc<str>> {
        let contents = self.lock();
        contents.name.clone().filter(|_| contents.is_named)
    }

    /// Whether the weights have been made.
    pub fn is_built(&self) -> bool {
        self.0.built.load(Ordering::Acquire)
    }

    /// Whether the layer itself has not been frozen.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// As [`Layer::set_trainable`](crate::layers::Layer::set_trainable).
    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Ordering::Relaxed);
        let inner = {
            let contents = self.lock();
            contents.weights.iter().for_each(|own| own.variable.set_trainable(trainable && own.trains));
            contents.inner.clone()
        };
        inner.iter().for_each(|layer| layer.set_trainable(trainable));
    }

    /// What the layer's outputs cost.
    pub fn activity_regularizer(&self) -> Option<Regularizer> {
        self.lock().activity_regularizer.clone()
    }

    /// As [`Layer::activity_regularizer`](crate::layers::Layer::activity_regularizer).
    pub fn set_activity_regularizer(&self, regularizer: Option<Regularizer>) {
        self.lock().activity_regularizer = regularizer;
    }

    /// The layer's policy of dtypes, if it was made under one or given one.
    pub fn dtype_policy(&self) -> Option<DTypePolicy> {
        self.lock().policy
    }

    /// As [`Layer::dtype_policy`](crate::layers::Layer::dtype_policy); to be set before the layer is built.
    pub fn set_dtype_policy(&self, policy: Option<DTypePolicy>) {
        self.lock().policy = policy;
    }

    /// Whether this layer or one inside computes in `dtype`.
    pub(crate) fn computes_in(&self, dtype: DType) -> bool {
        self.dtype_policy().is_some_and(|policy| policy.compute == dtype)
            || self.inner_layers().iter().any(|layer| layer.computes_in(dtype))
    }

    /// What the trained weights cost by their regularizers, inner layers' included.
    #[track_caller]
    pub(crate) fn regularization_losses(&self) -> Vec<Tensor> {
        let mut seen = std::collections::HashSet::new();
        let mut costs = Vec::new();
        self.visit(&mut |own| {
            if let Some(regularizer) = &own.regularizer
                && own.variable.is_trainable()
                && seen.insert(own.variable.id())
            {
                costs.push((regularizer.clone(), own.variable.clone()));
            }
        });
        costs.into_iter().map(|(regularizer, variable)| regularizer.cost(&variable.read())).collect()
    }

    /// The layer's own variables, without those of inner layers.
    pub fn weights(&self) -> Vec<Variable> {
        self.lock().weights.iter().map(|own| own.variable.clone()).collect()
    }

    /// The layers inside this one, in the order of their first calls.
    pub fn inner_layers(&self) -> Vec<LayerState> {
        self.lock().inner.clone()
    }

    /// The layer's own variables, then those of inner layers; each once.
    pub fn variables(&self) -> Vec<Variable> {
        let mut found = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.visit(&mut |own| {
            if seen.insert(own.variable.id()) {
                found.push(own.variable.clone());
            }
        });
        found
    }

    /// The generators of random numbers of the layer, then those of inner layers; each once.
    pub fn generators(&self) -> Vec<Generator> {
        let (mut found, inner) = {
            let contents = self.lock();
            (contents.generators.clone(), contents.inner.clone())
        };
        found.extend(inner.iter().flat_map(LayerState::generators));
        let mut seen = std::collections::HashSet::new();
        found.retain(|generator| seen.insert(generator.state().id()));
        found
    }

    pub(crate) fn note_generators(&self, generators: Vec<Generator>) {
        self.lock().generators = generators;
    }

    /// Goes over the layer's own weights, then over those of inner layers.
    fn visit(&self, visitor: &mut dyn FnMut(&Own)) {
        let inner = {
            let contents = self.lock();
            contents.weights.iter().for_each(&mut *visitor);
            contents.inner.clone()
        };
        inner.iter().for_each(|layer| layer.visit(visitor));
    }

    /// Shapes and dtypes that the first call gave, if there has been one.
    pub(crate) fn first_outputs(&self) -> Vec<Spec> {
        self.lock().outputs.clone()
    }

    /// Shapes and dtypes that the first call got, the first axis open; nothing if there has been none.
    pub(crate) fn first_inputs(&self) -> Vec<Spec> {
        self.lock().inputs.clone()
    }

    pub(crate) fn note_call(&self, inputs: &[&Tensor], outputs: &[Tensor]) {
        let mut contents = self.lock();
        if contents.outputs.is_empty() {
            contents.outputs = outputs.iter().filter_map(|output| output.spec().ok().cloned()).collect();
            contents.inputs = inputs.iter().filter_map(|input| input.spec().ok().cloned()).collect();
            for spec in &mut contents.inputs {
                spec.dims.iter_mut().take(1).for_each(|batch| *batch = BATCH);
            }
        }
    }

    /// Whether both are handles of the same layer.
    pub(crate) fn is(&self, other: &LayerState) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes a layer in, unless it is inside already.
    pub(crate) fn adopt(&self, layer: &LayerState) {
        let mut contents = self.lock();
        if !contents.inner.iter().any(|known| known.is(layer)) {
            contents.inner.push(layer.clone());
        }
    }

    /// Runs the layer's `build` unless it has been run; what fails leaves nothing behind.
    pub(crate) fn build_once(
        &self,
        inputs: &[&Tensor],
        build: impl FnOnce(&[Spec]) -> Result<()>,
    ) -> Result<()> {
        if self.is_built() {
            return Ok(());
        }
        let specs = inputs.iter().map(|input| input.spec().cloned()).collect::<Result<Vec<Spec>>>()?;
        self.build_with(&specs, build)
    }

    /// As [`LayerState::build_once`], from shapes and dtypes alone.
    pub(crate) fn build_with(&self, specs: &[Spec], build: impl FnOnce(&[Spec]) -> Result<()>) -> Result<()> {
        let _turn = self.0.building.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_built() {
            return Ok(());
        }
        let of_input = specs.first().map(|spec| spec.dtype).filter(|dtype| dtype.is_float());
        let dtype = match self.dtype_policy() {
            Some(policy) => policy.variable,
            None => of_input.unwrap_or(DType::F32),
        };
        let built = self.enter(Stage::Building(dtype), None, || eagerly(|| build(specs)));
        match built {
            Ok(()) => self.0.built.store(true, Ordering::Release),
            Err(_) => self.lock().weights.clear(),
        }
        built
    }

    /// Runs `body` as a part of this layer: layers called inside belong to it, weights are read in the dtype `autocast`.
    pub(crate) fn enter<R>(&self, stage: Stage, autocast: Option<DType>, body: impl FnOnce() -> R) -> R {
        ACTIVE.with_borrow_mut(|active| active.push(Frame { state: self.clone(), stage, autocast }));
        let _leave = Leave;
        body()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LayerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.0.class, self.name())
    }
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        ACTIVE.with_borrow_mut(|active| active.pop());
    }
}

/// The layer that is being built or computed on this thread, the innermost one, and what it is doing.
pub(crate) fn active() -> Option<(LayerState, Stage)> {
    ACTIVE.with_borrow(|active| active.last().map(|frame| (frame.state.clone(), frame.stage)))
}

/// That of the layer which is being built, if there is one: what it makes meanwhile is a part of it.
fn policy_of_new_layers() -> Option<DTypePolicy> {
    match active() {
        Some((outer, Stage::Building(_))) => outer.dtype_policy(),
        _ => precision::dtype_policy(),
    }
}

/// The dtype in which the layer that is being computed reads its weights, if not in their own.
fn autocast() -> Option<DType> {
    ACTIVE.with_borrow(|active| active.last().and_then(|frame| frame.autocast))
}

/// Starts the counting of layer names (`dense`, `dense_1`, …) on this thread anew.
pub fn reset_names() {
    COUNTERS.with_borrow_mut(HashMap::clear);
}

fn next_name(class: &str) -> String {
    let base = snake_case(class);
    COUNTERS.with_borrow_mut(|counters| {
        let count = counters.entry(base.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { base } else { format!("{base}_{}", *count - 1) }
    })
}

/// `BatchNormalization` as `batch_normalization`, `Conv2d` as `conv2d`: by Keras's rule.
pub(crate) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| letters[i]);
        let ends_lower = before.is_some_and(char::is_lowercase);
        let starts_word = before.is_some() && letters.get(i + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (ends_lower || starts_word) {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// A slot for a variable of a layer: empty until the layer is built. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Weight(Arc<RwLock<Option<Variable>>>);

impl Weight {
    /// An empty slot.
    pub fn new() -> Weight {
        Weight::default()
    }

    /// Makes the variable, to be called in [`Layer::build`](crate::layers::Layer::build): it belongs to the layer
    /// that is being built, is named below it, and has the dtype of its input (`f32` if that is not a float).
    ///
    /// # Errors
    /// If no layer is being built, if a size is open (the batch axis), or if the initializer does not fit.
    #[track_caller]
    pub fn make(&self, name: &str, dims: &[usize], initializer: &Initializer) -> Result<()> {
        self.make_variable(name, dims, initializer, true, None).map(drop)
    }

    /// As [`Weight::make`], for what is not trained: moving statistics, counters.
    #[track_caller]
    pub fn make_untrainable(&self, name: &str, dims: &[usize], initializer: &Initializer) -> Result<()> {
        self.make_variable(name, dims, initializer, false, None).map(drop)
    }

    /// A whole number (`i64`) that is kept and not trained; zero at first.
    ///
    /// # Errors
    /// As [`Weight::make`].
    #[track_caller]
    pub fn make_counter(&self, name: &str) -> Result<()> {
        let zero = Initializer::custom(|_| Ok(Tensor::scalar(0i64)));
        self.make_variable(name, &[], &zero, false, None).map(drop)
    }

    /// As [`Weight::make`], with what the weight costs and must keep to.
    ///
    /// # Errors
    /// As [`Weight::make`].
    #[track_caller]
    pub fn make_parameter(
        &self,
        name: &str,
        dims: &[usize],
        initializer: &Initializer,
        regularizer: Option<&Regularizer>,
        constraint: Option<&Constraint>,
    ) -> Result<()> {
        let variable = self.make_variable(name, dims, initializer, true, regularizer)?;
        if let Some(constraint) = constraint.cloned() {
            variable.set_constraint(move |value| constraint.project(value));
        }
        Ok(())
    }

    #[track_caller]
    fn make_variable(
        &self,
        name: &str,
        dims: &[usize],
        initializer: &Initializer,
        trainable: bool,
        regularizer: Option<&Regularizer>,
    ) -> Result<Variable> {
        let frame = ACTIVE.with_borrow(|active| {
            let frozen = active.iter().any(|frame| !frame.state.is_trainable());
            active.last().map(|frame| (frame.state.clone(), frame.stage, frozen))
        });
        let Some((state, Stage::Building(dtype), frozen)) = frame else {
            return Err(Error::new(
                ErrorKind::Value,
                "Weight::make",
                "weights are made in the `build` of a layer, which its first call runs",
            ));
        };
        let path = scope_path().unwrap_or_else(|| state.name());
        let variable = Variable::new(format!("{path}/{name}"), &first_value(initializer, dims, dtype)?)?;
        variable.set_trainable(trainable && !frozen);
        let own = Own { variable: variable.clone(), trains: trainable, regularizer: regularizer.cloned() };
        state.lock().weights.push(own);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(variable.clone());
        Ok(variable)
    }

    /// The variable, once the layer is built.
    pub fn variable(&self) -> Option<Variable> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The value, in the dtype in which the layer computes ([`DTypePolicy`]); carries an error if the layer has not been
    /// built.
    #[track_caller]
    pub fn read(&self) -> Tensor {
        match (&*self.0.read().unwrap_or_else(PoisonError::into_inner), autocast()) {
            (Some(variable), Some(dtype)) => cast_float(&variable.read(), dtype),
            (Some(variable), None) => variable.read(),
            (None, _) => Tensor::carry(unbuilt()),
        }
    }

    /// Sets the value; floats are cast to the dtype of the variable.
    ///
    /// # Errors
    /// As [`Variable::assign`], and if the layer has not been built.
    #[track_caller]
    pub fn assign(&self, value: &Tensor) -> Result<()> {
        match self.variable() {
            Some(variable) => variable.assign(&cast_float(value, variable.spec().dtype)),
            None => Err(unbuilt()),
        }
    }
}

#[track_caller]
fn unbuilt() -> Error {
    Error::new(ErrorKind::Value, "Weight::read", "the layer must be built first, by calling it")
}

/// A layer as an argument of a recorded function is captured by reference: its variables are not copied.
///
/// With this, deriving [`Structure`] for a layer of your own makes it an argument of `#[function]`s.
impl Structure for LayerState {
    fn flatten(&self, flat: &mut Flat) {
        flat.identity("layer", self.0.id);
        // A function that asks for the variables of a layer finds them only once it is built.
        flat.key(Key::Text(if self.is_built() { "built" } else { "unbuilt" }.into()));
    }

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> LayerState {
        self.clone()
    }
}

/// Belongs to its layer, which tells recordings apart.
impl Structure for Weight {
    fn flatten(&self, _flat: &mut Flat) {}

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> Weight {
        self.clone()
    }
}

/// Makes layers arguments of recorded functions, by the identity of their state.
macro_rules! layers_by_identity {
    ($($layer:ty),* $(,)?) => {$(
        impl rushlight_core::Structure for $layer {
            fn flatten(&self, flat: &mut rushlight_core::trace::Flat) {
                rushlight_core::Structure::flatten(crate::layers::Layer::state(self), flat);
            }

            fn rebuild(&self, _tensors: &mut dyn Iterator<Item = rushlight_core::Tensor>) -> $layer {
                self.clone()
            }
        }
    )*};
}

pub(crate) use layers_by_identity;
