//! Models and weights in HDF5 alone, as Keras wrote them before `.keras`.
//!
//! Groups have the names of layers, and attributes that list them: `layer_names`, and `weight_names` of each.

use super::structure::{Container, Place};
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
    assign(&root, &container.variables())?;
    if compiled && let Some(training) = root.attribute("training_config") {
        let training = training.text().map_err(weights::damaged)?;
        let training: Value = serde_json::from_str(&training)
            .map_err(|error| wrong(format!("`training_config` is no JSON: {error}")))?;
        let mut described = config.clone();
        described["compile_config"] = json!({
            "optimizer": training["optimizer_config"],
            "loss": training["loss"],
            "loss_weights": training["loss_weights"],
            "metrics": training["metrics"],
            "weighted_metrics": training["weighted_metrics"],
        });
        super::compile::restore(&mut model, &described)?;
        read_state(&model, &container, &root)?;
    }
    Ok(model)
}

/// Gives the optimizer the state that Keras 3 wrote. Older versions kept less, in another order: then it starts anew.
fn read_state(model: &Model, container: &Container, root: &Group<'_>) -> Result<()> {
    let Some(group) = root.group("optimizer_weights") else { return Ok(()) };
    let names = texts(group, "weight_names")?.unwrap_or_default();
    if names.first().is_none_or(|first| !first.ends_with("iteration")) {
        return Ok(());
    }
    let stored = names.into_iter().map(|name| (group.dataset(&name), format!("optimizer_weights/{name}")));
    super::compile::set_state(model, container, &stored.collect::<Vec<_>>())
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
    assign(root, &container_of(model)?.variables())
}

/// The layers of a file that have weights: the paths of their data sets, in Keras's order.
fn stored_layers(group: &Group<'_>) -> Result<Vec<(String, Vec<String>)>> {
    let layers =
        texts(group, "layer_names")?.ok_or_else(|| wrong("the attribute `layer_names` is missing"))?;
    let mut stored = Vec::new();
    for layer in layers {
        let inside = group.group(&layer).ok_or_else(|| wrong(format!("there is no group `{layer}`")))?;
        let names = texts(inside, "weight_names")?.unwrap_or_default();
        if !names.is_empty() {
            let paths = names.into_iter().map(|name| format!("{layer}/{name}")).collect();
            stored.push((layer, paths));
        }
    }
    Ok(stored)
}

/// Gives each layer the weights that the file has under its name, or at its place where names differ, as in the files
/// of Keras Applications; all of them or none.
fn assign(root: &Group<'_>, places: &[Place]) -> Result<()> {
    let group = root.group("model_weights").unwrap_or(root);
    let stored = stored_layers(group)?;
    // Nested models are layers here.
    let mut wanted: Vec<(&str, Vec<&Place>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for place in places {
        let layer = place.name.split('/').next().unwrap_or_default();
        let index = *known.entry(layer).or_insert_with(|| {
            wanted.push((layer, Vec::new()));
            wanted.len() - 1
        });
        wanted[index].1.push(place);
    }
    let by_name: HashMap<&str, &Vec<String>> =
        stored.iter().map(|(layer, paths)| (layer.as_str(), paths)).collect();
    let has_names = wanted.iter().all(|(layer, _)| by_name.contains_key(layer));
    if !has_names && stored.len() != wanted.len() {
        let missing: Vec<&str> = wanted
            .iter()
            .map(|(layer, _)| *layer)
            .filter(|layer| !by_name.contains_key(layer))
            .take(10)
            .collect();
        let (count, own) = (stored.len(), wanted.len());
        let rule = format!("the file has {count} layers with weights and the model {own}");
        return Err(wrong(format!("{rule}; not in the file: {}", missing.join(", "))));
    }
    let mut values: Vec<(&Place, Tensor)> = Vec::new();
    for ((layer, mut places), (_, at_place)) in wanted.into_iter().zip(&stored) {
        let paths = if has_names { by_name[layer] } else { at_place };
        if paths.len() != places.len() {
            let (count, own) = (paths.len(), places.len());
            return Err(wrong(format!("`{layer}` has {own} variables, and {count} in the file")));
        }
        // What is trained comes first.
        places.sort_by_key(|place| !place.variable.is_trainable());
        for (place, path) in places.into_iter().zip(paths) {
            let data = group.dataset(path).ok_or_else(|| wrong(format!("`{path}` is missing")))?;
            values.push((place, weights::value_of(data, &place.variable, &format!("`{}`", place.name))?));
        }
    }
    values.iter().try_for_each(|(place, value)| eagerly(|| place.variable.assign(value)))
}
