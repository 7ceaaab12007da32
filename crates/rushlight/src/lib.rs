//! Deep learning in Rust.

pub mod applications;
pub mod callbacks;
pub mod config;
pub mod constraints;
pub mod data;
pub mod files;
pub mod formats;
pub mod initializers;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod optimizers;
pub mod plot;
pub mod regularizers;
pub mod tensorboard;
pub mod training;

pub use rushlight_core::*;
// The attribute beside the closure's `function`, the derive beside the trait: each pair has one name.
pub use rushlight_macros::{Structure, function};

// For macros used in this crate itself.
extern crate self as rushlight;

#[cfg(test)]
mod testing;

/// What most programs need: `use rushlight::prelude::*;`.
pub mod prelude {
    pub use crate::Padding::{Same, Valid};
    pub use crate::callbacks::*;
    pub use crate::config::Config;
    pub use crate::constraints::Constraint;
    pub use crate::data::{Batch, Dataset};
    pub use crate::initializers::Initializer;
    pub use crate::layers::*;
    pub use crate::losses::{
        BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
        CategoricalGeneralizedCrossEntropy, CategoricalHinge, Circle, CosineSimilarity, Ctc, Dice, Hinge,
        Huber, KlDivergence, LogCosh, Loss, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
        MeanSquaredLogarithmicError, Poisson, Reduction, SparseCategoricalCrossentropy, SquaredHinge,
        Tversky,
    };
    pub use crate::metrics::{
        Accuracy, Auc, Average, BinaryAccuracy, BinaryIoU, CategoricalAccuracy, Curve, F1Score, FBetaScore,
        FalseNegatives, FalsePositives, IoU, Mean, MeanIoU, MeanOf, Metric, OneHotIoU, OneHotMeanIoU,
        Precision, PrecisionAtRecall, R2Score, Recall, RecallAtPrecision, RootMeanSquaredError,
        SensitivityAtSpecificity, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
        SpecificityAtSensitivity, Sum, TopKCategoricalAccuracy, TrueNegatives, TruePositives,
    };
    pub use crate::models::{Input, Model, Sequential};
    pub use crate::optimizers::schedules::{
        CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay,
        PolynomialDecay,
    };
    pub use crate::optimizers::{
        Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer, Muon, Nadam,
        Optimizer, RmsProp, Sgd,
    };
    pub use crate::regularizers::Regularizer;
    pub use crate::tensorboard::TensorBoard;
    pub use crate::training::{Fit, History, Logs, Mode};
    pub use crate::{
        DType, Error, Padding, Result, Spec, Structure, Tape, Tensor, Variable, concat, cond, eagerly,
        explain, for_range, function, map, random, scan, sparse_categorical_crossentropy, stack, switch,
        value_and_grad, where_, while_loop, while_loop_at_most,
    };
}

/// The README's code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
