//! The innermost loop: a tile of pixels and output channels held in registers.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use crate::cpu::isa::Isa;
use crate::cpu::vector::{Real, Vector, VectorKernel, prefetch, prefetch_far};

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

/// Steps along the depth between fetches of what comes later: a cache line of floats.
const STRETCH: usize = 16;
/// How many steps ahead the packed kernel is fetched: the machine's own fetching ends with each page.
const STEPS_AHEAD: usize = 32;

/// `C[rows, vectors] (+)= A[rows, depth] · B[depth, vectors]`, all vectors whole.
pub(super) struct Tile<'a> {
    pub(super) depth: usize,
    /// Rows at a distance of [`ROW`].
    pub(super) a: *const f32,
    pub(super) b: *const f32,
    pub(super) c: *mut f32,
    /// Floats from row to row of C.
    pub(super) c_stride: usize,
    /// Whether to add to what C holds.
    pub(super) accumulate: bool,
    /// Whether this is the first of several tiles to read these rows of B: they are fetched ahead of their use.
    pub(super) is_first: bool,
    /// Rows that the next tiles will read: while this one is multiplied they are brought near, as many floats of each.
    pub(super) ahead: &'a [*const f32],
}

/// Runs a tile of one or two vectors.
///
/// # Safety
/// All pointers must be good for the tile, `rows` at most what [`most_rows`] says, and the machine have `isa`.
pub(super) unsafe fn run(isa: Isa, tile: &Tile, rows: usize, vectors: usize) {
    macro_rules! choose {
        ($($rows:literal)*) => {
            match (rows, vectors) {
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
            for start in (0..tile.depth).step_by(STRETCH) {
                for row in tile.ahead {
                    prefetch_far(row.wrapping_add(start));
                }
                if tile.is_first {
                    for line in (0..STRETCH * VECTORS * V::LANES).step_by(STRETCH) {
                        prefetch(b.wrapping_add(STEPS_AHEAD * VECTORS * V::LANES + line));
                    }
                }
                for k in start..tile.depth.min(start + STRETCH) {
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
            }
            // Nothing else is done to the sums here: they would not stay in registers.
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let c = tile.c.add(row * tile.c_stride + vector * V::LANES);
                    let sum = sums[row][vector];
                    if tile.accumulate { V::load(c).add(sum).store(c) } else { sum.store(c) }
                }
            }
        }
    }
}
