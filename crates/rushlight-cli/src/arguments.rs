//! What the command line may say.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rushlight::applications::NAMES;
use rushlight::training::Mode;
use std::path::PathBuf;

pub(crate) use crate::file_arguments::*;

/// Trains, summarizes and measures neural networks.
///
/// Without a command: the demo, which trains a small DenseNet on drawn pictures in about a minute.
#[derive(Parser)]
#[command(name = "rushlight", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Threads to compute with [default: one for each processor, or what RUSHLIGHT_THREADS says]
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) threads: Option<usize>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train a small DenseNet on drawn pictures, then compare eager with graph mode
    ///
    /// Needs no files. Weights, history, learning curve and TensorBoard logs go to a new directory below
    /// rushlight-runs.
    Demo(DemoOptions),
    /// Train a model on a data set
    ///
    /// The learning rate rises over the first tenth of all steps to the one given, then falls to zero along a cosine.
    /// SGD has Nesterov momentum 0.9 and weight decay 0.0001 × learning rate.
    /// Images are normalized by mean and deviation of each channel of the training set. Ctrl-C ends training after
    /// the step that is running, saves what was learnt and exits with status 130.
    Train(TrainOptions),
    /// Predict with a model from a file
    ///
    /// Pictures are resized to the model's input (bilinear), and their pixels become (x · scale - mean) / std.
    Predict(PredictOptions),
    /// Train a model from a file further, on arrays
    ///
    /// Optimizer, loss and metrics are those that the model was compiled with in Keras, and the optimizer goes on from
    /// its state in the file. Ctrl-C ends training after the step that is running, saves what was learnt and exits with
    /// status 130. With --logdir a checkpoint is written after each epoch; --resume goes on from it, to the same bits
    /// as if nothing had happened.
    Fit(FitOptions),
    /// Print loss and metrics of a model from a file on arrays
    Evaluate(EvaluateOptions),
    /// Print what is in a file of a model, weights or arrays
    Inspect(InspectOptions),
    /// Write a model, weights or arrays in another format
    ///
    /// Weights of torchvision's and Keras Applications' DenseNets fit the models of the same name.
    Convert(ConvertOptions),
    /// Write a new model with random weights to a file
    New(NewOptions),
    /// Draw a model: its layers, with shapes and dtypes, and what flows where
    Plot(PlotOptions),
    /// Print a script that completes commands and options in a shell
    Completions(CompletionsOptions),
    /// Write manual pages
    Man(ManOptions),
    /// Print the layers of a model, its parameters and the memory that a training step takes
    Summary(SummaryOptions),
    /// Measure a training step and inference
    ///
    /// A training step is forward, softmax cross-entropy, backward and SGD, on one random batch that stays in memory;
    /// inference is forward alone. Times are medians after warm-up.
    Bench(BenchOptions),
    /// Tell where the time of a training step goes: by kernel and by layer
    ///
    /// Rates count the operations of the direct computation and each operand once. Times are means over the steps.
    Profile(ProfileOptions),
}

impl Default for Command {
    fn default() -> Command {
        Command::Demo(DemoOptions::default())
    }
}

/// Options of `rushlight demo`.
#[derive(Args, Default)]
pub(crate) struct DemoOptions {
    /// Passes over the pictures [default: 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) epochs: Option<usize>,

    /// Only the first N pictures to train with, and at most N to validate with
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) limit: Option<usize>,

    /// Where results go [default: rushlight-runs/demo-1, or the next number]
    #[arg(long, value_name = "DIR")]
    pub(crate) logdir: Option<PathBuf>,
}

/// Options of `rushlight train`.
#[derive(Args)]
pub(crate) struct TrainOptions {
    /// The model; its input and its number of classes follow the data
    #[arg(long, value_parser = model_name(), default_value = "small")]
    pub(crate) model: String,

    /// What to learn
    #[arg(long, value_enum, default_value_t = DataName::Drawn)]
    pub(crate) data: DataName,

    /// Directory with the data set's files: cifar-10-binary.tar.gz or what is in it; MNIST's IDX files, plain or .gz
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// Fetch the files into the data directory if they are not there
    #[arg(long)]
    pub(crate) download: bool,

