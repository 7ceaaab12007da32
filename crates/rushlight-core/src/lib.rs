//! The engine of Rushlight: tensors, ops, gradients, recorded functions, the graph compiler and its CPU kernels.

pub mod cpu;
pub mod ops;
pub mod tensor;
pub mod trace;

pub use ops::elementwise::{Operand, where_};
pub use ops::reduce::IntoAxes;
pub use ops::view::{concat, stack};
pub use tensor::{DType, Element, Error, ErrorKind, Result, Spec, Tensor};
pub use trace::{Tape, Variable, custom_gradient, eagerly, is_recording, scope, value_and_grad};
