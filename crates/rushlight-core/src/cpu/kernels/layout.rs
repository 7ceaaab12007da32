//! Copies from one layout to another: strided views, padding, concatenation.

use super::axes::{collapse, walk};
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::ops::view::Pad;
use crate::tensor::{Axes, DType, Dims, Strides, contiguous_strides};

/// Copies below this many bytes stay on the calling thread.
const PARALLEL_BYTES: usize = 256 * 1024;
/// Bytes that one task copies.
const TASK_BYTES: usize = 128 * 1024;
/// Rows and columns of the tiles of a transpose: a cache line of the source for each of a few columns, fewer than
/// the places that the nearest cache has for addresses a power of two apart.
const HEIGHT: usize = 16;
const WIDTH: usize = 8;

/// Where the elements of a copy come from and go to. Strides are in elements.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) dims: Dims,
    pub(crate) source: *const u8,
    pub(crate) source_strides: Strides,
    pub(crate) target: *mut u8,
    pub(crate) target_strides: Strides,
}

// SAFETY: a description of plain memory; `run` asks its caller for validity and disjointness.
unsafe impl Sync for Copy {}

impl Copy {
    /// Copies all elements.
    ///
    /// # Safety
    /// All source elements must be readable, all target elements writable, and no two of the latter the same.
    pub(crate) unsafe fn run(mut self, dtype: DType) {
        if self.dims.contains(&0) {
            return;
        }
        self.order();
        let mut strides = [self.target_strides, self.source_strides];
        collapse(&mut self.dims, &mut strides);
        [self.target_strides, self.source_strides] = strides;
        // SAFETY: passed on to the caller; bytes move unchanged whatever they mean.
        unsafe {
            match dtype.size() {
                1 => self.shared::<u8>(),
                2 => self.shared::<u16>(),
                4 => self.shared::<u32>(),
                _ => self.shared::<u64>(),
            }
        }
    }

    /// Puts the axes in the order in which they lie in the target, so that it is written from front to back.
    fn order(&mut self) {
        let step = |axis: usize| match self.dims[axis] {
            1 => usize::MAX,
            _ => self.target_strides[axis].unsigned_abs(),
        };
        if (1..self.dims.len()).all(|axis| step(axis - 1) >= step(axis)) {
            return;
        }
        let mut order: Axes = (0..self.dims.len()).collect();
        order.sort_by_key(|&axis| std::cmp::Reverse(step(axis)));
        self.dims = order.iter().map(|&axis| self.dims[axis]).collect();
        self.source_strides = order.iter().map(|&axis| self.source_strides[axis]).collect();
        self.target_strides = order.iter().map(|&axis| self.target_strides[axis]).collect();
    }

    /// Splits a large copy along its longest axis.
    unsafe fn shared<T: std::marker::Copy>(&self) {
        let bytes = self.dims.iter().product::<usize>() * size_of::<T>();
        if bytes < PARALLEL_BYTES {
            // SAFETY: passed on to the caller.
            return unsafe { self.block::<T>() };
        }
        let longest = self.dims.iter().copied().max().unwrap_or(1);
        let axis = self.dims.iter().position(|&dim| dim == longest).unwrap_or(0);
        let chunk = longest.div_ceil((bytes / TASK_BYTES).min(longest)).next_multiple_of(HEIGHT);
        parallel_for(longest.div_ceil(chunk), |task| {
            let start = task * chunk;
            let mut part = self.clone();
            part.dims[axis] = chunk.min(longest - start);
            // SAFETY: the parts lie within the whole and do not overlap.
            unsafe {
                part.source =
                    part.source.cast::<T>().offset(self.source_strides[axis] * start as isize).cast();
                part.target =
                    part.target.cast::<T>().offset(self.target_strides[axis] * start as isize).cast();
                part.block::<T>();
            }
        });
    }

