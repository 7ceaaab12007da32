//! Training or inference: a mode that reaches every layer without being passed along.

use rushlight_core::trace::ambient;

const TRAINING: u64 = 1;

/// Runs `body` with layers in training mode (`true`) or inference mode (`false`, the default).
///
/// Batch normalization uses and updates statistics of the batch, and dropout drops, in training mode only. The mode
/// holds for this thread while `body` runs. A recorded function is recorded once for each mode.
///
/// ```
/// use rushlight::prelude::*;
/// assert!(!is_training());
/// assert!(training(true, is_training));
/// assert!(training(true, || training(false, || !is_training())));
/// ```
pub fn training<R>(mode: bool, body: impl FnOnce() -> R) -> R {
    let others = ambient::current() & !TRAINING;
    ambient::with(if mode { others | TRAINING } else { others }, body)
}

/// Whether layers called now are to train.
pub fn is_training() -> bool {
    ambient::current() & TRAINING != 0
}
