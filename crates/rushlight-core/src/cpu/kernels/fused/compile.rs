//! From the description of a loop to its compiled form: axes merged and ordered, slots shared, loops chosen.

use super::{BLOCK, Compiled, Feed, FusedLoop, Source, Stored, Target, Total, Walk};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::axes::collapse;
use crate::cpu::kernels::loops::{
    InnerLoop, binary_kernel, cast_kernel, compare_kernel, select_kernel, unary_kernel,
};
use crate::ops::Op;
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Dims, Strides};
use smallvec::SmallVec;

/// Elements of a task, about: enough for the cost of handing it out not to matter.
const TASK_ELEMENTS: usize = 32 * 1024;
/// Most tasks that share one reduced element.
const MOST_PARTS: usize = 16;

/// What a loop does, before it is compiled.
#[derive(Clone, Debug)]
pub(crate) struct LoopDescription {
    /// The iteration space.
    pub(crate) dims: Dims,
    /// What is read: strides over the iteration space, 0 where the same element serves.
    pub(crate) inputs: Vec<Access>,
    /// In order; operands are inputs and earlier instructions.
    pub(crate) instructions: Vec<Instruction>,
    /// What is written element by element.
    pub(crate) stores: Vec<Store>,
    /// What is reduced; all over the same axes, those whose stride is 0 in `reduced_axes`.
    pub(crate) reductions: Vec<Reduced>,
    /// The axes that reductions go over.
    pub(crate) reduced_axes: SmallVec<[bool; 6]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) dtype: DType,
    pub(crate) strides: Strides,
}

#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    /// An elementwise op.
    pub(crate) op: Op,
    pub(crate) operands: SmallVec<[Register; 3]>,
    pub(crate) dtype: DType,
}

/// Where an operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    Input(usize),
    Instruction(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) from: Register,
    pub(crate) access: Access,
    /// The memory is also that of an input at the same places, which no later instruction reads.
    pub(crate) in_place: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Reduced {
    pub(crate) from: Register,
    pub(crate) kind: Reduction,
    /// `F32` or `F64`; strides over the iteration space, 0 along the reduced axes.
    pub(crate) access: Access,
}

impl LoopDescription {
    fn dtype_of(&self, register: Register) -> DType {
        match register {
            Register::Input(input) => self.inputs[input].dtype,
            Register::Instruction(index) => self.instructions[index].dtype,
        }
    }

    /// All operands in one order: inputs, stores, reductions.
    fn accesses(&self) -> impl Iterator<Item = &Access> {
        let stores = self.stores.iter().map(|store| &store.access);
        self.inputs.iter().chain(stores).chain(self.reductions.iter().map(|reduced| &reduced.access))
    }
}

/// The loop's axes, merged where all operands allow it and put in order.
struct Axes {
    outer: Vec<usize>,
    kept: usize,
    inner: usize,
    inner_reduced: bool,
    walks: std::vec::IntoIter<Walk>,
}

impl Axes {
    fn of(description: &LoopDescription) -> Axes {
        let mut dims = description.dims.clone();
        let mut strides: Vec<Strides> = description.accesses().map(|access| access.strides.clone()).collect();
        // One more operand, which stands still along reduced axes, keeps them from being merged with others.
        let mut marker: Strides = SmallVec::from_elem(0, dims.len());
        let mut step = 1;
        for axis in (0..dims.len()).rev().filter(|&axis| !description.reduced_axes[axis]) {
            marker[axis] = step;
            step *= dims[axis] as isize;
        }
        strides.push(marker);
        collapse(&mut dims, &mut strides);
        let marker = strides.pop().expect("the marker was pushed last");
        let inner_axis = dims.len() - 1;
        let is_reduced = |axis: usize| !description.reductions.is_empty() && marker[axis] == 0;
        let kept_axes: Vec<usize> = (0..inner_axis).filter(|&axis| !is_reduced(axis)).collect();
        let reduced_axes = (0..inner_axis).filter(|&axis| is_reduced(axis));
        let order: Vec<usize> = kept_axes.iter().copied().chain(reduced_axes).collect();
        let walks: Vec<Walk> = description
            .accesses()
            .zip(&strides)
            .map(|(access, strides)| {
                let size = access.dtype.size();
                let bytes = |axis: usize| strides[axis] * size as isize;
                Walk {
                    outer: order.iter().map(|&axis| bytes(axis)).collect(),
                    inner: bytes(inner_axis),
                    size,
                    dtype: access.dtype,
                }
            })
            .collect();
        Axes {
            outer: order.iter().map(|&axis| dims[axis]).collect(),
            kept: kept_axes.len(),
            inner: dims[inner_axis],
            inner_reduced: is_reduced(inner_axis),
            walks: walks.into_iter(),
        }
    }
}

