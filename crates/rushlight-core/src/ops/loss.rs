//! Cross-entropies, computed from logits: never from probabilities whose logarithm could be lost.

use crate::ops::require_floats;
use crate::tensor::{DType, Fault, Tensor};
use crate::trace::apply::fail;

/// `ln Σⱼ exp(logitsⱼ) - logits_label` over the last axis: the cross-entropy of each example, for class numbers.
///
/// # Shapes
/// labels `[…]` (integers), logits `[…, classes] → […]`; take `.mean(..)` for the loss of a batch. A label that is
/// no class makes the example's loss that of probability one: `ln Σⱼ exp(logitsⱼ)`.
///
/// ```
/// use rushlight_core::{Tensor, sparse_categorical_crossentropy};
/// let loss = sparse_categorical_crossentropy(&Tensor::from([0]), &Tensor::from([[0.0f32, 0.0]]));
/// assert_eq!(loss.to_vec::<f32>()?, [2.0f32.ln()]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn sparse_categorical_crossentropy(labels: &Tensor, logits: &Tensor) -> Tensor {
    const NAME: &str = "sparse_categorical_crossentropy";
    let (Some(label_spec), Some(spec)) = (labels.known_spec(), logits.known_spec()) else {
        return if labels.error().is_some() { labels.clone() } else { logits.clone() };
    };
    if !label_spec.dtype.is_integer() || !spec.dtype.is_float() {
        let rule = "the labels must be of an integer dtype and the logits (second) of a floating-point one";
        return fail(NAME, Fault::dtype(rule), &[labels, logits]);
    }
    let classes = match spec.dims.split_last() {
        Some((&classes, outer)) if classes > 0 && outer == label_spec.dims.as_slice() => classes,
        _ => {
            let rule = "the logits (second) must have the shape of the labels and one more axis, the classes";
            return fail(NAME, Fault::shape(rule), &[labels, logits]);
        }
    };
    let chosen = labels.one_hot(classes, DType::Bool);
    let scores = logits.log_softmax(-1);
    // Selected, not multiplied: a class of probability zero has a score of -∞.
    -crate::where_(&chosen, &scores, &scores.zeros_like()).sum(-1)
}

/// `-Σⱼ targetsⱼ · log_softmax(logits)ⱼ` over the last axis: the cross-entropy of each example, for distributions
/// over the classes (one-hot vectors, or softer ones).
///
/// # Shapes
/// targets and logits `[…, classes] → […]`; take `.mean(..)` for the loss of a batch.
#[track_caller]
pub fn categorical_crossentropy(targets: &Tensor, logits: &Tensor) -> Tensor {
    const NAME: &str = "categorical_crossentropy";
    if let Err(carried) =
        check_same("the logits (second) must have the shape of the targets", NAME, targets, logits)
    {
        return carried;
    }
    if logits.known_spec().is_none_or(|spec| spec.dims.last().is_none_or(|&classes| classes == 0)) {
        return fail(
            NAME,
            Fault::shape("there must be a last axis with one class at least"),
            &[targets, logits],
        );
    }
    -(targets * logits.log_softmax(-1)).sum(-1)
}

/// `-(t · ln σ(x) + (1 - t) · ln(1 - σ(x)))` for each element, with targets `t` in [0, 1] and logits `x`, computed
/// as `max(x, 0) - x·t + ln(1 + e^-|x|)`.
///
/// # Shapes
/// targets and logits `[…] → […]`; take `.mean(..)` for the loss of a batch.
#[track_caller]
pub fn binary_crossentropy(targets: &Tensor, logits: &Tensor) -> Tensor {
    const NAME: &str = "binary_crossentropy";
    match check_same("the logits (second) must have the shape of the targets", NAME, targets, logits) {
        Ok(()) => logits.softplus() - logits * targets,
        Err(carried) => carried,
    }
}

#[track_caller]
fn check_same(rule: &str, name: &str, targets: &Tensor, logits: &Tensor) -> Result<(), Tensor> {
    require_floats(name, &[targets, logits])?;
    match targets.known_spec().map(|spec| &spec.dims) == logits.known_spec().map(|spec| &spec.dims) {
        true => Ok(()),
        false => Err(fail(name, Fault::shape(rule), &[targets, logits])),
    }
}
