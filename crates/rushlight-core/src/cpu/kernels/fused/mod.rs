//! Loops over many elements in which several elementwise ops and reductions are done in one pass.
//!
//! The iteration space is walked in runs along its innermost axis, at most [`BLOCK`] elements at a time. Each
//! instruction handles a whole run with the same inner loop that the eager op uses; what passes from one
//! instruction to the next stays in the first-level cache. The split into tasks is fixed when the loop is made,
//! so results do not depend on the number of threads.

mod compile;
mod reduce;
#[cfg(test)]
mod tests;

pub(crate) use compile::{Access, Instruction, LoopDescription, Reduced, Register, Store};

use crate::cpu::kernels::loops::InnerLoop;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::ops::reduce::Reduction;
use crate::tensor::DType;
use reduce::{Accumulator, Real, combine, start_of};
use smallvec::{SmallVec, smallvec};

/// Most elements of a run: with eight live registers of `f32` two thirds of a first-level cache.
const BLOCK: usize = 1024;
/// Rows added up in the dtype itself before they are added to the `f64` total.
const ROWS: usize = 64;

/// A compiled loop. Its outputs are the stores followed by the reductions.
pub(crate) struct FusedLoop {
    /// Outer axes, kept ones before reduced ones, then the innermost axis.
    outer: Vec<usize>,
    kept_axes: usize,
    inner: usize,
    inner_reduced: bool,
    blocks: usize,
    inputs: Vec<Walk>,
    instructions: Vec<Compiled>,
    stores: Vec<Stored>,
    reductions: Vec<Total>,
    slots: usize,
    slot_bytes: usize,
    /// Units of work that tasks divide: runs with all that is reduced into the same elements.
    kept_units: usize,
    reduced_units: usize,
    units_per_task: usize,
    /// Tasks that share the reduction of the same elements.
    parts: usize,
}

/// Strides of one operand in bytes, in the order of the loop's axes.
struct Walk {
    outer: SmallVec<[isize; 4]>,
    inner: isize,
    size: usize,
    dtype: DType,
}

#[derive(Clone, Copy)]
enum Source {
    /// An input read where it is.
    Memory(usize),
    /// An input whose elements are gathered into a slot first.
    Gathered(usize, usize),
    Slot(usize),
}

struct Compiled {
    kernel: InnerLoop,
    operands: [Source; 3],
    target: Target,
    /// One element for the whole run.
    scalar: bool,
}

#[derive(Clone, Copy)]
enum Target {
    Slot(usize),
    /// Straight to the memory of a store.
    Store(usize),
}

/// A source with the bytes from one element of its run to the next: 0 for a single element.
#[derive(Clone, Copy)]
struct Feed {
    source: Source,
    stride: isize,
}

struct Stored {
    feed: Feed,
    to: Walk,
    /// The instruction that makes it writes to its memory itself.
    direct: bool,
}

struct Total {
    feed: Feed,
    to: Walk,
    kind: Reduction,
}

impl FusedLoop {
    /// Runs the loop. The outputs are the memories of the stores, then those of the reductions.
    ///
    /// # Safety
    /// The pointers must be aligned and valid for all that the description's strides reach. Outputs must overlap
    /// neither each other nor inputs, but for stores marked `in_place`.
    pub(crate) unsafe fn run(&self, inputs: &[*const u8], outputs: &[*mut u8]) {
        debug_assert_eq!(
            (inputs.len(), outputs.len()),
            (self.inputs.len(), self.stores.len() + self.reductions.len())
        );
        let memory = Memory { inputs, outputs };
        let tasks = self.kept_units.div_ceil(self.units_per_task);
        let run = if self.inner_reduced { 1 } else { self.inner.min(BLOCK) };
        if self.parts == 1 {
            return parallel_for(tasks, |task| {
                let units =
                    task * self.units_per_task..((task + 1) * self.units_per_task).min(self.kept_units);
                // SAFETY: tasks cover different kept units, whose outputs do not overlap.
                unsafe { self.run_units(&memory, units, 0..self.reduced_units, None) }
            });
        }
        // Several tasks share each reduced element: partial results first, then their sum in a fixed order.
        let width = self.kept_units * run;
        let per_reduction = self.parts * width;
        with_scratch::<f64, _>(per_reduction * self.reductions.len(), |partials| {
            let partials = Partials { data: partials, width, run, per_reduction };
            parallel_for(tasks * self.parts, |task| {
                let (task, part) = (task / self.parts, task % self.parts);
                let units =
                    task * self.units_per_task..((task + 1) * self.units_per_task).min(self.kept_units);
                let share = |part: usize| self.reduced_units * part / self.parts;
                let partials = Some((&partials, part));
                // SAFETY: as above; partial results of each part and unit have their own place.
                unsafe { self.run_units(&memory, units, share(part)..share(part + 1), partials) }
            });
            for (number, Total { to: walk, kind, .. }) in self.reductions.iter().enumerate() {
                for unit in 0..self.kept_units {
                    let (offset, count) = self.output_run(walk, unit);
                    for element in 0..count {
                        let mut total = start_of(*kind);
                        for part in 0..self.parts {
                            // SAFETY: written by the task of this part and unit.
                            let partial = unsafe { *partials.at(number, part, unit).add(element) };
                            total = combine(*kind, total, partial);
                        }
                        // SAFETY: the reduction's memory reaches this far.
                        unsafe {
                            walk.write(memory.outputs[self.stores.len() + number], offset, element, total)
                        }
                    }
                }
            }
        });
    }

