//! Named arrays in any format that holds some, and models' weights under names.

use super::{Format, keras, onnx, read_npy, read_npz, write_npy, write_npz};
use crate::formats::elements::{bytes_of, tensor_of};
use crate::layers::Layer;
use crate::models::Model;
use rushlight_core::tensor::display_dims;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, Variable, eagerly};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::{HashMap, HashSet};

fn wrong(subject: &str, rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, subject, rule)
}

/// The arrays in a file by name, in the order of the names; one without a name is called `array`.
///
/// # Errors
/// If the file is damaged, of no known format, or if an element type is not supported.
pub fn arrays_from_bytes(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    match Format::of_content(bytes) {
        Some(Format::Npy) => Ok(vec![("array".to_string(), read_npy(bytes)?)]),
        Some(Format::Npz) => read_npz(bytes),
        Some(Format::Safetensors) => read_safetensors(bytes),
        Some(Format::Hdf5) => keras::read_arrays(bytes),
        Some(Format::Keras) => keras::read_arrays(&keras::describe(bytes)?.weights),
        Some(Format::Onnx) => onnx::constants(bytes),
        None => Err(wrong("read", "this is no file of arrays of a known format")),
    }
}

/// The bytes of a file of these arrays.
///
/// # Errors
/// If the format holds a single array and there are several, or holds models.
pub fn arrays_to_bytes(arrays: &[(String, Tensor)], format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Npy => match arrays {
            [(_, array)] => write_npy(array),
            many => Err(wrong("npy", format!("a .npy file holds one array, not {}: take .npz", many.len()))),
        },
        Format::Npz => write_npz(arrays),
        Format::Safetensors => write_safetensors(arrays),
        Format::Hdf5 => keras::write_arrays(arrays),
        Format::Keras | Format::Onnx => Err(wrong("write", "arrays alone make no model")),
    }
}

fn read_safetensors(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let damaged = |error: safetensors::SafeTensorError| wrong("safetensors", error.to_string());
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut arrays = Vec::new();
    for (name, view) in file.tensors() {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I32 => DType::I32,
            Dtype::I64 => DType::I64,
            Dtype::U8 => DType::U8,
            Dtype::BOOL => DType::Bool,
            other => {
                let rule = format!("`{name}` has elements of type {other:?}, which is not supported");
                return Err(wrong("safetensors", rule));
            }
        };
        arrays.push((name.clone(), tensor_of(view.data(), view.shape(), dtype)));
    }
    arrays.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(arrays)
}

fn write_safetensors(arrays: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let dtype = |dtype: DType| match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    };
    let mut contents = Vec::new();
    for (name, array) in arrays {
        contents.push((name, dtype(array.dtype()?), array.shape()?.to_vec(), bytes_of(array)?));
    }
    let views = contents.iter().map(|(name, dtype, dims, bytes)| {
        TensorView::new(*dtype, dims.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<std::result::Result<Vec<_>, _>>();
    views.and_then(|views| serialize(views, None)).map_err(|error| wrong("safetensors", error.to_string()))
}

/// How one variable is called in a file, and how its array lies there.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The name in the file.
    pub name: String,
    /// What must be done to the file's array.
    pub layout: Layout,
}

/// How an array of a file lies compared with the variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Same,
    /// `[outputs, inputs]` for `[inputs, outputs]`: PyTorch's linear layers.
    Transposed,
    /// `[filters, channels, spatial…]` for `[spatial…, channels, filters]`: PyTorch's convolutions.
    ChannelsFirst,
}

impl Layout {
    /// The layout that PyTorch has for a variable of this name and rank.
    pub fn of_torch(leaf: &str, rank: usize) -> Layout {
        match (leaf, rank) {
            ("kernel", 2) => Layout::Transposed,
            ("kernel", 3..) => Layout::ChannelsFirst,
            _ => Layout::Same,
        }
    }

    /// The file's array as the variable has it.
    fn read(self, array: &Tensor) -> Tensor {
        let rank = array.rank().unwrap_or(0) as isize;
        match self {
            Layout::Same => array.clone(),
            Layout::Transposed => array.t(),
            Layout::ChannelsFirst => array.transpose((2..rank).chain([1, 0]).collect::<Vec<isize>>()),
        }
    }

