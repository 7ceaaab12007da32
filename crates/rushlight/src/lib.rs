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

#[cfg(test)]
mod testing;

/// What most programs need: `use rushlight::prelude::*;`.
pub mod prelude {
    pub use crate::initializers::Initializer;
    pub use crate::layers::*;
    pub use crate::models::{Input, Model, Sequential};
    pub use rushlight_core::Padding::{Same, Valid};
    pub use rushlight_core::{
        DType, Error, Padding, Result, Spec, Structure, Tape, Tensor, Variable, concat, eagerly, function,
        random, stack, value_and_grad, where_,
    };
}
