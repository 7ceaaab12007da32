//! Metrics that count right and wrong answers above and below thresholds.

use crate::config::Config;
use crate::layers::snake_case;
use crate::losses::{aligned, spread};
use crate::metrics::{Metric, clear, ratio, zeros};
use rushlight_core::trace::Flat;
use rushlight_core::{DType, Result, Structure, Tensor, Variable, where_};
use serde_json::Value;
use std::marker::PhantomData;

/// True and false positives and negatives, for each of some thresholds.
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub(crate) struct Confusion {
    thresholds: Vec<f64>,
    top_k: Option<usize>,
    class_id: Option<usize>,
    true_positives: Variable,
    false_positives: Variable,
    true_negatives: Variable,
    false_negatives: Variable,
}

/// The counts, one for each threshold, in `f64`.
pub struct Counts {
    pub true_positives: Tensor,
    pub false_positives: Tensor,
    pub true_negatives: Tensor,
    pub false_negatives: Tensor,
}

/// Below everything.
const LOWEST: f64 = -1e10;

impl Confusion {
    pub(crate) fn new(thresholds: Vec<f64>, top_k: Option<usize>, class_id: Option<usize>) -> Confusion {
        let counts = |name| zeros(name, &[thresholds.len()]);
        Confusion {
            true_positives: counts("true_positives"),
            false_positives: counts("false_positives"),
            true_negatives: counts("true_negatives"),
            false_negatives: counts("false_negatives"),
            thresholds,
            top_k,
            class_id,
        }
    }

    #[track_caller]
    pub(crate) fn update(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        let (mut targets, mut predictions) = match aligned("confusion", targets, predictions) {
            Ok(both) => both,
            Err(carried) => return carried.check().map(|_| ()),
        };
        if let Some(k) = self.top_k {
            let spec = predictions.spec()?.clone();
            let classes = spec.dims.last().copied().unwrap_or(1);
            let (_, best) = predictions.top_k(k);
            let kept = best.one_hot(classes, DType::Bool).any(-2);
            predictions = where_(&kept, &predictions, &Tensor::full(&spec.dims, LOWEST, spec.dtype));
        }
        if let Some(class) = self.class_id {
            let only = |tensor: &Tensor| tensor.slice_axis(-1, class, class + 1);
            (targets, predictions) = (only(&targets), only(&predictions));
        }
        let spec = predictions.spec()?.clone();
        let weights = weights.map(|weights| {
            spread(&weights.cast(DType::F64), &spec).broadcast_to(&spec.dims).reshape([1, -1])
        });
        let thresholds = Tensor::from(self.thresholds.clone()).cast(spec.dtype).expand_dims(-1);
        let positive = predictions.reshape([1, -1]).greater(&thresholds);
        let wanted = targets.not_equal(0.0).reshape([1, -1]);
        let add = |variable: &Variable, wanted: &Tensor, found: &Tensor| {
            let both = wanted.logical_and(found).cast(DType::F64);
            let both = weights.as_ref().map_or_else(|| both.clone(), |weights| &both * weights);
            variable.assign_add(&both.sum(1))
        };
        let (unwanted, negative) = (wanted.logical_not(), positive.logical_not());
        add(&self.true_positives, &wanted, &positive)?;
        add(&self.false_positives, &unwanted, &positive)?;
        add(&self.true_negatives, &unwanted, &negative)?;
        add(&self.false_negatives, &wanted, &negative)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            true_positives: self.true_positives.read(),
            false_positives: self.false_positives.read(),
            true_negatives: self.true_negatives.read(),
            false_negatives: self.false_negatives.read(),
        }
    }

    pub(crate) fn reset(&self) -> Result<()> {
        clear([&self.true_positives, &self.false_positives, &self.true_negatives, &self.false_negatives])
    }
}

impl Counts {
    /// Which part of what was found is right.
    pub(crate) fn precision(&self) -> Tensor {
        ratio(&self.true_positives, &(&self.true_positives + &self.false_positives))
    }

    /// Which part of what should be found was found.
    pub(crate) fn recall(&self) -> Tensor {
        ratio(&self.true_positives, &(&self.true_positives + &self.false_negatives))
    }

    /// Which part of what should not be found was not.
    pub(crate) fn specificity(&self) -> Tensor {
        ratio(&self.true_negatives, &(&self.true_negatives + &self.false_positives))
    }
}

/// What is made of the counts.
pub trait Count: Send + Sync + 'static {
    #[doc(hidden)]
    const CLASS: &'static str;
    #[doc(hidden)]
    fn of(counts: &Counts) -> Tensor;
}