    /// Offset of a unit's reduced elements in the output's memory, and their number.
    fn output_run(&self, walk: &Walk, unit: usize) -> (isize, usize) {
        let (outer, start) =
            if self.inner_reduced { (unit, 0) } else { (unit / self.blocks, unit % self.blocks * BLOCK) };
        let count = if self.inner_reduced { 1 } else { (self.inner - start).min(BLOCK) };
        let kept = &self.outer[..self.kept_axes];
        (offset_of(kept, &walk.outer[..self.kept_axes], outer) + start as isize * walk.inner, count)
    }

    /// # Safety
    /// As for [`FusedLoop::run`]; no other task may write the same units' outputs or partial results.
    unsafe fn run_units(
        &self,
        memory: &Memory,
        units: std::ops::Range<usize>,
        reduced: std::ops::Range<usize>,
        partials: Option<(&Partials, usize)>,
    ) {
        let count = if self.inner_reduced { 1 } else { self.inner.min(BLOCK) };
        let totals = self.reductions.len() * count;
        // Totals, and as many rows: sums in the dtype itself that are added to the totals now and then.
        let bytes = self.slots * self.slot_bytes + totals * 16;
        with_scratch::<u8, _>(bytes, |scratch| {
            // SAFETY: scratch is as large as all slots, then the totals, then the rows.
            let (totals, rows) = unsafe {
                let start = scratch.add(self.slots * self.slot_bytes).cast::<f64>();
                (start, start.add(totals).cast::<u8>())
            };
            let mut pointers: SmallVec<[*const u8; 16]> = smallvec![std::ptr::null(); self.inputs.len()];
            let mut targets: SmallVec<[*mut u8; 4]> = smallvec![std::ptr::null_mut(); self.stores.len()];
            for unit in units {
                // SAFETY: totals and rows lie in this thread's scratch; the rest is passed on.
                unsafe {
                    let mut accumulator = Accumulator {
                        totals,
                        rows: (!self.inner_reduced).then_some(rows),
                        count,
                        pending: 0,
                    };
                    accumulator.clear(&self.reductions);
                    for index in reduced.clone() {
                        let length = self.point(memory, unit, index, &mut pointers, &mut targets);
                        self.run_once(scratch, &pointers, &targets, length);
                        if !self.reductions.is_empty() {
                            self.accumulate(&mut accumulator, scratch, &pointers, length);
                        }
                    }
                    if !self.reductions.is_empty() {
                        accumulator.flush(&self.reductions);
                        self.deliver(memory, unit, &accumulator, partials);
                    }
                }
            }
        });
    }

