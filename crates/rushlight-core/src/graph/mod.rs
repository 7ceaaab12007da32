//! The intermediate representation: what a recorded function computes, as immutable nodes in an order that runs.
//!
//! Variables are not touched while a graph runs: it takes their values and gives their new ones, so passes see
//! pure functions only. Program order between reads and assignments was resolved while recording.

mod build;
mod evaluate;
mod print;
mod verify;

pub(crate) use build::from_recording;
pub(crate) use evaluate::{evaluate, evaluate_all};
pub(crate) use verify::verify;

use crate::ops::Op;
use crate::tensor::{Spec, Value};
use crate::trace::recorder;
use crate::trace::variable::WeakVariable;
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One result of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ValueId {
    pub(crate) node: u32,
    pub(crate) output: u32,
}

/// The specs of a node's results.
pub(crate) type Specs = SmallVec<[Spec; 1]>;
/// The inputs of a node.
pub(crate) type Inputs = SmallVec<[ValueId; 3]>;

/// A recorded function: nodes in an order in which each comes after its inputs.
#[derive(Clone)]
pub struct Graph {
    pub(crate) name: Arc<str>,
    pub(crate) nodes: Vec<Node>,
    /// The arguments, in order.
    pub(crate) inputs: Vec<ValueId>,
    /// The results, in order.
    pub(crate) outputs: Vec<ValueId>,
    /// Weak, so that a compiled function keeps no weights alive.
    pub(crate) variables: Vec<WeakVariable>,
    /// The variables that get a new value, by index, with that value.
    pub(crate) assignments: Vec<(usize, ValueId)>,
    /// Values of the recorded graph, each with the one that stands for it now; empty unless someone asks for it.
    pub(crate) history: Vec<(ValueId, ValueId)>,
}

/// One step of the computation.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) inputs: Inputs,
    pub(crate) outputs: Specs,
    pub(crate) origin: Origin,
}

/// Where a node comes from: what errors, profiles and pictures show.
#[derive(Clone)]
pub(crate) struct Origin {
    /// The path of layers, such as `model/dense_1`.
    pub(crate) path: Option<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
    /// The recorded nodes that it computes, by numbers of their own: more than one if equal ops became one.
    pub(crate) sources: SmallVec<[u32; 2]>,
}

impl Origin {
    /// That of a new node of a recording, with a number that no other one has.
    pub(crate) fn of_recorded(path: Option<Arc<str>>, location: &'static Location<'static>) -> Origin {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Origin { path, location, sources: SmallVec::from_elem(number, 1) }
    }
}

/// What says where something comes from, but not what it is.
#[derive(Clone)]
pub(crate) struct Aside(pub(crate) Origin);

impl PartialEq for Aside {
    fn eq(&self, _: &Aside) -> bool {
        true
    }
}

impl Eq for Aside {}

impl Hash for Aside {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl std::fmt::Debug for Aside {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

/// What a node does.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The argument of that number.
    Input(usize),
    /// The value that the variable of that number has at the start.
    Variable(usize),
    Constant(Constant),
    Op(Op),
    /// Several elementwise ops and reductions in one loop over their elements.
    Fused(Arc<Fused>),
}

/// A value known while recording. Equal only to itself, unless it is a scalar.
#[derive(Clone)]
pub(crate) struct Constant(pub(crate) Value);

/// A loop made of several ops: each element of the iteration space goes through all of them.
///
/// The node's inputs are broadcast to the iteration space by the axes that the body's `Broadcast` names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fused {
    /// The ops, in order; their inputs are earlier ops of the body or inputs of the node.
    pub(crate) body: Vec<FusedOp>,
    /// Which ops of the body give the node's results.
    pub(crate) results: SmallVec<[usize; 2]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FusedOp {
    pub(crate) op: Op,
    pub(crate) inputs: SmallVec<[Operand; 3]>,
    pub(crate) output: Spec,
    pub(crate) origin: Aside,
}

/// An input of an op inside a fused loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    /// An input of the fused node.
    Input(usize),
    /// The result of an earlier op of the body.
    Body(usize),
}

