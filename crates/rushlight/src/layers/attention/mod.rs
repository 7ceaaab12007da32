//! Attention.

mod dot;
mod grouped;
mod multi_head;

pub use dot::{AdditiveAttention, Attention, ScoreMode};
pub use grouped::GroupQueryAttention;
pub use multi_head::MultiHeadAttention;

use crate::layers::dropout::{Noise, drop_out};
use crate::layers::is_training;
use crate::layers::masks::mask_of;
use rushlight_core::{DType, Result, Tensor, where_};

/// What a score is lowered by where a place does not count.
const FAR_BELOW: f64 = 1e9;

/// True where a query may look: at its own place and those before. `bool [1, queries, keys]`
#[track_caller]
fn causal_mask(queries: usize, keys: usize) -> Tensor {
    Tensor::ones([1, queries, keys], DType::Bool).cast(DType::U8).tril(0).cast(DType::Bool)
}

/// Where queries `[batch, queries, …]` may look among keys, by the masks of the inputs, a mask given as such, the
/// order of places and a window around each; nothing if they may look everywhere. `bool [batch, queries, keys]`
#[track_caller]
fn attention_mask(
    inputs: &[&Tensor],
    given: Option<&Tensor>,
    causal: bool,
    window: Option<usize>,
) -> Result<Option<Tensor>> {
    let sizes = (inputs[0].shape()?[1], inputs[1].shape()?[1]);
    let mut masks: Vec<Tensor> = given.map(|mask| mask.cast(DType::Bool)).into_iter().collect();
    masks.extend(mask_of(inputs[0]).map(|mask| mask.expand_dims(-1)));
    for input in &inputs[1..] {
        masks.extend(mask_of(input).map(|mask| mask.expand_dims(-2)));
    }
    if causal {
        masks.push(causal_mask(sizes.0, sizes.1));
    }
    if let Some(window) = window {
        let row = Tensor::iota([1, sizes.0, 1], 1, DType::I64);
        let column = Tensor::iota([1, 1, sizes.1], 2, DType::I64);
        masks.push((row - column).abs().less(window as i64));
    }
    Ok(masks.into_iter().reduce(|a, b| a.logical_and(&b)))
}

/// The mask with axes of size 1 in front of its last `2 · axes`, as many as the scores have more.
#[track_caller]
fn expanded(mask: &Tensor, scores: &Tensor, axes: usize) -> Tensor {
    let missing = scores.rank().unwrap_or(0).saturating_sub(mask.rank().unwrap_or(0));
    let place = -(2 * axes as isize) - 1;
    (0..missing).fold(mask.clone(), |mask, _| mask.expand_dims(place))
}

/// Softmax over the last axes, of which places that do not count get nothing; `absolute` says whether rows in which
/// nothing counts are zero, and not the same everywhere.
#[track_caller]
fn masked_softmax(scores: &Tensor, mask: Option<&Tensor>, axes: usize, absolute: bool) -> Tensor {
    let over: Vec<isize> = (1..=axes as isize).map(|axis| -axis).collect();
    let softmax = |scores: &Tensor| match over.as_slice() {
        [axis] => scores.softmax(*axis),
        axes => (scores - scores.logsumexp_keepdims(axes)).exp(),
    };
    let Some(mask) = mask else { return softmax(scores) };
    let mask = expanded(mask, scores, axes);
    let zeros = scores.check().map_or_else(Tensor::carry, Tensor::zeros_like);
    let weights = softmax(&where_(&mask, scores, &(&zeros - FAR_BELOW)));
    if absolute { where_(&mask, &weights, &zeros) } else { weights }
}

/// Dropout of weights while training.
#[track_caller]
fn dropped_weights(weights: Tensor, rate: f64, noise: &Noise) -> Tensor {
    match weights.shape() {
        Ok(dims) if is_training() && rate > 0.0 => drop_out(&weights, rate, dims, noise.generator()),
        _ => weights,
    }
}
