//! Control flow: branches and loops that run as plain Rust on values, and become ops of the graph while recording.

use crate::ops::Op;
use crate::ops::control::{Branch, Loop, Turns};
use crate::ops::view::stack;
use crate::tensor::{DType, Error, ErrorKind, Result, Spec, Tensor, is_open};
use crate::trace::apply::apply_all;
use crate::trace::body::{self, Body, assign_all};
use crate::trace::recorder::{RecordedVariable, is_recording};
use crate::trace::signature::{Flat, Key};
use crate::trace::structure::{Returned, Structure};
use crate::trace::variable::Variable;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One of two bodies: `then` if the predicate (`bool []`) is true, `otherwise` if it is false.
///
/// On values the chosen closure runs as it is written. While a function is recorded both are recorded, and the
/// compiled function runs one of them; both must return the same shapes and dtypes. Variables may be read and assigned
/// inside. Gradients flow through the branch that ran.
///
/// # Errors
/// Carried, or returned where the closures return a `Result`: if the predicate is no boolean scalar, or the two
/// results differ in shape or dtype.
///
/// ```
/// use rushlight_core::{Tensor, cond, function};
/// let halve_if_large = function("halve_if_large", |x: &Tensor| {
///     cond(&x.sum(..).greater(10.0), || x * 0.5, || x.clone())
/// });
/// assert_eq!(halve_if_large.call(&Tensor::from([4.0f32, 8.0])).to_vec::<f32>()?, [2.0, 4.0]);
/// assert_eq!(halve_if_large.call(&Tensor::from([1.0f32, 2.0])).to_vec::<f32>()?, [1.0, 2.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn cond<R>(predicate: &Tensor, then: impl FnOnce() -> R, otherwise: impl FnOnce() -> R) -> R
where
    R: Returned<Error = Error>,
{
    if let Err(error) = check_condition("cond", "the predicate", predicate) {
        return R::from_result(Err(error));
    }
    if !predicate.is_symbolic() {
        return match predicate.item::<bool>() {
            Ok(true) => then(),
            Ok(false) => otherwise(),
            Err(error) => R::from_result(Err(error)),
        };
    }
    let bodies: [Thunk<R>; 2] = [Box::new(otherwise), Box::new(then)];
    R::from_result(choose("cond", &predicate.cast(DType::I64), bodies.into_iter()))
}

/// One of several bodies, by number: the index is an integer scalar; below 0 the first one runs, beyond the last one
/// the last one.
///
/// As [`cond`], for more than two.
///
/// ```
/// use rushlight_core::{Tensor, switch};
/// let x = Tensor::from([1.0f32, 4.0]);
/// let pick = |index: i32| switch(&Tensor::scalar(index), &[&|| x.clone(), &|| x.sqrt(), &|| &x * &x]);
/// assert_eq!(pick(1).to_vec::<f32>()?, [1.0, 2.0]);
/// assert_eq!(pick(7).to_vec::<f32>()?, [1.0, 16.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn switch<R>(index: &Tensor, branches: &[&dyn Fn() -> R]) -> R
where
    R: Returned<Error = Error>,
{
    if let Err(error) = check_index(index, branches.len()) {
        return R::from_result(Err(error));
    }
    let index = index.cast(DType::I64);
    if !index.is_symbolic() {
        return match index.item::<i64>() {
            Ok(number) => branches[number.clamp(0, branches.len() as i64 - 1) as usize](),
            Err(error) => R::from_result(Err(error)),
        };
    }
    R::from_result(choose("switch", &index, branches.iter().map(|&branch| Box::new(branch) as Thunk<R>)))
}

