//! Metrics: what is measured while training and evaluating, over all batches of an epoch.

use crate::losses::class_numbers;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, Variable, eagerly};
use std::sync::Arc;

/// A measurement that adds up over batches.
///
/// What has been seen is kept in variables, so that updates can be part of a recorded training step.
pub trait Metric: Send + Sync + 'static {
    /// The name in progress bars and histories.
    fn name(&self) -> &str;

    /// Adds a batch.
    ///
    /// # Errors
    /// If targets and predictions do not fit together.
    fn update(&self, targets: &Tensor, predictions: &Tensor) -> Result<()>;

    /// The measurement over everything since the last reset.
    fn result(&self) -> Tensor;

    /// Forgets everything seen.
    fn reset(&self) -> Result<()>;
}

impl Metric for Arc<dyn Metric> {
    fn name(&self) -> &str {
        (**self).name()
    }

    #[track_caller]
    fn update(&self, targets: &Tensor, predictions: &Tensor) -> Result<()> {
        (**self).update(targets, predictions)
    }

    fn result(&self) -> Tensor {
        (**self).result()
    }

    fn reset(&self) -> Result<()> {
        (**self).reset()
    }
}

/// The mean of all values that it is given.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct Mean {
    total: Variable,
    count: Variable,
}

impl Mean {
    pub fn new() -> Mean {
        let variable = |name| {
            let zero = Tensor::scalar(0f64);
            eagerly(|| Variable::new(name, &zero)).expect("a scalar is a value").untrainable()
        };
        Mean { total: variable("total"), count: variable("count") }
    }

    /// Adds every element.
    ///
    /// # Errors
    /// If the values carry an error.
    #[track_caller]
    pub fn add(&self, values: &Tensor) -> Result<()> {
        let count = values.count()?;
        let sum = match values.dtype()? {
            DType::Bool => values.cast(DType::F32).sum(..),
            _ => values.sum(..),
        };
        self.total.assign_add(&sum.cast(DType::F64))?;
        self.count.assign_add(&Tensor::scalar(count as f64))
    }

    /// Adds the mean of some values, as if each of `weight` examples had it.
    ///
    /// # Errors
    /// If the values carry an error.
    #[track_caller]
    pub fn add_mean(&self, values: &Tensor, weight: usize) -> Result<()> {
        let weight = weight as f64;
        self.total.assign_add(&(values.mean(..).cast(DType::F64) * weight))?;
        self.count.assign_add(&Tensor::scalar(weight))
    }

    /// The mean of everything added since the last reset; 0 if there was nothing.
    pub fn result(&self) -> Tensor {
        self.total.read() / self.count.read().maximum(1.0)
    }

    /// Forgets everything added.
    pub fn reset(&self) -> Result<()> {
        self.total.assign(&Tensor::scalar(0f64))?;
        self.count.assign(&Tensor::scalar(0f64))
    }
}

impl Default for Mean {
    fn default() -> Mean {
        Mean::new()
    }
}

/// Which part of the predictions is right.
///
/// What is right follows from the shapes, as in Keras: predictions with a last axis of size 1 are yes (above 0.5) or
/// no; targets with one axis less, or a last axis of size 1, are class numbers; otherwise the largest target wins.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct Accuracy {
    mean: Mean,
}

impl Accuracy {
    pub fn new() -> Accuracy {
        Accuracy { mean: Mean::new() }
    }

    #[track_caller]
    fn hits(targets: &Tensor, predictions: &Tensor) -> Result<Tensor> {
        let (target, prediction) = (targets.spec()?, predictions.spec()?);
        let last = |dims: &[usize]| dims.last().copied();
        let hits = if last(&prediction.dims) == Some(1) {
            let answers = targets.reshape_to(&prediction.dims);
            predictions.greater(0.5).equal(answers.cast(DType::F32).greater(0.5))
        } else if target.rank() + 1 == prediction.rank() || last(&target.dims) == Some(1) {
            let numbers = class_numbers(targets, predictions);
            predictions.argmax(-1).equal(numbers.cast(DType::I32))
        } else if target.rank() == prediction.rank() {
            predictions.argmax(-1).equal(targets.argmax(-1))
        } else {
            let rule = "the targets must be class numbers or distributions over the classes of the predictions (second)";
            let got = vec![target.clone(), prediction.clone()];
            return Err(Error::with_inputs(ErrorKind::Shape, "accuracy", rule, got));
        };
        Ok(hits)
    }
}

impl Default for Accuracy {
    fn default() -> Accuracy {
        Accuracy::new()
    }
}

impl Metric for Accuracy {
    fn name(&self) -> &str {
        "accuracy"
    }

    #[track_caller]
    fn update(&self, targets: &Tensor, predictions: &Tensor) -> Result<()> {
        self.mean.add(&Accuracy::hits(targets, predictions)?)
    }

    fn result(&self) -> Tensor {
        self.mean.result()
    }

    fn reset(&self) -> Result<()> {
        self.mean.reset()
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
}
