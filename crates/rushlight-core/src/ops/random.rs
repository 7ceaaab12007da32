//! Random numbers from counter-based generators: the same numbers eagerly and in recorded functions, on any number
//! of threads.
//!
//! The free functions draw from this thread's default generator, which starts from an arbitrary seed.
//!
//! ```
//! use rushlight_core::{DType, random};
//! random::set_seed(7);
//! let first = random::normal([2, 3], 0.0, 1.0, DType::F32);
//! random::set_seed(7);
//! assert_eq!(first.to_vec::<f32>()?, random::normal([2, 3], 0.0, 1.0, DType::F32).to_vec::<f32>()?);
//! # Ok::<(), rushlight_core::Error>(())
//! ```

use crate::ops::Op;
use crate::tensor::{DType, Dims, Fault, Spec, Tensor, display_dims, is_open};
use crate::trace::apply::{apply, fail};
use crate::trace::{Variable, eagerly, recorder};
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hasher};

/// What a random element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Any value of an integer dtype.
    Bits,
    /// Uniform in [0, 1).
    Uniform,
}

/// Random elements, a function of the key and each element's position alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// A source of random numbers: a seed and a counter, kept in a variable so that recorded functions draw anew at
/// each call.
///
/// Each draw is a function of seed and counter alone, and moves the counter on. Clones share their state.
///
/// ```
/// use rushlight_core::{DType, random::Generator};
/// let generator = Generator::new(42);
/// let (a, b) = (generator.uniform([4], 0.0, 1.0, DType::F32), generator.uniform([4], 0.0, 1.0, DType::F32));
/// assert_ne!(a.to_vec::<f32>()?, b.to_vec::<f32>()?);
/// generator.set_seed(42);
/// assert_eq!(a.to_vec::<f32>()?, generator.uniform([4], 0.0, 1.0, DType::F32).to_vec::<f32>()?);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Generator {
    state: Variable,
}

impl Generator {
    /// A generator that starts at the beginning of the sequence that `seed` names.
    pub fn new(seed: u64) -> Generator {
        let state = Variable::new("random_state", &start_of(seed)).expect("the state is a value");
        Generator { state: state.untrainable() }
    }

    /// The state, `i64 [2]`: seed and counter. Saving and restoring it saves and restores the sequence.
    pub fn state(&self) -> &Variable {
        &self.state
    }

    /// Back to the beginning of the sequence that `seed` names; at once, also while a function is recorded.
    pub fn set_seed(&self, seed: u64) {
        eagerly(|| self.state.assign(&start_of(seed))).expect("the state keeps its shape and dtype");
    }

    /// Uniform numbers in `[low, high)`, of a floating-point dtype.
    #[track_caller]
    pub fn uniform(&self, dims: impl AsRef<[usize]>, low: f64, high: f64, dtype: DType) -> Tensor {
        let unit = self.draw("uniform", Distribution::Uniform, dims.as_ref(), dtype);
        if (low, high) == (0.0, 1.0) { unit } else { unit * (high - low) + low }
    }

    /// Normally distributed numbers, of a floating-point dtype.
    #[track_caller]
    pub fn normal(&self, dims: impl AsRef<[usize]>, mean: f64, deviation: f64, dtype: DType) -> Tensor {
        self.normal_within("normal", dims.as_ref(), 1.0, mean, deviation, dtype)
    }

    /// Normally distributed numbers less than two standard deviations away from the mean, as Keras's initializers
    /// use them. Note that `deviation` is that of the whole distribution; the numbers' own is 0.8796 times it.
    #[track_caller]
    pub fn truncated_normal(
        &self,
        dims: impl AsRef<[usize]>,
        mean: f64,
        deviation: f64,
        dtype: DType,
    ) -> Tensor {
        self.normal_within("truncated_normal", dims.as_ref(), ERF_SQRT_2, mean, deviation, dtype)
    }

