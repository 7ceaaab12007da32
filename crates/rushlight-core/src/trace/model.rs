//! The door of functional models: recording a layer call as one node, and running the recorded nodes again.

use crate::ops::Op;
use crate::tensor::{Error, ErrorKind, Result, Spec, Tensor, close, is_open};
use crate::trace::apply::{apply_all, record};
use crate::trace::node::{Call, Composite, MODEL, Node};
use crate::trace::scope;
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl Tensor {
    /// Whether this stands for an input of a functional model, or for something computed from one.
    pub fn is_of_model(&self) -> bool {
        self.symbol().is_some_and(|symbol| symbol.node.recording == MODEL)
    }
}

/// Records the call of something larger than an op as one node of a model; gives a symbolic tensor an output.
///
/// At least one input must be of a model ([`Tensor::is_of_model`]).
#[track_caller]
pub fn record_composite(
    composite: Arc<dyn Composite>,
    inputs: &[&Tensor],
    outputs: Vec<Spec>,
) -> Vec<Tensor> {
    record(Call::Composite(composite), inputs, outputs.into()).into_vec()
}

/// Where an input of a step comes from.
#[derive(Clone)]
pub enum Source {
    /// A value that the model's inputs or an earlier step put there.
    Slot(usize),
    /// A tensor that was a value when the model was made.
    Constant(Tensor),
}

/// One node of a model, with where its inputs are and where its outputs go.
pub struct Step {
    node: Arc<Node>,
    inputs: SmallVec<[Source; 3]>,
    /// The first of as many slots as there are outputs.
    slot: usize,
    /// Slots that no later step reads.
    last_used: SmallVec<[usize; 3]>,
}

impl Step {
    /// Name of the op or of the composite.
    pub fn name(&self) -> &str {
        self.node.call.name()
    }

    /// The composite, unless the step is an op.
    pub fn composite(&self) -> Option<&Arc<dyn Composite>> {
        match &self.node.call {
            Call::Composite(composite) => Some(composite),
            _ => None,
        }
    }

    /// The op, unless the step is a composite.
    pub fn op(&self) -> Option<&Op> {
        match &self.node.call {
            Call::Op(op) => Some(op),
            _ => None,
        }
    }

    /// Where the inputs come from.
    pub fn inputs(&self) -> &[Source] {
        &self.inputs
    }

    /// Shapes and dtypes of the outputs, which go to the slots from [`Step::slot`] on.
    pub fn outputs(&self) -> &[Spec] {
        &self.node.outputs
    }

    /// The slot of the first output.
    pub fn slot(&self) -> usize {
        self.slot
    }
}

/// What leads from a model's inputs to its outputs, in an order in which it can be run.
///
/// Made once; running it on other tensors, eager or symbolic, applies the same ops and composites to them.
pub struct ModelGraph {
    inputs: Vec<(String, Spec)>,
    steps: Vec<Step>,
    outputs: Vec<(usize, Spec)>,
    slots: usize,
}

/// What tells symbolic tensors apart: the node and which of its outputs.
type Key = (u64, usize);

