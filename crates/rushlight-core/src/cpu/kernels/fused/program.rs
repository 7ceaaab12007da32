//! From instructions to calls of inner loops: which register lies where, and what is a scalar.

use super::block::Access;
use super::plan::{Goal, Numbered};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::elementwise::kernel_of;
use crate::cpu::kernels::loops::{InnerLoop, Joined, copy_kernel, multiply_add_kernel, splat_kernel};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use crate::tensor::DType;
use smallvec::SmallVec;

/// A place in the table of pointers that a task works with.
///
/// The first places move from block to block: one for each input and each output. The others stay.
pub(crate) type Place = u16;

/// A call of an inner loop.
pub(crate) struct Call {
    pub(crate) kernel: InnerLoop,
    pub(crate) out: Place,
    pub(crate) operands: [Place; 3],
}

pub(crate) enum Step {
    Call(Call),
    /// Copies a register to an output that is not dense.
    Scatter {
        output: usize,
        from: Place,
    },
    /// An output takes in a register.
    Reduce {
        output: usize,
        from: Place,
    },
}

/// The calls for one block.
pub(crate) struct Program {
    /// Inputs that are copied to a dense register first.
    pub(crate) gathers: Vec<(usize, Place)>,
    /// On single elements, when the block is the first with its uniform operands.
    pub(crate) uniform: Vec<Call>,
    pub(crate) steps: Vec<Step>,
    /// Where in the scratch memory of a task each of the places is that stay.
    pub(crate) fixed: Vec<usize>,
    /// Bytes of scratch memory.
    pub(crate) memory: usize,
}

/// The number of an input, or of an instruction's result behind all inputs.
type Register = usize;

/// What the planner knows.
pub(crate) struct Facts<'a> {
    pub(crate) instructions: &'a [Numbered],
    pub(crate) goals: &'a [Goal],
    pub(crate) dtypes: &'a [DType],
    pub(crate) inputs: &'a [Access],
    pub(crate) outputs: &'a [Access],
    /// The most points of a block.
    pub(crate) points: usize,
}

enum Action<'a> {
    Apply(&'a Op),
    MultiplyAdd(Joined),
}

struct Node<'a> {
    action: Action<'a>,
    operands: SmallVec<[Register; 3]>,
    result: Register,
}

impl Program {
    pub(crate) fn new(facts: &Facts) -> Program {
        let mut planner = Planner::new(facts);
        planner.emit();
        planner.program
    }
}

struct Planner<'a> {
    facts: &'a Facts<'a>,
    /// Whether a register is one element for the whole block.
    scalars: Vec<bool>,
    places: Vec<Option<Place>>,
    /// Registers that are copies of a scalar for the whole block, by register.
    splats: Vec<Option<Place>>,
    /// Free scratch registers: size and place.
    free: Vec<(usize, Place)>,
    /// The size of the scratch register of a place that may be given back.
    returnable: Vec<Option<usize>>,
    program: Program,
}

