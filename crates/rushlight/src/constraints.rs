//! What weights must keep to: projections that optimizers apply after each update.

use crate::config::Config;
use crate::layers::Setting;
use rushlight_core::Tensor;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Added to a norm before something is divided by it.
const EPSILON: f64 = 1e-7;

/// What a weight must keep to. Norms are Euclidean, over `axes` (by default the first axis: of a dense kernel, the
/// incoming weights of each unit; use `[0, 1, 2]` for a 2D convolution).
///
/// ```
/// use rushlight::constraints::Constraint;
/// use rushlight::prelude::*;
/// let dense = Dense::new(4).kernel_constraint(Constraint::NonNeg);
/// # let _ = dense;
/// let w = Tensor::from([[3.0f32], [4.0]]);
/// let shorter = Constraint::MaxNorm { max_value: 1.0, axes: vec![0] }.project(&w);
/// assert!((shorter.square().sum(..).to_f64()? - 1.0).abs() < 1e-6);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Constraint {
    /// Norms of `max_value` at most; Keras's default is 2.
    MaxNorm { max_value: f64, axes: Vec<isize> },
    /// No negative elements.
    NonNeg,
    /// Norms of 1.
    UnitNorm { axes: Vec<isize> },
    /// Norms between two values; `rate` is how much of the way is gone at each update.
    MinMaxNorm { min_value: f64, max_value: f64, rate: f64, axes: Vec<isize> },
    /// A function of your own, to a tensor of the same shape.
    Custom(Function),
}

/// A function to a tensor of the same shape.
#[derive(Clone)]
pub struct Function(Arc<dyn Fn(&Tensor) -> Tensor + Send + Sync>);

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("function")
    }
}

impl Constraint {
    /// A projection of your own.
    pub fn custom(project: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Constraint {
        Constraint::Custom(Function(Arc::new(project)))
    }

    /// The value that is allowed instead of `w`.
    #[track_caller]
    pub fn project(&self, w: &Tensor) -> Tensor {
        let norms = |axes: &[isize]| w.square().sum_keepdims(axes).sqrt();
        match self {
            Constraint::MaxNorm { max_value, axes } => {
                let norms = norms(axes);
                w * (norms.clip(0.0, *max_value) / (norms + EPSILON))
            }
            Constraint::NonNeg => w.maximum(0.0),
            Constraint::UnitNorm { axes } => w / (norms(axes) + EPSILON),
            Constraint::MinMaxNorm { min_value, max_value, rate, axes } => {
                let norms = norms(axes);
                let desired = norms.clip(*min_value, *max_value) * *rate + &norms * (1.0 - *rate);
                w * (desired / (norms + EPSILON))
            }
            Constraint::Custom(Function(project)) => project(w),
        }
    }
}

/// One axis as a number, several as a list: as Keras takes them.
fn axes_value(axes: &[isize]) -> Value {
    match axes {
        [one] => (*one).into(),
        _ => axes.into(),
    }
}

impl Setting for Constraint {
    fn to_value(&self) -> Result<Value, String> {
        let (class, settings) = match self {
            Constraint::MaxNorm { max_value, axes } => {
                ("MaxNorm", vec![("max_value", Value::from(*max_value)), ("axis", axes_value(axes))])
            }
            Constraint::NonNeg => ("NonNeg", vec![]),
            Constraint::UnitNorm { axes } => ("UnitNorm", vec![("axis", axes_value(axes))]),
            Constraint::MinMaxNorm { min_value, max_value, rate, axes } => (
                "MinMaxNorm",
                vec![
                    ("min_value", Value::from(*min_value)),
                    ("max_value", Value::from(*max_value)),
                    ("rate", Value::from(*rate)),
                    ("axis", axes_value(axes)),
                ],
            ),
            Constraint::Custom(_) => return Err("a constraint of the program's own is not data".to_string()),
        };
        let config = settings.into_iter();
        let config = config.fold(Config::new(class), |config, (key, value)| config.with(key, value));
        Ok(config.to_json("keras.constraints"))
    }

    fn from_value(value: &Value) -> Result<Constraint, String> {
        let expected = || "a constraint: MaxNorm, NonNeg, UnitNorm or MinMaxNorm".to_string();
        let config = match value.as_str() {
            Some(name) => Config::new(name),
            None => Config::from_json(value).map_err(|_| expected())?,
        };
        let number = |key: &str, default: f64| config.setting_or(key, || default).map_err(|_| expected());
        let axes = || match config.values().get("axis") {
            None => Ok(vec![0]),
            Some(axis) if axis.is_number() => isize::from_value(axis).map(|axis| vec![axis]),
            Some(axes) => Vec::from_value(axes),
        };
        match config.class() {
            "MaxNorm" | "max_norm" => {
                Ok(Constraint::MaxNorm { max_value: number("max_value", 2.0)?, axes: axes()? })
            }
            "NonNeg" | "non_neg" => Ok(Constraint::NonNeg),
            "UnitNorm" | "unit_norm" => Ok(Constraint::UnitNorm { axes: axes()? }),
            "MinMaxNorm" | "min_max_norm" => Ok(Constraint::MinMaxNorm {
                min_value: number("min_value", 0.0)?,
                max_value: number("max_value", 1.0)?,
                rate: number("rate", 1.0)?,
                axes: axes()?,
            }),
            _ => Err(expected()),
        }
    }
}
