//! `rushlight inspect`.

use crate::arguments::InspectOptions;
use crate::failure::Failure;
use crate::files::{in_file, inference_model, read};
use crate::text::{grouped, headline, list};
use rushlight::callbacks::Backup;
use rushlight::formats::{Format, arrays_from_bytes, model_description};
use rushlight::prelude::*;
use rushlight::tensor::{close, display_dims, is_open};
use serde_json::{Value, json};

pub(crate) fn run(options: &InspectOptions) -> Result<(), Failure> {
    let bytes = read(&options.file)?;
    let wrong = |error: &rushlight::Error| in_file(&options.file, error);
    let description = model_description(&bytes).map_err(|error| wrong(&error))?;
    let Some(description) = description else {
        let arrays = arrays_from_bytes(&bytes).map_err(|error| wrong(&error))?;
        return arrays_in(&arrays, &bytes, options);
    };
    let format = Format::of_content(&bytes).map_or("unknown", name);
    let model = inference_model(&options.file, &bytes, &[])?;
    let summary = model.summary();
    let compile = &description["compile_config"];
    let specs = summary.rows.iter().flat_map(|row| &row.outputs);
    let output_bytes: usize = specs
        .map(|spec| spec.dims.iter().map(|&dim| close(dim, 1)).product::<usize>() * spec.dtype.size())
        .sum();
    let is_compiled = compile.as_object().is_some_and(|compile| !compile.is_empty());
    if options.json {
        let dims = |dims: &[usize]| -> Value {
            dims.iter().map(|&dim| if is_open(dim) { Value::Null } else { json!(dim) }).collect()
        };
        let rows = summary.rows.iter().map(|row| {
            let outputs: Vec<Value> = row.outputs.iter().map(|spec| dims(&spec.dims)).collect();
            json!({ "name": row.name, "class": row.class, "outputs": outputs, "parameters": row.parameters,
                "connected_to": row.connected_to })
        });
        let inputs = model.inputs().into_iter().map(
            |(name, spec)| json!({ "name": name, "shape": dims(&spec.dims), "dtype": spec.dtype.to_string() }),
        );
        let outputs = model.outputs();
        let outputs =
            outputs.iter().map(|spec| json!({ "shape": dims(&spec.dims), "dtype": spec.dtype.to_string() }));
        say!(
            "{}",
            json!({
                "format": format,
                "name": summary.name,
                "inputs": inputs.collect::<Vec<_>>(),
                "outputs": outputs.collect::<Vec<_>>(),
                "layers": rows.collect::<Vec<_>>(),
                "trainable_parameters": summary.trainable_parameters,
                "other_parameters": summary.other_parameters,
                "parameter_bytes": summary.parameter_bytes,
                "output_bytes_per_example": output_bytes,
                "file_bytes": bytes.len(),
                "compile_config": if is_compiled { compile.clone() } else { Value::Null },
            })
        );
        return Ok(());
    }
    say_part!("{summary}");
    let show = |key: &str| match &compile[key] {
        Value::Null => "none".to_string(),
        value => short(value),
    };
    let mut rows = vec![
        ("file", format!("{format}, {} bytes", grouped(bytes.len()))),
        ("memory", format!("{} bytes of outputs for each example", grouped(output_bytes))),
    ];
    if is_compiled {
        rows.extend([("optimizer", show("optimizer")), ("loss", show("loss")), ("metrics", show("metrics"))]);
    } else {
        rows.push(("compiled", "no".to_string()));
    }
    say_part!("\n{}\n{}", headline("File"), list(&rows));
    Ok(())
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Keras => "keras",
        Format::Hdf5 => "hdf5",
        Format::Safetensors => "safetensors",
        Format::Npy => "npy",
        Format::Npz => "npz",
        Format::Onnx => "onnx",
        _ => "unknown",
    }
}

/// A config in few words: `Adam(learning_rate=0.01)`.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match (fields.get("class_name"), fields.get("config")) {
            (Some(Value::String(class)), Some(Value::Object(config))) => {
                let told = ["learning_rate", "momentum", "weight_decay", "from_logits", "label_smoothing"];
                let told = told.iter().filter_map(|key| {
                    let value = config.get(*key).filter(|value| !value.is_null())?;
                    Some(format!("{key}={}", short(value)))
                });
                format!("{class}({})", told.collect::<Vec<_>>().join(", "))
            }
            (Some(_), Some(config)) => short(config),
            _ => fields
                .iter()
                .map(|(key, value)| format!("{key}: {}", short(value)))
                .collect::<Vec<_>>()
                .join(", "),
        },
        other => other.to_string(),
    }
}

fn arrays_in(arrays: &[(String, Tensor)], bytes: &[u8], options: &InspectOptions) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (name, array) in arrays {
        rows.push((name.as_str(), array.dtype()?, array.shape()?.to_vec()));
    }
    let numbers: usize = rows.iter().map(|(_, _, dims)| dims.iter().product::<usize>()).sum();
    let backup =
        arrays.iter().any(|(name, _)| name == "state").then(|| Backup::from_bytes(bytes).ok()).flatten();
    if options.json {
        let arrays: Vec<Value> = rows
            .iter()
            .map(|(name, dtype, dims)| json!({ "name": name, "dtype": dtype.to_string(), "shape": dims }))
            .collect();
        let mut said = json!({
            "format": Format::of_content(bytes).map(name),
            "arrays": arrays,
            "numbers": numbers,
            "file_bytes": bytes.len(),
        });
        if let Some(backup) = backup {
            said["checkpoint"] = json!({
                "version": backup.version,
                "finished_epochs": backup.finished_epochs,
                "is_stopped": backup.is_stopped,
                "settings": backup.settings,
            });
        }
        say!("{said}");
        return Ok(());
    }
    let shown: Vec<(&str, String)> =
        rows.iter().map(|(name, dtype, dims)| (*name, format!("{dtype}{}", display_dims(dims)))).collect();
    say_part!("{}", list(&shown));
    say!("{} arrays, {} numbers, {} bytes", grouped(rows.len()), grouped(numbers), grouped(bytes.len()));
    if let Some(backup) = backup {
        let (version, epochs) = (backup.version, backup.finished_epochs);
        say!("checkpoint of a training (version {version}): {epochs} epochs finished");
    }
    Ok(())
}