/// Repeats `body` on what it returned last, as long as `condition` (`bool []`) holds of it.
///
/// The state is a tensor, a tuple of tensors or, with bodies that return a `Result`, any [`Structure`]; its shapes
/// and dtypes must stay what they are. Variables may be read and assigned inside. While a function is recorded the loop
/// becomes one op, and the compiled function runs it without coming back.
///
/// No gradient flows through a recorded loop that may go on for any time: use [`while_loop_at_most`] for that.
///
/// # Errors
/// Carried, or returned where the body returns a `Result`: if the condition is no boolean scalar, or a turn changes
/// shapes or dtypes.
///
/// ```
/// use rushlight_core::{Tensor, function, while_loop};
/// // The square root by Newton's method, to the last bit that it reaches.
/// let root = function("root", |x: &Tensor| {
///     let (root, _) = while_loop(
///         (x.clone(), x * 0.5 + 0.5),
///         |(old, new)| new.less(old),
///         |(_, new)| {
///             let better = (x / &new + &new) * 0.5;
///             (new, better)
///         },
///     );
///     root
/// });
/// assert_eq!(root.call(&Tensor::scalar(9.0f64)).item::<f64>()?, 3.0);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn while_loop<S, R>(initial: S, condition: impl Fn(&S) -> Tensor, body: impl Fn(S) -> R) -> R
where
    S: Structure,
    R: Returned<Parts = S, Error = Error>,
{
    let plan = Plan { name: "while_loop", turns: Turns::While(None), start: 0 };
    let turn = |_, state, ()| Ok((body(state).into_result()?, ()));
    R::from_result(plan.run(initial, &(), Some(&condition), &turn).map(|(state, _)| state))
}

/// As [`while_loop`], but ends after `max_iterations` turns even if the condition still holds: gradients flow through
/// it, for which what they need is kept of as many turns.
///
/// ```
/// use rushlight_core::{Tape, Tensor, while_loop_at_most};
/// let x = Tensor::scalar(3.0f32);
/// let tape = Tape::new();
/// tape.watch(&x);
/// let y = while_loop_at_most(10, x.clone(), |y| y.less(20.0), |y| &y * &y);
/// assert_eq!(y.item::<f32>()?, 81.0);
/// assert_eq!(tape.gradient(&y, &[&x])?[0].item::<f32>()?, 4.0 * 27.0);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn while_loop_at_most<S, R>(
    max_iterations: usize,
    initial: S,
    condition: impl Fn(&S) -> Tensor,
    body: impl Fn(S) -> R,
) -> R
where
    S: Structure,
    R: Returned<Parts = S, Error = Error>,
{
    let plan = Plan { name: "while_loop", turns: Turns::While(Some(max_iterations)), start: 0 };
    let turn = |_, state, ()| Ok((body(state).into_result()?, ()));
    R::from_result(plan.run(initial, &(), Some(&condition), &turn).map(|(state, _)| state))
}

/// Runs `body` once for each number of the range (`i64 []`), each time on what it returned last.
///
/// The state is a tensor, a tuple of tensors or, with bodies that return a `Result`, any [`Structure`]; its shapes
/// and dtypes must stay what they are. Variables may be read and assigned inside.
///
/// # Errors
/// Carried, or returned where the body returns a `Result`: if a turn changes shapes or dtypes.
///
/// ```
/// use rushlight_core::{Tensor, for_range, function};
/// let power = function("power", |x: &Tensor| for_range(0..10, x.ones_like(), |_, y| y * x));
/// assert_eq!(power.call(&Tensor::from([1.0f32, 2.0])).to_vec::<f32>()?, [1.0, 1024.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn for_range<S, R>(range: Range<usize>, initial: S, body: impl Fn(Tensor, S) -> R) -> R
where
    S: Structure,
    R: Returned<Parts = S, Error = Error>,
{
    let plan = Plan { name: "for_range", turns: Turns::Fixed(range.len()), start: range.start };
    let turn = |number, state, ()| Ok((body(number, state).into_result()?, ()));
    R::from_result(plan.run(initial, &(), None, &turn).map(|(state, _)| state))
}

