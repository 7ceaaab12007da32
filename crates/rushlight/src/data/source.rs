//! Opening and reading the files of data sets, with errors that name them.

use super::error::DataError;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

pub(super) fn open(path: &Path, expected: &str) -> Result<File, DataError> {
    File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => DataError::Missing { path: path.into(), expected: expected.into() },
        _ => DataError::io("read", path, error),
    })
}

/// An error of reading means a damaged file, unless the operating system itself refused.
pub(super) fn unreadable(path: &Path, expected: &str, error: std::io::Error) -> DataError {
    if error.raw_os_error().is_some() {
        return DataError::io("read", path, error);
    }
    DataError::malformed(path, expected, format!("a damaged or cut one ({error})"))
}
