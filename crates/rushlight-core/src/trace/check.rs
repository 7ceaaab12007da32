//! The differential mode: a compiled function is held against eager execution, node by node.

use crate::cpu::Program;
use crate::graph::{Graph, Kind, Node, ValueId, evaluate_all};
use crate::ops::effect::silenced;
use crate::ops::feed::taken_once;
use crate::passes;
use crate::tensor::{DType, Element, Error, ErrorKind, Inner, Result, Tensor, Value};
use crate::trace::Variable;
use crate::with_dtype;
use smallvec::SmallVec;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

thread_local! {
    static CHECKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` with every recorded function on this thread checked against eager execution, as
/// `RUSHLIGHT_CHECK=eager` does for a whole program.
///
/// A call runs twice: once op by op as it was recorded, once compiled. If the two differ by more than rounding, the
/// call returns an error that names the first value that does, its layer and line and by how much; if a result or a
/// variable's new value is not finite, one that names where the first NaN or infinity came from. Variables keep
/// their values then.
///
/// ```
/// use rushlight_core::{Tensor, check_functions, function};
/// let entropy = function("entropy", |p: &Tensor| -(p * p.log()).sum(..));
/// let wrong = Tensor::from([0.5f32, -0.5]);
/// let error = check_functions(|| entropy.call(&wrong).check().unwrap_err());
/// assert!(error.to_string().contains("the first NaN comes from `log`"));
/// ```
pub fn check_functions<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            CHECKED.set(self.0);
        }
    }
    let _restore = Restore(CHECKED.replace(true));
    body()
}

/// Whether calls on this thread are checked.
pub(crate) fn is_on() -> bool {
    static EVERYWHERE: OnceLock<bool> = OnceLock::new();
    CHECKED.get()
        || *EVERYWHERE.get_or_init(|| std::env::var("RUSHLIGHT_CHECK").is_ok_and(|how| how == "eager"))
}

/// A function compiled so that its values can be told apart while it runs.
pub(crate) struct Checked {
    program: Program,
    /// Values of the compiled graph, with the recorded values that they should equal.
    recorded: HashMap<ValueId, ValueId>,
}

impl Checked {
    pub(crate) fn new(graph: &Graph) -> Checked {
        Checked::of(passes::optimize(&graph.with_history()))
    }

    fn of(optimized: Graph) -> Checked {
        let mut recorded = HashMap::new();
        for &(before, now) in &optimized.history {
            recorded.entry(now).or_insert(before);
        }
        Checked { program: Program::compile(Arc::new(optimized.clone()), optimized), recorded }
    }

    /// Calls the function both ways and gives the results of the compiled one, or an error that says what differs.
    pub(crate) fn run(&self, graph: &Graph, variables: &[Variable], inputs: &[&Value]) -> Result<Vec<Value>> {
        taken_once(|| self.run_both(graph, variables, inputs))
    }

    fn run_both(&self, graph: &Graph, variables: &[Variable], inputs: &[&Value]) -> Result<Vec<Value>> {
        let before: Vec<Value> = variables.iter().map(|variable| value_of(&variable.lock())).collect();
        let owned: Vec<Value> = inputs.iter().map(|&input| input.clone()).collect();
        let eager = Eager { graph, values: silenced(|| evaluate_all(graph, &owned, &before)) };
        let mut first = None;
        let result = self.program.run_watched(variables, inputs, &mut |id, value| {
            if first.is_none()
                && let Some(&recorded) = self.recorded.get(&id)
            {
                first = eager.difference(recorded, &value);
            }
        });
        let verdict = result.and_then(|results| {
            let news = variables.iter().map(|variable| value_of(&variable.lock())).collect::<Vec<_>>();
            first.map_or(Ok(()), Err)?;
            for (&id, value) in graph.outputs.iter().zip(&results) {
                eager.difference(id, value).map_or(Ok(()), Err)?;
            }
            for &(variable, id) in &graph.assignments {
                eager.difference(id, &news[variable]).map_or(Ok(()), Err)?;
            }
            eager.first_not_finite().map_or(Ok(()), Err)?;
            Ok(results.into_vec())
        });
        if verdict.is_err() {
            for (variable, value) in variables.iter().zip(before) {
                *variable.lock() = Tensor::from_value(value);
            }
        }
        verdict
    }
}

fn value_of(tensor: &Tensor) -> Value {
    let Inner::Value(value) = &*tensor.0 else { unreachable!("variables hold values") };
    value.clone()
}

/// The values of a graph as eager execution gives them.
struct Eager<'a> {
    graph: &'a Graph,
    values: Vec<SmallVec<[Value; 1]>>,
}

