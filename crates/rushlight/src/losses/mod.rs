//! Losses: how far predictions are from targets.
//!
//! A loss gives one value for each example; a [`Reduction`] makes one of them all, weighted or not.
//!
//! ```
//! use rushlight::prelude::*;
//! let (targets, predictions) = (Tensor::from([[1.0f32], [2.0]]), Tensor::from([[1.5f32], [4.0]]));
//! assert_eq!(MeanSquaredError.mean(&targets, &predictions).item::<f32>()?, 2.125);
//! let weights = Tensor::from([2.0f32, 0.0]);
//! let loss = MeanSquaredError.with_reduction(Reduction::Sum);
//! assert_eq!(loss.reduced(&targets, &predictions, Some(&weights)).item::<f32>()?, 0.5);
//! // Any function of targets and predictions is a loss.
//! let worst = |targets: &Tensor, predictions: &Tensor| (targets - predictions).abs().max(-1);
//! assert_eq!(worst.mean(&targets, &predictions).item::<f32>()?, 1.25);
//! # Ok::<(), rushlight::Error>(())
//! ```

mod crossentropy;
mod ctc;
mod hinge;
mod overlap;
mod regression;

pub use crossentropy::{
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy, SparseCategoricalCrossentropy,
};
pub use ctc::Ctc;
pub use hinge::{CategoricalHinge, Hinge, SquaredHinge};
pub use overlap::{Circle, Dice, Tversky};
pub use regression::{
    CosineSimilarity, Huber, KlDivergence, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError,
    MeanSquaredError, MeanSquaredLogarithmicError, Poisson,
};

pub(crate) use crossentropy::class_numbers;

use crate::config::{Config, Configured};
use crate::layers::{mask_of, snake_case};
use crate::metrics::MeanOf;
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Tensor, where_};
use std::sync::Arc;

/// Keras's epsilon: what keeps denominators from zero and probabilities from 0 and 1.
pub(crate) const EPSILON: f64 = 1e-7;

/// How the values of a batch become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, rushlight_macros::Structure)]
pub enum Reduction {
    /// Their sum, divided by their number: the default.
    #[default]
    SumOverBatchSize,
    /// Their sum.
    Sum,
    /// Their sum, divided by the sum of the weights.
    MeanWithSampleWeight,
    /// They stay as they are.
    None,
}

impl Reduction {
    /// Keras's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Reduction::SumOverBatchSize => "sum_over_batch_size",
            Reduction::Sum => "sum",
            Reduction::MeanWithSampleWeight => "mean_with_sample_weight",
            Reduction::None => "none",
        }
    }

    fn of_name(name: &str) -> Option<Reduction> {
        match name {
            "sum_over_batch_size" | "mean" => Some(Reduction::SumOverBatchSize),
            "sum" => Some(Reduction::Sum),
            "mean_with_sample_weight" => Some(Reduction::MeanWithSampleWeight),
            "none" => Some(Reduction::None),
            _ => None,
        }
    }

    /// Reduces values (`[batch, …]`), of which only those count where the mask is true, each times its weight.
    /// Weights may have fewer axes than values: one weight for a whole example.
    #[track_caller]
    pub fn reduce(self, values: &Tensor, mask: Option<&Tensor>, weights: Option<&Tensor>) -> Tensor {
        let Ok(spec) = values.spec() else { return values.clone() };
        let mut factor = weights.map(|weights| spread(&weights.cast(spec.dtype), spec));
        if let Some(mask) = mask {
            let mut mask = spread(&mask.cast(spec.dtype), spec);
            if self == Reduction::SumOverBatchSize {
                // What is masked out does not count in the batch size.
                let (all, valid) = (mask.count().unwrap_or(1) as f64, mask.sum(..));
                mask = &mask * where_(&valid.greater(0.0), &(all / &valid), &valid);
            }
            factor = Some(factor.map_or_else(|| mask.clone(), |weights| weights * &mask));
        }
        let weighted = factor.as_ref().map_or_else(|| values.clone(), |factor| values * factor);
        match (self, &factor) {
            _ if spec.dims.is_empty() => weighted,
            (Reduction::None, _) => weighted,
            (Reduction::Sum, _) => weighted.sum(..),
            (Reduction::MeanWithSampleWeight, Some(factor)) => {
                let (sum, weight) = (weighted.sum(..), factor.broadcast_to(&spec.dims).sum(..));
                where_(&weight.equal(0.0), &sum.zeros_like(), &(&sum / &weight))
            }
            _ => weighted.mean(..),
        }
    }
}

