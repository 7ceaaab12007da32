//! The ops: what each one is, its shape rule, its gradient and its doc, one file an op family.
//!
//! [`Op`] lists the primitives. Everything else is composed of them, in public functions that trace,
//! compile and differentiate like the primitives do.

pub mod convolution;
pub mod elementwise;
pub mod index;
pub mod linear;
pub mod pooling;
pub mod random;
pub mod reduce;
pub mod sort;
pub mod view;

use crate::tensor::{DType, Dims};

/// A primitive operation with its static attributes; equal ops on equal inputs give equal results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    // elementwise: all inputs have one shape (the public functions broadcast first)
    Unary(elementwise::Unary),
    Binary(elementwise::Binary),
    Compare(elementwise::Compare),
    /// `condition (bool), a, b → a where the condition holds, else b`
    Select,
    Cast(DType),
    // reductions and scans
    Reduce(reduce::Reduce),
    ArgReduce(reduce::ArgReduce),
    Cumulative(reduce::Cumulative),
    // products
    Dot(linear::Dot),
    Convolution(convolution::Convolution),
    ConvolutionInputGradient(convolution::Convolution, Dims),
    ConvolutionKernelGradient(convolution::Convolution, Dims),
    // windows
    Window(pooling::Window),
    WindowSumGradient(pooling::Window, Dims),
    WindowMaxGradient(pooling::Window),
    WindowMaxSelect(pooling::Window),
    // views: new shapes of the same elements
    Reshape(Dims),
    Transpose(view::Permutation),
    Broadcast(Dims),
    Slice(view::Slice),
    Flip(crate::tensor::Axes),
    // rearrangement
    Pad(view::Pad),
    Concat(usize),
    /// `values, indices (integer, any rank) → values taken along an axis; the axis becomes the axes of the indices`
    Take(usize),
    /// `operand, indices, updates → operand with the updates added at the places that Take would read`
    TakeAdd(usize),
    /// `values, indices (same rank) → values picked along an axis, index by index`
    TakeAlong(usize),
    /// `operand, indices, updates → operand with the updates added at the places that TakeAlong would read`
    TakeAlongAdd(usize),
    /// `operand, indices, updates → operand with the updates written there; the last one wins`
    TakeAlongSet(usize),
    /// `values → (sorted values, i32 indices)`
    Sort(sort::Sort),
    // sources
    Iota(index::Iota),
    /// `key (i64 [2]: seed, counter) → random elements`
    Random(random::Random),
}
