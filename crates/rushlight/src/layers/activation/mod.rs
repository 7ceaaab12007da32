//! Activation functions, as arguments of other layers and as layers.

mod functions;
mod prelu;

pub use prelu::PReLU;

/// The functions that layers take as `activation`.
pub mod activations {
    pub use super::functions::Function;
    pub use super::functions::Function::{
        Celu, Elu, Exponential, Gelu, GeluTanh, Glu, HardShrink, HardSigmoid, HardSilu, HardTanh, LeakyRelu,
        Linear, LogSigmoid, LogSoftmax, Mish, Relu, Relu6, Selu, Sigmoid, Silu, SoftShrink, Softmax,
        Softplus, Softsign, SparsePlus, SparseSigmoid, Sparsemax, Squareplus, Tanh, TanhShrink,
    };
}

use crate::layers::define::{basics, layer};
use crate::layers::masks::mask_of;
use crate::layers::sizes::attempt;
use crate::layers::{Layer, Setting};
use rushlight_core::{Tensor, where_};
use serde_json::Value;

layer! {
    /// An activation function as a layer.
    ///
    /// # Shapes
    /// Any; the output's is the input's (but half of the last axis for [`activations::Glu`]).
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = Activation::new(activations::HardTanh).call(&Tensor::from([-3.0f32, 0.5]));
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 0.5]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Activation = "Activation";
    /// This function as a layer.
    new(activation => activations::Function);
}

impl Layer for Activation {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.activation.apply(x)
    }
}

layer! {
    /// `max(x, 0)` as a layer; with its settings `x` from `threshold` on, at most `max_value`, and
    /// `negative_slope · (x - threshold)` below.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = ReLU::new().max_value(6.0).negative_slope(0.5).call(&Tensor::from([-2.0f32, 3.0, 8.0]));
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 3.0, 6.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    ReLU = "ReLU";
    /// Without an upper limit.
    new();
    settings {
        /// The upper limit; none by default.
        max_value => Option<f64> = None;
        /// The slope below the threshold; 0 by default.
        negative_slope: f64 = 0.0;
        /// Where the function begins; 0 by default.
        threshold: f64 = 0.0;
    }
}

impl Layer for ReLU {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = match self.threshold {
            0.0 => x.relu(),
            threshold => where_(&x.greater(threshold), x, &attempt!(x.check()).zeros_like()),
        };
        if let Some(max_value) = self.max_value {
            y = y.minimum(max_value);
        }
        match self.negative_slope {
            0.0 => y,
            slope => y - (-x + self.threshold).relu() * slope,
        }
    }
}

layer! {
    /// `x` where positive, `negative_slope · x` elsewhere, as a layer.
    LeakyReLU = "LeakyReLU";
    /// With Keras's slope of 0.3.
    new();
    settings {
        /// The slope below zero; 0.3 by default.
        negative_slope: f64 = 0.3;
    }
}

impl Layer for LeakyReLU {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.leaky_relu(self.negative_slope)
    }
}

layer! {
    /// `x` where positive, `alpha · (eˣ - 1)` elsewhere, as a layer (Clevert et al., 2016).
    ELU = "ELU";
    /// With an `alpha` of 1.
    new();
    settings {
        /// The limit below zero; 1 by default.
        alpha: f64 = 1.0;
    }
}

impl Layer for ELU {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.elu(self.alpha)
    }
}

/// One axis or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisList {
    pub(crate) axes: Vec<isize>,
    /// Written as a list, not as a number.
    is_list: bool,
}

impl From<isize> for AxisList {
    fn from(axis: isize) -> AxisList {
        AxisList { axes: vec![axis], is_list: false }
    }
}

impl<const N: usize> From<[isize; N]> for AxisList {
    fn from(axes: [isize; N]) -> AxisList {
        AxisList { axes: axes.to_vec(), is_list: true }
    }
}

impl Setting for AxisList {
    fn to_value(&self) -> Result<Value, String> {
        match self.axes.as_slice() {
            [axis] if !self.is_list => axis.to_value(),
            _ => self.axes.to_value(),
        }
    }

    fn from_value(value: &Value) -> Result<AxisList, String> {
        if value.is_number() {
            return isize::from_value(value).map(AxisList::from);
        }
        let axes = Vec::from_value(value).map_err(|_| "an axis, or a list of axes")?;
        Ok(AxisList { axes, is_list: true })
    }
}

layer! {
    /// `exp(x) / Σ exp(x)` over an axis (or several together), as a layer. Where the input has a mask of its own
    /// shape, elements that do not count give zero.
    Softmax = "Softmax";
    /// Over the last axis.
    new();
    settings {
        /// Over another axis, or several: `-2` or `[1, 2]`.
        axis => AxisList = AxisList::from(-1);
    }
}

impl Layer for Softmax {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mask = mask_of(x);
        let x = match &mask {
            Some(mask) => where_(mask, x, &(attempt!(x.check()).ones_like() * -1e9)),
            None => x.clone(),
        };
        let y = match self.axis.axes.as_slice() {
            [axis] => x.softmax(*axis),
            axes => (&x - x.logsumexp_keepdims(axes)).exp(),
        };
        match &mask {
            Some(mask) => where_(mask, &y, &attempt!(y.check()).zeros_like()),
            None => y,
        }
    }
}
