//! Reverse-mode differentiation: tapes note the ops applied to what they watch and walk back over them.

use crate::ops::{Op, gradient};
use crate::tensor::{Error, ErrorKind, Result, Tensor};
use crate::trace::apply::Outputs;
use crate::trace::node::RecordingId;
use crate::trace::recorder;
use crate::trace::scope::{Noted, gradient_scope, noted};
use crate::trace::variable::Variable;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// A gradient formula given by the user: inputs, outputs and the outputs' gradients to the inputs' gradients.
pub(crate) type CustomRule = Arc<dyn Fn(&[Tensor], &[Tensor], &[Tensor]) -> Vec<Tensor> + Send + Sync>;

#[derive(Clone)]
enum Rule {
    Op(Op),
    Custom(CustomRule),
}

struct Entry {
    rule: Rule,
    inputs: SmallVec<[Tensor; 3]>,
    outputs: Outputs,
    /// The layer that it was applied in.
    scope: Noted,
}

#[derive(Default)]
struct Notes {
    entries: RefCell<Vec<Entry>>,
    /// Identities of watched tensors and of all that depends on them.
    tracked: RefCell<HashSet<usize>>,
    /// Watched tensors and read values of variables, kept so that no other tensor takes over their identity.
    kept: RefCell<Vec<Tensor>>,
    /// The tensors that reading each variable gave.
    reads: RefCell<HashMap<u64, Vec<Tensor>>>,
    /// Which variables are watched; `None` means all trainable ones.
    variables: RefCell<Option<HashSet<u64>>>,
    paused: Cell<bool>,
    /// The body of a loop or a branch in which the tape was made.
    body: Option<RecordingId>,
}

thread_local! {
    static TAPES: RefCell<Vec<Rc<Notes>>> = const { RefCell::new(Vec::new()) };
    static ACTIVE: Cell<usize> = const { Cell::new(0) };
}

/// Notes every op applied to what it watches, from its making until it is dropped.
///
/// Trainable variables are watched when they are read; tensors are watched on request. A tape can be asked for
/// several gradients. Tapes nest: an outer one also sees the ops of an inner one's gradients, which gives
/// derivatives of higher order.
///
/// ```
/// use rushlight_core::{Tape, Tensor};
/// let x = Tensor::from([1.0f32, 2.0, 3.0]);
/// let tape = Tape::new();
/// tape.watch(&x);
/// let y = (&x * &x).sum(..);
/// let gradient = &tape.gradient(&y, &[&x])?[0];
/// assert_eq!(gradient.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
pub struct Tape {
    notes: Rc<Notes>,
}

impl Default for Tape {
    fn default() -> Tape {
        Tape::new()
    }
}

impl Tape {
    /// Starts noting on this thread.
    pub fn new() -> Tape {
        let notes = Rc::new(Notes { body: recorder::current_body(), ..Notes::default() });
        TAPES.with_borrow_mut(|tapes| tapes.push(notes.clone()));
        ACTIVE.set(ACTIVE.get() + 1);
        Tape { notes }
    }

    /// Watches a tensor: ops on it from now on can be differentiated.
    pub fn watch(&self, tensor: &Tensor) {
        self.notes.track(tensor);
    }

    /// Watches just these variables instead of all trainable ones.
    pub fn watch_only(&self, variables: &[Variable]) {
        *self.notes.variables.borrow_mut() = Some(variables.iter().map(Variable::id).collect());
    }

    /// The gradients of the sum of `target`'s elements with respect to each source.
    ///
    /// A source on which the target does not depend has a gradient of zeros.
    ///
    /// # Errors
    /// If the target carries an error or is not of a floating-point dtype.
    #[track_caller]
    pub fn gradient(&self, target: &Tensor, sources: &[&Tensor]) -> Result<Vec<Tensor>> {
        let gradients = self.backward(target, None)?;
        sources.iter().map(|source| gradients.of(source)?.check().cloned()).collect()
    }

