//! Running a planned loop.

use super::plan::{FEW_BYTES, FEW_PLACES, FusedLoop, LINE, Layout, Operand, Output};
use super::program::{Call, Step};
use super::reduction::Plan;
use crate::cpu::kernels::axes::walk;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::prefetch;
use crate::tensor::{Dims, Strides};
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The memory of one call, shared by its tasks.
struct Memory<'a> {
    inputs: &'a [*const u8],
    outputs: &'a [*mut u8],
    accumulators: *mut u8,
}

// SAFETY: tasks read inputs, and write outputs and accumulators that are their own.
unsafe impl Sync for Memory<'_> {}

impl FusedLoop {
    /// Computes all outputs: the stores, then the reductions.
    ///
    /// # Safety
    /// There must be a pointer for each input and output of the description, in its order, aligned and valid for
    /// all elements that the strides reach. Outputs must overlap neither each other nor inputs, but for stores that
    /// are `in_place`: those may lie exactly where an input does.
    pub(crate) unsafe fn run(&self, inputs: &[*const u8], outputs: &[*mut u8]) {
        let counts = (self.inputs, self.outputs.len());
        debug_assert_eq!((inputs.len(), outputs.len()), counts, "a pointer for each input and output");
        if self.empty {
            // SAFETY: passed on to the caller.
            return unsafe { self.reduce_nothing(outputs) };
        }
        if self.is_one_block {
            // SAFETY: passed on to the caller.
            return unsafe { self.run_at_once(inputs, outputs) };
        }
        with_scratch::<u8, _>(self.accumulators, |accumulators| {
            let memory = Memory { inputs, outputs, accumulators };
            self.each_reduction(accumulators, outputs, |plan, accumulators, _| {
                // SAFETY: the accumulators were measured for all parts.
                unsafe { plan.prepare(accumulators, self.split.parts) }
            });
            parallel_for(self.split.kept * self.split.parts, |task| {
                // SAFETY: passed on to the caller; tasks have blocks and accumulators of their own.
                unsafe { self.run_task(&memory, task) }
            });
            self.each_reduction(accumulators, outputs, |plan, accumulators, output| {
                // SAFETY: all tasks are done; the output is the caller's.
                unsafe { plan.finish(accumulators, self.split.parts, output) }
            });
        });
    }

    /// The only block, with nothing that is gathered, reduced or shared.
    ///
    /// # Safety
    /// As for [`FusedLoop::run`].
    unsafe fn run_at_once(&self, inputs: &[*const u8], outputs: &[*mut u8]) {
        #[repr(align(64))]
        struct Registers([MaybeUninit<u8>; FEW_BYTES]);
        let mut registers = Registers([MaybeUninit::uninit(); FEW_BYTES]);
        let mut table = [std::ptr::null_mut(); FEW_PLACES];
        let operands = inputs.iter().map(|input| input.cast_mut()).chain(outputs.iter().copied());
        let memory = registers.0.as_mut_ptr().cast::<u8>();
        let places = operands.chain(self.program.fixed.iter().map(|&offset| memory.wrapping_add(offset)));
        table.iter_mut().zip(places).for_each(|(place, pointer)| *place = pointer);
        let mut worker = Worker { plan: self, table: &mut table, gathered: &mut [] };
        // SAFETY: all places point to the block, and there are registers as planned.
        unsafe { worker.block(true, true) }
    }

    fn each_reduction(
        &self,
        accumulators: *mut u8,
        outputs: &[*mut u8],
        mut body: impl FnMut(&Plan, *mut u8, *mut u8),
    ) {
        for (output, &pointer) in self.outputs.iter().zip(outputs) {
            if let Output::Reduction { plan, offset } = output {
                body(plan, accumulators.wrapping_add(*offset), pointer);
            }
        }
    }

    /// # Safety
    /// As for [`FusedLoop::run`].
    unsafe fn reduce_nothing(&self, outputs: &[*mut u8]) {
        let (dims, reduced) = &self.described;
        let kept = |axis: &usize| !reduced[*axis];
        for (goal, &pointer) in self.goals.iter().zip(outputs) {
            if let Some(kind) = goal.kind {
                let sizes: Dims = (0..dims.len()).filter(kept).map(|axis| dims[axis]).collect();
                let strides: Strides = (0..dims.len()).filter(kept).map(|axis| goal.strides[axis]).collect();
                // SAFETY: passed on to the caller.
                unsafe { Plan::nothing(kind, goal.dtype, &sizes, &strides, pointer) }
            }
        }
    }

