//! Logs that TensorBoard shows, written without Python: event files with scalars, histograms, images, texts,
//! hyper-parameters and graphs.
//!
//! [`Writer`] writes them by hand; the callback [`TensorBoard`] does so while a model trains.
//!
//! ```no_run
//! let writer = rushlight::tensorboard::Writer::create("logs/run1/train")?;
//! for step in 0..100 {
//!     writer.scalar("epoch_loss", step, 1.0 / (1.0 + step as f32))?;
//! }
//! writer.flush()?;
//! # Ok::<(), rushlight::Error>(())
//! ```

mod callback;
mod chrome;
mod conceptual;
mod embedding;
mod event_file;
mod function_graph;
mod graph;
mod histogram;
mod hparams;
mod images;
pub(crate) mod proto;
pub(crate) mod record;
mod timeline;
mod trace;
mod values;
mod weights;
mod writer;
mod xplane;

pub use callback::{TensorBoard, UpdateFreq};
pub use chrome::write_chrome_trace;
pub use graph::{NodeRun, OpGraph, OpNode};
pub use hparams::{Experiment, HParam, HParams, SessionStatus};
pub use trace::trace;
pub use writer::Writer;
pub use xplane::write_profile;

#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod tests;
