//! Areas under curves, and points on them.

use crate::config::Config;
use crate::layers::snake_case;
use crate::losses::EPSILON;
use crate::metrics::confusion::{Confusion, Counts};
use crate::metrics::{Metric, ratio};
use rushlight_core::{Error, ErrorKind, Result, Tensor, where_};
use std::marker::PhantomData;

/// Which curve an [`Auc`] is under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, rushlight_macros::Structure)]
pub enum Curve {
    /// Recall over the part of wrong answers found: receiver operating characteristic.
    #[default]
    Roc,
    /// Precision over recall.
    Pr,
}

/// How the area between two points of the curve is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, rushlight_macros::Structure)]
pub enum Summation {
    /// By a line between the points; for precision and recall by the counts between them (Davis and Goadrich, 2006).
    #[default]
    Interpolation,
    /// By the lower point.
    Minoring,
    /// By the higher point.
    Majoring,
}

/// The area under a curve: for ROC the probability that a positive example has a higher prediction than a negative
/// one. Computed from counts at 200 thresholds.
///
/// # Shapes
/// targets (0 or 1) and predictions (in [0, 1]) alike; the result is a scalar
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct Auc {
    num_thresholds: usize,
    given: Option<Vec<f64>>,
    curve: Curve,
    summation: Summation,
    from_logits: bool,
    confusion: Confusion,
}

/// Evenly from 0 to 1, both included.
fn even(count: usize) -> Vec<f64> {
    (0..count).map(|index| index as f64 / (count.max(2) - 1) as f64).collect()
}

impl Auc {
    /// Under the ROC curve, with 200 thresholds.
    pub fn new() -> Auc {
        Auc::with(even(200))
    }

    fn with(mut thresholds: Vec<f64>) -> Auc {
        thresholds.sort_by(f64::total_cmp);
        let count = thresholds.len();
        if let [first, .., last] = thresholds.as_mut_slice() {
            (*first, *last) = (-EPSILON, 1.0 + EPSILON);
        }
        Auc {
            num_thresholds: count,
            given: None,
            curve: Curve::Roc,
            summation: Summation::Interpolation,
            from_logits: false,
            confusion: Confusion::new(thresholds, None, None),
        }
    }

    /// So many thresholds, evenly from 0 to 1; at least 2.
    pub fn num_thresholds(self, count: usize) -> Auc {
        Auc { confusion: Auc::with(even(count.max(2))).confusion, num_thresholds: count.max(2), ..self }
    }

    /// These thresholds, and 0 and 1.
    pub fn thresholds(self, thresholds: &[f64]) -> Auc {
        let mut all = thresholds.to_vec();
        all.extend([0.0, 1.0]);
        let made = Auc::with(all);
        let given = Some(thresholds.to_vec());
        Auc { confusion: made.confusion, num_thresholds: made.num_thresholds, given, ..self }
    }

    /// Which curve.
    pub fn curve(self, curve: Curve) -> Auc {
        Auc { curve, ..self }
    }

    /// How areas between points are estimated.
    pub fn summation_method(self, summation: Summation) -> Auc {
        Auc { summation, ..self }
    }

    /// Predictions are scores, of which the sigmoid is taken first.
    pub fn from_logits(self) -> Auc {
        Auc { from_logits: true, ..self }
    }

    pub(crate) fn from_config(config: &Config) -> Result<Auc> {
        let unknown = |what: &str, name: String| {
            let rule = format!("an AUC has no {what} `{name}`");
            Err(Error::outside(ErrorKind::Value, "metrics", rule))
        };
        let curve = match config.text("curve", "ROC")?.as_str() {
            "ROC" => Curve::Roc,
            "PR" => Curve::Pr,
            other => return unknown("curve", other.to_string()),
        };
        let summation = match config.text("summation_method", "interpolation")?.as_str() {
            "interpolation" => Summation::Interpolation,
            "minoring" => Summation::Minoring,
            "majoring" => Summation::Majoring,
            other => return unknown("summation method", other.to_string()),
        };
        if config.flag("multi_label", false)? {
            return unknown("setting", "multi_label".to_string());
        }
        let count = config.optional_count("num_thresholds")?.unwrap_or(200);
        let mut made = Auc::new().num_thresholds(count).curve(curve).summation_method(summation);
        if config.get("thresholds").is_some() {
            made = made.thresholds(&config.floats("thresholds")?);
        }
        Ok(Auc { from_logits: config.flag("from_logits", false)?, ..made })
    }

    /// A value at each threshold but the last, and at each but the first.
    fn neighbours(&self, values: &Tensor) -> (Tensor, Tensor) {
        let count = self.num_thresholds;
        (values.slice_axis(0, 0, count - 1), values.slice_axis(0, 1, count))
    }

    /// The area under precision over recall, by the counts between two thresholds.
    fn interpolated(&self, counts: &Counts) -> Tensor {
        let (tp, next_tp) = self.neighbours(&counts.true_positives);
        let positives = &counts.true_positives + &counts.false_positives;
        let (p, next_p) = self.neighbours(&positives);
        let change = tp - &next_tp;
        let slope = ratio(&change, &(&p - &next_p).maximum(0.0));
        let intercept = &next_tp - &slope * &next_p;
        let known = p.greater(0.0).logical_and(next_p.greater(0.0));
        let relative = where_(&known, &ratio(&p, &next_p.maximum(0.0)), &next_p.ones_like());
        let (_, misses) = self.neighbours(&counts.false_negatives);
        let wanted = (next_tp + misses).maximum(0.0);
        ratio(&(slope * (change + intercept * relative.log())), &wanted).sum(..)
    }
}

