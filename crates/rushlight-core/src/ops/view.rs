//! The same elements in another shape or order; padding and concatenation.

use crate::tensor::Axes;
use smallvec::SmallVec;

/// Axis `i` of the result is axis `permutation[i]` of the input.
pub type Permutation = Axes;

/// Every `step`-th element from `start` to before `stop`, per axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    pub start: SmallVec<[usize; 6]>,
    pub stop: SmallVec<[usize; 6]>,
    pub step: SmallVec<[usize; 6]>,
}

/// Zeros before, after and between the elements of each axis.
///
/// A second, scalar input gives the value to pad with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    pub low: SmallVec<[usize; 6]>,
    pub high: SmallVec<[usize; 6]>,
    /// Places inserted between neighbours.
    pub interior: SmallVec<[usize; 6]>,
}