    /// # Safety
    /// As for [`FusedLoop::run`], and each task may run once.
    unsafe fn run_task(&self, memory: &Memory, task: usize) {
        let program = &self.program;
        let places = self.operands.len() + program.fixed.len();
        let tables = (places + self.operands.len()).next_multiple_of(8);
        with_scratch::<u64, _>(tables + program.memory.div_ceil(8), |scratch| {
            let (kept, part) = (task / self.split.parts, task % self.split.parts);
            let (all_kept, reduced) = (self.outer.kept, self.outer.count() / self.outer.kept);
            let own_kept = share(all_kept, self.split.kept, kept);
            let own_part = share(reduced, self.split.parts, part);
            // SAFETY: the scratch has room for both tables and the registers behind them.
            let mut worker = unsafe {
                let registers = scratch.add(tables).cast::<u8>();
                let (table, rest) = (scratch.cast::<*mut u8>(), scratch.add(places).cast::<*mut u8>());
                for (i, &offset) in program.fixed.iter().enumerate() {
                    table.add(self.operands.len() + i).write(registers.add(offset));
                }
                rest.write_bytes(0, self.operands.len());
                let table = std::slice::from_raw_parts_mut(table, places);
                let gathered = std::slice::from_raw_parts_mut(rest, self.operands.len());
                Worker { plan: self, table, gathered }
            };
            // SAFETY: passed on to the caller.
            unsafe {
                if self.split.parts == 1 {
                    worker.run(memory, part, own_kept.start * reduced..own_kept.end * reduced);
                } else {
                    for kept in own_kept {
                        let first = kept * reduced;
                        worker.run(memory, part, first + own_part.start..first + own_part.end);
                    }
                }
            }
        });
    }
}

/// The `part`-th of `parts` nearly equal parts of `0..count`.
fn share(count: usize, parts: usize, part: usize) -> Range<usize> {
    count * part / parts..count * (part + 1) / parts
}

/// What one task works with.
struct Worker<'a> {
    plan: &'a FusedLoop,
    /// Where each place is now.
    table: &'a mut [*mut u8],
    /// From where each strided input was copied last.
    gathered: &'a mut [*mut u8],
}

impl Worker<'_> {
    /// Computes the blocks of a range.
    ///
    /// # Safety
    /// As for [`FusedLoop::run`]; no other task may have blocks or accumulators of these.
    unsafe fn run(&mut self, memory: &Memory, part: usize, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let outer = &self.plan.outer;
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer.dims.len());
        let mut rest = range.start;
        for axis in (0..outer.dims.len()).rev() {
            index[axis] = rest % outer.dims[axis];
            rest /= outer.dims[axis];
        }
        self.start(memory, part, &index);
        let mut fresh = true;
        for block in range.clone() {
            let last = outer.chunk.is_some_and(|axis| index[axis] + 1 == outer.dims[axis]);
            // SAFETY: passed on to the caller.
            unsafe { self.block(fresh, last) };
            if block + 1 == range.end {
                return;
            }
            let mut axis = outer.dims.len() - 1;
            while index[axis] + 1 == outer.dims[axis] {
                index[axis] = 0;
                axis -= 1;
            }
            index[axis] += 1;
            // Operands that are constant within blocks stay the same while only the cut axis advances.
            fresh = outer.chunk != Some(axis) || axis + 1 < outer.dims.len();
            for (place, operand) in self.table.iter_mut().zip(&self.plan.operands) {
                *place = place.wrapping_offset(operand.advance[axis]);
            }
        }
    }

    /// Points the moving places at a block.
    fn start(&mut self, memory: &Memory, part: usize, index: &[usize]) {
        let inputs = self.plan.inputs;
        for (i, operand) in self.plan.operands.iter().enumerate() {
            let offset: isize = index.iter().zip(&operand.steps).map(|(&i, &step)| i as isize * step).sum();
            let base = match i.checked_sub(inputs).map(|output| (output, &self.plan.outputs[output])) {
                None => memory.inputs[i].cast_mut(),
                Some((output, Output::Store)) => memory.outputs[output],
                Some((_, Output::Reduction { plan, offset })) => {
                    memory.accumulators.wrapping_add(offset + part * plan.accumulators * operand.size)
                }
            };
            self.table[i] = base.wrapping_offset(offset);
        }
    }

    /// # Safety
    /// All places must point to the block.
    #[inline]
    unsafe fn block(&mut self, fresh: bool, last: bool) {
        let blocks = &self.plan.blocks;
        let points = blocks.inner * if last { blocks.last_tile } else { blocks.tile };
        let (inputs, program) = (self.plan.inputs, &self.plan.program);
        // SAFETY: passed on to the caller; registers have room for a block.
        unsafe {
            for &(input, register) in &program.gathers {
                let source = self.table[input];
                if self.gathered[input] != source {
                    // A shorter block would not do for a whole one from the same place.
                    self.gathered[input] = if last { std::ptr::null_mut() } else { source };
                    let operand = &self.plan.operands[input];
                    gather(operand, self.table[register as usize], source, last);
                }
            }
            if fresh {
                for call in &program.uniform {
                    self.call(1, call);
                }
            }
            let mut ahead = (0, 0);
            for step in &program.steps {
                self.fetch_ahead(&mut ahead, points);
                match step {
                    Step::Call(call) => self.call(points, call),
                    Step::Scatter { output, from } => {
                        let place = inputs + output;
                        let operand = &self.plan.operands[place];
                        scatter(operand, self.table[place], self.table[*from as usize], last);
                    }
                    Step::Reduce { output, from } => {
                        if let Output::Reduction { plan, .. } = &self.plan.outputs[*output] {
                            plan.take_in(self.table[*from as usize], self.table[inputs + output], last);
                        }
                    }
                }
            }
        }
    }

    /// Fetches some more of what comes behind this block: from `(input, byte)` on, which it moves along.
    #[inline(always)]
    fn fetch_ahead(&self, (input, byte): &mut (usize, usize), points: usize) {
        let mut lines = self.plan.ahead.lines;
        while let Some(&place) = self.plan.ahead.inputs.get(*input)
            && lines > 0
        {
            let bytes = points * self.plan.operands[place].size;
            let next = self.table[place].wrapping_add(bytes);
            while lines > 0 && *byte < bytes {
                prefetch(next.wrapping_add(*byte));
                (*byte, lines) = (*byte + LINE, lines - 1);
            }
            if *byte >= bytes {
                (*input, *byte) = (*input + 1, 0);
            }
        }
    }

    /// # Safety
    /// The places of the call must have room for `points` elements.
    #[inline(always)]
    unsafe fn call(&self, points: usize, call: &Call) {
        let [a, b, c] = call.operands.map(|operand| self.table[operand as usize]);
        // SAFETY: passed on to the caller.
        unsafe { (call.kernel)(points, self.table[call.out as usize], a, b, c) }
    }
}