impl Default for Auc {
    fn default() -> Auc {
        Auc::new()
    }
}

impl Metric for Auc {
    fn name(&self) -> &str {
        "auc"
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        let predictions = if self.from_logits { predictions.sigmoid() } else { predictions.clone() };
        self.confusion.update(targets, &predictions, weights)
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        let counts = self.confusion.counts();
        let (x, y) = match (self.curve, self.summation) {
            (Curve::Pr, Summation::Interpolation) => return self.interpolated(&counts),
            (Curve::Pr, _) => (counts.recall(), counts.precision()),
            (Curve::Roc, _) => {
                let negatives = &counts.false_positives + &counts.true_negatives;
                (ratio(&counts.false_positives, &negatives), counts.recall())
            }
        };
        let ((x, next_x), (y, next_y)) = (self.neighbours(&x), self.neighbours(&y));
        let height = match self.summation {
            Summation::Interpolation => (y + next_y) / 2.0,
            Summation::Minoring => y.minimum(next_y),
            Summation::Majoring => y.maximum(next_y),
        };
        ((x - next_x) * height).sum(..)
    }

    fn reset(&self) -> Result<()> {
        self.confusion.reset()
    }

    fn config(&self) -> Option<Config> {
        let curve = if self.curve == Curve::Roc { "ROC" } else { "PR" };
        let summation = match self.summation {
            Summation::Interpolation => "interpolation",
            Summation::Minoring => "minoring",
            Summation::Majoring => "majoring",
        };
        let config = Config::new("AUC")
            .with("name", self.name())
            .with("num_thresholds", self.num_thresholds)
            .with("curve", curve)
            .with("summation_method", summation)
            .with("multi_label", false)
            .with("from_logits", self.from_logits);
        Some(match &self.given {
            Some(given) => config.with("thresholds", given.clone()),
            None => config,
        })
    }
}

/// Which two rates an [`AtLeast`] is about.
pub trait Rates: Send + Sync + 'static {
    #[doc(hidden)]
    const CLASS: &'static str;
    #[doc(hidden)]
    const KEY: &'static str;
    #[doc(hidden)]
    fn of(counts: &Counts) -> (Tensor, Tensor);
}

/// The best that one rate can be while another one is at least some value, over 200 thresholds:
/// [`PrecisionAtRecall`] and the like.
///
/// # Shapes
/// targets (0 or 1) and predictions (in [0, 1]) alike; the result is a scalar
pub struct AtLeast<R> {
    name: String,
    least: f64,
    confusion: Confusion,
    num_thresholds: usize,
    rates: PhantomData<R>,
}

impl<R: Rates> AtLeast<R> {
    /// While the other rate is at least this, in [0, 1].
    pub fn new(least: f64) -> AtLeast<R> {
        AtLeast::with(least, 200)
    }

    fn with(least: f64, count: usize) -> AtLeast<R> {
        let thresholds = if count <= 1 { vec![0.5] } else { even(count) };
        let confusion = Confusion::new(thresholds, None, None);
        AtLeast { name: snake_case(R::CLASS), least, confusion, num_thresholds: count, rates: PhantomData }
    }

    /// So many thresholds, evenly from 0 to 1.
    pub fn num_thresholds(self, count: usize) -> AtLeast<R> {
        AtLeast::with(self.least, count)
    }

    pub(crate) fn from_config(config: &Config) -> Result<AtLeast<R>> {
        let count = config.optional_count("num_thresholds")?.unwrap_or(200);
        Ok(AtLeast::with(config.float(R::KEY, 0.5)?, count))
    }
}

impl<R: Rates> Metric for AtLeast<R> {
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
        let (limited, wanted) = R::of(&self.confusion.counts());
        where_(&limited.greater_equal(self.least), &wanted, &wanted.zeros_like()).max(..)
    }

    fn reset(&self) -> Result<()> {
        self.confusion.reset()
    }

    fn config(&self) -> Option<Config> {
        let config = Config::new(R::CLASS).with("name", self.name()).with(R::KEY, self.least);
        Some(config.with("num_thresholds", self.num_thresholds))
    }
}

macro_rules! at_least {
    ($($(#[$doc:meta])* $name:ident $kind:ident $class:literal $key:literal |$counts:ident| $rates:expr;)*) => {$(
        #[doc(hidden)]
        #[derive(Debug)]
        pub struct $kind;

        impl Rates for $kind {
            const CLASS: &'static str = $class;
            const KEY: &'static str = $key;

            fn of($counts: &Counts) -> (Tensor, Tensor) {
                $rates
            }
        }

        $(#[$doc])*
        pub type $name = AtLeast<$kind>;
    )*};
}

at_least! {
    /// The best precision while recall is at least a given value.
    PrecisionAtRecall PrecisionAtRecallRates "PrecisionAtRecall" "recall" |c| (c.recall(), c.precision());
    /// The best recall while precision is at least a given value.
    RecallAtPrecision RecallAtPrecisionRates "RecallAtPrecision" "precision" |c| (c.precision(), c.recall());
    /// The best sensitivity (recall) while specificity is at least a given value.
    SensitivityAtSpecificity SensitivityAtSpecificityRates "SensitivityAtSpecificity" "specificity"
        |c| (c.specificity(), c.recall());
    /// The best specificity while sensitivity (recall) is at least a given value.
    SpecificityAtSensitivity SpecificityAtSensitivityRates "SpecificityAtSensitivity" "sensitivity"
        |c| (c.recall(), c.specificity());
}
