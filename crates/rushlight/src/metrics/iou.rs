//! Intersection over union, from a confusion matrix of classes.

use crate::config::Config;
use crate::losses::{EPSILON, spread};
use crate::metrics::{Metric, clear, delegate, zeros};
use rushlight_core::{DType, Result, Tensor, Variable, where_};

/// The mean, over some classes, of `TP / (TP + FP + FN)`; classes that do not occur do not count.
///
/// # Shapes
/// targets and predictions alike, class numbers; the result is a scalar
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct IoU {
    num_classes: usize,
    target_class_ids: Vec<usize>,
    ignore_class: Option<i64>,
    sparse_y_true: bool,
    sparse_y_pred: bool,
    /// `[class of the target, class of the prediction]`
    matrix: Variable,
}

impl IoU {
    /// For class numbers below `num_classes`, averaged over some of the classes.
    pub fn new(num_classes: usize, target_class_ids: &[usize]) -> IoU {
        IoU {
            num_classes,
            target_class_ids: target_class_ids.to_vec(),
            ignore_class: None,
            sparse_y_true: true,
            sparse_y_pred: true,
            matrix: zeros("total_confusion_matrix", &[num_classes, num_classes]),
        }
    }

    /// Targets of this class do not count.
    pub fn ignore_class(self, class: i64) -> IoU {
        IoU { ignore_class: Some(class), ..self }
    }

    /// Targets, or predictions, are class numbers (`true`), or scores for each class along the last axis.
    pub fn sparse(self, targets: bool, predictions: bool) -> IoU {
        IoU { sparse_y_true: targets, sparse_y_pred: predictions, ..self }
    }

    pub(crate) fn from_config(config: &Config) -> Result<IoU> {
        let count = config.optional_count("num_classes")?.unwrap_or(2);
        let classes: Vec<usize> = match config.get("target_class_ids") {
            Some(_) => config.floats("target_class_ids")?.into_iter().map(|class| class as usize).collect(),
            None => (0..count).collect(),
        };
        let one_hot = config.class().starts_with("OneHot");
        let made = IoU::new(count, &classes)
            .sparse(config.flag("sparse_y_true", !one_hot)?, config.flag("sparse_y_pred", !one_hot)?);
        let ignored = config.optional_float("ignore_class")?.map(|class| class as i64);
        Ok(IoU { ignore_class: ignored, ..made })
    }

    fn describe(&self, class: &str) -> Config {
        Config::new(class)
            .with("num_classes", self.num_classes)
            .with("ignore_class", self.ignore_class)
            .with("sparse_y_pred", self.sparse_y_pred)
            .with("axis", -1)
    }
}

impl Metric for IoU {
    fn name(&self) -> &str {
        "io_u"
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        let numbers = |tensor: &Tensor, sparse: bool| {
            if sparse { tensor.cast(DType::I64) } else { tensor.argmax(-1).cast(DType::I64) }
        };
        let targets = numbers(targets, self.sparse_y_true);
        let spec = targets.spec()?.clone();
        let (targets, predictions) =
            (targets.reshape([-1]), numbers(predictions, self.sparse_y_pred).reshape([-1]));
        let known = |classes: &Tensor| classes.greater_equal(0).logical_and(classes.less(self.num_classes));
        let mut counts = known(&targets).logical_and(known(&predictions));
        if let Some(class) = self.ignore_class {
            counts = counts.logical_and(targets.not_equal(class));
        }
        let mut counts = counts.cast(DType::F64);
        if let Some(weights) = weights {
            let weights = spread(&weights.cast(DType::F64), &spec).broadcast_to(&spec.dims);
            counts = counts * weights.reshape([-1]);
        }
        let one_hot = |classes: &Tensor| classes.one_hot(self.num_classes, DType::F64);
        let rows = one_hot(&targets) * counts.expand_dims(-1);
        self.matrix.assign_add(&rows.t().matmul(&one_hot(&predictions)))
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        let matrix = self.matrix.read();
        let right = matrix.diagonal(0, 1);
        let union = matrix.sum(0) + matrix.sum(1) - &right;
        let classes: Vec<i64> = self.target_class_ids.iter().map(|&class| class as i64).collect();
        let classes = Tensor::from(classes);
        let (right, union) = (right.take(&classes, 0), union.take(&classes, 0));
        let occurs = union.greater(1e-9);
        let each = where_(&occurs, &(right / (union + EPSILON)), &occurs.cast(DType::F64));
        each.sum(..) / (occurs.cast(DType::F64).sum(..) + EPSILON)
    }

    fn reset(&self) -> Result<()> {
        clear([&self.matrix])
    }

