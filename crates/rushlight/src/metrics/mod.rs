//! Metrics: what is measured while training and evaluating, over all batches of an epoch.
//!
//! ```
//! use rushlight::prelude::*;
//! let precision = Precision::new();
//! precision.update(&Tensor::from([1, 0, 1]), &Tensor::from([0.9f32, 0.8, 0.2]))?;
//! assert_eq!(precision.result().to_f64()?, 0.5);
//! // The mean of any loss, or of any function of targets and predictions, is a metric.
//! let error = MeanSquaredError.metric();
//! let largest = MeanOf::of(|t: &Tensor, p: &Tensor| (t - p).abs().max(-1)).named("largest");
//! error.update(&Tensor::from([[1.0f32, 2.0]]), &Tensor::from([[2.0f32, 4.0]]))?;
//! largest.update(&Tensor::from([[1.0f32, 2.0]]), &Tensor::from([[2.0f32, 4.0]]))?;
//! assert_eq!((error.name(), error.result().to_f64()?), ("mean_squared_error", 2.5));
//! assert_eq!((largest.name(), largest.result().to_f64()?), ("largest", 2.0));
//! # Ok::<(), rushlight::Error>(())
//! ```

mod accuracy;
mod auc;
mod confusion;
mod f_score;
mod iou;
mod mean;
mod regression;

pub use accuracy::{
    Accuracy, AccuracyHits, BinaryAccuracy, BinaryHits, CategoricalAccuracy, CategoricalHits,
    SparseCategoricalAccuracy, SparseCategoricalHits, SparseTopKCategoricalAccuracy, SparseTopKHits,
    TopKCategoricalAccuracy, TopKHits,
};
pub use auc::{
    AtLeast, Auc, Curve, PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity,
    SpecificityAtSensitivity, Summation,
};
pub use confusion::{
    Counted, FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives,
};
pub use f_score::{Average, F1Score, FBetaScore};
pub use iou::{BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU};
pub use mean::{Mean, MeanOf, Measure, Sum};
pub use regression::{CosineSimilarityOf, R2Score, RootMeanSquaredError};

use crate::config::{Config, Configured};
use crate::losses;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, Variable, eagerly};
use std::sync::Arc;

/// A measurement that adds up over batches.
///
/// What has been seen is kept in variables, so that updates can be part of a recorded training step.
pub trait Metric: Send + Sync + 'static {
    /// The name in progress bars and histories.
    fn name(&self) -> &str;

    /// Adds a batch in which each example counts as much as its weight.
    ///
    /// # Errors
    /// If targets, predictions and weights do not fit together.
    fn update_weighted(&self, targets: &Tensor, predictions: &Tensor, weights: Option<&Tensor>)
    -> Result<()>;

    /// Adds a batch.
    ///
    /// # Errors
    /// If targets and predictions do not fit together.
    #[track_caller]
    fn update(&self, targets: &Tensor, predictions: &Tensor) -> Result<()> {
        self.update_weighted(targets, predictions, None)
    }

    /// The measurement over everything since the last reset: a scalar, or one value for each class.
    fn result(&self) -> Tensor;

    /// Forgets everything seen.
    ///
    /// # Errors
    /// If a variable cannot be assigned.
    fn reset(&self) -> Result<()>;

    /// Keras's class and arguments, if Keras has it.
    fn config(&self) -> Option<Config> {
        None
    }

    /// The same under a name of your own.
    fn named(self, name: impl Into<String>) -> Named<Self>
    where
        Self: Sized,
    {
        Named { metric: self, name: name.into() }
    }
}

/// Hands everything but the name on to a metric inside.
macro_rules! delegate {
    ($inner:ident) => {
        #[track_caller]
        fn update_weighted(
            &self,
            targets: &rushlight_core::Tensor,
            predictions: &rushlight_core::Tensor,
            weights: Option<&rushlight_core::Tensor>,
        ) -> rushlight_core::Result<()> {
            self.$inner.update_weighted(targets, predictions, weights)
        }

        #[track_caller]
        fn result(&self) -> rushlight_core::Tensor {
            self.$inner.result()
        }

        fn reset(&self) -> rushlight_core::Result<()> {
            self.$inner.reset()
        }
    };
}

pub(crate) use delegate;

impl Metric for Arc<dyn Metric> {
    fn name(&self) -> &str {
        (**self).name()
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        (**self).update_weighted(targets, predictions, weights)
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        (**self).result()
    }

    fn reset(&self) -> Result<()> {
        (**self).reset()
    }

    fn config(&self) -> Option<Config> {
        (**self).config()
    }
}

/// A metric under a name of its own: see [`Metric::named`].
#[derive(Clone, Debug)]
pub struct Named<M> {
    metric: M,
    name: String,
}

impl<M: Metric> Metric for Named<M> {
    fn name(&self) -> &str {
        &self.name
    }

    delegate!(metric);

    fn config(&self) -> Option<Config> {
        Some(self.metric.config()?.with("name", self.name.as_str()))
    }
}

