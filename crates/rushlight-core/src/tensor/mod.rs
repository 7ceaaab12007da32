//! The tensor: a small handle to a value, a node of a recording, or a carried error.

mod dtype;
mod shape;

pub use dtype::{DType, Element};
pub use shape::{
    Axes, BATCH, Dims, Strides, broadcast_dims, close, contiguous_strides, display_dims, divide,
    element_count, is_contiguous, is_open, multiply, normalize_axis,
};