/// What two masks, either of which may not be there, leave.
#[track_caller]
fn both(a: Option<Tensor>, b: Option<Tensor>) -> Option<Tensor> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.logical_and(&b)),
        (a, b) => a.or(b),
    }
}

/// Weights with axes of size 1 at their end, until they have as many as the values.
#[track_caller]
pub(crate) fn spread(weights: &Tensor, values: &Spec) -> Tensor {
    let Ok(spec) = weights.spec() else { return weights.clone() };
    if spec.rank() == values.rank() + 1 && spec.dims.last() == Some(&1) {
        return weights.squeeze(-1);
    }
    let mut dims = spec.dims.to_vec();
    dims.resize(dims.len().max(values.rank()), 1);
    weights.reshape_to(&dims)
}

/// A measure of how far predictions are from targets.
pub trait Loss: Send + Sync + 'static {
    /// The loss of each example (or of each step of an example): `[batch, …]`.
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor;

    /// Which of the values count, as `bool`; nothing if all do.
    fn mask(&self, targets: &Tensor, predictions: &Tensor) -> Option<Tensor> {
        let _ = (targets, predictions);
        None
    }

    /// How the values of a batch become one.
    fn reduction(&self) -> Reduction {
        Reduction::SumOverBatchSize
    }

    /// The loss of a batch: a scalar, unless nothing is reduced. Each value counts times its weight, and only where the
    /// mask of the predictions ([`mask_of`](crate::layers::mask_of)) says so.
    #[track_caller]
    fn reduced(&self, targets: &Tensor, predictions: &Tensor, weights: Option<&Tensor>) -> Tensor {
        let mask = both(self.mask(targets, predictions), mask_of(predictions));
        self.reduction().reduce(&self.values(targets, predictions), mask.as_ref(), weights)
    }

    /// The mean loss: a scalar.
    #[track_caller]
    fn mean(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        let mask = both(self.mask(targets, predictions), mask_of(predictions));
        Reduction::SumOverBatchSize.reduce(&self.values(targets, predictions), mask.as_ref(), None)
    }

    /// What targets look like for predictions of this shape and dtype; as the predictions unless said otherwise.
    fn target_spec(&self, predictions: &Spec) -> Spec {
        predictions.clone()
    }

    /// Keras's class and arguments, if Keras has it.
    fn config(&self) -> Option<Config> {
        None
    }

    /// The same loss, reduced in another way.
    fn with_reduction(self, reduction: Reduction) -> Reduced<Self>
    where
        Self: Sized,
    {
        Reduced { loss: self, reduction }
    }

    /// A metric that is the mean of this loss.
    fn metric(self) -> MeanOf<Self>
    where
        Self: Sized,
    {
        MeanOf::of(self)
    }
}

impl Loss for Arc<dyn Loss> {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        (**self).values(targets, predictions)
    }

    fn mask(&self, targets: &Tensor, predictions: &Tensor) -> Option<Tensor> {
        (**self).mask(targets, predictions)
    }

    fn reduction(&self) -> Reduction {
        (**self).reduction()
    }

    fn target_spec(&self, predictions: &Spec) -> Spec {
        (**self).target_spec(predictions)
    }

    fn config(&self) -> Option<Config> {
        (**self).config()
    }
}

/// Any function of targets and predictions is a loss.
impl<F: Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static> Loss for F {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        self(targets, predictions)
    }
}

/// A loss with a reduction of its own: see [`Loss::with_reduction`].
#[derive(Clone, Copy, Debug, PartialEq, rushlight_macros::Structure)]
pub struct Reduced<L> {
    loss: L,
    reduction: Reduction,
}

impl<L: Loss> Loss for Reduced<L> {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        self.loss.values(targets, predictions)
    }

    fn mask(&self, targets: &Tensor, predictions: &Tensor) -> Option<Tensor> {
        self.loss.mask(targets, predictions)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn target_spec(&self, predictions: &Spec) -> Spec {
        self.loss.target_spec(predictions)
    }

    fn config(&self) -> Option<Config> {
        Some(self.loss.config()?.with("reduction", self.reduction.name()))
    }
}

/// The description of one of Keras's losses.
pub(crate) fn described(loss: &impl Configured) -> Config {
    let config = loss.config();
    let name = snake_case(config.class());
    config.with("name", name).with("reduction", Reduction::default().name())
}

