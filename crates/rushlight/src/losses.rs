//! Losses: how far predictions are from targets.

use rushlight_core::{
    DType, Error, ErrorKind, Spec, Tensor, binary_crossentropy, categorical_crossentropy,
    sparse_categorical_crossentropy,
};
use std::sync::Arc;

/// Probabilities are kept this far from 0 and 1, as in Keras, so that their logarithms are finite.
const EPSILON: f64 = 1e-7;

/// A measure of how far predictions are from targets.
pub trait Loss: Send + Sync + 'static {
    /// The loss of each example (or of each element of an example), which training takes the mean of.
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor;

    /// The mean loss: a scalar.
    #[track_caller]
    fn mean(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        self.values(targets, predictions).mean(..)
    }

    /// What targets look like for predictions of this shape and dtype; as the predictions unless said otherwise.
    fn target_spec(&self, predictions: &Spec) -> Spec {
        predictions.clone()
    }
}

impl Loss for Arc<dyn Loss> {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        (**self).values(targets, predictions)
    }

    fn target_spec(&self, predictions: &Spec) -> Spec {
        (**self).target_spec(predictions)
    }
}

/// Any function of targets and predictions is a loss.
impl<F: Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static> Loss for F {
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        self(targets, predictions)
    }
}

/// Cross-entropy for classes given by number: `-ln p[target]`.
///
/// # Shapes
/// targets `[batch, …]` (integers, or whole floats; a last axis of size 1 is left out), predictions
/// `[batch, …, classes]`
///
/// ```
/// use rushlight::prelude::*;
/// let loss = SparseCategoricalCrossentropy::from_logits();
/// let mean = loss.mean(&Tensor::from([0, 1]), &Tensor::from([[0.0f32, 0.0], [0.0, 0.0]]));
/// assert_eq!(mean.item::<f32>()?, 2.0f32.ln());
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Copy, Debug, rushlight_macros::Structure)]
pub struct SparseCategoricalCrossentropy {
    from_logits: bool,
}

/// Cross-entropy for classes given as distributions (one-hot rows): `-Σ target · ln p`.
///
/// # Shapes
/// targets and predictions `[batch, …, classes]`
#[derive(Clone, Copy, Debug, rushlight_macros::Structure)]
pub struct CategoricalCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
}

/// Cross-entropy of independent yes-or-no answers: `-(t · ln p + (1 - t) · ln(1 - p))`.
///
/// # Shapes
/// targets and predictions alike
#[derive(Clone, Copy, Debug, rushlight_macros::Structure)]
pub struct BinaryCrossentropy {
    from_logits: bool,
}

/// `(target - prediction)²`, averaged.
///
/// # Shapes
/// targets and predictions broadcast to each other
#[derive(Clone, Copy, Debug, Default, rushlight_macros::Structure)]
pub struct MeanSquaredError;

/// `|target - prediction|`, averaged.
#[derive(Clone, Copy, Debug, Default, rushlight_macros::Structure)]
pub struct MeanAbsoluteError;

impl SparseCategoricalCrossentropy {
    /// For models that end in a softmax.
    #[expect(clippy::new_without_default, reason = "from_logits is as likely: the choice should be seen")]
    pub fn new() -> SparseCategoricalCrossentropy {
        SparseCategoricalCrossentropy { from_logits: false }
    }

    /// For models that end in scores, of which the softmax is taken here: more exact, and faster.
    pub fn from_logits() -> SparseCategoricalCrossentropy {
        SparseCategoricalCrossentropy { from_logits: true }
    }
}

/// Scores whose softmax the probabilities are.
#[track_caller]
fn logits_of(predictions: &Tensor, from_logits: bool) -> Tensor {
    if from_logits { predictions.clone() } else { predictions.clip(EPSILON, 1.0 - EPSILON).log() }
}

