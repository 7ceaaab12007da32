//! Options of the commands that work on files of models and arrays.

use crate::arguments::{ModeName, learning_rate, model_name, positive};
use clap::Args;
use clap::builder::ArgAction;
use clap_complete::Shell;
use std::path::PathBuf;

/// Options of `rushlight predict`.
#[derive(Args)]
pub(crate) struct PredictOptions {
    /// The model: .keras, .onnx, or .h5 of an older Keras; - for standard input
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,

    /// What to predict from: .npy; .npz with arrays by the names of the model's inputs; a .png or .jpg picture, or a
    /// directory of such; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// Where predictions go: .npy, or .npz with output_0, output_1, …; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Examples that are computed at once
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "32")]
    pub(crate) batch_size: usize,

    /// How the model is run
    #[arg(long, value_enum, default_value_t = ModeName::Graph)]
    pub(crate) mode: ModeName,

    /// Print the K classes with the highest scores for each example
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) top: Option<usize>,

    /// A text file with the name of a class on each line
    #[arg(long, value_name = "FILE")]
    pub(crate) classes: Option<PathBuf>,

    /// What pixels from 0 to 255 are multiplied by
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value = "1")]
    pub(crate) scale: f32,

    /// What is then subtracted: one number, or one for each channel
    #[arg(
        long,
        value_name = "R,G,B",
        allow_negative_numbers = true,
        value_delimiter = ',',
        default_value = "0"
    )]
    pub(crate) mean: Vec<f32>,

    /// What is then divided by: one number, or one for each channel
    #[arg(
        long,
        value_name = "R,G,B",
        allow_negative_numbers = true,
        value_delimiter = ',',
        default_value = "1"
    )]
    pub(crate) std: Vec<f32>,

    /// Print results as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a model is to be compiled where its file does not say it, or something else is wanted.
#[derive(Args)]
pub(crate) struct CompileOptions {
    /// The optimizer, by Keras's name: sgd, adam, adamw, rmsprop, … [default: the file's]
    #[arg(long, value_name = "NAME")]
    pub(crate) optimizer: Option<String>,

    /// The learning rate [default: the file's, or the optimizer's]
    #[arg(long, value_name = "RATE", value_parser = learning_rate, allow_negative_numbers = true)]
    pub(crate) learning_rate: Option<f64>,

    /// The loss by Keras's name, or one for each output [default: the file's]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) loss: Vec<String>,

    /// Metrics by Keras's names [default: the file's]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) metrics: Vec<String>,
}

/// Options of `rushlight fit`.
#[derive(Args)]
pub(crate) struct FitOptions {
    /// The model: .keras, .onnx, or .h5 of an older Keras; - for standard input
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,

    /// What to learn from: .npy, or .npz with arrays by the names of the model's inputs
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// What to learn: .npy, or .npz with output_0, output_1, …
    #[arg(long, value_name = "FILE")]
    pub(crate) target: PathBuf,

    /// Examples in a training step
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "32")]
    pub(crate) batch_size: usize,

    /// Passes over the examples
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "1")]
    pub(crate) epochs: usize,

    /// Whether the examples come in another order in each epoch
    #[arg(long, value_name = "true|false", action = ArgAction::Set, default_value_t = true)]
    pub(crate) shuffle: bool,

    /// Determines the order, and what is random in the model
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) compile: CompileOptions,

    /// The part of the examples, from the end, that is not learnt but evaluated after each epoch
    #[arg(long, value_name = "F", value_parser = part)]
    pub(crate) validation_split: Option<f64>,

    /// What to do while training: early-stopping[=PATIENCE], reduce-lr-on-plateau[=PATIENCE], terminate-on-nan
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) callbacks: Vec<String>,

    /// Where TensorBoard logs go, and the checkpoints that --resume continues from
    #[arg(long, value_name = "DIR")]
    pub(crate) logdir: Option<PathBuf>,

    /// Continue from the last checkpoint in the log directory, if there is one
    #[arg(long, requires = "logdir")]
    pub(crate) resume: bool,

    /// How training steps are run
    #[arg(long, value_enum, default_value_t = ModeName::Graph)]
    pub(crate) mode: ModeName,

    /// Where losses and metrics go: a .json file
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,

    /// Where the trained model goes: a .keras file
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,

    /// Print the history as JSON, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rushlight evaluate`.
#[derive(Args)]
pub(crate) struct EvaluateOptions {
    /// The model: .keras, .onnx, or .h5 of an older Keras; - for standard input
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,

    /// Inputs: .npy, or .npz with arrays by the names of the model's inputs
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// What the outputs should be: .npy, or .npz with output_0, output_1, …
    #[arg(long, value_name = "FILE")]
    pub(crate) target: PathBuf,

    /// Examples that are computed at once
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, default_value = "32")]
    pub(crate) batch_size: usize,

    #[command(flatten)]
    pub(crate) compile: CompileOptions,

    /// Print results as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rushlight inspect`.
#[derive(Args)]
pub(crate) struct InspectOptions {
    /// A file of a model, weights or arrays: .keras, .h5, .onnx, .safetensors, .npz, .npy; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print what there is as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rushlight convert`.
#[derive(Args)]
pub(crate) struct ConvertOptions {
    /// A file of a model, weights or arrays: .keras, .h5, .onnx, .safetensors, .npz, .npy; - for standard input
    #[arg(value_name = "IN")]
    pub(crate) from: PathBuf,

    /// What to write; the ending says what it becomes
    #[arg(value_name = "OUT")]
    pub(crate) to: PathBuf,

    /// The model that weights belong to: a file, or a name that `rushlight new` knows
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// Take batch normalization and biases into the convolutions before them (.onnx)
    #[arg(long)]
    pub(crate) fold_batch_normalization: bool,

    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rushlight new`.
#[derive(Args)]
pub(crate) struct NewOptions {
    /// The model
    #[arg(value_parser = model_name())]
    pub(crate) name: String,

    /// Where it goes: a .keras file
    #[arg(long, value_name = "FILE")]
    pub(crate) save: PathBuf,

    /// Number of classes [default: the model's own, 10 or 1000]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) classes: Option<usize>,

    /// Determines the first weights
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0)]
    pub(crate) seed: u64,

    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rushlight plot`.
#[derive(Args)]
pub(crate) struct PlotOptions {
    /// The model: .keras, .onnx, or .h5 of an older Keras, or a name that `rushlight new` knows; - for standard input
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,

    /// The picture: .svg or .png, or text for Graphviz (.dot) or Mermaid (.mmd)
    #[arg(value_name = "OUT")]
    pub(crate) to: PathBuf,

    /// Leave out the layers' names
    #[arg(long)]
    pub(crate) no_names: bool,

    /// Draw models inside of the model as single boxes
    #[arg(long)]
    pub(crate) no_nested: bool,

    /// Columns that a tall picture takes at most [default: as many as give it a handy shape]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) columns: Option<usize>,

    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rushlight completions`.
#[derive(Args)]
pub(crate) struct CompletionsOptions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Options of `rushlight man`.
#[derive(Args)]
pub(crate) struct ManOptions {
    /// Where the pages go; made if it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part < 1.0 => Ok(part),
        _ => Err("must be above 0 and below 1".to_string()),
    }
}
