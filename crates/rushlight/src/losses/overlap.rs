//! Losses between regions, and between embeddings.

use crate::config::{Config, configured};
use crate::losses::{EPSILON, Loss, described, losses};
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, where_};

configured! {
    /// `1 - 2·Σ t·p / (Σ t + Σ p)` over an axis, or over everything: one minus the Dice coefficient.
    ///
    /// # Shapes
    /// targets and predictions alike, `→ []`, or without the axis
    #[derive(rushlight_macros::Structure)]
    pub struct Dice as "Dice" { axis: Option<isize> = None }
}

configured! {
    /// `1 - Σ t·p / (Σ t·p + α·Σ t·(1 - p) + β·Σ (1 - t)·p)` over an axis, or over everything.
    ///
    /// Source: Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep
    /// networks", 2017.
    #[derive(rushlight_macros::Structure)]
    pub struct Tversky as "Tversky" { alpha: f64 = 0.5, beta: f64 = 0.5, axis: Option<isize> = None }
}

configured! {
    /// Circle loss between all pairs of a batch: embeddings of one class come together, others part.
    ///
    /// # Shapes
    /// targets `[batch]` (class numbers), predictions `[batch, n]` (embeddings of length 1) `→ [batch]`
    ///
    /// Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", 2020.
    #[derive(rushlight_macros::Structure)]
    pub struct Circle as "Circle" { gamma: f64 = 80.0, margin: f64 = 0.4, remove_diagonal: bool = true }
}

impl Dice {
    /// Over everything.
    pub fn new() -> Dice {
        Dice::default()
    }

    /// Over one axis, for each of the others by itself.
    pub fn axis(self, axis: isize) -> Dice {
        Dice { axis: Some(axis) }
    }
}

impl Tversky {
    /// Over everything; `α` counts what was missed, `β` what was found wrongly. With 0.5 each it is [`Dice`].
    pub fn new(alpha: f64, beta: f64) -> Tversky {
        Tversky { alpha, beta, axis: None }
    }

    /// Over one axis, for each of the others by itself.
    pub fn axis(self, axis: isize) -> Tversky {
        Tversky { axis: Some(axis), ..self }
    }
}

impl Circle {
    /// With scale `γ` and margin `m`; Keras's are 80 and 0.4.
    pub fn new(gamma: f64, margin: f64) -> Circle {
        Circle { gamma, margin, remove_diagonal: true }
    }
}

/// The sum over an axis, or over everything.
#[track_caller]
fn total(x: Tensor, axis: Option<isize>) -> Tensor {
    axis.map_or_else(|| x.sum(..), |axis| x.sum(axis))
}

losses! {
    Dice |loss, t, p| {
        let total = |x: Tensor| total(x, loss.axis);
        1.0 - total(&t * &p) * 2.0 / (total(t) + total(p) + EPSILON)
    };
    Tversky |loss, t, p| {
        let total = |x: Tensor| total(x, loss.axis);
        let both = total(&t * &p);
        let (missed, wrong) = (total((1.0 - &p) * &t), total(&p * (1.0 - &t)));
        1.0 - &both / (&both + missed * loss.alpha + wrong * loss.beta + EPSILON)
    };
}

impl Circle {
    /// Which pairs are of one class, and which are not.
    fn pairs(&self, targets: &Tensor) -> Result<(Tensor, Tensor)> {
        let labels = targets.cast(DType::I32).reshape([-1, 1]);
        let count = labels.shape()?[0];
        let same = labels.equal(labels.t());
        let other = same.logical_not();
        let not_itself = Tensor::eye(count, DType::F32).equal(0.0);
        Ok((if self.remove_diagonal { same.logical_and(&not_itself) } else { same }, other))
    }
}

impl Loss for Circle {
    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        let (Ok(2), Ok(1)) = (predictions.rank(), targets.rank()) else {
            let got =
                [targets, predictions].iter().filter_map(|tensor| tensor.spec().ok().cloned()).collect();
            let rule = "the targets must be [batch] and the predictions (second) [batch, n]";
            return match targets.error().or(predictions.error()) {
                Some(error) => Tensor::carry(error.clone()),
                None => Tensor::carry(Error::with_inputs(ErrorKind::Shape, "circle", rule, got)),
            };
        };
        let (same, other) = match self.pairs(targets) {
            Ok(pairs) => pairs,
            Err(error) => return Tensor::carry(error),
        };
        let margin = self.margin;
        let distance = (1.0 - predictions.matmul(&predictions.t())).maximum(0.0);
        let of = |pairs: &Tensor, weight: Tensor, away: Tensor, sign: f64| {
            let weight = where_(pairs, &weight.maximum(0.0), &weight.zeros_like());
            let scores = weight * away * (sign * self.gamma);
            where_(pairs, &scores, &(scores.zeros_like() - f64::INFINITY)).logsumexp(1)
        };
        let near = of(&same, &distance + margin, margin - &distance, -1.0);
        let far = of(&other, 1.0 + margin - &distance, 1.0 - margin - &distance, 1.0);
        (near + far).softplus()
    }

    fn mask(&self, targets: &Tensor, predictions: &Tensor) -> Option<Tensor> {
        Some(self.values(targets, predictions).greater(0.0))
    }

    fn config(&self) -> Option<Config> {
        Some(described(self))
    }
}
