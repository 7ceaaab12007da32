//! Fused loops over a single element: a list of instructions on registers, without a loop.
//!
//! Common arithmetic is done here, in the way that compiled Rust does it, which is that of the inner loops; all else
//! calls them for one element. The bits are the same.

use super::{LoopDescription, Register};
use crate::cpu::kernels::elementwise::kernel_of;
use crate::cpu::kernels::loops::InnerLoop;
use crate::cpu::scratch::with_scratch;
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Compare, Unary};
use crate::tensor::DType;
use smallvec::SmallVec;

/// What an instruction does with its operands, which are registers by number.
#[derive(Clone, Copy)]
enum Action {
    Add32,
    Sub32,
    Mul32,
    Div32,
    /// `a * b + c`, rounded twice.
    MulAdd32,
    /// The instructions behind this one, so many, are all `last * b + c`, of which only the last result is read.
    Chain32(u16),
    Square32,
    Neg32,
    Compare32(Compare),
    Add64,
    Sub64,
    Mul64,
    Div64,
    MulAdd64,
    Square64,
    Neg64,
    Compare64(Compare),
    AddInteger,
    SubInteger,
    CompareInteger(Compare),
    /// All of a register, whatever lies there.
    Copy,
    Loop(InnerLoop),
}

#[derive(Clone, Copy)]
struct Instruction {
    action: Action,
    operands: [u16; 3],
    result: u16,
}

/// A planned list of instructions.
pub(crate) struct ScalarLoop {
    /// Register and size of each input that is read from memory.
    loads: Vec<(u16, u8)>,
    instructions: Vec<Instruction>,
    /// Register and size of each output.
    stores: SmallVec<[(u16, u8); 4]>,
    /// The registers at the start: constants, and room for the rest.
    registers: Vec<u64>,
    names: Vec<&'static str>,
}

impl ScalarLoop {
    /// Plans a loop over one element, of whose inputs some are known; nothing if there are more elements, reductions
    /// or too many instructions. Inputs that are not known have to be given to [`ScalarLoop::run`], in order.
    pub(crate) fn new(description: &LoopDescription, known: &[Option<u64>]) -> Option<ScalarLoop> {
        let inputs = description.inputs.len();
        let count = inputs + description.instructions.len();
        let one = description.dims.iter().all(|&dim| dim == 1) && description.reductions.is_empty();
        if !one || count > usize::from(u16::MAX) {
            return None;
        }
        let number = |register: Register| description.number_of(register);
        let dtype = |register: usize| match register.checked_sub(inputs) {
            Some(instruction) => description.instructions[instruction].dtype,
            None => description.inputs[register].dtype,
        };
        let mut uses = vec![0; count];
        for instruction in &description.instructions {
            instruction.operands.iter().for_each(|&operand| uses[number(operand)] += 1);
        }
        description.stores.iter().for_each(|store| uses[number(store.from)] += 1);
        let mut planned = ScalarLoop {
            loads: Vec::new(),
            instructions: Vec::new(),
            stores: SmallVec::new(),
            registers: vec![0; count],
            names: description.names(),
        };
        for (register, known) in known.iter().enumerate() {
            match known {
                Some(bits) => planned.registers[register] = *bits,
                None => planned.loads.push((register as u16, dtype(register).size() as u8)),
            }
        }
        for (at, instruction) in description.instructions.iter().enumerate() {
            let operands: SmallVec<[usize; 3]> = instruction.operands.iter().map(|&x| number(x)).collect();
            let dtypes: SmallVec<[DType; 3]> = operands.iter().map(|&operand| dtype(operand)).collect();
            let mut registers = [0u16; 3];
            registers.iter_mut().zip(&operands).for_each(|(register, &operand)| *register = operand as u16);
            let result = (inputs + at) as u16;
            let action = action_of(&instruction.op, &dtypes)?;
            // A product that only the next sum reads becomes a part of it.
            let fused = match (action, planned.instructions.last()) {
                (Action::Add32, Some(last)) if matches!(last.action, Action::Mul32) => Some(Action::MulAdd32),
                (Action::Add64, Some(last)) if matches!(last.action, Action::Mul64) => Some(Action::MulAdd64),
                _ => None,
            };
            if let (Some(action), Some(last)) = (fused, planned.instructions.last_mut())
                && uses[usize::from(last.result)] == 1
                && registers[..2].contains(&last.result)
            {
                let other = if registers[0] == last.result { registers[1] } else { registers[0] };
                let operands = [last.operands[0], last.operands[1], other];
                *last = Instruction { action, operands, result };
                continue;
            }
            planned.instructions.push(Instruction { action, operands: registers, result });
        }
        for store in &description.stores {
            let register = number(store.from);
            planned.stores.push((register as u16, dtype(register).size() as u8));
        }
        planned.instructions = with_chains(planned.instructions, &uses);
        Some(planned)
    }