/// Goes through the rows of `xs` along the first axis: `body` gets what it returned last and one row of each tensor of
/// `xs`, and returns its new state and what to stack. Gives the last state and the stacks, `[rows, ..]`.
///
/// # Errors
/// Carried, or returned where the body returns a `Result`: if the tensors of `xs` differ in their first axis, or a
/// turn changes shapes or dtypes.
///
/// ```
/// use rushlight_core::{Tensor, scan};
/// let xs = Tensor::from([1.0f32, 2.0, 3.0]);
/// let (total, sums) = scan(Tensor::scalar(0.0f32), &xs, |sum, x: Tensor| {
///     let sum = sum + x;
///     (sum.clone(), sum)
/// });
/// assert_eq!(total.item::<f32>()?, 6.0);
/// assert_eq!(sums.to_vec::<f32>()?, [1.0, 3.0, 6.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn scan<S, X, Y, R>(initial: S, xs: &X, body: impl Fn(S, X) -> R) -> R
where
    S: Structure,
    X: Structure,
    Y: Structure,
    R: Returned<Parts = (S, Y), Error = Error>,
{
    let turn = |_, state, row| body(state, row).into_result();
    R::from_result(rows_of("scan", xs).and_then(|rows| {
        let plan = Plan { name: "scan", turns: Turns::Fixed(rows), start: 0 };
        let (state, stacked) = plan.run(initial, xs, None, &turn)?;
        Ok((state, stacked.expect("even without rows the body is recorded")))
    }))
}

/// Stacks what `body` returns for each row of `xs` along the first axis.
///
/// # Errors
/// Carried, or returned where the body returns a `Result`: if the tensors of `xs` differ in their first axis, or the
/// results of two rows in shape or dtype.
///
/// ```
/// use rushlight_core::{Tensor, map};
/// let matrices = Tensor::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [2, 2, 2]);
/// let squares = map(&matrices, |m: Tensor| m.matmul(&m));
/// assert_eq!(squares.shape()?, [2, 2, 2]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn map<X, Y, R>(xs: &X, body: impl Fn(X) -> R) -> R
where
    X: Structure,
    Y: Structure,
    R: Returned<Parts = Y, Error = Error>,
{
    let turn = |_, (), row| Ok(((), body(row).into_result()?));
    R::from_result(rows_of("map", xs).and_then(|rows| {
        let plan = Plan { name: "map", turns: Turns::Fixed(rows), start: 0 };
        let ((), stacked) = plan.run((), xs, None, &turn)?;
        Ok(stacked.expect("even without rows the body is recorded"))
    }))
}

type Thunk<'a, R> = Box<dyn FnOnce() -> R + 'a>;
type Turn<'a, S, X, Y> = &'a dyn Fn(Tensor, S, X) -> Result<(S, Y)>;
type Condition<'a, S> = Option<&'a dyn Fn(&S) -> Tensor>;

#[track_caller]
fn check_condition(op: &str, what: &str, condition: &Tensor) -> Result<()> {
    let spec = condition.spec()?;
    if spec.rank() == 0 && spec.dtype == DType::Bool {
        return Ok(());
    }
    let rule = format!("{what} must be a boolean scalar");
    Err(Error::with_inputs(ErrorKind::DType, op, rule, vec![spec.clone()]))
}

#[track_caller]
fn check_index(index: &Tensor, branches: usize) -> Result<()> {
    let spec = index.spec()?;
    let rule = match (branches, spec.rank() == 0 && spec.dtype.is_integer()) {
        (0, _) => "there must be at least one branch",
        (_, false) => "the index must be an integer scalar",
        _ => return Ok(()),
    };
    Err(Error::with_inputs(ErrorKind::DType, "switch", rule, vec![spec.clone()]))
}

/// The tensors and plain parts of a value of the loop or branch.
fn parts_of(value: &impl Structure, role: &'static str) -> Flat {
    let mut flat = Flat::default();
    value.flatten(flat.argument(role));
    flat
}

/// An error unless two values have the same plain parts and the same shapes and dtypes.
#[track_caller]
fn check_same(op: &str, when: &str, expected: &Flat, got: &Flat) -> Result<()> {
    got.tensors.iter().try_for_each(|tensor| tensor.check().map(drop))?;
    if got.is_same_signature(&expected.parts) {
        return Ok(());
    }
    let mut kind = ErrorKind::Value;
    let pairs = expected.parts.iter().zip(&got.parts);
    let rule = match pairs.into_iter().find(|(expected, got)| expected.key != got.key) {
        Some((expected, got)) => {
            if let (Key::Tensor(expected), Key::Tensor(got)) = (&expected.key, &got.key) {
                kind = if expected.dims == got.dims { ErrorKind::DType } else { ErrorKind::Shape };
            }
            format!(
                "`{}` must stay the same {when}: it was {} and became {}",
                got.label(),
                expected.key,
                got.key
            )
        }
        None => {
            let (expected, got) = (expected.parts.len(), got.parts.len());
            format!("there must be as many parts {when}: there were {expected} and then {got}")
        }
    };
    Err(Error::new(kind, op, rule))
}

