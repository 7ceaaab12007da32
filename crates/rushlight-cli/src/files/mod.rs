//! What commands on model files share: reading models and arrays, writing results.

pub(crate) mod arrays;
pub(crate) mod images;
pub(crate) mod output;

use crate::failure::Failure;
use crate::text::shown;
use rushlight::formats::{inference_model_from_bytes, model_from_bytes};
use rushlight::prelude::*;
use std::io::Read;
use std::path::Path;

/// Refuses to read several things from standard input.
pub(crate) fn check_sources(paths: &[&Path]) -> Result<(), Failure> {
    match paths.iter().filter(|path| **path == Path::new("-")).count() {
        0 | 1 => Ok(()),
        _ => Err(Failure::Usage("only one file can come from standard input (-)".to_string())),
    }
}

/// The content of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(path).map(|content| bytes = content)
    };
    match result {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Failure::Other(format!("{} cannot be read: {error}", shown(path)))),
    }
}

/// The model in a file, not compiled. `shapes` are those of its inputs without the batch, where the file leaves them
/// open.
pub(crate) fn inference_model(path: &Path, bytes: &[u8], shapes: &[Vec<usize>]) -> Result<Model, Failure> {
    inference_model_from_bytes(bytes, shapes).map_err(|error| in_file(path, &error))
}

/// The model in a file, compiled as it was. `shapes` are those of its inputs without the batch, where the file leaves them open.
pub(crate) fn model(path: &Path, bytes: &[u8], shapes: &[Vec<usize>]) -> Result<Model, Failure> {
    model_from_bytes(bytes, shapes).map_err(|error| in_file(path, &error))
}

/// An error about the content of a file.
pub(crate) fn in_file(path: &Path, error: &rushlight::Error) -> Failure {
    Failure::Other(format!("{}: {error}", shown(path)))
}
