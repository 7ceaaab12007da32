//! The CPU engine: kernels, memory plan, thread pool, executor.

pub(crate) mod buffer;
pub(crate) mod kernels;
