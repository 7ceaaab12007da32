//! What `compile` is told: optimizer, losses, metrics, and how to train.

use crate::config::Config;
use crate::layers::snake_case;
use crate::losses::{self, Loss};
use crate::metrics::{self, Accuracy, IntoMetrics, Metric};
use crate::optimizers::{self, LossScaleOptimizer, Optimizer};
use crate::training::Step;
use rushlight_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// The losses that a model is compiled with: one, or an array or a tuple with one for each output.
pub trait IntoLosses {
    fn into_losses(self) -> Vec<Arc<dyn Loss>>;
}

impl<L: Loss> IntoLosses for L {
    fn into_losses(self) -> Vec<Arc<dyn Loss>> {
        vec![Arc::new(self)]
    }
}

impl<L: Loss, const N: usize> IntoLosses for [L; N] {
    fn into_losses(self) -> Vec<Arc<dyn Loss>> {
        self.into_iter().map(|loss| Arc::new(loss) as Arc<dyn Loss>).collect()
    }
}

macro_rules! loss_tuples {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: Loss),+> IntoLosses for ($($name,)+) {
            fn into_losses(self) -> Vec<Arc<dyn Loss>> {
                vec![$(Arc::new(self.$index)),+]
            }
        }
    )*};
}

loss_tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
}

type TrainStep = Arc<dyn Fn(&Step) -> Result<()> + Send + Sync>;

/// How a model is trained and judged: all that [`Model::compile`](crate::models::Model::compile) takes, and more.
///
/// ```
/// use rushlight::prelude::*;
/// use rushlight::training::Compile;
/// let x = Input::new([2]);
/// let (sum, sign) = (x.apply(Dense::new(1).named("sum")), x.apply(Dense::new(1).named("sign")).sigmoid());
/// let mut model = Model::new(&x, [&sum, &sign])?;
/// model.compile_with(
///     Compile::new(Adam::new(0.01), (MeanSquaredError, BinaryCrossentropy::new()))
///         .loss_weights(&[1.0, 0.5])
///         .metrics_of(1, [BinaryAccuracy::new()]),
/// );
/// let batch = Batch {
///     inputs: vec![Tensor::from([[1.0f32, 2.0], [-3.0, 1.0]])],
///     targets: vec![Tensor::from([[3.0f32], [-2.0]]), Tensor::from([[1.0f32], [0.0]])],
///     ..Batch::default()
/// };
/// let logs = model.train_on_batch(&batch)?;
/// let names: Vec<&str> = logs.0.iter().map(|(name, _)| name.as_str()).collect();
/// assert_eq!(names[..2], ["loss", "sum_loss"]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone)]
pub struct Compile {
    pub(crate) optimizer: Arc<dyn Optimizer>,
    pub(crate) losses: Vec<Arc<dyn Loss>>,
    pub(crate) loss_weights: Vec<f64>,
    pub(crate) metrics: Vec<Judge>,
    pub(crate) train_step: Option<TrainStep>,
    pub(crate) run_eagerly: bool,
    pub(crate) memory_budget: Option<usize>,
}

/// A metric of one of the outputs.
#[derive(Clone)]
pub(crate) struct Judge {
    pub(crate) output: usize,
    /// Its name gets that of the output in front.
    pub(crate) is_named_after_output: bool,
    /// Whether examples count by their weights.
    pub(crate) is_weighted: bool,
    pub(crate) metric: Arc<dyn Metric>,
}

impl Compile {
    /// With an optimizer and a loss, or one loss for each output.
    pub fn new(optimizer: impl Optimizer, losses: impl IntoLosses) -> Compile {
        Compile {
            optimizer: Arc::new(optimizer),
            losses: losses.into_losses(),
            loss_weights: Vec::new(),
            metrics: Vec::new(),
            train_step: None,
            run_eagerly: false,
            memory_budget: None,
        }
    }

    /// Puts the optimizer into one that scales the loss, unless it is one.
    pub(crate) fn scale_loss(&mut self) {
        if self.optimizer.config().class() != "LossScaleOptimizer" {
            self.optimizer = Arc::new(LossScaleOptimizer::new(self.optimizer.clone()));
        }
    }

