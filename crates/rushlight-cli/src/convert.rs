//! `rushlight convert` and `rushlight new`.

use crate::arguments::{ConvertOptions, NewOptions};
use crate::failure::Failure;
use crate::files::{in_file, inference_model, model, output, read};
use crate::text::shown;
use rushlight::applications::{Config, config_by_name};
use rushlight::formats::{
    Format, arrays_from_bytes, arrays_to_bytes, folded_onnx_bytes, model_description, weights_from_bytes,
    weights_to_bytes,
};
use rushlight::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The biases of classifiers, one number a class, and what batch normalization adds to the variance if it is not what
/// the model of that name has: torchvision, Keras Applications.
const CLASSIFIERS: [(&str, Option<f64>); 2] = [("classifier.bias", Some(1e-5)), ("predictions/bias", None)];

pub(crate) fn run(options: &ConvertOptions) -> Result<(), Failure> {
    let format = Format::of_path(&options.to).map_err(|error| Failure::Usage(error.to_string()))?;
    if options.fold_batch_normalization && format != Format::Onnx {
        let rule = "--fold-batch-normalization is for .onnx";
        return Err(Failure::Usage(format!("{}: {rule}", shown(&options.to))));
    }
    output::check_writable(Some(&options.to), &[])?;
    let bytes = read(&options.from)?;
    let wrong = |error: rushlight::Error| in_file(&options.from, &error);
    let has_model = model_description(&bytes).map_err(wrong)?.is_some();
    let written = |model: &Model| match options.fold_batch_normalization {
        true => folded_onnx_bytes(model),
        false => weights_to_bytes(model, format),
    };
    let converted = match (&options.model, has_model) {
        (None, true) => {
            // How it is compiled matters only to what can say it.
            let read = if format == Format::Keras { model } else { inference_model };
            written(&read(&options.from, &bytes, &[])?)
        }
        (None, false) if matches!(format, Format::Keras | Format::Onnx) => {
            let rule = "the file has weights only: --model says which model they belong to";
            return Err(Failure::Usage(format!("{}: {rule}", shown(&options.from))));
        }
        (None, false) => arrays_from_bytes(&bytes).and_then(|arrays| arrays_to_bytes(&arrays, format)),
        (Some(name), _) => {
            let model = model_of(name, &bytes)?;
            weights_from_bytes(&model, &bytes).and_then(|()| written(&model))
        }
    };
    let converted = converted.map_err(wrong)?;
    output::write(&options.to, &converted)?;
    tell(options.json, &options.to, &converted);
    Ok(())
}

/// What was written, for programs.
fn tell(json: bool, path: &Path, bytes: &[u8]) {
    if json {
        say!("{}", json!({ "written": shown(path), "bytes": bytes.len() }));
    }
}

/// A model by its file, or by the name of an application, which then is made for the weights in a file: those of
/// torchvision have an epsilon of their own, and there are as many classes as the file has.
fn model_of(name: &str, weights: &[u8]) -> Result<Model, Failure> {
    let path = PathBuf::from(name);
    let Some(mut config) = config_by_name(name).ok().filter(|_| !path.exists()) else {
        return model(&path, &read(&path)?, &[]);
    };
    if Format::of_content(weights).is_some_and(|format| matches!(format, Format::Safetensors | Format::Npz)) {
        let arrays = arrays_from_bytes(weights)?;
        for (name, epsilon) in CLASSIFIERS {
            let found = arrays.iter().find(|(known, _)| known == name);
            if let (Config::DenseNet(settings), Some((_, bias))) = (&mut config, found) {
                settings.epsilon = epsilon.unwrap_or(settings.epsilon);
                let classes = bias.count()?;
                config = config.with_classes(classes);
            }
        }
    }
    Ok(config.build()?)
}

pub(crate) fn run_new(options: &NewOptions) -> Result<(), Failure> {
    output::check_writable(Some(&options.save), &["keras"])?;
    random::set_seed(options.seed);
    let mut config = config_by_name(&options.name)?;
    if let Some(classes) = options.classes {
        config = config.with_classes(classes);
    }
    let model = config.build()?;
    let bytes = weights_to_bytes(&model, Format::Keras)?;
    output::write(&options.save, &bytes)?;
    tell(options.json, &options.save, &bytes);
    Ok(())
}