impl ModelGraph {
    /// The graph between symbolic tensors of a model; inputs may be results of layers as well as model inputs.
    ///
    /// # Errors
    /// If a tensor carries an error or is not of a model, or if an output depends on a model input that is not listed.
    #[track_caller]
    pub fn new(inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<ModelGraph> {
        let mut slots: HashMap<Key, usize> = HashMap::new();
        let mut listed = Vec::new();
        for (slot, input) in inputs.iter().enumerate() {
            let (node, output) = of_model(input, "input")?;
            if slots.insert((node.index, output), slot).is_some() {
                return Err(model_error("an input of a model must be listed only once", vec![]));
            }
            let name = match &node.call {
                Call::Input(name) => name.to_string(),
                call => call.name().to_string(),
            };
            listed.push((name, node.outputs[output].clone()));
        }
        let mut next_slot = inputs.len();
        let mut steps = Vec::new();
        for node in nodes_between(&slots, outputs)? {
            if let Call::Input(name) = &node.call {
                let rule =
                    format!("an output depends on the input `{name}`, which is not among the model's inputs");
                return Err(model_error(&rule, node.outputs.to_vec()));
            }
            let sources = node.inputs.iter().map(|input| match input.symbol() {
                Some(symbol) => Source::Slot(slots[&(symbol.node.index, symbol.output)]),
                None => Source::Constant(input.clone()),
            });
            let inputs = sources.collect();
            for output in 0..node.outputs.len() {
                slots.entry((node.index, output)).or_insert(next_slot + output);
            }
            let slot = next_slot;
            next_slot += node.outputs.len();
            steps.push(Step { node, inputs, slot, last_used: SmallVec::new() });
        }
        let mut results = Vec::new();
        for tensor in outputs {
            let (node, output) = of_model(tensor, "output")?;
            results.push((slots[&(node.index, output)], node.outputs[output].clone()));
        }
        note_last_uses(&mut steps, &results);
        Ok(ModelGraph { inputs: listed, steps, outputs: results, slots: next_slot })
    }

    /// Name and spec of each input; inputs have the slots from 0 on.
    pub fn inputs(&self) -> &[(String, Spec)] {
        &self.inputs
    }

    /// The nodes in the order in which they run.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Slot and spec of each output.
    pub fn outputs(&self) -> &[(usize, Spec)] {
        &self.outputs
    }

    /// Runs the model on other tensors; the open batch axis takes on the size that the inputs have.
    ///
    /// Inputs of another dtype are cast to the declared one. A wrong shape gives outputs that carry the error.
    #[track_caller]
    pub fn run(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let (inputs, batch) = match self.accept(inputs) {
            Ok(accepted) => accepted,
            Err(error) => return vec![Tensor::carry(error); self.outputs.len()],
        };
        let mut slots: Vec<Option<Tensor>> = inputs.into_iter().map(Some).collect();
        slots.resize(self.slots, None);
        for step in &self.steps {
            let results = {
                let inputs: SmallVec<[&Tensor; 4]> = step
                    .inputs
                    .iter()
                    .map(|source| match source {
                        Source::Slot(slot) => slots[*slot].as_ref().expect("steps run after what they read"),
                        Source::Constant(tensor) => tensor,
                    })
                    .collect();
                step.run(&inputs, batch)
            };
            for (output, result) in results.into_iter().enumerate() {
                slots[step.slot + output] = Some(result);
            }
            for &slot in &step.last_used {
                slots[slot] = None;
            }
        }
        let result = |slot: usize| slots[slot].clone().expect("outputs are kept to the end");
        self.outputs.iter().map(|(slot, _)| result(*slot)).collect()
    }

    /// The inputs in their declared dtypes, and the batch size if it is known.
    #[track_caller]
    fn accept(&self, inputs: &[&Tensor]) -> Result<(Vec<Tensor>, Option<usize>)> {
        if inputs.len() != self.inputs.len() {
            let rule = format!("the model takes {} input(s)", self.inputs.len());
            return Err(model_error(&rule, inputs.iter().flat_map(|x| x.known_spec().cloned()).collect()));
        }
        let mut batch = None;
        let mut accepted = Vec::new();
        for (input, (name, declared)) in inputs.iter().zip(&self.inputs) {
            let got = input.spec()?;
            let fits = got.rank() == declared.rank()
                && got.dims.iter().zip(&declared.dims).all(|(&size, &want)| is_open(want) || size == want);
            if !fits {
                return Err(model_error(&format!("input `{name}` must be {declared}"), vec![got.clone()]));
            }
            let open = got.dims.iter().zip(&declared.dims).filter(|(_, want)| is_open(**want));
            for (&size, _) in open {
                let first = *batch.get_or_insert(size);
                if first != size {
                    let rule = format!("all inputs must have the same batch size: {first} and {size} differ");
                    return Err(model_error(
                        &rule,
                        inputs.iter().flat_map(|x| x.known_spec().cloned()).collect(),
                    ));
                }
            }
            accepted.push(input.cast(declared.dtype));
        }
        Ok((accepted, batch.filter(|&batch| !is_open(batch))))
    }
}

impl Step {
    fn run(&self, inputs: &[&Tensor], batch: Option<usize>) -> SmallVec<[Tensor; 1]> {
        match &self.node.call {
            Call::Op(op) => {
                let op = match batch {
                    Some(batch) => op.with_batch(batch),
                    None => op.clone(),
                };
                scope::located(self.node.location, || apply_all(op, inputs))
            }
            Call::Composite(composite) => {
                let mut results = SmallVec::from_vec(composite.call(inputs));
                // A composite that fails early may carry its error in fewer outputs than it has.
                if let Some(first) = results.first().cloned() {
                    results.resize(self.node.outputs.len(), first);
                }
                results
            }
            Call::Input(_) | Call::Variable(_) => unreachable!("neither is a step of a model"),
        }
    }
}

fn model_error(rule: &str, got: Vec<Spec>) -> Error {
    Error::with_inputs(ErrorKind::Shape, "model", rule, got)
}

#[track_caller]
fn of_model<'a>(tensor: &'a Tensor, role: &str) -> Result<(&'a Arc<Node>, usize)> {
    let spec = tensor.spec()?;
    match tensor.symbol() {
        Some(symbol) if symbol.node.recording == MODEL => Ok((&symbol.node, symbol.output)),
        _ => {
            let rule = format!("each {role} of a model must be an input or computed from one");
            Err(Error::with_inputs(ErrorKind::Value, "model", rule, vec![spec.clone()]))
        }
    }
}

