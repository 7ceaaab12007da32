//! The innermost loop of matrix products: a tile of C held in registers.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use super::Update;
use crate::cpu::isa::Isa;
use crate::cpu::vector::{Real, Vector, VectorKernel, prefetch};
use std::marker::PhantomData;

/// The most rows a tile has, with 32 vector registers.
pub(super) const MOST_ROWS: usize = 14;
/// The most rows of a tile whose rows of A lie apart: each of them needs a pointer register.
const MOST_SCATTERED_ROWS: usize = 8;
/// The most vectors in a row of a tile, and the most rows of a tile that wide.
const WIDE: usize = 8;
const MOST_WIDE_ROWS: usize = 3;

/// `C[rows, vectors] (+)= A[rows, k] · B[k, vectors]`.
///
/// Each item of C is one chain of multiply-adds over k, added to what C holds last, so the result does not depend on
/// how C is cut into tiles.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    pub(super) k: usize,
    pub(super) a: *const T,
    pub(super) a_row_stride: isize,
    pub(super) a_column_stride: isize,
    /// Rows of `vectors` whole registers.
    pub(super) b: *const T,
    pub(super) b_row_stride: isize,
    pub(super) c: *mut T,
    pub(super) c_row_stride: usize,
    pub(super) update: Update<T>,
}

/// The most rows that a tile of that many vectors can have.
pub(super) fn most_rows<T: Real>(isa: Isa, vectors: usize, scattered: bool) -> usize {
    match vectors {
        WIDE if T::registers(isa) == 32 => MOST_WIDE_ROWS,
        WIDE => 1,
        _ if T::registers(isa) < 32 => 6,
        _ if scattered => MOST_SCATTERED_ROWS,
        _ => MOST_ROWS,
    }
}

/// The number of vectors in the rows of a tile, for a block of C of that size and B with or without dense rows.
pub(super) fn tile_vectors<T: Real>(isa: Isa, rows: usize, columns: usize, dense: bool) -> usize {
    let lanes = T::lanes(isa);
    if dense && rows <= most_rows::<T>(isa, WIDE, true) && columns >= WIDE * lanes {
        WIDE
    } else if columns > lanes {
        2
    } else {
        1
    }
}

/// Runs a tile of that many rows and vectors.
///
/// # Safety
/// All pointers must be good for the tile, `rows` at most what [`most_rows`] says, and the machine have `isa`.
pub(super) unsafe fn run<T: Real>(isa: Isa, tile: Tile<T>, rows: usize, vectors: usize) {
    macro_rules! choose {
        ($unit:literal, $vectors:literal, $($rows:literal)*) => {
            match rows {
                // SAFETY: the caller's promise.
                $($rows => unsafe { T::dispatch(isa, Shaped::<T, $rows, $vectors, $unit>(tile, PhantomData)) },)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    match (tile.a_row_stride == 1, vectors) {
        (true, 1) => choose!(true, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (true, 2) => choose!(true, 2, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (false, 1) => choose!(false, 1, 1 2 3 4 5 6 7 8),
        (false, 2) => choose!(false, 2, 1 2 3 4 5 6 7 8),
        (_, WIDE) => choose!(false, 8, 1 2 3),
        _ => unreachable!("a tile of {vectors} vectors"),
    }
}

/// A tile whose size the compiler knows; `UNIT` says that the rows of A lie next to each other.
struct Shaped<T, const ROWS: usize, const VECTORS: usize, const UNIT: bool>(Tile<T>, PhantomData<T>);

impl<T: Real, const ROWS: usize, const VECTORS: usize, const UNIT: bool> VectorKernel<T>
    for Shaped<T, ROWS, VECTORS, UNIT>
{
    #[inline(always)]
    fn run<V: Vector<Item = T>>(self) {
        if ROWS * VECTORS + 2 > V::REGISTERS {
            unreachable!("a tile of {ROWS} rows does not fit in the registers");
        }
        let Tile { mut a, mut b, c, .. } = self.0;
        let a_row_stride = if UNIT { 1 } else { self.0.a_row_stride };
        // SAFETY: `run` asked for good pointers and the right machine.
        unsafe {
            if let Update::Less(_) = self.0.update {
                // What is read in the end comes near in the meantime.
                for row in 0..ROWS {
                    for vector in 0..VECTORS {
                        prefetch(c.wrapping_add(row * self.0.c_row_stride + vector * V::LANES));
                    }
                }
            }
            let mut sums = [[V::splat(T::default()); VECTORS]; ROWS];
            for _ in 0..self.0.k {
                let mut right = [V::splat(T::default()); VECTORS];
                for vector in 0..VECTORS {
                    right[vector] = V::load(b.add(vector * V::LANES));
                }
                for row in 0..ROWS {
                    let left = V::splat(*a.offset(row as isize * a_row_stride));
                    for vector in 0..VECTORS {
                        sums[row][vector] = sums[row][vector].multiply_add(left, right[vector]);
                    }
                }
                a = a.wrapping_offset(self.0.a_column_stride);
                b = b.wrapping_offset(self.0.b_row_stride);
            }
            // Reading C last lets the machine begin with the next tile while it waits.
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let c = c.add(row * self.0.c_row_stride + vector * V::LANES);
                    let sum = sums[row][vector];
                    match self.0.update {
                        Update::Set => sum.store(c),
                        Update::Add => V::load(c).add(sum).store(c),
                        Update::Less(factor) => {
                            let scaled = V::splat(T::default()).multiply_add(sum, V::splat(factor));
                            V::load(c).subtract(scaled).store(c);
                        }
                    }
                }
            }
        }
    }
}