/// A metric made of counts of right and wrong answers: [`Precision`], [`Recall`] and the like. Predictions above a
/// threshold, 0.5 unless said otherwise, are a yes; targets are 0 or 1.
///
/// # Shapes
/// targets and predictions alike; the result is a scalar, or `[thresholds]`
pub struct Counted<C> {
    name: String,
    thresholds: Option<Vec<f64>>,
    confusion: Confusion,
    count: PhantomData<C>,
}

impl<C: Count> Counted<C> {
    /// With a threshold of 0.5.
    pub fn new() -> Counted<C> {
        Counted::with(None, None, None)
    }

    fn with(thresholds: Option<Vec<f64>>, top_k: Option<usize>, class_id: Option<usize>) -> Counted<C> {
        let used = thresholds.clone().unwrap_or(vec![if top_k.is_some() { LOWEST / 2.0 } else { 0.5 }]);
        let confusion = Confusion::new(used, top_k, class_id);
        Counted { name: snake_case(C::CLASS), thresholds, confusion, count: PhantomData }
    }

    /// The thresholds above which a prediction is a yes; there is a result for each.
    pub fn thresholds(self, thresholds: &[f64]) -> Counted<C> {
        Counted::with(Some(thresholds.to_vec()), self.confusion.top_k, self.confusion.class_id)
    }

    /// The `k` largest predictions of an example are a yes.
    pub fn top_k(self, k: usize) -> Counted<C> {
        Counted::with(self.thresholds, Some(k), self.confusion.class_id)
    }

    /// Only this class counts.
    pub fn class_id(self, class: usize) -> Counted<C> {
        Counted::with(self.thresholds, self.confusion.top_k, Some(class))
    }

    pub(crate) fn from_config(config: &Config) -> Result<Counted<C>> {
        let thresholds = match config.get("thresholds") {
            Some(Value::Number(_)) => Some(vec![config.float("thresholds", 0.5)?]),
            Some(_) => Some(config.floats("thresholds")?),
            None => None,
        };
        Ok(Counted::with(thresholds, config.optional_count("top_k")?, config.optional_count("class_id")?))
    }
}

impl<C: Count> Default for Counted<C> {
    fn default() -> Counted<C> {
        Counted::new()
    }
}

impl<C: Count> Metric for Counted<C> {
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
        self.confusion.update(targets, predictions, weights)
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        let results = C::of(&self.confusion.counts());
        if self.confusion.thresholds.len() == 1 { results.squeeze(0) } else { results }
    }

    fn reset(&self) -> Result<()> {
        self.confusion.reset()
    }

    fn config(&self) -> Option<Config> {
        let config = Config::new(C::CLASS)
            .with("name", self.name.as_str())
            .with("thresholds", self.thresholds.clone().map_or(Value::Null, Value::from));
        // The plain counts have neither.
        if C::CLASS.ends_with("tives") {
            return Some(config);
        }
        let (top_k, class) = (self.confusion.top_k, self.confusion.class_id);
        Some(config.with("top_k", top_k).with("class_id", class))
    }
}

impl<C: Count> Clone for Counted<C> {
    fn clone(&self) -> Counted<C> {
        Counted {
            name: self.name.clone(),
            thresholds: self.thresholds.clone(),
            confusion: self.confusion.clone(),
            count: PhantomData,
        }
    }
}

impl<C: Count> Structure for Counted<C> {
    fn flatten(&self, flat: &mut Flat) {
        self.confusion.flatten(flat);
    }

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> Counted<C> {
        self.clone()
    }
}

macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident $kind:ident $class:literal |$counts:ident| $result:expr;)*) => {$(
        #[doc(hidden)]
        #[derive(Debug)]
        pub struct $kind;

        impl Count for $kind {
            const CLASS: &'static str = $class;

            fn of($counts: &Counts) -> Tensor {
                $result
            }
        }

        $(#[$doc])*
        pub type $name = Counted<$kind>;
    )*};
}

counted! {
    /// Which part of what was found is right: `TP / (TP + FP)`.
    Precision PrecisionCount "Precision" |counts| counts.precision();
    /// Which part of what should be found was found: `TP / (TP + FN)`.
    Recall RecallCount "Recall" |counts| counts.recall();
    /// How often a yes was right.
    TruePositives TruePositivesCount "TruePositives" |counts| counts.true_positives.clone();
    /// How often a yes was wrong.
    FalsePositives FalsePositivesCount "FalsePositives" |counts| counts.false_positives.clone();
    /// How often a no was right.
    TrueNegatives TrueNegativesCount "TrueNegatives" |counts| counts.true_negatives.clone();
    /// How often a no was wrong.
    FalseNegatives FalseNegativesCount "FalseNegatives" |counts| counts.false_negatives.clone();
}
