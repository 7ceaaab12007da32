//! Dropout.

use crate::layers::{Layer, LayerState, is_training};
use rushlight_core::random::{Generator, randint};
use rushlight_core::{DType, Error, ErrorKind, Tensor, eagerly, where_};

/// Sets a random part of the elements to zero while training, and scales the others up by `1 / (1 - rate)`, so that
/// the expected sum stays. In inference it passes its input on.
///
/// Each layer has a generator of its own, seeded from the thread's default one. Source: Srivastava et al., Dropout,
/// 2014.
#[derive(Clone, Debug)]
pub struct Dropout {
    state: LayerState,
    rate: f64,
    generator: Generator,
}

impl Dropout {
    /// `rate` is the part that is dropped: at least 0 and below 1.
    #[track_caller]
    pub fn new(rate: f64) -> Dropout {
        let seed = eagerly(|| randint([], 0, 1 << 53, DType::I64)).item::<i64>().unwrap_or(0);
        Dropout { state: LayerState::new("Dropout"), rate, generator: Generator::new(seed as u64) }
    }

    /// The same elements are dropped whenever the program runs.
    pub fn seed(self, seed: u64) -> Dropout {
        self.generator.set_seed(seed);
        self
    }
}

impl Layer for Dropout {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !(0.0..1.0).contains(&self.rate) {
            let rule = format!("the rate {} must be at least 0 and below 1", self.rate);
            return Tensor::carry(Error::new(ErrorKind::Value, "dropout", rule));
        }
        if !is_training() || self.rate == 0.0 {
            return x.clone();
        }
        let kept = match x.shape() {
            Ok(dims) => self.generator.bernoulli(dims, 1.0 - self.rate, DType::Bool),
            Err(error) => return Tensor::carry(error),
        };
        where_(&kept, &(x / (1.0 - self.rate)), &x.zeros_like())
    }
}