/// The nodes that lead to the outputs without going behind the inputs, in the order in which they were made.
#[track_caller]
fn nodes_between(inputs: &HashMap<Key, usize>, outputs: &[&Tensor]) -> Result<Vec<Arc<Node>>> {
    let mut seen = HashSet::new();
    let mut nodes = Vec::new();
    let mut pending: Vec<Tensor> = Vec::new();
    for output in outputs {
        of_model(output, "output")?;
        pending.push((*output).clone());
    }
    while let Some(tensor) = pending.pop() {
        let Some(symbol) = tensor.symbol() else { continue };
        let node = &symbol.node;
        if inputs.contains_key(&(node.index, symbol.output)) || !seen.insert(node.index) {
            continue;
        }
        pending.extend(node.inputs.iter().cloned());
        nodes.push(node.clone());
    }
    nodes.sort_by_key(|node| node.index);
    Ok(nodes)
}

fn note_last_uses(steps: &mut [Step], outputs: &[(usize, Spec)]) {
    let mut used: HashSet<usize> = outputs.iter().map(|(slot, _)| *slot).collect();
    for step in steps.iter_mut().rev() {
        let read = step.inputs.iter().filter_map(|source| match source {
            Source::Slot(slot) => Some(*slot),
            Source::Constant(_) => None,
        });
        let written = step.slot..step.slot + step.node.outputs.len();
        let slots: SmallVec<[usize; 4]> = read.chain(written).collect();
        step.last_used = slots.into_iter().filter(|&slot| used.insert(slot)).collect();
    }
}

/// A spec with an open batch size filled in.
pub fn with_batch(spec: &Spec, batch: usize) -> Spec {
    Spec { dims: spec.dims.iter().map(|&dim| close(dim, batch)).collect(), dtype: spec.dtype }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{BATCH, DType};
    use crate::trace::model_input;

    fn input(name: &str) -> Tensor {
        model_input(name, Spec::new([BATCH, 4], DType::F32))
    }

    /// Passes its input on; counts nothing, computes nothing, so that no kernel is needed.
    struct Pass;

    impl Composite for Pass {
        fn name(&self) -> &str {
            "pass"
        }
        fn call(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
            vec![inputs[0].clone()]
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    #[test]
    fn a_model_runs_again_with_the_batch_size_of_its_inputs() {
        let x = input("x");
        let passed = record_composite(Arc::new(Pass), &[&x], vec![x.spec().unwrap().clone()]);
        let y = passed[0].reshape([-1, 2, 2]).expand_dims(-1);
        let graph = ModelGraph::new(&[&x], &[&y, &x]).unwrap();
        assert_eq!(graph.steps().iter().map(Step::name).collect::<Vec<_>>(), ["pass", "reshape", "reshape"]);
        let given = Tensor::new(&[1f32, 2., 3., 4., 5., 6., 7., 8.], [2, 4]);
        let results = graph.run(&[&given]);
        assert_eq!(results[0].shape().unwrap(), [2, 2, 2, 1]);
        assert_eq!(results[0].to_vec::<f32>().unwrap(), given.to_vec::<f32>().unwrap());
        assert_eq!(results[1].shape().unwrap(), [2, 4]);
        let symbolic = graph.run(&[&input("other")]);
        assert_eq!(symbolic[0].shape().unwrap(), [BATCH, 2, 2, 1]);
    }

    #[test]
    fn wrong_inputs_are_named() {
        let (a, b) = (input("a"), input("b"));
        let sum = &a + &b;
        let missing = ModelGraph::new(&[&a], &[&sum]).err().unwrap();
        assert!(missing.to_string().contains("depends on the input `b`"), "{missing}");
        let graph = ModelGraph::new(&[&a, &b], &[&sum]).unwrap();
        let (two, three) = (Tensor::zeros([2, 4], DType::F32), Tensor::zeros([3, 4], DType::F32));
        let uneven = graph.run(&[&two, &three])[0].check().err().unwrap();
        assert!(uneven.to_string().contains("the same batch size: 2 and 3 differ"), "{uneven}");
        let wide = Tensor::zeros([2, 5], DType::F32);
        let wrong = graph.run(&[&two, &wide])[0].check().err().unwrap();
        assert!(wrong.to_string().contains("input `b` must be f32[batch, 4]: got [2, 5]"), "{wrong}");
        let value = ModelGraph::new(&[&a], &[&two]).err().unwrap();
        assert!(value.to_string().contains("each output of a model must be"), "{value}");
    }

    #[test]
    fn a_model_can_begin_at_the_result_of_a_layer() {
        let x = input("x");
        let middle = x.reshape([-1, 2, 2]);
        let end = middle.expand_dims(1);
        let graph = ModelGraph::new(&[&middle], &[&end]).unwrap();
        assert_eq!(graph.steps().len(), 1);
        let given = Tensor::new(&[1f32, 2., 3., 4.], [1, 2, 2]);
        let result = &graph.run(&[&given])[0];
        assert_eq!(result.shape().unwrap(), [1, 1, 2, 2]);
        assert_eq!(result.to_vec::<f32>().unwrap(), [1., 2., 3., 4.]);
    }
}
