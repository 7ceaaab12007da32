//! Taking and putting elements by index.
//!
//! Indices count from the end if negative; what is then still out of range is moved to the nearest end, as in
//! XLA, so that a compiled step never stops for an index.

use super::elementwise;
use super::layout::{around, copy, with_contiguous};
use super::loops::reducer_of;
use super::shared::Shared;
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::ops::Op;
use crate::ops::index::Iota;
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Element, contiguous_strides};
use crate::with_dtype;

/// Elements below which one thread does all the work.
const PARALLEL: usize = 32 * 1024;
/// Parts that the work is split into above.
const PARTS: usize = 16;

/// Each element is its own index along an axis.
pub(crate) fn iota(op: &Iota, output: &mut ViewMut) {
    let [_, length, inner] = around(&op.dims, op.axis);
    with_dtype!(output.dtype, T => {
        for (i, run) in output.slice::<T>().chunks_mut(inner.max(1)).enumerate() {
            run.fill(T::from_i64((i % length) as i64));
        }
    });
}

/// Gives `body` the places along an axis of some length that the indices mean, in row-major order.
fn with_places<R>(indices: &View, length: usize, body: impl FnOnce(&[usize]) -> R) -> R {
    let count = indices.count();
    with_contiguous(indices, |indices| {
        with_scratch::<usize, _>(count, |places| {
            // SAFETY: the scratch has room for `count` places, of which all are written before they are read.
            let places = unsafe {
                places.write_bytes(0, count);
                std::slice::from_raw_parts_mut(places, count)
            };
            let last = length as i64 - 1;
            let place =
                |index: i64| (if index < 0 { index + length as i64 } else { index }).clamp(0, last) as usize;
            match indices.dtype {
                DType::I64 => places.iter_mut().zip(indices.slice()).for_each(|(to, &i)| *to = place(i)),
                _ => places
                    .iter_mut()
                    .zip(indices.slice())
                    .for_each(|(to, &i): (_, &i32)| *to = place(i as i64)),
            }
            body(places)
        })
    })
}

/// Runs an expression with `$t` bound to an unsigned integer of the size of a dtype: for moving elements.
macro_rules! with_bits {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $t = u8;
                $body
            }
            2 => {
                type $t = u16;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            _ => {
                type $t = u64;
                $body
            }
        }
    };
}

/// Values taken along an axis, which becomes the axes of the indices.
pub(crate) fn take(axis: usize, inputs: &[View], output: &mut ViewMut) {
    let [outer, length, inner] = around(&inputs[0].dims, axis);
    if output.count() == 0 {
        return;
    }
    with_contiguous(&inputs[0], |values| {
        with_places(&inputs[1], length, |places| {
            with_bits!(values.dtype, T => {
                let source = Rows { source: values.data.cast::<T>(), inner };
                let target = Shared::new(output.data.cast::<T>());
                let rows = outer * places.len();
                let part = |range: std::ops::Range<usize>| {
                    for row in range {
                        let from = (row / places.len()) * length + places[row % places.len()];
                        // SAFETY: both rows are within their tensors.
                        unsafe { source.copy(from, target.at(row * inner)) };
                    }
                };
                in_parts(rows, rows * inner, part);
            })
        })
    });
}

/// Rows of a contiguous tensor.
struct Rows<T> {
    source: *const T,
    inner: usize,
}

// SAFETY: rows are only read.
unsafe impl<T> Sync for Rows<T> {}

impl<T: Copy> Rows<T> {
    /// # Safety
    /// The row must exist.
    #[inline(always)]
    unsafe fn row(&self, row: usize) -> *const T {
        // SAFETY: passed on to the caller.
        unsafe { self.source.add(row * self.inner) }
    }

    /// # Safety
    /// The row must exist and `target` have room for it.
    #[inline(always)]
    unsafe fn copy(&self, row: usize, target: *mut T) {
        // SAFETY: passed on to the caller.
        unsafe {
            let source = self.row(row);
            if self.inner == 1 {
                *target = *source;
            } else {
                std::ptr::copy_nonoverlapping(source, target, self.inner);
            }
        }
    }
}

