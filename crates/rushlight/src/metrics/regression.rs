//! Metrics of numbers that are no means of a loss.

use crate::config::{Config, Configured, configured};
use crate::layers::snake_case;
use crate::losses::{self, aligned, spread};
use crate::metrics::accuracy::measures;
use crate::metrics::{Mean, Measure, Metric, clear, zeros};
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, Variable, where_};
use std::sync::OnceLock;

/// `√(mean((target - prediction)²))`.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct RootMeanSquaredError {
    mean: Mean,
}

impl RootMeanSquaredError {
    pub fn new() -> RootMeanSquaredError {
        RootMeanSquaredError { mean: Mean::new() }
    }
}

impl Default for RootMeanSquaredError {
    fn default() -> RootMeanSquaredError {
        RootMeanSquaredError::new()
    }
}

impl Metric for RootMeanSquaredError {
    fn name(&self) -> &str {
        "root_mean_squared_error"
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        match aligned(self.name(), targets, predictions) {
            Ok((targets, predictions)) => self.mean.add_weighted(&(targets - predictions).square(), weights),
            Err(carried) => carried.check().map(|_| ()),
        }
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        self.mean.result().sqrt()
    }

    fn reset(&self) -> Result<()> {
        self.mean.reset()
    }

    fn config(&self) -> Option<Config> {
        Some(Config::new("RootMeanSquaredError").with("name", self.name()))
    }
}

configured! {
    /// The cosine of the angle between targets and predictions, for [`MeanOf`](crate::metrics::MeanOf): the metric,
    /// which unlike the loss is 1 where both point the same way.
    pub struct CosineSimilarityOf as "CosineSimilarity" { axis: isize = -1 }
}

measures! {
    CosineSimilarityOf |own, t, p| -losses::Loss::values(&losses::CosineSimilarity::new(own.axis), t, p);
}

/// The coefficient of determination, `1 - Σ(target - prediction)² / Σ(target - mean)²`, averaged over outputs.
///
/// # Shapes
/// targets and predictions `[batch, n]`; the result is a scalar
#[derive(Debug)]
pub struct R2Score {
    weighted_by_variance: bool,
    num_regressors: usize,
    /// Σ target, Σ target², Σ error², weight, of each output; then the number of samples.
    sums: OnceLock<[Variable; 4]>,
    samples: Variable,
}

impl R2Score {
    /// Outputs count alike.
    pub fn new() -> R2Score {
        R2Score {
            weighted_by_variance: false,
            num_regressors: 0,
            sums: OnceLock::new(),
            samples: zeros("num_samples", &[]),
        }
    }

    /// Outputs count as much as their targets vary.
    pub fn variance_weighted(self) -> R2Score {
        R2Score { weighted_by_variance: true, ..self }
    }

    /// The score is adjusted for this number of independent variables.
    pub fn num_regressors(self, count: usize) -> R2Score {
        R2Score { num_regressors: count, ..self }
    }

    pub(crate) fn from_config(config: &Config) -> Result<R2Score> {
        let weighted_by_variance = match config.text("class_aggregation", "uniform_average")?.as_str() {
            "uniform_average" => false,
            "variance_weighted_average" => true,
            other => {
                let rule = format!("an R2Score has no class aggregation `{other}`");
                return Err(Error::outside(ErrorKind::Value, "metrics", rule));
            }
        };
        let num_regressors = config.optional_count("num_regressors")?.unwrap_or(0);
        Ok(R2Score { weighted_by_variance, num_regressors, ..R2Score::new() })
    }
}

impl Default for R2Score {
    fn default() -> R2Score {
        R2Score::new()
    }
}

impl Metric for R2Score {
    fn name(&self) -> &str {
        "r2_score"
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        let (targets, predictions) = match aligned(self.name(), targets, predictions) {
            Ok((targets, predictions)) => (targets.cast(DType::F64), predictions.cast(DType::F64)),
            Err(carried) => return carried.check().map(|_| ()),
        };
        let spec = targets.spec()?.clone();
        let &[rows, outputs] = spec.dims.as_slice() else {
            let rule = "targets and predictions must be [batch, n]";
            return Err(Error::with_inputs(ErrorKind::Shape, self.name(), rule, vec![spec]));
        };
        let weights = match weights {
            Some(weights) => spread(&weights.cast(DType::F64), &spec).broadcast_to(&spec.dims),
            None => targets.ones_like(),
        };
        let sums = self
            .sums
            .get_or_init(|| ["sum", "squared_sum", "residual", "count"].map(|name| zeros(name, &[outputs])));
        let weighted = &targets * &weights;
        let new = [
            weighted.sum(0),
            (&weighted * &targets).sum(0),
            ((&targets - predictions).square() * &weights).sum(0),
            weights.sum(0),
        ];
        sums.iter().zip(&new).try_for_each(|(sum, new)| sum.assign_add(new))?;
        self.samples.assign_add(&Tensor::scalar((rows * outputs) as f64))
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        let Some(sums) = self.sums.get() else { return Tensor::scalar(0f64) };
        let [sum, squares, residual, count] = sums.each_ref().map(Variable::read);
        let total = squares - sum.square() / count;
        let scores = 1.0 - residual / &total;
        let scores = where_(&scores.is_inf(), &scores.zeros_like(), &scores);
        let score = if self.weighted_by_variance {
            (scores * &total).sum(..) / total.sum(..)
        } else {
            scores.mean(..)
        };
        if self.num_regressors == 0 {
            return score;
        }
        let free = self.samples.read() - (self.num_regressors as f64 + 1.0);
        1.0 - (1.0 - score) * (self.samples.read() - 1.0) / free
    }

    fn reset(&self) -> Result<()> {
        self.sums.get().map_or(Ok(()), clear)?;
        clear([&self.samples])
    }

    fn config(&self) -> Option<Config> {
        let aggregation =
            if self.weighted_by_variance { "variance_weighted_average" } else { "uniform_average" };
        let config = Config::new("R2Score").with("name", self.name());
        Some(config.with("class_aggregation", aggregation).with("num_regressors", self.num_regressors))
    }
}