impl PartialEq for Constant {
    fn eq(&self, other: &Constant) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Constant {}

impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Constant {
    /// What tells constants apart: the value of a scalar, the memory of anything larger.
    fn key(&self) -> (Spec, u64, usize, crate::tensor::Strides) {
        let Value { buffer, offset, spec, strides } = &self.0;
        match self.scalar() {
            Some(bits) => (spec.clone(), bits, 0, SmallVec::new()),
            None => (spec.clone(), Arc::as_ptr(buffer) as u64, *offset, strides.clone()),
        }
    }

    /// The bits of a scalar.
    pub(crate) fn scalar(&self) -> Option<u64> {
        let value = &self.0;
        if value.spec.rank() > 0 {
            return None;
        }
        let view = value.view();
        let size = value.spec.dtype.size();
        let mut bits = [0u8; 8];
        // SAFETY: a scalar has one initialized element of `size` bytes, at most eight.
        unsafe { std::ptr::copy_nonoverlapping(view.data, bits.as_mut_ptr(), size) };
        Some(u64::from_le_bytes(bits))
    }

    /// The value of a scalar constant.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        self.scalar()?;
        let view = self.0.view();
        Some(crate::with_dtype!(view.dtype, T => {
            crate::tensor::Element::to_f64(view.slice::<T>()[0])
        }))
    }
}

impl Graph {
    pub(crate) fn node(&self, id: ValueId) -> &Node {
        &self.nodes[id.node as usize]
    }

    pub(crate) fn spec(&self, id: ValueId) -> &Spec {
        &self.node(id).outputs[id.output as usize]
    }

    /// Everything that must be computed: results and new values of variables.
    pub(crate) fn roots(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.outputs.iter().copied().chain(self.assignments.iter().map(|&(_, value)| value))
    }

    /// The same graph, from which passes make graphs that know what stands for its values.
    pub(crate) fn with_history(&self) -> Graph {
        let mut graph = self.clone();
        let nodes = graph.nodes.iter().enumerate();
        let ids = nodes.flat_map(|(index, node)| {
            (0..node.outputs.len() as u32).map(move |output| ValueId { node: index as u32, output })
        });
        graph.history = ids.map(|id| (id, id)).collect();
        graph
    }

    /// Whether the function does more than compute: prints, checks, calls back.
    pub(crate) fn has_effects(&self) -> bool {
        self.variables.iter().any(|variable| variable.name() == recorder::EFFECTS)
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How often each value is read by nodes, results and assignments.
    pub(crate) fn use_counts(&self) -> Vec<SmallVec<[u32; 1]>> {
        let mut counts: Vec<SmallVec<[u32; 1]>> =
            self.nodes.iter().map(|node| SmallVec::from_elem(0, node.outputs.len())).collect();
        let mut count = |id: ValueId| counts[id.node as usize][id.output as usize] += 1;
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|&id| count(id));
        self.roots().for_each(&mut count);
        counts
    }
}

impl Fused {
    /// The iteration space: what an elementwise op gives, or what a reduction takes.
    pub(crate) fn space<'a>(
        &'a self,
        input_dims: impl Fn(usize) -> &'a crate::tensor::Dims,
    ) -> &'a crate::tensor::Dims {
        let step = &self.body[0];
        match (&step.op, step.inputs[0]) {
            (Op::Reduce(_), Operand::Input(number)) => input_dims(number),
            (Op::Reduce(_), Operand::Body(number)) => &self.body[number].output.dims,
            _ => &step.output.dims,
        }
    }

    /// The loop with one of its results alone, and which inputs it still reads, in order.
    pub(crate) fn only(&self, result: usize) -> (Fused, Vec<usize>) {
        let mut needed = vec![false; self.body.len()];
        needed[self.results[result]] = true;
        for number in (0..self.body.len()).rev() {
            if needed[number] {
                self.body[number].inputs.iter().for_each(|operand| match *operand {
                    Operand::Body(earlier) => needed[earlier] = true,
                    Operand::Input(_) => {}
                });
            }
        }
        let (mut body, mut inputs): (Vec<FusedOp>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut place = vec![0; self.body.len()];
        for (number, op) in self.body.iter().enumerate().filter(|&(number, _)| needed[number]) {
            let operand = |operand: &Operand| match *operand {
                Operand::Body(earlier) => Operand::Body(place[earlier]),
                Operand::Input(input) => {
                    let known = inputs.iter().position(|&other| other == input);
                    Operand::Input(known.unwrap_or_else(|| {
                        inputs.push(input);
                        inputs.len() - 1
                    }))
                }
            };
            let inputs = op.inputs.iter().map(operand).collect();
            place[number] = body.len();
            body.push(FusedOp { inputs, ..op.clone() });
        }
        let results = SmallVec::from_elem(place[self.results[result]], 1);
        (Fused { body, results }, inputs)
    }
}