/// Class numbers without a last axis of size 1, in an integer dtype.
#[track_caller]
pub(crate) fn class_numbers(targets: &Tensor, predictions: &Tensor) -> Tensor {
    let (Ok(target), Ok(prediction)) = (targets.spec(), predictions.spec()) else {
        return if targets.error().is_some() { targets.clone() } else { predictions.clone() };
    };
    let column = target.rank() == prediction.rank() && target.dims.last() == Some(&1);
    let numbers = if column { targets.squeeze(-1) } else { targets.clone() };
    if target.dtype.is_integer() { numbers } else { numbers.cast(DType::I32) }
}

impl Loss for SparseCategoricalCrossentropy {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        let numbers = class_numbers(targets, predictions);
        sparse_categorical_crossentropy(&numbers, &logits_of(predictions, self.from_logits))
    }

    fn target_spec(&self, predictions: &Spec) -> Spec {
        let outer = predictions.rank().saturating_sub(1);
        Spec::new(&predictions.dims[..outer], DType::I32)
    }
}

impl CategoricalCrossentropy {
    /// For models that end in a softmax.
    #[expect(clippy::new_without_default, reason = "from_logits is as likely: the choice should be seen")]
    pub fn new() -> CategoricalCrossentropy {
        CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 }
    }

    /// For models that end in scores, of which the softmax is taken here.
    pub fn from_logits() -> CategoricalCrossentropy {
        CategoricalCrossentropy { from_logits: true, label_smoothing: 0.0 }
    }

    /// Mixes the targets with this part of the uniform distribution over the classes.
    pub fn label_smoothing(mut self, part: f64) -> CategoricalCrossentropy {
        self.label_smoothing = part;
        self
    }
}

impl Loss for CategoricalCrossentropy {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        let Ok(spec) = predictions.spec() else { return predictions.clone() };
        let mut targets = targets.cast(spec.dtype);
        if let (true, Some(&classes)) = (self.label_smoothing != 0.0, spec.dims.last()) {
            targets = targets * (1.0 - self.label_smoothing) + self.label_smoothing / classes as f64;
        }
        categorical_crossentropy(&targets, &logits_of(predictions, self.from_logits))
    }
}

impl BinaryCrossentropy {
    /// For models that end in a sigmoid.
    #[expect(clippy::new_without_default, reason = "from_logits is as likely: the choice should be seen")]
    pub fn new() -> BinaryCrossentropy {
        BinaryCrossentropy { from_logits: false }
    }

    /// For models that end in scores, of which the sigmoid is taken here.
    pub fn from_logits() -> BinaryCrossentropy {
        BinaryCrossentropy { from_logits: true }
    }
}

impl Loss for BinaryCrossentropy {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        let Ok(spec) = predictions.spec() else { return predictions.clone() };
        let targets = targets.cast(spec.dtype);
        if self.from_logits {
            return binary_crossentropy(&targets, predictions);
        }
        let p = predictions.clip(EPSILON, 1.0 - EPSILON);
        -(&targets * p.log() + (1.0 - &targets) * (1.0 - &p).log())
    }
}

/// Targets in the dtype of the predictions, or a carried error if they are of different rank.
#[track_caller]
fn comparable(name: &str, targets: &Tensor, predictions: &Tensor) -> Tensor {
    match (targets.spec(), predictions.spec()) {
        (Ok(target), Ok(prediction)) if target.rank() == prediction.rank() => targets.cast(prediction.dtype),
        (Ok(target), Ok(prediction)) => {
            let rule = "targets and predictions (second) must have the same number of axes";
            let got = vec![target.clone(), prediction.clone()];
            Tensor::carry(Error::with_inputs(ErrorKind::Shape, name, rule, got))
        }
        (Err(error), _) | (_, Err(error)) => Tensor::carry(error),
    }
}

impl Loss for MeanSquaredError {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        (comparable("mean_squared_error", targets, predictions) - predictions).square()
    }
}

impl Loss for MeanAbsoluteError {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        (comparable("mean_absolute_error", targets, predictions) - predictions).abs()
    }
}