/// Splits `0..count` into parts for the threads if there is enough to do.
fn in_parts(count: usize, elements: usize, part: impl Fn(std::ops::Range<usize>) + Sync) {
    if elements < PARALLEL {
        return part(0..count);
    }
    let size = count.div_ceil(4 * PARTS);
    parallel_for(count.div_ceil(size), |i| part(i * size..count.min((i + 1) * size)));
}

/// Values picked along an axis, index by index.
pub(crate) fn take_along(axis: usize, inputs: &[View], output: &mut ViewMut) {
    let [_, length, inner] = around(&inputs[0].dims, axis);
    if output.count() == 0 {
        return;
    }
    let picks = inputs[1].dims[axis];
    with_contiguous(&inputs[0], |values| {
        with_places(&inputs[1], length, |places| {
            with_bits!(values.dtype, T => {
                let values = Rows { source: values.data.cast::<T>(), inner: 1 };
                let target = Shared::new(output.data.cast::<T>());
                in_parts(places.len(), places.len(), |range| {
                    for i in range {
                        let from = (i / (picks * inner) * length + places[i]) * inner + i % inner;
                        // SAFETY: both places are within their tensors.
                        unsafe { values.copy(from, target.at(i)) };
                    }
                });
            })
        })
    });
}

/// The operand with updates added where `TakeAdd` or `TakeAlongAdd` says; repeated places add up.
///
/// 16-bit floats add up in `f32`.
pub(crate) fn put_add(op: &Op, inputs: &[View], output: &mut ViewMut) {
    if !matches!(output.dtype, DType::F16 | DType::BF16) {
        copy(&inputs[0], output);
        return with_contiguous(&inputs[2], |updates| add_in_place(op, &inputs[1], updates, output));
    }
    let (count, updates) = (output.count(), &inputs[2]);
    with_scratch::<f32, _>(count, |total| {
        with_scratch::<f32, _>(updates.count(), |wide| {
            // SAFETY: each scratch has room for its elements and is lent to this closure alone.
            let (mut total, mut wide_updates) = unsafe {
                (
                    ViewMut::new(total.cast(), DType::F32, output.dims.clone()),
                    ViewMut::new(wide.cast(), DType::F32, updates.dims.clone()),
                )
            };
            elementwise::run(&Op::Cast(DType::F32), &inputs[..1], &mut total);
            elementwise::run(&Op::Cast(DType::F32), &inputs[2..], &mut wide_updates);
            add_in_place(op, &inputs[1], &frozen(&wide_updates), &mut total);
            elementwise::run(&Op::Cast(output.dtype), &[frozen(&total)], output);
        })
    });
}

/// What has been written, for reading.
fn frozen<'a>(written: &'a ViewMut) -> View<'a> {
    // SAFETY: the elements were written, and the borrow keeps them unchanged.
    unsafe { View::new(written.data, written.dtype, written.dims.clone(), contiguous_strides(&written.dims)) }
}

