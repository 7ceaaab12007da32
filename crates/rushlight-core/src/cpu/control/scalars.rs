//! Loops whose turns are nothing but instructions on single elements.

use crate::cpu::kernels::fused::ScalarList;
use crate::cpu::lower::Lowered;
use crate::cpu::lower::place::{Place, Storage};
use crate::cpu::scratch::with_scratch;
use crate::cpu::steps::Work;
use crate::graph::Constant;
use crate::ops::control::Loop;
use std::collections::HashMap;

/// The body of a loop as one list of instructions: from turn to turn, what it carries stays on registers.
pub(super) struct ScalarTurns {
    list: ScalarList,
    turn: u16,
    again: Option<u16>,
    /// Register and size of each carried and each captured value.
    carried: Vec<(u16, u8)>,
    captured: Vec<(u16, u8)>,
}

impl ScalarTurns {
    /// Nothing if the body does anything else, or if the loop goes through rows or stacks them.
    pub(super) fn new(op: &Loop, body: &Lowered) -> Option<ScalarTurns> {
        if op.sliced + op.stacked > 0 {
            return None;
        }
        let mut registers = Registers { list: ScalarList::default(), known: HashMap::new(), body };
        let turn = registers.of(Storage::Input(0))?;
        let size = |number: usize| body_size(op, number);
        let mut carried = Vec::new();
        for number in 0..op.carried {
            carried.push((registers.of(Storage::Variable(number))?, size(1 + number)?));
        }
        let mut captured = Vec::new();
        for number in 1 + op.carried..op.body.inputs.len() {
            captured.push((registers.of(Storage::Input(number))?, size(number)?));
        }
        for step in &body.steps {
            let mut all = |places: &[Place]| {
                places.iter().map(|place| registers.of_place(place)).collect::<Option<Vec<u16>>>()
            };
            let (inputs, outputs) = (all(&step.inputs)?, all(&step.outputs)?);
            match &step.work {
                Work::Scalars(scalars) => registers.list.append(scalars, &inputs, &outputs)?,
                Work::Move(_) => registers.list.copy(inputs[0], outputs[0]),
                _ => return None,
            }
        }
        let again = if op.has_condition() { Some(registers.of(Storage::Output(0))?) } else { None };
        Some(ScalarTurns { list: registers.list, turn, again, carried, captured })
    }

    /// Runs all turns, at most as many as given; `turn_at` numbers them. Returns how many there were.
    ///
    /// # Safety
    /// The pointers must be good for the carried and captured values, aligned for their dtypes.
    pub(super) unsafe fn run(
        &self,
        carried: &[*mut u8],
        captured: impl Iterator<Item = *const u8>,
        first: bool,
        most: Option<usize>,
        turn_at: impl Fn(usize) -> i64,
    ) -> usize {
        with_scratch::<u64, _>(self.list.registers(), |registers| {
            let at = |number: u16| registers.wrapping_add(number.into());
            // SAFETY: there are as many registers as planned, of eight bytes each; the pointers are the caller's.
            unsafe {
                self.list.begin(registers);
                for (&(register, size), &pointer) in self.carried.iter().zip(carried) {
                    std::ptr::copy_nonoverlapping(pointer.cast_const(), at(register).cast(), size.into());
                }
                for (&(register, size), pointer) in self.captured.iter().zip(captured) {
                    std::ptr::copy_nonoverlapping(pointer, at(register).cast(), size.into());
                }
                let (mut turns, mut goes_on) = (0, first);
                while goes_on && most.is_none_or(|most| turns < most) {
                    *at(self.turn).cast::<i64>() = turn_at(turns);
                    self.list.run(registers);
                    goes_on = self.again.is_none_or(|again| *at(again).cast::<u8>() != 0);
                    turns += 1;
                }
                for (&(register, size), &pointer) in self.carried.iter().zip(carried) {
                    std::ptr::copy_nonoverlapping(at(register).cast::<u8>(), pointer, size.into());
                }
                turns
            }
        })
    }
}

/// Bytes of an input of the body that is one element.
fn body_size(op: &Loop, number: usize) -> Option<u8> {
    let spec = op.body.spec(op.body.inputs[number]);
    (spec.count() == 1).then(|| spec.dtype.size() as u8)
}

/// Gives each memory of the body a register.
struct Registers<'a> {
    list: ScalarList,
    known: HashMap<Storage, u16>,
    body: &'a Lowered,
}

impl Registers<'_> {
    fn of_place(&mut self, place: &Place) -> Option<u16> {
        let is_one = place.offset == 0 && place.dims.iter().all(|&dim| dim == 1);
        if is_one { self.of(place.storage) } else { None }
    }

    fn of(&mut self, storage: Storage) -> Option<u16> {
        if let Some(&known) = self.known.get(&storage) {
            return Some(known);
        }
        let bits = match storage {
            Storage::Constant(number) => {
                let bits = Constant(self.body.constants[number].clone()).scalar()?;
                u64::from_ne_bytes(bits.to_le_bytes())
            }
            _ => 0,
        };
        let register = self.list.register(bits)?;
        self.known.insert(storage, register);
        Some(register)
    }
}
