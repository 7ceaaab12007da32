//! The reductions of a fused loop: accumulators for each task, and what becomes of them.

use super::block::Blocks;
use crate::cpu::isa::Isa;
use crate::cpu::kernels::axes::{collapse, walk};
use crate::cpu::kernels::loops::{Reducer, Results, fill_identity, reducer_of};
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Dims, Element, Strides, contiguous_strides};
use crate::with_dtype;
use smallvec::SmallVec;

/// Kept rows inside a block that are shorter than this are accumulated side by side and added up at the end.
const NARROW: usize = 256;

/// Runs shorter than this are not worth a call each.
const SHORT: usize = 64;

/// How blocks of one size go into accumulators.
struct Pattern {
    /// The sizes of the axes before the innermost, with steps of the block and of the accumulators.
    dims: Dims,
    block: Strides,
    accumulators: Strides,
    run: usize,
}

impl Pattern {
    /// `accumulators` has a step of 0 for reduced axes.
    fn new(block: &[usize], accumulators: &[isize]) -> Pattern {
        let mut dims: Dims = block.into();
        let mut strides = [contiguous_strides(block), accumulators.into()];
        collapse(&mut dims, &mut strides);
        let inner = dims.len() - 1;
        let [mut block, mut accumulators] = strides;
        let run = dims[inner];
        dims.truncate(inner);
        block.truncate(inner);
        accumulators.truncate(inner);
        Pattern { dims, block, accumulators, run }
    }
}

/// A planned reduction.
pub(crate) struct Plan {
    kind: Reduction,
    reducer: Reducer,
    /// The dtype of the reduced values, of the accumulators and of the output.
    value: DType,
    pub(crate) accumulator: DType,
    output: DType,
    /// For each axis of the collapsed space the step of the accumulators; 0 for reduced axes.
    pub(crate) strides: Strides,
    /// Accumulators of one part.
    pub(crate) accumulators: usize,
    whole: Pattern,
    last: Pattern,
    /// Whether runs are reduced to one accumulator, or accumulated side by side.
    fold: bool,
    /// The kept axes: sizes, steps of the accumulators and of the output.
    kept: Dims,
    from: Strides,
    to: Strides,
    /// Accumulators that belong to one output: how many and how far apart.
    side_by_side: (usize, usize),
    /// Elements that make one output.
    elements: usize,
}

impl Plan {
    /// `strides` are those of the output over the collapsed space.
    pub(crate) fn new(
        kind: Reduction,
        value: DType,
        output: DType,
        dims: &[usize],
        strides: &[isize],
        blocks: &Blocks,
    ) -> Plan {
        let reduced = |axis: usize| strides[axis] == 0 && dims[axis] > 1;
        let reducer = reducer_of(Isa::current(), kind, value).expect("the shape rule has checked the dtype");
        let outer_axes = (0..blocks.axis).filter(|&axis| reduced(axis)).map(|axis| dims[axis]);
        let visits: usize =
            outer_axes.product::<usize>() * if reduced(blocks.axis) { blocks.chunks } else { 1 };
        let inside_kept = (blocks.axis + 1..dims.len()).all(|axis| !reduced(axis));
        let spread =
            reduced(blocks.axis) && inside_kept && (2..NARROW).contains(&blocks.inner) && visits >= 4;
        // Compact strides over the kept axes; the spread axis counts within a block only.
        let size = |axis: usize| match axis {
            axis if !reduced(axis) => dims[axis],
            axis if spread && axis == blocks.axis => blocks.tile,
            _ => 1,
        };
        let sizes: Dims = (0..dims.len()).map(size).collect();
        let compact = contiguous_strides(&sizes);
        let outside: Strides =
            (0..dims.len()).map(|axis| if reduced(axis) { 0 } else { compact[axis] }).collect();
        let mut inside: Strides = outside[blocks.axis..].into();
        if spread {
            inside[0] = compact[blocks.axis];
        }
        let block = blocks.dims(dims, blocks.tile);
        let innermost = (0..block.len()).rfind(|&axis| block[axis] > 1);
        let fold = innermost.is_none_or(|axis| inside[axis] == 0);
        let pattern = |tile: usize| Pattern::new(&blocks.dims(dims, tile), &inside);
        let (whole, last) = (pattern(blocks.tile), pattern(blocks.last_tile));
        let kept: SmallVec<[usize; 6]> = (0..dims.len()).filter(|&axis| !reduced(axis)).collect();
        let mut kept_dims: Dims = kept.iter().map(|&axis| dims[axis]).collect();
        let mut kept_strides: [Strides; 2] = [
            kept.iter().map(|&axis| outside[axis]).collect(),
            kept.iter().map(|&axis| strides[axis]).collect(),
        ];
        collapse(&mut kept_dims, &mut kept_strides);
        let [from, to] = kept_strides;
        Plan {
            kind,
            accumulator: if fold { reducer.folded } else { value },
            fold,
            reducer,
            value,
            output,
            accumulators: sizes.iter().product(),
            whole,
            last,
            from,
            to,
            kept: kept_dims,
            side_by_side: if spread { (blocks.tile, compact[blocks.axis] as usize) } else { (1, 0) },
            elements: (0..dims.len()).filter(|&axis| reduced(axis)).map(|axis| dims[axis]).product(),
            strides: outside,
        }
    }

