//! Means and sums, and metrics that are means of a value for each example.

use crate::config::Config;
use crate::layers::{mask_of, snake_case};
use crate::losses::{Loss, spread};
use crate::metrics::{Metric, clear, ratio, zeros};
use rushlight_core::{DType, Result, Structure, Tensor, Variable};

/// The mean of all values that it is given.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct Mean {
    total: Variable,
    count: Variable,
}

impl Mean {
    pub fn new() -> Mean {
        Mean { total: zeros("total", &[]), count: zeros("count", &[]) }
    }

    /// Adds the mean of each example (`[batch, …]`), which counts as much as its weight. A scalar is one example.
    ///
    /// # Errors
    /// If the values or weights carry an error, or do not fit together.
    #[track_caller]
    pub fn add_weighted(&self, values: &Tensor, weights: Option<&Tensor>) -> Result<()> {
        let (sum, count) = by_example(values, weights, false)?;
        self.total.assign_add(&sum)?;
        self.count.assign_add(&count)
    }

    /// Adds the mean of each example; all count alike.
    ///
    /// # Errors
    /// If the values carry an error.
    #[track_caller]
    pub fn add(&self, values: &Tensor) -> Result<()> {
        self.add_weighted(values, None)
    }

    /// Adds the mean of some values, as if each of `weight` examples had it.
    ///
    /// # Errors
    /// If the values carry an error.
    #[track_caller]
    pub fn add_mean(&self, values: &Tensor, weight: usize) -> Result<()> {
        let weight = weight as f64;
        self.total.assign_add(&(values.mean(..).cast(DType::F64) * weight))?;
        self.count.assign_add(&Tensor::scalar(weight))
    }

    /// The mean of everything added since the last reset; 0 if there was nothing.
    #[track_caller]
    pub fn result(&self) -> Tensor {
        ratio(&self.total.read(), &self.count.read())
    }

    /// Forgets everything added.
    pub fn reset(&self) -> Result<()> {
        clear([&self.total, &self.count])
    }
}

impl Default for Mean {
    fn default() -> Mean {
        Mean::new()
    }
}

/// The sum over examples of their means (or sums), and the sum of the examples' weights, both in `f64`.
#[track_caller]
fn by_example(values: &Tensor, weights: Option<&Tensor>, sums: bool) -> Result<(Tensor, Tensor)> {
    let mut values = values.clone();
    if values.dtype()? == DType::Bool {
        values = values.cast(DType::F32);
    }
    let spec = values.spec()?.clone();
    let examples = spec.dims.first().copied().unwrap_or(1) as f64;
    // One division for all examples: they have the same number of values.
    let each = if sums { 1.0 } else { (spec.count() as f64 / examples.max(1.0)).max(1.0) };
    let Some(weights) = weights else {
        return Ok((values.sum(..).cast(DType::F64) / each, Tensor::scalar(examples)));
    };
    let weights = weights.cast(spec.dtype);
    let factor = spread(&weights, &spec);
    let total = (&values * &factor).sum(..).cast(DType::F64) / each;
    let wide = factor.shape()?.iter().skip(1).product::<usize>().max(1) as f64;
    let count = factor.sum(..).cast(DType::F64) / wide;
    Ok((total, count.check()?.clone()))
}

/// The sum of all values that it is given.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct Sum {
    total: Variable,
}

impl Sum {
    pub fn new() -> Sum {
        Sum { total: zeros("total", &[]) }
    }

    /// Adds every value, times the weight of its example.
    ///
    /// # Errors
    /// If the values or weights carry an error, or do not fit together.
    #[track_caller]
    pub fn add_weighted(&self, values: &Tensor, weights: Option<&Tensor>) -> Result<()> {
        self.total.assign_add(&by_example(values, weights, true)?.0)
    }

    /// Adds every value.
    ///
    /// # Errors
    /// If the values carry an error.
    #[track_caller]
    pub fn add(&self, values: &Tensor) -> Result<()> {
        self.add_weighted(values, None)
    }

    /// The sum of everything added since the last reset.
    #[track_caller]
    pub fn result(&self) -> Tensor {
        self.total.read()
    }

