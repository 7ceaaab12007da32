//! Activation functions, as arguments of other layers and as layers.

use crate::layers::{Layer, LayerState};
use rushlight_core::Tensor;

/// The functions that layers take as `activation`.
pub mod activations {
    use rushlight_core::Tensor;

    pub use Function::*;

    /// A function of each element ([`Softmax`]: of each row).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Function {
        /// `x`
        #[default]
        Linear,
        /// `max(x, 0)`
        Relu,
        /// `min(max(x, 0), 6)`
        Relu6,
        /// `1 / (1 + e⁻ˣ)`
        Sigmoid,
        /// `tanh x`
        Tanh,
        /// `exp(x) / Σ exp(x)` over the last axis
        Softmax,
        /// `ln(1 + eˣ)`
        Softplus,
        /// `x / (1 + |x|)`
        Softsign,
        /// `x · sigmoid(x)`
        Silu,
        /// `x · Φ(x)`, exact
        Gelu,
        /// `eˣ`
        Exponential,
    }

    impl Function {
        /// The function of a tensor.
        #[track_caller]
        pub fn apply(self, x: &Tensor) -> Tensor {
            match self {
                Linear => x.clone(),
                Relu => x.relu(),
                Relu6 => x.clip(0.0, 6.0),
                Sigmoid => x.sigmoid(),
                Tanh => x.tanh(),
                Softmax => x.softmax(-1),
                Softplus => x.softplus(),
                Softsign => x / (x.abs() + 1.0),
                Silu => x.silu(),
                Gelu => x.gelu(),
                Exponential => x.exp(),
            }
        }
    }
}

/// An activation function as a layer.
#[derive(Clone, Debug)]
pub struct Activation {
    state: LayerState,
    function: activations::Function,
}

impl Activation {
    #[track_caller]
    pub fn new(function: activations::Function) -> Activation {
        Activation { state: LayerState::new("Activation"), function }
    }
}

impl Layer for Activation {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.function.apply(x)
    }
}

/// `max(x, 0)` as a layer.
#[derive(Clone, Debug)]
pub struct ReLU {
    state: LayerState,
}

impl ReLU {
    #[track_caller]
    pub fn new() -> ReLU {
        ReLU { state: LayerState::new("ReLU") }
    }
}

impl Default for ReLU {
    #[track_caller]
    fn default() -> ReLU {
        ReLU::new()
    }
}

impl Layer for ReLU {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.relu()
    }
}

/// `exp(x) / Σ exp(x)` over an axis, as a layer.
#[derive(Clone, Debug)]
pub struct Softmax {
    state: LayerState,
    axis: isize,
}

impl Softmax {
    /// Over the last axis.
    #[track_caller]
    pub fn new() -> Softmax {
        Softmax { state: LayerState::new("Softmax"), axis: -1 }
    }

    /// Over another axis.
    pub fn axis(mut self, axis: isize) -> Softmax {
        self.axis = axis;
        self
    }
}

impl Default for Softmax {
    #[track_caller]
    fn default() -> Softmax {
        Softmax::new()
    }
}

impl Layer for Softmax {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.softmax(self.axis)
    }
}
