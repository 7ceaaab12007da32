//! Maxima, sums and averages over sliding windows.

use smallvec::SmallVec;

/// What is taken of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    Max,
    /// Padding counts as zero.
    Sum,
}

/// Windows over the spatial axes of `[batch, spatial…, channels]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub kind: Pooling,
    pub size: SmallVec<[usize; 3]>,
    pub strides: SmallVec<[usize; 3]>,
    /// Places before and after each spatial axis that belong to windows but hold nothing.
    pub padding: SmallVec<[(usize, usize); 3]>,
}
