//! Arrays as inputs and targets of models.

use super::{images, in_file, read};
use crate::failure::Failure;
use crate::text::shown;
use rushlight::formats::{arrays_from_bytes, is_npy};
use rushlight::prelude::*;
use rushlight::tensor::{display_dims, is_open};
use std::path::Path;

/// What a model is to be run on.
pub(crate) enum Input {
    /// Named arrays, and whether the names mean something.
    Arrays(Vec<(String, Tensor)>),
    /// Pictures, which become an array once the size is known.
    Images(Vec<images::Encoded>),
}

impl Input {
    pub(crate) fn read(path: &Path) -> Result<Input, Failure> {
        if path.is_dir() {
            return images::files_in(path).map(Input::Images);
        }
        let bytes = read(path)?;
        if images::is_image(path) || images::is_encoded(&bytes) {
            return Ok(Input::Images(vec![images::one(path, bytes)]));
        }
        let arrays = arrays_from_bytes(&bytes).map_err(|error| in_file(path, &error))?;
        if arrays.is_empty() {
            return Err(Failure::Other(format!("{}: there is no array in it", shown(path))));
        }
        let arrays = if is_npy(&bytes) { vec![("input_0".to_string(), arrays[0].1.clone())] } else { arrays };
        Ok(Input::Arrays(arrays))
    }

    /// Shapes without the batch, in the file's order, for models that leave theirs open.
    pub(crate) fn shapes(&self) -> Vec<Vec<usize>> {
        match self {
            Input::Arrays(arrays) => {
                let shape =
                    |array: &Tensor| array.shape().map(|dims| dims.get(1..).unwrap_or_default().to_vec());
                arrays.iter().filter_map(|(_, array)| shape(array).ok()).collect()
            }
            Input::Images(_) => Vec::new(),
        }
    }
}

/// One array for each name, by the names, by `prefix_0`, `prefix_1`, …, or the only one there is.
pub(crate) fn in_order(
    path: &Path,
    arrays: &[(String, Tensor)],
    names: &[String],
    prefix: &str,
) -> Result<Vec<Tensor>, Failure> {
    if let ([(_, array)], [_]) = (arrays, names) {
        return Ok(vec![array.clone()]);
    }
    let find = |name: &str| arrays.iter().find(|(known, _)| known == name).map(|(_, array)| array.clone());
    let by_name: Option<Vec<Tensor>> = names.iter().map(|name| find(name)).collect();
    let numbered = || (0..names.len()).map(|index| find(&format!("{prefix}_{index}"))).collect();
    by_name.or_else(numbered).ok_or_else(|| {
        let known: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        Failure::Other(format!(
            "{}: arrays called {} are needed (an .npz file holds several): there is {}",
            shown(path),
            names.join(", "),
            known.join(", ")
        ))
    })
}

/// Checks that inputs fit a model's, and that all have as many examples.
pub(crate) fn check_shapes(path: &Path, inputs: &[Tensor], model: &Model) -> Result<usize, Failure> {
    let mut count = None;
    for (input, (name, wanted)) in inputs.iter().zip(model.inputs()) {
        let dims = input.shape()?;
        let fits = dims.len() == wanted.dims.len()
            && dims.iter().zip(&wanted.dims).all(|(&size, &want)| is_open(want) || size == want);
        if !fits {
            return Err(Failure::Other(format!(
                "{}: the input `{name}` of the model must be {}, not {}",
                shown(path),
                display_dims(&wanted.dims),
                display_dims(dims)
            )));
        }
        count = count.or(dims.first().copied());
    }
    check_counts(path, inputs)
}

/// The number of examples, the same in all arrays.
pub(crate) fn check_counts(path: &Path, arrays: &[Tensor]) -> Result<usize, Failure> {
    let mut counts = Vec::new();
    for array in arrays {
        let first = array.shape()?.first().copied();
        counts.push(first.ok_or_else(|| Failure::Other(format!("{}: an array has no axes", shown(path))))?);
    }
    match counts.as_slice() {
        [] => Err(Failure::Other(format!("{}: there is no array in it", shown(path)))),
        [first, rest @ ..] => match rest.iter().find(|count| *count != first) {
            Some(other) => Err(Failure::Other(format!(
                "{}: arrays have different numbers of examples, {first} and {other}",
                shown(path)
            ))),
            None => Ok(*first),
        },
    }
}