impl<'a> Planner<'a> {
    fn new(facts: &'a Facts<'a>) -> Planner<'a> {
        let registers = facts.dtypes.len();
        let program = Program {
            gathers: Vec::new(),
            uniform: Vec::new(),
            steps: Vec::new(),
            fixed: Vec::new(),
            memory: 0,
        };
        let mut scalars: Vec<bool> = facts.inputs.iter().map(|&access| access == Access::Uniform).collect();
        for instruction in facts.instructions {
            scalars.push(instruction.operands.iter().all(|&operand| scalars[operand]));
        }
        let mut places: Vec<Option<Place>> = (0..facts.inputs.len()).map(|i| Some(i as Place)).collect();
        places.resize(registers, None);
        Planner {
            facts,
            scalars,
            places,
            splats: vec![None; registers],
            free: Vec::new(),
            returnable: Vec::new(),
            program,
        }
    }

    fn moving(&self) -> usize {
        self.facts.inputs.len() + self.facts.outputs.len()
    }

    fn output_place(&self, output: usize) -> Place {
        (self.facts.inputs.len() + output) as Place
    }

    /// Scratch memory for `points` elements, reused if one of the size is free.
    fn scratch(&mut self, dtype: DType, points: usize, reusable: bool) -> Place {
        let size = (points * dtype.size()).next_multiple_of(64);
        if let Some(found) = self.free.iter().position(|&(free, _)| reusable && free == size) {
            return self.free.swap_remove(found).1;
        }
        self.program.fixed.push(self.program.memory);
        self.returnable.push(reusable.then_some(size));
        // The gap keeps registers from lying at the same offset of a page, which slows loads behind stores.
        self.program.memory += size + if points > 1 { 192 } else { 0 };
        (self.moving() + self.program.fixed.len() - 1) as Place
    }

    fn give_back(&mut self, place: Place) {
        if let Some(fixed) = (place as usize).checked_sub(self.moving())
            && let Some(size) = self.returnable[fixed]
            && !self.free.contains(&(size, place))
        {
            self.free.push((size, place));
        }
    }

    /// How often instructions and outputs read each register; an output counts as more than one.
    fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.facts.dtypes.len()];
        self.facts.goals.iter().for_each(|goal| uses[goal.register] += 2);
        for (i, instruction) in self.facts.instructions.iter().enumerate().rev() {
            if uses[self.facts.inputs.len() + i] > 0 {
                instruction.operands.iter().for_each(|&operand| uses[operand] += 1);
            }
        }
        uses
    }

    /// The instructions that outputs need, products joined with the sums that alone read them.
    fn nodes(&self, uses: &[usize]) -> Vec<Node<'a>> {
        let mut nodes: Vec<Node<'a>> = Vec::new();
        for (i, Numbered { op, operands }) in self.facts.instructions.iter().enumerate() {
            let result = self.facts.inputs.len() + i;
            if uses[result] == 0 {
                continue;
            }
            let joined = self.joined(op, operands, result, uses);
            if let Some((_, product)) = joined {
                nodes.retain(|node| node.result != product);
            }
            let plain = || Node { action: Action::Apply(op), operands: operands.clone(), result };
            nodes.push(joined.map_or_else(plain, |(node, _)| node));
        }
        nodes
    }

    /// A sum as one step with the product that it alone reads, and the register of that product.
    fn joined(
        &self,
        op: &Op,
        operands: &[Register],
        result: Register,
        uses: &[usize],
    ) -> Option<(Node<'a>, Register)> {
        if !matches!(op, Op::Binary(Binary::Add | Binary::Sub)) {
            return None;
        }
        let side = (0..2).find(|&side| self.factors(operands[side], uses).is_some())?;
        let joined = match (op, side) {
            (Op::Binary(Binary::Add), _) => Joined::Sum,
            (_, 0) => Joined::LessTerm,
            _ => Joined::LessProduct,
        };
        let [mut x, mut y] = self.factors(operands[side], uses)?;
        if self.scalars[x] {
            (x, y) = (y, x);
        }
        let operands_of_both = SmallVec::from([x, y, operands[1 - side]]);
        let node = Node { action: Action::MultiplyAdd(joined), operands: operands_of_both, result };
        Some((node, operands[side]))
    }

    /// The factors of a product of `f32` that one instruction alone reads.
    fn factors(&self, register: Register, uses: &[usize]) -> Option<[Register; 2]> {
        let i = register.checked_sub(self.facts.inputs.len())?;
        let vector = !self.scalars[register] && self.facts.dtypes[register] == DType::F32;
        let Numbered { op, operands } = &self.facts.instructions[i];
        let product = matches!(op, Op::Binary(Binary::Mul)) && vector && uses[register] == 1;
        product.then(|| [operands[0], operands[1]])
    }

    fn kernel(&self, node: &Node) -> InnerLoop {
        let scalar = |i: usize| node.operands.get(i).is_some_and(|&operand| self.scalars[operand]);
        let all = self.scalars[node.result];
        match node.action {
            Action::MultiplyAdd(joined) => {
                multiply_add_kernel(Isa::current(), joined, [scalar(1), scalar(2)])
            }
            Action::Apply(op) => {
                let dtypes: SmallVec<[DType; 3]> =
                    node.operands.iter().map(|&operand| self.facts.dtypes[operand]).collect();
                let scalars = std::array::from_fn(|i| !all && scalar(i));
                kernel_of(op, &dtypes, scalars).expect("the shape rule has checked the dtype")
            }
        }
    }

    fn call(&self, node: &Node, out: Place) -> Call {
        let operand = |i: usize| node.operands.get(i).map_or(0, |&operand| self.place(operand));
        Call { kernel: self.kernel(node), out, operands: std::array::from_fn(operand) }
    }

    fn place(&self, register: Register) -> Place {
        self.places[register].expect("registers are computed before they are read")
    }

    fn emit(&mut self) {
        let uses = self.uses();
        let nodes = self.nodes(&uses);
        self.gather_inputs(&uses);
        // Single elements are computed whenever their operands change.
        for node in nodes.iter().filter(|node| self.scalars[node.result]).collect::<Vec<_>>() {
            let out = self.scratch(DType::F64, 1, false);
            self.program.uniform.push(self.call(node, out));
            self.places[node.result] = Some(out);
        }
        let mut late = Vec::new();
        for register in 0..self.facts.dtypes.len() {
            if register < self.facts.inputs.len() || self.scalars[register] {
                self.deliver(register, &mut late);
            }
        }
        let mut last_use = vec![None; self.facts.dtypes.len()];
        for (k, node) in nodes.iter().enumerate() {
            node.operands.iter().for_each(|&operand| last_use[operand] = Some(k));
        }
        for (k, node) in
            nodes.iter().enumerate().filter(|(_, node)| !self.scalars[node.result]).collect::<Vec<_>>()
        {
            let out = match self.dense_store(node.result) {
                Some(output) => self.output_place(output),
                None => self.scratch(self.facts.dtypes[node.result], self.facts.points, true),
            };
            self.program.steps.push(Step::Call(self.call(node, out)));
            self.places[node.result] = Some(out);
            self.deliver(node.result, &mut late);
            let dead = |register: Register| last_use[register].is_none_or(|last| last == k);
            for register in node.operands.iter().copied().chain([node.result]) {
                let pinned = late.iter().any(|&(_, from)| Some(from) == self.places[register]);
                if dead(register) && !pinned {
                    self.give_back(self.place(register));
                }
            }
        }
        for (output, from) in late {
            self.store(output, from, false);
        }
    }

    fn gather_inputs(&mut self, uses: &[usize]) {
        for (i, access) in self.facts.inputs.iter().enumerate() {
            if *access == Access::Strided && uses[i] > 0 {
                let place = self.scratch(self.facts.dtypes[i], self.facts.points, false);
                self.program.gathers.push((i, place));
                self.places[i] = Some(place);
            }
        }
    }

    /// The first output that holds a register densely, so that it can be computed there.
    fn dense_store(&self, register: Register) -> Option<usize> {
        (0..self.facts.outputs.len()).find(|&output| {
            let goal = &self.facts.goals[output];
            let dense = self.facts.outputs[output] != Access::Strided;
            goal.register == register && goal.kind.is_none() && !goal.in_place && dense
        })
    }

    /// Hands a register to its outputs, or notes for `late` where it waits for the end of the block.
    fn deliver(&mut self, register: Register, late: &mut Vec<(usize, Place)>) {
        for (output, goal) in
            self.facts.goals.iter().enumerate().filter(|(_, goal)| goal.register == register)
        {
            if goal.kind.is_some() {
                let from = self.vector(register);
                self.program.steps.push(Step::Reduce { output, from });
            } else if goal.in_place {
                let from = if register < self.facts.inputs.len() {
                    self.saved(register)
                } else {
                    self.vector(register)
                };
                late.push((output, from));
            } else if self.place(register) != self.output_place(output) {
                let strided = self.facts.outputs[output] == Access::Strided;
                let from = if strided { self.vector(register) } else { self.place(register) };
                self.store(output, from, self.scalars[register] && !strided);
            }
        }
    }

    /// A register that holds the elements of the block, also of a scalar.
    fn vector(&mut self, register: Register) -> Place {
        if !self.scalars[register] {
            return self.place(register);
        }
        if let Some(place) = self.splats[register] {
            return place;
        }
        let dtype = self.facts.dtypes[register];
        let out = self.scratch(dtype, self.facts.points, false);
        let operands = [self.place(register), 0, 0];
        self.program.steps.push(Step::Call(Call { kernel: splat_kernel(dtype), out, operands }));
        self.splats[register] = Some(out);
        out
    }

    /// A copy of an input that stays when outputs are written over it.
    fn saved(&mut self, register: Register) -> Place {
        if self.scalars[register] {
            return self.vector(register);
        }
        let dtype = self.facts.dtypes[register];
        let out = self.scratch(dtype, self.facts.points, false);
        let operands = [self.place(register), 0, 0];
        self.program.steps.push(Step::Call(Call { kernel: copy_kernel(dtype), out, operands }));
        out
    }

    fn store(&mut self, output: usize, from: Place, scalar: bool) {
        let dtype = self.facts.goals[output].dtype;
        if self.facts.outputs[output] == Access::Strided {
            self.program.steps.push(Step::Scatter { output, from });
            return;
        }
        let kernel = if scalar { splat_kernel(dtype) } else { copy_kernel(dtype) };
        let call = Call { kernel, out: self.output_place(output), operands: [from, 0, 0] };
        self.program.steps.push(Step::Call(call));
    }
}
