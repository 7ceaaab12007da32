//! From Rust code to ops: the door that runs or records them, variables, gradient tapes, recorded functions.

pub mod ambient;
pub(crate) mod apply;
pub(crate) mod batch;
pub(crate) mod body;
mod check;
pub mod control;
mod explain;
mod function;
pub mod model;
pub(crate) mod node;
pub(crate) mod recorder;
mod recordings;
pub(crate) mod scope;
mod signature;
mod structure;
pub(crate) mod tape;
pub(crate) mod variable;

#[doc(hidden)]
pub use apply::applied_ops;
pub use check::check_functions;
pub use explain::save_function;
pub use explain::{explain, recordings_of};
pub use function::{Callable, Function, function};
pub use node::{Composite, Node};
pub use recorder::{eagerly, is_recording, model_input};
pub use recordings::{Recordings, run_functions_eagerly};
pub use scope::{scope, scope_path};
pub use signature::{Flat, Inputs, Key, Lent};
pub use structure::{Carrying, OptionalReferent, Referent, Returned, Structure};
pub use tape::{Tape, custom_gradient, value_and_grad};
pub use variable::Variable;

/// How much to say on standard error, from `RUSHLIGHT_DEBUG`: 1 recordings, 2 programs, 3 graphs after each pass.
pub(crate) fn debug_level() -> u8 {
    static LEVEL: std::sync::OnceLock<u8> = std::sync::OnceLock::new();
    *LEVEL
        .get_or_init(|| std::env::var("RUSHLIGHT_DEBUG").ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}
