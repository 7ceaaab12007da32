//! `rushlight evaluate`, and what it shares with `fit`: examples with targets, and how a model is compiled.

use crate::arguments::{CompileOptions, EvaluateOptions};
use crate::failure::Failure;
use crate::files::arrays::{Input, check_counts, check_shapes, in_order};
use crate::files::{check_sources, in_file, model, read};
use crate::text::{list, shown};
use rushlight::prelude::*;
use rushlight::training::Compile;
use serde_json::{Map, Value, json};
use std::path::Path;

pub(crate) fn run(options: &EvaluateOptions) -> Result<(), Failure> {
    let Ready { mut model, examples, .. } = prepare(&options.model, &options.input, &options.target)?;
    compile(&mut model, &options.model, &options.compile)?;
    let data = Dataset::from_batch(examples)?.batch(options.batch_size);
    let logs = model.evaluate(&data).map_err(|error| in_file(&options.model, &error))?;
    if options.json {
        let values: Map<String, Value> =
            logs.0.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        say!("{}", Value::Object(values));
    } else {
        let rows: Vec<(&str, String)> =
            logs.0.iter().map(|(name, value)| (name.as_str(), format!("{value:.6}"))).collect();
        say_part!("{}", list(&rows));
    }
    Ok(())
}

/// A model with what it is to learn, or to be judged by.
pub(crate) struct Ready {
    pub(crate) model: Model,
    pub(crate) examples: Batch,
    pub(crate) count: usize,
}

pub(crate) fn prepare(file: &Path, input: &Path, target: &Path) -> Result<Ready, Failure> {
    check_sources(&[file, input, target])?;
    let bytes = read(file)?;
    let inputs = Input::read(input)?;
    let model = model(file, &bytes, &inputs.shapes())?;
    let arrays = |path: &Path, from: Input, names: &[String], prefix: &str| match from {
        Input::Arrays(arrays) => in_order(path, &arrays, names, prefix),
        Input::Images(_) => Err(Failure::Usage(format!("{}: .npy or .npz is needed", shown(path)))),
    };
    let names: Vec<String> = model.inputs().into_iter().map(|(name, _)| name).collect();
    let inputs = arrays(input, inputs, &names, "input")?;
    let count = check_shapes(input, &inputs, &model)?;
    let names: Vec<String> = (0..model.outputs().len()).map(|index| format!("output_{index}")).collect();
    let targets = arrays(target, Input::read(target)?, &names, "output")?;
    let targets_count = check_counts(target, &targets)?;
    if targets_count != count {
        let (input, target) = (shown(input), shown(target));
        return Err(Failure::Other(format!("{target} has {targets_count} examples, and {input} {count}")));
    }
    Ok(Ready { model, examples: Batch { inputs, targets, ..Batch::default() }, count })
}

/// Compiles the model as it is asked for, and as its file says where nothing is asked for.
pub(crate) fn compile(model: &mut Model, file: &Path, options: &CompileOptions) -> Result<(), Failure> {
    let known = model.compile_settings().cloned();
    let CompileOptions { optimizer, learning_rate, loss, metrics } = options;
    if optimizer.is_some() || !loss.is_empty() || !metrics.is_empty() {
        let outputs = model.outputs().len().max(1);
        let loss = match loss.as_slice() {
            [] => known.as_ref().and_then(Compile::to_json).map(|json| json["loss"].clone()),
            [one] => Some(json!(vec![one; outputs])),
            many => Some(json!(many)),
        };
        let Some(loss) = loss else {
            return Err(Failure::Usage(format!("{} says no loss: --loss is needed", shown(file))));
        };
        let description = json!({
            "optimizer": optimizer.as_deref().unwrap_or("rmsprop").to_lowercase(),
            "loss": loss,
            "metrics": metrics,
        });
        let usage = |error: rushlight::Error| Failure::Usage(error.to_string());
        let mut made = Compile::from_json(&description).map_err(usage)?;
        if let Some(known) = known {
            made = made.or_from(&known, optimizer.is_none(), metrics.is_empty());
        }
        model.compile_with(made);
    }
    let Some(optimizer) = model.optimizer() else {
        let rule =
            "is not compiled: --loss is needed, and --optimizer, --learning-rate and --metrics are possible";
        return Err(Failure::Usage(format!("{} {rule}", shown(file))));
    };
    if let Some(rate) = learning_rate {
        optimizer.set_learning_rate(*rate)?;
    }
    Ok(())
}