    /// How much the loss of each output counts in the sum of all; 1 if nothing is said.
    pub fn loss_weights(self, weights: &[f64]) -> Compile {
        Compile { loss_weights: weights.to_vec(), ..self }
    }

    /// Metrics of the first output; all examples count alike.
    pub fn metrics(self, metrics: impl IntoMetrics) -> Compile {
        self.judged(0, false, false, metrics)
    }

    /// Metrics of the first output, in which each example counts as much as its weight.
    pub fn weighted_metrics(self, metrics: impl IntoMetrics) -> Compile {
        self.judged(0, false, true, metrics)
    }

    /// Metrics of one of several outputs, by number from 0; they are named after it.
    pub fn metrics_of(self, output: usize, metrics: impl IntoMetrics) -> Compile {
        self.judged(output, true, false, metrics)
    }

    fn judged(
        mut self,
        output: usize,
        is_named_after_output: bool,
        is_weighted: bool,
        metrics: impl IntoMetrics,
    ) -> Compile {
        let judge = |metric| Judge { output, is_named_after_output, is_weighted, metric };
        self.metrics.extend(metrics.into_metrics().into_iter().map(judge));
        self
    }

    /// What to do with a batch, instead of the usual step: Keras's `train_step`. It is recorded like the usual one.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// use rushlight::training::Compile;
    /// let mut model = Sequential::new().add(Dense::new(1)).model([1])?;
    /// let noisy = Compile::new(Sgd::new(0.1), MeanSquaredError).train_step(|step| {
    ///     let x = &step.inputs[0] + random::normal(step.inputs[0].shape()?, 0.0, 0.01, DType::F32);
    ///     let forward = step.minimize(|| step.forward_on(&[x]))?;
    ///     step.measure(&forward)
    /// });
    /// model.compile_with(noisy);
    /// let x = Tensor::linspace(-1.0, 1.0, 32, DType::F32).reshape([32, 1]);
    /// let history = model.fit(&Dataset::from_tensors(&x, &(&x * 2.0))?, Fit::epochs(50).verbose(0))?;
    /// assert!(history.last("loss").unwrap() < 0.1);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn train_step(self, step: impl Fn(&Step) -> Result<()> + Send + Sync + 'static) -> Compile {
        Compile { train_step: Some(Arc::new(step)), ..self }
    }

    /// The same with what was compiled before where nothing else is asked for: its optimizer, with all that it
    /// remembers; its metrics. Loss weights are those of before.
    pub fn or_from(mut self, before: &Compile, optimizer: bool, metrics: bool) -> Compile {
        if optimizer {
            self.optimizer = before.optimizer.clone();
        }
        if metrics {
            self.metrics = before.metrics.clone();
        }
        if self.loss_weights.is_empty() && before.loss_weights.len() == self.losses.len() {
            self.loss_weights = before.loss_weights.clone();
        }
        self
    }

    /// Runs steps op by op, as [`Mode::Eager`](crate::training::Mode) does: for debugging.
    pub fn run_eagerly(self) -> Compile {
        Compile { run_eagerly: true, ..self }
    }

    /// Plans training steps so that all memory they work on stays within so many bytes: weights, the optimizer's state,
    /// the batch, and everything in between. What the backward pass needs is computed again instead of kept, as far as it
    /// takes; that costs time. [`Model::summary_with_memory`](crate::models::Model::summary_with_memory) tells the plan. If
    /// no plan is small enough, the first step of such a batch gives an error that says what the least is.
    ///
    /// Several steps in one execution (`Fit::steps_per_execution`) are then run one by one.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// use rushlight::training::Compile;
    /// let chain = (0..8).map(|_| Conv2d::new(8, 3).padding(Same)).fold(Sequential::new(), Sequential::add);
    /// let mut model = chain.add(Flatten::new()).add(Dense::new(2)).model([16, 16, 3])?;
    /// let compile = || Compile::new(Sgd::new(0.1), SparseCategoricalCrossentropy::from_logits());
    /// model.compile_with(compile());
    /// let most = model.planned_training_memory(32)?.total();
    /// model.compile_with(compile().memory_budget(most * 9 / 10));
    /// assert!(model.planned_training_memory(32)?.total() <= most * 9 / 10);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn memory_budget(self, bytes: usize) -> Compile {
        Compile { memory_budget: Some(bytes), ..self }
    }

    /// As Keras writes what a model was compiled with; nothing if a loss or metric is not one of Keras's.
    pub fn to_json(&self) -> Option<Value> {
        let losses = self.losses.iter().map(|loss| Some(loss.config()?.to_json("keras.losses")));
        let mut losses: Vec<Value> = losses.collect::<Option<_>>()?;
        let metrics = |weighted: bool| -> Option<Vec<Value>> {
            let chosen = self.metrics.iter().filter(|judge| judge.is_weighted == weighted);
            chosen.map(|judge| Some(judge.metric.config()?.to_json("keras.metrics"))).collect()
        };
        Some(json!({
            "optimizer": self.optimizer.config().to_json("keras.optimizers"),
            "loss": if losses.len() == 1 { losses.remove(0) } else { Value::from(losses) },
            "loss_weights": if self.loss_weights.is_empty() { Value::Null } else { json!(self.loss_weights) },
            "metrics": metrics(false)?,
            "weighted_metrics": metrics(true)?,
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": 1,
            "jit_compile": false,
        }))
    }

    /// Reads what [`Compile::to_json`] or Keras wrote.
    ///
    /// # Errors
    /// If something in it is not known here.
    pub fn from_json(value: &Value) -> Result<Compile> {
        let list = |key: &str| match value.get(key) {
            Some(Value::Array(all)) => all.clone(),
            None | Some(Value::Null) => Vec::new(),
            Some(one) => vec![one.clone()],
        };
        let optimizer = match value.get("optimizer") {
            Some(Value::String(name)) => optimizers::from_config(&named(name, OPTIMIZERS))?,
            Some(object) => optimizers::from_config(&Config::from_json(object)?)?,
            None => return Err(Error::outside(ErrorKind::Value, "compile", "there is no optimizer")),
        };
        let loss = |value: &Value| match value.as_str() {
            Some(name) => losses::from_config(&named(name, LOSSES)),
            None => losses::from_config(&Config::from_json(value)?),
        };
        let metric = |value: &Value| -> Result<Arc<dyn Metric>> {
            match value.as_str() {
                Some("accuracy" | "acc") => Ok(Arc::new(Accuracy::new())),
                Some(name) => metrics::from_config(&named(name, LOSSES)),
                None => metrics::from_config(&Config::from_json(value)?),
            }
        };
        let losses = list("loss").iter().map(loss).collect::<Result<Vec<_>>>()?;
        let all = |key: &str| list(key).iter().map(metric).collect::<Result<Vec<_>>>();
        let weights = list("loss_weights").iter().filter_map(Value::as_f64).collect();
        let made =
            Compile { losses, loss_weights: weights, ..Compile::new(optimizer, losses::MeanSquaredError) };
        let made = made.metrics(all("metrics")?).weighted_metrics(all("weighted_metrics")?);
        Ok(Compile { run_eagerly: value.get("run_eagerly") == Some(&Value::Bool(true)), ..made })
    }
}

/// Classes whose Keras name is not the snake case of the class, or has a short form.
const LOSSES: &[(&str, &str)] = &[
    ("mse", "MeanSquaredError"),
    ("mae", "MeanAbsoluteError"),
    ("mape", "MeanAbsolutePercentageError"),
    ("msle", "MeanSquaredLogarithmicError"),
    ("kld", "KLDivergence"),
    ("kl_divergence", "KLDivergence"),
    ("ctc", "CTC"),
    ("auc", "AUC"),
    ("logcosh", "LogCosh"),
    ("huber_loss", "Huber"),
];

const OPTIMIZERS: &[(&str, &str)] = &[("sgd", "SGD"), ("rmsprop", "RMSprop"), ("adamw", "AdamW")];

/// The class that a name such as `mean_squared_error` stands for.
fn named(name: &str, special: &[(&str, &str)]) -> Config {
    if let Some((_, class)) = special.iter().find(|(short, _)| *short == name) {
        return Config::new(*class);
    }
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect::<String>())
    };
    let class: String = snake_case(name).split('_').map(word).collect();
    Config::new(class)
}
