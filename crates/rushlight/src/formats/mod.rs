//! Models and weights in files: Keras's `.keras` and `.h5`, safetensors, NumPy's `.npy` and `.npz`, ONNX.
//!
//! ```
//! use rushlight::prelude::*;
//! let image = Input::new([4, 4, 1]).named("image");
//! let x = image.apply(Conv2d::new(2, 3).activation(activations::Relu)).apply(Flatten::new());
//! let model = Model::new(&image, &x.apply(Dense::new(3)))?;
//! let path = std::env::temp_dir().join("rushlight-formats-example.keras");
//! model.save(&path)?;
//! let again = Model::load(&path)?;
//! let x = random::uniform([2, 4, 4, 1], 0.0, 1.0, DType::F32);
//! assert_eq!(again.predict(&x)?.to_vec::<f32>()?, model.predict(&x)?.to_vec::<f32>()?);
//! # std::fs::remove_file(path).ok();
//! # Ok::<(), rushlight::Error>(())
//! ```

mod arrays;
mod densenet;
pub(crate) mod elements;
pub(crate) mod keras;
mod npy;
mod onnx;
pub(crate) mod zip;

pub use arrays::{Layout, Stored, arrays_from_bytes, arrays_to_bytes, own_names};
pub use densenet::{keras_densenet, torchvision_densenet};
pub use npy::{is_npy, read_npy, read_npz, write_npy, write_npz};

use crate::files::write_atomically;
use crate::models::Model;
use rushlight_core::{Error, ErrorKind, Result, Spec, Variable};
use std::path::Path;

/// What a file is, by what it begins with, or by its name if it is yet to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A model of Keras 3: a zip archive.
    Keras,
    /// Weights of Keras 3, or an older model: HDF5.
    Hdf5,
    Safetensors,
    Npy,
    Npz,
    /// A model that others run: a graph of operators with constants.
    Onnx,
}

impl Format {
    /// The format that a file of this name should have.
    ///
    /// # Errors
    /// If the ending says nothing; the message lists those that are known.
    pub fn of_path(path: impl AsRef<Path>) -> Result<Format> {
        let path = path.as_ref();
        match path.extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
            "keras" => Ok(Format::Keras),
            "h5" | "hdf5" => Ok(Format::Hdf5),
            "safetensors" => Ok(Format::Safetensors),
            "npy" => Ok(Format::Npy),
            "npz" => Ok(Format::Npz),
            "onnx" => Ok(Format::Onnx),
            _ => {
                let rule = "the name must end in .keras, .weights.h5, .h5, .safetensors, .npz, .npy or .onnx";
                Err(at(path, Error::outside(ErrorKind::Value, "formats", rule)))
            }
        }
    }

    /// The format of a file with this content.
    pub fn of_content(bytes: &[u8]) -> Option<Format> {
        if rushlight_hdf5::is_hdf5(bytes) {
            Some(Format::Hdf5)
        } else if is_npy(bytes) {
            Some(Format::Npy)
        } else if zip::is_zip(bytes) {
            let archive = zip::Archive::new(bytes).ok()?;
            Some(if archive.contains("config.json") { Format::Keras } else { Format::Npz })
        } else if bytes.get(8) == Some(&b'{') {
            Some(Format::Safetensors)
        } else if bytes.first() == Some(&8) {
            // The first field of the message, which is the version.
            Some(Format::Onnx)
        } else {
            None
        }
    }
}

/// The same error, naming the file.
pub(crate) fn at(path: &Path, error: Error) -> Error {
    Error::outside(error.kind(), error.op(), format!("{}: {}", path.display(), error.rule()))
}

/// The content of a file.
///
/// # Errors
/// If it cannot be read; the message names it.
pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| {
        Error::outside(ErrorKind::Io, "read", format!("{} cannot be read: {error}", path.display()))
    })
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, bytes).map_err(|error| {
        Error::outside(ErrorKind::Io, "write", format!("{} cannot be written: {error}", path.display()))
    })
}

/// The JSON that describes the model in a file: layers, and how it is compiled; nothing if there are only arrays.
///
/// # Errors
/// If the file is damaged.
pub fn model_description(bytes: &[u8]) -> Result<Option<serde_json::Value>> {
    match Format::of_content(bytes) {
        Some(Format::Keras) => keras::describe(bytes).map(|description| Some(description.config)),
        Some(Format::Hdf5) => keras::legacy_config(bytes),
        Some(Format::Onnx) => Ok(Some(serde_json::json!({}))),
        _ => Ok(None),
    }
}

/// The model in these bytes of a `.keras`, `.h5` or ONNX file, compiled as it was. `shapes` are those of its inputs without
/// the batch, for inputs that the file leaves open.
///
/// # Errors
/// If there is no model in it, it is damaged, or has layers, a loss or metrics that nobody knows.
pub fn model_from_bytes(bytes: &[u8], shapes: &[Vec<usize>]) -> Result<Model> {
    read_model(bytes, shapes, true)
}

