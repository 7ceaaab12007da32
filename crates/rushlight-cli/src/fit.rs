//! `rushlight fit`.

use crate::arguments::FitOptions;
use crate::evaluate::{Ready, compile, prepare};
use crate::failure::Failure;
use crate::files::{in_file, output};
use crate::interrupt;
use rushlight::callbacks::{Callback, CallbackMemory, Progressing};
use rushlight::eagerly;
use rushlight::formats::{Format, weights_to_bytes};
use rushlight::prelude::*;
use rushlight::training::Compile;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// The losses of single steps in the history file.
const BATCH_LOSS: &str = "batch_loss";

/// Where the checkpoint is in a log directory.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// What a run has measured so far: the content of its history file.
type Measured = Arc<Mutex<Value>>;

pub(crate) fn run(options: &FitOptions) -> Result<(), Failure> {
    output::check_writable(options.save.as_ref(), &["keras"])?;
    output::check_writable(options.history.as_ref(), &["json"])?;
    // Layers that are made from the file draw the seeds of their noise.
    random::set_seed(options.seed);
    let Ready { mut model, examples, count } = prepare(&options.model, &options.input, &options.target)?;
    compile(&mut model, &options.model, &options.compile)?;
    let mut data = Dataset::from_batch(examples)?.batch(options.batch_size);
    if options.shuffle {
        data = data.shuffle(options.seed);
    }
    let measured: Measured = Arc::new(Mutex::new(json!({ BATCH_LOSS: [] })));
    let last_loss = eagerly(|| Variable::new("last_loss", &Tensor::scalar(0f64)))?.untrainable();
    note_each_loss(&mut model, &last_loss);
    let mut fit = Fit::epochs(options.epochs)
        .mode(options.mode.mode())
        .stop_flag(interrupt::listen()?)
        .callback(Record { measured: measured.clone(), last_loss });
    if let Some(part) = options.validation_split {
        fit = fit.validation_split(part);
    }
    if options.json {
        fit = fit.verbose(0);
    }
    let monitored = if options.validation_split.is_some() { "val_loss" } else { "loss" };
    for name in &options.callbacks {
        fit = named_callback(fit, name, monitored)?;
    }
    if let Some(directory) = &options.logdir {
        let settings = json!({
            "batch_size": options.batch_size,
            "examples": count,
            "seed": options.seed,
            "shuffle": options.shuffle,
            "validation_split": options.validation_split,
            "callbacks": options.callbacks,
            "compile": model.compile_settings().and_then(Compile::to_json),
        });
        let backup = BackupAndRestore::new(directory.join(CHECKPOINT)).keep().settings(settings);
        let backup = if options.resume { backup } else { backup.start_anew() };
        fit = fit.callback(TensorBoard::new(directory)).callback(backup);
    }
    let history = model.fit(&data, fit).map_err(|error| in_file(&options.model, &error))?;
    // Both are made before either is written, so that a model that cannot be saved leaves nothing new behind.
    let saved = options.save.as_ref().map(|_| weights_to_bytes(&model, Format::Keras)).transpose();
    let saved = saved.map_err(|error| in_file(&options.model, &error))?;
    let measured = measured.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let (Some(path), Some(bytes)) = (&options.save, saved) {
        output::write(path, &bytes)?;
    }
    if let Some(path) = &options.history {
        output::write(path, format!("{measured:#}\n").as_bytes())?;
    }
    if options.json {
        say!("{measured}");
    }
    if history.interrupted { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Lets each training step leave its loss in a variable.
fn note_each_loss(model: &mut Model, last_loss: &Variable) {
    let Some(settings) = model.compile_settings().cloned() else { return };
    let last_loss = last_loss.clone();
    model.compile_with(settings.train_step(move |step| {
        let forward = step.minimize(|| step.forward())?;
        last_loss.assign(&forward.loss.cast(DType::F64))?;
        step.measure(&forward)
    }));
}

/// Adds a callback by its name; those that watch a value watch this one.
fn named_callback(fit: Fit, name: &str, monitored: &str) -> Result<Fit, Failure> {
    let (kind, setting) = name.split_once('=').map_or((name, None), |(kind, setting)| (kind, Some(setting)));
    let patience = |default: usize| match setting.map_or(Ok(default), str::parse) {
        Ok(patience) => Ok(patience),
        Err(_) => Err(Failure::Usage(format!("--callbacks {name}: the patience must be a whole number"))),
    };
    match (kind, setting) {
        ("early-stopping", _) => {
            Ok(fit.callback(EarlyStopping::new(monitored, patience(0)?).restore_best_weights()))
        }
        ("reduce-lr-on-plateau", _) => {
            Ok(fit.callback(ReduceLROnPlateau::new(monitored).patience(patience(10)?)))
        }
        ("terminate-on-nan", None) => Ok(fit.callback(TerminateOnNaN::new())),
        _ => {
            let rule =
                "there are early-stopping[=PATIENCE], reduce-lr-on-plateau[=PATIENCE] and terminate-on-nan";
            Err(Failure::Usage(format!("--callbacks {name}: {rule}")))
        }
    }
}

/// Writes down the loss of each step, and losses and metrics of each epoch.
struct Record {
    measured: Measured,
    last_loss: Variable,
}

impl Record {
    fn push(&self, name: &str, value: f64) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if !measured[name].is_array() {
            measured[name] = json!([]);
        }
        if let Value::Array(values) = &mut measured[name] {
            values.push(json!(value));
        }
    }
}

impl Callback for Record {
    fn on_batch_end(&mut self, _training: &Progressing, _logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        self.push(BATCH_LOSS, eagerly(|| self.last_loss.read()).to_f64()?);
        Ok(())
    }

    fn on_epoch_end(&mut self, _training: &Progressing, history: &History) -> Result<()> {
        for (name, value) in history.epochs.last().map(|epoch| epoch.logs.0.as_slice()).unwrap_or_default() {
            self.push(name, *value);
        }
        Ok(())
    }

    fn memory(&self) -> Option<CallbackMemory> {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(CallbackMemory::new("history", measured))
    }

    fn remember(&mut self, _training: &Progressing, memory: &CallbackMemory) -> Result<()> {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = memory.values.clone();
        Ok(())
    }
}
