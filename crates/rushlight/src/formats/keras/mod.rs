//! Keras's files: `.keras` archives, `.weights.h5`, and whole models in HDF5 as older versions wrote them.

mod arguments;
mod call;
mod compile;
mod export;
mod legacy;
mod operators;
mod plan;
mod primitives;
mod structure;
mod weights;

use crate::formats::{Format, zip};
use crate::models::Model;
use plan::{Plan, Problems, Shapes};
use rushlight_core::{Error, ErrorKind, Result, Tensor};
use rushlight_hdf5::Writer;
use serde_json::{Value, json};
use structure::Container;

pub(crate) use legacy::read_model as read_legacy_model;
pub(crate) use weights::check_numbers;

/// The members of a `.keras` archive.
const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";

/// The version of Keras whose format is written.
const WRITTEN_FOR: &str = "3.15.1";

fn wrong(rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, "keras", rule)
}

/// What a `.keras` file describes, before any layer is made.
pub(crate) struct Description {
    pub(crate) config: Value,
    pub(crate) weights: Vec<u8>,
}

/// The members of a `.keras` file, parsed.
///
/// # Errors
/// If the archive is damaged, or a member that must be there is missing.
pub(crate) fn describe(bytes: &[u8]) -> Result<Description> {
    let archive = zip::Archive::new(bytes)?;
    let json = |name: &str| {
        let text = archive.read(name)?;
        serde_json::from_slice::<Value>(&text).map_err(|error| wrong(format!("`{name}` is no JSON: {error}")))
    };
    let config = json(CONFIG)?;
    Ok(Description { config, weights: archive.read(weights::WEIGHTS)? })
}

/// The model in a `.keras` file: layers, weights, and how it is compiled.
///
/// # Errors
/// If the file is damaged, describes layers that nobody knows, or its weights do not fit.
pub(crate) fn read(bytes: &[u8], shapes: &[Vec<usize>], compiled: bool) -> Result<Model> {
    let description = describe(bytes)?;
    let root = rushlight_hdf5::read(&description.weights).map_err(weights::damaged)?;
    let (mut model, container) = build(&description.config, shapes, elements_in(&root))?;
    weights::read(&root, &container.places(""))?;
    if compiled {
        compile::restore(&mut model, &description.config)?;
        compile::read_state(&model, &container, &root)?;
    }
    Ok(model)
}

/// The model that an object describes, its weights zero; it may have so many numbers at most.
fn build(object: &Value, shapes: &[Vec<usize>], most_elements: usize) -> Result<(Model, Container)> {
    let mut problems = Problems::default();
    let plan = Plan::parse(object, "", &mut problems)?;
    problems.check()?;
    crate::layers::with_zero_weights(most_elements, || plan.build(&Shapes::new(shapes)))
}

/// All numbers that a file has: a model that asks for more cannot be the one that was saved.
fn elements_in(root: &rushlight_hdf5::Group<'_>) -> usize {
    let count = |data: &rushlight_hdf5::Dataset<'_>| data.dims().iter().product::<u64>() as usize;
    root.datasets().iter().map(|(_, data)| count(data)).fold(0usize, usize::saturating_add)
}

/// The bytes of a `.keras` file of this model.
///
/// # Errors
/// If the model is not built, if something in it has no counterpart in Keras, or if a weight is not a number.
pub(crate) fn write(model: &Model) -> Result<Vec<u8>> {
    let mut object = export::model_object(model)?;
    object["build_config"] = json!({});
    object["compile_config"] = compile::describe(model);
    let mut writer = Writer::new();
    write_variables(model, &mut writer)?;
    compile::write_state(model, &container_of(model)?, &mut writer)?;
    let metadata = json!({ "keras_version": WRITTEN_FOR, "date_saved": "", "backend": "rushlight" });
    let text = |value: &Value| serde_json::to_vec(value).map_err(|error| wrong(error.to_string()));
    let weights = writer.finish().map_err(weights::damaged)?;
    let (metadata, config) = (text(&metadata)?, text(&object)?);
    zip::write(&[(METADATA, &metadata), (CONFIG, &config), (weights::WEIGHTS, &weights)])
}

fn write_variables(model: &Model, writer: &mut Writer) -> Result<()> {
    let container = container_of(model)?;
    writer.group("layers").map_err(weights::damaged)?;
    weights::write(writer, &container.places(""))
}

fn container_of(model: &Model) -> Result<Container> {
    Container::of(model)
        .ok_or_else(|| wrong("only functional models and Sequential have places in Keras's files"))
}

/// The bytes of a `.weights.h5` file of this model.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_weights(model: &Model) -> Result<Vec<u8>> {
    let mut writer = Writer::new();
    write_variables(model, &mut writer)?;
    writer.finish().map_err(weights::damaged)
}

/// Reads the weights of a model from a file of Keras's, all of them or none; nothing if the file is no such.
pub(crate) fn read_any_weights(model: &Model, bytes: &[u8]) -> Option<Result<()>> {
    let inside;
    let bytes = match Format::of_content(bytes)? {
        Format::Hdf5 => bytes,
        Format::Keras => match describe(bytes) {
            Ok(description) => {
                inside = description.weights;
                &inside
            }
            Err(error) => return Some(Err(error)),
        },
        _ => return None,
    };
    Some(rushlight_hdf5::read(bytes).map_err(weights::damaged).and_then(|root| {
        if legacy::is_legacy_weights(&root) {
            legacy::read_weights(model, &root)
        } else {
            weights::read(&root, &container_of(model)?.places(""))
        }
    }))
}

/// The config of the model in an `.h5` file of an older Keras; nothing if it has weights only.
///
/// # Errors
/// If the file is damaged.
pub(crate) fn legacy_config(bytes: &[u8]) -> Result<Option<Value>> {
    legacy::config(&rushlight_hdf5::read(bytes).map_err(weights::damaged)?)
}

/// All arrays of an HDF5 file by their paths.
///
/// # Errors
/// If the file is damaged, or an element type is not supported.
pub(crate) fn read_arrays(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let root = rushlight_hdf5::read(bytes).map_err(weights::damaged)?;
    let arrays = root.datasets().into_iter().map(|(path, data)| {
        let array = weights::tensor_from(data, &format!("`{path}`"))?;
        Ok((path, array))
    });
    arrays.collect()
}

/// The bytes of an HDF5 file with these arrays at their paths.
///
/// # Errors
/// If a name is no path.
pub(crate) fn write_arrays(arrays: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let mut writer = Writer::new();
    for (path, array) in arrays {
        weights::write_tensor(&mut writer, path, array, &format!("`{path}`"))?;
    }
    writer.finish().map_err(weights::damaged)
}