    /// The names of the ops.
    pub(crate) fn ops(&self) -> &[&'static str] {
        &self.names
    }

    /// Reads all inputs that were not known, computes, and writes all outputs.
    ///
    /// # Safety
    /// There must be a pointer for each of them, to one element of its dtype, aligned for it.
    #[inline]
    pub(crate) unsafe fn run(
        &self,
        inputs: impl Iterator<Item = *const u8>,
        outputs: impl Iterator<Item = *mut u8>,
    ) {
        const FEW: usize = 48;
        if self.registers.len() <= FEW {
            let mut registers = [0u64; FEW];
            registers[..self.registers.len()].copy_from_slice(&self.registers);
            // SAFETY: passed on to the caller; there are as many registers as planned.
            return unsafe { self.run_on(registers.as_mut_ptr(), inputs, outputs) };
        }
        with_scratch::<u64, _>(self.registers.len(), |registers| {
            // SAFETY: the scratch has room for all registers; the rest is passed on to the caller.
            unsafe {
                std::ptr::copy_nonoverlapping(self.registers.as_ptr(), registers, self.registers.len());
                self.run_on(registers, inputs, outputs);
            }
        });
    }

    /// # Safety
    /// As for [`ScalarLoop::run`], with registers as planned.
    #[inline(always)]
    unsafe fn run_on(
        &self,
        registers: *mut u64,
        inputs: impl Iterator<Item = *const u8>,
        outputs: impl Iterator<Item = *mut u8>,
    ) {
        // SAFETY: registers are numbered by what was planned and hold an element of the dtype that each
        // instruction reads, at its start; pointers are the caller's.
        unsafe {
            for (&(register, size), pointer) in self.loads.iter().zip(inputs) {
                copy(size, pointer, registers.add(register.into()).cast());
            }
            run_all(&self.instructions, registers);
            for (&(register, size), pointer) in self.stores.iter().zip(outputs) {
                copy(size, registers.add(register.into()).cast::<u8>(), pointer);
            }
        }
    }
}

/// From as many on, products and sums that follow each other are a chain.
const CHAIN: usize = 4;

/// Marks chains: what each link gives the next one then stays in a register of the machine.
fn with_chains(instructions: Vec<Instruction>, uses: &[usize]) -> Vec<Instruction> {
    let follows = |before: &Instruction, next: &Instruction| {
        let of_both = [before.action, next.action].iter().all(|action| matches!(action, Action::MulAdd32));
        of_both && next.operands[0] == before.result && uses[usize::from(before.result)] == 1
    };
    let mut marked = Vec::with_capacity(instructions.len() + 1);
    let mut rest = &instructions[..];
    while let Some(first) = rest.first() {
        let links = 1 + rest.windows(2).take_while(|pair| follows(&pair[0], &pair[1])).count();
        if links >= CHAIN {
            marked.push(Instruction { action: Action::Chain32(links as u16), ..*first });
        }
        marked.extend_from_slice(&rest[..links]);
        rest = &rest[links..];
    }
    marked
}

/// # Safety
/// The registers must be those that the instructions were planned for.
#[inline(always)]
unsafe fn run_all(instructions: &[Instruction], registers: *mut u64) {
    let mut rest = instructions.iter();
    while let Some(instruction) = rest.next() {
        let Action::Chain32(links) = instruction.action else {
            // SAFETY: passed on to the caller.
            unsafe { instruction.run(registers) };
            continue;
        };
        let at = |number: u16| registers.wrapping_add(number.into()).cast::<f32>();
        // SAFETY: the links are instructions on registers of `f32`.
        unsafe {
            let mut last = *at(instruction.operands[0]);
            let mut result = instruction.result;
            for link in rest.by_ref().take(links.into()) {
                last = last * *at(link.operands[1]) + *at(link.operands[2]);
                result = link.result;
            }
            *at(result) = last;
        }
    }
}