    /// The same with a given gradient of the target instead of ones.
    #[track_caller]
    pub fn gradient_from(
        &self,
        target: &Tensor,
        target_gradient: &Tensor,
        sources: &[&Tensor],
    ) -> Result<Vec<Tensor>> {
        let gradients = self.backward(target, Some(target_gradient))?;
        sources.iter().map(|source| gradients.of(source)?.check().cloned()).collect()
    }

    /// The gradients of the sum of `target`'s elements with respect to variables, over all their reads.
    #[track_caller]
    pub fn gradient_of_variables(&self, target: &Tensor, variables: &[Variable]) -> Result<Vec<Tensor>> {
        let gradients = self.backward(target, None)?;
        let reads = self.notes.reads.borrow().clone();
        variables
            .iter()
            .map(|variable| {
                let mut total: Option<Tensor> = None;
                for read in reads.get(&variable.id()).into_iter().flatten() {
                    if let Some(gradient) = gradients.known(read) {
                        total = Some(match total {
                            Some(total) => total + gradient,
                            None => gradient.clone(),
                        });
                    }
                }
                let gradient =
                    total.unwrap_or_else(|| Tensor::zeros(variable.shape(), variable.spec().dtype));
                gradient.check().cloned()
            })
            .collect()
    }

    #[track_caller]
    fn backward(&self, target: &Tensor, seed: Option<&Tensor>) -> Result<Gradients> {
        let spec = target.spec()?;
        if !spec.dtype.is_float() {
            let rule = "the target of a gradient must be of a floating-point dtype";
            return Err(Error::with_inputs(ErrorKind::DType, "gradient", rule, vec![spec.clone()]));
        }
        let seed = match seed {
            Some(seed) => {
                let got = seed.spec()?;
                if got != spec {
                    let rule = "the gradient of the target must have the target's shape and dtype";
                    let specs = vec![got.clone(), spec.clone()];
                    return Err(Error::with_inputs(ErrorKind::Shape, "gradient", rule, specs));
                }
                seed.clone()
            }
            None => Tensor::ones(&spec.dims, spec.dtype),
        };
        self.walk_back([(target, seed)])
    }

    /// The gradients of a sum of products of targets and weights, for sources that these depend on.
    #[track_caller]
    pub(crate) fn gradients_of_all(
        &self,
        targets: impl IntoIterator<Item = (Tensor, Tensor)>,
        sources: &[Tensor],
    ) -> Result<Vec<Option<Tensor>>> {
        let targets: Vec<(Tensor, Tensor)> = targets.into_iter().collect();
        let gradients = self.walk_back(targets.iter().map(|(target, weight)| (target, weight.clone())))?;
        Ok(sources.iter().map(|source| gradients.known(source).cloned()).collect())
    }

    #[track_caller]
    fn walk_back<'a>(&self, seeds: impl IntoIterator<Item = (&'a Tensor, Tensor)>) -> Result<Gradients> {
        if self.notes.body != recorder::current_body() {
            let rule = "a tape made outside of the body of a loop or a branch sees nothing of what happens inside, \
                        and the other way round: make the tape, and ask it, in the same body";
            return Err(Error::new(ErrorKind::Recording, "gradient", rule));
        }
        let was_paused = self.notes.paused.replace(true);
        let mut gradients = Gradients { by_identity: HashMap::new() };
        for (target, seed) in seeds {
            gradients.add(target, seed);
        }
        self.follow_back(&mut gradients);
        self.notes.paused.set(was_paused);
        Ok(gradients)
    }

    #[track_caller]
    fn follow_back(&self, gradients: &mut Gradients) {
        let entries = self.notes.entries.borrow();
        let tracked = self.notes.tracked.borrow();
        for entry in entries.iter().rev() {
            let from: SmallVec<[Option<Tensor>; 1]> =
                entry.outputs.iter().map(|output| gradients.known(output).cloned()).collect();
            if from.iter().all(Option::is_none) {
                continue;
            }
            let wanted: SmallVec<[bool; 3]> =
                entry.inputs.iter().map(|input| tracked.contains(&input.identity())).collect();
            gradient_scope(&entry.scope, || {
                let to = entry.gradients(&from, &wanted);
                for ((input, gradient), wanted) in entry.inputs.iter().zip(to).zip(wanted) {
                    if let (Some(gradient), true) = (gradient, wanted) {
                        gradients.add(input, gradient);
                    }
                }
            });
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        TAPES.with_borrow_mut(|tapes| tapes.retain(|notes| !Rc::ptr_eq(notes, &self.notes)));
        ACTIVE.set(ACTIVE.get() - 1);
    }
}