    /// Forgets everything added.
    pub fn reset(&self) -> Result<()> {
        clear([&self.total])
    }
}

impl Default for Sum {
    fn default() -> Sum {
        Sum::new()
    }
}

/// A value for each example, whose mean is a metric: [`MeanOf`]. Losses are measures, and so are functions.
pub trait Measure: Send + Sync + 'static {
    /// The name of the metric.
    fn name(&self) -> String;

    /// The value of each example: `[batch, …]`, numbers or `bool`.
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor;

    /// Keras's class and arguments, if Keras has it.
    fn config(&self) -> Option<Config> {
        None
    }
}

impl<L: Loss> Measure for L {
    fn name(&self) -> String {
        Loss::config(self).map_or_else(|| "metric".to_string(), |config| snake_case(config.class()))
    }

    #[track_caller]
    fn values(&self, targets: &Tensor, predictions: &Tensor) -> Tensor {
        Loss::values(self, targets, predictions)
    }

    fn config(&self) -> Option<Config> {
        Loss::config(self)
    }
}

/// The mean of a measure over all examples.
#[derive(Clone, Debug)]
pub struct MeanOf<M> {
    pub(crate) measure: M,
    name: String,
    class: Option<&'static str>,
    mean: Mean,
}

impl<M: Measure> MeanOf<M> {
    /// The mean of a loss, or of a function of targets and predictions that gives a value for each example.
    pub fn of(measure: M) -> MeanOf<M> {
        MeanOf { name: measure.name(), measure, class: None, mean: Mean::new() }
    }

    /// Under the names that Keras has for it, where they are not those of the measure.
    pub(crate) fn called(self, class: &'static str, name: &str) -> MeanOf<M> {
        MeanOf { class: Some(class), name: name.to_string(), ..self }
    }

    pub(crate) fn with(self, change: impl FnOnce(&mut M)) -> MeanOf<M> {
        let mut measure = self.measure;
        change(&mut measure);
        MeanOf { measure, ..self }
    }
}

impl<M: Measure + Default> MeanOf<M> {
    pub fn new() -> MeanOf<M> {
        MeanOf::of(M::default())
    }
}

impl<M: Measure + Default> Default for MeanOf<M> {
    fn default() -> MeanOf<M> {
        MeanOf::new()
    }
}

impl<M: Measure> Metric for MeanOf<M> {
    fn name(&self) -> &str {
        &self.name
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        let values = self.measure.values(targets, predictions);
        // What the mask of the predictions leaves out has no weight.
        let Some(mask) = mask_of(predictions) else { return self.mean.add_weighted(&values, weights) };
        let values = if values.dtype()? == DType::Bool { values.cast(DType::F32) } else { values };
        let spec = values.spec()?;
        let mask = spread(&mask.cast(spec.dtype), spec);
        let weights =
            weights.map_or_else(|| mask.clone(), |given| spread(&given.cast(spec.dtype), spec) * &mask);
        self.mean.add_weighted(&values, Some(&weights))
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        self.mean.result()
    }

    fn reset(&self) -> Result<()> {
        self.mean.reset()
    }

    fn config(&self) -> Option<Config> {
        let config = self.measure.config()?;
        let class = self.class.unwrap_or(config.class()).to_string();
        // What Keras's losses take and its metrics of the same name do not.
        let foreign = |key: &str| match config.class() {
            "BinaryCrossentropy" => key == "axis",
            "SparseCategoricalCrossentropy" => key == "ignore_class",
            _ => false,
        };
        let kept = config.values().iter().filter(|(key, _)| *key != "reduction" && !foreign(key));
        let config = kept.fold(Config::new(class), |all, (key, value)| all.with(key, value.clone()));
        Some(config.with("name", self.name.as_str()))
    }
}

/// Metrics as arguments of recorded functions are captured by reference.
impl<M: Measure + Clone> Structure for MeanOf<M> {
    fn flatten(&self, flat: &mut rushlight_core::trace::Flat) {
        self.mean.flatten(flat);
    }

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> MeanOf<M> {
        self.clone()
    }
}
