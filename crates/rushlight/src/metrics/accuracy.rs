//! The accuracies: which part of the predictions is right.

use crate::config::{Config, Configured, configured};
use crate::layers::snake_case;
use crate::losses::{aligned, class_numbers};
use crate::metrics::{MeanOf, Measure};
use rushlight_core::{DType, Error, ErrorKind, Tensor};

configured! {
    /// What [`Accuracy`] counts.
    pub struct AccuracyHits as "Accuracy";
}

configured! {
    /// What [`BinaryAccuracy`] counts.
    pub struct BinaryHits as "BinaryAccuracy" { threshold: f64 = 0.5 }
}

configured! {
    /// What [`CategoricalAccuracy`] counts.
    pub struct CategoricalHits as "CategoricalAccuracy";
}

configured! {
    /// What [`SparseCategoricalAccuracy`] counts.
    pub struct SparseCategoricalHits as "SparseCategoricalAccuracy";
}

configured! {
    /// What [`TopKCategoricalAccuracy`] counts.
    pub struct TopKHits as "TopKCategoricalAccuracy" { k: usize = 5 }
}

configured! {
    /// What [`SparseTopKCategoricalAccuracy`] counts.
    pub struct SparseTopKHits as "SparseTopKCategoricalAccuracy" { k: usize = 5 }
}

/// Which part of the predictions is right.
///
/// What is right follows from the shapes, as in Keras's `"accuracy"`: predictions with a last axis of size 1 are yes
/// (above 0.5) or no; targets with one axis less, or a last axis of size 1, are class numbers; otherwise the largest
/// target wins.
pub type Accuracy = MeanOf<AccuracyHits>;

/// How often predictions above a threshold (0.5) agree with targets 0 and 1.
///
/// # Shapes
/// targets and predictions alike
pub type BinaryAccuracy = MeanOf<BinaryHits>;

/// How often the largest prediction is where the largest target is.
///
/// # Shapes
/// targets (one-hot) and predictions `[batch, …, classes]`
pub type CategoricalAccuracy = MeanOf<CategoricalHits>;

/// How often the largest prediction is that of the class.
///
/// # Shapes
/// targets `[batch, …]` (class numbers), predictions `[batch, …, classes]`
pub type SparseCategoricalAccuracy = MeanOf<SparseCategoricalHits>;

/// How often the class of the largest target is among the `k` (5) largest predictions.
pub type TopKCategoricalAccuracy = MeanOf<TopKHits>;

/// How often the class is among the `k` (5) largest predictions, for class numbers.
pub type SparseTopKCategoricalAccuracy = MeanOf<SparseTopKHits>;

impl MeanOf<BinaryHits> {
    /// Predictions above this are a yes.
    pub fn threshold(self, threshold: f64) -> BinaryAccuracy {
        self.with(|hits| hits.threshold = threshold)
    }
}

impl MeanOf<TopKHits> {
    /// How many of the largest predictions count.
    pub fn k(self, k: usize) -> TopKCategoricalAccuracy {
        self.with(|hits| hits.k = k)
    }
}

impl MeanOf<SparseTopKHits> {
    /// How many of the largest predictions count.
    pub fn k(self, k: usize) -> SparseTopKCategoricalAccuracy {
        self.with(|hits| hits.k = k)
    }
}

macro_rules! measures {
    ($($name:ident |$hits:pat_param, $targets:ident, $predictions:ident| $values:expr;)*) => {$(
        impl Measure for $name {
            fn name(&self) -> String {
                snake_case($name::CLASS)
            }

            #[track_caller]
            fn values(&self, $targets: &Tensor, $predictions: &Tensor) -> Tensor {
                let $hits = self;
                $values
            }

            fn config(&self) -> Option<Config> {
                Some(Configured::config(self))
            }
        }
    )*};
}

pub(crate) use measures;

measures! {
    AccuracyHits |_, t, p| accuracy(t, p);
    BinaryHits |hits, t, p| match aligned("binary_accuracy", t, p) {
        Ok((t, p)) => p.greater(hits.threshold).cast(DType::F32).equal(t.cast(DType::F32)),
        Err(carried) => carried,
    };
    CategoricalHits |_, t, p| p.argmax(-1).equal(t.argmax(-1));
    SparseCategoricalHits |_, t, p| {
        p.argmax(-1).equal(class_numbers(t, p).cast(DType::I32))
    };
    TopKHits |hits, t, p| in_top_k(&t.argmax(-1), p, hits.k);
    SparseTopKHits |hits, t, p| in_top_k(&class_numbers(t, p).cast(DType::I32), p, hits.k);
}

#[track_caller]
fn accuracy(targets: &Tensor, predictions: &Tensor) -> Tensor {
    let (target, prediction) = match (targets.spec(), predictions.spec()) {
        (Ok(target), Ok(prediction)) => (target, prediction),
        (Err(error), _) | (_, Err(error)) => return Tensor::carry(error),
    };
    let last = |dims: &[usize]| dims.last().copied();
    if last(&prediction.dims) == Some(1) {
        let answers = targets.reshape_to(&prediction.dims);
        return predictions.greater(0.5).equal(answers.cast(DType::F32).greater(0.5));
    }
    if target.rank() + 1 == prediction.rank() || last(&target.dims) == Some(1) {
        return SparseCategoricalHits.values(targets, predictions);
    }
    if target.rank() == prediction.rank() {
        return CategoricalHits.values(targets, predictions);
    }
    let rule =
        "the targets must be class numbers or distributions over the classes of the predictions (second)";
    let got = vec![target.clone(), prediction.clone()];
    Tensor::carry(Error::with_inputs(ErrorKind::Shape, "accuracy", rule, got))
}

/// Whether fewer than `k` predictions are larger than that of the class.
#[track_caller]
fn in_top_k(classes: &Tensor, predictions: &Tensor, k: usize) -> Tensor {
    let own = predictions.take_along_axis(&classes.expand_dims(-1), -1);
    let larger = predictions.greater(&own).cast(DType::I32).sum(-1);
    larger.less(k).logical_and(own.squeeze(-1).is_finite())
}
