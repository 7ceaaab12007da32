//! The loops that do the arithmetic.

use crate::cpu::buffer::{View, ViewMut};
use crate::ops::Op;

/// Runs an op whose shapes and dtypes have been checked.
pub(crate) fn run(op: &Op, _inputs: &[View], _outputs: &mut [ViewMut]) {
    unreachable!("the kernel of {op:?} is on its way")
}
