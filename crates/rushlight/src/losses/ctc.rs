//! Connectionist temporal classification.

use crate::config::{Config, configured};
use crate::losses::{Loss, described, wide};
use rushlight_core::{DType, Error, ErrorKind, Spec, Tensor, concat, stack, where_};

configured! {
    /// Connectionist temporal classification: `-ln p(labels)`, over all ways to stretch the labels, with blanks between
    /// them, to the length of the sequence. Class 0 is the blank, and fills up shorter rows of labels.
    ///
    /// # Shapes
    /// targets `[batch, labels]` (class numbers), predictions `[batch, steps, classes]` (logits) `→ [batch]`
    ///
    /// Source: Graves et al., "Connectionist Temporal Classification", 2006.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// // One step, three classes alike: the only way to say "2" has a probability of 1/3.
    /// let loss = Ctc.mean(&Tensor::from([[2]]), &Tensor::zeros([1, 1, 3], DType::F32));
    /// assert!((loss.item::<f32>()? - 3.0f32.ln()).abs() < 1e-6);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    #[derive(rushlight_macros::Structure)]
    pub struct Ctc as "CTC";
}

/// The logarithm of what cannot be: far below all others, but finite, so that gradients are.
const NEVER: f64 = -1e30;

impl Loss for Ctc {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        let predictions = wide(predictions);
        let (label, logit) = match (targets.spec(), predictions.spec()) {
            (Ok(label), Ok(logit)) => (label.clone(), logit.clone()),
            (Err(error), _) | (_, Err(error)) => return Tensor::carry(error),
        };
        match (label.dims.as_slice(), logit.dims.as_slice()) {
            (&[rows, length], &[batch, steps, _]) if rows == batch && steps > 0 && length > 0 => {
                path_loss(&targets.cast(DType::I32), &predictions.log_softmax(-1), steps, length)
            }
            _ => {
                let rule = "the targets must be [batch, labels] and the predictions (second) [batch, steps, classes]";
                Tensor::carry(Error::with_inputs(ErrorKind::Shape, "ctc", rule, vec![label, logit]))
            }
        }
    }

    fn target_spec(&self, predictions: &Spec) -> Spec {
        Spec::new(&predictions.dims[..2.min(predictions.rank())], DType::I32)
    }

    fn config(&self) -> Option<Config> {
        Some(described(self))
    }
}

/// The forward recursion: `alpha` holds, for each place in blank-label-blank-…-blank, the logarithm of the
/// probability of all ways that have come there so far.
#[track_caller]
fn path_loss(labels: &Tensor, log_probabilities: &Tensor, steps: usize, length: usize) -> Tensor {
    let (Ok(&[batch, _]), Ok(dtype)) = (labels.shape(), log_probabilities.dtype()) else {
        return log_probabilities.clone();
    };
    let places = 2 * length + 1;
    let blank = Tensor::zeros([batch, 1], DType::I32);
    let pairs = stack(&[labels, &labels.zeros_like()], -1).reshape_to(&[batch, places - 1]);
    let path = concat(&[&blank, &pairs], 1);
    let never = |width: usize| Tensor::full([batch, width], NEVER, dtype);
    // A blank may be skipped between two different labels.
    let before = concat(&[&Tensor::zeros([batch, 2], DType::I32), &path.slice_axis(1, 0, places - 2)], 1);
    let may_skip = path.not_equal(0).logical_and(path.not_equal(&before));
    let indices = path.expand_dims(1).broadcast_to(&[batch, steps, places]);
    let emitted = log_probabilities.take_along_axis(&indices, 2);
    let at = |step: usize| emitted.slice_axis(1, step, step + 1).squeeze(1);
    let mut alpha = concat(&[&at(0).slice_axis(1, 0, 2), &never(places - 2)], 1);
    for step in 1..steps {
        let one = concat(&[&never(1), &alpha.slice_axis(1, 0, places - 1)], 1);
        let two = concat(&[&never(2), &alpha.slice_axis(1, 0, places - 2)], 1);
        let two = where_(&may_skip, &two, &never(places));
        alpha = stack(&[&alpha, &one, &two], 0).logsumexp(0) + at(step);
    }
    // The last label, or the blank behind it.
    let count = labels.not_equal(0).cast(DType::I32).sum_keepdims(1);
    let last = alpha.take_along_axis(&(&count * 2), 1);
    let label = alpha.take_along_axis(&(&count * 2 - 1).maximum(0), 1);
    let label = where_(&count.greater(0), &label, &never(1));
    -concat(&[&last, &label], 1).logsumexp(1)
}
