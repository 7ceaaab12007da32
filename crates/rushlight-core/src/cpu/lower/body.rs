//! Fused nodes looked at as expressions, and who reads what: how lowering finds the loops that other steps can do.

use crate::graph::{Fused, FusedOp, Graph, Kind, Node, Operand, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use crate::tensor::{DType, Dims};

/// By node: the nodes that read its results, once for each time; nothing stands for results and variables.
pub(super) type Users = Vec<Vec<Option<usize>>>;

pub(super) fn users(graph: &Graph) -> Users {
    let mut users = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|id| users[id.node as usize].push(Some(index)));
    }
    graph.roots().for_each(|id| users[id.node as usize].push(None));
    users
}

/// A fused node whose parts are looked at as an expression.
pub(super) struct Body<'a> {
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) fused: &'a Fused,
    /// The iteration space.
    space: &'a Dims,
}

impl<'a> Body<'a> {
    pub(super) fn of(graph: &'a Graph, index: usize) -> Option<Body<'a>> {
        let node = &graph.nodes[index];
        let Kind::Fused(fused) = &node.kind else { return None };
        let space = fused.space(|input| &graph.spec(node.inputs[input]).dims);
        Some(Body { graph, node, fused, space })
    }

    pub(super) fn op(&self, operand: Operand) -> Option<&'a FusedOp> {
        match operand {
            Operand::Body(number) => Some(&self.fused.body[number]),
            Operand::Input(_) => None,
        }
    }

    pub(super) fn input(&self, operand: Operand) -> Option<ValueId> {
        match operand {
            Operand::Input(number) => Some(self.node.inputs[number]),
            Operand::Body(_) => None,
        }
    }

    /// The input that an operand is, or is a repetition of.
    fn source(&self, operand: Operand) -> Option<ValueId> {
        match self.op(operand) {
            Some(op) => matches!(op.op, Op::Broadcast(_)).then(|| self.input(op.inputs[0]))?,
            None => self.input(operand),
        }
    }

    /// The operands of a binary op, in both orders.
    pub(super) fn pair(&self, operand: Operand, wanted: Binary) -> Option<[(Operand, Operand); 2]> {
        let op = self.op(operand)?;
        let [a, b] = [*op.inputs.first()?, *op.inputs.get(1)?];
        (op.op == Op::Binary(wanted)).then_some([(a, b), (b, a)])
    }

    /// The number that an operand is everywhere.
    pub(super) fn number(&self, operand: Operand) -> Option<f32> {
        match &self.graph.node(self.source(operand)?).kind {
            Kind::Constant(constant) => constant.as_f64().map(|number| number as f32),
            _ => None,
        }
    }

    /// The value of one number a channel, `f32`, that an operand repeats to all pixels.
    pub(super) fn per_channel(&self, operand: Operand) -> Option<ValueId> {
        self.source(operand).filter(|&id| {
            let spec = self.graph.spec(id);
            let is_row = spec.dims.split_last().is_some_and(|(last, others)| {
                Some(last) == self.space.last() && others.iter().all(|&dim| dim == 1)
            });
            is_row && spec.dtype == DType::F32
        })
    }

    /// The value, `f32`, of which an operand is the element at the same place.
    pub(super) fn whole(&self, operand: Operand) -> Option<ValueId> {
        self.source(operand).filter(|&id| self.is_whole(id))
    }

    /// Whether a value has an `f32` for each point of the loop.
    pub(super) fn is_whole(&self, id: ValueId) -> bool {
        let spec = self.graph.spec(id);
        spec.dims == *self.space && spec.dtype == DType::F32
    }
}