/// The size of the first axis, which all tensors have in common.
#[track_caller]
fn rows_of(op: &str, xs: &impl Structure) -> Result<usize> {
    let flat = parts_of(xs, "xs");
    let mut rows = None;
    for tensor in &flat.tensors {
        let first = tensor.spec()?.dims.first().copied();
        match first {
            Some(first) if !is_open(first) && rows.is_none_or(|rows| rows == first) => rows = Some(first),
            _ => {
                let specs = flat.tensors.iter().filter_map(|tensor| tensor.known_spec().cloned()).collect();
                let rule = "the tensors to go through must have a first axis, of one known size";
                return Err(Error::with_inputs(ErrorKind::Shape, op, rule, specs));
            }
        }
    }
    match rows {
        Some(rows) => Ok(rows),
        None => Err(Error::new(ErrorKind::Value, op, "there must be a tensor to go through")),
    }
}

/// Records every branch and applies the choice among them.
#[track_caller]
fn choose<'a, R>(
    name: &'static str,
    index: &Tensor,
    bodies: impl Iterator<Item = Thunk<'a, R>>,
) -> Result<R::Parts>
where
    R: Returned<Error = Error>,
{
    let mut recorded: Vec<(R::Parts, Body)> = Vec::new();
    for body in bodies {
        recorded.push(body::record(name, &[], |_| {
            let parts = body().into_result()?;
            let tensors = parts_of(&parts, "result").tensors.into_vec();
            Ok((parts, tensors))
        })?);
    }
    let expected = parts_of(&recorded[0].0, "result");
    for (parts, _) in &recorded[1..] {
        check_same(name, "in all branches", &expected, &parts_of(parts, "result"))?;
    }
    // What any branch uses is an input of all; what any branch assigns is a result of all.
    let mut captured: Vec<Tensor> = Vec::new();
    let mut variables: Vec<(Variable, bool)> = Vec::new();
    for (_, body) in &recorded {
        for (outer, _) in body.captures() {
            if !captured.iter().any(|known| is_same_symbol(known, outer)) {
                captured.push(outer.clone());
            }
        }
        for recorded in &body.variables {
            match variables.iter_mut().find(|(variable, _)| *variable == recorded.variable) {
                Some((_, assigned)) => *assigned |= recorded.is_assigned(),
                None => variables.push((recorded.variable.clone(), recorded.is_assigned())),
            }
        }
    }
    let mut template = None;
    let mut branches = Vec::new();
    for (parts, mut body) in recorded {
        let mut inputs = Vec::new();
        for outer in &captured {
            let inside = body.captures().iter().find(|(known, _)| is_same_symbol(known, outer));
            let inside = inside.map(|(_, inner)| inner.clone());
            let spec = outer.known_spec().expect("a symbol has a spec");
            inputs.push(inside.unwrap_or_else(|| body.add_input(spec)));
        }
        let mut outputs = std::mem::take(&mut body.outputs);
        for (variable, assigned) in &variables {
            let known = body.variables.iter().find(|recorded| recorded.variable == *variable);
            let (initial, current) = match known {
                Some(RecordedVariable { initial, current, .. }) => (initial.clone(), current.clone()),
                None => {
                    let unread = body.add_input(variable.spec());
                    (unread.clone(), unread)
                }
            };
            inputs.push(initial);
            outputs.extend(assigned.then_some(current));
        }
        branches.push(body.into_graph(name, &inputs, &outputs));
        template.get_or_insert(parts);
    }
    let template = template.expect("there is a branch");
    let read = read_all(variables.iter().map(|(variable, _)| variable));
    let inputs: Vec<&Tensor> = [index].into_iter().chain(&captured).chain(&read).collect();
    let outputs = apply_unless_empty(Op::Branch(Arc::new(Branch { name, branches })), &inputs);
    let results = expected.tensors.len();
    let assigned: Vec<Variable> =
        variables.into_iter().filter(|(_, assigned)| *assigned).map(|(variable, _)| variable).collect();
    assign_all(&assigned, &outputs[results..])?;
    Ok(template.rebuild(&mut outputs.into_iter().take(results)))
}