/// Several planned lists one after the other, on registers that they share.
#[derive(Default)]
pub(crate) struct ScalarList {
    instructions: Vec<Instruction>,
    /// The registers at the start.
    registers: Vec<u64>,
}

impl ScalarList {
    /// The number of registers.
    pub(crate) fn registers(&self) -> usize {
        self.registers.len()
    }

    /// A further register, if there are numbers left, with these bits at the start.
    pub(crate) fn register(&mut self, bits: u64) -> Option<u16> {
        let number = u16::try_from(self.registers.len()).ok()?;
        self.registers.push(bits);
        Some(number)
    }

    pub(crate) fn copy(&mut self, from: u16, to: u16) {
        self.instructions.push(Instruction { action: Action::Copy, operands: [from; 3], result: to });
    }

    /// Adds a list, whose inputs and outputs are these registers; nothing if there are too many.
    pub(crate) fn append(&mut self, scalars: &ScalarLoop, inputs: &[u16], outputs: &[u16]) -> Option<()> {
        let base = u16::try_from(self.registers.len()).ok()?;
        base.checked_add(u16::try_from(scalars.registers.len()).ok()?)?;
        self.registers.extend(&scalars.registers);
        // By register of the list: which one stands for it here.
        let mut moved: Vec<u16> =
            (0..scalars.registers.len() as u16).map(|register| base + register).collect();
        for (&(register, _), &input) in scalars.loads.iter().zip(inputs) {
            moved[usize::from(register)] = input;
        }
        // What is computed goes straight to its output, unless an input is there that may still be read.
        for (&(register, _), &output) in scalars.stores.iter().zip(outputs) {
            let is_computed = scalars.instructions.iter().any(|instruction| instruction.result == register);
            if is_computed && moved[usize::from(register)] == base + register && !inputs.contains(&output) {
                moved[usize::from(register)] = output;
            }
        }
        let place = |register: u16| moved[usize::from(register)];
        for &Instruction { action, operands, result } in &scalars.instructions {
            let (operands, result) = (operands.map(place), place(result));
            self.instructions.push(Instruction { action, operands, result });
        }
        for (&(register, _), &output) in scalars.stores.iter().zip(outputs) {
            if place(register) != output {
                self.copy(place(register), output);
            }
        }
        Some(())
    }

    /// Writes to all registers what they hold at the start.
    ///
    /// # Safety
    /// There must be as many as [`ScalarList::registers`] says, as also for [`ScalarList::run`].
    pub(crate) unsafe fn begin(&self, registers: *mut u64) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(self.registers.as_ptr(), registers, self.registers.len()) }
    }

    /// # Safety
    /// The registers must have been begun with.
    #[inline]
    pub(crate) unsafe fn run(&self, registers: *mut u64) {
        // SAFETY: instructions were planned for registers of these numbers.
        unsafe { run_all(&self.instructions, registers) }
    }
}

/// # Safety
/// Both must be valid for an element of that size and aligned to it.
#[inline(always)]
unsafe fn copy(size: u8, from: *const u8, to: *mut u8) {
    // SAFETY: passed on to the caller.
    unsafe {
        match size {
            1 => *to = *from,
            2 => *to.cast::<u16>() = *from.cast::<u16>(),
            4 => *to.cast::<u32>() = *from.cast::<u32>(),
            _ => *to.cast::<u64>() = *from.cast::<u64>(),
        }
    }
}

#[inline(always)]
fn compare<T: PartialOrd>(compare: Compare, a: T, b: T) -> u8 {
    u8::from(match compare {
        Compare::Equal => a == b,
        Compare::NotEqual => a != b,
        Compare::Less => a < b,
        Compare::LessEqual => a <= b,
        Compare::Greater => a > b,
        Compare::GreaterEqual => a >= b,
    })
}

