//! What is done with the channels of one place: plain loops, compiled along with their callers.

use super::Number;

/// `sums[c] += values[c]`
#[inline(always)]
pub(super) fn add<T: Number>(sums: &mut [T], values: &[T]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum = sum.plus(value);
    }
}

/// Keeps the greatest value so far. NaN is greater than everything.
#[inline(always)]
pub(super) fn raise<T: Number>(best: &mut [T], values: &[T]) {
    for (best, &value) in best.iter_mut().zip(values) {
        let is_greater = (value > *best) | value.is_nan();
        *best = if is_greater { value } else { *best };
    }
}

/// Keeps the greatest value so far, the first of equal ones, and its place. NaN is greater than everything.
#[inline(always)]
pub(super) fn greatest<T: Number>(best: &mut [T], best_places: &mut [u32], values: &[T], place: u32) {
    for ((best, best_place), &value) in best.iter_mut().zip(best_places).zip(values) {
        let is_greater = (value > *best) | (value.is_nan() & !best.is_nan());
        *best = if is_greater { value } else { *best };
        *best_place = if is_greater { place } else { *best_place };
    }
}

/// `result[c] = source[places[c]][c]`, rows of the source `row` items apart.
#[inline(always)]
pub(super) fn pick<T: Number>(result: &mut [T], places: &[u32], source: &[T], row: usize) {
    for (c, (result, &place)) in result.iter_mut().zip(places).enumerate() {
        *result = source[place as usize * row + c];
    }
}

/// `target[places[c]][c] += values[c]`, rows of the target `row` items apart.
///
/// # Safety
/// The target must have these places.
#[inline(always)]
pub(super) unsafe fn add_at<T: Number>(target: *mut T, places: &[u32], values: &[T], row: usize) {
    for (c, (&value, &place)) in values.iter().zip(places).enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let sum = target.add(place as usize * row + c);
            *sum = (*sum).plus(value);
        }
    }
}
