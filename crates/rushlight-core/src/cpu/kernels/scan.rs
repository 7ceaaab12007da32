//! Running totals along an axis, and the position of its extreme element.

use super::layout::{around, copy, with_contiguous};
use super::shared::Shared;
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::threads::parallel_for;
use crate::ops::reduce::{ArgReduce, Cumulative};
use crate::tensor::Element;
use crate::with_dtype;
use half::{bf16, f16};

/// Neighbouring lines that are walked through together.
const LINES: usize = 64;

/// Elements below which one thread does all the work.
const PARALLEL: usize = 32 * 1024;

/// Calls `body(outer, first, count)` for bundles of at most [`LINES`] lines along an axis, shared among threads.
///
/// A line begins at element `outer * length * inner + first` and steps by `inner`.
fn for_bundles([outer, length, inner]: [usize; 3], body: impl Fn(usize, usize, usize) + Sync) {
    let bundles = inner.div_ceil(LINES);
    let bundle = |task: usize| {
        let first = task % bundles * LINES;
        body(task / bundles, first, LINES.min(inner - first));
    };
    let tasks = outer * bundles;
    if outer * length * inner < PARALLEL {
        return (0..tasks).for_each(bundle);
    }
    let together = tasks.div_ceil(128);
    parallel_for(tasks.div_ceil(together), |group| {
        (group * together..tasks.min((group + 1) * together)).for_each(bundle);
    });
}

/// What a running total is kept in.
trait Total: Element {
    type Sum: Copy;
    const ZERO: Self::Sum;
    const ONE: Self::Sum;
    fn add(total: Self::Sum, value: Self) -> Self::Sum;
    fn multiply(total: Self::Sum, value: Self) -> Self::Sum;
    fn rounded(total: Self::Sum) -> Self;
}

macro_rules! total {
    ($($type:ty as $sum:ty: $zero:expr, $one:expr, |$total:ident, $value:ident| $add:expr, $multiply:expr, $round:expr;)*) => {
        $(impl Total for $type {
            type Sum = $sum;
            const ZERO: $sum = $zero;
            const ONE: $sum = $one;
            #[inline(always)]
            fn add($total: $sum, $value: $type) -> $sum {
                $add
            }
            #[inline(always)]
            fn multiply($total: $sum, $value: $type) -> $sum {
                $multiply
            }
            #[inline(always)]
            fn rounded($total: $sum) -> $type {
                $round
            }
        })*
    };
}

total! {
    f32 as f32: 0.0, 1.0, |total, value| total + value, total * value, total;
    f64 as f64: 0.0, 1.0, |total, value| total + value, total * value, total;
    f16 as f32: 0.0, 1.0, |total, value| total + value.to_f32(), total * value.to_f32(), f16::from_f32(total);
    bf16 as f32: 0.0, 1.0, |total, value| total + value.to_f32(), total * value.to_f32(), bf16::from_f32(total);
    i32 as i32: 0, 1, |total, value| total.wrapping_add(value), total.wrapping_mul(value), total;
    i64 as i64: 0, 1, |total, value| total.wrapping_add(value), total.wrapping_mul(value), total;
    u8 as u8: 0, 1, |total, value| total.wrapping_add(value), total.wrapping_mul(value), total;
    bool as bool: false, true, |total, value| total | value, total & value, total;
}

/// Running sums or products along an axis; 16-bit floats are totalled in `f32`.
pub(crate) fn cumulative(op: &Cumulative, inputs: &[View], output: &mut ViewMut) {
    copy(&inputs[0], output);
    with_dtype!(output.dtype, T => cumulate::<T>(op, output));
}

fn cumulate<T: Total>(op: &Cumulative, output: &mut ViewMut) {
    let shape @ [_, length, inner] = around(&output.dims, op.axis);
    let values = Shared::new(output.pointer::<T>());
    for_bundles(shape, |outer, first, count| {
        let mut totals = [if op.product { T::ONE } else { T::ZERO }; LINES];
        for step in 0..length {
            let place = if op.reverse { length - 1 - step } else { step };
            let start = (outer * length + place) * inner + first;
            for (i, total) in totals[..count].iter_mut().enumerate() {
                // SAFETY: within the output; each bundle has lines of its own.
                let value = unsafe { &mut *values.at(start + i) };
                let next = if op.product { T::multiply(*total, *value) } else { T::add(*total, *value) };
                *value = T::rounded(if op.exclusive { *total } else { next });
                *total = next;
            }
        }
    });
}

/// The position of the first extreme element along an axis; NaN counts as more extreme than any number.
pub(crate) fn arg_reduce(op: &ArgReduce, inputs: &[View], output: &mut ViewMut) {
    with_contiguous(&inputs[0], |input| {
        with_dtype!(input.dtype, T => find_extreme::<T>(op, input, output));
    });
}

