//! Loops that convolutions, and sums over windows, do along the way in lanes layout: what they load is computed then
//! (`max(x · scale + shift, floor)`), so that it need not be stored; and their input gradient goes on through the mask of
//! such an input, with sums per channel, before it is stored.

use crate::cpu::lower::body::{Body, Users};
use crate::cpu::lower::layout::{Layouts, lanes_convolution, lanes_window};
use crate::graph::{FusedOp, Graph, Kind, Operand, ValueId};
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Compare};
use crate::ops::pooling::Pooling;
use crate::ops::reduce::Reduction;
use std::collections::{HashMap, HashSet};

/// A value that is computed where it is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Made {
    pub(super) x: ValueId,
    pub(super) scale: ValueId,
    pub(super) shift: ValueId,
    pub(super) floor: f32,
}

/// A fused node that an input gradient does.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaskedLoop {
    /// The node of the input gradient.
    pub(super) convolution: usize,
    pub(super) made: Made,
    pub(super) factor: ValueId,
    pub(super) base: Option<ValueId>,
    /// The numbers of the fused node's results.
    pub(super) target: usize,
    pub(super) sum: Option<usize>,
    pub(super) product: Option<usize>,
}

/// Everything that is attached to convolutions.
#[derive(Default)]
pub(super) struct Attached {
    /// Values that need no memory.
    pub(super) made: HashMap<ValueId, Made>,
    /// By fused node.
    pub(super) masked: HashMap<usize, MaskedLoop>,
    /// Nodes whose work is done by others.
    done_elsewhere: HashSet<usize>,
}

impl Attached {
    pub(super) fn find(graph: &Graph, layouts: &Layouts, users: &Users) -> Attached {
        let mut attached = Attached::default();
        for index in 0..graph.nodes.len() {
            let Some(body) = Body::of(graph, index) else { continue };
            let id = ValueId { node: index as u32, output: 0 };
            if let Some(made) = body.made()
                && layouts.is_lanes(made.x)
                && users[index]
                    .iter()
                    .all(|user| user.is_some_and(|user| loads_computed(graph, layouts, user, id)))
            {
                attached.made.insert(id, made);
                attached.done_elsewhere.insert(index);
            } else if let Some(masked) = body.masked(layouts, index, users) {
                attached.done_elsewhere.insert(masked.convolution);
                attached.masked.insert(index, masked);
            }
        }
        attached
    }

    /// Whether a node's work is done by another one.
    pub(super) fn is_done_elsewhere(&self, node: usize) -> bool {
        self.done_elsewhere.contains(&node)
    }

    /// What convolutions do along the way is read where they are computed.
    pub(super) fn extend_lives(&self, graph: &Graph, last_use: &mut HashMap<ValueId, usize>) {
        for (&index, masked) in &self.masked {
            for &input in &graph.nodes[masked.convolution].inputs {
                let last = last_use.entry(input).or_insert(index);
                *last = index.max(*last);
            }
        }
        for (id, made) in &self.made {
            let until = last_use.get(id).copied().unwrap_or(0);
            for input in [made.x, made.scale, made.shift] {
                let last = last_use.entry(input).or_insert(until);
                *last = until.max(*last);
            }
        }
    }
}

/// Whether a node reads the value once, as pixels that it can compute.
fn loads_computed(graph: &Graph, layouts: &Layouts, user: usize, id: ValueId) -> bool {
    let node = &graph.nodes[user];
    let Kind::Op(op) = &node.kind else { return false };
    if let Op::Window(window) = op {
        let result = ValueId { node: user as u32, output: 0 };
        return window.kind == Pooling::Sum
            && lanes_window(graph, node).is_some()
            && layouts.is_lanes(result);
    }
    let Some(ends) = lanes_convolution(graph, node) else { return false };
    let able = match op {
        Op::Convolution(_) => ends.sizes.computes_on_load(),
        Op::ConvolutionKernelGradient(..) => true,
        _ => false,
    };
    able && node.inputs[0] == id && node.inputs.iter().filter(|&&input| input == id).count() == 1
}

