//! The CPU engine: kernels, memory plan, thread pool, executor.

pub(crate) mod buffer;
mod eager;
pub mod isa;
pub(crate) mod kernels;
pub mod threads;

pub(crate) use eager::{contiguous, execute};
