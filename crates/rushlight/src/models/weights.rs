//! Weights in files, in the safetensors format.

use crate::files::write_atomically;
use crate::formats::elements::{bytes_of, tensor_of};
use crate::layers::{Layer, LayerState, snake_case};
use crate::models::Model;
use rushlight_core::tensor::display_dims;
use rushlight_core::{DType, Error, ErrorKind, Result, Variable, eagerly};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

/// The key of the metadata under which the model's name is written.
const MODEL_KEY: &str = "model";

impl Model {
    /// All variables with names that depend on the model alone, not on what else the program has made: the layers'
    /// given names, or their types with a count (`dense`, `dense_1`, …), from the outermost in.
    ///
    /// These are the names in files of weights: `block1_layer1_conv/kernel`.
    pub fn named_variables(&self) -> Vec<(String, Variable)> {
        let mut found = Vec::new();
        collect(self.state(), "", &mut found);
        let mut seen = HashSet::new();
        found.retain(|(_, variable)| seen.insert(variable.id()));
        found
    }

    /// Writes all variables, moving statistics included, to a safetensors file: all of it, or nothing.
    ///
    /// # Errors
    /// If the model is not built yet, or the file cannot be written.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_weights_with(path, &[])
    }

    /// As [`Model::save_weights`], with texts of your own beside the model's name in the file's metadata.
    ///
    /// # Errors
    /// As [`Model::save_weights`].
    pub fn save_weights_with(&self, path: impl AsRef<Path>, metadata: &[(&str, &str)]) -> Result<()> {
        let path = path.as_ref();
        let failed = |kind, rule: String| Error::outside(kind, "save_weights", rule);
        if !is_built(self.state()) {
            let rule = "the model must be built first: call it, or make it with Model::new";
            return Err(failed(ErrorKind::Value, rule.to_string()));
        }
        let mut all: HashMap<String, String> =
            metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        all.insert(MODEL_KEY.to_string(), self.name().to_string());
        write_variables("save_weights", path, &self.named_variables(), all)
    }

    /// Reads all variables from a file that [`Model::save_weights`] wrote.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or does not hold exactly this model's variables in their shapes and
    /// dtypes; the message names the layer. Then no variable has changed.
    pub fn load_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if !is_built(self.state()) {
            let rule = "the model must be built before its weights can be read";
            let rule = format!("{}: {rule}", path.display());
            return Err(Error::outside(ErrorKind::Value, "load_weights", rule));
        }
        read_variables("load_weights", path, &self.named_variables())
    }
}

/// Writes variables under these names to a safetensors file: all of them, or nothing.
fn write_variables(
    subject: &str,
    path: &Path,
    named: &[(String, Variable)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let failed = |kind, rule: String| Error::outside(kind, subject, rule);
    let mut contents = Vec::new();
    for (name, variable) in named {
        let value = eagerly(|| variable.read());
        let spec = variable.spec();
        contents.push((name, dtype_name(spec.dtype), spec.dims.to_vec(), bytes_of(&value)?));
    }
    let views = contents.iter().map(|(name, dtype, dims, bytes)| {
        TensorView::new(*dtype, dims.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<std::result::Result<Vec<_>, _>>();
    let file = views
        .and_then(|views| serialize(views, Some(metadata.into_iter().collect())))
        .map_err(|error| failed(ErrorKind::Value, error.to_string()))?;
    write_atomically(path, &file)
        .map_err(|error| failed(ErrorKind::Io, format!("{} cannot be written: {error}", path.display())))
}

/// Reads variables from a file with exactly these names; if anything does not fit, no variable has changed.
fn read_variables(subject: &str, path: &Path, named: &[(String, Variable)]) -> Result<()> {
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let wrong =
        |rule: String| Err(Error::outside(ErrorKind::Value, subject, format!("{}: {rule}", path.display())));
    let ours: BTreeSet<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let theirs: BTreeSet<&str> = file.names().into_iter().collect();
    if let Some(name) = ours.difference(&theirs).next() {
        let count = ours.difference(&theirs).count();
        return wrong(format!("`{name}` of the model is not in the file ({count} missing in all)"));
    }
    if let Some(name) = theirs.difference(&ours).next() {
        let count = theirs.difference(&ours).count();
        return wrong(format!("`{name}` in the file is not in the model ({count} too many in all)"));
    }
    let mut values = Vec::new();
    for (name, variable) in named {
        let Ok(view) = file.tensor(name) else {
            return wrong(format!("`{name}` cannot be read"));
        };
        let spec = variable.spec();
        if view.dtype() != dtype_name(spec.dtype) || view.shape() != spec.dims.as_slice() {
            let got = format!("{:?} {}", view.dtype(), display_dims(view.shape()));
            return wrong(format!("`{name}` is {got} in the file and {spec} in the model"));
        }
        values.push(tensor_of(view.data(), view.shape(), spec.dtype));
    }
    named.iter().zip(&values).try_for_each(|((_, variable), value)| eagerly(|| variable.assign(value)))
}

/// The metadata of a file of weights: the model's name under `model`, and what else was written there.
///
/// # Errors
/// If the file cannot be read or is damaged.
pub fn weights_metadata(path: impl AsRef<Path>) -> Result<HashMap<String, String>> {
    let path = path.as_ref();
    let bytes = read(path)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, &error))?;
    Ok(metadata.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::outside(ErrorKind::Io, "load_weights", format!("{} cannot be read: {error}", path.display()))
    })
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let rule = format!("{} is no whole safetensors file: {error}", path.display());
    Error::outside(ErrorKind::Value, "load_weights", rule)
}

/// Whether this layer and all inside have made their variables.
fn is_built(layer: &LayerState) -> bool {
    let inner = layer.inner_layers();
    (layer.is_built() || !inner.is_empty()) && inner.iter().all(is_built)
}

fn collect(layer: &LayerState, path: &str, into: &mut Vec<(String, Variable)>) {
    for variable in layer.weights() {
        let leaf = variable.name().rsplit('/').next().unwrap_or_default();
        into.push((format!("{path}{leaf}"), variable));
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for inner in layer.inner_layers() {
        let base = inner.given_name().map_or_else(|| snake_case(inner.class()), |name| name.to_string());
        let count = counts.entry(base.clone()).or_insert(0);
        let name = if *count == 0 { base } else { format!("{base}_{count}") };
        *count += 1;
        collect(&inner, &format!("{path}{name}/"), into);
    }
}

fn dtype_name(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
