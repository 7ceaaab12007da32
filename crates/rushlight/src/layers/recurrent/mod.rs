//! Recurrent layers, and wrappers over time.

mod bidirectional;
mod gru;
mod lstm;
mod masking;
mod simple;
mod steps;
mod time_distributed;

pub use bidirectional::{Bidirectional, MergeMode};
pub use gru::GRU;
pub use lstm::LSTM;
pub use masking::Masking;
pub use simple::SimpleRNN;
pub use time_distributed::TimeDistributed;