    unsafe fn block<T: std::marker::Copy>(&self) {
        let inner = self.dims.len() - 1;
        let (source, target) = (self.source.cast::<T>(), self.target.cast::<T>());
        let (row, source_step, target_step) =
            (self.dims[inner], self.source_strides[inner], self.target_strides[inner]);
        let across = (0..inner).rev().find(|&axis| self.source_strides[axis].abs() == 1);
        if let (Some(across), 1, false) = (across, target_step, source_step.abs() <= 1) {
            let (mut dims, mut strides) =
                (self.dims.clone(), [self.source_strides.clone(), self.target_strides.clone()]);
            dims.truncate(inner);
            dims[across] = 1;
            strides.iter_mut().for_each(|strides| strides.truncate(inner));
            walk(&dims, [&strides[0], &strides[1]], |[from, to]| {
                // SAFETY: the walk and the tile stay within the copy.
                unsafe {
                    let (source, target) = (source.offset(from), target.offset(to));
                    let (down, right) = (self.source_strides[across], self.target_strides[across]);
                    transpose(self.dims[across], row, source, [down, source_step], target, right);
                }
            });
            return;
        }
        walk(
            &self.dims[..inner],
            [&self.source_strides[..inner], &self.target_strides[..inner]],
            |[from, to]| {
                // SAFETY: the walk and the row stay within the copy.
                unsafe { copy_row(row, source.offset(from), source_step, target.offset(to), target_step) }
            },
        );
    }
}

/// Copies one row.
#[inline(always)]
unsafe fn copy_row<T: std::marker::Copy>(
    count: usize,
    source: *const T,
    source_step: isize,
    target: *mut T,
    target_step: isize,
) {
    // SAFETY: the caller vouches for `count` elements on both sides.
    unsafe {
        match (source_step, target_step) {
            (1, 1) if count >= 16 => std::ptr::copy_nonoverlapping(source, target, count),
            (0, 1) => std::slice::from_raw_parts_mut(target, count).fill(*source),
            _ => {
                for i in 0..count as isize {
                    *target.offset(i * target_step) = *source.offset(i * source_step);
                }
            }
        }
    }
}

/// Copies a matrix whose rows are dense in the target and whose columns are (forwards or backwards) in the source.
///
/// It goes tile by tile, so that each cache line is complete before the next ones push it out.
unsafe fn transpose<T: std::marker::Copy>(
    rows: usize,
    columns: usize,
    source: *const T,
    [down, right]: [isize; 2],
    target: *mut T,
    target_down: isize,
) {
    for top in (0..rows).step_by(HEIGHT) {
        let height = HEIGHT.min(rows - top);
        for left in (0..columns).step_by(WIDTH) {
            let width = WIDTH.min(columns - left);
            // SAFETY: the tile lies within the matrix.
            unsafe {
                let source = source.offset(top as isize * down + left as isize * right);
                let target = target.offset(top as isize * target_down + left as isize);
                for i in 0..height as isize {
                    let (source, target) = (source.offset(i * down), target.offset(i * target_down));
                    if width == WIDTH {
                        let row: [T; WIDTH] = std::array::from_fn(|j| *source.offset(j as isize * right));
                        target.cast::<[T; WIDTH]>().write_unaligned(row);
                    } else {
                        for j in 0..width {
                            *target.add(j) = *source.offset(j as isize * right);
                        }
                    }
                }
            }
        }
    }
}

/// Writes the elements of a view in row-major order.
pub(crate) fn copy(input: &View, output: &mut ViewMut) {
    // SAFETY: the views promise their elements; the output is exclusive and has the input's shape.
    unsafe {
        Copy {
            dims: input.dims.clone(),
            source: input.data,
            source_strides: input.strides.clone(),
            target: output.data,
            target_strides: contiguous_strides(&input.dims),
        }
        .run(input.dtype)
    }
}

/// Gives `body` the view with its elements in row-major order: itself, or a copy for the moment.
pub(crate) fn with_contiguous<R>(view: &View, body: impl FnOnce(&View) -> R) -> R {
    if view.is_contiguous() {
        return body(view);
    }
    let words = (view.count() * view.dtype.size()).div_ceil(8);
    with_scratch::<u64, _>(words, |memory| {
        // SAFETY: the scratch has room for the elements and is lent to this closure alone.
        let mut copied = unsafe { ViewMut::new(memory.cast(), view.dtype, view.dims.clone()) };
        copy(view, &mut copied);
        let strides = contiguous_strides(&view.dims);
        // SAFETY: the elements have just been written and stay until the end of this closure.
        body(&unsafe { View::new(memory.cast(), view.dtype, view.dims.clone(), strides) })
    })
}

/// The axes of a contiguous shape as three: those before an axis, the axis, those behind it.
pub(crate) fn around(dims: &[usize], axis: usize) -> [usize; 3] {
    [dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product()]
}

