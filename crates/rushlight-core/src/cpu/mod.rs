//! The CPU engine: kernels, memory plan, thread pool, executor.

pub(crate) mod buffer;
mod control;
mod direct;
mod eager;
mod fit;
pub mod isa;
pub(crate) mod kernels;
pub(crate) mod lower;
mod picture;
mod program;
mod recycle;
pub(crate) mod scratch;
mod steps;
pub mod threads;
pub(crate) mod vector;

pub(crate) use buffer::{bytes_of, value_of_bytes};
pub use direct::{direct_convolutions, set_direct_convolutions};
pub(crate) use eager::{at_once, contiguous, execute, execute_into};
pub use fit::PlannedMemory;
pub(crate) use picture::{lifetimes, picture_of_compiled, picture_of_recorded};
pub(crate) use program::{Program, Results};
