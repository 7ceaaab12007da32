//! How a model is compiled, and the state of its optimizer, as Keras writes them.

use super::structure::Container;
use super::{weights, wrong};
use crate::layers::Layer;
use crate::models::Model;
use crate::optimizers::{self, Optimizer};
use crate::training::Compile;
use rushlight_core::{DType, Result, Tensor, Variable, eagerly};
use rushlight_hdf5::{Dataset, Group, Writer};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Where optimizers' variables are.
const STATE: &str = "optimizer/vars";

/// Compiles a model as its object says; a model that was not compiled stays so.
///
/// # Errors
/// If optimizer, loss or a metric are not known; the message says which.
pub(super) fn restore(model: &mut Model, object: &Value) -> Result<()> {
    let config = &object["compile_config"];
    if config.as_object().is_none_or(|config| config.get("optimizer").is_none_or(Value::is_null)) {
        return Ok(());
    }
    let outputs = output_names(object, model);
    let count = outputs.len().max(1);
    let mut losses: Vec<Value> = by_output(&config["loss"], &outputs).into_iter().map(plain).collect();
    if losses.len() == 1 && count > 1 {
        losses = vec![losses[0].clone(); count];
    }
    if losses.iter().all(Value::is_null) {
        return Ok(());
    }
    let mut loss_weights = by_output(&config["loss_weights"], &outputs);
    match loss_weights.iter().all(Value::is_null) {
        true => loss_weights.clear(),
        false => loss_weights.iter_mut().filter(|it| it.is_null()).for_each(|it| *it = json!(1.0)),
    }
    let description =
        json!({ "optimizer": config["optimizer"], "loss": losses, "loss_weights": loss_weights });
    let mut compile = Compile::from_json(&description).map_err(within)?;
    for (key, weighted) in [("metrics", false), ("weighted_metrics", true)] {
        let metrics = &config[key];
        if count == 1 {
            let metrics = Value::Array(flat(metrics));
            let read = json!({ "optimizer": "sgd", "loss": losses, key: metrics });
            compile.metrics.extend(Compile::from_json(&read).map_err(within)?.metrics);
            continue;
        }
        for (output, metrics) in by_output(metrics, &outputs).iter().enumerate() {
            let read = json!({ "optimizer": "sgd", "loss": losses, "metrics": flat(metrics) });
            for mut judge in Compile::from_json(&read).map_err(within)?.metrics {
                (judge.output, judge.is_named_after_output, judge.is_weighted) = (output, true, weighted);
                compile.metrics.push(judge);
            }
        }
    }
    model.compile_with(compile);
    Ok(())
}

fn within(error: rushlight_core::Error) -> rushlight_core::Error {
    wrong(format!("compile_config: {}", error.rule()))
}

/// A function of Keras by its name, such as `mean_squared_error`.
fn plain(value: Value) -> Value {
    let is_function = value.get("class_name").and_then(Value::as_str) == Some("function");
    match value.get("config") {
        Some(Value::String(name)) if is_function => json!(name),
        _ => value,
    }
}

/// All metrics in nested lists and objects.
fn flat(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        other => vec![plain(other.clone())],
    }
}

/// One value for each output: from a list, or from an object by the outputs' names.
fn by_output(value: &Value, outputs: &[String]) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Object(fields) if !fields.contains_key("class_name") => {
            outputs.iter().map(|name| fields.get(name).cloned().unwrap_or(Value::Null)).collect()
        }
        one => vec![one.clone()],
    }
}

/// The names of the layers that give the outputs.
fn output_names(object: &Value, model: &Model) -> Vec<String> {
    fn names(value: &Value) -> Vec<String> {
        match value {
            Value::Array(items) => match items.first() {
                Some(Value::String(name)) => vec![name.clone()],
                _ => items.iter().flat_map(names).collect(),
            },
            Value::Object(fields) => fields.values().flat_map(names).collect(),
            _ => Vec::new(),
        }
    }
    match names(&object["config"]["output_layers"]) {
        empty if empty.is_empty() => vec![model.name().to_string()],
        names => names,
    }
}

/// The trained variables in the order in which Keras's optimizers keep their state.
fn trained(container: &Container) -> Vec<Variable> {
    container.variables().into_iter().map(|place| place.variable).filter(Variable::is_trainable).collect()
}