impl Instruction {
    /// # Safety
    /// The registers must be those that the instruction was planned for.
    #[inline(always)]
    unsafe fn run(&self, registers: *mut u64) {
        let at = |number: u16| registers.wrapping_add(number.into());
        let [a, b, c] = self.operands.map(at);
        let out = at(self.result);
        // SAFETY: each register holds an element of the dtype that was planned, at its start.
        unsafe {
            let (a32, b32, c32) = (a.cast::<f32>(), b.cast::<f32>(), c.cast::<f32>());
            let (a64, b64, c64) = (a.cast::<f64>(), b.cast::<f64>(), c.cast::<f64>());
            let (ai, bi) = (a.cast::<i64>(), b.cast::<i64>());
            let (out32, out64, flag) = (out.cast::<f32>(), out.cast::<f64>(), out.cast::<u8>());
            match self.action {
                Action::Add32 => *out32 = *a32 + *b32,
                Action::Sub32 => *out32 = *a32 - *b32,
                Action::Mul32 => *out32 = *a32 * *b32,
                Action::Div32 => *out32 = *a32 / *b32,
                Action::MulAdd32 => *out32 = *a32 * *b32 + *c32,
                Action::Square32 => *out32 = *a32 * *a32,
                Action::Neg32 => *out32 = -*a32,
                Action::Compare32(kind) => *flag = compare(kind, *a32, *b32),
                Action::Add64 => *out64 = *a64 + *b64,
                Action::Sub64 => *out64 = *a64 - *b64,
                Action::Mul64 => *out64 = *a64 * *b64,
                Action::Div64 => *out64 = *a64 / *b64,
                Action::MulAdd64 => *out64 = *a64 * *b64 + *c64,
                Action::Square64 => *out64 = *a64 * *a64,
                Action::Neg64 => *out64 = -*a64,
                Action::Compare64(kind) => *flag = compare(kind, *a64, *b64),
                Action::AddInteger => *out.cast::<i64>() = (*ai).wrapping_add(*bi),
                Action::SubInteger => *out.cast::<i64>() = (*ai).wrapping_sub(*bi),
                Action::CompareInteger(kind) => *flag = compare(kind, *ai, *bi),
                Action::Copy => *out = *a,
                Action::Chain32(_) => unreachable!("a chain runs as a whole"),
                Action::Loop(kernel) => {
                    kernel(
                        1,
                        out.cast(),
                        a.cast_const().cast(),
                        b.cast_const().cast(),
                        c.cast_const().cast(),
                    );
                }
            }
        }
    }
}