fn find_extreme<T: Element>(op: &ArgReduce, input: &View, output: &mut ViewMut) {
    let shape @ [_, length, inner] = around(&input.dims, op.axis);
    let values = input.slice::<T>();
    let positions = Shared::new(output.pointer::<i32>());
    for_bundles(shape, |outer, first, count| {
        let line = |place: usize| &values[(outer * length + place) * inner + first..][..count];
        let mut best = [(T::default(), 0); LINES];
        for (best, &value) in best.iter_mut().zip(line(0)) {
            best.0 = value;
        }
        for place in 1..length {
            for (best, &value) in best.iter_mut().zip(line(place)) {
                let beyond = if op.largest { value > best.0 } else { value < best.0 };
                if beyond || is_nan(value) && !is_nan(best.0) {
                    *best = (value, place as i32);
                }
            }
        }
        for (i, &(_, place)) in best[..count].iter().enumerate() {
            // SAFETY: within the output; each bundle has lines of its own.
            unsafe { *positions.at(outer * inner + first + i) = place };
        }
    });
}

#[expect(clippy::eq_op, reason = "only NaN differs from itself, whatever the element type")]
#[inline(always)]
fn is_nan<T: Element>(value: T) -> bool {
    value != value
}

#[cfg(test)]
mod tests {
    use crate::cpu::kernels::run;
    use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, indices, rounding};
    use crate::ops::Op;
    use crate::ops::reduce::{ArgReduce, Cumulative};
    use crate::tensor::{DType, Dims};

    #[test]
    fn running_totals_match_the_definition() {
        let mut rng = Rng(31);
        for round in 0..600 {
            let dtype = DType::ALL[rng.below(7)];
            let rank = rng.between(1, 4);
            let dims = rng.dims(rank, if round % 60 == 0 { 40_000 } else { 300 });
            let x = TestTensor::random_strided(&mut rng, dtype, &dims);
            let op = Cumulative {
                product: rng.chance(3),
                axis: rng.below(rank),
                reverse: rng.chance(2),
                exclusive: rng.chance(2),
            };
            // products of many numbers leave every range
            if op.product && (dims[op.axis] > 6 || dtype == DType::U8) {
                continue;
            }
            let mut output = TestTensor::uninitialized(dtype, &dims);
            run(&Op::Cumulative(op), &[x.view()], &mut [output.view_mut()]);
            if dims.iter().product::<usize>() > 3000 && dims[op.axis] > 60 {
                continue;
            }
            let wanted: Vec<f64> = indices(&dims)
                .iter()
                .map(|index| {
                    let here = index[op.axis];
                    let places: Vec<usize> = (0..dims[op.axis])
                        .filter(|&k| if op.reverse { k >= here } else { k <= here })
                        .filter(|&k| !op.exclusive || k != here)
                        .collect();
                    let values = places.iter().map(|&k| {
                        let mut place = index.clone();
                        place[op.axis] = k;
                        x.get(&place)
                    });
                    let total: f64 = if op.product { values.product() } else { values.sum() };
                    if dtype == DType::U8 { total % 256.0 } else { total }
                })
                .collect();
            let scale = dims[op.axis] as f64;
            assert_close(
                &output.values(),
                &wanted,
                rounding(dtype) * scale,
                &format!("{op:?} {dtype} {dims:?}"),
            );
        }
    }

    #[test]
    fn the_first_extreme_element_is_found_and_nan_is_extreme() {
        let mut rng = Rng(32);
        for round in 0..600 {
            let dtype = DType::ALL[rng.below(7)];
            let rank = rng.between(1, 4);
            let dims = rng.dims(rank, if round % 60 == 0 { 40_000 } else { 300 });
            let mut x = TestTensor::random_strided(&mut rng, dtype, &dims);
            if dtype.is_float() && rng.chance(3) {
                let values: Vec<f64> =
                    x.values().iter().map(|&v| if rng.chance(6) { f64::NAN } else { v }).collect();
                x = TestTensor::new(dtype, &dims, &values);
            }
            let op = ArgReduce { largest: rng.chance(2), axis: rng.below(rank) };
            let mut result: Dims = dims.clone();
            result.remove(op.axis);
            let mut output = TestTensor::uninitialized(DType::I32, &result);
            run(&Op::ArgReduce(op), &[x.view()], &mut [output.view_mut()]);
            let wanted: Vec<f64> = indices(&result)
                .iter()
                .map(|index| {
                    let at = |k: usize| {
                        let mut place = index.clone();
                        place.insert(op.axis, k);
                        x.get(&place)
                    };
                    let nan = (0..dims[op.axis]).find(|&k| at(k).is_nan());
                    let beats = |a: f64, b: f64| if op.largest { a > b } else { a < b };
                    let best =
                        (1..dims[op.axis]).fold(0, |best, k| if beats(at(k), at(best)) { k } else { best });
                    nan.unwrap_or(best) as f64
                })
                .collect();
            assert_close(&output.values(), &wanted, 0.0, &format!("{op:?} {dtype} {dims:?}"));
        }
    }
}
