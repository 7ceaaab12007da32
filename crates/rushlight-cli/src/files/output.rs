//! Results in files, or on standard output.

use crate::failure::Failure;
use crate::places;
use crate::text::shown;
use rushlight::files::write_atomically;
use rushlight::formats::{write_npy, write_npz};
use rushlight::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes a file, or to standard output for `-`: all of it, or nothing.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let result = if path == Path::new("-") {
        let mut output = std::io::stdout().lock();
        match output.write_all(bytes).and_then(|()| output.flush()) {
            // Who reads has had enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    } else {
        write_atomically(path, bytes)
    };
    result.map_err(|error| Failure::Other(format!("{} cannot be written: {error}", shown(path))))
}

/// The bytes of outputs: `.npy` for one array, `.npz` with `output_0`, `output_1`, … for several, or as the name of
/// the file says.
pub(crate) fn outputs(path: &Path, outputs: &[Tensor]) -> Result<Vec<u8>, Failure> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match (ending, outputs) {
        ("npy", [one]) => Ok(write_npy(one)?),
        ("npy", _) => {
            let rule =
                format!("{}: the model has {} outputs, which an .npz file holds", shown(path), outputs.len());
            Err(Failure::Usage(rule))
        }
        ("", [one]) if path == Path::new("-") => Ok(write_npy(one)?),
        ("npz", _) | ("", _) => {
            let named: Vec<(String, Tensor)> = outputs
                .iter()
                .enumerate()
                .map(|(index, output)| (format!("output_{index}"), output.clone()))
                .collect();
            Ok(write_npz(&named)?)
        }
        _ => Err(Failure::Usage(format!("{}: outputs go to .npy, .npz or -", shown(path)))),
    }
}

/// Whether a path can be written, before work begins whose result goes there; any ending is right if none is named.
pub(crate) fn check_writable(path: Option<&PathBuf>, endings: &[&str]) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    if path == Path::new("-") {
        return Ok(());
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !endings.is_empty() && !endings.contains(&ending) {
        let endings = endings.iter().map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(" or ");
        return Err(Failure::Usage(format!("{}: the name must end in {endings}", shown(path))));
    }
    places::check_writable(path)
        .map_err(|error| Failure::Other(format!("{} cannot be written: {error}", shown(path))))
}
