//! Losses between numbers, and between distributions.

use crate::config::configured;
use crate::losses::{EPSILON, losses};
use rushlight_core::{Tensor, where_};

configured! {
    /// `mean((target - prediction)²)` over the last axis.
    ///
    /// # Shapes
    /// targets and predictions broadcast to each other: `[batch, …, n] → [batch, …]`
    #[derive(rushlight_macros::Structure)]
    pub struct MeanSquaredError as "MeanSquaredError";
}

configured! {
    /// `mean(|target - prediction|)` over the last axis.
    #[derive(rushlight_macros::Structure)]
    pub struct MeanAbsoluteError as "MeanAbsoluteError";
}

configured! {
    /// `100 · mean(|target - prediction| / |target|)` over the last axis; targets near zero count as 10⁻⁷.
    #[derive(rushlight_macros::Structure)]
    pub struct MeanAbsolutePercentageError as "MeanAbsolutePercentageError";
}

configured! {
    /// `mean((ln(1 + target) - ln(1 + prediction))²)` over the last axis; negative numbers count as 10⁻⁷.
    #[derive(rushlight_macros::Structure)]
    pub struct MeanSquaredLogarithmicError as "MeanSquaredLogarithmicError";
}

configured! {
    /// `-cos(targets, predictions)` along an axis, the last one unless said otherwise: -1 where both point the same
    /// way.
    #[derive(rushlight_macros::Structure)]
    pub struct CosineSimilarity as "CosineSimilarity" { axis: isize = -1 }
}

configured! {
    /// `e²/2` where the error `e` is at most `δ`, `δ·|e| - δ²/2` beyond, averaged over the last axis.
    ///
    /// Source: Huber, "Robust Estimation of a Location Parameter", 1964.
    #[derive(rushlight_macros::Structure)]
    pub struct Huber as "Huber" { delta: f64 = 1.0 }
}

configured! {
    /// `mean(ln(cosh(prediction - target)))` over the last axis.
    #[derive(rushlight_macros::Structure)]
    pub struct LogCosh as "LogCosh";
}

configured! {
    /// `Σ target · ln(target / prediction)` over the last axis: how far one distribution is from another.
    #[derive(rushlight_macros::Structure)]
    pub struct KlDivergence as "KLDivergence";
}

configured! {
    /// `mean(prediction - target · ln(prediction))` over the last axis: for counts.
    #[derive(rushlight_macros::Structure)]
    pub struct Poisson as "Poisson";
}

impl CosineSimilarity {
    /// Along an axis, from the end if negative.
    pub fn new(axis: isize) -> CosineSimilarity {
        CosineSimilarity { axis }
    }
}

impl Huber {
    /// Squared up to `delta`, straight beyond.
    pub fn new(delta: f64) -> Huber {
        Huber { delta }
    }
}

/// At unit length along an axis; zeros stay zeros.
#[track_caller]
fn normalized(x: &Tensor, axis: isize) -> Tensor {
    x * x.square().sum_keepdims(axis).rsqrt().minimum(1.0 / EPSILON)
}

losses! {
    MeanSquaredError |_, t, p| (t - p).square().mean(-1);
    MeanAbsoluteError |_, t, p| (t - p).abs().mean(-1);
    MeanAbsolutePercentageError |_, t, p| ((&t - p) / t.abs().maximum(EPSILON)).abs().mean(-1) * 100.0;
    MeanSquaredLogarithmicError |_, t, p| {
        let log = |x: Tensor| (x.maximum(EPSILON) + 1.0).log();
        (log(p) - log(t)).square().mean(-1)
    };
    CosineSimilarity |loss, t, p| -(normalized(&t, loss.axis) * normalized(&p, loss.axis)).sum(loss.axis);
    Huber |loss, t, p| {
        let (error, delta) = ((p - t).abs(), loss.delta);
        let (inner, outer) = (error.square() * 0.5, &error * delta - 0.5 * delta * delta);
        where_(&error.less_equal(delta), &inner, &outer).mean(-1)
    };
    LogCosh |_, t, p| {
        let error = p - t;
        (&error + (&error * -2.0).softplus() - std::f64::consts::LN_2).mean(-1)
    };
    KlDivergence |_, t, p| {
        let (t, p) = (t.clip(EPSILON, 1.0), p.clip(EPSILON, 1.0));
        (&t * (&t / p).log()).sum(-1)
    };
    Poisson |_, t, p| (&p - t * (&p + EPSILON).log()).mean(-1);
}