    /// Prepares the accumulators of `parts` parts.
    ///
    /// # Safety
    /// There must be room for them.
    pub(crate) unsafe fn prepare(&self, accumulators: *mut u8, parts: usize) {
        // SAFETY: passed on to the caller.
        unsafe { fill_identity(self.kind, self.accumulator, accumulators, parts * self.accumulators) }
    }

    /// Takes in the values of a block.
    ///
    /// # Safety
    /// `values` must be a block, the whole or the last one along its axis, and `accumulators` those of the block.
    pub(crate) unsafe fn take_in(&self, values: *const u8, accumulators: *mut u8, last: bool) {
        let pattern = if last { &self.last } else { &self.whole };
        let kernel = if self.fold { self.reducer.fold } else { self.reducer.accumulate };
        let null = std::ptr::null();
        if pattern.dims.is_empty() {
            // SAFETY: passed on to the caller.
            return unsafe { kernel(pattern.run, accumulators, values, null, null) };
        }
        if let ([rows], [1], true) =
            (&pattern.dims[..], &pattern.accumulators[..], self.fold && pattern.run < SHORT)
        {
            let run = std::ptr::without_provenance(pattern.run);
            // SAFETY: passed on to the caller; the rows are dense, as the block is.
            return unsafe { (self.reducer.fold_rows)(*rows, accumulators, values, run, null) };
        }
        let (from, to) = (self.value.size() as isize, self.accumulator.size() as isize);
        walk(&pattern.dims, [&pattern.block, &pattern.accumulators], |[block, accumulator]| {
            // SAFETY: the walk stays within the block and its accumulators.
            unsafe {
                kernel(
                    pattern.run,
                    accumulators.offset(accumulator * to),
                    values.offset(block * from),
                    null,
                    null,
                );
            }
        });
    }

    /// Combines the parts in their order and writes the output.
    ///
    /// # Safety
    /// `accumulators` must be those of `parts` parts; `output` must have room for all kept elements.
    pub(crate) unsafe fn finish(&self, accumulators: *mut u8, parts: usize, output: *mut u8) {
        let Some(combine) = reducer_of(Isa::current(), self.kind, self.accumulator) else {
            unreachable!("accumulators are reduced like values");
        };
        let (null, size) = (std::ptr::null(), self.accumulator.size());
        let (rows, apart) = self.side_by_side;
        // SAFETY: passed on to the caller; parts and rows do not overlap.
        unsafe {
            for part in 1..parts {
                let part = accumulators.add(part * self.accumulators * size);
                (combine.accumulate)(self.accumulators, accumulators, part, null, null);
            }
            if rows > 1 {
                for outer in 0..self.accumulators / (rows * apart) {
                    let first = accumulators.add(outer * rows * apart * size);
                    for row in 1..rows {
                        (combine.accumulate)(apart, first, first.add(row * apart * size), null, null);
                    }
                }
            }
            let results = Results {
                kind: self.kind,
                accumulator: self.accumulator,
                output: self.output,
                elements: self.elements,
            };
            let (from, to) = (size as isize, self.output.size() as isize);
            let inner = self.kept.len() - 1;
            walk(&self.kept[..inner], [&self.from[..inner], &self.to[..inner]], |[source, target]| {
                let (source, target) = (accumulators.offset(source * from), output.offset(target * to));
                results.write(self.kept[inner], source, self.from[inner], target, self.to[inner]);
            });
        }
    }

    /// Writes the result of reducing no element at all.
    ///
    /// # Safety
    /// `output` must have room for all elements of the kept `dims`.
    pub(crate) unsafe fn nothing(
        kind: Reduction,
        dtype: DType,
        dims: &[usize],
        strides: &[isize],
        output: *mut u8,
    ) {
        walk(dims, [strides], |[offset]| {
            // SAFETY: the walk visits each kept element once.
            unsafe {
                let place = output.offset(offset * dtype.size() as isize);
                match (dtype, kind) {
                    (_, Reduction::Mean) => {
                        with_dtype!(dtype, T => *place.cast::<T>() = T::from_f64(f64::NAN))
                    }
                    (DType::F16 | DType::BF16, Reduction::Prod) => {
                        with_dtype!(dtype, T => *place.cast::<T>() = T::from_f64(1.0));
                    }
                    (DType::F16 | DType::BF16, _) => {
                        with_dtype!(dtype, T => *place.cast::<T>() = T::from_f64(0.0))
                    }
                    _ => fill_identity(kind, dtype, place, 1),
                }
            }
        });
    }
}