fn add_in_place(op: &Op, indices: &View, updates: &View, output: &mut ViewMut) {
    let (axis, along) = match op {
        Op::TakeAdd(axis) => (*axis, false),
        Op::TakeAlongAdd(axis) => (*axis, true),
        other => unreachable!("{other:?} adds nothing"),
    };
    let [outer, length, inner] = around(&output.dims, axis);
    let kind = if output.dtype == DType::Bool { Reduction::Any } else { Reduction::Sum };
    let add = reducer_of(Isa::current(), kind, output.dtype).expect("16-bit floats were widened").accumulate;
    let size = output.dtype.size();
    let target = Shared::new(output.data);
    let source = Rows { source: updates.data, inner: size };
    if updates.count() == 0 {
        return;
    }
    // One index moves a whole row of the inner axes, or along the axis a single element.
    let run = if along { 1 } else { inner };
    with_places(indices, length, |places| {
        let per_outer = if along { places.len() / outer } else { places.len() };
        // Updates of one place are added in their order by one task: tasks own parts of the outer axes or places.
        let parts = if updates.count() < PARALLEL { 1 } else { PARTS };
        let (outer_parts, place_parts) = if outer >= parts { (parts, 1) } else { (1, parts.min(length)) };
        parallel_for(outer_parts * place_parts, |task| {
            let (outer_part, place_part) = (task / place_parts, task % place_parts);
            let own_places = length * place_part / place_parts..length * (place_part + 1) / place_parts;
            for o in outer * outer_part / outer_parts..outer * (outer_part + 1) / outer_parts {
                let places = if along { &places[o * per_outer..][..per_outer] } else { places };
                for (i, place) in places.iter().enumerate().filter(|(_, place)| own_places.contains(place)) {
                    let to = (o * length + place) * inner + if along { i % inner } else { 0 };
                    let from = (o * per_outer + i) * run;
                    // SAFETY: both runs are within their tensors, which do not overlap.
                    unsafe {
                        let null = std::ptr::null();
                        add(run, target.at(to * size), source.row(from), null, null);
                    }
                }
            }
        });
    });
}

/// The operand with updates written where `TakeAlong` would read; the last one wins.
pub(crate) fn put_along(axis: usize, inputs: &[View], output: &mut ViewMut) {
    copy(&inputs[0], output);
    let [outer, length, inner] = around(&output.dims, axis);
    if inputs[2].count() == 0 {
        return;
    }
    with_contiguous(&inputs[2], |updates| {
        with_places(&inputs[1], length, |places| {
            with_bits!(output.dtype, T => {
                let target = Shared::new(output.data.cast::<T>());
                let updates = Rows { source: updates.data.cast::<T>(), inner: 1 };
                let per_outer = places.len() / outer;
                in_parts(outer, places.len(), |range| {
                    let own = range.start * per_outer..range.end * per_outer;
                    for (i, place) in own.clone().zip(&places[own]) {
                        let to = (i / per_outer * length + place) * inner + i % inner;
                        // SAFETY: both places are within their tensors.
                        unsafe { updates.copy(i, target.at(to)) };
                    }
                });
            })
        })
    });
}