    /// The variable's value as the file has it.
    fn write(self, value: &Tensor) -> Tensor {
        let rank = value.rank().unwrap_or(0) as isize;
        match self {
            Layout::Same => value.clone(),
            Layout::Transposed => value.t(),
            Layout::ChannelsFirst => {
                value.transpose([rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect::<Vec<isize>>())
            }
        }
    }
}

impl Model {
    /// All variables as arrays under the names that `names` gives for those of [`Model::named_variables`].
    ///
    /// # Errors
    /// If two variables get the same name.
    pub fn to_arrays(
        &self,
        names: impl Fn(&str, &Variable) -> Option<Stored>,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut seen = HashSet::new();
        let mut arrays = Vec::new();
        for (name, variable) in self.named_variables() {
            let Some(stored) = names(&name, &variable) else { continue };
            if !seen.insert(stored.name.clone()) {
                return Err(wrong("to_arrays", format!("two variables would be called `{}`", stored.name)));
            }
            arrays.push((stored.name, stored.layout.write(&eagerly(|| variable.read())).check()?.clone()));
        }
        Ok(arrays)
    }

    /// Sets all variables from named arrays: each one that `names` names must be there in its shape; arrays that it
    /// does not name are passed over. All variables change, or none.
    ///
    /// ```
    /// use rushlight::formats::{Layout, Stored};
    /// use rushlight::prelude::*;
    /// let model = Sequential::new().add(Dense::new(2).named("head")).model([3])?;
    /// // As PyTorch would call and keep it.
    /// let arrays = [
    ///     ("fc.weight".to_string(), Tensor::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]])),
    ///     ("fc.bias".to_string(), Tensor::from([0.0f32, 1.0])),
    /// ];
    /// model.assign_arrays(&arrays, |name, variable| {
    ///     let leaf = name.rsplit('/').next()?;
    ///     let torch = if leaf == "kernel" { "fc.weight" } else { "fc.bias" };
    ///     Some(Stored { name: torch.into(), layout: Layout::of_torch(leaf, variable.shape().len()) })
    /// })?;
    /// assert_eq!(model.predict(&Tensor::from([[1.0f32, 0.0, 0.0]]))?.to_vec::<f32>()?, [1.0, 5.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    ///
    /// # Errors
    /// If arrays are missing (all are named), have other shapes, or hold values that are not numbers.
    pub fn assign_arrays(
        &self,
        arrays: &[(String, Tensor)],
        names: impl Fn(&str, &Variable) -> Option<Stored>,
    ) -> Result<()> {
        let known: HashMap<&str, &Tensor> =
            arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
        let (mut missing, mut values) = (Vec::new(), Vec::new());
        let variables = self.named_variables();
        if variables.is_empty() && !self.state().is_built() {
            return Err(wrong("weights", "the model must be built before its weights can be read"));
        }
        for (name, variable) in variables {
            let Some(stored) = names(&name, &variable) else { continue };
            let Some(array) = known.get(stored.name.as_str()) else {
                missing.push(if stored.name == name { name } else { format!("{name} ({})", stored.name) });
                continue;
            };
            let (spec, got) = (variable.spec(), display_dims(array.shape()?));
            let value = stored.layout.read(array);
            if value.error().is_some() || value.shape()? != spec.dims.as_slice() {
                let wanted =
                    display_dims(stored.layout.write(&Tensor::zeros(&spec.dims, spec.dtype)).shape()?);
                let rule = format!("`{}` is {got} in the file, and {wanted} for `{name}`", stored.name);
                return Err(wrong("weights", rule));
            }
            if spec.dtype.is_float() {
                keras::check_numbers(&value, &format!("`{}`", stored.name))?;
            }
            values.push((variable.clone(), value.cast(spec.dtype).check()?.clone()));
        }
        if !missing.is_empty() {
            let count = missing.len();
            missing.truncate(10);
            let rest = if count > 10 { ", …" } else { "" };
            return Err(wrong(
                "weights",
                format!("{count} missing in the file: {}{rest}", missing.join(", ")),
            ));
        }
        values.into_iter().try_for_each(|(variable, value)| eagerly(|| variable.assign(&value)))
    }
}

/// Each variable under its own name, as it is.
pub fn own_names(name: &str, _variable: &Variable) -> Option<Stored> {
    Some(Stored { name: name.to_string(), layout: Layout::Same })
}