/// The loss that Keras describes so.
///
/// # Errors
/// If there is no loss of that class, or an argument is of another kind than expected.
pub fn from_config(config: &Config) -> Result<Arc<dyn Loss>> {
    fn made<L: Loss + Configured>(config: &Config, reduction: Reduction) -> Result<Arc<dyn Loss>> {
        let loss = L::from_config(config)?;
        Ok(match reduction {
            Reduction::SumOverBatchSize => Arc::new(loss),
            other => Arc::new(loss.with_reduction(other)),
        })
    }
    let reduction = match config.get("reduction") {
        // Null, as well as `none`.
        None if config.values().contains_key("reduction") => Some(Reduction::None),
        _ => Reduction::of_name(&config.text("reduction", "sum_over_batch_size")?),
    };
    let Some(reduction) = reduction else {
        let rule = format!("there is no reduction {}", config.values()["reduction"]);
        return Err(Error::outside(ErrorKind::Value, "losses", rule));
    };
    macro_rules! by_class {
        ($($loss:ident),*) => {
            match config.class() {
                $(class if class == $loss::CLASS => made::<$loss>(config, reduction),)*
                other => {
                    let rule = format!("there is no loss `{other}`");
                    Err(Error::outside(ErrorKind::Value, "losses", rule))
                }
            }
        };
    }
    by_class!(
        MeanSquaredError,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredLogarithmicError,
        CosineSimilarity,
        Huber,
        LogCosh,
        KlDivergence,
        Poisson,
        Hinge,
        SquaredHinge,
        CategoricalHinge,
        BinaryCrossentropy,
        BinaryFocalCrossentropy,
        CategoricalCrossentropy,
        CategoricalFocalCrossentropy,
        SparseCategoricalCrossentropy,
        CategoricalGeneralizedCrossEntropy,
        Ctc,
        Dice,
        Tversky,
        Circle
    )
}

/// Predictions in at least single precision, as Keras computes losses.
#[track_caller]
pub(crate) fn wide(predictions: &Tensor) -> Tensor {
    match predictions.dtype() {
        Ok(DType::F16 | DType::BF16) => predictions.cast(DType::F32),
        _ => predictions.clone(),
    }
}

/// Targets and predictions with the same number of axes, in the dtype of the predictions; by Keras's rule an axis of
/// size 1 at the end is added or left out where one of them has it.
#[track_caller]
pub(crate) fn aligned(
    name: &str,
    targets: &Tensor,
    predictions: &Tensor,
) -> std::result::Result<(Tensor, Tensor), Tensor> {
    let predictions = wide(predictions);
    let (target, prediction) = match (targets.spec(), predictions.spec()) {
        (Ok(target), Ok(prediction)) => (target.clone(), prediction.clone()),
        (Err(error), _) | (_, Err(error)) => return Err(Tensor::carry(error)),
    };
    let targets = targets.cast(prediction.dtype);
    let is_column = |spec: &Spec| spec.dims.last() == Some(&1);
    let (targets, predictions) = match (target.rank(), prediction.rank()) {
        (a, b) if a == b => (targets, predictions),
        (a, b) if a == b + 1 && is_column(&target) && b == 1 => (targets, predictions.expand_dims(-1)),
        (a, b) if a == b + 1 && is_column(&target) => (targets.squeeze(-1), predictions),
        (a, b) if b == a + 1 && is_column(&prediction) && a == 1 => (targets.expand_dims(-1), predictions),
        (a, b) if b == a + 1 && is_column(&prediction) => (targets, predictions.squeeze(-1)),
        _ => {
            let rule = "targets and predictions (second) must have the same number of axes";
            let error = Error::with_inputs(ErrorKind::Shape, name, rule, vec![target, prediction]);
            return Err(Tensor::carry(error));
        }
    };
    Ok((targets, predictions))
}

/// Losses over targets and predictions that were brought to one rank and dtype.
macro_rules! losses {
    ($($name:ident |$loss:pat_param, $targets:ident, $predictions:ident| $values:expr;)*) => {$(
        impl $crate::losses::Loss for $name {
            #[track_caller]
            fn values(&self, targets: &rushlight_core::Tensor, predictions: &rushlight_core::Tensor) -> rushlight_core::Tensor {
                let $loss = self;
                let name = $crate::layers::snake_case(<$name as $crate::config::Configured>::CLASS);
                match $crate::losses::aligned(&name, targets, predictions) {
                    Ok(($targets, $predictions)) => $values,
                    Err(carried) => carried,
                }
            }

            fn config(&self) -> Option<$crate::config::Config> {
                Some($crate::losses::described(self))
            }
        }
    )*};
}

pub(crate) use losses;
