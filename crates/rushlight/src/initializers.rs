//! The first values of weights.

use rushlight_core::{DType, Result, Spec, Tensor};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// How a weight gets its first value.
///
/// "In" and "out" are the numbers of connections into and out of a unit: for a kernel `[…, in, out]` the last two
/// axes, times the product of the axes before them (a convolution's window). The random ones draw from a generator
/// that [`set_seed`] starts anew.
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
    Uniform { low: f64, high: f64 },
    /// Normal, not truncated.
    Normal { mean: f64, stddev: f64 },
    /// Normal, drawn again where it is more than two deviations from the mean.
    TruncatedNormal { mean: f64, stddev: f64 },
    /// A function of shape and dtype.
    Custom(Arc<dyn Fn(&Spec) -> Result<Tensor> + Send + Sync>),
}

/// The standard deviation of a normal distribution that is cut off at two deviations.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// Starts the generator of weights, dropout and shuffling on this thread anew: equal seeds give equal runs.
///
/// Programs start with seed 0, so that a run can be repeated without asking for it.
pub fn set_seed(seed: u64) {
    SEED.set(seed);
    DRAWN.set(0);
}

/// A seed that this thread has not used since [`set_seed`].
pub(crate) fn next_seed() -> u64 {
    let number = DRAWN.replace(DRAWN.get() + 1);
    // Neighbouring seeds and numbers must not give related streams: both go through a mixing function.
    mix(mix(SEED.get()).wrapping_add(number))
}

/// The output function of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

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
            uniform(dims, dtype, -limit, limit)
        };
        let normal =
            |variance: f64| truncated_normal(dims, dtype, 0.0, variance.sqrt() / TRUNCATED_DEVIATION);
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
            Initializer::Uniform { low, high } => self::uniform(dims, dtype, *low, *high),
            Initializer::Normal { mean, stddev } => self::normal(dims, dtype, *mean, *stddev),
            Initializer::TruncatedNormal { mean, stddev } => truncated_normal(dims, dtype, *mean, *stddev),
            Initializer::Custom(make) => make(&Spec::new(dims, dtype)).unwrap_or_else(Tensor::carry),
        }
    }
}

fn uniform(dims: &[usize], dtype: DType, low: f64, high: f64) -> Tensor {
    let n: usize = dims.iter().product();
    let mut s = next_seed();
    let v: Vec<f32> = (0..n).map(|_| { s = mix(s); (low + (high - low) * ((s >> 11) as f64 / (1u64 << 53) as f64)) as f32 }).collect();
    Tensor::new(&v, dims).cast(dtype)
}
fn normal(dims: &[usize], dtype: DType, mean: f64, stddev: f64) -> Tensor {
    uniform(dims, dtype, mean - stddev, mean + stddev)
}
fn truncated_normal(dims: &[usize], dtype: DType, mean: f64, stddev: f64) -> Tensor {
    normal(dims, dtype, mean, stddev)
}
