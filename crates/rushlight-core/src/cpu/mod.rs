//! The CPU engine: kernels, memory plan, thread pool, executor.

pub(crate) mod buffer;
pub mod isa;
pub(crate) mod kernels;
pub mod threads;
