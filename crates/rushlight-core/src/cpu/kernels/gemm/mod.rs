//! Products of matrices of `f32` or `f64`.
//!
//! C is cut into blocks, one a task. A block walks over k in steps that fit the caches, packs its part of A and B
//! where that pays, and hands tiles to the loop in [`tile`]. Results do not depend on how C is cut.

mod pack;
mod tile;

use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::{parallel_for, thread_count};
use crate::cpu::vector::{Real, prefetch};
use std::ops::Range;
use tile::Tile;

/// A matrix in memory that is only read; strides in items, of either sign or zero.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<T> {
    pub(crate) data: *const T,
    pub(crate) row_stride: isize,
    pub(crate) column_stride: isize,
}

// SAFETY: kernels only read through it.
unsafe impl<T: Sync> Sync for Matrix<T> {}

impl<T> Matrix<T> {
    /// A matrix stored row by row without gaps.
    pub(crate) fn row_major(data: *const T, columns: usize) -> Matrix<T> {
        Matrix { data, row_stride: columns as isize, column_stride: 1 }
    }

    pub(crate) fn transposed(self) -> Matrix<T> {
        Matrix { data: self.data, row_stride: self.column_stride, column_stride: self.row_stride }
    }

    /// # Safety
    /// The item must lie within the matrix.
    pub(crate) unsafe fn at(&self, row: usize, column: usize) -> *const T {
        // SAFETY: the caller's promise.
        unsafe { self.data.offset(row as isize * self.row_stride + column as isize * self.column_stride) }
    }

    /// The matrix without its first rows and columns.
    pub(crate) fn from(&self, row: usize, column: usize) -> Matrix<T> {
        let skipped = row as isize * self.row_stride + column as isize * self.column_stride;
        Matrix { data: self.data.wrapping_offset(skipped), ..*self }
    }
}

/// The most steps over k between two visits of C: a panel of B of that depth stays in the first-level cache.
pub(crate) const MOST_DEPTH: usize = 256;
/// The most rows of C in a block: that many rows of A, packed, stay in the second-level cache.
const MOST_BLOCK_ROWS: usize = 448;
/// The most columns of C in a block.
const MOST_BLOCK_COLUMNS: usize = 1024;
/// The most elements of C that are worth a copy for each step over k.
const MOST_COPIED: usize = 8 * 1024;
/// The most bytes of B that are read as they are by all rows: they stay in the first-level cache.
const MOST_UNPACKED: usize = 20 * 1024;
/// Multiply-adds that are worth a task of their own.
pub(crate) const TASK_WORK: usize = 1 << 18;
/// From how many vectors of columns on the rows of A are packed.
const PACKING_VECTORS: usize = 16;

/// What becomes of C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Update<T> {
    /// `C = A · B`
    Set,
    /// `C += A · B`
    Add,
    /// `C -= factor · (A · B)`, rounded after each of the three steps; for a depth of [`MOST_DEPTH`] at most.
    Less(T),
}

/// `C[m, n] = A[m, k] · B[k, n]`, or `C +=` that product if `accumulate`. C has dense rows, `c_row_stride` apart.
///
/// # Safety
/// The matrices must be good for these sizes, C overlap neither, and the machine have `isa`.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn gemm<T: Real>(
    isa: Isa,
    [m, n, k]: [usize; 3],
    a: Matrix<T>,
    b: Matrix<T>,
    c: *mut T,
    c_row_stride: usize,
    accumulate: bool,
) {
    let update = if accumulate { Update::Add } else { Update::Set };
    // SAFETY: passed on to the caller.
    unsafe { gemm_into(isa, [m, n, k], a, b, c, c_row_stride, update) }
}