/// Which slot of scratch each intermediate result is kept in.
struct Slots {
    free: Vec<usize>,
    count: usize,
    /// By instruction: the last instruction that reads it; the end if a store or reduction does.
    last_use: Vec<Option<usize>>,
    of: Vec<Option<usize>>,
}

impl Slots {
    fn new(description: &LoopDescription) -> Slots {
        let mut last_use = vec![None; description.instructions.len()];
        for (index, instruction) in description.instructions.iter().enumerate() {
            for operand in &instruction.operands {
                if let Register::Instruction(earlier) = operand {
                    last_use[*earlier] = Some(index);
                }
            }
        }
        let of = vec![None; description.instructions.len()];
        Slots { free: Vec::new(), count: 0, last_use, of }
    }

    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }

    fn release_after(&mut self, index: usize) {
        for earlier in 0..=index {
            if self.last_use[earlier] == Some(index)
                && let Some(slot) = self.of[earlier].take()
            {
                self.free.push(slot);
            }
        }
    }
}

impl FusedLoop {
    /// Whether there is an inner loop for an op on inputs of a dtype.
    pub(crate) fn supports(op: &Op, input: DType) -> bool {
        match op {
            Op::Unary(unary) => unary_kernel(Isa::current(), *unary, input).is_some(),
            Op::Binary(binary) => binary_kernel(Isa::current(), *binary, input, [false, false]).is_some(),
            Op::Compare(_) | Op::Select | Op::Cast(_) => true,
            Op::Reduce(_) => matches!(input, DType::F32 | DType::F64),
            _ => false,
        }
    }

