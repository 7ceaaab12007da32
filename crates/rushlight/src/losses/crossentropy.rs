//! Cross-entropies: between distributions over classes.

use crate::config::{Config, configured};
use crate::losses::{EPSILON, Loss, described, losses, wide};
use rushlight_core::{
    DType, Spec, Tensor, binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy,
    where_,
};

configured! {
    /// Cross-entropy for classes given by number: `-ln p[target]`.
    ///
    /// # Shapes
    /// targets `[batch, …]` (integers, or whole floats; a last axis of size 1 is left out), predictions
    /// `[batch, …, classes] → [batch, …]`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let loss = SparseCategoricalCrossentropy::from_logits();
    /// let mean = loss.mean(&Tensor::from([0, 1]), &Tensor::from([[0.0f32, 0.0], [0.0, 0.0]]));
    /// assert_eq!(mean.item::<f32>()?, 2.0f32.ln());
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    #[derive(Copy, rushlight_macros::Structure)]
    pub struct SparseCategoricalCrossentropy as "SparseCategoricalCrossentropy" {
        from_logits: bool = false,
        ignore_class: Option<isize> = None,
    }
}

configured! {
    /// Cross-entropy for classes given as distributions (one-hot rows): `-Σ target · ln p`.
    ///
    /// # Shapes
    /// targets and predictions `[batch, …, classes] → [batch, …]`
    #[derive(Copy, rushlight_macros::Structure)]
    pub struct CategoricalCrossentropy as "CategoricalCrossentropy" {
        from_logits: bool = false,
        label_smoothing: f64 = 0.0,
        axis: isize = -1,
    }
}

configured! {
    /// Cross-entropy of independent yes-or-no answers, `-(t · ln p + (1 - t) · ln(1 - p))`, averaged over the last
    /// axis.
    ///
    /// # Shapes
    /// targets and predictions `[batch, …, n] → [batch, …]`
    #[derive(Copy, rushlight_macros::Structure)]
    pub struct BinaryCrossentropy as "BinaryCrossentropy" {
        from_logits: bool = false,
        label_smoothing: f64 = 0.0,
        axis: isize = -1,
    }
}

configured! {
    /// Cross-entropy in which easy examples count less: `-α · (1 - p)^γ · Σ target · ln p`.
    ///
    /// # Shapes
    /// targets (one-hot) and predictions `[batch, …, classes] → [batch, …]`
    ///
    /// Source: Lin et al., "Focal Loss for Dense Object Detection", 2017.
    #[derive(Copy, rushlight_macros::Structure)]
    pub struct CategoricalFocalCrossentropy as "CategoricalFocalCrossentropy" {
        from_logits: bool = false,
        label_smoothing: f64 = 0.0,
        axis: isize = -1,
        alpha: f64 = 0.25,
        gamma: f64 = 2.0,
    }
}

configured! {
    /// Binary cross-entropy in which easy examples count less: times `(1 - p)^γ`, with `p` the probability of the
    /// right answer.
    ///
    /// # Shapes
    /// targets and predictions `[batch, …, n] → [batch, …]`
    ///
    /// Source: Lin et al., "Focal Loss for Dense Object Detection", 2017.
    #[derive(Copy, rushlight_macros::Structure)]
    pub struct BinaryFocalCrossentropy as "BinaryFocalCrossentropy" {
        from_logits: bool = false,
        label_smoothing: f64 = 0.0,
        axis: isize = -1,
        apply_class_balancing: bool = false,
        alpha: f64 = 0.25,
        gamma: f64 = 2.0,
    }
}

configured! {
    /// `(1 - p[target]^q) / q`: between cross-entropy (`q` near 0) and mean absolute error (`q` = 1), for labels with
    /// errors in them.
    ///
    /// # Shapes
    /// targets `[batch, …]` (class numbers), predictions `[batch, …, classes]` (probabilities) `→ [batch, …]`
    ///
    /// Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    /// Labels", 2018.
    #[derive(Copy, rushlight_macros::Structure)]
    pub struct CategoricalGeneralizedCrossEntropy as "CategoricalGeneralizedCrossEntropy" { q: f64 = 0.5 }
}

macro_rules! from_logits {
    ($($name:ident),*) => {$(
        impl $name {
            /// For models that end in probabilities.
            pub fn new() -> $name {
                $name::default()
            }

            /// For models that end in scores, which are made probabilities here: more exact, and faster.
            pub fn from_logits() -> $name {
                $name { from_logits: true, ..$name::default() }
            }
        }
    )*};
}

macro_rules! label_smoothing {
    ($($name:ident),*) => {$(
        impl $name {
            /// Mixes the targets with this part of the uniform distribution.
            pub fn label_smoothing(self, part: f64) -> $name {
                $name { label_smoothing: part, ..self }
            }

            /// The axis of the classes, the last one unless said otherwise.
            pub fn axis(self, axis: isize) -> $name {
                $name { axis, ..self }
            }
        }
    )*};
}

macro_rules! gamma {
    ($($name:ident),*) => {$(
        impl $name {
            /// How much less easy examples count; 2 by default, and 0 for not at all.
            pub fn gamma(self, gamma: f64) -> $name {
                $name { gamma, ..self }
            }

            /// The weight of the positive class; 0.25 by default.
            pub fn alpha(self, alpha: f64) -> $name {
                $name { alpha, ..self }
            }
        }
    )*};
}

from_logits!(
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
    BinaryCrossentropy,
    CategoricalFocalCrossentropy,
    BinaryFocalCrossentropy
);
label_smoothing!(
    CategoricalCrossentropy,
    BinaryCrossentropy,
    CategoricalFocalCrossentropy,
    BinaryFocalCrossentropy
);
gamma!(CategoricalFocalCrossentropy, BinaryFocalCrossentropy);

