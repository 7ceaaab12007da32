//! From a description to a loop that runs.

use super::LoopDescription;
use super::block::{Access, Blocks, Outer};
use super::program::{Facts, Program, Step};
use super::reduction::Plan;
use crate::cpu::kernels::axes::collapse;
use crate::ops::Op;
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Dims, Strides};
use smallvec::{SmallVec, smallvec};

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;
/// Points that one task computes at least.
const TASK: usize = 32 * 1024;
/// The most tasks, and the most parts that a reduction of the same outputs is split into.
const TASKS: usize = 128;
const PARTS: usize = 64;

/// Registers and places that a task of one block keeps on the stack.
pub(super) const FEW_BYTES: usize = 4096;
pub(super) const FEW_PLACES: usize = 32;

/// Inputs of at least this many bytes are fetched from memory ahead of their use.
const LARGE: usize = 128 * 1024;

/// A block of a strided operand: its axes, with those that can be merged merged.
pub(super) struct Layout {
    pub(super) dims: Dims,
    pub(super) strides: Strides,
}

impl Layout {
    fn new(block: Dims, strides: &[isize]) -> Layout {
        let mut dims = block;
        let mut strides = [strides.into()];
        collapse(&mut dims, &mut strides);
        let [strides] = strides;
        Layout { dims, strides }
    }
}

/// An input or output: how it moves from block to block, in bytes.
pub(super) struct Operand {
    pub(super) size: usize,
    /// For each outer axis the way from its last index in one round to the first in the next of the axis outside,
    /// that is: what to add when this axis advances and all inside of it start again.
    pub(super) advance: Vec<isize>,
    /// What to add for each index of an outer axis.
    pub(super) steps: Vec<isize>,
    /// In a whole block and in the last one of its axis, for strided operands.
    pub(super) layouts: Option<[Layout; 2]>,
}

/// A register, by number, and the output it goes to.
pub(super) struct Goal {
    pub(super) register: usize,
    pub(super) kind: Option<Reduction>,
    pub(super) in_place: bool,
    pub(super) dtype: DType,
    /// Over the space as described.
    pub(super) strides: Strides,
}

/// An instruction with its operands by number.
pub(super) struct Numbered {
    pub(super) op: Op,
    pub(super) operands: SmallVec<[usize; 3]>,
}

/// What an output is.
pub(super) enum Output {
    Store,
    /// With the place of its accumulators among those of a call.
    Reduction {
        plan: Box<Plan>,
        offset: usize,
    },
}

/// What is fetched into the nearest cache while the block before is computed.
///
/// A block is about a page long, and the machine's own prefetching ends with the page.
pub(super) struct Ahead {
    pub(super) inputs: Vec<usize>,
    /// Cache lines fetched before each step, so that all are under way when the block ends.
    pub(super) lines: usize,
}

/// How the blocks are shared among tasks.
pub(super) struct Split {
    /// Parts of the blocks that differ in their outputs, and of those that reduce to the same.
    pub(super) kept: usize,
    pub(super) parts: usize,
}

/// A planned loop over elements; see the [module](super). Its outputs are the stores, then the reductions.
pub(crate) struct FusedLoop {
    pub(super) inputs: usize,
    /// The sizes of the space as described, and which of its axes are reduced.
    pub(super) described: (Dims, SmallVec<[bool; 6]>),
    pub(super) goals: Vec<Goal>,
    pub(super) blocks: Blocks,
    pub(super) outer: Outer,
    /// Inputs, then outputs (for a reduction its accumulators).
    pub(super) operands: Vec<Operand>,
    pub(super) outputs: Vec<Output>,
    pub(super) program: Program,
    pub(super) split: Split,
    pub(super) ahead: Ahead,
    /// Bytes of the accumulators of all parts.
    pub(super) accumulators: usize,
    pub(super) empty: bool,
    /// One block of calls on few elements, see [`FusedLoop::run`].
    pub(super) is_one_block: bool,
    /// What is computed, for listings and profiles.
    names: Vec<&'static str>,
}

