//! Matrix products over batches of views, for all dtypes.

use super::gemm::{Matrix, TASK_WORK, Target, gemm};
use super::widen::{narrow, offset_of, widen};
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::Isa;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::Real;
use crate::ops::linear::Dot;
use crate::tensor::{DType, Dims, Element, Strides, contiguous_strides};

/// Computes `outputs[0] = inputs[0] · inputs[1]`; shapes and dtypes have been checked.
pub(crate) fn run(dot: &Dot, inputs: &[View], outputs: &mut [ViewMut]) {
    run_with(Isa::current(), dot, inputs, outputs);
}

fn run_with(isa: Isa, dot: &Dot, inputs: &[View], outputs: &mut [ViewMut]) {
    let ([left, right], [output]) = (inputs, outputs) else { unreachable!("a dot product of two tensors") };
    if output.count() == 0 {
        return;
    }
    match output.dtype {
        DType::F32 => reals::<f32>(isa, dot, left, right, output.pointer()),
        DType::F64 => reals::<f64>(isa, dot, left, right, output.pointer()),
        DType::F16 | DType::BF16 => {
            let (wide_left, wide_right) = (widen(left), widen(right));
            let mut sums = vec![0f32; output.count()];
            // SAFETY: the vectors hold all elements of these shapes and outlive the views.
            unsafe {
                let left = wide_view(&wide_left, &left.dims);
                let right = wide_view(&wide_right, &right.dims);
                reals::<f32>(isa, dot, &left, &right, sums.as_mut_ptr());
            }
            narrow(&sums, output);
        }
        DType::I32 => {
            others::<i32>(dot, left, right, output, |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)))
        }
        DType::I64 => {
            others::<i64>(dot, left, right, output, |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)))
        }
        DType::U8 => others::<u8>(dot, left, right, output, |sum, a, b| sum.wrapping_add(a.wrapping_mul(b))),
        DType::Bool => others::<bool>(dot, left, right, output, |sum, a, b| sum | (a & b)),
    }
}

/// # Safety
/// The values must be those of a contiguous tensor of that shape.
unsafe fn wide_view<'a>(values: &'a [f32], dims: &Dims) -> View<'a> {
    // SAFETY: the caller's promise.
    unsafe { View::new(values.as_ptr().cast(), DType::F32, dims.clone(), contiguous_strides(dims)) }
}

/// The operands of a product, each a batch of matrices.
struct Operands<T> {
    m: usize,
    n: usize,
    k: usize,
    left: Matrix<T>,
    right: Matrix<T>,
    batch: Dims,
    left_strides: Strides,
    right_strides: Strides,
}

impl<T: Element> Operands<T> {
    fn new(dot: &Dot, left: &View, right: &View) -> Operands<T> {
        let matrix = |view: &View, transpose: bool| {
            let rank = view.dims.len();
            let stored = Matrix {
                data: view.pointer(),
                row_stride: view.strides[rank - 2],
                column_stride: view.strides[rank - 1],
            };
            let (rows, columns) = (view.dims[rank - 2], view.dims[rank - 1]);
            if transpose { (stored.transposed(), columns, rows) } else { (stored, rows, columns) }
        };
        let (left_matrix, mut m, k) = matrix(left, dot.transpose_left);
        let (right_matrix, _, n) = matrix(right, dot.transpose_right);
        let mut axes = left.dims.len() - 2;
        // Rows of several left matrices that meet the same right matrix and lie evenly make one tall matrix.
        while axes > 0 {
            let (dim, axis) = (left.dims[axes - 1], axes - 1);
            let same_right = right.strides[axis] == 0;
            if dim != 1 && !(same_right && left.strides[axis] == m as isize * left_matrix.row_stride) {
                break;
            }
            m *= dim;
            axes = axis;
        }
        Operands {
            m,
            n,
            k,
            left: left_matrix,
            right: right_matrix,
            batch: Dims::from_slice(&left.dims[..axes]),
            left_strides: Strides::from_slice(&left.strides[..axes]),
            right_strides: Strides::from_slice(&right.strides[..axes]),
        }
    }

    /// The two matrices with that number in the batch.
    fn pair(&self, number: usize) -> (Matrix<T>, Matrix<T>) {
        let moved = |matrix: &Matrix<T>, strides: &Strides| {
            let data = matrix.data.wrapping_offset(offset_of(number, &self.batch, strides));
            Matrix { data, ..*matrix }
        };
        (moved(&self.left, &self.left_strides), moved(&self.right, &self.right_strides))
    }
}

fn reals<T: Real>(isa: Isa, dot: &Dot, left: &View, right: &View, output: *mut T) {
    let operands = Operands::<T>::new(dot, left, right);
    let [m, n, k] = [operands.m, operands.n, operands.k];
    let batch: usize = operands.batch.iter().product();
    let output = Target(output);
    let product = |number: usize| {
        let (a, b) = operands.pair(number);
        // SAFETY: the views vouch for the matrices; products are written to disjoint parts of the output.
        unsafe { gemm(isa, [m, n, k], a, b, output.at(number * m * n), n, false) };
    };
    let work = m * n * k;
    if work >= 8 * TASK_WORK {
        // Each product is shared by all threads.
        (0..batch).for_each(product);
        return;
    }
    let group = TASK_WORK.div_ceil(work.max(1)).min(batch);
    parallel_for(batch.div_ceil(group), |task| {
        (task * group..batch.min((task + 1) * group)).for_each(product);
    });
}

