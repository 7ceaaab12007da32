//! Models and weights in HDF5 alone, as Keras wrote them before `.keras`.
//!
//! Groups have the names of layers, and attributes that list them: `layer_names`, and `weight_names` of each.

use super::structure::Place;
use super::{container_of, elements_in, weights, wrong};
use crate::models::Model;
use rushlight_core::{Result, Tensor, eagerly};
use rushlight_hdf5::Group;
use serde_json::{Value, json};
use std::collections::HashMap;

/// A list of texts, which is spread over `name0`, `name1`, … if it is long.
fn texts(group: &Group<'_>, name: &str) -> Result<Option<Vec<String>>> {
    if let Some(attribute) = group.attribute(name) {
        return attribute.texts().map(Some).map_err(weights::damaged);
    }
    let mut found = Vec::new();
    let mut parts = 0;
    while let Some(attribute) = group.attribute(&format!("{name}{parts}")) {
        found.extend(attribute.texts().map_err(weights::damaged)?);
        parts += 1;
    }
    Ok((parts > 0).then_some(found))
}

/// Whether a file lists its weights by the names of layers.
pub(crate) fn is_legacy_weights(root: &Group<'_>) -> bool {
    let group = root.group("model_weights").unwrap_or(root);
    group.attribute("layer_names").is_some() || group.attribute("layer_names0").is_some()
}

/// The model in an HDF5 file that has its config in an attribute.
///
/// # Errors
/// If there is no config, or it or the weights cannot be read.
pub(crate) fn read_model(bytes: &[u8], shapes: &[Vec<usize>], compiled: bool) -> Result<Model> {
    let root = rushlight_hdf5::read(bytes).map_err(weights::damaged)?;
    let config = config(&root)?.ok_or_else(|| {
        wrong("the file has weights only: a model that fits them must be made first, or given as `.keras`")
    })?;
    let (mut model, container) = super::build(&config, shapes, elements_in(&root))?;
    assign(&root, &container.places(""))?;
    if compiled && let Some(training) = root.attribute("training_config") {
        let training = training.text().map_err(weights::damaged)?;
        let training: Value = serde_json::from_str(&training)
            .map_err(|error| wrong(format!("`training_config` is no JSON: {error}")))?;
        // The optimizer's state has names of its own there and is not taken over.
        let mut described = config.clone();
        described["compile_config"] = json!({
            "optimizer": training["optimizer_config"],
            "loss": training["loss"],
            "loss_weights": training["loss_weights"],
            "metrics": training["metrics"],
            "weighted_metrics": training["weighted_metrics"],
        });
        super::compile::restore(&mut model, &described)?;
    }
    Ok(model)
}

/// What describes the model, if the file has more than weights.
pub(super) fn config(root: &Group<'_>) -> Result<Option<Value>> {
    let Some(config) = root.attribute("model_config") else { return Ok(None) };
    let config = config.text().map_err(weights::damaged)?;
    let config = serde_json::from_str(&config);
    config.map(Some).map_err(|error| wrong(format!("`model_config` is no JSON: {error}")))
}

/// Reads the weights of a model from such a file.
///
/// # Errors
/// As [`read_model`], and if the model has other layers.
pub(crate) fn read_weights(model: &Model, root: &Group<'_>) -> Result<()> {
    assign(root, &container_of(model)?.places(""))
}

/// Gives each layer the weights that the file has under its name, in their order; all of them or none.
fn assign(root: &Group<'_>, places: &[Place]) -> Result<()> {
    let group = root.group("model_weights").unwrap_or(root);
    let layers =
        texts(group, "layer_names")?.ok_or_else(|| wrong("the attribute `layer_names` is missing"))?;
    let mut stored: HashMap<&str, Vec<String>> = HashMap::new();
    for layer in &layers {
        let inside = group.group(layer).ok_or_else(|| wrong(format!("there is no group `{layer}`")))?;
        stored.insert(layer, texts(inside, "weight_names")?.unwrap_or_default());
    }
    let mut next: HashMap<&str, usize> = HashMap::new();
    let mut values: Vec<(&Place, Tensor)> = Vec::new();
    for place in places {
        let layer = place.name.split('/').next().unwrap_or_default();
        let names = stored.get(layer).ok_or_else(|| wrong(format!("the file has no layer `{layer}`")))?;
        let index = next.entry(layer).or_insert(0);
        let name = names.get(*index).ok_or_else(|| {
            wrong(format!(
                "`{}` is missing: the layer has {} variable(s) in the file",
                place.name,
                names.len()
            ))
        })?;
        *index += 1;
        let path = format!("{layer}/{name}");
        let data = group.dataset(&path).ok_or_else(|| wrong(format!("`{path}` is missing")))?;
        values.push((place, weights::value_of(data, &place.variable, &format!("`{}`", place.name))?));
    }
    values.iter().try_for_each(|(place, value)| eagerly(|| place.variable.assign(value)))
}