/// The optimizer's variables in the order of Keras's files. A list of layers may have another order than their calls,
/// in which the optimizer was built: then variables go by their names, and those that are not made yet are new.
fn in_file_order(model: &Model, listed: &Container, optimizer: &dyn Optimizer) -> Result<Vec<Variable>> {
    let wanted = trained(listed);
    let own = optimizer.variables();
    let in_order = optimizers::from_config(&optimizer.config())?;
    in_order.build(&wanted)?;
    let in_order = in_order.variables();
    if wanted == model.trainable_variables() && own.len() == in_order.len() {
        return Ok(own);
    }
    let mut known: HashMap<String, Variable> = HashMap::new();
    for variable in own {
        if known.insert(variable.name().to_string(), variable.clone()).is_some() {
            let rule = format!(
                "two variables of the optimizer are called `{}`: name the layers apart",
                variable.name()
            );
            return Err(wrong(rule));
        }
    }
    Ok(in_order.into_iter().map(|new| known.get(new.name()).cloned().unwrap_or(new)).collect())
}

/// Gives a compiled model's optimizer the state that the file has; there is none if it was not trained.
///
/// # Errors
/// If the state does not fit the optimizer.
pub(super) fn read_state(model: &Model, listed: &Container, root: &Group<'_>) -> Result<()> {
    let count = root.group(STATE).map_or(0, |stored| stored.members().count());
    let stored = (0..count).map(|index| format!("{STATE}/{index}"));
    set_state(model, listed, &stored.map(|path| (root.dataset(&path), path)).collect::<Vec<_>>())
}

/// The same from data sets with their paths, in the order of Keras's optimizers; none if there is no state.
pub(super) fn set_state(
    model: &Model,
    listed: &Container,
    stored: &[(Option<&Dataset<'_>>, String)],
) -> Result<()> {
    let Some(optimizer) = model.optimizer().filter(|_| !stored.is_empty()) else { return Ok(()) };
    optimizer.build(&model.trainable_variables())?;
    let wanted = in_file_order(model, listed, &**optimizer)?;
    // Compiled but not trained: only the iteration and the learning rate.
    let is_fresh = stored.len() <= 2 && stored.len() < wanted.len();
    if !is_fresh && stored.len() != wanted.len() {
        let count = stored.len();
        let rule = format!("the optimizer has {} variables, and the file has {count}", wanted.len());
        return Err(weights::wrong(rule));
    }
    let mut values: Vec<(&Variable, Tensor)> = Vec::new();
    for (variable, (data, path)) in wanted.iter().zip(stored) {
        let data = data.ok_or_else(|| weights::wrong(format!("`{path}` is missing")))?;
        let value = weights::value_of(data, variable, &format!("`{path}` ({})", variable.name()))?;
        values.push((variable, value));
    }
    values.into_iter().try_for_each(|(variable, value)| eagerly(|| variable.assign(&value)))
}

/// What a model is compiled with, for the file; `{}` if it is not, or not with what Keras has.
pub(super) fn describe(model: &Model) -> Value {
    let Some(settings) = model.compile_settings() else { return json!({}) };
    let Some(mut config) = settings.to_json() else { return json!({}) };
    let several = settings.losses.len() > 1;
    for (key, weighted) in [("metrics", false), ("weighted_metrics", true)] {
        let chosen: Vec<_> = settings.metrics.iter().filter(|judge| judge.is_weighted == weighted).collect();
        let object =
            |judge: &&crate::training::Judge| judge.metric.config().map(|it| it.to_json("keras.metrics"));
        config[key] = match (chosen.is_empty(), several) {
            (true, _) => Value::Null,
            (false, false) => chosen.iter().filter_map(object).map(accuracy_by_name).collect(),
            (false, true) => (0..settings.losses.len())
                .map(|output| {
                    let own = chosen.iter().filter(|judge| judge.output == output);
                    own.filter_map(object).map(accuracy_by_name).collect::<Value>()
                })
                .collect(),
        };
    }
    config
}

/// Keras finds out which accuracy is meant where a model is compiled with this word, not with the class.
fn accuracy_by_name(metric: Value) -> Value {
    if metric["class_name"] == "Accuracy" { json!("accuracy") } else { metric }
}

/// Writes the optimizer's state, in Keras's order.
pub(super) fn write_state(model: &Model, listed: &Container, writer: &mut Writer) -> Result<()> {
    let Some(optimizer) = model.optimizer() else { return Ok(()) };
    for (index, variable) in in_file_order(model, listed, &**optimizer)?.iter().enumerate() {
        let value = eagerly(|| variable.read());
        // Scalars of double precision are single in Keras.
        let value = match (value.dtype()?, value.rank()?) {
            (DType::F64, 0) => value.cast(DType::F32),
            _ => value,
        };
        weights::write_tensor(
            writer,
            &format!("{STATE}/{index}"),
            &value,
            &format!("`{}`", variable.name()),
        )?;
    }
    Ok(())
}
