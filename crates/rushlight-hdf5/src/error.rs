//! What is wrong with a file, and where.

use std::fmt;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong with a file: the object's path, where that is known, and the rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    path: String,
    rule: String,
}

impl Error {
    pub(crate) fn new(rule: impl Into<String>) -> Error {
        Error { path: String::new(), rule: rule.into() }
    }

    /// A structure at this byte of the file is cut off.
    pub(crate) fn truncated(what: &str, at: usize) -> Error {
        Error::new(format!("the file ends within {what} (byte {at})"))
    }

    /// The same error of the object of this name; the names of groups around it may follow.
    pub(crate) fn within(mut self, name: &str) -> Error {
        self.path = if self.path.is_empty() { name.to_string() } else { format!("{name}/{}", self.path) };
        self
    }

    /// The path of the object, empty if the error is the file's.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str(&self.rule),
            path => write!(formatter, "`{path}`: {}", self.rule),
        }
    }
}

impl std::error::Error for Error {}