impl Eager<'_> {
    fn value(&self, id: ValueId) -> &Value {
        &self.values[id.node as usize][id.output as usize]
    }

    /// What is wrong with a compiled value, if anything is.
    fn difference(&self, id: ValueId, compiled: &Value) -> Option<Error> {
        let node = self.graph.node(id);
        let eager = self.value(id);
        let inputs = node.inputs.iter().map(|&input| self.value(input));
        // A comparison of floats, or a rounding, may turn on the last bit.
        let turns = !eager.spec.dtype.is_float() && inputs.clone().any(|input| input.spec.dtype.is_float());
        if turns {
            return None;
        }
        let near = match eager.spec.dtype {
            DType::F64 => 1e-9,
            DType::F32 => 1e-4,
            DType::F16 => 2e-2,
            DType::BF16 => 1e-1,
            _ => 0.0,
        };
        // What nearly cancels is known to the size of what it was computed from.
        let size = inputs.chain([eager]).map(largest).fold(0.0, f64::max);
        let (got, want) = (elements(compiled), elements(eager));
        let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= near * size;
        let (place, _) = got.iter().zip(&want).enumerate().find(|&(_, (&a, &b))| !same(a, b))?;
        let wrong = got.iter().zip(&want).filter(|&(&a, &b)| !same(a, b)).count();
        let (got, want) = (got[place], want[place]);
        let rule = format!(
            "compiled and eager execution differ first at {}: element {place} is {got} compiled and {want} eager, \
             a difference of {:.3e} where values are up to {size:.3e} ({wrong} of {} elements differ)",
            self.name(node),
            (got - want).abs(),
            eager.spec.count(),
        );
        Some(self.error(node, rule))
    }

    /// Where the first NaN or infinity came from, if one reached a result or a variable.
    fn first_not_finite(&self) -> Option<Error> {
        let bad =
            |value: &Value| value.spec.dtype.is_float() && elements(value).iter().any(|x| !x.is_finite());
        if !self.graph.roots().any(|id| bad(self.value(id))) {
            return None;
        }
        let made = |(index, values): &(usize, &SmallVec<[Value; 1]>)| {
            let fresh = !self.graph.nodes[*index].inputs.iter().any(|&input| bad(self.value(input)));
            fresh && values.iter().any(bad)
        };
        // A constant infinity, such as a mask's, is meant; it is named only if nothing else can be.
        let computed = |index: usize| matches!(self.graph.nodes[index].kind, Kind::Op(_));
        let all = || self.values.iter().enumerate().filter(made);
        let (index, values) = all().find(|(index, _)| computed(*index)).or_else(|| all().next())?;
        let node = &self.graph.nodes[index];
        let numbers: Vec<f64> = values.iter().flat_map(elements).collect();
        let (what, count) = match numbers.iter().filter(|x| x.is_nan()).count() {
            0 => ("infinity", numbers.iter().filter(|x| x.is_infinite()).count()),
            nans => ("NaN", nans),
        };
        let mut rule =
            format!("the first {what} comes from {}: {count} of {} elements", self.name(node), numbers.len());
        for (number, &input) in node.inputs.iter().enumerate() {
            let numbers = elements(self.value(input));
            let (low, high) = numbers
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
            rule += &format!(", its input {} lies between {low} and {high}", number + 1);
        }
        Some(self.error(node, rule))
    }

    /// `` `mul` f32[2, 3] ``
    fn name(&self, node: &Node) -> String {
        let name = match &node.kind {
            Kind::Input(number) => format!("argument {number}"),
            Kind::Variable(number) => format!("variable `{}`", self.graph.variables[*number].name()),
            Kind::Constant(_) => "a constant".to_string(),
            Kind::Op(op) => format!("`{}`", op.label()),
            Kind::Fused(_) => unreachable!("fused nodes are not recorded"),
        };
        format!("{name} {}", node.outputs[0])
    }

    fn error(&self, node: &Node, rule: String) -> Error {
        let origin = &node.origin;
        Error::located(ErrorKind::Value, &*self.graph.name, rule, origin.location, origin.path.clone())
    }
}

/// The elements in row-major order.
fn elements(value: &Value) -> Vec<f64> {
    let value = crate::cpu::contiguous(value);
    with_dtype!(value.spec.dtype, T => value.view().slice::<T>().iter().map(|&x| T::to_f64(x)).collect())
}

/// The largest finite element by size.
fn largest(value: &Value) -> f64 {
    elements(value).iter().filter(|x| x.is_finite()).fold(0.0, |size, x| x.abs().max(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Rewriter, from_recording};
    use crate::ops::Op;
    use crate::ops::elementwise::Binary;
    use crate::tensor::Spec;
    use crate::trace::{recorder, scope};

    /// A wrong rewrite: sums become differences.
    fn sums_become_differences(graph: &Graph) -> Graph {
        let mut rewriter = Rewriter::new(graph);
        for (index, node) in graph.nodes.iter().enumerate() {
            if node.kind == Kind::Op(Op::Binary(Binary::Add)) {
                let inputs = rewriter.new_inputs(node);
                let new = rewriter.op(Op::Binary(Binary::Sub), &inputs, &node.origin);
                rewriter.replace(ValueId { node: index as u32, output: 0 }, new);
            } else {
                rewriter.keep(index);
            }
        }
        rewriter.finish()
    }

    #[test]
    fn a_wrong_rewrite_is_found_at_its_first_value() {
        let input = Tensor::new(&(0..32).map(|i| i as f32).collect::<Vec<_>>(), [4, 8]);
        let before = line!();
        let ((x, y), recording) = recorder::record_with(|| {
            let x = recorder::add_input("x", Spec::new([4, 8], DType::F32));
            let squares = x.square().matmul(&Tensor::full([8, 3], 0.5, DType::F32));
            let shifted = scope("shift", None, || &squares + Tensor::from([1.0f32, 2.0, 3.0]));
            (x, shifted.matmul(&Tensor::eye(3, DType::F32)).tanh())
        });
        let graph = from_recording("net", &recording, &[x], &[y]);
        let inputs = [&value_of(&input)];
        let right = Checked::new(&graph).run(&graph, &[], &inputs).unwrap();
        assert_eq!(right[0].spec, Spec::new([4, 3], DType::F32));

        let wrong = Checked::of(passes::optimize(&sums_become_differences(&graph.with_history())));
        let error = wrong.run(&graph, &[], &inputs).err().expect("a difference");
        let expected = format!(
            "[net] compiled and eager execution differ first at `add` f32[4, 3]: element 0 is 69 compiled and 71 \
             eager, a difference of 2.000e0 where values are up to 3.049e3 (12 of 12 elements differ) ({}:{}, in shift)",
            file!(),
            before + 4
        );
        assert_eq!(error.to_string(), expected);
    }
}