    /// The inverse of the normal distribution function on uniform numbers: `√2 · erfinv(w)`, `|w| < share`.
    #[track_caller]
    fn normal_within(
        &self,
        op: &str,
        dims: &[usize],
        share: f64,
        mean: f64,
        deviation: f64,
        dtype: DType,
    ) -> Tensor {
        // Sixteen bits are too few to invert the distribution function well.
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        if !dtype.is_float() {
            return fail(op, Fault::dtype(format!("{dtype} is no floating-point dtype")), &[]);
        }
        // The middles of the steps that uniform numbers come in, stretched to (-1, 1): exact, and never the ends.
        let step = f64::exp2(if wide == DType::F64 { -53.0 } else { -24.0 });
        let centered = self.draw(op, Distribution::Uniform, dims, wide) * 2.0 + (step - 1.0);
        let centered = if share == 1.0 { centered } else { centered * share };
        let standard = centered.erfinv() * std::f64::consts::SQRT_2;
        (standard * deviation + mean).cast(dtype)
    }

    /// Ones with the given probability, zeros otherwise, of any dtype.
    #[track_caller]
    pub fn bernoulli(&self, dims: impl AsRef<[usize]>, probability: f64, dtype: DType) -> Tensor {
        if !(0.0..=1.0).contains(&probability) {
            let rule = format!("the probability {probability} must lie between 0 and 1");
            return fail("bernoulli", Fault::value(rule), &[]);
        }
        self.draw("bernoulli", Distribution::Uniform, dims.as_ref(), DType::F32).less(probability).cast(dtype)
    }

    /// Integers, each of `low..high` equally likely (up to one part in 2⁵³ divided by their number).
    #[track_caller]
    pub fn randint(&self, dims: impl AsRef<[usize]>, low: i64, high: i64, dtype: DType) -> Tensor {
        let (least, largest) = match dtype {
            DType::U8 => (0, i64::from(u8::MAX)),
            DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            DType::I64 => (i64::MIN, i64::MAX),
            _ => return fail("randint", Fault::dtype(format!("{dtype} is no integer dtype")), &[]),
        };
        let range = high as i128 - low as i128;
        if range <= 0 || range > 1 << 53 || low < least || high - 1 > largest {
            let rule =
                format!("the range {low}..{high} must hold 1 to 2^53 integers, all of which are {dtype}");
            return fail("randint", Fault::value(rule), &[]);
        }
        let unit = self.draw("randint", Distribution::Uniform, dims.as_ref(), DType::F64);
        ((unit * range as f64).floor().cast(DType::I64) + low).cast(dtype)
    }

    /// Class numbers (`i32`) drawn with the probabilities `softmax(logits)` over the last axis, which disappears.
    #[track_caller]
    pub fn categorical(&self, logits: &Tensor) -> Tensor {
        let Some(spec) = logits.known_spec() else { return logits.clone() };
        if !spec.dtype.is_float() || spec.dims.last().is_none_or(|&classes| classes == 0) {
            let rule = "the logits must be of a floating-point dtype and have a last axis that is not empty";
            return fail("categorical", Fault::shape(rule), &[logits]);
        }
        // The largest of the logits with Gumbel noise is distributed like that. The uniform numbers that the noise
        // is made of are moved to the middle of their steps, where neither logarithm is infinite.
        let unit = self.draw("categorical", Distribution::Uniform, &spec.dims, DType::F32);
        let unit = ((unit * 8_388_608.0).floor() + 0.5) / 8_388_608.0;
        let noise = -(-unit.log()).log();
        (logits.cast(DType::F32) + noise).argmax(-1)
    }

    /// The numbers `0..count` in random order, as `i32`.
    #[track_caller]
    pub fn permutation(&self, count: usize) -> Tensor {
        if i32::try_from(count).is_err() {
            return fail("permutation", Fault::value(format!("{count} numbers are too many for i32")), &[]);
        }
        self.draw("permutation", Distribution::Bits, &[count], DType::I64).argsort(0)
    }