    pub(crate) fn new(description: &LoopDescription) -> FusedLoop {
        let mut axes = Axes::of(description);
        let mut walks = |count: usize| -> Vec<Walk> { axes.walks.by_ref().take(count).collect() };
        let inputs = walks(description.inputs.len());
        let store_walks = walks(description.stores.len());
        let total_walks = walks(description.reductions.len());
        let mut slots = Slots::new(description);
        let input_feeds: Vec<Feed> = inputs
            .iter()
            .enumerate()
            .map(|(input, walk)| match walk.inner {
                0 => Feed { source: Source::Memory(input), stride: 0 },
                stride if stride == walk.size as isize => Feed { source: Source::Memory(input), stride },
                _ => Feed { source: Source::Gathered(input, slots.take()), stride: walk.size as isize },
            })
            .collect();
        // What is written at the end of a run must not be overwritten during it.
        for register in description
            .stores
            .iter()
            .map(|store| store.from)
            .chain(description.reductions.iter().map(|reduced| reduced.from))
        {
            if let Register::Instruction(index) = register {
                slots.last_use[index] = Some(usize::MAX);
            }
        }
        let read_by_instructions: Vec<bool> = (0..description.instructions.len())
            .map(|index| {
                let register = Register::Instruction(index);
                description.instructions.iter().any(|other| other.operands.contains(&register))
                    || description.reductions.iter().any(|reduced| reduced.from == register)
                    || description.stores.iter().filter(|store| store.from == register).count() > 1
            })
            .collect();
        let mut direct = vec![false; description.stores.len()];
        let mut feeds: Vec<Feed> = Vec::with_capacity(description.instructions.len());
        let mut instructions = Vec::with_capacity(description.instructions.len());
        for (index, instruction) in description.instructions.iter().enumerate() {
            let operands: SmallVec<[Feed; 3]> = instruction
                .operands
                .iter()
                .map(|&register| match register {
                    Register::Input(input) => input_feeds[input],
                    Register::Instruction(earlier) => feeds[earlier],
                })
                .collect();
            let scalar = operands.iter().all(|operand| operand.stride == 0);
            let size = instruction.dtype.size();
            let dense_store = description.stores.iter().zip(&store_walks).position(|(store, walk)| {
                store.from == Register::Instruction(index) && !store.in_place && walk.inner == size as isize
            });
            let target = match dense_store {
                Some(store) if !scalar && !read_by_instructions[index] => {
                    direct[store] = true;
                    Target::Store(store)
                }
                _ => {
                    let slot = slots.take();
                    slots.of[index] = Some(slot);
                    Target::Slot(slot)
                }
            };
            let source = match target {
                Target::Slot(slot) => Source::Slot(slot),
                // Nobody reads it.
                Target::Store(_) => Source::Slot(0),
            };
            feeds.push(Feed { source, stride: if scalar { 0 } else { size as isize } });
            let scalars =
                |number: usize| !scalar && operands.get(number).is_some_and(|operand| operand.stride == 0);
            let dtypes = |number: usize| {
                instruction.operands.get(number).map(|&register| description.dtype_of(register))
            };
            let first = operands[0].source;
            instructions.push(Compiled {
                kernel: kernel_of(&instruction.op, dtypes, scalars),
                operands: std::array::from_fn(|number| {
                    operands.get(number).map_or(first, |operand| operand.source)
                }),
                target,
                scalar,
            });
            slots.release_after(index);
        }
        let feed = |register: Register| match register {
            Register::Input(input) => input_feeds[input],
            Register::Instruction(index) => feeds[index],
        };
        let stores = description
            .stores
            .iter()
            .zip(store_walks)
            .zip(direct)
            .map(|((store, to), direct)| Stored { feed: feed(store.from), to, direct })
            .collect();
        let reductions: Vec<Total> = description
            .reductions
            .iter()
            .zip(total_walks)
            .map(|(reduced, to)| Total { feed: feed(reduced.from), to, kind: reduced.kind })
            .collect();
        let blocks = axes.inner.div_ceil(BLOCK);
        let kept: usize = axes.outer[..axes.kept].iter().product();
        let reduced: usize = axes.outer[axes.kept..].iter().product();
        let (kept_units, reduced_units) =
            if axes.inner_reduced { (kept, reduced * blocks) } else { (kept * blocks, reduced) };
        let elements_per_unit = (reduced_units * axes.inner.min(BLOCK)).max(1);
        let units_per_task = (TASK_ELEMENTS / elements_per_unit).clamp(1, kept_units.max(1));
        let tasks = kept_units.div_ceil(units_per_task);
        let parts = if reductions.is_empty() || tasks >= 8 {
            1
        } else {
            (elements_per_unit / TASK_ELEMENTS).clamp(1, MOST_PARTS).min(reduced_units.max(1))
        };
        FusedLoop {
            kept_axes: axes.kept,
            inner: axes.inner,
            inner_reduced: axes.inner_reduced,
            outer: axes.outer,
            blocks,
            inputs,
            instructions,
            stores,
            reductions,
            slots: slots.count,
            slot_bytes: BLOCK.min(axes.inner) * 8,
            kept_units,
            reduced_units,
            units_per_task,
            parts,
        }
    }
}

/// The inner loop of an op, by the dtypes of its operands and which of them are single elements.
fn kernel_of(op: &Op, dtypes: impl Fn(usize) -> Option<DType>, scalars: impl Fn(usize) -> bool) -> InnerLoop {
    let isa = Isa::current();
    let first = dtypes(0).expect("an elementwise op has an operand");
    let pair = [scalars(0), scalars(1)];
    let kernel = match op {
        Op::Unary(unary) => unary_kernel(isa, *unary, first),
        Op::Binary(binary) => binary_kernel(isa, *binary, first, pair),
        Op::Compare(compare) => Some(compare_kernel(isa, *compare, first, pair)),
        Op::Select => {
            let dtype = dtypes(1).expect("select has three operands");
            Some(select_kernel(isa, dtype, [scalars(0), scalars(1), scalars(2)]))
        }
        Op::Cast(to) => Some(cast_kernel(isa, first, *to)),
        _ => None,
    };
    kernel.unwrap_or_else(|| unreachable!("only supported ops are fused, not {op:?} of {first}"))
}
