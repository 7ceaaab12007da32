//! Training: compile, fit, evaluate, predict.

mod compiled;
mod fit;
mod history;
mod progress;

pub use compiled::IntoLosses;
pub use fit::{Fit, Mode};
pub use history::{Epoch, History, Logs};

pub(crate) use compiled::Compiled;
