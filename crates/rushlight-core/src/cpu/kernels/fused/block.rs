//! How an iteration space is cut into blocks, and in which order they come.

use crate::tensor::{Dims, Strides};
use smallvec::SmallVec;

/// The most points of a block: registers of this length, a handful of them, fit the nearest cache.
pub(crate) const BLOCK: usize = 1024;

/// An innermost axis at least this long is cut on its own; shorter ones are flattened with those around.
const LONG: usize = 128;

/// The blocks of a collapsed space: a piece of one axis, times all of the axes inside of it.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// The axis that is cut.
    pub(crate) axis: usize,
    /// Indices of that axis in a block, and in the last one if that is shorter.
    pub(crate) tile: usize,
    pub(crate) last_tile: usize,
    /// Points for each index of that axis.
    pub(crate) inner: usize,
    /// Blocks along that axis.
    pub(crate) chunks: usize,
}

impl Blocks {
    pub(crate) fn new(dims: &[usize]) -> Blocks {
        let last = dims.len() - 1;
        let (mut axis, mut inner) = (last, 1);
        if dims[last] < LONG {
            // Take in whole axes while they fit, then a piece of the next one.
            while axis > 0 && inner * dims[axis] * dims[axis - 1] <= BLOCK {
                inner *= dims[axis];
                axis -= 1;
            }
            if axis > 0 && 2 * inner * dims[axis] <= BLOCK {
                inner *= dims[axis];
                axis -= 1;
            }
        }
        let most = (BLOCK / inner).max(1);
        let chunks = dims[axis].div_ceil(most);
        let even = dims[axis].div_ceil(chunks);
        let tile = if inner == 1 && chunks > 1 { even.next_multiple_of(64).min(most) } else { even };
        let chunks = dims[axis].div_ceil(tile);
        Blocks { axis, tile, last_tile: dims[axis] - (chunks - 1) * tile, inner, chunks }
    }

    /// The sizes of a block along the cut axis and those inside.
    pub(crate) fn dims(&self, dims: &[usize], tile: usize) -> Dims {
        [tile].iter().chain(&dims[self.axis + 1..]).copied().collect()
    }

    /// The most points of a block.
    pub(crate) fn points(&self) -> usize {
        self.tile * self.inner
    }
}

/// How an operand lies in memory within a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// One element for the whole block.
    Uniform,
    /// The elements of the block one behind the other.
    Dense,
    /// Anything else: copied from or to a register.
    Strided,
}

impl Access {
    pub(crate) fn of(block: &[usize], strides: &[isize]) -> Access {
        if block.iter().zip(strides).all(|(&dim, &stride)| dim == 1 || stride == 0) {
            Access::Uniform
        } else if crate::tensor::is_contiguous(block, strides) {
            Access::Dense
        } else {
            Access::Strided
        }
    }
}

/// The axes that blocks are counted along, in the order in which they are walked.
#[derive(Clone, Debug)]
pub(crate) struct Outer {
    pub(crate) dims: Dims,
    /// Which axis of the collapsed space, and by how many of its indices a step goes.
    axes: SmallVec<[(usize, usize); 6]>,
    /// The place of the cut axis among these, if it is cut.
    pub(crate) chunk: Option<usize>,
    /// How many blocks the axes have that are walked first, those that every reduction keeps.
    pub(crate) kept: usize,
}

impl Outer {
    /// `keeps` tells for each axis of the space whether every reduction keeps it.
    pub(crate) fn new(dims: &[usize], blocks: &Blocks, keeps: impl Fn(usize) -> bool) -> Outer {
        let mut axes: SmallVec<[(usize, usize); 6]> = (0..blocks.axis).map(|axis| (axis, 1)).collect();
        if blocks.chunks > 1 {
            axes.push((blocks.axis, blocks.tile));
        }
        // stable: within the two groups the order stays
        axes.sort_by_key(|&(axis, _)| !keeps(axis));
        let size = |&(axis, _): &(usize, usize)| if axis == blocks.axis { blocks.chunks } else { dims[axis] };
        Outer {
            dims: axes.iter().map(size).collect(),
            chunk: axes.iter().position(|&(axis, _)| axis == blocks.axis),
            kept: axes.iter().filter(|&&(axis, _)| keeps(axis)).map(size).product(),
            axes,
        }
    }

    /// The number of blocks.
    pub(crate) fn count(&self) -> usize {
        self.dims.iter().product()
    }

    /// By how many elements an operand moves for a step along each of these axes.
    pub(crate) fn steps(&self, strides: &[isize]) -> Strides {
        self.axes.iter().map(|&(axis, indices)| strides[axis] * indices as isize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_axes_are_cut_evenly_and_short_ones_flattened() {
        let blocks = Blocks::new(&[4, 88, 16384]);
        assert_eq!((blocks.axis, blocks.tile, blocks.chunks, blocks.inner), (2, 1024, 16, 1));
        let blocks = Blocks::new(&[1100]);
        assert_eq!((blocks.axis, blocks.tile, blocks.chunks, blocks.last_tile), (0, 576, 2, 524));
        let blocks = Blocks::new(&[65536, 12]);
        assert_eq!((blocks.axis, blocks.inner, blocks.points() <= BLOCK), (0, 12, true));
        assert_eq!(blocks.tile * (blocks.chunks - 1) + blocks.last_tile, 65536);
        let blocks = Blocks::new(&[5, 3, 4]);
        assert_eq!((blocks.axis, blocks.tile, blocks.chunks, blocks.inner), (0, 5, 1, 12));
        let blocks = Blocks::new(&[50, 600, 100]);
        assert_eq!((blocks.axis, blocks.inner), (1, 100));
        let blocks = Blocks::new(&[7]);
        assert_eq!((blocks.axis, blocks.tile, blocks.chunks), (0, 7, 1));
    }
}
