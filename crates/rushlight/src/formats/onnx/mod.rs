//! ONNX: models for inference, written for other runtimes, and theirs read.
//!
//! To be written, a model is taken op by op: what its layers compute in inference mode on symbols of an open batch, with all weights
//! as constants. Batch normalization is one multiplication and one addition there, by numbers computed beforehand, or on
//! request nothing at all behind a convolution. What is read becomes layers where there are weights, so that it can be
//! trained on; PyTorch's channels-first images are turned around convolutions.
//!
//! Source: the ONNX specification, IR version 10, operator set 20.

mod export;
mod fold;
mod import;
mod message;
mod parse;

pub(crate) use export::write;
pub(crate) use import::read;
pub(crate) use parse::constants;
