//! The first values of weights.

mod config;
mod orthogonal;

use rushlight_core::random::Generator;
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Tensor, eagerly, random};
use std::fmt;
use std::sync::Arc;

/// How a weight gets its first value.
///
/// "In" and "out" are the numbers of connections into and out of a unit: for a kernel `[…, in, out]` the last two
/// axes, times the product of the axes before them (a convolution's window). The random ones draw from this thread's
/// default generator, which [`random::set_seed`] starts anew, or from a seed of their own ([`Initializer::seeded`]).
///
/// ```
/// use rushlight::prelude::*;
/// let initializer = Initializer::HeNormal.seeded(7);
/// let (first, again) = (initializer.tensor(&[3, 4], DType::F32), initializer.tensor(&[3, 4], DType::F32));
/// assert_eq!(first.to_vec::<f32>()?, again.to_vec::<f32>()?);
/// # Ok::<(), rushlight::Error>(())
/// ```
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
    /// Variance `scale / connections`, the family of the six above: see [`Fan`] and [`Distribution`].
    VarianceScaling {
        scale: f64,
        mode: Fan,
        distribution: Distribution,
    },
    /// A random matrix with orthogonal columns (or rows, if those are fewer), times `gain`; axes before the last are
    /// taken together (Saxe et al., 2014).
    Orthogonal {
        gain: f64,
    },
    /// The identity matrix times `gain`.
    Identity {
        gain: f64,
    },
    /// One of the others, with the same values each time.
    Seeded(Box<Initializer>, u64),
    /// A function of your own; see [`Initializer::custom`].
    Custom(Custom),
}

/// The connections that a variance is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    In,
    Out,
    /// The mean of both.
    Average,
}

/// What random numbers are distributed like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Normal, cut off at two deviations, and then of the wanted variance.
    TruncatedNormal,
    Normal,
    Uniform,
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
    /// Uniform within ±0.05: Keras's `uniform`, with which embeddings begin.
    pub const UNIFORM: Initializer = Initializer::Uniform { low: -0.05, high: 0.05 };
    /// An orthogonal matrix: Keras's `orthogonal`, with which recurrent kernels begin.
    pub const ORTHOGONAL: Initializer = Initializer::Orthogonal { gain: 1.0 };

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

    /// This initializer with a seed of its own: the same values each time, as Keras's `seed`.
    pub fn seeded(self, seed: u64) -> Initializer {
        match self {
            Initializer::Seeded(inner, _) => Initializer::Seeded(inner, seed),
            inner => Initializer::Seeded(Box::new(inner), seed),
        }
    }

    /// A tensor of this shape and dtype.
    #[track_caller]
    pub fn tensor(&self, dims: &[usize], dtype: DType) -> Tensor {
        match self {
            Initializer::Seeded(inner, seed) => inner.draw(&Generator::new(*seed), dims, dtype),
            _ => self.draw(&random::default_generator(), dims, dtype),
        }
    }

    #[track_caller]
    fn draw(&self, random: &Generator, dims: &[usize], dtype: DType) -> Tensor {
        let scaled = |scale: f64, mode: Fan, distribution: Distribution| {
            let (fan_in, fan_out) = fans(dims);
            let connections = match mode {
                Fan::In => fan_in,
                Fan::Out => fan_out,
                Fan::Average => (fan_in + fan_out) / 2.0,
            };
            let variance = scale / connections.max(1.0);
            match distribution {
                Distribution::Uniform => {
                    let limit = (3.0 * variance).sqrt();
                    random.uniform(dims, -limit, limit, dtype)
                }
                Distribution::Normal => random.normal(dims, 0.0, variance.sqrt(), dtype),
                Distribution::TruncatedNormal => {
                    random.truncated_normal(dims, 0.0, variance.sqrt() / TRUNCATED_DEVIATION, dtype)
                }
            }
        };
        use Distribution::{TruncatedNormal, Uniform};
        match self {
            Initializer::Zeros => Tensor::zeros(dims, dtype),
            Initializer::Ones => Tensor::ones(dims, dtype),
            Initializer::Constant(value) => Tensor::full(dims, *value, dtype),
            Initializer::GlorotUniform => scaled(1.0, Fan::Average, Uniform),
            Initializer::GlorotNormal => scaled(1.0, Fan::Average, TruncatedNormal),
            Initializer::HeUniform => scaled(2.0, Fan::In, Uniform),
            Initializer::HeNormal => scaled(2.0, Fan::In, TruncatedNormal),
            Initializer::LecunUniform => scaled(1.0, Fan::In, Uniform),
            Initializer::LecunNormal => scaled(1.0, Fan::In, TruncatedNormal),
            Initializer::VarianceScaling { scale, mode, distribution } => {
                scaled(*scale, *mode, *distribution)
            }
            Initializer::Uniform { low, high } => random.uniform(dims, *low, *high, dtype),
            Initializer::Normal { mean, stddev } => random.normal(dims, *mean, *stddev, dtype),
            Initializer::TruncatedNormal { mean, stddev } => {
                random.truncated_normal(dims, *mean, *stddev, dtype)
            }
            Initializer::Orthogonal { gain } => {
                eagerly(|| orthogonal::orthogonal(random, dims, *gain, dtype)).unwrap_or_else(Tensor::carry)
            }
            Initializer::Identity { gain } => identity(dims, *gain, dtype),
            Initializer::Seeded(inner, seed) => inner.draw(&Generator::new(*seed), dims, dtype),
            Initializer::Custom(Custom(make)) => make(&Spec::new(dims, dtype)).unwrap_or_else(Tensor::carry),
        }
    }
}