#[cfg(test)]
mod tests {
    use crate::cpu::buffer::View;
    use crate::cpu::kernels::run;
    use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, indices, position_of};
    use crate::ops::Op;
    use crate::ops::index::Iota;
    use crate::tensor::{DType, Dims};

    fn outcome(op: &Op, inputs: &[&TestTensor], dims: &[usize]) -> Vec<f64> {
        let mut output = TestTensor::uninitialized(inputs[0].dtype, dims);
        let views: Vec<View> = inputs.iter().map(|input| input.view()).collect();
        run(op, &views, &mut [output.view_mut()]);
        output.values()
    }

    /// Random indices, also negative and out of range.
    fn random_indices(rng: &mut Rng, dims: &[usize], length: usize) -> TestTensor {
        let dtype = if rng.chance(2) { DType::I32 } else { DType::I64 };
        let count = dims.iter().product();
        let values: Vec<f64> =
            (0..count).map(|_| rng.below(2 * length + 4) as f64 - length as f64 - 2.0).collect();
        TestTensor::new(dtype, dims, &values)
    }

    fn place(index: f64, length: usize) -> usize {
        let index = if index < 0.0 { index + length as f64 } else { index };
        index.clamp(0.0, length as f64 - 1.0) as usize
    }

    #[test]
    fn taking_and_adding_rows_match_the_definition() {
        let mut rng = Rng(51);
        for round in 0..500 {
            let dtype = DType::ALL[rng.below(8)];
            let (rank, index_rank) = (rng.between(1, 4), rng.below(3));
            let large = round % 50 == 0;
            let dims = rng.dims(rank, if large { 60_000 } else { 200 });
            let axis = rng.below(rank);
            let index_dims = rng.dims(index_rank, if large { 300 } else { 20 });
            let picks = random_indices(&mut rng, &index_dims, dims[axis]);
            let x = TestTensor::random_strided(&mut rng, dtype, &dims);
            let result: Dims =
                dims[..axis].iter().chain(&index_dims).chain(&dims[axis + 1..]).copied().collect();
            let source = |index: &Dims| -> Dims {
                let pick = picks.get(&index[axis..axis + index_rank]);
                let mut place_in_x: Dims = index[..axis].into();
                place_in_x.push(place(pick, dims[axis]));
                place_in_x.extend_from_slice(&index[axis + index_rank..]);
                place_in_x
            };
            let wanted: Vec<f64> = indices(&result).iter().map(|index| x.get(&source(index))).collect();
            let context = format!("{dtype} {dims:?} {index_dims:?} at {axis}");
            assert_close(&outcome(&Op::Take(axis), &[&x, &picks], &result), &wanted, 0.0, &context);
            let updates = TestTensor::random_strided(&mut rng, dtype, &result);
            let mut wanted = x.values();
            for index in indices(&result) {
                let slot = &mut wanted[position_of(&source(&index), &dims)];
                *slot += updates.get(&index);
                match dtype {
                    DType::U8 => *slot %= 256.0,
                    DType::Bool => *slot = slot.min(1.0),
                    _ => {}
                }
            }
            let tolerance = if dtype == DType::F16 || dtype == DType::BF16 { 1e-2 } else { 1e-5 };
            assert_close(
                &outcome(&Op::TakeAdd(axis), &[&x, &picks, &updates], &dims),
                &wanted,
                tolerance,
                &context,
            );
        }
    }

    #[test]
    fn taking_and_putting_along_an_axis_match_the_definition() {
        let mut rng = Rng(52);
        for round in 0..500 {
            let dtype = DType::ALL[rng.below(8)];
            let rank = rng.between(1, 4);
            let dims = rng.dims(rank, if round % 50 == 0 { 90_000 } else { 200 });
            let axis = rng.below(rank);
            let mut result = dims.clone();
            result[axis] = rng.between(1, dims[axis] + 2);
            let picks = random_indices(&mut rng, &result, dims[axis]);
            let x = TestTensor::random_strided(&mut rng, dtype, &dims);
            let updates = TestTensor::random_strided(&mut rng, dtype, &result);
            let source = |index: &Dims| -> Dims {
                let mut source = index.clone();
                source[axis] = place(picks.get(index), dims[axis]);
                source
            };
            let wanted: Vec<f64> = indices(&result).iter().map(|index| x.get(&source(index))).collect();
            let context = format!("{dtype} {dims:?} to {result:?} at {axis}");
            assert_close(&outcome(&Op::TakeAlong(axis), &[&x, &picks], &result), &wanted, 0.0, &context);
            let (mut added, mut set) = (x.values(), x.values());
            for index in indices(&result) {
                let position = position_of(&source(&index), &dims);
                set[position] = updates.get(&index);
                added[position] += updates.get(&index);
                match dtype {
                    DType::U8 => added[position] %= 256.0,
                    DType::Bool => added[position] = added[position].min(1.0),
                    _ => {}
                }
            }
            let inputs = [&x, &picks, &updates];
            let tolerance = if dtype == DType::F16 || dtype == DType::BF16 { 1e-2 } else { 1e-5 };
            assert_close(&outcome(&Op::TakeAlongAdd(axis), &inputs, &dims), &added, tolerance, &context);
            assert_close(&outcome(&Op::TakeAlongSet(axis), &inputs, &dims), &set, 0.0, &context);
        }
    }

    #[test]
    fn iota_counts_along_its_axis() {
        for dtype in [DType::F32, DType::I64, DType::U8, DType::BF16] {
            let dims: Dims = [2, 3, 4].as_slice().into();
            for axis in 0..3 {
                let mut output = TestTensor::uninitialized(dtype, &dims);
                run(&Op::Iota(Iota { dims: dims.clone(), axis, dtype }), &[], &mut [output.view_mut()]);
                let wanted: Vec<f64> = indices(&dims).iter().map(|index| index[axis] as f64).collect();
                assert_close(&output.values(), &wanted, 0.0, "iota");
            }
        }
    }
}
