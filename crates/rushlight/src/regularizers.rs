//! What large weights or activities cost: scalars that training adds to the loss.

use crate::config::Config;
use crate::layers::Setting;
use rushlight_core::{DType, Tensor};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// A cost of a weight, or of what a layer gives.
///
/// ```
/// use rushlight::prelude::*;
/// use rushlight::regularizers::Regularizer;
/// let w = Tensor::from([1.0f32, -2.0]);
/// assert_eq!(Regularizer::L2(0.1).cost(&w).to_f64()? as f32, 0.5);
/// let dense = Dense::new(4).kernel_regularizer(Regularizer::L2(1e-4));
/// # let _ = dense;
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Regularizer {
    /// `l1 · Σ |w|`; Keras's default is 0.01.
    L1(f64),
    /// `l2 · Σ w²`; Keras's default is 0.01.
    L2(f64),
    /// `l1 · Σ |w| + l2 · Σ w²`
    L1L2 { l1: f64, l2: f64 },
    /// `factor · Σ |cosine of two rows|` over all pairs, divided by their number: makes the rows of a matrix
    /// orthogonal.
    OrthogonalRows(f64),
    /// The same for its columns.
    OrthogonalColumns(f64),
    /// A function of your own, which gives a scalar.
    Custom(Function),
}

/// A function that gives a scalar.
#[derive(Clone)]
pub struct Function(Arc<dyn Fn(&Tensor) -> Tensor + Send + Sync>);

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("function")
    }
}

impl Regularizer {
    /// A cost by a function of your own.
    pub fn custom(cost: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Regularizer {
        Regularizer::Custom(Function(Arc::new(cost)))
    }

    /// The cost, a scalar of the tensor's dtype.
    #[track_caller]
    pub fn cost(&self, w: &Tensor) -> Tensor {
        match self {
            Regularizer::L1(l1) => w.abs().sum(..) * *l1,
            Regularizer::L2(l2) => w.square().sum(..) * *l2,
            Regularizer::L1L2 { l1, l2 } => w.abs().sum(..) * *l1 + w.square().sum(..) * *l2,
            Regularizer::OrthogonalRows(factor) => orthogonal(w, *factor),
            Regularizer::OrthogonalColumns(factor) => orthogonal(&w.t(), *factor),
            Regularizer::Custom(Function(cost)) => cost(w),
        }
    }
}

/// The mean over pairs of rows of how parallel they are.
#[track_caller]
fn orthogonal(w: &Tensor, factor: f64) -> Tensor {
    let [rows, _] = match w.dims::<2>() {
        Ok(dims) => dims,
        Err(error) => return Tensor::carry(error),
    };
    let norms = w.square().sum_keepdims(1).maximum(1e-12).sqrt();
    let unit = w / norms;
    let dtype = w.dtype().unwrap_or(DType::F32);
    let cosines = unit.matmul(&unit.t()) * (1.0 - Tensor::eye(rows, dtype));
    let pairs = (rows * rows.saturating_sub(1)) as f64 / 2.0;
    cosines.abs().sum(..) * (factor * 0.5 / pairs.max(1.0))
}

impl Setting for Regularizer {
    fn to_value(&self) -> Result<Value, String> {
        let (class, settings) = match self {
            Regularizer::L1(l1) => ("L1", vec![("l1", Value::from(*l1))]),
            Regularizer::L2(l2) => ("L2", vec![("l2", Value::from(*l2))]),
            Regularizer::L1L2 { l1, l2 } => {
                ("L1L2", vec![("l1", Value::from(*l1)), ("l2", Value::from(*l2))])
            }
            Regularizer::OrthogonalRows(factor) => {
                ("OrthogonalRegularizer", vec![("factor", Value::from(*factor)), ("mode", "rows".into())])
            }
            Regularizer::OrthogonalColumns(factor) => {
                ("OrthogonalRegularizer", vec![("factor", Value::from(*factor)), ("mode", "columns".into())])
            }
            Regularizer::Custom(_) => {
                return Err("a regularizer of the program's own is not data".to_string());
            }
        };
        let config = settings.into_iter();
        let config = config.fold(Config::new(class), |config, (key, value)| config.with(key, value));
        Ok(config.to_json("keras.regularizers"))
    }

    fn from_value(value: &Value) -> Result<Regularizer, String> {
        let expected = || "a regularizer: L1, L2, L1L2 or OrthogonalRegularizer".to_string();
        let config = match value.as_str() {
            Some(name) => Config::new(name),
            None => Config::from_json(value).map_err(|_| expected())?,
        };
        let number = |key: &str, default: f64| {
            config
                .setting_or::<Option<f64>>(key, || None)
                .map(|number| number.unwrap_or(default))
                .map_err(|_| expected())
        };
        match config.class() {
            "L1" | "l1" => Ok(Regularizer::L1(number("l1", 0.01)?)),
            "L2" | "l2" => Ok(Regularizer::L2(number("l2", 0.01)?)),
            "L1L2" => Ok(Regularizer::L1L2 { l1: number("l1", 0.0)?, l2: number("l2", 0.0)? }),
            "l1_l2" => Ok(Regularizer::L1L2 { l1: 0.01, l2: 0.01 }),
            "OrthogonalRegularizer" | "orthogonal_regularizer" => {
                let factor = number("factor", 0.01)?;
                match config.setting_or("mode", || "rows".to_string()).map_err(|_| expected())?.as_str() {
                    "rows" => Ok(Regularizer::OrthogonalRows(factor)),
                    "columns" => Ok(Regularizer::OrthogonalColumns(factor)),
                    _ => Err("an OrthogonalRegularizer with mode `rows` or `columns`".to_string()),
                }
            }
            _ => Err(expected()),
        }
    }
}
