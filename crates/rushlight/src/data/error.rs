//! What can go wrong between a file or an address and a data set in memory.

use rushlight_core::{Error, ErrorKind};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a data set could not be read, fetched or cut.
#[derive(Debug)]
pub enum DataError {
    /// A file that must be there is not.
    Missing {
        /// The directory or file that was looked at.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// A file is there but does not hold what its format demands.
    Malformed {
        /// The file, for a member of an archive with the member's name behind a colon.
        path: PathBuf,
        /// What the format demands.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// The operating system refused to read or write.
    Io {
        /// What was tried, as a verb: "read", "create".
        action: &'static str,
        /// The file it was tried on.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// An address did not deliver the file.
    Download {
        /// The address asked.
        url: String,
        /// What happened.
        problem: String,
    },
    /// A function was called with values it cannot work with.
    Argument(String),
}

impl DataError {
    pub(crate) fn malformed(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        DataError::Malformed { path: path.into(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        DataError::Io { action, path: path.into(), source }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::Missing { path, expected } => {
                write!(f, "{}: not found, expected {expected}", path.display())
            }
            DataError::Malformed { path, expected, found } => {
                write!(f, "{}: expected {expected}, found {found}", path.display())
            }
            DataError::Io { action, path, source } => {
                write!(f, "{}: cannot {action}: {source}", path.display())
            }
            DataError::Download { url, problem } => write!(f, "{url}: {problem}"),
            DataError::Argument(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DataError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Error {
        let kind = match error {
            DataError::Argument(_) => ErrorKind::Value,
            _ => ErrorKind::Io,
        };
        Error::outside(kind, "data", error.to_string())
    }
}