    /// The slices along the first axis in random order.
    #[track_caller]
    pub fn shuffle(&self, tensor: &Tensor) -> Tensor {
        let Some(spec) = tensor.known_spec() else { return tensor.clone() };
        match spec.dims.first() {
            Some(&count) if !is_open(count) => tensor.take(&self.permutation(count), 0),
            _ => fail("shuffle", Fault::shape("there must be a first axis of known size"), &[tensor]),
        }
    }

    #[track_caller]
    fn draw(&self, op: &str, distribution: Distribution, dims: &[usize], dtype: DType) -> Tensor {
        let random = Random { distribution, dims: Dims::from_slice(dims), dtype };
        if dims.iter().any(|&dim| is_open(dim)) && !recorder::has_open_batch() {
            let rule = format!(
                "{} has the open batch axis of a model: draw inside a layer, which knows its batch",
                display_dims(dims)
            );
            return fail(op, Fault::shape(rule), &[]);
        }
        if distribution == Distribution::Uniform && !dtype.is_float() {
            return fail(op, Fault::dtype(format!("{dtype} is no floating-point dtype")), &[]);
        }
        let state = self.state.read();
        let next = &state + Tensor::from([0i64, 1]);
        match self.state.assign(&next) {
            Ok(()) => apply(Op::Random(random), &[&state]),
            Err(error) => Tensor::carry(error),
        }
    }
}

/// `erf(√2)`: the share of a normal distribution within two standard deviations.
const ERF_SQRT_2: f64 = 0.954_499_736_103_641_6;

fn start_of(seed: u64) -> Tensor {
    Tensor::from([seed as i64, 0])
}

thread_local! {
    static DEFAULT: Generator = Generator::new(arbitrary_seed());
}

/// Another seed at each start of the program and on each thread.
fn arbitrary_seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// This thread's default generator, which the free functions of this module draw from.
pub fn default_generator() -> Generator {
    recorder::bind_to_thread();
    DEFAULT.with(Generator::clone)
}

/// Sets the seed of this thread's default generator.
pub fn set_seed(seed: u64) {
    default_generator().set_seed(seed);
}

/// [`Generator::uniform`] of the default generator.
#[track_caller]
pub fn uniform(dims: impl AsRef<[usize]>, low: f64, high: f64, dtype: DType) -> Tensor {
    default_generator().uniform(dims, low, high, dtype)
}

/// [`Generator::normal`] of the default generator.
#[track_caller]
pub fn normal(dims: impl AsRef<[usize]>, mean: f64, deviation: f64, dtype: DType) -> Tensor {
    default_generator().normal(dims, mean, deviation, dtype)
}

/// [`Generator::truncated_normal`] of the default generator.
#[track_caller]
pub fn truncated_normal(dims: impl AsRef<[usize]>, mean: f64, deviation: f64, dtype: DType) -> Tensor {
    default_generator().truncated_normal(dims, mean, deviation, dtype)
}

/// [`Generator::bernoulli`] of the default generator.
#[track_caller]
pub fn bernoulli(dims: impl AsRef<[usize]>, probability: f64, dtype: DType) -> Tensor {
    default_generator().bernoulli(dims, probability, dtype)
}

/// [`Generator::randint`] of the default generator.
#[track_caller]
pub fn randint(dims: impl AsRef<[usize]>, low: i64, high: i64, dtype: DType) -> Tensor {
    default_generator().randint(dims, low, high, dtype)
}

/// [`Generator::categorical`] of the default generator.
#[track_caller]
pub fn categorical(logits: &Tensor) -> Tensor {
    default_generator().categorical(logits)
}

/// [`Generator::permutation`] of the default generator.
#[track_caller]
pub fn permutation(count: usize) -> Tensor {
    default_generator().permutation(count)
}

/// [`Generator::shuffle`] of the default generator.
#[track_caller]
pub fn shuffle(tensor: &Tensor) -> Tensor {
    default_generator().shuffle(tensor)
}
