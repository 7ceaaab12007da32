//! Effects on the world outside: printing, checking, calling back, in the order in which the program says.
//!
//! An effect is an op that takes a number, how many effects came before it, and gives the next one. While a function
//! is recorded that number is kept like a variable, so effects depend on each other as reads and assignments do: no
//! pass moves, merges or drops one, and loops hand the number from turn to turn.

use crate::cpu::buffer::{Buffer, View, ViewMut};
use crate::cpu::kernels::layout;
use crate::ops::feed::{self, Feed};
use crate::ops::{Op, Specs};
use crate::tensor::{DType, Error, ErrorKind, Fault, Result, Spec, Tensor, Value, copied};
use crate::trace::apply::{Outputs, apply_all};
use crate::trace::model::record_composite;
use crate::trace::{Composite, is_recording, recorder, scope};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Something that a program does besides computing.
pub struct Effect {
    /// Effects are equal only to themselves.
    id: u64,
    pub(crate) action: Action,
    pub(crate) location: &'static Location<'static>,
    pub(crate) path: Option<Arc<str>>,
}

/// What an effect does with its tensors.
#[derive(Clone)]
pub(crate) enum Action {
    /// Prints a tensor behind a label.
    Print(Arc<str>),
    /// Fails with a message unless all elements are true.
    Assert(Arc<str>),
    Callback(Arc<Callback>),
    /// Takes the next tensors of a feed.
    Fetch(Arc<dyn Feed>),
}

type Callback = dyn Fn(&[Tensor]) -> Result<()> + Send + Sync;
type Printer = dyn Fn(&str) + Send + Sync;

impl PartialEq for Effect {
    fn eq(&self, other: &Effect) -> bool {
        self.id == other.id
    }
}

impl Eq for Effect {}

impl Hash for Effect {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Print(text) | Action::Assert(text) => write!(formatter, "{}[{text:?}]", self.name()),
            Action::Callback(_) | Action::Fetch(_) => formatter.write_str(self.name()),
        }
    }
}

