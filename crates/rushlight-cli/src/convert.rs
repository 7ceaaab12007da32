//! `rushlight convert` and `rushlight new`.

use crate::arguments::{ConvertOptions, NewOptions};
use crate::failure::Failure;
use crate::files::{in_file, inference_model, model, output, read};
use rushlight::applications::{by_name, config_by_name};
use rushlight::formats::{
    Format, arrays_from_bytes, arrays_to_bytes, model_description, weights_from_bytes, weights_to_bytes,
};
use rushlight::prelude::*;
use std::path::{Path, PathBuf};

pub(crate) fn run(options: &ConvertOptions) -> Result<(), Failure> {
    let format = Format::of_path(&options.to).map_err(|error| Failure::Usage(error.to_string()))?;
    let bytes = read(&options.from)?;
    let wrong = |error: rushlight::Error| in_file(&options.from, &error);
    let has_model = model_description(&bytes).map_err(wrong)?.is_some();
    let converted = match (&options.model, has_model) {
        (None, true) => {
            // How it is compiled matters only to what can say it.
            let read = if format == Format::Keras { model } else { inference_model };
            let model = read(&options.from, &bytes, &[])?;
            weights_to_bytes(&model, format)
        }
        (None, false) if format == Format::Keras => {
            let rule = "the file has weights only: --model says which model they belong to";
            return Err(Failure::Usage(format!("{}: {rule}", options.from.display())));
        }
        (None, false) => arrays_from_bytes(&bytes).and_then(|arrays| arrays_to_bytes(&arrays, format)),
        (Some(name), _) => {
            let model = model_of(name)?;
            weights_from_bytes(&model, &bytes).and_then(|()| weights_to_bytes(&model, format))
        }
    };
    output::write(&options.to, &converted.map_err(wrong)?)
}

/// A model by the name of an application, or by its file.
fn model_of(name: &str) -> Result<Model, Failure> {
    if config_by_name(name).is_ok() && !Path::new(name).exists() {
        return Ok(by_name(name)?);
    }
    let path = PathBuf::from(name);
    model(&path, &read(&path)?, &[])
}

pub(crate) fn run_new(options: &NewOptions) -> Result<(), Failure> {
    output::check_writable(Some(&options.save), &["keras"])?;
    random::set_seed(options.seed);
    let mut config = config_by_name(&options.name)?;
    if let Some(classes) = options.classes {
        config = config.with_classes(classes);
    }
    let model = config.build()?;
    output::write(&options.save, &weights_to_bytes(&model, Format::Keras)?)
}