impl Entry {
    #[track_caller]
    fn gradients(&self, from: &[Option<Tensor>], wanted: &[bool]) -> SmallVec<[Option<Tensor>; 3]> {
        match &self.rule {
            Rule::Op(op) => gradient::of(op, &self.inputs, &self.outputs, from, wanted),
            Rule::Custom(rule) => {
                let from: Vec<Tensor> = from
                    .iter()
                    .zip(&self.outputs)
                    .map(|(gradient, output)| gradient.clone().unwrap_or_else(|| output.zeros_like()))
                    .collect();
                let given = rule(&self.inputs, &self.outputs, &from);
                let mut given = given.into_iter();
                self.inputs
                    .iter()
                    .map(|input| given.next().map(|gradient| fitting(input, gradient)))
                    .collect()
            }
        }
    }
}

/// A user's gradient, or an error if it does not have the shape and dtype of what it is the gradient of.
#[track_caller]
fn fitting(input: &Tensor, gradient: Tensor) -> Tensor {
    match (input.known_spec(), gradient.known_spec()) {
        (Some(expected), Some(got)) if expected != got => {
            let rule = "a custom gradient must have the shape and dtype of its input (second)";
            let specs = vec![got.clone(), expected.clone()];
            Tensor::carry(Error::with_inputs(ErrorKind::Shape, "custom_gradient", rule, specs))
        }
        _ => gradient,
    }
}

struct Gradients {
    by_identity: HashMap<usize, Tensor>,
}

impl Gradients {
    fn known(&self, tensor: &Tensor) -> Option<&Tensor> {
        self.by_identity.get(&tensor.identity())
    }

    fn of(&self, tensor: &Tensor) -> Result<Tensor> {
        tensor.check()?;
        Ok(self.known(tensor).cloned().unwrap_or_else(|| tensor.zeros_like()))
    }

    #[track_caller]
    fn add(&mut self, tensor: &Tensor, gradient: Tensor) {
        let identity = tensor.identity();
        let total = match self.by_identity.remove(&identity) {
            Some(earlier) => earlier + gradient,
            None => gradient,
        };
        self.by_identity.insert(identity, total);
    }
}

impl Notes {
    fn track(&self, tensor: &Tensor) {
        if self.tracked.borrow_mut().insert(tensor.identity()) {
            self.kept.borrow_mut().push(tensor.clone());
        }
    }

    fn sees(&self, inputs: &[&Tensor]) -> bool {
        if self.paused.get() {
            return false;
        }
        let tracked = self.tracked.borrow();
        inputs.iter().any(|input| tracked.contains(&input.identity()))
    }

    fn note(&self, rule: Rule, inputs: &[&Tensor], outputs: &Outputs) {
        let mut tracked = self.tracked.borrow_mut();
        for output in outputs {
            tracked.insert(output.identity());
        }
        let inputs = inputs.iter().map(|&input| input.clone()).collect();
        self.entries.borrow_mut().push(Entry { rule, inputs, outputs: outputs.clone(), scope: noted() });
    }
}

fn active_tapes(mut each: impl FnMut(&Notes)) {
    if ACTIVE.get() > 0 {
        let tapes: SmallVec<[Rc<Notes>; 2]> = TAPES.with_borrow(|tapes| tapes.iter().cloned().collect());
        tapes.iter().for_each(|notes| each(notes));
    }
}

/// Lets the active tapes note an applied op.
#[inline]
pub(crate) fn observe(op: &Op, inputs: &[&Tensor], outputs: &Outputs) {
    active_tapes(|notes| {
        if op.is_differentiable() && notes.sees(inputs) {
            notes.note(Rule::Op(op.clone()), inputs, outputs);
        }
    });
}