    /// Passes over the training set
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "10")]
    pub(crate) epochs: usize,

    /// Images in a training step; multiples of 16 are fastest
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "64")]
    pub(crate) batch_size: usize,

    /// Determines initial weights, order and augmentation
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0)]
    pub(crate) seed: u64,

    /// How training steps are run
    #[arg(long, value_enum, default_value_t = ModeName::Graph)]
    pub(crate) mode: ModeName,

    /// Only the first N images to train with, and at most N to validate with
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) limit: Option<usize>,

    /// Where history, learning curve and TensorBoard logs go [default: a new directory below rushlight-runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) logdir: Option<PathBuf>,

    /// Where the weights go [default: weights.safetensors in the log directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,

    /// The rule by which weights follow gradients
    #[arg(long, value_enum, default_value_t = OptimizerName::Sgd)]
    pub(crate) optimizer: OptimizerName,

    /// The highest learning rate [default: 0.1 for sgd, 0.003 for adam]
    #[arg(long, value_name = "RATE", value_parser = learning_rate, allow_negative_numbers = true)]
    pub(crate) learning_rate: Option<f64>,

    /// Shift images at random (by up to 4 pixels, MNIST 2), and flip those of CIFAR-10 [default for cifar10 and mnist]
    #[arg(long, overrides_with = "no_augment")]
    pub(crate) augment: bool,

    /// Train on the images as they are [default for drawn]
    #[arg(long)]
    pub(crate) no_augment: bool,
}

/// Options of `rushlight summary`.
#[derive(Args)]
pub(crate) struct SummaryOptions {
    /// The model
    #[arg(value_parser = model_name())]
    pub(crate) model: String,

    /// Images in a training step, for the memory that it takes
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "64")]
    pub(crate) batch_size: usize,

    /// Stay within so much memory in all by computing values again instead of keeping them, which takes longer
    #[arg(long, value_name = "MB", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) memory_budget: Option<usize>,

    /// Number of classes [default: the model's own, 10 or 1000]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) classes: Option<usize>,
}

/// Options of `rushlight bench`.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// The model
    #[arg(value_parser = model_name())]
    pub(crate) model: String,

    /// Examples in a batch
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "64")]
    pub(crate) batch_size: usize,

    /// How steps are run
    #[arg(long, value_enum, default_value_t = ModeName::Graph)]
    pub(crate) mode: ModeName,

    /// Timed calls of each kind
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "10")]
    pub(crate) steps: usize,

    /// Measure only this
    #[arg(long, value_enum)]
    pub(crate) only: Option<Part>,

    /// Momentum of SGD
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = momentum, default_value = "0.9")]
    pub(crate) momentum: f64,

    /// Plan each call within so much memory in all by computing values again instead of keeping them, which takes longer
    #[arg(long, value_name = "MB", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) memory_budget: Option<usize>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rushlight profile`.
#[derive(Args)]
pub(crate) struct ProfileOptions {
    /// The model
    #[arg(value_parser = model_name())]
    pub(crate) model: String,

    /// Images in a batch
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "64")]
    pub(crate) batch_size: usize,

    /// Profile the forward pass alone
    #[arg(long)]
    pub(crate) inference: bool,

    /// Profiled calls
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "10")]
    pub(crate) steps: usize,

    /// Rows of each table
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "20")]
    pub(crate) top: usize,

    /// Write graphs with times and memory, and a profile, for TensorBoard to this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) logdir: Option<PathBuf>,

    /// Write a trace for ui.perfetto.dev or chrome://tracing to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataName {
    /// Drawn pictures of ten shapes, 32×32×3; needs no files
    Drawn,
    /// Photographs of ten kinds of things, 32×32×3
    Cifar10,
    /// Handwritten digits, 28×28×1
    Mnist,
}

impl DataName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            DataName::Drawn => "drawn",
            DataName::Cifar10 => "cifar10",
            DataName::Mnist => "mnist",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// Recorded once, compiled and run as one graph
    Graph,
    /// Op by op, as the Rust code goes
    Eager,
}

impl ModeName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ModeName::Graph => "graph",
            ModeName::Eager => "eager",
        }
    }

    pub(crate) fn mode(self) -> Mode {
        match self {
            ModeName::Graph => Mode::Graph,
            ModeName::Eager => Mode::Eager,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OptimizerName {
    /// Stochastic gradient descent with Nesterov momentum
    Sgd,
    /// Adam
    Adam,
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Training,
    Inference,
}

pub(crate) fn model_name() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(NAMES.iter().map(|(name, help)| PossibleValue::new(*name).help(*help)))
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("must be at least 1".to_string()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a whole number, at least 1".to_string()),
    }
}

pub(crate) fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("must be a number above 0".to_string()),
    }
}

fn momentum(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(momentum) if (0.0..1.0).contains(&momentum) => Ok(momentum),
        _ => Err("must be at least 0 and below 1".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!((positive("3"), learning_rate("0.5"), momentum("0")), (Ok(3), Ok(0.5), Ok(0.0)));
        assert!(["0", "-1", "1.5", ""].iter().all(|text| positive(text).is_err()));
        assert!(["0", "-1", "nan", "inf", "x"].iter().all(|text| learning_rate(text).is_err()));
        assert!(["1", "-1", "nan", "x"].iter().all(|text| momentum(text).is_err()));
    }
}
