//! Training: compile, fit, evaluate, predict.

mod compile;
mod compiled;
mod fit;
mod history;
mod options;
mod progress;
mod run;
mod step;

pub use compile::{Compile, IntoLosses};
pub use history::{Epoch, History, Logs};
pub use options::{Fit, Mode};
pub use step::{Forward, Step};

pub(crate) use compile::Judge;
pub(crate) use compiled::Compiled;
pub(crate) use progress::{Output, Progress, Verbosity};