/// Joins views along an axis.
pub(crate) fn concat(axis: usize, inputs: &[View], output: &mut ViewMut) {
    let strides = output.strides();
    let mut start = 0;
    for input in inputs {
        // SAFETY: the inputs lie one behind the other along the axis of the output, which is exclusive.
        unsafe {
            Copy {
                dims: input.dims.clone(),
                source: input.data,
                source_strides: input.strides.clone(),
                target: output.data.offset(start as isize * strides[axis] * output.dtype.size() as isize),
                target_strides: strides.clone(),
            }
            .run(input.dtype)
        }
        start += input.dims[axis];
    }
}

/// Surrounds and interleaves the elements with zeros, or with the element of a second, scalar input.
pub(crate) fn pad(pad: &Pad, inputs: &[View], output: &mut ViewMut) {
    let strides = output.strides();
    let size = output.dtype.size();
    let zero = 0u64;
    let value = inputs.get(1).map_or((&raw const zero).cast(), |value| value.data);
    // SAFETY: the output is exclusive; the value is one element, and its stride of zero stays there.
    unsafe {
        Copy {
            dims: output.dims.clone(),
            source: value,
            source_strides: output.dims.iter().map(|_| 0).collect(),
            target: output.data,
            target_strides: strides.clone(),
        }
        .run(output.dtype)
    }
    let input = &inputs[0];
    let start: isize = pad.low.iter().zip(&strides).map(|(&low, &stride)| low as isize * stride).sum();
    // SAFETY: the shape rule gave the output room for the padding and the spread elements.
    unsafe {
        Copy {
            dims: input.dims.clone(),
            source: input.data,
            source_strides: input.strides.clone(),
            target: output.data.offset(start * size as isize),
            target_strides: strides
                .iter()
                .zip(&pad.interior)
                .map(|(&s, &gap)| s * (gap as isize + 1))
                .collect(),
        }
        .run(input.dtype)
    }
}

