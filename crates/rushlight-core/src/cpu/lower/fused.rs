//! Fused nodes as loops over the memory that values were given.

use crate::cpu::kernels::fused::{Access, Instruction, LoopDescription, Reduced, Register, Store};
use crate::cpu::lower::place::{Layout, Place, in_lanes_space, lanes_space};
use crate::graph::{Fused, Operand};
use crate::ops::Op;
use crate::tensor::{Dims, Strides};
use smallvec::SmallVec;
use std::collections::HashMap;

/// A loop with the places that it reads and writes, in the order in which it wants their pointers.
pub(super) struct Loop {
    pub(super) description: LoopDescription,
    pub(super) inputs: Vec<Place>,
    pub(super) outputs: Vec<Place>,
}

/// How an input is read: through a broadcast of the body, or as it is.
type Reading = (usize, Option<usize>);

/// Strides of a place, repeated to the iteration space as the broadcast says.
fn strides_over(place: &Place, space: &Dims, lanes: bool) -> Strides {
    let strides = match &place.layout {
        Layout::Lanes { .. } => return place.strides_in_lanes_space(),
        Layout::Strided(strides) => strides,
    };
    let added = space.len() - place.dims.len();
    let wide: Strides = (0..space.len())
        .map(|axis| match axis.checked_sub(added) {
            Some(own) if place.dims[own] == space[axis] => strides[own],
            _ => 0,
        })
        .collect();
    if lanes { in_lanes_space(&wide) } else { wide }
}

/// Makes the loop of a fused node whose results go to the given places.
///
/// `in_place[k]`: result `k` takes over the memory of an input.
pub(super) fn make_loop(
    fused: &Fused,
    space: &Dims,
    lanes: bool,
    inputs: &[Place],
    results: &[Place],
    in_place: &[bool],
) -> Loop {
    let mut readings: HashMap<Reading, usize> = HashMap::new();
    let mut accesses = Vec::new();
    let mut read_places = Vec::new();
    let mut instructions = Vec::new();
    let mut registers: Vec<Option<Register>> = Vec::with_capacity(fused.body.len());
    let mut read = |input: usize, through: Option<usize>| {
        Register::Input(*readings.entry((input, through)).or_insert_with(|| {
            let place = &inputs[input];
            accesses.push(Access { dtype: place.dtype, strides: strides_over(place, space, lanes) });
            read_places.push(place.clone());
            accesses.len() - 1
        }))
    };
    for step in &fused.body {
        let operand =
            |operand: &Operand, read: &mut dyn FnMut(usize, Option<usize>) -> Register| match *operand {
                Operand::Input(input) => read(input, None),
                Operand::Body(earlier) => {
                    registers[earlier].expect("reductions are read by nobody in the body")
                }
            };
        let register = match &step.op {
            Op::Broadcast(_) => match step.inputs[0] {
                Operand::Input(input) => Some(read(input, Some(0))),
                Operand::Body(_) => unreachable!("only inputs are broadcast in a body"),
            },
            Op::Reduce(_) => None,
            op => {
                let operands = step.inputs.iter().map(|input| operand(input, &mut read)).collect();
                instructions.push(Instruction { op: op.clone(), operands, dtype: step.output.dtype });
                Some(Register::Instruction(instructions.len() - 1))
            }
        };
        registers.push(register);
    }
    let walk_dims = if lanes { lanes_space(space) } else { space.clone() };
    let mut reduced_axes: SmallVec<[bool; 6]> = SmallVec::from_elem(false, walk_dims.len());
    let (mut stores, mut store_places) = (Vec::new(), Vec::new());
    let (mut reductions, mut reduction_places) = (Vec::new(), Vec::new());
    for (number, (&body, place)) in fused.results.iter().zip(results).enumerate() {
        let step = &fused.body[body];
        if let Op::Reduce(reduce) = &step.op {
            let from = match step.inputs[0] {
                Operand::Input(input) => read(input, None),
                Operand::Body(earlier) => {
                    registers[earlier].expect("reductions are read by nobody in the body")
                }
            };
            let Layout::Strided(kept) = &place.layout else { unreachable!("reductions are strided") };
            let mut kept = kept.iter();
            let strides: Strides = (0..space.len())
                .map(|axis| if reduce.axes.contains(&axis) { 0 } else { *kept.next().expect("a kept axis") })
                .collect();
            let marks: Strides = (0..space.len()).map(|axis| reduce.axes.contains(&axis) as isize).collect();
            let marks = if lanes { in_lanes_space(&marks) } else { marks };
            reduced_axes = marks.iter().map(|&mark| mark != 0).collect();
            let strides = if lanes { in_lanes_space(&strides) } else { strides };
            reductions.push(Reduced {
                from,
                kind: reduce.kind,
                access: Access { dtype: place.dtype, strides },
            });
            reduction_places.push(place.clone());
        } else {
            let access = Access { dtype: place.dtype, strides: strides_over(place, space, lanes) };
            let from = registers[body].expect("not a reduction");
            stores.push(Store { from, access, in_place: in_place[number] });
            store_places.push(place.clone());
        }
    }
    store_places.append(&mut reduction_places);
    let description =
        LoopDescription { dims: walk_dims, inputs: accesses, instructions, stores, reductions, reduced_axes };
    Loop { description, inputs: read_places, outputs: store_places }
}

/// Whether a result may overwrite an input: it is stored at the end of a run, when only reductions still read.
pub(super) fn may_overwrite(fused: &Fused, input: usize) -> bool {
    !fused.body.iter().any(|step| matches!(step.op, Op::Reduce(_)) && step.inputs[0] == Operand::Input(input))
}