/// As [`model_from_bytes`], for inference: not compiled, so that losses and metrics need not be known.
///
/// # Errors
/// If there is no model in it, it is damaged, or has layers that nobody knows: all of them are named.
pub fn inference_model_from_bytes(bytes: &[u8], shapes: &[Vec<usize>]) -> Result<Model> {
    read_model(bytes, shapes, false)
}

fn read_model(bytes: &[u8], shapes: &[Vec<usize>], compiled: bool) -> Result<Model> {
    match Format::of_content(bytes) {
        Some(Format::Keras) => keras::read(bytes, shapes, compiled),
        Some(Format::Hdf5) => keras::read_legacy_model(bytes, shapes, compiled),
        Some(Format::Onnx) => onnx::read(bytes),
        Some(other) => {
            let rule = format!("this is a {other:?} file: it has arrays, but no model");
            Err(Error::outside(ErrorKind::Value, "load", rule))
        }
        None if bytes.starts_with(b"PK") => keras::read(bytes, shapes, compiled),
        None => Err(Error::outside(ErrorKind::Value, "load", "this is no model file of a known format")),
    }
}

impl Model {
    /// The model in a `.keras` file, in an `.h5` file of an older Keras, or in an ONNX file: built, with its weights, and compiled as
    /// it was.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or has layers that nobody knows: all of them are named.
    pub fn load(path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        model_from_bytes(&read_file(path)?, &[]).map_err(|error| at(path, error))
    }

    /// Writes the model to a `.keras` file, which Keras loads as well: all of it, or nothing.
    ///
    /// # Errors
    /// If the model is not built, if something in it has no counterpart in Keras, or if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if Format::of_path(path)? != Format::Keras {
            let rule = "a whole model is saved in a file whose name ends in .keras";
            return Err(at(path, Error::outside(ErrorKind::Value, "save", rule)));
        }
        let bytes = keras::write(self).map_err(|error| at(path, error))?;
        write_file(path, &bytes)
    }
}

/// The bytes of a file of a model, `.keras` or ONNX, or of its weights: `.weights.h5` as Keras has it, safetensors or
/// npz under the names of [`Model::named_variables`].
///
/// # Errors
/// If the model is not built, if a weight is not a number, or if the format holds no weights.
pub fn weights_to_bytes(model: &Model, format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Hdf5 => keras::write_weights(model),
        Format::Keras => keras::write(model),
        Format::Onnx => onnx::write(model, false),
        other => {
            let arrays = model.to_arrays(own_names)?;
            for (name, array) in
                arrays.iter().filter(|(_, array)| array.dtype().is_ok_and(|it| it.is_float()))
            {
                keras::check_numbers(array, &format!("`{name}`"))?;
            }
            arrays_to_bytes(&arrays, other)
        }
    }
}

/// The bytes of an ONNX file of the model in which convolutions have taken in the biases and batch normalizations behind
/// them: fewer operators, for programs that do not find that out by themselves.
///
/// # Errors
/// As [`weights_to_bytes`].
pub fn folded_onnx_bytes(model: &Model) -> Result<Vec<u8>> {
    onnx::write(model, true)
}

/// Sets the weights of a model from a file of any format: Keras's by their places, others by the names that this
/// model, torchvision's DenseNets or Keras Applications' DenseNets have. All variables change, or none.
///
/// # Errors
/// If the file is damaged, lacks variables, or has them in other shapes.
pub fn weights_from_bytes(model: &Model, bytes: &[u8]) -> Result<()> {
    if let Some(result) = keras::read_any_weights(model, bytes) {
        return result;
    }
    let arrays = arrays_from_bytes(bytes)?;
    let has = |names: fn(&str, &Variable) -> Option<Stored>| {
        let named = model.named_variables();
        let first = named.first().and_then(|(name, variable)| names(name, variable));
        first.is_some_and(|stored| arrays.iter().any(|(name, _)| *name == stored.name))
    };
    let others = [torchvision_densenet as fn(&str, &Variable) -> Option<Stored>, keras_densenet];
    let names = others.into_iter().find(|names| has(*names)).unwrap_or(own_names);
    model.assign_arrays(&arrays, names)
}

impl Model {
    /// Names, shapes and dtypes of the inputs; none if the model is no graph of layers.
    pub fn inputs(&self) -> Vec<(String, Spec)> {
        self.functional().map(|functional| functional.graph().inputs().to_vec()).unwrap_or_default()
    }

    /// Shapes and dtypes of the outputs; none if the model is no graph of layers.
    pub fn outputs(&self) -> Vec<Spec> {
        let graph = self.functional().map(|functional| functional.graph().outputs().to_vec());
        graph.unwrap_or_default().into_iter().map(|(_, spec)| spec).collect()
    }
}