#[cfg(test)]
mod tests {
    use crate::cpu::buffer::View;
    use crate::cpu::kernels::run;
    use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, index_of, indices, position_of};
    use crate::ops::Op;
    use crate::ops::view::{Pad, Slice};
    use crate::tensor::{DType, Dims};

    /// Where the element of an index comes from.
    type Source = Box<dyn Fn(&[usize]) -> Dims>;

    fn outcome(op: &Op, inputs: &[&TestTensor], dims: &[usize]) -> Vec<f64> {
        let mut output = TestTensor::uninitialized(inputs[0].dtype, dims);
        let views: Vec<View> = inputs.iter().map(|input| input.view()).collect();
        run(op, &views, &mut [output.view_mut()]);
        output.values()
    }

    #[test]
    fn view_ops_copy_what_they_show() {
        let mut rng = Rng(21);
        for round in 0..1000 {
            let dtype = DType::ALL[rng.below(8)];
            let rank = rng.below(5);
            let dims = rng.dims(rank, if round % 40 == 0 { 300_000 } else { 500 });
            let x = TestTensor::random_strided(&mut rng, dtype, &dims);
            let count: usize = dims.iter().product();
            let (op, result, source): (Op, Dims, Source) = match rng.below(5) {
                0 => {
                    let own = dims.clone();
                    let flat: Dims = [count].as_slice().into();
                    (Op::Reshape(flat.clone()), flat, Box::new(move |i| index_of(i[0], &own)))
                }
                1 => {
                    let mut order: Vec<usize> = (0..rank).collect();
                    (1..rank).for_each(|i| order.swap(i, rng.below(i + 1)));
                    let result: Dims = order.iter().map(|&axis| dims[axis]).collect();
                    let op = Op::Transpose(order.as_slice().into());
                    (
                        op,
                        result,
                        Box::new(move |i| {
                            let mut index: Dims = i.into();
                            order.iter().enumerate().for_each(|(to, &from)| index[from] = i[to]);
                            index
                        }),
                    )
                }
                2 => {
                    let grown: Dims = dims.iter().map(|&dim| if dim == 1 { 3 } else { dim }).collect();
                    let result: Dims = [2].iter().chain(&grown).copied().collect();
                    let own = dims.clone();
                    (
                        Op::Broadcast(result.clone()),
                        result,
                        Box::new(move |i| {
                            i[1..].iter().zip(&own).map(|(&i, &dim)| if dim == 1 { 0 } else { i }).collect()
                        }),
                    )
                }
                3 => {
                    let start: Vec<usize> = dims.iter().map(|&dim| rng.below(dim)).collect();
                    let step: Vec<usize> = dims.iter().map(|_| rng.between(1, 3)).collect();
                    let result: Dims = (0..rank).map(|a| (dims[a] - start[a]).div_ceil(step[a])).collect();
                    let slice = Slice {
                        start: start.as_slice().into(),
                        stop: dims.as_slice().into(),
                        step: step.as_slice().into(),
                    };
                    (
                        Op::Slice(slice),
                        result,
                        Box::new(move |i| (0..i.len()).map(|a| start[a] + i[a] * step[a]).collect()),
                    )
                }
                _ => {
                    let axes: Vec<usize> = (0..rank).filter(|_| rng.chance(2)).collect();
                    let op = Op::Flip(axes.as_slice().into());
                    let own = dims.clone();
                    (
                        op,
                        dims.clone(),
                        Box::new(move |i| {
                            let mut index: Dims = i.into();
                            axes.iter().for_each(|&axis| index[axis] = own[axis] - 1 - i[axis]);
                            index
                        }),
                    )
                }
            };
            let wanted: Vec<f64> = indices(&result).iter().map(|index| x.get(&source(index))).collect();
            assert_close(&outcome(&op, &[&x], &result), &wanted, 0.0, &format!("{op:?} of {dims:?}"));
        }
    }

    #[test]
    fn padding_surrounds_and_interleaves() {
        let mut rng = Rng(22);
        for round in 0..400 {
            let dtype = DType::ALL[rng.below(8)];
            let rank = rng.below(5);
            let dims = rng.dims(rank, if round % 40 == 0 { 100_000 } else { 200 });
            let x = TestTensor::random_strided(&mut rng, dtype, &dims);
            let value = TestTensor::random(&mut rng, dtype, &[]);
            let mut amounts = || -> Vec<usize> { (0..rank).map(|_| rng.below(3)).collect() };
            let (low, high, interior) = (amounts(), amounts(), amounts());
            let result: Dims =
                (0..rank).map(|a| low[a] + high[a] + dims[a] + (dims[a] - 1) * interior[a]).collect();
            let (l, g) = (low.clone(), interior.clone());
            let op = Op::Pad(Pad {
                low: low.as_slice().into(),
                high: high.as_slice().into(),
                interior: interior.as_slice().into(),
            });
            let given = rng.chance(2);
            let inputs = if given { vec![&x, &value] } else { vec![&x] };
            let wanted: Vec<f64> = indices(&result)
                .iter()
                .map(|index| {
                    let inside = (0..rank).all(|a| {
                        index[a] >= l[a]
                            && (index[a] - l[a]) % (g[a] + 1) == 0
                            && (index[a] - l[a]) / (g[a] + 1) < dims[a]
                    });
                    let source: Vec<usize> =
                        (0..rank).map(|a| index[a].saturating_sub(l[a]) / (g[a] + 1)).collect();
                    if inside {
                        x.get(&source)
                    } else if given {
                        value.get(&[])
                    } else {
                        0.0
                    }
                })
                .collect();
            assert_close(&outcome(&op, &inputs, &result), &wanted, 0.0, &format!("{op:?} of {dims:?}"));
        }
    }

    #[test]
    fn concatenation_joins_along_an_axis() {
        let mut rng = Rng(23);
        for round in 0..400 {
            let dtype = DType::ALL[rng.below(8)];
            let rank = rng.between(1, 4);
            let dims = rng.dims(rank, if round % 40 == 0 { 100_000 } else { 200 });
            let axis = rng.below(rank);
            let inputs: Vec<TestTensor> = (0..rng.between(1, 4))
                .map(|_| {
                    let mut dims = dims.clone();
                    dims[axis] = rng.between(0, 5);
                    let strided = dims[axis] > 0;
                    if strided {
                        TestTensor::random_strided(&mut rng, dtype, &dims)
                    } else {
                        TestTensor::random(&mut rng, dtype, &dims)
                    }
                })
                .collect();
            let mut result = dims.clone();
            result[axis] = inputs.iter().map(|input| input.dims[axis]).sum();
            let mut wanted = vec![f64::NAN; result.iter().product()];
            let mut start = 0;
            for input in &inputs {
                for index in indices(&input.dims) {
                    let mut place = index.clone();
                    place[axis] += start;
                    wanted[position_of(&place, &result)] = input.get(&index);
                }
                start += input.dims[axis];
            }
            let inputs: Vec<&TestTensor> = inputs.iter().collect();
            assert_close(
                &outcome(&Op::Concat(axis), &inputs, &result),
                &wanted,
                0.0,
                &format!("{dims:?} at {axis}"),
            );
        }
    }
}
