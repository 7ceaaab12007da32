//! The engine of Rushlight: tensors, ops, gradients, recorded functions, the graph compiler and its CPU kernels.

pub mod cpu;
mod graph;
pub mod ops;
mod passes;
pub mod profile;
pub mod saved;
pub mod tensor;
pub mod trace;

pub use ops::convolution::ConvOptions;
pub use ops::effect::{assert_that, callback, print_to};
pub use ops::einsum::einsum;
pub use ops::elementwise::where_;
pub use ops::feed::{Feed, fetch};
pub use ops::loss::{binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy};
pub use ops::operand::Operand;
pub use ops::pooling::PoolOptions;
pub use ops::random;
pub use ops::reduce::IntoAxes;
pub use ops::spatial::{Padding, PerAxis};
pub use ops::view::{concat, stack};
pub use saved::SavedFunction;
pub use tensor::{
    DType, Element, Ellipsis, Error, ErrorKind, Index, NewAxis, Result, Spec, Tensor, WeakTensor, strided,
};
pub use trace::control::{cond, for_range, map, scan, switch, while_loop, while_loop_at_most};
pub use trace::{
    Function, Structure, Tape, Variable, check_functions, custom_gradient, eagerly, explain, function,
    is_recording, recordings_of, run_functions_eagerly, save_function, scope, value_and_grad,
};

/// What the code that macros write refers to.
#[doc(hidden)]
pub mod __private {
    pub use crate::tensor::Tensor;
    pub use crate::trace::{Flat, Inputs, Key, OptionalReferent, Recordings, Referent, Structure};
}
