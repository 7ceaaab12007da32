//! Deep learning in Rust.

pub mod applications;
pub mod data;
pub mod files;
pub mod initializers;
pub mod layers;
pub mod models;
pub mod plot;
pub mod tensorboard;

pub use rushlight_core::*;
// The attribute beside the closure's `function`, the derive beside the trait: each pair has one name.
pub use rushlight_macros::{Structure, function};

// For macros used in this crate itself.
extern crate self as rushlight;

#[cfg(test)]
mod testing;

/// What most programs need: `use rushlight::prelude::*;`.
pub mod prelude {
    pub use crate::Padding::{Same, Valid};
    pub use crate::initializers::Initializer;
    pub use crate::layers::*;
    pub use crate::models::{Input, Model, Sequential};
    pub use crate::{
        DType, Error, Padding, Result, Spec, Structure, Tape, Tensor, Variable, concat, eagerly, explain,
        function, random, stack, value_and_grad, where_,
    };
}
