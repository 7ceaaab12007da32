//! What passes ask about the graph that they are making.

use crate::graph::{Constant, Kind, Node, Origin, Rewriter, ValueId};
use crate::ops::Op;
use crate::tensor::{Spec, Value};
use smallvec::{SmallVec, smallvec};

impl Rewriter<'_> {
    pub(super) fn spec(&self, id: ValueId) -> &Spec {
        &self.nodes[id.node as usize].outputs[id.output as usize]
    }

    /// The op that makes a value, with its inputs.
    pub(super) fn op_of(&self, id: ValueId) -> Option<(Op, SmallVec<[ValueId; 3]>)> {
        let node = &self.nodes[id.node as usize];
        match &node.kind {
            Kind::Op(op) if node.outputs.len() == 1 => Some((op.clone(), node.inputs.clone())),
            _ => None,
        }
    }

    /// The number that all elements of a value are known to be.
    pub(super) fn repeated_scalar(&self, id: ValueId) -> Option<f64> {
        let node = &self.nodes[id.node as usize];
        match &node.kind {
            Kind::Constant(constant) => constant.as_f64(),
            Kind::Op(Op::Broadcast(_)) => match &self.nodes[node.inputs[0].node as usize].kind {
                Kind::Constant(constant) => constant.as_f64(),
                _ => None,
            },
            _ => None,
        }
    }

    /// A constant number repeated to a shape.
    pub(super) fn scalar(&mut self, number: f64, like: &Spec, origin: &Origin) -> ValueId {
        let value = Value::scalar(number, like.dtype);
        let scalar = self.push(Node {
            outputs: smallvec![value.spec.clone()],
            kind: Kind::Constant(Constant(value)),
            inputs: SmallVec::new(),
            origin: origin.clone(),
        });
        match like.rank() {
            0 => scalar,
            _ => self.op(Op::Broadcast(like.dims.clone()), &[scalar], origin),
        }
    }
}
