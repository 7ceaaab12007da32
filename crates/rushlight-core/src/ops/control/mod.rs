//! Loops and branches as ops: their bodies are graphs, their results those of the last turn or of the chosen branch.
//!
//! What a body uses of its surroundings is an input of the op, so the graph around it stays a pure function. The
//! public functions that make these ops are in `trace/control.rs`.

mod branch_gradient;
mod loop_gradient;
mod split;

pub(crate) use branch_gradient::gradient as gradient_branch;
pub(crate) use loop_gradient::gradient as gradient_loop;

use crate::graph::{Graph, Kind, Node};
use crate::ops::Specs;
use crate::tensor::{DType, Dims, Fault, Spec, Tensor, close};
use crate::trace::apply::apply_all;
use crate::trace::scope;
use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};

/// How often a loop's body runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turns {
    /// Always this often.
    Fixed(usize),
    /// As often as the first input (`i64 []`) says, at most this often.
    Counted(usize),
    /// As long as the condition holds, at most this often: the first input (`bool []`) is the condition of the first
    /// turn, the body's first result that of the next one.
    While(Option<usize>),
}

/// A loop. With `f` for the body, which gets the number of the turn, the carried values, one row of each sliced
/// value and the captured ones:
///
/// - inputs: `[count or condition], carried…, sliced…, captured…`;
/// - the body: `turn (i64 []), carried…, rows…, captured… → [condition], carried…, rows…`;
/// - results: `carried…, stacked…`, and for [`Turns::While`] the number of turns (`i64 []`).
///
/// Stacked results have a row for each turn that there may be; rows of turns that did not happen are zeros.
#[derive(Clone)]
pub struct Loop {
    /// The public function that made it.
    pub(crate) name: &'static str,
    /// Loops of one family compute the same, but for further stacked results.
    pub(crate) family: u64,
    pub(crate) body: Graph,
    pub(crate) turns: Turns,
    pub(crate) carried: usize,
    pub(crate) sliced: usize,
    pub(crate) stacked: usize,
    /// Goes through the rows from the last to the first; the turns are numbered that way too.
    pub(crate) reverse: bool,
}

/// A choice among graphs: `index (i64 []), captured… → results of the graph of that number`, the nearest one if there
/// is none of that number.
#[derive(Clone)]
pub struct Branch {
    pub(crate) name: &'static str,
    pub(crate) branches: Vec<Graph>,
}

impl Turns {
    /// How often the body runs at most, if that is known.
    pub(crate) fn most(self) -> Option<usize> {
        match self {
            Turns::Fixed(count) | Turns::Counted(count) => Some(count),
            Turns::While(most) => most,
        }
    }
}

impl Loop {
    /// Inputs before the carried ones: the count or the first condition.
    pub(crate) fn leading(&self) -> usize {
        usize::from(!matches!(self.turns, Turns::Fixed(_)))
    }

    /// Whether the body's first result is the condition of the next turn.
    pub(crate) fn has_condition(&self) -> bool {
        matches!(self.turns, Turns::While(_))
    }

    /// How many values of its surroundings the body uses.
    pub(crate) fn captured(&self) -> usize {
        self.body.inputs.len() - 1 - self.carried - self.sliced
    }

    pub(crate) fn output_count(&self) -> usize {
        self.carried + self.stacked + usize::from(self.has_condition())
    }

    pub(crate) fn input_count(&self) -> usize {
        self.leading() + self.body.inputs.len() - 1
    }

    /// The spec of a row as a stack of rows.
    pub(crate) fn stacked_spec(&self, row: &Spec) -> Spec {
        let mut dims = Dims::from_elem(self.turns.most().unwrap_or(0), 1);
        dims.extend_from_slice(&row.dims);
        Spec { dims, dtype: row.dtype }
    }

