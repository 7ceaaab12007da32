//! From Rust code to ops: the door that runs or records them, variables, gradient tapes, recorded functions.

pub(crate) mod apply;
pub mod model;
pub(crate) mod node;
pub(crate) mod recorder;
pub(crate) mod scope;
pub(crate) mod tape;
mod variable;

pub use node::{Composite, Node};
pub use recorder::{eagerly, is_recording, model_input};
pub use scope::scope;
pub use tape::{Tape, custom_gradient, value_and_grad};
pub use variable::Variable;