/// Copies a strided block to a dense register.
///
/// # Safety
/// The block must be readable and the register have room for it.
unsafe fn gather(operand: &Operand, register: *mut u8, source: *const u8, last: bool) {
    let Some(layouts) = &operand.layouts else { return };
    let layout = &layouts[last as usize];
    // SAFETY: passed on to the caller; elements move unchanged whatever they mean.
    unsafe {
        match operand.size {
            1 => gather_elements::<u8>(layout, register.cast(), source.cast()),
            2 => gather_elements::<u16>(layout, register.cast(), source.cast()),
            4 => gather_elements::<u32>(layout, register.cast(), source.cast()),
            _ => gather_elements::<u64>(layout, register.cast(), source.cast()),
        }
    }
}

/// Copies a dense register to a strided block.
///
/// # Safety
/// The block must be writable and the register hold it.
unsafe fn scatter(operand: &Operand, target: *mut u8, register: *const u8, last: bool) {
    let Some(layouts) = &operand.layouts else { return };
    let layout = &layouts[last as usize];
    // SAFETY: passed on to the caller; elements move unchanged whatever they mean.
    unsafe {
        match operand.size {
            1 => scatter_elements::<u8>(layout, target.cast(), register.cast()),
            2 => scatter_elements::<u16>(layout, target.cast(), register.cast()),
            4 => scatter_elements::<u32>(layout, target.cast(), register.cast()),
            _ => scatter_elements::<u64>(layout, target.cast(), register.cast()),
        }
    }
}

/// # Safety
/// As for [`gather`].
unsafe fn gather_elements<T: Copy>(layout: &Layout, mut register: *mut T, source: *const T) {
    let inner = layout.dims.len() - 1;
    let (run, step) = (layout.dims[inner], layout.strides[inner]);
    walk(&layout.dims[..inner], [&layout.strides[..inner]], |[offset]| {
        // SAFETY: the walk stays within the block, and the register is written from front to back.
        unsafe {
            let source = source.offset(offset);
            let target = std::slice::from_raw_parts_mut(register, run);
            match step {
                0 => target.fill(*source),
                1 => target.copy_from_slice(std::slice::from_raw_parts(source, run)),
                _ => {
                    for (i, target) in target.iter_mut().enumerate() {
                        *target = *source.offset(i as isize * step);
                    }
                }
            }
            register = register.add(run);
        }
    });
}

/// # Safety
/// As for [`scatter`].
unsafe fn scatter_elements<T: Copy>(layout: &Layout, target: *mut T, mut register: *const T) {
    let inner = layout.dims.len() - 1;
    let (run, step) = (layout.dims[inner], layout.strides[inner]);
    walk(&layout.dims[..inner], [&layout.strides[..inner]], |[offset]| {
        // SAFETY: the walk stays within the block, and the register is read from front to back.
        unsafe {
            let target = target.offset(offset);
            if step == 1 {
                std::ptr::copy_nonoverlapping(register, target, run);
            } else {
                for i in 0..run {
                    *target.offset(i as isize * step) = *register.add(i);
                }
            }
            register = register.add(run);
        }
    });
}
