//! Sorting and the largest elements.

/// A stable sort along an axis; NaN comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    pub axis: usize,
    pub descending: bool,
}