/// Lets the active tapes note that a tensor is the value of a variable.
pub(crate) fn variable_read(variable: &Variable, value: &Tensor) {
    active_tapes(|notes| {
        let watched = match &*notes.variables.borrow() {
            Some(ids) => ids.contains(&variable.id()),
            None => variable.is_trainable(),
        };
        if watched && !notes.paused.get() && value.error().is_none() {
            notes.track(value);
            let mut reads = notes.reads.borrow_mut();
            let known = reads.entry(variable.id()).or_default();
            if !known.iter().any(|read| read.identity() == value.identity()) {
                known.push(value.clone());
            }
        }
    });
}

/// Whether any tape is active on this thread.
pub(crate) fn is_active() -> bool {
    ACTIVE.get() > 0
}

/// Runs `body` with all tapes of this thread paused.
pub(crate) fn paused<R>(body: impl FnOnce() -> R) -> R {
    let mut before = SmallVec::<[(Rc<Notes>, bool); 2]>::new();
    TAPES.with_borrow(|tapes| {
        for notes in tapes {
            before.push((notes.clone(), notes.paused.replace(true)));
        }
    });
    let result = body();
    for (notes, was_paused) in before {
        notes.paused.set(was_paused);
    }
    result
}

/// A function of tensors with a gradient of your own.
///
/// `forward` computes the output from the inputs; `backward` gets the inputs, the output and the output's
/// gradient, and returns one gradient an input, of that input's shape and dtype.
///
/// ```
/// use rushlight_core::{Tape, Tensor, custom_gradient};
/// // Rounds, but passes the gradient through as if it had not.
/// let round = |x: &Tensor| custom_gradient(&[x], |x| x[0].round(), |_, _, g| vec![g.clone()]);
/// let x = Tensor::from([0.4f32, 1.6]);
/// let tape = Tape::new();
/// tape.watch(&x);
/// let y = round(&x);
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 2.0]);
/// assert_eq!(tape.gradient(&y, &[&x])?[0].to_vec::<f32>()?, [1.0, 1.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn custom_gradient(
    inputs: &[&Tensor],
    forward: impl FnOnce(&[Tensor]) -> Tensor,
    backward: impl Fn(&[Tensor], &Tensor, &Tensor) -> Vec<Tensor> + Send + Sync + 'static,
) -> Tensor {
    let owned: Vec<Tensor> = inputs.iter().map(|&input| input.clone()).collect();
    // Detached, so that a forward pass that returns its input is still a new tensor to the tapes.
    let output = paused(|| forward(&owned)).detached();
    if output.error().is_some() {
        return output;
    }
    let rule: CustomRule = Arc::new(move |inputs, outputs, from| backward(inputs, &outputs[0], &from[0]));
    let outputs = Outputs::from_elem(output.clone(), 1);
    active_tapes(|notes| {
        if notes.sees(inputs) {
            notes.note(Rule::Custom(rule.clone()), inputs, &outputs);
        }
    });
    output
}

/// The value of a scalar function and its gradients with respect to variables.
///
/// `body` runs with a [`Tape`] that watches `variables`; eager and recorded alike.
///
/// # Errors
/// If the value carries an error, is not a scalar, or is not of a floating-point dtype.
///
/// ```
/// use rushlight_core::{Tensor, Variable, value_and_grad};
/// let w = Variable::new("w", &Tensor::from([3.0f32, 4.0]))?;
/// let (loss, gradients) = value_and_grad(|| w.read().square().sum(..), &[w.clone()])?;
/// assert_eq!(loss.item::<f32>()?, 25.0);
/// assert_eq!(gradients[0].to_vec::<f32>()?, [6.0, 8.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn value_and_grad(
    body: impl FnOnce() -> Tensor,
    variables: &[Variable],
) -> Result<(Tensor, Vec<Tensor>)> {
    let tape = Tape::new();
    tape.watch_only(variables);
    let value = body();
    let spec = value.spec()?;
    if spec.rank() != 0 {
        let rule = "the value to differentiate must be a scalar: reduce it, for instance with mean(..)";
        return Err(Error::with_inputs(ErrorKind::Shape, "value_and_grad", rule, vec![spec.clone()]));
    }
    let gradients = tape.gradient_of_variables(&value, variables)?;
    Ok((value, gradients))
}
