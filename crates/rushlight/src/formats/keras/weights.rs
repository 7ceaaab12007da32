//! Variables in HDF5 files of weights.

use super::structure::Place;
use crate::formats::elements::{bytes_of, tensor_of};
use rushlight_core::tensor::display_dims;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, Variable, eagerly};
use rushlight_hdf5::{Dataset, Datatype, Group, Writer};

/// The member of a `.keras` archive.
pub(super) const WEIGHTS: &str = "model.weights.h5";

pub(super) fn wrong(rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, "weights", rule)
}

/// What an HDF5 file that cannot be read is an error of.
pub(super) fn damaged(error: rushlight_hdf5::Error) -> Error {
    wrong(error.to_string())
}

/// The value of a data set in the variable's dtype, if it has the variable's shape.
pub(super) fn value_of(data: &Dataset<'_>, variable: &Variable, place: &str) -> Result<Tensor> {
    let spec = variable.spec();
    let dims: Vec<u64> = spec.dims.iter().map(|&dim| dim as u64).collect();
    if data.dims() != dims {
        let got: Vec<String> = data.dims().iter().map(u64::to_string).collect();
        let wanted = display_dims(&spec.dims);
        return Err(wrong(format!("{place} is [{}] in the file and {wanted} in the model", got.join(", "))));
    }
    let value = tensor_from(data, place)?;
    if spec.dtype.is_float() {
        check_numbers(&value, place)?;
    }
    value.cast(spec.dtype).check().cloned()
}

/// The elements of a data set as a tensor.
pub(super) fn tensor_from(data: &Dataset<'_>, place: &str) -> Result<Tensor> {
    let dims: Vec<usize> = data.dims().iter().map(|&dim| dim as usize).collect();
    let bytes = data.bytes().map_err(|error| wrong(format!("{place}: {error}")))?;
    let is_bf16 = || data.attribute("dtype").and_then(|name| name.text().ok()).as_deref() == Some("bfloat16");
    let dtype = match data.datatype() {
        Datatype::F16 => DType::F16,
        Datatype::F32 => DType::F32,
        Datatype::F64 => DType::F64,
        Datatype::Int(4) => DType::I32,
        Datatype::Int(8) | Datatype::Uint(8) => DType::I64,
        Datatype::Uint(1) => DType::U8,
        Datatype::Bool => DType::Bool,
        Datatype::Opaque(2) if is_bf16() => DType::BF16,
        Datatype::Uint(4) => {
            let numbers = bytes.as_chunks::<4>().0.iter().map(|chunk| i64::from(u32::from_le_bytes(*chunk)));
            return Ok(Tensor::new(&numbers.collect::<Vec<i64>>(), &dims));
        }
        other => {
            return Err(wrong(format!("{place} has elements of type {other:?}, which is not supported")));
        }
    };
    Ok(tensor_of(&bytes, &dims, dtype))
}

/// Refuses values that are not numbers.
pub(crate) fn check_numbers(value: &Tensor, place: &str) -> Result<()> {
    let count = eagerly(|| value.is_nan().cast(DType::I64).sum(..)).item::<i64>()?;
    match count {
        0 => Ok(()),
        count => Err(wrong(format!("{place} has {count} value(s) that are not numbers (NaN)"))),
    }
}

/// Reads all variables, or none: what is missing is told all at once.
pub(super) fn read(root: &Group<'_>, places: &[Place]) -> Result<()> {
    let mut missing = Vec::new();
    let mut values = Vec::new();
    for place in places {
        match root.dataset(&place.path) {
            Some(data) => {
                let shown = format!("`{}` ({})", place.name, place.path);
                values.push((&place.variable, value_of(data, &place.variable, &shown)?));
            }
            None => missing.push(format!("`{}` ({})", place.name, place.path)),
        }
    }
    if !missing.is_empty() {
        let count = missing.len();
        missing.truncate(10);
        let rest = if count > 10 { ", …" } else { "" };
        return Err(wrong(format!("{count} variable(s) are missing: {}{rest}", missing.join(", "))));
    }
    values.into_iter().try_for_each(|(variable, value)| eagerly(|| variable.assign(&value)))
}

/// Adds variables to a file, and the names of their layers.
pub(super) fn write(writer: &mut Writer, places: &[Place]) -> Result<()> {
    let mut named = std::collections::HashSet::new();
    for place in places {
        let value = eagerly(|| place.variable.read());
        write_tensor(writer, &place.path, &value, &format!("`{}`", place.name))?;
        let Some((group, _)) = place.path.rsplit_once('/') else { continue };
        let layer = place.name.rsplit('/').nth(1).unwrap_or_default();
        if named.insert(group.to_string()) {
            writer.attribute(group, "name", layer).map_err(damaged)?;
        }
    }
    Ok(())
}

/// Adds one tensor at a path.
pub(super) fn write_tensor(writer: &mut Writer, path: &str, value: &Tensor, shown: &str) -> Result<()> {
    let dtype = value.dtype()?;
    if dtype.is_float() {
        check_numbers(value, shown)?;
    }
    let datatype = match dtype {
        DType::F32 => Datatype::F32,
        DType::F64 => Datatype::F64,
        DType::F16 => Datatype::F16,
        DType::BF16 => Datatype::Opaque(2),
        DType::I32 => Datatype::Int(4),
        DType::I64 => Datatype::Int(8),
        DType::U8 => Datatype::Uint(1),
        DType::Bool => Datatype::Bool,
    };
    let dims: Vec<u64> = value.shape()?.iter().map(|&dim| dim as u64).collect();
    writer.dataset(path, datatype, &dims, bytes_of(value)?).map_err(damaged)?;
    if dtype == DType::BF16 {
        writer.attribute(path, "dtype", "bfloat16").map_err(damaged)?;
    }
    Ok(())
}