    /// Points at the run of a unit and a reduced index, and returns its length.
    ///
    /// # Safety
    /// As for [`FusedLoop::run`].
    #[inline]
    unsafe fn point(
        &self,
        memory: &Memory,
        unit: usize,
        reduced: usize,
        pointers: &mut [*const u8],
        targets: &mut [*mut u8],
    ) -> usize {
        let (kept, reduced, block) = if self.inner_reduced {
            (unit, reduced / self.blocks, reduced % self.blocks)
        } else {
            (unit / self.blocks, reduced, unit % self.blocks)
        };
        let start = block * BLOCK;
        let mut index: SmallVec<[usize; 6]> = smallvec![0; self.outer.len()];
        let mut rest = kept;
        for axis in (0..self.kept_axes).rev() {
            index[axis] = rest % self.outer[axis];
            rest /= self.outer[axis];
        }
        let mut rest = reduced;
        for axis in (self.kept_axes..self.outer.len()).rev() {
            index[axis] = rest % self.outer[axis];
            rest /= self.outer[axis];
        }
        let offset = |walk: &Walk| -> isize {
            let outer: isize = walk.outer.iter().zip(&index).map(|(&stride, &i)| stride * i as isize).sum();
            outer + walk.inner * start as isize
        };
        for (pointer, (walk, &base)) in pointers.iter_mut().zip(self.inputs.iter().zip(memory.inputs)) {
            // SAFETY: the strides stay within the input's memory.
            *pointer = unsafe { base.offset(offset(walk)) };
        }
        for (target, (Stored { to: walk, .. }, &base)) in
            targets.iter_mut().zip(self.stores.iter().zip(memory.outputs))
        {
            // SAFETY: the strides stay within the output's memory.
            *target = unsafe { base.offset(offset(walk)) };
        }
        (self.inner - start).min(BLOCK)
    }

    /// # Safety
    /// Pointers and targets must be valid for a run of `length` elements, and scratch for all slots.
    #[inline]
    unsafe fn run_once(&self, scratch: *mut u8, pointers: &[*const u8], targets: &[*mut u8], length: usize) {
        // SAFETY: slots lie within scratch, everything else is the caller's promise.
        unsafe {
            for instruction in &self.instructions {
                let operand =
                    |number: usize| self.pointer(instruction.operands[number], scratch, pointers, length);
                let target = match instruction.target {
                    Target::Slot(slot) => scratch.add(slot * self.slot_bytes),
                    Target::Store(store) => targets[store],
                };
                let count = if instruction.scalar { 1 } else { length };
                (instruction.kernel)(count, target, operand(0), operand(1), operand(2));
            }
            for (Stored { feed, to, direct }, &target) in self.stores.iter().zip(targets) {
                if !direct {
                    let from = self.pointer(feed.source, scratch, pointers, length);
                    copy_run(to.size, length, from, feed.stride, target, to.inner);
                }
            }
        }
    }

    /// Where a source's run starts; gathers it first if it is not dense.
    ///
    /// # Safety
    /// As for [`FusedLoop::run_once`].
    #[inline]
    unsafe fn pointer(
        &self,
        source: Source,
        scratch: *mut u8,
        pointers: &[*const u8],
        length: usize,
    ) -> *const u8 {
        match source {
            Source::Memory(input) => pointers[input],
            Source::Slot(slot) => scratch.wrapping_add(slot * self.slot_bytes),
            Source::Gathered(input, slot) => {
                let walk = &self.inputs[input];
                // SAFETY: the slot lies within scratch and is as long as a run.
                unsafe {
                    let target = scratch.add(slot * self.slot_bytes);
                    copy_run(walk.size, length, pointers[input], walk.inner, target, walk.size as isize);
                    target
                }
            }
        }
    }

    /// # Safety
    /// As for [`FusedLoop::run_once`].
    unsafe fn accumulate(
        &self,
        accumulator: &mut Accumulator,
        scratch: *mut u8,
        pointers: &[*const u8],
        length: usize,
    ) {
        for (number, Total { feed, to: walk, kind }) in self.reductions.iter().enumerate() {
            // SAFETY: the run was just computed, or is an input's.
            unsafe {
                let from = self.pointer(feed.source, scratch, pointers, length);
                let scalar = feed.stride == 0;
                match walk.dtype {
                    DType::F32 => {
                        self.accumulate_run(accumulator, number, *kind, from.cast::<f32>(), scalar, length)
                    }
                    _ => self.accumulate_run(accumulator, number, *kind, from.cast::<f64>(), scalar, length),
                }
            }
        }
        accumulator.pending += 1;
        if !self.inner_reduced && accumulator.pending == ROWS {
            // SAFETY: the accumulator's memory is this thread's.
            unsafe { accumulator.flush(&self.reductions) };
        }
    }