impl SparseCategoricalCrossentropy {
    /// Targets of this class do not count: pixels without a label, say.
    pub fn ignore_class(self, class: i32) -> SparseCategoricalCrossentropy {
        SparseCategoricalCrossentropy { ignore_class: Some(class as isize), ..self }
    }
}

impl BinaryFocalCrossentropy {
    /// Whether positive answers count times `α`, negative ones times `1 - α`.
    pub fn apply_class_balancing(self, apply: bool) -> BinaryFocalCrossentropy {
        BinaryFocalCrossentropy { apply_class_balancing: apply, ..self }
    }
}

impl CategoricalGeneralizedCrossEntropy {
    /// With `q` between 0 and 1.
    pub fn new(q: f64) -> CategoricalGeneralizedCrossEntropy {
        CategoricalGeneralizedCrossEntropy { q }
    }
}

#[track_caller]
fn clipped(probabilities: &Tensor) -> Tensor {
    probabilities.clip(EPSILON, 1.0 - EPSILON)
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
        let mut numbers = class_numbers(targets, predictions);
        let mut predictions = wide(predictions);
        let counts = self.mask(targets, &predictions);
        if let Some(counts) = &counts {
            numbers = where_(counts, &numbers, &numbers.zeros_like());
            predictions = where_(&counts.expand_dims(-1), &predictions, &predictions.zeros_like());
        }
        let logits = if self.from_logits { predictions } else { clipped(&predictions).log() };
        let values = sparse_categorical_crossentropy(&numbers, &logits);
        match counts {
            Some(counts) => where_(&counts, &values, &values.zeros_like()),
            None => values,
        }
    }

    #[track_caller]
    fn mask(&self, targets: &Tensor, predictions: &Tensor) -> Option<Tensor> {
        let ignored = self.ignore_class? as i64;
        Some(class_numbers(targets, predictions).cast(DType::I64).not_equal(ignored))
    }

    fn target_spec(&self, predictions: &Spec) -> Spec {
        let outer = predictions.rank().saturating_sub(1);
        Spec::new(&predictions.dims[..outer], DType::I32)
    }

    fn config(&self) -> Option<Config> {
        Some(described(self))
    }
}

impl Loss for CategoricalGeneralizedCrossEntropy {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        let (Ok(spec), numbers) = (predictions.spec(), class_numbers(targets, predictions)) else {
            return predictions.clone();
        };
        let classes = spec.dims.last().copied().unwrap_or(1);
        let predictions = wide(predictions);
        let chosen = numbers.one_hot(classes, predictions.dtype().unwrap_or(DType::F32));
        (1.0 - (predictions * chosen).sum(-1).pow(self.q)) / self.q
    }

    fn target_spec(&self, predictions: &Spec) -> Spec {
        SparseCategoricalCrossentropy::default().target_spec(predictions)
    }

    fn config(&self) -> Option<Config> {
        Some(described(self))
    }
}

/// Targets mixed with a part of the uniform distribution over their classes.
#[track_caller]
fn smoothed(targets: Tensor, part: f64, classes: usize) -> Tensor {
    if part == 0.0 { targets } else { targets * (1.0 - part) + part / classes as f64 }
}

fn classes_of(tensor: &Tensor) -> usize {
    tensor.shape().ok().and_then(|dims| dims.last().copied()).unwrap_or(1)
}

/// Probabilities that add up to one along an axis, kept off zero and one.
#[track_caller]
fn distribution(predictions: &Tensor, from_logits: bool, axis: isize) -> Tensor {
    let p = if from_logits { predictions.softmax(axis) } else { predictions.clone() };
    clipped(&(&p / p.sum_keepdims(axis)))
}

losses! {
    CategoricalCrossentropy |loss, t, p| {
        let t = smoothed(t, loss.label_smoothing, classes_of(&p));
        match loss.from_logits {
            true if loss.axis == -1 => categorical_crossentropy(&t, &p),
            true => -(t * p.log_softmax(loss.axis)).sum(loss.axis),
            false => -(t * distribution(&p, false, loss.axis).log()).sum(loss.axis),
        }
    };
    CategoricalFocalCrossentropy |loss, t, p| {
        let t = smoothed(t, loss.label_smoothing, classes_of(&p));
        let p = distribution(&p, loss.from_logits, loss.axis);
        -(t * p.log() * (1.0 - &p).pow(loss.gamma) * loss.alpha).sum(loss.axis)
    };
    BinaryCrossentropy |loss, t, p| {
        let t = smoothed(t, loss.label_smoothing, 2);
        match loss.from_logits {
            true => binary_crossentropy(&t, &p).mean(loss.axis),
            false => binary_of(&t, &p).mean(loss.axis),
        }
    };
    BinaryFocalCrossentropy |loss, t, p| {
        let t = smoothed(t, loss.label_smoothing, 2);
        let p = if loss.from_logits { p.sigmoid() } else { p };
        let right = &t * &p + (1.0 - &t) * (1.0 - &p);
        let mut values = (1.0 - right).pow(loss.gamma) * binary_of(&t, &p);
        if loss.apply_class_balancing {
            values = values * (&t * loss.alpha + (1.0 - &t) * (1.0 - loss.alpha));
        }
        values.mean(loss.axis)
    };
}

#[track_caller]
fn binary_of(targets: &Tensor, probabilities: &Tensor) -> Tensor {
    let p = clipped(probabilities);
    -(targets * p.log() + (1.0 - targets) * (1.0 - &p).log())
}
