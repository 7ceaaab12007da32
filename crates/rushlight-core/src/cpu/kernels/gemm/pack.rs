//! Copies of blocks of A and B in the order in which the tile loop reads them.

use super::Matrix;
use crate::cpu::isa::Isa;
use crate::cpu::vector::{BLOCK, Real, Vector, VectorKernel};

/// Copies `rows × columns` of a matrix into rows of `width` items, the rest of each row filled with zeros.
///
/// # Safety
/// The source must be good for `rows × columns`, the target for `rows × width`; the machine must have `isa`.
pub(super) unsafe fn rows<T: Real>(
    isa: Isa,
    source: Matrix<T>,
    rows: usize,
    columns: usize,
    target: *mut T,
    width: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { T::dispatch(isa, Rows { source, rows, columns, target, width }) }
}

struct Rows<T> {
    source: Matrix<T>,
    rows: usize,
    columns: usize,
    target: *mut T,
    width: usize,
}

impl<T: Real> VectorKernel<T> for Rows<T> {
    #[inline(always)]
    fn run<V: Vector<Item = T>>(self) {
        // SAFETY: `rows` asked for good pointers and the right machine.
        unsafe {
            if self.source.column_stride == 1 {
                self.copy::<V>();
                return;
            }
            for row in 0..if self.columns < self.width { self.rows } else { 0 } {
                for column in self.columns..self.width {
                    *self.target.add(row * self.width + column) = T::default();
                }
            }
            if self.source.row_stride == 1 && self.rows >= BLOCK && self.columns >= BLOCK {
                self.transpose::<V>();
                return;
            }
            for row in 0..self.rows {
                for column in 0..self.columns {
                    *self.target.add(row * self.width + column) = *self.source.at(row, column);
                }
            }
        }
    }
}

impl<T: Real> Rows<T> {
    /// Copies dense rows.
    ///
    /// # Safety
    /// As [`rows`].
    #[inline(always)]
    unsafe fn copy<V: Vector<Item = T>>(&self) {
        // SAFETY: the last vector of each row is cut to what is there.
        unsafe {
            for row in 0..self.rows {
                let (from, to) = (self.source.at(row, 0), self.target.add(row * self.width));
                let mut column = 0;
                while column + V::LANES <= self.columns {
                    V::load(from.add(column)).store(to.add(column));
                    column += V::LANES;
                }
                while column < self.width {
                    let from = V::load_first(
                        from.add(column),
                        (self.columns - column.min(self.columns)).min(V::LANES),
                    );
                    from.store_first(to.add(column), (self.width - column).min(V::LANES));
                    column += V::LANES;
                }
            }
        }
    }

    /// Copies dense columns, square by square; the last squares overlap those before.
    ///
    /// # Safety
    /// As [`rows`], with at least one square.
    #[inline(always)]
    unsafe fn transpose<V: Vector<Item = T>>(&self) {
        for row in (0..self.rows).step_by(BLOCK) {
            let row = row.min(self.rows - BLOCK);
            for column in (0..self.columns).step_by(BLOCK) {
                let column = column.min(self.columns - BLOCK);
                // SAFETY: the square lies within source and target.
                unsafe {
                    let (from, to) =
                        (self.source.at(row, column), self.target.add(row * self.width + column));
                    V::transpose_block(from, self.source.column_stride, to, self.width);
                }
            }
        }
    }
}
