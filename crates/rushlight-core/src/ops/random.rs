//! Random numbers from a counter-based generator.

use crate::tensor::{DType, Dims};

/// What a random element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Any value of an integer dtype.
    Bits,
    /// Uniform in [0, 1).
    Uniform,
}

/// Random elements, a function of the key and each element's position alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Random {
    pub distribution: Distribution,
    pub dims: Dims,
    pub dtype: DType,
}
