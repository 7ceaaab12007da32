//! Costs that layers add to the loss while they compute.

use crate::layers::state::{Stage, active};
use rushlight_core::Tensor;
use std::cell::RefCell;

thread_local! {
    /// What is collected, by the innermost [`collect_losses`] last.
    static COLLECTED: RefCell<Vec<Vec<Tensor>>> = const { RefCell::new(Vec::new()) };
}

/// Adds a scalar to what training minimizes; to be called in a layer's `forward`.
///
/// Whoever trains runs the model inside [`collect_losses`]; elsewhere nothing happens.
pub fn add_loss(loss: &Tensor) {
    if !matches!(active(), Some((_, Stage::Trying))) {
        COLLECTED.with_borrow_mut(|levels| {
            if let Some(level) = levels.last_mut() {
                level.push(loss.clone());
            }
        });
    }
}

/// Runs `body`, and gives the scalars that layers called in it have added to the loss.
///
/// With [`Layer::regularization_losses`](crate::layers::Layer::regularization_losses) that is all that a training
/// step has to add:
///
/// ```
/// use rushlight::layers::collect_losses;
/// use rushlight::prelude::*;
/// use rushlight::regularizers::Regularizer;
/// let dense = Dense::new(2).kernel_regularizer(Regularizer::L2(0.5)).kernel_initializer(Initializer::Ones);
/// let dense = dense.activity_regularizer(Regularizer::L1(1.0));
/// let (y, mut losses) = collect_losses(|| dense.call(&Tensor::ones([4, 3], DType::F32)));
/// losses.extend(dense.regularization_losses());
/// assert_eq!(y.shape()?, [4, 2]);
/// // Σ |y| / batch = 4 · 2 · 3 / 4, and Σ w² / 2 = 6 / 2.
/// assert_eq!(losses.iter().map(|loss| loss.to_f64().unwrap()).collect::<Vec<f64>>(), [6.0, 3.0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn collect_losses<R>(body: impl FnOnce() -> R) -> (R, Vec<Tensor>) {
    COLLECTED.with_borrow_mut(|levels| levels.push(Vec::new()));
    let guard = PopOnPanic;
    let result = body();
    std::mem::forget(guard);
    let losses = COLLECTED.with_borrow_mut(|levels| levels.pop()).unwrap_or_default();
    (result, losses)
}

struct PopOnPanic;

impl Drop for PopOnPanic {
    fn drop(&mut self) {
        COLLECTED.with_borrow_mut(|levels| levels.pop());
    }
}