/// Makes a new graph node by node out of an old one: how passes work, since nodes never change.
pub(crate) struct Rewriter<'a> {
    pub(crate) old: &'a Graph,
    pub(crate) nodes: Vec<Node>,
    /// For each value of the old graph the value that stands for it in the new one.
    replaced: Vec<SmallVec<[Option<ValueId>; 1]>>,
}

impl<'a> Rewriter<'a> {
    pub(crate) fn new(old: &'a Graph) -> Rewriter<'a> {
        let replaced = old.nodes.iter().map(|node| SmallVec::from_elem(None, node.outputs.len())).collect();
        Rewriter { old, nodes: Vec::with_capacity(old.nodes.len()), replaced }
    }

    /// What stands for an old value; its node must have been handled already.
    pub(crate) fn new_id(&self, old: ValueId) -> ValueId {
        self.replaced[old.node as usize][old.output as usize]
            .expect("inputs are rewritten before their users")
    }

    /// The old node's inputs in the new graph.
    pub(crate) fn new_inputs(&self, old: &Node) -> Inputs {
        old.inputs.iter().map(|&id| self.new_id(id)).collect()
    }

    /// Adds a node and returns its first result.
    pub(crate) fn push(&mut self, node: Node) -> ValueId {
        self.nodes.push(node);
        ValueId { node: self.nodes.len() as u32 - 1, output: 0 }
    }

    /// Adds an op with one result.
    pub(crate) fn op(&mut self, op: Op, inputs: &[ValueId], origin: &Origin) -> ValueId {
        let outputs = {
            let specs: SmallVec<[&Spec; 4]> =
                inputs.iter().map(|id| &self.nodes[id.node as usize].outputs[id.output as usize]).collect();
            op.infer(&specs).expect("a pass writes ops whose shapes fit")
        };
        let inputs = Inputs::from_slice(inputs);
        self.push(Node { kind: Kind::Op(op), inputs, outputs, origin: origin.clone() })
    }

    /// Lets `new` stand for the old value.
    pub(crate) fn replace(&mut self, old: ValueId, new: ValueId) {
        self.replaced[old.node as usize][old.output as usize] = Some(new);
    }

    /// Takes an old node over as it is, but with its inputs replaced.
    pub(crate) fn keep(&mut self, index: usize) -> ValueId {
        let old = &self.old.nodes[index];
        let node = Node { inputs: self.new_inputs(old), ..old.clone() };
        let first = self.push(node);
        for output in 0..old.outputs.len() as u32 {
            self.replace(ValueId { node: index as u32, output }, ValueId { node: first.node, output });
        }
        first
    }

    /// The new graph.
    pub(crate) fn finish(self) -> Graph {
        let id = |&old: &ValueId| self.new_id(old);
        let inputs = self.old.inputs.iter().map(id).collect();
        let outputs = self.old.outputs.iter().map(id).collect();
        let assignments =
            self.old.assignments.iter().map(|(variable, value)| (*variable, id(value))).collect();
        let alive = |&(before, old): &(ValueId, ValueId)| {
            Some((before, self.replaced[old.node as usize][old.output as usize]?))
        };
        Graph {
            history: self.old.history.iter().filter_map(alive).collect(),
            name: self.old.name.clone(),
            inputs,
            outputs,
            assignments,
            variables: self.old.variables.clone(),
            nodes: self.nodes,
        }
    }
}