    fn config(&self) -> Option<Config> {
        let config = self.describe("IoU").with("name", self.name());
        let config = config.with("target_class_ids", self.target_class_ids.clone());
        Some(config.with("sparse_y_true", self.sparse_y_true))
    }
}

macro_rules! variants {
    ($($(#[$doc:meta])* $name:ident $class:literal $default_name:literal [$($key:literal),*];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, rushlight_macros::Structure)]
        pub struct $name {
            iou: IoU,
        }

        impl $name {
            /// Targets of this class do not count.
            pub fn ignore_class(self, class: i64) -> $name {
                $name { iou: self.iou.ignore_class(class) }
            }

            pub(crate) fn from_config(config: &Config) -> Result<$name> {
                Ok($name { iou: IoU::from_config(config)? })
            }
        }

        impl Metric for $name {
            fn name(&self) -> &str {
                $default_name
            }

            delegate!(iou);

            fn config(&self) -> Option<Config> {
                let own = self.iou.config()?;
                let keys: &[&str] = &[$($key),*];
                let kept = keys.iter().filter_map(|key| Some((*key, own.get(key)?.clone())));
                let config = kept.fold(self.iou.describe($class), |all, (key, value)| all.with(key, value));
                Some(config.with("name", $default_name))
            }
        }
    )*};
}

variants! {
    /// The mean [`IoU`] over all classes.
    MeanIoU "MeanIoU" "mean_io_u" ["sparse_y_true"];
    /// [`IoU`] for one-hot targets and scores for each class.
    OneHotIoU "OneHotIoU" "one_hot_io_u" ["target_class_ids"];
    /// The mean [`IoU`] over all classes, for one-hot targets and scores for each class.
    OneHotMeanIoU "OneHotMeanIoU" "one_hot_mean_io_u" [];
}

impl MeanIoU {
    /// For class numbers below `num_classes`.
    pub fn new(num_classes: usize) -> MeanIoU {
        MeanIoU { iou: IoU::new(num_classes, &(0..num_classes).collect::<Vec<_>>()) }
    }

    /// Targets, or predictions, are class numbers (`true`), or scores for each class along the last axis.
    pub fn sparse(self, targets: bool, predictions: bool) -> MeanIoU {
        MeanIoU { iou: self.iou.sparse(targets, predictions) }
    }
}

impl OneHotIoU {
    /// For `num_classes` classes, averaged over some of them.
    pub fn new(num_classes: usize, target_class_ids: &[usize]) -> OneHotIoU {
        OneHotIoU { iou: IoU::new(num_classes, target_class_ids).sparse(false, false) }
    }
}

impl OneHotMeanIoU {
    /// For `num_classes` classes.
    pub fn new(num_classes: usize) -> OneHotMeanIoU {
        OneHotMeanIoU { iou: MeanIoU::new(num_classes).iou.sparse(false, false) }
    }
}

/// [`IoU`] of yes and no: predictions from a threshold (0.5) on are a yes.
///
/// # Shapes
/// targets (0 or 1) and predictions alike; the result is a scalar
#[derive(Clone, Debug, rushlight_macros::Structure)]
pub struct BinaryIoU {
    iou: IoU,
    threshold: f64,
}

impl BinaryIoU {
    /// Averaged over yes and no.
    pub fn new() -> BinaryIoU {
        BinaryIoU { iou: IoU::new(2, &[0, 1]), threshold: 0.5 }
    }

    /// Predictions from this on are a yes.
    pub fn threshold(self, threshold: f64) -> BinaryIoU {
        BinaryIoU { threshold, ..self }
    }

    /// Averaged over these: 0 for no, 1 for yes.
    pub fn target_class_ids(self, classes: &[usize]) -> BinaryIoU {
        BinaryIoU { iou: IoU::new(2, classes), ..self }
    }

    pub(crate) fn from_config(config: &Config) -> Result<BinaryIoU> {
        Ok(BinaryIoU { iou: IoU::from_config(config)?, threshold: config.float("threshold", 0.5)? })
    }
}

impl Default for BinaryIoU {
    fn default() -> BinaryIoU {
        BinaryIoU::new()
    }
}

impl Metric for BinaryIoU {
    fn name(&self) -> &str {
        "binary_io_u"
    }

    #[track_caller]
    fn update_weighted(
        &self,
        targets: &Tensor,
        predictions: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<()> {
        self.iou.update_weighted(targets, &predictions.greater_equal(self.threshold), weights)
    }

    #[track_caller]
    fn result(&self) -> Tensor {
        self.iou.result()
    }

    fn reset(&self) -> Result<()> {
        self.iou.reset()
    }

    fn config(&self) -> Option<Config> {
        let config = Config::new("BinaryIoU").with("name", self.name());
        let config = config.with("target_class_ids", self.iou.target_class_ids.clone());
        Some(config.with("threshold", self.threshold))
    }
}