/// The dtype that values are reduced in.
fn reduced_in(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

impl FusedLoop {
    /// Plans the loop for the instruction set of this machine.
    ///
    /// Ops and reductions must be defined for the dtypes of their operands, as the shape rules see to.
    pub(crate) fn new(description: &LoopDescription) -> FusedLoop {
        let (goals, instructions, dtypes) = numbered(description);
        let empty = description.dims.contains(&0);
        let (mut dims, mut strides) = (description.dims.clone(), Vec::new());
        strides.extend(description.inputs.iter().map(|input| input.strides.clone()));
        strides.extend(goals.iter().map(|goal| goal.strides.clone()));
        if empty {
            dims = smallvec![1];
            strides.iter_mut().for_each(|strides: &mut Strides| *strides = smallvec![0]);
        }
        collapse_operands(&mut dims, &mut strides);
        let blocks = Blocks::new(&dims);
        let (inputs, outputs) = strides.split_at(description.inputs.len());
        let reduces = |axis: usize| {
            let mut reduced = goals.iter().zip(outputs).filter(|(goal, _)| goal.kind.is_some());
            dims[axis] > 1 && reduced.any(|(_, strides)| strides[axis] == 0)
        };
        let outer = Outer::new(&dims, &blocks, |axis| !reduces(axis));
        let access =
            |strides: &Strides| Access::of(&blocks.dims(&dims, blocks.tile), &strides[blocks.axis..]);
        let input_access: Vec<Access> = inputs.iter().map(access).collect();
        let output_access: Vec<Access> = outputs.iter().map(access).collect();
        let operand = |dtype: DType, strides: &Strides, strided: bool| {
            Operand::new(dtype.size(), strides, strided, &dims, &blocks, &outer)
        };
        let mut operands: Vec<Operand> = (0..inputs.len())
            .map(|i| operand(dtypes[i], &inputs[i], input_access[i] == Access::Strided))
            .collect();
        let mut planned = Vec::new();
        for (i, goal) in goals.iter().enumerate() {
            let Some(kind) = goal.kind else {
                planned.push(Output::Store);
                operands.push(operand(goal.dtype, &outputs[i], output_access[i] == Access::Strided));
                continue;
            };
            let plan = Plan::new(kind, dtypes[goal.register], goal.dtype, &dims, &outputs[i], &blocks);
            operands.push(operand(plan.accumulator, &plan.strides, false));
            planned.push(Output::Reduction { plan: Box::new(plan), offset: 0 });
        }
        let split = Split::new(dims.iter().product(), &outer, &planned);
        let program = Program::new(&Facts {
            instructions: &instructions,
            goals: &goals,
            dtypes: &dtypes,
            inputs: &input_access,
            outputs: &output_access,
            points: blocks.points(),
        });
        let is_one_block = outer.count() == 1
            && program.gathers.is_empty()
            && program.memory <= FEW_BYTES
            && operands.len() + program.fixed.len() <= FEW_PLACES
            && program.steps.iter().all(|step| matches!(step, Step::Call(_)));
        let points: usize = dims.iter().product();
        let large = |&i: &usize| input_access[i] == Access::Dense && points * dtypes[i].size() >= LARGE;
        let large: Vec<usize> = (0..input_access.len()).filter(large).collect();
        let bytes: usize = large.iter().map(|&i| blocks.points() * dtypes[i].size()).sum();
        let lines = bytes.div_ceil(LINE).div_ceil(program.steps.len().max(1));
        FusedLoop {
            ahead: Ahead { inputs: large, lines },
            inputs: description.inputs.len(),
            described: (description.dims.clone(), description.reduced_axes.clone()),
            accumulators: place_accumulators(&mut planned, &split),
            outputs: planned,
            goals,
            program,
            blocks,
            outer,
            operands,
            split,
            empty,
            is_one_block,
            names: description.names(),
        }
    }

    /// The names of the ops, those that reduce last.
    pub(crate) fn ops(&self) -> &[&'static str] {
        &self.names
    }

    /// Points of the iteration space.
    pub(crate) fn points(&self) -> usize {
        self.described.0.iter().product()
    }
}

/// Outputs and instructions by number, and the dtypes of all registers; 16-bit floats are widened to be reduced.
fn numbered(description: &LoopDescription) -> (Vec<Goal>, Vec<Numbered>, Vec<DType>) {
    let mut instructions: Vec<Numbered> = Vec::with_capacity(description.instructions.len());
    let mut dtypes: Vec<DType> = description.inputs.iter().map(|input| input.dtype).collect();
    for instruction in &description.instructions {
        let operands = instruction.operands.iter().map(|&register| description.number_of(register)).collect();
        instructions.push(Numbered { op: instruction.op.clone(), operands });
        dtypes.push(instruction.dtype);
    }
    let stores = description.stores.iter().map(|store| Goal {
        register: description.number_of(store.from),
        kind: None,
        in_place: store.in_place,
        dtype: store.access.dtype,
        strides: store.access.strides.clone(),
    });
    let mut goals: Vec<Goal> = stores.collect();
    for reduced in &description.reductions {
        let mut register = description.number_of(reduced.from);
        let wide = reduced_in(dtypes[register]);
        if wide != dtypes[register] {
            instructions.push(Numbered { op: Op::Cast(wide), operands: smallvec![register] });
            dtypes.push(wide);
            register = dtypes.len() - 1;
        }
        goals.push(Goal {
            register,
            kind: Some(reduced.kind),
            in_place: false,
            dtype: reduced.access.dtype,
            strides: reduced.access.strides.clone(),
        });
    }
    (goals, instructions, dtypes)
}

fn collapse_operands(dims: &mut Dims, strides: &mut [Strides]) {
    collapse(dims, strides);
    if dims.as_slice() == [1] {
        strides.iter_mut().for_each(|strides| strides[0] = 0);
    }
}

/// Gives each reduction its place among the accumulators of a call; returns the bytes of all.
fn place_accumulators(outputs: &mut [Output], split: &Split) -> usize {
    let mut end = 0;
    for output in outputs {
        if let Output::Reduction { plan, offset } = output {
            *offset = end;
            end += (plan.accumulators * split.parts * plan.accumulator.size()).next_multiple_of(64);
        }
    }
    end
}

impl Operand {
    fn new(
        size: usize,
        strides: &Strides,
        strided: bool,
        dims: &[usize],
        blocks: &Blocks,
        outer: &Outer,
    ) -> Operand {
        let bytes = size as isize;
        let steps: Vec<isize> = outer.steps(strides).iter().map(|&step| step * bytes).collect();
        let advance = (0..steps.len())
            .map(|axis| {
                let back: isize =
                    (axis + 1..steps.len()).map(|i| steps[i] * (outer.dims[i] as isize - 1)).sum();
                steps[axis] - back
            })
            .collect();
        let layout = |tile: usize| Layout::new(blocks.dims(dims, tile), &strides[blocks.axis..]);
        let layouts = strided.then(|| [layout(blocks.tile), layout(blocks.last_tile)]);
        Operand { size, advance, steps, layouts }
    }
}

impl Split {
    fn new(points: usize, outer: &Outer, outputs: &[Output]) -> Split {
        let tasks = (points / TASK).clamp(1, TASKS);
        let kept = outer.kept.min(tasks);
        let accumulators: usize = outputs
            .iter()
            .map(|output| match output {
                Output::Store => 0,
                Output::Reduction { plan, .. } => plan.accumulators,
            })
            .sum();
        // The accumulators of all parts together stay small beside the work.
        let affordable = (points / 4 + 4096) / accumulators.max(1);
        let reduced = outer.count() / outer.kept.max(1);
        Split { kept, parts: (tasks / kept).min(PARTS).min(affordable).min(reduced).max(1) }
    }
}