impl Body<'_> {
    /// `x · scale + shift`; the floor is not known yet.
    fn affine(&self, operand: Operand) -> Option<Made> {
        self.pair(operand, Binary::Add)?.into_iter().find_map(|(product, shift)| {
            let shift = self.per_channel(shift)?;
            self.pair(product, Binary::Mul)?.into_iter().find_map(|(x, scale)| {
                let (x, scale) = (self.input(x)?, self.per_channel(scale)?);
                (self.graph.spec(x).rank() == 4).then_some(Made { x, scale, shift, floor: f32::NEG_INFINITY })
            })
        })
    }

    /// The node's only result, if it is an affine function that may be cut off.
    fn made(&self) -> Option<Made> {
        let [result] = self.fused.results[..] else { return None };
        let whole = Operand::Body(result);
        let rectified = self.pair(whole, Binary::Max).and_then(|orders| {
            orders
                .into_iter()
                .find_map(|(value, floor)| Some(Made { floor: self.number(floor)?, ..self.affine(value)? }))
        });
        rectified.or_else(|| self.affine(whole))
    }

    /// The node as what an input gradient does on the way.
    fn masked(&self, layouts: &Layouts, index: usize, users: &Users) -> Option<MaskedLoop> {
        let is_select = |op: &FusedOp| op.op == Op::Select;
        let selected = self.fused.body.iter().position(is_select)?;
        let select = &self.fused.body[selected];
        let gradient = self.input(select.inputs[1])?;
        let convolution = gradient.node as usize;
        let producer = &self.graph.nodes[convolution];
        let Kind::Op(Op::ConvolutionInputGradient(..)) = producer.kind else { return None };
        let sizes = lanes_convolution(self.graph, producer)?.sizes;
        let alone = users[convolution] == [Some(index)] && sizes.takes_masks();
        let mask = self.op(select.inputs[0]).filter(|op| op.op == Op::Compare(Compare::Greater))?;
        let made = Made { floor: self.number(mask.inputs[1])?, ..self.affine(mask.inputs[0])? };
        if !alone || self.number(select.inputs[2]) != Some(0.0) || !layouts.is_lanes(made.x) {
            return None;
        }
        let chosen = Operand::Body(selected);
        let scaled = |operand: Operand| {
            let orders = self.pair(operand, Binary::Mul)?;
            orders.into_iter().find_map(|(value, factor)| {
                (value == chosen).then_some(())?;
                self.per_channel(factor)
            })
        };
        let (mut target, mut sum, mut product) = (None, None, None);
        for (number, &result) in self.fused.results.iter().enumerate() {
            let whole = Operand::Body(result);
            let op = &self.fused.body[result];
            let place = match &op.op {
                Op::Reduce(reduce) => {
                    (reduce.kind == Reduction::Sum && reduce.axes[..] == [0, 1, 2]).then_some(())?;
                    if op.inputs[0] == chosen {
                        &mut sum
                    } else {
                        let orders = self.pair(op.inputs[0], Binary::Mul)?;
                        orders
                            .into_iter()
                            .find(|&(value, x)| value == chosen && self.input(x) == Some(made.x))?;
                        &mut product
                    }
                }
                _ => {
                    let found = match scaled(whole) {
                        Some(factor) => (factor, None),
                        None => self.pair(whole, Binary::Add)?.into_iter().find_map(|(base, term)| {
                            let base = self.input(base).filter(|&base| layouts.is_lanes(base))?;
                            Some((scaled(term)?, Some(base)))
                        })?,
                    };
                    if target.replace((number, found)).is_some() {
                        return None;
                    }
                    continue;
                }
            };
            if place.replace(number).is_some() {
                return None;
            }
        }
        let (target, (factor, base)) = target?;
        let target_id = ValueId { node: index as u32, output: target as u32 };
        layouts.is_lanes(target_id).then_some(MaskedLoop {
            convolution,
            made,
            factor,
            base,
            target,
            sum,
            product,
        })
    }
}