#[track_caller]
fn identity(dims: &[usize], gain: f64, dtype: DType) -> Tensor {
    let &[rows, columns] = dims else {
        let rule = "the identity has two axes";
        let got = vec![Spec::new(dims, dtype)];
        return Tensor::carry(Error::with_inputs(ErrorKind::Shape, "Initializer::Identity", rule, got));
    };
    let square = Tensor::eye(rows.max(columns), dtype);
    square.slice_axis(0, 0, rows).slice_axis(1, 0, columns) * gain
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
    fn variances_follow_scale_mode_and_distribution() {
        random::set_seed(12);
        let kernel = [3, 3, 16, 64];
        for (mode, connections) in [(Fan::In, 144.0), (Fan::Out, 576.0), (Fan::Average, 360.0)] {
            for (distribution, range) in [
                (Distribution::Uniform, 3.0),
                (Distribution::TruncatedNormal, 4.0 / 0.7737),
                (Distribution::Normal, 16.0),
            ] {
                let initializer = Initializer::VarianceScaling { scale: 3.0, mode, distribution };
                let (mean, deviation, largest) = statistics(&initializer, &kernel);
                let variance: f64 = 3.0 / connections;
                assert!(mean.abs() < 0.05 * variance.sqrt(), "{initializer:?}: mean {mean}");
                assert!((deviation / variance.sqrt() - 1.0).abs() < 0.03, "{initializer:?}: {deviation}");
                let part = largest / (range * variance).sqrt();
                let least = if distribution == Distribution::Normal { 0.8 } else { 0.97 };
                assert!((least..1.3).contains(&part), "{initializer:?}: {largest}");
                assert!(distribution == Distribution::Normal || part < 1.0001, "{initializer:?}: {largest}");
            }
        }
    }

    #[test]
    fn orthogonal_and_identity_matrices() {
        random::set_seed(13);
        for dims in [vec![5, 3], vec![3, 5], vec![2, 3, 4], vec![4, 4]] {
            let w = Initializer::Orthogonal { gain: 2.0 }.tensor(&dims, DType::F64);
            assert_eq!(w.shape().unwrap(), dims);
            let columns = *dims.last().unwrap();
            let w = w.reshape([-1, columns as isize]);
            let rows = w.shape().unwrap()[0];
            let product = if rows >= columns { w.t().matmul(&w) } else { w.matmul(&w.t()) };
            let expected = Tensor::eye(rows.min(columns), DType::F64) * 4.0;
            let error = (product - expected).abs().max(..).to_f64().unwrap();
            assert!(error < 1e-12, "{dims:?}: {error}");
        }
        let identity = Initializer::Identity { gain: 3.0 }.tensor(&[2, 3], DType::F32);
        assert_eq!(identity.to_vec::<f32>().unwrap(), [3.0, 0.0, 0.0, 0.0, 3.0, 0.0]);
        assert!(Initializer::Identity { gain: 1.0 }.tensor(&[2], DType::F32).check().is_err());
        assert!(Initializer::Orthogonal { gain: 1.0 }.tensor(&[2], DType::F32).check().is_err());
    }

    #[test]
    fn a_seed_gives_the_same_values() {
        let draw = || Initializer::GlorotUniform.tensor(&[4, 4], DType::F32).to_vec::<f32>().unwrap();
        random::set_seed(2);
        let (first, second) = (draw(), draw());
        random::set_seed(2);
        assert_eq!(first, draw());
        assert_ne!(first, second);
        let own = |seed| {
            let initializer = Initializer::Orthogonal { gain: 1.0 }.seeded(seed);
            initializer.tensor(&[4, 4], DType::F32).to_vec::<f32>().unwrap()
        };
        assert_eq!(own(5), own(5));
        assert_ne!(own(5), own(6));
    }
}
