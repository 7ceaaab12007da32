//! The innermost loop: a tile of pixels and output channels held in registers.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use super::{Affine, load, store};
use crate::cpu::isa::Isa;
use crate::cpu::vector::{Real, Vector, VectorKernel};

/// The most rows of a tile with 32 vector registers, and with fewer.
pub(super) const MOST_ROWS: usize = 14;
const MOST_ROWS_OF_FEW: usize = 6;
/// Items of a row that are multiplied at once: as many rows of the packed kernel fit half of the first-level cache.
pub(super) const DEPTH: usize = 192;
/// From row to row of the left side: room for a whole last vector, and an odd number of cache lines.
pub(super) const ROW: usize = 208;

/// The most rows of a tile.
pub(super) fn most_rows(isa: Isa) -> usize {
    if f32::registers(isa) == 32 { MOST_ROWS } else { MOST_ROWS_OF_FEW }
}

/// `C[rows, columns] (+)= A[rows, depth] · B[depth, columns]`.
pub(super) struct Tile<'a> {
    pub(super) depth: usize,
    /// Rows at a distance of [`ROW`].
    pub(super) a: *const f32,
    /// Rows of one or two whole vectors.
    pub(super) b: *const f32,
    /// Where each row of C begins.
    pub(super) c: &'a [*mut f32],
    /// Columns that C has, the last vector perhaps in part.
    pub(super) columns: usize,
    /// Whether to add to what C holds.
    pub(super) accumulate: bool,
    pub(super) finish: Option<Finish<'a>>,
}

/// What is done to the sums of a tile when they are complete.
#[derive(Clone, Copy)]
pub(super) struct Finish<'a> {
    pub(super) after: &'a Affine,
    /// The first output channel of the tile.
    pub(super) channel: usize,
    /// Where the rows begin that are added; none or as many as the tile has.
    pub(super) added: &'a [*const f32],
}

/// Runs a tile of one or two vectors.
///
/// # Safety
/// All pointers must be good for the tile, which has at most [`most_rows`] rows, and the machine have `isa`.
pub(super) unsafe fn run(isa: Isa, tile: &Tile, vectors: usize) {
    macro_rules! choose {
        ($($rows:literal)*) => {
            match (tile.c.len(), vectors) {
                $(
                    // SAFETY: the caller's promise.
                    ($rows, 1) => unsafe { f32::dispatch(isa, Shaped::<$rows, 1>(tile)) },
                    // SAFETY: as above.
                    ($rows, 2) => unsafe { f32::dispatch(isa, Shaped::<$rows, 2>(tile)) },
                )*
                (rows, vectors) => unreachable!("a tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    choose!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

/// A tile whose size the compiler knows.
struct Shaped<'a, const ROWS: usize, const VECTORS: usize>(&'a Tile<'a>);

impl<const ROWS: usize, const VECTORS: usize> VectorKernel<f32> for Shaped<'_, ROWS, VECTORS> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        if ROWS * VECTORS + 2 > V::REGISTERS {
            unreachable!("a tile of {ROWS} rows does not fit in the registers");
        }
        let tile = self.0;
        let (a, mut b) = (tile.a, tile.b);
        // SAFETY: `run` asked for good pointers and the right machine.
        unsafe {
            let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
            for k in 0..tile.depth {
                let mut right = [V::splat(0.0); VECTORS];
                for vector in 0..VECTORS {
                    right[vector] = V::load(b.add(vector * V::LANES));
                }
                for row in 0..ROWS {
                    let left = V::splat(*a.add(k + row * ROW));
                    for vector in 0..VECTORS {
                        sums[row][vector] = sums[row][vector].multiply_add(left, right[vector]);
                    }
                }
                b = b.add(VECTORS * V::LANES);
            }
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let at = vector * V::LANES;
                    let (c, count) = (tile.c.get_unchecked(row).add(at), tile.columns - at);
                    let mut sum = sums[row][vector];
                    if tile.accumulate {
                        sum = load::<V>(c, count).add(sum);
                    }
                    if let Some(finish) = &tile.finish {
                        let added = finish.added.get(row).map(|added| load::<V>(added.add(at), count));
                        sum = finish.after.apply(sum, finish.channel + at, count, added);
                    }
                    store(sum, c, count);
                }
            }
        }
    }
}
