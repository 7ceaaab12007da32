//! Random numbers from a counter-based generator.

use crate::tensor::{DType, Dims, Fault, Spec};

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

impl Distribution {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Distribution::Bits => "random_bits",
            Distribution::Uniform => "random_uniform",
        }
    }
}

impl Random {
    pub(crate) fn infer(&self, key: &Spec) -> Result<Spec, Fault> {
        if key.dtype != DType::I64 || key.dims.as_slice() != [2] {
            return Err(Fault::value("the key must be i64 [2]: seed and counter"));
        }
        let fits = match self.distribution {
            Distribution::Bits => self.dtype.is_integer(),
            Distribution::Uniform => self.dtype.is_float(),
        };
        if !fits {
            return Err(Fault::dtype("random bits are integers, uniform numbers are floats"));
        }
        Ok(Spec { dims: self.dims.clone(), dtype: self.dtype })
    }
}
