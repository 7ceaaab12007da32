//! From a recording to a graph: what the results and assignments need, in the order it was recorded.

use crate::graph::{Constant, Graph, Inputs, Kind, Node, Origin, ValueId};
use crate::ops::Op;
use crate::tensor::{Inner, Spec, Tensor, Value};
use crate::trace::node::{Call, Node as Recorded};
use crate::trace::recorder::Recording;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;

struct Builder {
    nodes: Vec<Node>,
    /// New node number of each recorded node.
    placed: HashMap<*const Recorded, u32>,
    constants: HashMap<usize, ValueId>,
}

/// The graph of a recording: its arguments in order, and what it returned.
pub(crate) fn from_recording(
    name: &str,
    recording: &Recording,
    inputs: &[Tensor],
    outputs: &[Tensor],
) -> Graph {
    let mut builder = Builder { nodes: Vec::new(), placed: HashMap::new(), constants: HashMap::new() };
    let variables = recording.variables.iter().map(|recorded| recorded.variable.downgrade()).collect();
    let input_numbers: HashMap<usize, usize> =
        inputs.iter().enumerate().map(|(number, input)| (node_address(input), number)).collect();
    let variable_numbers: HashMap<u64, usize> = recording
        .variables
        .iter()
        .enumerate()
        .map(|(number, recorded)| (recorded.variable.id(), number))
        .collect();
    for recorded in &recording.nodes {
        let kind = match &recorded.call {
            Call::Input(_) => match input_numbers.get(&(Arc::as_ptr(recorded) as usize)) {
                Some(&number) => Kind::Input(number),
                // An input of a body that turned out not to be needed.
                None => continue,
            },
            // The body of a loop or a branch gets variables as inputs.
            Call::Variable(variable) => match input_numbers.get(&(Arc::as_ptr(recorded) as usize)) {
                Some(&number) => Kind::Input(number),
                None => Kind::Variable(variable_numbers[&variable.id()]),
            },
            Call::Op(op) => Kind::Op(op.clone()),
            Call::Composite(_) => unreachable!("only models record composites"),
        };
        let origin = Origin::of_recorded(recorded.path.clone(), recorded.location);
        let inputs = recorded.inputs.iter().map(|input| builder.value(input, &origin)).collect();
        builder.placed.insert(Arc::as_ptr(recorded), builder.nodes.len() as u32);
        builder.nodes.push(Node { kind, inputs, outputs: recorded.outputs.clone(), origin });
    }
    let origin = Origin::of_recorded(None, Location::caller());
    let inputs = inputs.iter().map(|input| builder.value(input, &origin)).collect();
    let outputs = outputs.iter().map(|output| builder.value(output, &origin)).collect();
    let mut assignments = Vec::new();
    for (number, recorded) in recording.variables.iter().enumerate() {
        if recorded.current.identity() != recorded.initial.identity() {
            assignments.push((number, builder.value(&recorded.current, &origin)));
        }
    }
    let history = Vec::new();
    Graph { name: name.into(), nodes: builder.nodes, inputs, outputs, variables, assignments, history }
}

fn node_address(tensor: &Tensor) -> usize {
    tensor.symbol().map_or(0, |symbol| Arc::as_ptr(&symbol.node) as usize)
}

impl Builder {
    fn value(&mut self, tensor: &Tensor, origin: &Origin) -> ValueId {
        match &*tensor.0 {
            Inner::Symbol(symbol) => {
                let node = self.placed[&Arc::as_ptr(&symbol.node)];
                ValueId { node, output: symbol.output as u32 }
            }
            Inner::Value(value) => match self.constants.get(&tensor.identity()) {
                Some(&id) => id,
                None => {
                    let id = self.constant(value, origin);
                    self.constants.insert(tensor.identity(), id);
                    id
                }
            },
            Inner::Carried(_) => unreachable!("the door records nothing that carries an error"),
        }
    }

    /// A repeated scalar becomes a scalar and a broadcast, which passes see through.
    fn constant(&mut self, value: &Value, origin: &Origin) -> ValueId {
        let repeated = value.spec.rank() > 0
            && value.spec.count() > 0
            && value.strides.iter().zip(&value.spec.dims).all(|(&stride, &dim)| stride == 0 || dim == 1);
        if !repeated {
            return self.push(Kind::Constant(Constant(value.clone())), Inputs::new(), &value.spec, origin);
        }
        let spec = Spec::new([], value.spec.dtype);
        let scalar = Value {
            buffer: value.buffer.clone(),
            offset: value.offset,
            spec: spec.clone(),
            strides: SmallVec::new(),
        };
        let scalar = self.push(Kind::Constant(Constant(scalar)), Inputs::new(), &spec, origin);
        let broadcast = Kind::Op(Op::Broadcast(value.spec.dims.clone()));
        self.push(broadcast, SmallVec::from_elem(scalar, 1), &value.spec, origin)
    }

    fn push(&mut self, kind: Kind, inputs: Inputs, spec: &Spec, origin: &Origin) -> ValueId {
        let outputs = SmallVec::from_elem(spec.clone(), 1);
        let origin = Origin::of_recorded(origin.path.clone(), origin.location);
        self.nodes.push(Node { kind, inputs, outputs, origin });
        ValueId { node: self.nodes.len() as u32 - 1, output: 0 }
    }
}
