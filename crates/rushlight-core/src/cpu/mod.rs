//! The CPU engine: kernels, memory plan, thread pool, executor.

pub(crate) mod buffer;
mod eager;
pub mod isa;
pub(crate) mod kernels;
mod program;
#[allow(dead_code)]
pub(crate) mod scratch;
pub mod threads;
#[allow(dead_code)]
pub(crate) mod vector;

pub(crate) use eager::{contiguous, execute};
pub(crate) use program::Program;