fn is_same_symbol(a: &Tensor, b: &Tensor) -> bool {
    match (a.symbol(), b.symbol()) {
        (Some(a), Some(b)) => Arc::ptr_eq(&a.node, &b.node) && a.output == b.output,
        _ => false,
    }
}

/// The values that variables have outside of the body, which tapes note as read.
#[track_caller]
fn read_all<'a>(variables: impl Iterator<Item = &'a Variable>) -> Vec<Tensor> {
    let mut values = Vec::new();
    for variable in variables {
        values.push(variable.read());
    }
    values
}

/// An op without results would be a node without a value: it is left out.
#[track_caller]
fn apply_unless_empty(op: Op, inputs: &[&Tensor]) -> Vec<Tensor> {
    if op.output_count() == 0 { Vec::new() } else { apply_all(op, inputs).into_vec() }
}

/// A loop to be run or recorded.
struct Plan {
    name: &'static str,
    turns: Turns,
    /// The number of the first turn.
    start: usize,
}

impl Plan {
    #[track_caller]
    fn run<S: Structure, X: Structure, Y: Structure>(
        &self,
        initial: S,
        xs: &X,
        condition: Condition<S>,
        turn: Turn<S, X, Y>,
    ) -> Result<(S, Option<Y>)> {
        let carried = parts_of(&initial, "state");
        let sliced = parts_of(xs, "xs");
        let mut given = carried.tensors.iter().chain(&sliced.tensors);
        given.clone().try_for_each(|tensor| tensor.check().map(drop))?;
        // Without a turn only a recording can tell what would have been stacked.
        if is_recording() || given.any(Tensor::is_symbolic) || self.turns == Turns::Fixed(0) {
            self.record(initial, &carried, xs, &sliced, condition, turn)
        } else {
            self.run_now(initial, &carried, xs, &sliced, condition, turn)
        }
    }

    /// Plain Rust on values.
    #[track_caller]
    fn run_now<S: Structure, X: Structure, Y: Structure>(
        &self,
        initial: S,
        carried: &Flat,
        xs: &X,
        sliced: &Flat,
        condition: Condition<S>,
        turn: Turn<S, X, Y>,
    ) -> Result<(S, Option<Y>)> {
        let mut state = initial;
        let mut stacked: Option<(Y, Flat)> = None;
        let mut rows: Vec<Vec<Tensor>> = Vec::new();
        let mut number = 0;
        while self.turns.most().is_none_or(|most| number < most) {
            if let Some(condition) = condition {
                let holds = condition(&state);
                check_condition(self.name, "the condition", &holds)?;
                if !holds.item::<bool>()? {
                    break;
                }
            }
            let row = xs
                .rebuild(&mut sliced.tensors.iter().map(|x| x.slice_axis(0, number, number + 1).squeeze(0)));
            let (next, y) = turn(Tensor::scalar((self.start + number) as i64), state, row)?;
            check_same(self.name, "from turn to turn", carried, &parts_of(&next, "state"))?;
            let parts = parts_of(&y, "result");
            rows.push(parts.tensors.to_vec());
            match &stacked {
                Some((_, first)) => check_same(self.name, "in all rows", first, &parts)?,
                None => {
                    parts.tensors.iter().try_for_each(|tensor| tensor.check().map(drop))?;
                    stacked = Some((y, parts));
                }
            }
            state = next;
            number += 1;
        }
        let Some((template, parts)) = stacked else { return Ok((state, None)) };
        let mut stacks = (0..parts.tensors.len()).map(|column| {
            let column: Vec<&Tensor> = rows.iter().map(|row| &row[column]).collect();
            stack(&column, 0)
        });
        let stacks = template.rebuild(&mut stacks);
        Ok((state, Some(stacks)))
    }

