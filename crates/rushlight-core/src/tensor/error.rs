//! The error type, which says what went wrong, where in the user's code, and what was expected.

use crate::tensor::{Spec, display_dims};
use crate::trace::scope;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes do not fit together, or an axis does not exist.
    Shape,
    /// Dtypes differ, or an op is not defined for one.
    DType,
    /// An argument has a value that makes no sense.
    Value,
    /// Something was done while recording a function that only works eagerly, or the other way round.
    Recording,
    /// A file, a path or the network.
    Io,
    /// The work was interrupted on request.
    Interrupted,
}

/// One error: the op, the rule in words, what came instead, and the place in the user's code.
///
/// Cheap to clone; a tensor carries it from the faulty op to the next boundary.
/// Prints as `[matmul] rule: got [64, 32] and [16, 10] (src/main.rs:42, in model/dense_1)`.
#[derive(Clone)]
pub struct Error(Arc<Detail>);

struct Detail {
    kind: ErrorKind,
    op: String,
    rule: String,
    got: Vec<Spec>,
    location: Option<&'static Location<'static>>,
    path: Option<Arc<str>>,
}

impl Error {
    /// An error of `op` (the function or file format at fault) that broke `rule`, at the caller's line.
    #[track_caller]
    pub fn new(kind: ErrorKind, op: impl Into<String>, rule: impl Into<String>) -> Error {
        Error::with_inputs(kind, op, rule, Vec::new())
    }

    /// The same, listing the shapes and dtypes that came.
    #[track_caller]
    pub fn with_inputs(
        kind: ErrorKind,
        op: impl Into<String>,
        rule: impl Into<String>,
        got: Vec<Spec>,
    ) -> Error {
        let (path, made_at) = scope::current();
        let location = Some(made_at.unwrap_or(Location::caller()));
        Error(Arc::new(Detail { kind, op: op.into(), rule: rule.into(), got, location, path }))
    }

    /// An error at a known place, found when a program runs.
    pub(crate) fn located(
        kind: ErrorKind,
        op: impl Into<String>,
        rule: impl Into<String>,
        location: &'static Location<'static>,
        path: Option<Arc<str>>,
    ) -> Error {
        let (op, rule, location) = (op.into(), rule.into(), Some(location));
        Error(Arc::new(Detail { kind, op, rule, got: Vec::new(), location, path }))
    }

    /// An error about a file or the outside world, where a line of code says nothing.
    pub fn outside(kind: ErrorKind, subject: impl Into<String>, rule: impl Into<String>) -> Error {
        let detail = Detail {
            kind,
            op: subject.into(),
            rule: rule.into(),
            got: Vec::new(),
            location: None,
            path: None,
        };
        Error(Arc::new(detail))
    }

    /// What kind of rule was broken.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The op or function at fault.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// The broken rule in words.
    pub fn rule(&self) -> &str {
        &self.0.rule
    }

    /// Shapes and dtypes of the op's inputs.
    pub fn inputs(&self) -> &[Spec] {
        &self.0.got
    }

    /// The user's line.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }

    /// Path of the layer in which it happened, such as `model/dense_1`.
    pub fn layer_path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail { kind, op, rule, got, location, path } = &*self.0;
        write!(formatter, "[{op}] {rule}")?;
        if !got.is_empty() {
            let with_dtype = *kind == ErrorKind::DType;
            let items: Vec<String> = got
                .iter()
                .map(|spec| {
                    let dims = display_dims(&spec.dims);
                    if with_dtype { format!("{}{dims}", spec.dtype) } else { dims }
                })
                .collect();
            write!(formatter, ": got {}", join_with_and(&items))?;
        }
        match (location, path) {
            (Some(place), Some(path)) => {
                write!(formatter, " ({}:{}, in {path})", place.file(), place.line())
            }
            (Some(place), None) => write!(formatter, " ({}:{})", place.file(), place.line()),
            (None, Some(path)) => write!(formatter, " (in {path})"),
            (None, None) => Ok(()),
        }
    }
}

fn join_with_and(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Error) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::outside(ErrorKind::Io, "io", error.to_string())
    }
}

/// A broken rule as a shape rule reports it; the door adds op, inputs and place.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) rule: String,
}

impl Fault {
    pub(crate) fn shape(rule: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::Shape, rule: rule.into() }
    }

    pub(crate) fn dtype(rule: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::DType, rule: rule.into() }
    }

    pub(crate) fn value(rule: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::Value, rule: rule.into() }
    }
}
