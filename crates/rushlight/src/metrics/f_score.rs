//! F-scores.

use crate::config::{Argument, Config};
use crate::losses::{EPSILON, aligned, spread};
use crate::metrics::{Metric, clear, delegate, zeros};
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, Variable};
use std::sync::OnceLock;

/// How the scores of several classes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, rushlight_macros::Structure)]
pub enum Average {
    /// They stay as they are: there is a result for each class.
    #[default]
    None,
    /// All classes are counted together.
    Micro,
    /// Their mean.
    Macro,
    /// Their mean, weighted by how often each class occurs.
    Weighted,
}

/// `(1 + β²) · precision · recall / (β² · precision + recall)`, where the largest prediction of an example is a yes, or
/// each one above a threshold.
///
/// # Shapes
/// targets (one-hot) and predictions `[batch, classes]`; the result is `[classes]`, or `[]` if averaged
#[derive(Debug)]
pub struct FBetaScore {
    beta: f64,
    average: Average,
    threshold: Option<f64>,
    /// True positives, false positives, false negatives, and how often each class occurs.
    counts: OnceLock<[Variable; 4]>,
}

/// The harmonic mean of precision and recall: [`FBetaScore`] with `β` 1.
#[derive(Debug)]
pub struct F1Score {
    score: FBetaScore,
}

impl FBetaScore {
    /// Recall counts `β` times as much as precision.
    pub fn new(beta: f64) -> FBetaScore {
        FBetaScore { beta, average: Average::None, threshold: None, counts: OnceLock::new() }
    }

    /// How classes are averaged.
    pub fn average(self, average: Average) -> FBetaScore {
        FBetaScore { average, ..self }
    }

    /// Predictions above this are a yes.
    pub fn threshold(self, threshold: f64) -> FBetaScore {
        FBetaScore { threshold: Some(threshold), ..self }
    }

    pub(crate) fn from_config(config: &Config) -> Result<FBetaScore> {
        let average = match config.text("average", "none")?.as_str() {
            "none" => Average::None,
            "micro" => Average::Micro,
            "macro" => Average::Macro,
            "weighted" => Average::Weighted,
            other => {
                let rule = format!("an F-score has no average `{other}`");
                return Err(Error::outside(ErrorKind::Value, "metrics", rule));
            }
        };
        let threshold = Option::<f64>::read(config, "threshold", None)?;
        Ok(FBetaScore { average, threshold, ..FBetaScore::new(config.float("beta", 1.0)?) })
    }

    fn describe(&self, class: &str) -> Config {
        let average = match self.average {
            Average::None => None,
            Average::Micro => Some("micro"),
            Average::Macro => Some("macro"),
            Average::Weighted => Some("weighted"),
        };
        Config::new(class).with("average", average).with("threshold", self.threshold)
    }
}

impl F1Score {
    /// A score for each class.
    pub fn new() -> F1Score {
        F1Score { score: FBetaScore::new(1.0) }
    }

    /// How classes are averaged.
    pub fn average(self, average: Average) -> F1Score {
        F1Score { score: self.score.average(average) }
    }

    /// Predictions above this are a yes.
    pub fn threshold(self, threshold: f64) -> F1Score {
        F1Score { score: self.score.threshold(threshold) }
    }

    pub(crate) fn from_config(config: &Config) -> Result<F1Score> {
        Ok(F1Score { score: FBetaScore { beta: 1.0, ..FBetaScore::from_config(config)? } })
    }
}

impl Default for F1Score {
    fn default() -> F1Score {
        F1Score::new()
    }
}

impl Metric for FBetaScore {
    fn name(&self) -> &str {
        "fbeta_score"
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        let (targets, predictions) = match aligned("f_score", targets, predictions) {
            Ok(both) => both,
            Err(carried) => return carried.check().map(|_| ()),
        };
        let spec = predictions.spec()?.clone();
        let &[_, classes] = spec.dims.as_slice() else {
            let rule = "targets and predictions must be [batch, classes]";
            return Err(Error::with_inputs(ErrorKind::Shape, "f_score", rule, vec![spec]));
        };
        let found = match self.threshold {
            Some(threshold) => predictions.greater(threshold),
            None => predictions
                .greater_equal(predictions.max_keepdims(-1))
                .logical_and(predictions.abs().greater(1e-9)),
        };
        let (found, wanted) = (found.cast(DType::F64), targets.cast(DType::F64));
        let weights = weights.map(|weights| spread(&weights.cast(DType::F64), &spec));
        let sum = |x: Tensor| {
            let x = weights.as_ref().map_or_else(|| x.clone(), |weights| &x * weights);
            if self.average == Average::Micro { x.sum(..) } else { x.sum(0) }
        };
        let dims: &[usize] = if self.average == Average::Micro { &[] } else { &[classes] };
        let counts = self.counts.get_or_init(|| {
            ["true_positives", "false_positives", "false_negatives", "intermediate_weights"]
                .map(|name| zeros(name, dims))
        });
        let sums = [
            sum(&found * &wanted),
            sum(&found * (1.0 - &wanted)),
            sum((1.0 - &found) * &wanted),
            sum(wanted.clone()),
        ];
        counts.iter().zip(&sums).try_for_each(|(count, sum)| count.assign_add(sum))
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        let Some(counts) = self.counts.get() else { return Tensor::scalar(0f64) };
        let [right, wrong, missed, occurs] = counts.each_ref().map(Variable::read);
        let precision = &right / (&right + wrong + EPSILON);
        let recall = &right / (&right + missed + EPSILON);
        let square = self.beta * self.beta;
        let scores = &precision * &recall / (&precision * square + &recall + EPSILON) * (1.0 + square);
        match self.average {
            Average::None => scores,
            Average::Weighted => (scores * (&occurs / (occurs.sum(..) + EPSILON))).sum(..),
            _ => scores.mean(..),
        }
    }

    fn reset(&self) -> Result<()> {
        self.counts.get().map_or(Ok(()), clear)
    }

    fn config(&self) -> Option<Config> {
        Some(self.describe("FBetaScore").with("name", self.name()).with("beta", self.beta))
    }
}

impl Metric for F1Score {
    fn name(&self) -> &str {
        "f1_score"
    }

    delegate!(score);

    fn config(&self) -> Option<Config> {
        Some(self.score.describe("F1Score").with("name", self.name()))
    }
}