/// The same with whatever is to become of C.
///
/// # Safety
/// As [`gemm`].
pub(crate) unsafe fn gemm_into<T: Real>(
    isa: Isa,
    [m, n, k]: [usize; 3],
    a: Matrix<T>,
    b: Matrix<T>,
    c: *mut T,
    c_row_stride: usize,
    update: Update<T>,
) {
    if m == 0 || n == 0 {
        return;
    }
    debug_assert!(
        k <= MOST_DEPTH || !matches!(update, Update::Less(_)),
        "the product is not whole before it is used"
    );
    let tasks = (m * n * k / TASK_WORK).min(if thread_count() > 1 { 4 * thread_count() } else { 1 });
    let product = Product { isa, k, a, b, c_row_stride, update };
    if tasks > 1 && k > MOST_DEPTH && m * n <= MOST_COPIED {
        // SAFETY: the caller's promise.
        return unsafe { product.by_depth([m, n], c) };
    }
    let lanes = T::lanes(isa);
    let (row_step, column_step) = (tile::most_rows::<T>(isa, 2, false), 2 * lanes);
    let mut row_blocks = m.div_ceil(MOST_BLOCK_ROWS);
    let mut column_blocks = n.div_ceil(MOST_BLOCK_COLUMNS);
    while row_blocks * column_blocks < tasks {
        let (rows, columns) = (m / row_blocks, n / column_blocks);
        // Cutting few rows would have both parts pack the same columns.
        if rows >= columns && rows >= 4 * row_step {
            row_blocks += 1;
        } else if columns > column_step {
            column_blocks += 1;
        } else {
            break;
        }
    }
    let c = Target(c);
    parallel_for(row_blocks * column_blocks, |task| {
        let rows = part(m, row_step, row_blocks, task % row_blocks);
        let columns = part(n, column_step, column_blocks, task / row_blocks);
        // SAFETY: the caller's promise; blocks of C are disjoint.
        unsafe { product.block(c.at(0), rows, columns) };
    });
}

/// The part with that number when `0..count` is cut into `parts` whole multiples of `step` (but for the end).
fn part(count: usize, step: usize, parts: usize, number: usize) -> Range<usize> {
    let steps = count.div_ceil(step);
    let at = |number: usize| (steps * number / parts * step).min(count);
    at(number)..at(number + 1)
}

/// Memory that tasks write disjoint parts of.
pub(crate) struct Target<T>(pub(crate) *mut T);

// SAFETY: whoever writes through it promises that the parts are disjoint.
unsafe impl<T> Sync for Target<T> {}

impl<T> Target<T> {
    /// The item at that offset.
    pub(crate) fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// What all blocks of a product share.
struct Product<T> {
    isa: Isa,
    k: usize,
    a: Matrix<T>,
    b: Matrix<T>,
    c_row_stride: usize,
    update: Update<T>,
}

impl<T: Real> Product<T> {
    /// A small C of great depth: each step over k is a task with a C of its own, and they are added up in order, which
    /// is what a block does.
    ///
    /// # Safety
    /// As [`gemm`].
    unsafe fn by_depth(&self, [m, n]: [usize; 2], c: *mut T) {
        let steps = self.k.div_ceil(MOST_DEPTH);
        let c = Target(c);
        with_scratch::<T, _>((steps - 1) * m * n, |copies| {
            let copies = Target(copies);
            parallel_for(steps, |step| {
                let depth = part(self.k, 1, steps, step);
                let (a, b) = (self.a.from(0, depth.start), self.b.from(depth.start, 0));
                let (target, c_row_stride, update) = match step.checked_sub(1) {
                    None => (c.at(0), self.c_row_stride, self.update),
                    Some(number) => (copies.at(number * m * n), n, Update::Set),
                };
                let product = Product { isa: self.isa, k: depth.len(), a, b, c_row_stride, update };
                // SAFETY: the caller's promise; each step has a C of its own.
                unsafe { product.block(target, 0..m, 0..n) };
            });
            for step in 0..steps - 1 {
                // SAFETY: all steps are done; C and the copies have these sizes.
                unsafe {
                    for row in 0..m {
                        let sums = std::slice::from_raw_parts_mut(c.at(row * self.c_row_stride), n);
                        let more =
                            std::slice::from_raw_parts(copies.at((step * m + row) * n).cast_const(), n);
                        sums.iter_mut().zip(more).for_each(|(sum, &more)| *sum = *sum + more);
                    }
                }
            }
        });
    }

