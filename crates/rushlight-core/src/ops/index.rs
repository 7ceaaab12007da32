//! Taking and putting elements by index.

use crate::tensor::{DType, Dims};

/// Each element is its own index along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    pub dims: Dims,
    pub axis: usize,
    pub dtype: DType,
}