/// Products of numbers that have no vector kernel, a row of the output at a time.
fn others<T: Element>(
    dot: &Dot,
    left: &View,
    right: &View,
    output: &mut ViewMut,
    step: impl Fn(T, T, T) -> T + Sync,
) {
    let operands = Operands::<T>::new(dot, left, right);
    let (m, n, k) = (operands.m, operands.n, operands.k);
    let rows = operands.batch.iter().product::<usize>() * m;
    let output = Target(output.pointer::<T>());
    let group = TASK_WORK.div_ceil(8 * n * k.max(1));
    parallel_for(rows.div_ceil(group), |task| {
        for row in task * group..rows.min((task + 1) * group) {
            let (a, b) = operands.pair(row / m);
            // SAFETY: rows of the output are disjoint, and indices stay within the matrices.
            unsafe {
                let sums = std::slice::from_raw_parts_mut(output.at(row * n), n);
                sums.fill(T::default());
                for p in 0..k {
                    let factor = *a.at(row % m, p);
                    for (j, sum) in sums.iter_mut().enumerate() {
                        *sum = step(*sum, factor, *b.at(p, j));
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{Numbers, Sample};

    /// The product of two samples, element by element, as [`Element`]s made from `f64`.
    fn naive<T: Element>(dot: &Dot, left: &Sample<T>, right: &Sample<T>) -> (Dims, Vec<f64>) {
        let rank = left.dims.len();
        let swap = |dims: &[usize], transpose: bool| {
            if transpose { [dims[rank - 1], dims[rank - 2]] } else { [dims[rank - 2], dims[rank - 1]] }
        };
        let [m, k] = swap(&left.dims, dot.transpose_left);
        let [_, n] = swap(&right.dims, dot.transpose_right);
        let mut dims = Dims::from_slice(&left.dims[..rank - 2]);
        let batch: usize = dims.iter().product();
        dims.extend([m, n]);
        let (left_values, right_values) = (left.values(), right.values());
        let mut result = Vec::new();
        for b in 0..batch {
            for i in 0..m {
                for j in 0..n {
                    let item = |p: usize| {
                        let l = if dot.transpose_left { p * m + i } else { i * k + p };
                        let r = if dot.transpose_right { j * k + p } else { p * n + j };
                        left_values[b * m * k + l].to_f64() * right_values[b * k * n + r].to_f64()
                    };
                    result.push((0..k).map(item).sum());
                }
            }
        }
        (dims, result)
    }

    fn check<T: Element>(numbers: &mut Numbers, tolerance: f64) {
        for isa in Isa::available() {
            for _ in 0..60 {
                let [transpose_left, transpose_right] = [numbers.below(2) == 1, numbers.below(2) == 1];
                let dot = Dot { transpose_left, transpose_right };
                let mut sizes = || [1, 2, 3, 7, 17, 33][numbers.below(6)];
                let (m, n, k) = (sizes(), sizes(), sizes());
                let batch: Vec<usize> = (0..numbers.below(3)).map(|_| numbers.below(4)).collect();
                let dims = |rows: usize, columns: usize, transpose: bool| {
                    let matrix = if transpose { [columns, rows] } else { [rows, columns] };
                    [batch.as_slice(), &matrix].concat()
                };
                let left = Sample::<T>::new(numbers, &dims(m, k, transpose_left));
                let right = Sample::<T>::new(numbers, &dims(k, n, transpose_right));
                let (dims, wanted) = naive(&dot, &left, &right);
                let mut output = Sample::<T>::contiguous(numbers, &dims);
                run_with(isa, &dot, &[left.view(), right.view()], &mut [output.view_mut()]);
                for (got, wanted) in output.values().into_iter().zip(wanted) {
                    let wanted = if T::DTYPE == DType::Bool { (wanted != 0.0) as u8 as f64 } else { wanted };
                    let error = (got.to_f64() - wanted).abs();
                    assert!(
                        error <= tolerance * (1.0 + wanted.abs()),
                        "{dot:?} {dims:?}: {got:?} for {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn agrees_with_the_formula_for_all_dtypes() {
        let mut numbers = Numbers::new(3);
        check::<f32>(&mut numbers, 1e-5);
        check::<f64>(&mut numbers, 1e-13);
        check::<half::f16>(&mut numbers, 1e-3);
        check::<half::bf16>(&mut numbers, 8e-3);
        check::<i32>(&mut numbers, 0.0);
        check::<i64>(&mut numbers, 0.0);
        check::<bool>(&mut numbers, 0.0);
    }

    #[test]
    fn integers_wrap() {
        let left = Sample::from_values(&[1, 2], vec![200u8, 100]);
        let right = Sample::from_values(&[2, 1], vec![2u8, 3]);
        let mut output = Sample::from_values(&[1, 1], vec![0u8]);
        let dot = Dot { transpose_left: false, transpose_right: false };
        run(&dot, &[left.view(), right.view()], &mut [output.view_mut()]);
        assert_eq!(output.values(), [(700 % 256) as u8]);
    }
}
