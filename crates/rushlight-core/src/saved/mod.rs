//! Recorded functions in files: run by programs that have none of the code they were recorded from.
//!
//! # The file
//! A [safetensors](https://github.com/huggingface/safetensors) file. Its tensors are the variables (`variable 0`,
//! `variable 1`, …) and the constants (`constant 0`, …) of the function; under the key `rushlight function` of its
//! metadata lies JSON:
//!
//! ```json
//! {
//!   "version": 1,
//!   "name": "affine",
//!   "variables": [{"name": "kernel", "trainable": true}],
//!   "recordings": [{
//!     "arguments": [{"tensor": {"name": "x", "dims": [2], "dtype": "f32"}},
//!                   {"fixed": {"name": "scale", "value": "1.5"}}],
//!     "variables": [0],
//!     "nodes": [
//!       {"is": {"argument": 0}, "inputs": [], "line": "src/main.rs:7"},
//!       {"is": {"variable": 0}, "inputs": [], "path": "kernel", "line": "src/main.rs:8"},
//!       {"is": {"op": {"binary": "mul"}}, "inputs": [[0, 0], [1, 0]], "path": "affine", "line": "src/main.rs:8"}
//!     ],
//!     "outputs": [[2, 0]],
//!     "assignments": [[0, [2, 0]]]
//!   }]
//! }
//! ```
//!
//! There is a recording for each signature. `variables` of a recording counts in those of the file; a node
//! `variable` counts in those of its recording, `argument` in its tensor arguments. `[node, result]` names a value;
//! nodes come after their inputs. An op is written as the variant of [`crate::ops::Op`] in snake case, with its
//! attributes. Shapes and dtypes are not written but follow from the ops. `assignments` are the variables' new values.
//!
//! A size of 2⁶³ + k stands for k times the size of an open batch axis. Bodies of loops and branches are written like
//! recordings, inside their node.
//!
//! A reader takes files of its own version and of all earlier ones. Whatever such a file holds, reading it ends with
//! a function or with an error, and nothing is allocated that the file does not hold. Calling a function computes what
//! the file says, be it much, and its loops may not end: call functions from files that you trust that far.

mod format;
mod read;
mod validate;
mod write;

pub use read::SavedFunction;
pub(crate) use write::{Recorded, to_bytes};

use crate::tensor::{Error, ErrorKind};

/// An error about a file, or about what cannot be written to one.
fn error(subject: &str, kind: ErrorKind, rule: impl Into<String>) -> Error {
    Error::outside(kind, subject, rule)
}
