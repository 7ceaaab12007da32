//! Sorting along an axis.

use super::layout::{around, with_contiguous};
use super::shared::Shared;
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::threads::parallel_for;
use crate::ops::sort::Sort;
use crate::tensor::Element;
use crate::with_dtype;
use half::{bf16, f16};

/// An element as an unsigned number of the same order; NaN is the greatest, both zeros are one.
trait Key: Element {
    /// In descending order NaN stays last.
    fn key(self, descending: bool) -> u64;
}

macro_rules! float_key {
    ($($type:ty: $bits:ty),*) => {
        $(impl Key for $type {
            #[inline(always)]
            fn key(self, descending: bool) -> u64 {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                if self != self {
                    return <$bits>::MAX as u64;
                }
                let bits = if self.to_f64() == 0.0 { 0 } else { self.to_bits() };
                let key = if bits & SIGN == 0 { bits | SIGN } else { !bits };
                (if descending { !key } else { key }) as u64
            }
        })*
    };
}

macro_rules! integer_key {
    ($($type:ty: $bits:ty),*) => {
        $(impl Key for $type {
            #[inline(always)]
            fn key(self, descending: bool) -> u64 {
                let key = self as $bits ^ (<$type>::MIN as $bits);
                (if descending { !key } else { key }) as u64
            }
        })*
    };
}

float_key! { f32: u32, f64: u64, f16: u16, bf16: u16 }
integer_key! { i32: u32, i64: u64, u8: u8 }

impl Key for bool {
    #[inline(always)]
    fn key(self, descending: bool) -> u64 {
        (self != descending) as u64
    }
}

/// A stable sort: the sorted values and, as `i32`, where they were.
pub(crate) fn run(op: &Sort, inputs: &[View], outputs: &mut [ViewMut]) {
    with_contiguous(&inputs[0], |input| with_dtype!(input.dtype, T => sort_lines::<T>(op, input, outputs)));
}

fn sort_lines<T: Key>(op: &Sort, input: &View, outputs: &mut [ViewMut]) {
    let [outer, length, inner] = around(&input.dims, op.axis);
    let source = input.slice::<T>();
    let values = Shared::new(outputs[0].pointer::<T>());
    let positions = Shared::new(outputs[1].pointer::<i32>());
    let lines = outer * inner;
    if lines * length == 0 {
        return;
    }
    let together = lines.div_ceil((lines * length / 8192).clamp(1, 128));
    parallel_for(lines.div_ceil(together), |task| {
        let mut short: Vec<u64> = Vec::new();
        let mut long: Vec<u128> = Vec::new();
        for line in task * together..lines.min((task + 1) * together) {
            let start = line / inner * length * inner + line % inner;
            let write = |place: usize, from: u32| {
                let to = start + place * inner;
                // SAFETY: within the outputs; each line is written by one task.
                unsafe {
                    *values.at(to) = source[start + from as usize * inner];
                    *positions.at(to) = from as i32;
                }
            };
            let keys = (0..length).map(|k| source[start + k * inner].key(op.descending));
            // The position in the low bits makes all keys different and the order stable.
            if size_of::<T>() <= 4 {
                short.clear();
                short.extend(keys.zip(0..).map(|(key, k): (u64, u64)| key << 32 | k));
                short.sort_unstable();
                short.iter().enumerate().for_each(|(place, &key)| write(place, key as u32));
            } else {
                long.clear();
                long.extend(keys.zip(0..).map(|(key, k): (u64, u128)| (key as u128) << 32 | k));
                long.sort_unstable();
                long.iter().enumerate().for_each(|(place, &key)| write(place, key as u32));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::cpu::kernels::run;
    use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, indices};
    use crate::ops::Op;
    use crate::ops::sort::Sort;
    use crate::tensor::DType;
    use std::cmp::Ordering;

    #[test]
    fn sorting_is_stable_and_puts_nan_last() {
        let mut rng = Rng(41);
        for round in 0..400 {
            let dtype = DType::ALL[rng.below(8)];
            let rank = rng.between(1, 3);
            let dims = rng.dims(rank, if round % 50 == 0 { 20_000 } else { 200 });
            let mut x = TestTensor::random_strided(&mut rng, dtype, &dims);
            if dtype.is_float() {
                let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
                let values: Vec<f64> = x
                    .values()
                    .iter()
                    .map(|&v| if rng.chance(5) { special[rng.below(5)] } else { v })
                    .collect();
                x = TestTensor::new(dtype, &dims, &values);
            }
            let op = Sort { axis: rng.below(rank), descending: rng.chance(2) };
            let mut values = TestTensor::uninitialized(dtype, &dims);
            let mut positions = TestTensor::uninitialized(DType::I32, &dims);
            run(&Op::Sort(op), &[x.view()], &mut [values.view_mut(), positions.view_mut()]);
            for index in indices(&dims).iter().filter(|index| index[op.axis] == 0) {
                let at = |tensor: &TestTensor, k: usize| {
                    let mut place = index.clone();
                    place[op.axis] = k;
                    tensor.get(&place)
                };
                let mut order: Vec<usize> = (0..dims[op.axis]).collect();
                order.sort_by(|&a, &b| {
                    let (a, b) = (at(&x, a), at(&x, b));
                    match (a.is_nan(), b.is_nan()) {
                        (false, false) if op.descending => b.partial_cmp(&a).unwrap(),
                        (false, false) => a.partial_cmp(&b).unwrap(),
                        (true, true) => Ordering::Equal,
                        (true, false) => Ordering::Greater,
                        (false, true) => Ordering::Less,
                    }
                });
                let wanted: Vec<f64> = order.iter().map(|&k| k as f64).collect();
                let sorted: Vec<f64> = order.iter().map(|&k| at(&x, k)).collect();
                let column =
                    |tensor: &TestTensor| (0..dims[op.axis]).map(|k| at(tensor, k)).collect::<Vec<f64>>();
                assert_close(
                    &column(&positions),
                    &wanted,
                    0.0,
                    &format!("positions of {op:?} {dtype} {dims:?}"),
                );
                assert_close(&column(&values), &sorted, 0.0, &format!("values of {op:?} {dtype} {dims:?}"));
            }
        }
    }
}