thread_local! {
    /// The first error of the effects of the call that is running; later effects are left out.
    static FAILURE: RefCell<Option<Error>> = const { RefCell::new(None) };
    static SILENCED: Cell<bool> = const { Cell::new(false) };
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

static PRINTER: Mutex<Option<Arc<Printer>>> = Mutex::new(None);

/// The number of effects that came before, as effects take and give it.
pub(crate) fn count_spec() -> Spec {
    Spec::new([], DType::I64)
}

/// The error of an effect that has run on this thread, once.
pub(crate) fn take_failure() -> Option<Error> {
    FAILURE.take()
}

/// Whether an effect of the call that is running has failed.
pub(crate) fn has_failed() -> bool {
    FAILURE.with_borrow(Option::is_some)
}

/// Whether a callback is running on this thread.
pub(crate) fn in_callback() -> bool {
    IN_CALLBACK.get()
}

/// Runs `body` with effects that do nothing.
pub(crate) fn silenced<R>(body: impl FnOnce() -> R) -> R {
    let _restore = Restore(&SILENCED, SILENCED.replace(true));
    body()
}

struct Restore(&'static std::thread::LocalKey<Cell<bool>>, bool);

impl Drop for Restore {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

impl Effect {
    /// An effect at the caller's line.
    #[track_caller]
    pub(crate) fn here(action: Action) -> Arc<Effect> {
        let (path, made_at) = scope::current();
        Effect::at(action, made_at.unwrap_or(Location::caller()), path)
    }

    pub(crate) fn at(
        action: Action,
        location: &'static Location<'static>,
        path: Option<Arc<str>>,
    ) -> Arc<Effect> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Effect { id: NEXT.fetch_add(1, Ordering::Relaxed), action, location, path })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.action {
            Action::Print(_) => "print",
            Action::Assert(_) => "assert_that",
            Action::Callback(_) => "callback",
            Action::Fetch(_) => "fetch",
        }
    }

    pub(crate) fn output_count(&self) -> usize {
        match &self.action {
            Action::Fetch(feed) => 2 + feed.specs().len(),
            _ => 1,
        }
    }

    pub(crate) fn infer(&self, inputs: &[&Spec]) -> Result<Specs, Fault> {
        if *inputs[0] != count_spec() {
            return Err(Fault::dtype("the number of earlier effects (first) must be an i64 scalar"));
        }
        match (&self.action, inputs.len()) {
            (Action::Callback(_), _) => {}
            (Action::Fetch(feed), 1) => {
                return Ok(std::iter::once(count_spec()).chain(feed::specs(&**feed)).collect());
            }
            (Action::Fetch(_), _) => return Err(Fault::value("there must be no tensor")),
            (Action::Print(_), 2) => {}
            (Action::Assert(_), 2) if inputs[1].dtype == DType::Bool => {}
            (Action::Assert(_), 2) => return Err(Fault::dtype("the condition must be bool")),
            _ => return Err(Fault::value("there must be one tensor")),
        }
        Ok(SmallVec::from_elem(count_spec(), 1))
    }

    /// Takes effect, unless an earlier effect of the call failed, and counts itself.
    pub(crate) fn run(&self, inputs: &[View], outputs: &mut [ViewMut]) {
        outputs[0].slice::<i64>()[0] = inputs[0].at::<i64>(&[]).wrapping_add(1);
        let is_silenced = SILENCED.get();
        let done = match &self.action {
            _ if has_failed() => {
                outputs[1..].iter_mut().for_each(ViewMut::zero);
                return;
            }
            Action::Fetch(feed) => feed::run(&**feed, self, is_silenced, &mut outputs[1..]),
            _ if is_silenced => return,
            _ => self.act(&inputs[1..].iter().map(tensor_of).collect::<SmallVec<[Tensor; 2]>>()),
        };
        if let Err(error) = done
            && !is_silenced
        {
            FAILURE.set(Some(error));
        }
    }

    fn act(&self, tensors: &[Tensor]) -> Result<()> {
        match &self.action {
            Action::Print(label) => {
                let text = tensors[0].to_string();
                let gap = if text.contains('\n') { '\n' } else { ' ' };
                print_line(&if label.is_empty() { text } else { format!("{label}:{gap}{text}") });
                Ok(())
            }
            Action::Assert(message) => {
                let elements = tensors[0].to_vec::<bool>()?;
                let wrong = elements.iter().filter(|holds| !**holds).count();
                let rule = match (wrong, elements.len()) {
                    (0, _) => return Ok(()),
                    (_, 1) => message.to_string(),
                    (wrong, all) => format!("{message} (it does not hold for {wrong} of {all} elements)"),
                };
                Err(Error::located(ErrorKind::Value, "assert_that", rule, self.location, self.path.clone()))
            }
            Action::Callback(callback) => {
                let _restore = Restore(&IN_CALLBACK, IN_CALLBACK.replace(true));
                callback(tensors)
            }
            Action::Fetch(_) => unreachable!("what a feed gives goes to the results"),
        }
    }
}

/// A tensor with a copy of the elements.
fn tensor_of(view: &View) -> Tensor {
    let spec = Spec { dims: copied(&view.dims), dtype: view.dtype };
    let mut buffer = Buffer::new(spec.bytes());
    // SAFETY: the buffer was made for this spec and is borrowed by this view alone.
    let mut target = unsafe { ViewMut::new(buffer.as_mut_ptr(), spec.dtype, spec.dims.clone()) };
    layout::copy(view, &mut target);
    Tensor::from_value(Value::contiguous(buffer, spec))
}

fn print_line(text: &str) {
    let printer = PRINTER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match printer {
        Some(printer) => printer(text),
        None => println!("{text}"),
    }
}

/// Sends what [`Tensor::print`] prints to `printer`, line by line, instead of to standard output.
///
/// `None` goes back to standard output. It holds for all threads.
pub fn print_to(printer: Option<Arc<Printer>>) {
    *PRINTER.lock().unwrap_or_else(PoisonError::into_inner) = printer;
}

/// Lets an action take effect on tensors: now, or each time the function that is being recorded is called. Gives what
/// the action gives.
#[track_caller]
pub(super) fn perform(action: Action, tensors: &[&Tensor]) -> Result<Outputs> {
    for tensor in tensors {
        tensor.check()?;
    }
    let effect = Effect::here(action);
    if is_recording() {
        let count = recorder::effects()?;
        let mut results = apply_behind(&count.read(), &effect, tensors);
        count.assign(&results.remove(0))?;
        return Ok(results);
    }
    for tensor in tensors {
        tensor.value(effect.name())?;
    }
    let mut results = apply_behind(&Tensor::scalar(0i64), &effect, tensors);
    results.remove(0).check()?;
    take_failure().map_or(Ok(results), Err)
}

/// The number of effects after this one, which comes behind `count` others, and what it gives besides.
#[track_caller]
fn apply_behind(count: &Tensor, effect: &Arc<Effect>, tensors: &[&Tensor]) -> Outputs {
    let inputs: SmallVec<[&Tensor; 4]> = [count].into_iter().chain(tensors.iter().copied()).collect();
    apply_all(Op::Effect(effect.clone()), &inputs)
}

/// Whether all that is known of a tensor is its shape, because a model is being made.
fn is_model(tensors: &[&Tensor]) -> bool {
    tensors.iter().any(|tensor| tensor.is_of_model())
}

/// Printing as a node of a functional model.
struct PrintStep(Arc<str>, &'static Location<'static>);

impl Composite for PrintStep {
    fn name(&self) -> &str {
        "print"
    }

    fn call(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        vec![scope::located(self.1, || inputs[0].print(&self.0))]
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Tensor {
    /// Prints the elements behind a label and gives the tensor itself.
    ///
    /// In a recorded function it prints at each call, in program order with all other effects, whether or not the
    /// result is used; `println!` would print once, while recording, that the tensor is symbolic. On a functional
    /// model's tensor it becomes a node: use the result.
    ///
    /// ```
    /// use rushlight_core::{Tensor, function};
    /// let double = function("double", |x: &Tensor| (x + x).print("twice x"));
    /// double.call(&Tensor::from([1.0f32, 2.0])).check()?; // twice x: [2. 4.]
    /// double.call(&Tensor::from([3.0f32, 4.0])).check()?; // twice x: [6. 8.]
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn print(&self, label: &str) -> Tensor {
        if self.is_of_model() && !is_recording() {
            let Some(spec) = self.known_spec() else { return self.clone() };
            let step = Arc::new(PrintStep(label.into(), Location::caller()));
            return record_composite(step, &[self], vec![spec.clone()]).remove(0);
        }
        match perform(Action::Print(label.into()), &[self]) {
            Ok(_) => self.clone(),
            Err(error) => Tensor::carry(error),
        }
    }
}

/// Requires all elements of a condition to be true.
///
/// In a recorded function the condition is checked at each call, in program order with all other effects. If it does
/// not hold, the call returns the error, and no variable changes.
///
/// ```
/// use rushlight_core::{Result, Tensor, assert_that, function};
/// let root = function("root", |x: &Tensor| -> Result<Tensor> {
///     assert_that(&x.greater_equal(0.0), "x must not be negative")?;
///     Ok(x.sqrt())
/// });
/// assert_eq!(root.call(&Tensor::from([4.0f32]))?.to_vec::<f32>()?, [2.0]);
/// let error = root.call(&Tensor::from([-4.0f32])).unwrap_err();
/// assert!(error.to_string().starts_with("[assert_that] x must not be negative"));
/// # Ok::<(), rushlight_core::Error>(())
/// ```
///
/// # Errors
/// If the condition does not hold, carries an error or is not `bool`; in a functional model, outside of any layer.
#[track_caller]
pub fn assert_that(condition: &Tensor, message: &str) -> Result<()> {
    if is_model(&[condition]) && !is_recording() {
        return outside_of_layers("assert_that");
    }
    perform(Action::Assert(message.into()), &[condition]).map(|_| ())
}

/// Calls Rust code with the values of tensors.
///
/// In a recorded function the code runs at each call, in program order with all other effects. If it fails, the call
/// returns its error, and no variable changes. What it needs it takes as tensors: the variables of the function that
/// is running, and that function itself, are in use.
///
/// ```
/// use rushlight_core::{Result, Tensor, callback, function};
/// use std::sync::{Arc, Mutex};
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let step = function("step", {
///     let seen = seen.clone();
///     move |x: &Tensor| -> Result<Tensor> {
///         let (loss, seen) = (x.square().sum(..), seen.clone());
///         callback(&[&loss], move |values| {
///             seen.lock().unwrap().push(values[0].item::<f32>()?);
///             Ok(())
///         })?;
///         Ok(loss)
///     }
/// });
/// step.call(&Tensor::from([1.0f32, 2.0]))?;
/// step.call(&Tensor::from([3.0f32, 4.0]))?;
/// assert_eq!(*seen.lock().unwrap(), [5.0, 25.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
///
/// # Errors
/// If the code fails, or a tensor carries an error; in a functional model, outside of any layer.
#[track_caller]
pub fn callback(
    tensors: &[&Tensor],
    code: impl Fn(&[Tensor]) -> Result<()> + Send + Sync + 'static,
) -> Result<()> {
    if is_model(tensors) && !is_recording() {
        return outside_of_layers("callback");
    }
    perform(Action::Callback(Arc::new(code)), tensors).map(|_| ())
}

/// A layer that is asked for the shape of its result runs again on values; a model's own ops have no result to keep.
#[track_caller]
fn outside_of_layers(name: &str) -> Result<()> {
    if scope::current().0.is_some() {
        return Ok(());
    }
    let rule = "a functional model keeps only what leads to its outputs: do this inside of a layer, or in a function \
                that calls the model";
    Err(Error::new(ErrorKind::Recording, name, rule))
}

/// Effects in files: what they do and with which text; where they are the file says of their nodes.
pub(crate) mod saved {
    use super::{Action, Arc, Effect};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Saved {
        Print(String),
        AssertThat(String),
    }

    pub(crate) fn serialize<S: Serializer>(effect: &Arc<Effect>, serializer: S) -> Result<S::Ok, S::Error> {
        let saved = match &effect.action {
            Action::Print(label) => Saved::Print(label.to_string()),
            Action::Assert(message) => Saved::AssertThat(message.to_string()),
            Action::Callback(_) => {
                let place = effect.location;
                let (file, line) = (place.file(), place.line());
                let rule = format!("the callback at {file}:{line} is Rust code, which a file cannot hold");
                return Err(ser::Error::custom(rule));
            }
            Action::Fetch(_) => {
                let (file, line) = (effect.location.file(), effect.location.line());
                let rule = format!("the feed read at {file}:{line} is Rust code, which a file cannot hold");
                return Err(ser::Error::custom(rule));
            }
        };
        saved.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Effect>, D::Error> {
        let action = match Saved::deserialize(deserializer).map_err(de::Error::custom)? {
            Saved::Print(label) => Action::Print(label.into()),
            Saved::AssertThat(message) => Action::Assert(message.into()),
        };
        Ok(Effect::here(action))
    }
}
