//! The engine of Rushlight: tensors, ops, gradients, recorded functions, the graph compiler and its CPU kernels.

pub mod cpu;
pub mod ops;
pub mod tensor;

pub use tensor::{DType, Element};
