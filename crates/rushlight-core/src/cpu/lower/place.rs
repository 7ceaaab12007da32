//! Places: the memory of a value and how its elements lie there.

use crate::tensor::{DType, Dims, Strides, contiguous_strides, display_dims, is_contiguous};
use smallvec::smallvec;
use std::fmt;

/// Images of a batch that share a vector in lanes layout.
pub(crate) const LANES: usize = 16;

/// A block of memory that steps read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Storage {
    /// The argument of that number.
    Input(usize),
    /// The variable of that number.
    Variable(usize),
    Constant(usize),
    /// The result of that number, allocated anew for each call.
    Output(usize),
    /// Temporary memory, reused from call to call.
    Temporary(usize),
    /// None: the step that reads it makes it.
    Passing,
}

/// Where a value's elements are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) storage: Storage,
    /// Position of the first element, in elements.
    pub(crate) offset: isize,
    pub(crate) layout: Layout,
    pub(crate) dtype: DType,
    pub(crate) dims: Dims,
}

/// How elements lie in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Layout {
    /// Strides along the axes of the shape.
    Strided(Strides),
    /// `[batch / 16][channel][height][width][16]` of an image batch `[batch, height, width, channels]`; blocks
    /// lie further apart than their channels take up where the value is a part of a concatenation.
    Lanes { block_stride: usize },
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, number) = match self.storage {
            Storage::Input(number) => ("input", number),
            Storage::Variable(number) => ("variable", number),
            Storage::Constant(number) => ("constant", number),
            Storage::Output(number) => ("result", number),
            Storage::Temporary(number) => ("t", number),
            Storage::Passing => ("passing", 0),
        };
        let lanes = if self.is_lanes() { " in lanes" } else { "" };
        write!(formatter, "{kind}{number}+{} {}{}{lanes}", self.offset, self.dtype, display_dims(&self.dims))
    }
}

impl Place {
    pub(crate) fn contiguous(storage: Storage, dtype: DType, dims: &Dims) -> Place {
        let layout = Layout::Strided(contiguous_strides(dims));
        Place { storage, offset: 0, layout, dtype, dims: dims.clone() }
    }

    pub(crate) fn lanes(storage: Storage, dtype: DType, dims: &Dims) -> Place {
        let layout = Layout::Lanes { block_stride: dims[3] * plane(dims) };
        Place { storage, offset: 0, layout, dtype, dims: dims.clone() }
    }

    pub(crate) fn is_lanes(&self) -> bool {
        matches!(self.layout, Layout::Lanes { .. })
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        match &self.layout {
            Layout::Strided(strides) => is_contiguous(&self.dims, strides),
            Layout::Lanes { .. } => false,
        }
    }

    /// Elements from one channel of a block to the next in lanes layout.
    pub(crate) fn plane(&self) -> usize {
        plane(&self.dims)
    }

    /// Bytes that the whole value takes in this layout.
    pub(crate) fn bytes(&self) -> usize {
        let elements = match &self.layout {
            Layout::Strided(_) => self.dims.iter().product(),
            Layout::Lanes { block_stride } => self.dims[0] / LANES * block_stride,
        };
        elements * self.dtype.size()
    }

    /// The same memory seen as a range of channels.
    pub(crate) fn channels(&self, start: usize, count: usize) -> Place {
        let mut part = self.clone();
        part.offset += match &self.layout {
            Layout::Strided(strides) => start as isize * strides[3],
            Layout::Lanes { .. } => (start * self.plane()) as isize,
        };
        part.dims[3] = count;
        part
    }

    /// Strides over the iteration space of [`lanes_space`].
    pub(crate) fn strides_in_lanes_space(&self) -> Strides {
        match &self.layout {
            Layout::Lanes { block_stride } => {
                let (plane, row) = (self.plane() as isize, (self.dims[2] * LANES) as isize);
                smallvec![*block_stride as isize, plane, row, LANES as isize, 1]
            }
            Layout::Strided(strides) => in_lanes_space(strides),
        }
    }
}

/// Elements from one channel to the next. Planes whose size is a multiple of a page would compete for the same lines of the
/// caches, so they lie three pixels further apart.
fn plane(dims: &[usize]) -> usize {
    let pixels = dims[1] * dims[2];
    let crowded = (pixels * LANES).is_multiple_of(PAGE);
    (pixels + if crowded { 3 } else { 0 }) * LANES
}

/// Elements of four bytes in a page.
const PAGE: usize = 1024;

/// The axes in which an image batch `[batch, height, width, channels]` is walked in lanes layout.
pub(crate) fn lanes_space(dims: &[usize]) -> Dims {
    smallvec![dims[0] / LANES, dims[3], dims[1], dims[2], LANES]
}

/// Strides over the axes of an image batch as strides over its lanes space.
pub(crate) fn in_lanes_space(strides: &[isize]) -> Strides {
    smallvec![strides[0] * LANES as isize, strides[3], strides[1], strides[2], strides[0]]
}