    /// # Safety
    /// `from` must be valid for the run: one element if it is a scalar.
    #[inline]
    unsafe fn accumulate_run<T: Real>(
        &self,
        accumulator: &mut Accumulator,
        number: usize,
        kind: Reduction,
        from: *const T,
        scalar: bool,
        length: usize,
    ) {
        // SAFETY: rows and totals are as long as a run of outputs.
        unsafe {
            let Some(rows) = accumulator.row::<T>(number) else {
                let run = if scalar {
                    let one = (*from).into();
                    if kind == Reduction::Sum { one * length as f64 } else { one }
                } else {
                    T::reduce_run(kind, std::slice::from_raw_parts(from, length))
                };
                let total = accumulator.totals.add(number);
                *total = combine(kind, *total, run);
                return;
            };
            let rows = std::slice::from_raw_parts_mut(rows, length);
            if scalar {
                let one = *from;
                rows.iter_mut().for_each(|row| *row = T::combine(kind, *row, one));
            } else {
                T::accumulate_rows(kind, rows, std::slice::from_raw_parts(from, length));
            }
        }
    }

    /// Writes a unit's totals to the output, or to the place of its part.
    ///
    /// # Safety
    /// As for [`FusedLoop::run_units`].
    unsafe fn deliver(
        &self,
        memory: &Memory,
        unit: usize,
        accumulator: &Accumulator,
        partials: Option<(&Partials, usize)>,
    ) {
        for (number, Total { to: walk, .. }) in self.reductions.iter().enumerate() {
            let (offset, count) = self.output_run(walk, unit);
            for element in 0..count {
                // SAFETY: the totals hold `count` elements for each reduction; the output reaches this far.
                unsafe {
                    let total = *accumulator.totals.add(number * accumulator.count + element);
                    match partials {
                        Some((partials, part)) => *partials.at(number, part, unit).add(element) = total,
                        None => {
                            walk.write(memory.outputs[self.stores.len() + number], offset, element, total)
                        }
                    }
                }
            }
        }
    }
}

struct Memory<'a> {
    inputs: &'a [*const u8],
    outputs: &'a [*mut u8],
}

// SAFETY: tasks write disjoint parts of the outputs, by the contract of `FusedLoop::run`.
unsafe impl Sync for Memory<'_> {}

/// Partial results of reductions, by reduction, part and unit.
struct Partials {
    data: *mut f64,
    width: usize,
    run: usize,
    per_reduction: usize,
}

// SAFETY: each part and unit is written by one task only.
unsafe impl Sync for Partials {}

impl Partials {
    fn at(&self, reduction: usize, part: usize, unit: usize) -> *mut f64 {
        self.data.wrapping_add(reduction * self.per_reduction + part * self.width + unit * self.run)
    }
}

impl Walk {
    /// Writes one reduced element.
    ///
    /// # Safety
    /// The element must lie within the memory behind `base`.
    unsafe fn write(&self, base: *mut u8, offset: isize, element: usize, value: f64) {
        // SAFETY: the caller's promise.
        unsafe {
            let target = base.offset(offset + element as isize * self.inner);
            match self.dtype {
                DType::F32 => *target.cast::<f32>() = value as f32,
                _ => *target.cast::<f64>() = value,
            }
        }
    }
}

/// Offset of the element of a row-major number.
fn offset_of(dims: &[usize], strides: &[isize], mut number: usize) -> isize {
    let mut offset = 0;
    for axis in (0..dims.len()).rev() {
        offset += (number % dims[axis]) as isize * strides[axis];
        number /= dims[axis];
    }
    offset
}

/// Copies a run of elements from one stride (in bytes) to another.
///
/// # Safety
/// Both runs must be valid, and not overlap unless they are the same.
unsafe fn copy_run(
    size: usize,
    length: usize,
    from: *const u8,
    from_stride: isize,
    to: *mut u8,
    to_stride: isize,
) {
    /// # Safety
    /// As for [`copy_run`].
    unsafe fn strided<T: Copy>(
        length: usize,
        from: *const u8,
        from_stride: isize,
        to: *mut u8,
        to_stride: isize,
    ) {
        for index in 0..length as isize {
            // SAFETY: the caller's promise.
            unsafe {
                *to.offset(index * to_stride).cast::<T>() = *from.offset(index * from_stride).cast::<T>()
            }
        }
    }
    // SAFETY: passed on to the caller.
    unsafe {
        if from_stride == size as isize && to_stride == size as isize {
            return std::ptr::copy(from, to, length * size);
        }
        match size {
            1 => strided::<u8>(length, from, from_stride, to, to_stride),
            2 => strided::<u16>(length, from, from_stride, to, to_stride),
            4 => strided::<u32>(length, from, from_stride, to, to_stride),
            _ => strided::<u64>(length, from, from_stride, to, to_stride),
        }
    }
}
