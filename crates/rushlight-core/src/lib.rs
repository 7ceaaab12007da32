//! The engine of Rushlight: tensors, ops, gradients, recorded functions, the graph compiler and its CPU kernels.

pub mod cpu;
mod graph;
pub mod ops;
mod passes;
pub mod tensor;
pub mod trace;

pub use ops::elementwise::{Operand, where_};
pub use ops::reduce::IntoAxes;
pub use ops::view::{concat, stack};
pub use tensor::{DType, Element, Error, ErrorKind, Result, Spec, Tensor};
pub use trace::{
    Function, Structure, Tape, Variable, custom_gradient, eagerly, function, is_recording,
    run_functions_eagerly, scope, value_and_grad,
};
