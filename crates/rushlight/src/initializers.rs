//! The first values of weights.

use rushlight_core::{DType, Result, Spec, Tensor, random};
use std::fmt;
use std::sync::Arc;

/// How a weight gets its first value.
///
/// "In" and "out" are the numbers of connections into and out of a unit: for a kernel `[…, in, out]` the last two
/// axes, times the product of the axes before them (a convolution's window). The random ones draw from this thread's
/// default generator, which [`random::set_seed`] starts anew.
#[derive(Clone, Debug)]
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
    /// A function of your own; see [`Initializer::custom`].
    Custom(Custom),
}

type Make = dyn Fn(&Spec) -> Result<Tensor> + Send + Sync;

/// A function from shape and dtype to first values.
#[derive(Clone)]
pub struct Custom(Arc<Make>);

impl fmt::Debug for Custom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("function")
    }
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
    /// First values by a function of shape and dtype.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let eye = Initializer::custom(|spec| Ok(Tensor::eye(spec.dims[0], spec.dtype)));
    /// let dense = Dense::new(2).kernel_initializer(eye);
    /// assert_eq!(dense.call(&Tensor::from([[3.0f32, 4.0]])).to_vec::<f32>()?, [3.0, 4.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn custom(make: impl Fn(&Spec) -> Result<Tensor> + Send + Sync + 'static) -> Initializer {
        Initializer::Custom(Custom(Arc::new(make)))
    }

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
            Initializer::Custom(Custom(make)) => make(&Spec::new(dims, dtype)).unwrap_or_else(Tensor::carry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(initializer: &Initializer, dims: &[usize]) -> (f64, f64, f64) {
        let values = initializer.tensor(dims, DType::F32).to_vec::<f32>().unwrap();
        let count = values.len() as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let square = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / count;
        let largest = values.iter().fold(0.0, |largest, &value| f64::max(largest, f64::from(value).abs()));
        (mean, square.sqrt(), largest)
    }

    #[test]
    fn deviations_follow_the_fans() {
        random::set_seed(11);
        // A kernel of 3×3 from 16 to 64 channels: 144 in, 576 out.
        let kernel = [3, 3, 16, 64];
        let cases = [
            (Initializer::GlorotUniform, 1.0 / 360.0, 3.0),
            (Initializer::GlorotNormal, 1.0 / 360.0, 4.0 / 0.7737),
            (Initializer::HeUniform, 2.0 / 144.0, 3.0),
            (Initializer::HeNormal, 2.0 / 144.0, 4.0 / 0.7737),
            (Initializer::LecunUniform, 1.0 / 144.0, 3.0),
            (Initializer::LecunNormal, 1.0 / 144.0, 4.0 / 0.7737),
        ];
        for (initializer, variance, range) in cases {
            let (mean, deviation, largest) = statistics(&initializer, &kernel);
            let expected = f64::sqrt(variance);
            assert!(mean.abs() < 0.05 * expected, "{initializer:?}: mean {mean}");
            assert!((deviation / expected - 1.0).abs() < 0.03, "{initializer:?}: {deviation} not {expected}");
            let limit = f64::sqrt(range * variance);
            assert!((0.97..1.0001).contains(&(largest / limit)), "{initializer:?}: {largest} not {limit}");
        }
        assert_eq!((fans(&[]), fans(&[7]), fans(&[5, 3])), ((1.0, 1.0), (7.0, 7.0), (5.0, 3.0)));
    }

    #[test]
    fn a_seed_gives_the_same_values() {
        let draw = || Initializer::GlorotUniform.tensor(&[4, 4], DType::F32).to_vec::<f32>().unwrap();
        random::set_seed(2);
        let (first, second) = (draw(), draw());
        random::set_seed(2);
        assert_eq!(first, draw());
        assert_ne!(first, second);
    }
}
