//! Reductions over axes, and running totals along one.

use crate::tensor::Axes;

/// What a reduction makes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    Sum,
    /// Sum divided by the number of elements; floats only.
    Mean,
    Prod,
    /// NaN if any element is.
    Max,
    /// NaN if any element is.
    Min,
    /// `bool` only.
    Any,
    /// `bool` only.
    All,
}

/// A reduction over some axes, which disappear from the shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    pub kind: Reduction,
    /// Sorted, without repetition.
    pub axes: Axes,
}

/// The position of the first extreme element along an axis, as `i32`; the axis disappears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// Of the largest element; otherwise of the smallest.
    pub largest: bool,
    pub axis: usize,
}

/// Running totals along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// Products instead of sums.
    pub product: bool,
    pub axis: usize,
    /// From the last element to the first.
    pub reverse: bool,
    /// Without the element itself: the first is 0 (or 1 for products).
    pub exclusive: bool,
}