    /// Computes the block of C with these rows and columns.
    ///
    /// # Safety
    /// As [`gemm`].
    unsafe fn block(&self, c: *mut T, rows: Range<usize>, columns: Range<usize>) {
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let lanes = T::lanes(self.isa);
        let pack_a = columns.len() >= PACKING_VECTORS * lanes && rows.len() > 1;
        let scattered = !pack_a && self.a.row_stride != 1;
        let most_rows = tile::most_rows::<T>(self.isa, 2, scattered);
        let row_tiles = rows.len().div_ceil(most_rows);
        let steps = self.k.div_ceil(MOST_DEPTH).max(1);
        let most_depth = self.k.div_ceil(steps);
        let packed_a = if pack_a { rows.len() * most_depth } else { 0 };
        with_scratch::<T, _>(packed_a + most_depth * 2 * lanes + lanes, |packed_a_start| {
            let packed_b = packed_a_start.wrapping_add(packed_a.next_multiple_of(lanes));
            for step in 0..steps {
                let depth = part(self.k, 1, steps, step);
                let update = if step > 0 { Update::Add } else { self.update };
                if pack_a {
                    for number in 0..row_tiles {
                        let tile_rows = part(rows.len(), 1, row_tiles, number);
                        let source = self.a.from(rows.start + tile_rows.start, depth.start).transposed();
                        let target = packed_a_start.wrapping_add(tile_rows.start * depth.len());
                        // SAFETY: the tile lies within A, and its copy within the scratch memory.
                        unsafe {
                            pack::rows(
                                self.isa,
                                source,
                                depth.len(),
                                tile_rows.len(),
                                target,
                                tile_rows.len(),
                            )
                        };
                    }
                }
                if scattered {
                    // Short pieces of rows are over before the machine fetches ahead on its own.
                    self.fetch_rows(&rows, &depth);
                }
                let mut column = columns.start;
                while column < columns.end {
                    let left = columns.end - column;
                    let dense = self.b.column_stride == 1;
                    let vectors = tile::tile_vectors::<T>(self.isa, rows.len(), left, dense);
                    let width = left.min(vectors * lanes);
                    let mut b = self.b.from(depth.start, column);
                    let is_near =
                        depth.len() * self.b.row_stride.unsigned_abs() * size_of::<T>() <= MOST_UNPACKED;
                    if !dense || (row_tiles > 1 && !is_near) || width < vectors * lanes {
                        // SAFETY: the panel lies within B; wide tiles, which are not packed, aside, it fits.
                        unsafe { pack::rows(self.isa, b, depth.len(), width, packed_b, vectors * lanes) };
                        b = Matrix::row_major(packed_b, vectors * lanes);
                    }
                    for number in 0..row_tiles {
                        let tile_rows = part(rows.len(), 1, row_tiles, number);
                        let a = if pack_a {
                            let packed = packed_a_start.wrapping_add(tile_rows.start * depth.len());
                            Matrix { data: packed, row_stride: 1, column_stride: tile_rows.len() as isize }
                        } else {
                            self.a.from(rows.start + tile_rows.start, depth.start)
                        };
                        let tile = Tile {
                            k: depth.len(),
                            a: a.data,
                            a_row_stride: a.row_stride,
                            a_column_stride: a.column_stride,
                            b: b.data,
                            b_row_stride: b.row_stride,
                            c: c.wrapping_add((rows.start + tile_rows.start) * self.c_row_stride + column),
                            c_row_stride: self.c_row_stride,
                            update,
                        };
                        // SAFETY: all of the tile lies within the matrices; its columns beyond `width` do not.
                        unsafe { self.tile(tile, tile_rows.len(), vectors, width) };
                    }
                    column += width;
                }
            }
        });
    }

    /// Asks for the part of A with these rows and that depth, if its rows are dense and few.
    fn fetch_rows(&self, rows: &Range<usize>, depth: &Range<usize>) {
        const LINE: usize = 64;
        const MOST_BYTES: usize = 32 * 1024;
        let bytes = depth.len() * size_of::<T>();
        if self.a.column_stride != 1 || rows.len() * bytes > MOST_BYTES {
            return;
        }
        for row in rows.clone() {
            let start = self.a.from(row, depth.start).data.cast::<u8>();
            (0..bytes).step_by(LINE).for_each(|byte| prefetch(start.wrapping_add(byte)));
        }
    }

