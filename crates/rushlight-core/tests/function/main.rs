//! Recorded functions: what they take, when they record anew, and that they do what the same code does eagerly.

mod batch;
mod check;
mod effects;
mod errors;
mod gradients;
mod macros;
mod signature;
mod variables;

use rushlight_core::{Tensor, Variable, recordings_of};

fn vector(elements: &[f32]) -> Tensor {
    Tensor::from(elements)
}

fn elements(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec().expect("an f32 tensor with a value")
}

fn variable(name: &str, elements: &[f32]) -> Variable {
    Variable::new(name, &vector(elements)).expect("a value")
}

/// How often a function was recorded.
fn times<F>(function: F) -> usize {
    recordings_of(function).iter().map(|recordings| recordings.recording_count()).sum()
}
