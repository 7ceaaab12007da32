//! The activation functions.

use crate::config::Config;
use crate::layers::{Layer, Setting, layer_from_config};
use rushlight_core::{DType, Tensor, where_};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

pub use Function::*;

macro_rules! functions {
    ($x:ident; $($(#[$doc:meta])* $variant:ident, $name:literal $(| $alias:literal)* => $value:expr;)*) => {
        /// A function of each element (of each row, for the softmax family), as layers take it for `activation`.
        ///
        /// A layer becomes one as well: `Dense::new(8).activation(LeakyReLU::new())`.
        #[derive(Clone)]
        pub enum Function {
            $($(#[$doc])* $variant,)*
            /// What a layer makes of it; its weights belong to the layer that has the activation.
            Layer(Arc<dyn Layer>),
            /// A function of your own; see [`Function::custom`].
            Custom(Custom),
        }

        impl Function {
            /// The function of a tensor.
            #[track_caller]
            pub fn apply(&self, $x: &Tensor) -> Tensor {
                match self {
                    $($variant => $value,)*
                    Function::Layer(layer) => layer.call($x),
                    Function::Custom(Custom(function)) => function($x),
                }
            }

            /// Keras's name; nothing for layers and functions of your own.
            pub fn name(&self) -> Option<&'static str> {
                match self {
                    $($variant => Some($name),)*
                    Function::Layer(_) | Function::Custom(_) => None,
                }
            }

            /// The function that Keras has under a name.
            pub fn from_name(name: &str) -> Option<Function> {
                match name {
                    $($name $(| $alias)* => Some($variant),)*
                    _ => None,
                }
            }
        }
    };
}

functions! {
    x;
    /// `x`
    Linear, "linear" => x.clone();
    /// `max(x, 0)`
    Relu, "relu" => x.relu();
    /// `min(max(x, 0), 6)`
    Relu6, "relu6" => x.relu6();
    /// `x` where positive, `0.2 · x` elsewhere
    LeakyRelu, "leaky_relu" => x.leaky_relu(0.2);
    /// `x` where positive, `eˣ - 1` elsewhere
    Elu, "elu" => x.elu(1.0);
    /// `max(x, 0) + min(eˣ - 1, 0)`
    Celu, "celu" => x.celu(1.0);
    /// The self-normalizing `elu` (Klambauer et al., 2017)
    Selu, "selu" => x.selu();
    /// `x · Φ(x)`, exact
    Gelu, "gelu" => x.gelu();
    /// The approximation of `gelu` by a hyperbolic tangent
    GeluTanh, "gelu_tanh" => x.gelu_tanh();
    /// `a · sigmoid(b)` of the two halves of the last axis
    Glu, "glu" => glu(x);
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid, "sigmoid" => x.sigmoid();
    /// `min(max(x/6 + 1/2, 0), 1)`
    HardSigmoid, "hard_sigmoid" => x.hard_sigmoid();
    /// `ln sigmoid(x)`
    LogSigmoid, "log_sigmoid" => x.log_sigmoid();
    /// `min(max((x + 1) / 2, 0), 1)`
    SparseSigmoid, "sparse_sigmoid" => ((x + 1.0) * 0.5).clip(0.0, 1.0);
    /// `x · sigmoid(x)`
    Silu, "silu" | "swish" => x.silu();
    /// `x · hard_sigmoid(x)`
    HardSilu, "hard_silu" | "hard_swish" => x.hard_silu();
    /// `tanh x`
    Tanh, "tanh" => x.tanh();
    /// `min(max(x, -1), 1)`
    HardTanh, "hard_tanh" => x.hard_tanh();
    /// `x - tanh x`
    TanhShrink, "tanh_shrink" => x.tanh_shrink();
    /// `x` where `|x| > 1/2`, 0 elsewhere
    HardShrink, "hard_shrink" => where_(&x.abs().greater(0.5), x, &x.zeros_like());
    /// `x` moved by 1/2 towards 0, where it stays
    SoftShrink, "soft_shrink" => (x - 0.5).maximum(0.0) + (x + 0.5).minimum(0.0);
    /// `exp(x) / Σ exp(x)` over the last axis
    Softmax, "softmax" => x.softmax(-1);
    /// `x - ln Σ exp(x)` over the last axis
    LogSoftmax, "log_softmax" => x.log_softmax(-1);
    /// The point of the probability simplex next to each row (Martins and Astudillo, 2016)
    Sparsemax, "sparsemax" => sparsemax(x);
    /// `ln(1 + eˣ)`
    Softplus, "softplus" => x.softplus();
    /// 0 below -1, `(x + 1)² / 4` up to 1, `x` above
    SparsePlus, "sparse_plus" => sparse_plus(x);
    /// `(x + √(x² + 4)) / 2`
    Squareplus, "squareplus" => (x + (x.square() + 4.0).sqrt()) * 0.5;
    /// `x / (1 + |x|)`
    Softsign, "softsign" => x.softsign();
    /// `x · tanh(softplus(x))`
    Mish, "mish" => x.mish();
    /// `eˣ`
    Exponential, "exponential" => x.exp();
}

#[track_caller]
fn glu(x: &Tensor) -> Tensor {
    match x.shape() {
        Ok([.., last]) if last % 2 == 0 => {
            let (values, gates) = (x.slice_axis(-1, 0, last / 2), x.slice_axis(-1, last / 2, *last));
            values * gates.sigmoid()
        }
        Ok(_) => {
            let rule = "the last axis must be even";
            let got = x.spec().map(|spec| vec![spec.clone()]).unwrap_or_default();
            Tensor::carry(rushlight_core::Error::with_inputs(
                rushlight_core::ErrorKind::Shape,
                "glu",
                rule,
                got,
            ))
        }
        Err(error) => Tensor::carry(error),
    }
}

#[track_caller]
fn sparse_plus(x: &Tensor) -> Tensor {
    let middle = (x + 1.0).square() * 0.25;
    let upper = where_(&x.less(1.0), &middle, x);
    where_(&x.less_equal(-1.0), &x.zeros_like(), &upper)
}

/// With the row sorted downwards, the support is the longest prefix in which `1 + k·z_k > Σ_{j≤k} z_j`; what the
/// sum is over one is taken off evenly from it.
#[track_caller]
fn sparsemax(x: &Tensor) -> Tensor {
    let (dtype, size) = match x.spec() {
        Ok(spec) if spec.rank() > 0 => (spec.dtype, spec.dims[spec.rank() - 1]),
        Ok(_) => return x.ones_like(),
        Err(error) => return Tensor::carry(error),
    };
    let sorted = x.stop_gradient().sort_descending(-1);
    let places = Tensor::arange(size as i64, dtype) + 1.0;
    let sums = sorted.cumsum(-1);
    let inside = (&sorted * &places + 1.0).greater(&sums);
    let count = inside.cast(dtype).sum_keepdims(-1);
    // The support as a mask over the row itself, so that the gradient flows through the elements it holds.
    let last = (&count - 1.0).cast(DType::I32);
    let smallest = sorted.take_along_axis(&last, -1);
    let support = x.greater_equal(&smallest);
    let sum = where_(&support, x, &x.zeros_like()).sum_keepdims(-1);
    (x - (sum - 1.0) / count).maximum(0.0)
}

type Elementwise = dyn Fn(&Tensor) -> Tensor + Send + Sync;

/// A function from tensor to tensor.
#[derive(Clone)]
pub struct Custom(Arc<Elementwise>);

impl Function {
    /// A function of your own.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let dense = Dense::new(2).activation(activations::Function::custom(|x| x.square() + 1.0));
    /// # let _ = dense;
    /// ```
    pub fn custom(function: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Function {
        Function::Custom(Custom(Arc::new(function)))
    }
}

impl<L: Layer> From<L> for Function {
    fn from(layer: L) -> Function {
        Function::Layer(layer.clone_layer())
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::Layer(layer) => layer.state().fmt(formatter),
            other => formatter.write_str(other.name().unwrap_or("function")),
        }
    }
}

impl Setting for Function {
    fn to_value(&self) -> Result<Value, String> {
        match self {
            Function::Layer(layer) => {
                layer.config().map(|config| config.to_json("keras.layers")).map_err(|e| e.rule().to_string())
            }
            GeluTanh => Ok(Config::new("gelu").with("approximate", true).to_json("keras.activations")),
            other => match other.name() {
                Some(name) => Ok(name.into()),
                None => Err("an activation of the program's own is not data".to_string()),
            },
        }
    }

    fn from_value(value: &Value) -> Result<Function, String> {
        let expected = || "an activation of Keras's, or a layer".to_string();
        if value.is_null() {
            return Ok(Linear);
        }
        if let Some(name) = value.as_str() {
            return Function::from_name(name).ok_or_else(expected);
        }
        // A function as an object: `{"class_name": "function", "config": "relu"}`.
        if let Some(name) = value.get("config").and_then(Value::as_str) {
            return Function::from_name(name).ok_or_else(expected);
        }
        let config = Config::from_json(value).map_err(|_| expected())?;
        let approximate = config.setting_or("approximate", || false).unwrap_or(false);
        match Function::from_name(config.class()) {
            Some(Gelu) if approximate => Ok(GeluTanh),
            Some(function) => Ok(function),
            None => layer_from_config(&config).map(Function::Layer).map_err(|error| error.to_string()),
        }
    }
}

/// A layer inside of another one's config.
impl Setting for Arc<dyn Layer> {
    fn to_value(&self) -> Result<Value, String> {
        self.config().map(|config| config.to_json("keras.layers")).map_err(|error| error.to_string())
    }

    fn from_value(value: &Value) -> Result<Arc<dyn Layer>, String> {
        let config = Config::from_json(value).map_err(|error| error.to_string())?;
        layer_from_config(&config).map_err(|error| format!("a layer ({error})"))
    }
}
