//! A row times a matrix: too little work for the blocks of a large product.

use super::{InnerLoop, LoopBody, compile, read, write};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::math::Machine;

/// `n` elements of `out`: those of the row `a` times the matrix `b`, of as many rows as the number at `c` says.
struct RowProduct;

/// Columns whose sums are kept in registers.
const COLUMNS: usize = 32;

impl LoopBody for RowProduct {
    const WIDEST: bool = true;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) {
        // SAFETY: the caller vouches for a number at `c`, and with it for the sizes of row and matrix.
        let (out, a, b) = unsafe {
            let rows = *c.cast::<usize>();
            (write::<f32>(out, n), read::<f32>(a, rows), read::<f32>(b, rows * n))
        };
        let whole = n / COLUMNS * COLUMNS;
        for start in (0..whole).step_by(COLUMNS) {
            columns::<M, COLUMNS>(&mut out[start..start + COLUMNS], a, &b[start..], n);
        }
        let rest = whole + (n - whole) / 8 * 8;
        for start in (whole..rest).step_by(8) {
            columns::<M, 8>(&mut out[start..start + 8], a, &b[start..], n);
        }
        for start in rest..n {
            columns::<M, 1>(&mut out[start..start + 1], a, &b[start..], n);
        }
    }
}

/// Sums in the order of the rows.
#[inline(always)]
fn columns<M: Machine, const N: usize>(out: &mut [f32], a: &[f32], b: &[f32], stride: usize) {
    let mut sums = [0f32; N];
    for (row, &x) in a.iter().enumerate() {
        let b = &b[row * stride..][..N];
        for (sum, &y) in sums.iter_mut().zip(b) {
            *sum = M::fma32(x, y, *sum);
        }
    }
    out.copy_from_slice(&sums);
}

/// The loop of `row [k], matrix [k, n] → row [n]` in `f32`; its third operand points at `k` (`usize`).
pub(crate) fn row_product_kernel(isa: Isa) -> InnerLoop {
    compile::<RowProduct>(isa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_of_products() {
        for isa in Isa::available() {
            for (k, n) in [(1, 1), (3, 7), (32, 32), (5, 8), (17, 100), (64, 43)] {
                let a: Vec<f32> = (0..k).map(|i| (i % 7) as f32 - 3.0).collect();
                let b: Vec<f32> = (0..k * n).map(|i| (i % 11) as f32 - 5.0).collect();
                let mut out = vec![f32::NAN; n];
                // SAFETY: row, matrix and result have these sizes.
                unsafe {
                    let number = (&raw const k).cast();
                    row_product_kernel(isa)(
                        n,
                        out.as_mut_ptr().cast(),
                        a.as_ptr().cast(),
                        b.as_ptr().cast(),
                        number,
                    );
                }
                // Small integers: exact in any order.
                let expected: Vec<f32> = (0..n).map(|j| (0..k).map(|i| a[i] * b[i * n + j]).sum()).collect();
                assert_eq!(out, expected, "{isa:?} {k} {n}");
            }
        }
    }
}
