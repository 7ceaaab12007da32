//! What kernel tests share: a deterministic random generator, and tensors of random layout.

use crate::cpu::buffer::{Buffer, View, ViewMut};
use crate::tensor::{DType, Dims, Element, Strides, contiguous_strides};
use crate::with_dtype;

/// A small random generator (SplitMix64).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Between `low` and `high`, inclusive.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// Uniform in [-1, 1).
    pub(crate) fn signed(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A small value that the dtype represents; floats are multiples of 1/8 so that all four hold them.
    pub(crate) fn value(&mut self, dtype: DType) -> f64 {
        match dtype {
            DType::Bool => self.below(2) as f64,
            DType::U8 => self.below(20) as f64,
            dtype if dtype.is_integer() => self.between(0, 40) as f64 - 20.0,
            _ => (self.signed() * 32.0).round() / 8.0,
        }
    }

    /// Random sizes of `rank` axes with at most about `limit` elements.
    pub(crate) fn dims(&mut self, rank: usize, limit: usize) -> Dims {
        let side = (limit as f64).powf(1.0 / rank.max(1) as f64).ceil() as usize;
        (0..rank).map(|_| if self.chance(6) { 1 } else { self.between(1, side.max(2)) }).collect()
    }
}

/// A tensor that owns its memory, in any layout.
pub(crate) struct TestTensor {
    pub(crate) buffer: Buffer,
    pub(crate) dtype: DType,
    pub(crate) dims: Dims,
    pub(crate) strides: Strides,
    offset: usize,
}

/// All index tuples of a shape in row-major order.
pub(crate) fn indices(dims: &[usize]) -> Vec<Dims> {
    let count: usize = dims.iter().product();
    (0..count).map(|i| index_of(i, dims)).collect()
}

/// The index tuple of the element at a row-major position.
pub(crate) fn index_of(mut position: usize, dims: &[usize]) -> Dims {
    let mut index: Dims = dims.iter().map(|_| 0).collect();
    for axis in (0..dims.len()).rev() {
        index[axis] = position % dims[axis];
        position /= dims[axis];
    }
    index
}

/// The row-major position of an index tuple.
pub(crate) fn position_of(index: &[usize], dims: &[usize]) -> usize {
    index.iter().zip(dims).fold(0, |position, (&i, &dim)| position * dim + i)
}

impl TestTensor {
    pub(crate) fn new(dtype: DType, dims: &[usize], values: &[f64]) -> TestTensor {
        assert_eq!(values.len(), dims.iter().product::<usize>());
        let mut tensor = TestTensor::uninitialized(dtype, dims);
        with_dtype!(dtype, T => {
            for (slot, &value) in tensor.view_mut().slice::<T>().iter_mut().zip(values) {
                *slot = T::from_f64(value);
            }
        });
        tensor
    }

    /// Contiguous, filled with a pattern that no kernel writes by chance.
    pub(crate) fn uninitialized(dtype: DType, dims: &[usize]) -> TestTensor {
        let count: usize = dims.iter().product();
        let mut buffer = Buffer::new(count * dtype.size());
        let garbage = if dtype == DType::Bool { 1 } else { 0xcd };
        // SAFETY: the buffer has this many bytes.
        unsafe { buffer.as_mut_ptr().write_bytes(garbage, count * dtype.size()) };
        let strides = contiguous_strides(dims);
        TestTensor { buffer, dtype, dims: dims.into(), strides, offset: 0 }
    }

    pub(crate) fn random(rng: &mut Rng, dtype: DType, dims: &[usize]) -> TestTensor {
        let count = dims.iter().product();
        let values: Vec<f64> = (0..count).map(|_| rng.value(dtype)).collect();
        TestTensor::new(dtype, dims, &values)
    }

    /// Random elements in a random layout: permuted, reversed, broadcast or with gaps.
    pub(crate) fn random_strided(rng: &mut Rng, dtype: DType, dims: &[usize]) -> TestTensor {
        let rank = dims.len();
        let mut order: Vec<usize> = (0..rank).collect();
        if rng.chance(2) {
            for i in (1..rank).rev() {
                order.swap(i, rng.below(i + 1));
            }
        }
        let (mut step, mut offset) = (if rng.chance(4) { 2 } else { 1 }, 0);
        let mut strides: Strides = dims.iter().map(|_| 0).collect();
        for &axis in order.iter().rev() {
            if rng.chance(5) {
                continue;
            }
            let size = dims[axis] + if rng.chance(5) { 1 } else { 0 };
            strides[axis] = step as isize;
            if rng.chance(6) {
                strides[axis] = -strides[axis];
                offset += step * dims[axis].saturating_sub(1);
            }
            step *= size;
        }
        let mut tensor = TestTensor::random(rng, dtype, &[step + 1]);
        (tensor.dims, tensor.strides, tensor.offset) = (dims.into(), strides, offset);
        tensor
    }

    pub(crate) fn view(&self) -> View<'_> {
        // SAFETY: the buffer holds every element that the strides reach, and outlives the view.
        unsafe {
            let data = self.buffer.as_ptr().add(self.offset * self.dtype.size());
            View::new(data, self.dtype, self.dims.clone(), self.strides.clone())
        }
    }

    pub(crate) fn view_mut(&mut self) -> ViewMut<'_> {
        // SAFETY: only contiguous tensors without offset are written, and those fill their buffer.
        unsafe { ViewMut::new(self.buffer.as_mut_ptr(), self.dtype, self.dims.clone()) }
    }

    pub(crate) fn get(&self, index: &[usize]) -> f64 {
        let step: isize = index.iter().zip(&self.strides).map(|(&i, &stride)| i as isize * stride).sum();
        let position = self.offset.checked_add_signed(step).unwrap();
        assert!((position + 1) * self.dtype.size() <= self.buffer.bytes());
        with_dtype!(self.dtype, T => {
            // SAFETY: within the buffer, as just checked.
            unsafe { *self.buffer.as_ptr().cast::<T>().add(position) }.to_f64()
        })
    }

    /// The elements in row-major order.
    pub(crate) fn values(&self) -> Vec<f64> {
        indices(&self.dims).iter().map(|index| self.get(index)).collect()
    }
}

/// Fails unless `got` is `wanted` up to a relative error (NaN equals NaN).
#[track_caller]
pub(crate) fn assert_close(got: &[f64], wanted: &[f64], tolerance: f64, context: &str) {
    assert_eq!(got.len(), wanted.len(), "{context}: number of elements");
    for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let close = (got - wanted).abs() <= tolerance * wanted.abs().max(1.0);
        let same = got == wanted || got.is_nan() && wanted.is_nan();
        assert!(close || same, "{context}: element {i} is {got}, not {wanted}");
    }
}

/// The relative error that one rounding to the dtype may bring.
pub(crate) fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-14,
        DType::F32 => 1e-6,
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        _ => 0.0,
    }
}
