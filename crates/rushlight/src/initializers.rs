//! The first values of weights.

use rushlight_core::{DType, Result, Spec, Tensor, random};
use std::sync::Arc;

/// How a weight gets its first value.
///
/// "In" and "out" are the numbers of connections into and out of a unit: for a kernel `[…, in, out]` the last two
/// axes, times the product of the axes before them (a convolution's window). The random ones draw from this thread's
/// default generator, which [`random::set_seed`] starts anew.
#[derive(Clone)]
pub enum Initializer {
    Zeros,
    Ones,
    Constant(f64),
    /// Uniform within `±√(6 / (in + out))` (Glorot and Bengio, 2010).
    GlorotUniform,
    /// Truncated normal, `σ² = 2 / (in + out)`.
    GlorotNormal,
    /// Uniform within `±√(6 / in)` (He et al., 2015).
    HeUniform,
    /// Truncated normal, `σ² = 2 / in`.
    HeNormal,
    /// Uniform within `±√(3 / in)` (LeCun et al., 1998).
    LecunUniform,
    /// Truncated normal, `σ² = 1 / in`.
    LecunNormal,
    /// Uniform in `[low, high)`.
    Uniform {
        low: f64,
        high: f64,
    },
    /// Normal, not truncated.
    Normal {
        mean: f64,
        stddev: f64,
    },
    /// Normal, drawn again where it is more than two deviations from the mean.
    TruncatedNormal {
        mean: f64,
        stddev: f64,
    },
    /// A function of shape and dtype.
    Custom(Arc<dyn Fn(&Spec) -> Result<Tensor> + Send + Sync>),
}

/// The standard deviation that a standard normal distribution has left when cut off at two.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// Connections into and out of a unit.
fn fans(dims: &[usize]) -> (f64, f64) {
    match dims {
        [] => (1.0, 1.0),
        [only] => (*only as f64, *only as f64),
        [window @ .., input, output] => {
            let window: usize = window.iter().product();
            ((window * input) as f64, (window * output) as f64)
        }
    }
}

impl Initializer {
    /// A tensor of this shape and dtype.
    #[track_caller]
    pub fn tensor(&self, dims: &[usize], dtype: DType) -> Tensor {
        let (fan_in, fan_out) = fans(dims);
        let uniform = |variance: f64| {
            let limit = (3.0 * variance).sqrt();
            random::uniform(dims, -limit, limit, dtype)
        };
        let normal =
            |variance: f64| random::truncated_normal(dims, 0.0, variance.sqrt() / TRUNCATED_DEVIATION, dtype);
        let mean_fan = f64::max(1.0, (fan_in + fan_out) / 2.0);
        let fan_in = f64::max(1.0, fan_in);
        match self {
            Initializer::Zeros => Tensor::zeros(dims, dtype),
            Initializer::Ones => Tensor::ones(dims, dtype),
            Initializer::Constant(value) => Tensor::full(dims, *value, dtype),
            Initializer::GlorotUniform => uniform(1.0 / mean_fan),
            Initializer::GlorotNormal => normal(1.0 / mean_fan),
            Initializer::HeUniform => uniform(2.0 / fan_in),
            Initializer::HeNormal => normal(2.0 / fan_in),
            Initializer::LecunUniform => uniform(1.0 / fan_in),
            Initializer::LecunNormal => normal(1.0 / fan_in),
            Initializer::Uniform { low, high } => random::uniform(dims, *low, *high, dtype),
            Initializer::Normal { mean, stddev } => random::normal(dims, *mean, *stddev, dtype),
            Initializer::TruncatedNormal { mean, stddev } => {
                random::truncated_normal(dims, *mean, *stddev, dtype)
            }
            Initializer::Custom(make) => make(&Spec::new(dims, dtype)).unwrap_or_else(Tensor::carry),
        }
    }
}