/// A variable of a metric, zeros at first.
pub(crate) fn zeros(name: &str, dims: &[usize]) -> Variable {
    eagerly(|| Variable::new(name, &Tensor::zeros(dims, DType::F64)))
        .expect("zeros are a value")
        .untrainable()
}

/// Sets variables back to zeros.
pub(crate) fn clear<'a>(variables: impl IntoIterator<Item = &'a Variable>) -> Result<()> {
    variables.into_iter().try_for_each(|variable| variable.assign(&variable.read().zeros_like()))
}

/// `a / b`, and 0 where `b` is 0.
#[track_caller]
pub(crate) fn ratio(a: &Tensor, b: &Tensor) -> Tensor {
    let none = b.equal(0.0);
    let divisor = rushlight_core::where_(&none, &b.ones_like(), b);
    rushlight_core::where_(&none, &a.zeros_like(), &(a / divisor))
}

/// The metric that Keras describes so.
///
/// # Errors
/// If there is no metric of that class, or an argument is of another kind than expected.
pub fn from_config(config: &Config) -> Result<Arc<dyn Metric>> {
    fn mean<M: Measure + Configured>(config: &Config) -> Result<Arc<dyn Metric>> {
        Ok(Arc::new(MeanOf::of(M::from_config(config)?)))
    }
    let made: Arc<dyn Metric> = match config.class() {
        "Accuracy" => Arc::new(Accuracy::new()),
        "BinaryAccuracy" => mean::<BinaryHits>(config)?,
        "CategoricalAccuracy" => mean::<CategoricalHits>(config)?,
        "SparseCategoricalAccuracy" => mean::<SparseCategoricalHits>(config)?,
        "TopKCategoricalAccuracy" => mean::<TopKHits>(config)?,
        "SparseTopKCategoricalAccuracy" => mean::<SparseTopKHits>(config)?,
        "CosineSimilarity" => mean::<CosineSimilarityOf>(config)?,
        "RootMeanSquaredError" => Arc::new(RootMeanSquaredError::new()),
        "R2Score" => Arc::new(R2Score::from_config(config)?),
        "Precision" => Arc::new(Precision::from_config(config)?),
        "Recall" => Arc::new(Recall::from_config(config)?),
        "TruePositives" => Arc::new(TruePositives::from_config(config)?),
        "TrueNegatives" => Arc::new(TrueNegatives::from_config(config)?),
        "FalsePositives" => Arc::new(FalsePositives::from_config(config)?),
        "FalseNegatives" => Arc::new(FalseNegatives::from_config(config)?),
        "AUC" => Arc::new(Auc::from_config(config)?),
        "SensitivityAtSpecificity" => Arc::new(SensitivityAtSpecificity::from_config(config)?),
        "SpecificityAtSensitivity" => Arc::new(SpecificityAtSensitivity::from_config(config)?),
        "PrecisionAtRecall" => Arc::new(PrecisionAtRecall::from_config(config)?),
        "RecallAtPrecision" => Arc::new(RecallAtPrecision::from_config(config)?),
        "F1Score" => Arc::new(F1Score::from_config(config)?),
        "FBetaScore" => Arc::new(FBetaScore::from_config(config)?),
        "IoU" => Arc::new(IoU::from_config(config)?),
        "MeanIoU" => Arc::new(MeanIoU::from_config(config)?),
        "BinaryIoU" => Arc::new(BinaryIoU::from_config(config)?),
        "OneHotIoU" => Arc::new(OneHotIoU::from_config(config)?),
        "OneHotMeanIoU" => Arc::new(OneHotMeanIoU::from_config(config)?),
        "LogCoshError" => Arc::new(MeanOf::of(losses::LogCosh).called("LogCoshError", "logcosh")),
        _ => Arc::new(MeanOf::of(losses::from_config(config).map_err(|_| {
            let rule = format!("there is no metric `{}`", config.class());
            Error::outside(ErrorKind::Value, "metrics", rule)
        })?)),
    };
    match config.get("name").and_then(serde_json::Value::as_str) {
        Some(name) if name != made.name() => Ok(Arc::new(made.named(name))),
        _ => Ok(made),
    }
}

/// The metrics that a model is compiled with: an array or a tuple of them, or `()` for none.
pub trait IntoMetrics {
    fn into_metrics(self) -> Vec<Arc<dyn Metric>>;
}

impl IntoMetrics for () {
    fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
        Vec::new()
    }
}

impl<M: Metric, const N: usize> IntoMetrics for [M; N] {
    fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
        self.into_iter().map(|metric| Arc::new(metric) as Arc<dyn Metric>).collect()
    }
}

impl<M: Metric> IntoMetrics for Vec<M> {
    fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
        self.into_iter().map(|metric| Arc::new(metric) as Arc<dyn Metric>).collect()
    }
}

macro_rules! metric_tuples {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: Metric),+> IntoMetrics for ($($name,)+) {
            fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
                vec![$(Arc::new(self.$index)),+]
            }
        }
    )*};
}

metric_tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}
