//! Losses with a margin.

use crate::config::configured;
use crate::losses::losses;
use rushlight_core::{Tensor, where_};

configured! {
    /// `mean(max(1 - target · prediction, 0))` over the last axis, for targets -1 and 1 (or 0 and 1).
    ///
    /// # Shapes
    /// targets and predictions `[batch, …, n] → [batch, …]`
    #[derive(rushlight_macros::Structure)]
    pub struct Hinge as "Hinge";
}

configured! {
    /// `mean(max(1 - target · prediction, 0)²)` over the last axis, for targets -1 and 1 (or 0 and 1).
    #[derive(rushlight_macros::Structure)]
    pub struct SquaredHinge as "SquaredHinge";
}

configured! {
    /// `max(1 + max((1 - target) · prediction) - Σ target · prediction, 0)` over the last axis, for one-hot targets.
    #[derive(rushlight_macros::Structure)]
    pub struct CategoricalHinge as "CategoricalHinge";
}

/// Targets 0 and 1 as -1 and 1; others, which are so already, stay.
#[track_caller]
fn signed(targets: &Tensor) -> Tensor {
    let binary = targets.equal(0.0).logical_or(targets.equal(1.0)).all(..);
    where_(&binary, &(targets * 2.0 - 1.0), targets)
}

#[track_caller]
fn margins(targets: &Tensor, predictions: &Tensor) -> Tensor {
    (1.0 - signed(targets) * predictions).maximum(0.0)
}

losses! {
    Hinge |_, t, p| margins(&t, &p).mean(-1);
    SquaredHinge |_, t, p| margins(&t, &p).square().mean(-1);
    CategoricalHinge |_, t, p| {
        let (right, wrong) = ((&t * &p).sum(-1), ((1.0 - &t) * &p).max(-1));
        (wrong - right + 1.0).maximum(0.0)
    };
}