    pub(crate) fn infer(&self, inputs: &[&Spec]) -> Result<Specs, Fault> {
        if inputs.len() != self.input_count() {
            return Err(Fault::value(format!("a loop takes {} inputs", self.input_count())));
        }
        let leading = match self.turns {
            Turns::Fixed(_) => None,
            Turns::Counted(_) => Some(DType::I64),
            Turns::While(_) => Some(DType::Bool),
        };
        if let Some(dtype) = leading
            && *inputs[0] != Spec::new([], dtype)
        {
            return Err(Fault::dtype(format!("what says whether to go on must be a {dtype} scalar")));
        }
        let body_inputs = &self.body.inputs[1..];
        for (number, (&got, &id)) in inputs[self.leading()..].iter().zip(body_inputs).enumerate() {
            let wanted = self.body.spec(id);
            let is_sliced = (self.carried..self.carried + self.sliced).contains(&number);
            let fits = if is_sliced { *got == self.stacked_spec(wanted) } else { got == wanted };
            if !fits {
                return Err(Fault::shape(format!("input {number} of the loop's body must be {wanted}")));
            }
        }
        let mut outputs: Specs = (0..self.carried).map(|at| inputs[self.leading() + at].clone()).collect();
        let results = &self.body.outputs[usize::from(self.has_condition())..];
        for (carried, &result) in outputs.iter().zip(results) {
            if self.body.spec(result) != carried {
                return Err(Fault::shape(format!(
                    "what a turn hands on to the next one must stay {carried}"
                )));
            }
        }
        outputs.extend(results[self.carried..].iter().map(|&row| self.stacked_spec(self.body.spec(row))));
        if self.has_condition() {
            outputs.push(Spec::new([], DType::I64));
        }
        Ok(outputs)
    }

    pub(crate) fn with_batch(&self, batch: usize) -> Loop {
        Loop { body: with_batch(&self.body, batch), ..self.clone() }
    }
}

impl Branch {
    pub(crate) fn output_count(&self) -> usize {
        self.branches[0].outputs.len()
    }

    pub(crate) fn infer(&self, inputs: &[&Spec]) -> Result<Specs, Fault> {
        let first = &self.branches[0];
        if inputs.len() != 1 + first.inputs.len() || *inputs[0] != Spec::new([], DType::I64) {
            return Err(Fault::dtype("the number of the branch must be an i64 scalar"));
        }
        for branch in &self.branches {
            if !branch.inputs.iter().zip(&inputs[1..]).all(|(&id, &got)| branch.spec(id) == got) {
                return Err(Fault::shape("a branch does not take these inputs"));
            }
        }
        Ok(first.outputs.iter().map(|&id| first.spec(id).clone()).collect())
    }

    pub(crate) fn with_batch(&self, batch: usize) -> Branch {
        let branches = self.branches.iter().map(|branch| with_batch(branch, batch)).collect();
        Branch { name: self.name, branches }
    }
}

/// A body with an open batch size filled in.
fn with_batch(graph: &Graph, batch: usize) -> Graph {
    let mut graph = graph.clone();
    for node in &mut graph.nodes {
        if let Kind::Op(op) = &node.kind {
            node.kind = Kind::Op(op.with_batch(batch));
        }
        for spec in &mut node.outputs {
            spec.dims = spec.dims.iter().map(|&dim| close(dim, batch)).collect();
        }
    }
    graph
}

/// Applies the ops of a body, as it was recorded, to other tensors.
#[track_caller]
pub(crate) fn replay(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut values: Vec<SmallVec<[Tensor; 1]>> = Vec::with_capacity(graph.nodes.len());
    for Node { kind, inputs: from, origin, .. } in &graph.nodes {
        let results = match kind {
            Kind::Input(number) => SmallVec::from_elem(inputs[*number].clone(), 1),
            Kind::Constant(constant) => SmallVec::from_elem(Tensor::from_value(constant.0.clone()), 1),
            Kind::Op(op) => {
                let from: SmallVec<[&Tensor; 4]> =
                    from.iter().map(|id| &values[id.node as usize][id.output as usize]).collect();
                scope::located(origin.location, || apply_all(op.clone(), &from))
            }
            Kind::Variable(_) | Kind::Fused(_) => unreachable!("a recorded body holds ops of its inputs"),
        };
        values.push(results);
    }
    graph.outputs.iter().map(|id| values[id.node as usize][id.output as usize].clone()).collect()
}

macro_rules! by_identity {
    ($($type:ident: $body:ident => $graphs:expr;)*) => {$(
        impl PartialEq for $type {
            /// Only a loop or branch itself is known to compute the same.
            fn eq(&self, other: &$type) -> bool {
                std::ptr::eq(self, other)
            }
        }

        impl Eq for $type {}

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                std::ptr::from_ref(self).hash(state);
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $body = self;
                write!(formatter, "{} {{", self.name)?;
                for graph in $graphs {
                    let text = graph.to_string();
                    write!(formatter, "\n    {}", text.trim_end().replace('\n', "\n    "))?;
                }
                formatter.write_str("\n  }")
            }
        }
    )*};
}

by_identity! {
    Loop: this => [&this.body];
    Branch: this => &this.branches;
}