fn action_of(op: &Op, dtypes: &[DType]) -> Option<Action> {
    let known = match (op, dtypes[0]) {
        (Op::Binary(Binary::Add), DType::F32) => Action::Add32,
        (Op::Binary(Binary::Sub), DType::F32) => Action::Sub32,
        (Op::Binary(Binary::Mul), DType::F32) => Action::Mul32,
        (Op::Binary(Binary::Div), DType::F32) => Action::Div32,
        (Op::Unary(Unary::Square), DType::F32) => Action::Square32,
        (Op::Unary(Unary::Neg), DType::F32) => Action::Neg32,
        (Op::Compare(kind), DType::F32) => Action::Compare32(*kind),
        (Op::Binary(Binary::Add), DType::F64) => Action::Add64,
        (Op::Binary(Binary::Sub), DType::F64) => Action::Sub64,
        (Op::Binary(Binary::Mul), DType::F64) => Action::Mul64,
        (Op::Binary(Binary::Div), DType::F64) => Action::Div64,
        (Op::Unary(Unary::Square), DType::F64) => Action::Square64,
        (Op::Unary(Unary::Neg), DType::F64) => Action::Neg64,
        (Op::Compare(kind), DType::F64) => Action::Compare64(*kind),
        (Op::Binary(Binary::Add), DType::I64) => Action::AddInteger,
        (Op::Binary(Binary::Sub), DType::I64) => Action::SubInteger,
        (Op::Compare(kind), DType::I64) => Action::CompareInteger(*kind),
        _ => Action::Loop(kernel_of(op, dtypes, [false; 3])?),
    };
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::fused::{Access, FusedLoop, Instruction, Store};
    use smallvec::smallvec;

    /// A polynomial by Horner's rule, whose links are a chain, with the number of another instruction in between.
    #[test]
    fn chains_have_the_bits_of_loops() {
        let access = || Access { dtype: DType::F32, strides: smallvec![1] };
        for links in [1, 3, 4, 9, 100] {
            let mut instructions: Vec<Instruction> = Vec::new();
            let mut push = |op, a, b| {
                instructions.push(Instruction {
                    op: Op::Binary(op),
                    operands: smallvec![a, b],
                    dtype: DType::F32,
                });
                Register::Instruction(instructions.len() - 1)
            };
            let (x, y) = (Register::Input(0), Register::Input(1));
            let mut last = push(Binary::Sub, x, y);
            let middle = last;
            for link in 0..links {
                let product = push(Binary::Mul, last, if link % 3 == 0 { x } else { y });
                last = push(Binary::Add, product, if link == links / 2 { middle } else { x });
            }
            let stores = vec![Store { from: last, access: access(), in_place: false }];
            let description = LoopDescription {
                dims: smallvec![1],
                inputs: vec![access(), access()],
                instructions,
                stores,
                reductions: vec![],
                reduced_axes: smallvec![false],
            };
            let planned = ScalarLoop::new(&description, &[None, None]).unwrap();
            let is_chain =
                |instruction: &super::Instruction| matches!(instruction.action, Action::Chain32(_));
            assert_eq!(
                planned.instructions.iter().filter(|i| is_chain(i)).count(),
                usize::from(links >= CHAIN)
            );
            let (a, b, mut got, mut expected) = (0.7f32, -0.4f32, 0f32, 0f32);
            let inputs = [(&raw const a).cast::<u8>(), (&raw const b).cast::<u8>()];
            // SAFETY: two numbers are read and one is written.
            unsafe {
                planned.run(inputs.into_iter(), [(&raw mut got).cast::<u8>()].into_iter());
                FusedLoop::new(&description).run(&inputs, &[(&raw mut expected).cast::<u8>()]);
            }
            assert_eq!(got.to_bits(), expected.to_bits(), "{links}");
        }
    }

    /// A chain of every action on two inputs and a constant, against the loop that it stands for, bit by bit.
    #[test]
    fn scalars_have_the_bits_of_loops() {
        for dtype in [DType::F32, DType::F64, DType::I64] {
            let mut ops = vec![Op::Binary(Binary::Add), Op::Binary(Binary::Sub), Op::Binary(Binary::Mul)];
            ops.extend([Op::Binary(Binary::Add), Op::Binary(Binary::Div), Op::Unary(Unary::Neg)]);
            ops.extend([Op::Unary(Unary::Square), Op::Binary(Binary::Max)]);
            if dtype != DType::I64 {
                ops.push(Op::Unary(Unary::Tanh));
            }
            let mut instructions: Vec<Instruction> = Vec::new();
            for (at, op) in ops.iter().enumerate() {
                let last = if at == 0 { Register::Input(0) } else { Register::Instruction(at - 1) };
                let operands = match op {
                    Op::Unary(_) => smallvec![last],
                    _ => smallvec![last, Register::Input(1 + at % 2)],
                };
                instructions.push(Instruction { op: op.clone(), operands, dtype });
            }
            let compares = [Compare::Less, Compare::Equal, Compare::GreaterEqual].map(|kind| Instruction {
                op: Op::Compare(kind),
                operands: smallvec![Register::Input(0), Register::Input(1)],
                dtype: DType::Bool,
            });
            instructions.extend(compares);
            let access = |dtype| Access { dtype, strides: smallvec![1] };
            let stores = (0..instructions.len())
                .filter(|at| (at % 2 == 0 && *at != 2) || *at > 7)
                .map(|at| Store {
                    from: Register::Instruction(at),
                    access: access(instructions[at].dtype),
                    in_place: false,
                })
                .collect::<Vec<_>>();
            let description = LoopDescription {
                dims: smallvec![1],
                inputs: vec![access(dtype); 3],
                instructions,
                stores,
                reductions: Vec::new(),
                reduced_axes: smallvec![false],
            };
            let inputs: [u64; 3] = match dtype {
                DType::F32 => [1.7f32, -0.3, 2.9].map(|x| u64::from(x.to_bits())),
                DType::F64 => [1.7f64, -0.3, 2.9].map(f64::to_bits),
                _ => [7u64, 3, 5],
            };
            let pointers = inputs.each_ref().map(|input| std::ptr::from_ref(input).cast::<u8>());
            let mut expected = vec![0u64; description.stores.len()];
            let mut got = vec![0u64; description.stores.len()];
            let outputs = |values: &mut [u64]| -> Vec<*mut u8> {
                values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect()
            };
            let scalars = ScalarLoop::new(&description, &[None, Some(inputs[1]), None]).expect("one element");
            // SAFETY: each pointer is to eight bytes of its own.
            unsafe {
                FusedLoop::new(&description).run(&pointers, &outputs(&mut expected));
                let given = [pointers[0], pointers[2]];
                scalars.run(given.into_iter(), outputs(&mut got).into_iter());
            }
            assert_eq!(got, expected, "{dtype}");
        }
    }
}
