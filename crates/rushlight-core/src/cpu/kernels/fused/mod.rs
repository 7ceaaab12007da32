//! Many elementwise ops, and the reductions at their end, in one pass over memory.
//!
//! A [`LoopDescription`] says what to compute at each point of an iteration space; [`FusedLoop::new`] plans it
//! once and [`FusedLoop::run`] executes it without allocating. The space is cut into blocks of about a thousand
//! points. For each block every instruction runs over all of it, with the inner loops that eager ops use, from
//! and to registers that stay in the nearest cache; inputs and outputs that are dense there are read and written
//! in place, operands that are constant there are scalars.
//!
//! The work is split into tasks by the shape alone, and partial reductions are combined in their order, so the
//! results do not depend on the number of threads. Elementwise results are bitwise those of the ops one by one.

mod block;
mod plan;
mod program;
mod reduction;
mod run;
mod scalars;
#[cfg(test)]
mod tests;

use crate::ops::Op;
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Dims, Strides};
use smallvec::SmallVec;

pub(crate) use plan::FusedLoop;
pub(crate) use scalars::{ScalarList, ScalarLoop};

/// What a loop does, before it is planned.
#[derive(Clone, Debug)]
pub(crate) struct LoopDescription {
    /// The iteration space, outermost axis first; the loop walks memory best where it is row-major here.
    pub(crate) dims: Dims,
    /// What is read: strides over the iteration space, 0 where the same element serves.
    pub(crate) inputs: Vec<Access>,
    /// In order; operands are inputs and earlier instructions.
    pub(crate) instructions: Vec<Instruction>,
    /// What is written element by element.
    pub(crate) stores: Vec<Store>,
    /// What is reduced, all over the same axes.
    pub(crate) reductions: Vec<Reduced>,
    /// Which axes reductions go over; their strides are 0 there and nowhere else.
    pub(crate) reduced_axes: SmallVec<[bool; 6]>,
}

/// An operand in memory.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) dtype: DType,
    pub(crate) strides: Strides,
}

/// An elementwise op: `Unary`, `Binary`, `Compare`, `Select` or `Cast`, with the operands of its eager form.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub(crate) op: Op,
    pub(crate) operands: SmallVec<[Register; 3]>,
    pub(crate) dtype: DType,
}

/// Where an operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    Input(usize),
    Instruction(usize),
}

/// A register that is kept, in its own dtype. No two points may meet in memory.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) from: Register,
    pub(crate) access: Access,
    /// The memory is also that of an input at the same places: it is written when all of a block has been read.
    pub(crate) in_place: bool,
}

/// A register reduced over some axes, in its own dtype.
///
/// 16-bit floats are reduced in `f32`; blocks of `f32` are summed in `f64`.
#[derive(Clone, Debug)]
pub(crate) struct Reduced {
    pub(crate) from: Register,
    pub(crate) kind: Reduction,
    pub(crate) access: Access,
}

impl LoopDescription {
    /// Registers as one sequence: the inputs, then the results of the instructions.
    fn number_of(&self, register: Register) -> usize {
        match register {
            Register::Input(input) => input,
            Register::Instruction(instruction) => self.inputs.len() + instruction,
        }
    }

    /// The names of the ops, those that reduce last.
    fn names(&self) -> Vec<&'static str> {
        let instructions = self.instructions.iter().map(|instruction| instruction.op.name());
        instructions.chain(self.reductions.iter().map(|reduced| reduced.kind.name())).collect()
    }
}
