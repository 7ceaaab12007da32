//! Loops and branches: on values with the eager kernels, and as programs inside of programs.

mod eager;
mod program;
mod scalars;

pub(super) use eager::{run_branch, run_loop};
pub(crate) use program::{BranchProgram, LoopProgram};