    /// One op of the graph around.
    #[track_caller]
    fn record<S: Structure, X: Structure, Y: Structure>(
        &self,
        initial: S,
        carried: &Flat,
        xs: &X,
        sliced: &Flat,
        condition: Condition<S>,
        turn: Turn<S, X, Y>,
    ) -> Result<(S, Option<Y>)> {
        let first = condition.map(|condition| condition(&initial));
        if let Some(first) = &first {
            check_condition(self.name, "the condition", first)?;
        }
        let spec = |tensor: &Tensor| tensor.known_spec().cloned().expect("carried errors were sent back");
        let mut specs = vec![Spec::new([], DType::I64)];
        specs.extend(carried.tensors.iter().map(spec));
        specs.extend(sliced.tensors.iter().map(|tensor| {
            let stack = spec(tensor);
            Spec::new(&stack.dims[1..], stack.dtype)
        }));
        let count = carried.tensors.len();
        // What the closure finds out is judged after it, so that errors name the caller's line.
        let ((next, y, again), mut body) = body::record(self.name, &specs, |symbols| {
            let (number, symbols) = symbols.split_first().expect("the number comes first");
            let (state, rows) = symbols.split_at(count);
            let number = if self.start == 0 { number.clone() } else { number + self.start };
            let state = initial.rebuild(&mut state.iter().cloned());
            let (next, y) = turn(number, state, xs.rebuild(&mut rows.iter().cloned()))?;
            let next_parts = parts_of(&next, "state");
            let fits = next_parts.is_same_signature(&carried.parts);
            let faulty = next_parts.tensors.iter().any(|tensor| tensor.error().is_some());
            let again = condition.filter(|_| fits && !faulty).map(|condition| condition(&next));
            let mut outputs: Vec<Tensor> = again.iter().cloned().collect();
            outputs.extend(next_parts.tensors.iter().cloned());
            outputs.extend(parts_of(&y, "result").tensors);
            Ok(((next_parts, y, again), outputs))
        })?;
        check_same(self.name, "from turn to turn", carried, &next)?;
        if let Some(again) = &again {
            check_condition(self.name, "the condition", again)?;
        }
        let (assigned, read): (Vec<RecordedVariable>, Vec<RecordedVariable>) =
            std::mem::take(&mut body.variables).into_iter().partition(RecordedVariable::is_assigned);
        let captures = body.captures().to_vec();
        let (conditions, outputs) = body.outputs.split_at(usize::from(again.is_some()));
        let (states, rows) = outputs.split_at(count);
        let (numbers, given) = body.inputs.split_at(1);
        let (state_inputs, row_inputs) = given.split_at(count);
        let stacked = rows.len();
        let initials = |variables: &[RecordedVariable]| -> Vec<Tensor> {
            variables.iter().map(|recorded| recorded.initial.clone()).collect()
        };
        let inside: Vec<Tensor> = captures.iter().map(|(_, inner)| inner.clone()).collect();
        let inputs =
            [numbers, state_inputs, &initials(&assigned), row_inputs, &inside, &initials(&read)].concat();
        let currents: Vec<Tensor> = assigned.iter().map(|recorded| recorded.current.clone()).collect();
        let outputs = [conditions, states, &currents, rows].concat();
        let op = Loop {
            name: self.name,
            family: next_family(),
            body: body.into_graph(self.name, &inputs, &outputs),
            turns: self.turns,
            carried: count + assigned.len(),
            sliced: sliced.tensors.len(),
            stacked,
            reverse: false,
        };
        let assigned_before = read_all(assigned.iter().map(|known| &known.variable));
        let read = read_all(read.iter().map(|known| &known.variable));
        let inputs: Vec<&Tensor> = first
            .iter()
            .chain(&carried.tensors)
            .chain(&assigned_before)
            .chain(&sliced.tensors)
            .chain(captures.iter().map(|(outer, _)| outer))
            .chain(&read)
            .collect();
        let carried_in_all = op.carried;
        let results = apply_unless_empty(Op::Loop(Arc::new(op)), &inputs);
        let (states, stacks) = results.split_at(carried_in_all.min(results.len()));
        let variables: Vec<Variable> = assigned.into_iter().map(|recorded| recorded.variable).collect();
        assign_all(&variables, &states[count..])?;
        let state = initial.rebuild(&mut states[..count].iter().cloned());
        Ok((state, Some(y.rebuild(&mut stacks[..stacked].iter().cloned()))))
    }
}

/// A number that no other loop of this program has.
pub(crate) fn next_family() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