    /// Runs a tile of which only the first `width` columns are part of C.
    ///
    /// # Safety
    /// As [`tile::run`], but for the columns of C.
    unsafe fn tile(&self, tile: Tile<T>, rows: usize, vectors: usize, width: usize) {
        let lanes = T::lanes(self.isa);
        if width == vectors * lanes {
            // SAFETY: the caller's promise.
            unsafe { tile::run(self.isa, tile, rows, vectors) };
            return;
        }
        let mut whole = [T::default(); tile::MOST_ROWS * 32];
        let stride = vectors * lanes;
        // SAFETY: the array has room for a tile of two vectors a row; partial tiles have no more.
        unsafe {
            if tile.update != Update::Set {
                for row in 0..rows {
                    let from = tile.c.add(row * tile.c_row_stride);
                    std::ptr::copy_nonoverlapping(from, whole.as_mut_ptr().add(row * stride), width);
                }
            }
            let inner = Tile { c: whole.as_mut_ptr(), c_row_stride: stride, ..tile };
            tile::run(self.isa, inner, rows, vectors);
            for row in 0..rows {
                let to = tile.c.add(row * tile.c_row_stride);
                std::ptr::copy_nonoverlapping(whole.as_ptr().add(row * stride), to, width);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::Numbers;

    /// Compares with the plain triple loop in `f64`.
    fn check<T: Real>(isa: Isa, [m, n, k]: [usize; 3], numbers: &mut Numbers, accumulate: bool) {
        let gap = numbers.below(3);
        // Each operand is stored row by row or column by column, with or without gaps.
        let mut operand = |rows: usize, columns: usize| {
            let by_rows = numbers.below(2) == 0;
            let stride = (if by_rows { columns } else { rows }) + gap;
            let items: Vec<T> = numbers.take((if by_rows { rows } else { columns }) * stride);
            (items, if by_rows { (stride, 1) } else { (1, stride) })
        };
        let (a, a_strides) = operand(m, k);
        let (b, b_strides) = operand(k, n);
        let c_row_stride = n + gap;
        let before: Vec<T> = numbers.take(m * c_row_stride);
        let mut c = before.clone();
        let matrix = |items: &[T], strides: (usize, usize)| Matrix {
            data: items.as_ptr(),
            row_stride: strides.0 as isize,
            column_stride: strides.1 as isize,
        };
        // SAFETY: sizes and strides are those the operands were made with; the isa is available.
        unsafe {
            let (a, b) = (matrix(&a, a_strides), matrix(&b, b_strides));
            gemm(isa, [m, n, k], a, b, c.as_mut_ptr(), c_row_stride, accumulate);
        }
        for i in 0..m {
            for j in 0..c_row_stride {
                let old = before[i * c_row_stride + j].to_f64();
                let got = c[i * c_row_stride + j].to_f64();
                if j >= n {
                    assert_eq!(got, old, "written between the rows");
                    continue;
                }
                let product = |p: usize| {
                    let left = a[i * a_strides.0 + p * a_strides.1].to_f64();
                    left * b[p * b_strides.0 + j * b_strides.1].to_f64()
                };
                let wanted = (0..k).map(product).sum::<f64>() + if accumulate { old } else { 0.0 };
                let rounding = if size_of::<T>() == 4 { 1e-7 } else { 1e-15 };
                let tolerance = rounding * (k as f64 + 3.0);
                assert!(
                    (got - wanted).abs() <= tolerance,
                    "{isa:?} {m}x{n}x{k} at {i}, {j}: {got} instead of {wanted}"
                );
            }
        }
    }

    #[test]
    fn agrees_with_the_triple_loop() {
        for isa in Isa::available() {
            let mut numbers = Numbers::new(1);
            for m in [1, 2, 3, 5, 8, 13, 14, 15, 29, 33] {
                for n in [1, 7, 16, 17, 32, 45, 130, 300] {
                    for k in [1, 2, 33] {
                        check::<f32>(isa, [m, n, k], &mut numbers, m % 2 == 0);
                        check::<f64>(isa, [m, n, k], &mut numbers, m % 2 == 1);
                    }
                }
            }
            for size in [
                [0, 3, 3],
                [3, 0, 3],
                [3, 3, 0],
                [32, 128, 784],
                [300, 70, 193],
                [70, 1100, 200],
                [1, 9, 900],
            ] {
                for accumulate in [false, true] {
                    check::<f32>(isa, size, &mut numbers, accumulate);
                    check::<f64>(isa, size, &mut numbers, accumulate);
                }
            }
        }
    }

    #[test]
    fn does_not_depend_on_threads() {
        let mut numbers = Numbers::new(2);
        let (m, n, k) = (190, 210, 400);
        let (a, b): (Vec<f32>, Vec<f32>) = (numbers.take(m * k), numbers.take(k * n));
        let run = |threads: usize| {
            crate::cpu::threads::set_thread_count(threads);
            let mut c = vec![0f32; m * n];
            let (a, b) = (Matrix::row_major(a.as_ptr(), k), Matrix::row_major(b.as_ptr(), n));
            // SAFETY: the sizes are those of the vectors.
            unsafe { gemm(Isa::current(), [m, n, k], a, b, c.as_mut_ptr(), n, false) };
            c
        };
        let one = run(1);
        assert!(one == run(2) && one == run(7));
        crate::cpu::threads::set_thread_count(0);
    }
}
