use super::{Access, FusedLoop, Instruction, LoopDescription, Reduced, Register, Store};
use crate::cpu::kernels::run as run_op;
use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, index_of, position_of};
use crate::cpu::threads::set_thread_count;
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Compare, Unary};
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Dims, Strides, contiguous_strides};
use smallvec::{SmallVec, smallvec};

/// A random loop together with its operands.
struct Case {
    description: LoopDescription,
    inputs: Vec<TestTensor>,
}

/// A loop that computes nothing yet.
fn empty_description(dims: &[usize], inputs: &[TestTensor]) -> LoopDescription {
    LoopDescription {
        dims: dims.into(),
        inputs: inputs.iter().map(|t| Access { dtype: t.dtype, strides: t.strides.clone() }).collect(),
        instructions: Vec::new(),
        stores: Vec::new(),
        reductions: Vec::new(),
        reduced_axes: SmallVec::from_elem(false, dims.len()),
    }
}

impl LoopDescription {
    fn registers(&self) -> Vec<(Register, DType)> {
        let inputs = self.inputs.iter().enumerate().map(|(i, input)| (Register::Input(i), input.dtype));
        let results = self.instructions.iter().enumerate();
        inputs.chain(results.map(|(i, result)| (Register::Instruction(i), result.dtype))).collect()
    }

    fn dtype(&self, register: Register) -> DType {
        self.registers()[self.number_of(register)].1
    }

    fn apply(&mut self, op: Op, operands: &[Register]) -> Register {
        let dtype = match &op {
            Op::Compare(_) | Op::Unary(Unary::IsNan) => DType::Bool,
            Op::Cast(to) => *to,
            Op::Select => self.dtype(operands[1]),
            _ => self.dtype(operands[0]),
        };
        self.instructions.push(Instruction { op, operands: operands.into(), dtype });
        Register::Instruction(self.instructions.len() - 1)
    }

    fn store(&mut self, from: Register, strides: Strides) {
        let access = Access { dtype: self.dtype(from), strides };
        self.stores.push(Store { from, access, in_place: false });
    }

    /// A reduction over the reduced axes with a dense, row-major output.
    fn reduce(&mut self, from: Register, kind: Reduction) {
        let reduced = self.reduced_axes.clone();
        let sizes: Dims = self.dims.iter().zip(&reduced).map(|(&dim, &r)| if r { 1 } else { dim }).collect();
        let strides =
            contiguous_strides(&sizes).iter().zip(&reduced).map(|(&s, &r)| if r { 0 } else { s }).collect();
        self.reductions.push(Reduced { from, kind, access: Access { dtype: self.dtype(from), strides } });
    }
}

fn random_case(rng: &mut Rng, dims: &[usize]) -> Case {
    let mut inputs = Vec::new();
    for _ in 0..rng.between(1, 4) {
        let dtype = match rng.below(10) {
            0 => DType::F64,
            1 => DType::F16,
            2 => DType::I32,
            3 => DType::Bool,
            4 => DType::I64,
            _ => DType::F32,
        };
        let mut tensor = if rng.chance(2) {
            TestTensor::random(rng, dtype, dims)
        } else {
            TestTensor::random_strided(rng, dtype, dims)
        };
        // often repeated along whole axes, as biases and statistics are
        for axis in 0..dims.len() {
            if rng.chance(4) {
                tensor.strides[axis] = tensor.strides[axis].min(0);
            }
        }
        inputs.push(tensor);
    }
    let mut description = empty_description(dims, &inputs);
    for _ in 0..rng.below(14) {
        let registers = description.registers();
        let (any, dtype) = registers[rng.below(registers.len())];
        let alike: Vec<Register> = registers.iter().filter(|r| r.1 == dtype).map(|r| r.0).collect();
        let bools: Vec<Register> = registers.iter().filter(|r| r.1 == DType::Bool).map(|r| r.0).collect();
        let other = alike[rng.below(alike.len())];
        match rng.below(8) {
            0 => {
                let op = [Unary::Neg, Unary::Square, Unary::Abs, Unary::Tanh, Unary::Exp, Unary::IsNan]
                    [rng.below(6)];
                let op = if dtype == DType::Bool { Unary::Not } else { op };
                if dtype.is_float() || !matches!(op, Unary::Tanh | Unary::Exp) {
                    description.apply(Op::Unary(op), &[any]);
                }
            }
            1..=4 => {
                let op = [Binary::Add, Binary::Mul, Binary::Sub, Binary::Max, Binary::Mul, Binary::Add]
                    [rng.below(6)];
                let op = if dtype == DType::Bool { Binary::Xor } else { op };
                description.apply(Op::Binary(op), &[any, other]);
            }
            5 => {
                let op = [Compare::Less, Compare::Equal, Compare::GreaterEqual][rng.below(3)];
                description.apply(Op::Compare(op), &[any, other]);
            }
            6 if !bools.is_empty() => {
                description.apply(Op::Select, &[bools[rng.below(bools.len())], any, other]);
            }
            _ => {
                let to = [DType::F32, DType::F32, DType::I32, DType::Bool][rng.below(4)];
                description.apply(Op::Cast(to), &[any]);
            }
        }
    }
    let registers = description.registers();
    for _ in 0..rng.below(3) {
        let strides = TestTensor::random_strided(rng, DType::U8, dims).strides;
        let apart = strides.iter().zip(dims).all(|(&s, &dim)| s > 0 || dim == 1);
        let strides = if rng.chance(3) && apart { strides } else { contiguous_strides(dims) };
        description.store(registers[rng.below(registers.len())].0, strides);
        description.stores.last_mut().unwrap().in_place = rng.chance(3);
    }
    description.reduced_axes = dims.iter().map(|_| rng.chance(2)).collect();
    for _ in 0..if description.stores.is_empty() { 2 } else { rng.below(3) } {
        let (register, dtype) = registers[rng.below(registers.len())];
        let kinds = match dtype {
            DType::Bool => &[Reduction::Any, Reduction::All][..],
            dtype if dtype.is_float() => {
                &[Reduction::Sum, Reduction::Mean, Reduction::Max, Reduction::Min, Reduction::Sum]
            }
            _ => &[Reduction::Sum, Reduction::Max, Reduction::Min],
        };
        description.reduce(register, kinds[rng.below(kinds.len())]);
    }
    Case { description, inputs }
}

/// All registers, computed by eager ops.
fn registers(case: &Case) -> Vec<TestTensor> {
    let dims = &case.description.dims;
    let mut registers: Vec<TestTensor> = Vec::new();
    for input in &case.inputs {
        let mut dense = TestTensor::uninitialized(input.dtype, dims);
        run_op(&Op::Broadcast(dims.clone()), &[input.view()], &mut [dense.view_mut()]);
        registers.push(dense);
    }
    for Instruction { op, operands, dtype } in &case.description.instructions {
        let mut result = TestTensor::uninitialized(*dtype, dims);
        let views: Vec<_> =
            operands.iter().map(|&operand| registers[case.description.number_of(operand)].view()).collect();
        run_op(op, &views, &mut [result.view_mut()]);
        drop(views);
        registers.push(result);
    }
    registers
}

/// Where each output lies and what it holds: a register, or its reduction.
fn goals(description: &LoopDescription) -> Vec<(&Access, Register, Option<Reduction>)> {
    let stores = description.stores.iter().map(|store| (&store.access, store.from, None));
    let reductions = description.reductions.iter().map(|r| (&r.access, r.from, Some(r.kind)));
    stores.chain(reductions).collect()
}

/// The elements that an output covers, and its memory after the loop has run.
fn execute(case: &Case) -> Vec<TestTensor> {
    let planned = FusedLoop::new(&case.description);
    let goals = goals(&case.description);
    let mut outputs: Vec<TestTensor> = goals
        .iter()
        .map(|(access, ..)| {
            let reach = case.description.dims.iter().zip(&access.strides);
            let reach: usize = reach.map(|(&dim, &stride)| dim.saturating_sub(1) * stride as usize).sum();
            TestTensor::uninitialized(access.dtype, &[reach + 1])
        })
        .collect();
    let inputs: Vec<*const u8> = case.inputs.iter().map(|input| input.view().data).collect();
    let pointers: Vec<*mut u8> = outputs.iter_mut().map(|output| output.view_mut().data).collect();
    // SAFETY: inputs are described by their strides; outputs were measured from theirs.
    unsafe { planned.run(&inputs, &pointers) };
    for (tensor, (access, ..)) in outputs.iter_mut().zip(&goals) {
        (tensor.dims, tensor.strides) = (case.description.dims.clone(), access.strides.clone());
    }
    outputs
}

fn check(case: &Case) {
    let (registers, outputs) = (registers(case), execute(case));
    let (dims, reduced) = (&case.description.dims, &case.description.reduced_axes);
    let kept: Vec<usize> = (0..dims.len()).filter(|&axis| !reduced[axis]).collect();
    for ((_, from, kind), got) in goals(&case.description).iter().zip(&outputs) {
        let register = &registers[case.description.number_of(*from)];
        let (values, context) = (register.values(), format!("{from:?} {kind:?} of {:?}", case.description));
        let Some(kind) = kind else {
            assert_close(&got.values(), &values, 0.0, &context);
            continue;
        };
        let result: Dims = kept.iter().map(|&axis| dims[axis]).collect();
        let mut totals: Vec<Vec<f64>> = vec![Vec::new(); result.iter().product()];
        for (i, &value) in values.iter().enumerate() {
            let index = index_of(i, dims);
            let place: Dims = kept.iter().map(|&axis| index[axis]).collect();
            totals[position_of(&place, &result)].push(value);
        }
        for (place, values) in totals.iter().enumerate() {
            let mut index: Dims = dims.iter().map(|_| 0).collect();
            kept.iter().zip(index_of(place, &result)).for_each(|(&axis, i)| index[axis] = i);
            check_reduction(*kind, register.dtype, values, got.get(&index), &context);
        }
    }
}

fn check_reduction(kind: Reduction, dtype: DType, values: &[f64], got: f64, context: &str) {
    let extreme = |best: f64, &v: &f64| match (v.is_nan() || best.is_nan(), kind) {
        (true, _) => f64::NAN,
        (_, Reduction::Max | Reduction::Any) => best.max(v),
        _ => best.min(v),
    };
    let magnitude: f64 = values.iter().map(|v| v.abs()).sum();
    let sum: f64 = values.iter().sum();
    let (wanted, slack) = match kind {
        Reduction::Sum if dtype.is_integer() => {
            let wrapped = values.iter().fold(0i64, |sum, &v| sum.wrapping_add(v as i64));
            (if dtype == DType::I32 { wrapped as i32 as f64 } else { wrapped as f64 }, 0.0)
        }
        Reduction::Sum => (sum, magnitude * 1e-6),
        Reduction::Mean => (sum / values.len() as f64, magnitude / values.len() as f64 * 1e-6),
        _ => (values.iter().fold(values[0], extreme), 0.0),
    };
    let rounding = if dtype == DType::F16 { 2e-3 * wanted.abs().min(70_000.0) } else { 0.0 };
    // beyond the range of the dtype, infinities and NaN may come about in different orders
    let limit = match dtype {
        DType::F16 => 6e4,
        DType::F32 => 3e38,
        _ => f64::INFINITY,
    };
    let same = got == wanted || got.is_nan() && wanted.is_nan();
    let close = (got - wanted).abs() <= slack + rounding;
    let off_scale = dtype.is_float()
        && matches!(kind, Reduction::Sum | Reduction::Mean)
        && (magnitude.is_nan() || magnitude >= limit);
    let wide_integer = dtype == DType::I64 && magnitude > 9e15;
    assert!(same || close || off_scale || wide_integer, "{got}, not {wanted}: {context}");
}

#[test]
fn random_loops_match_ops_one_by_one() {
    let mut rng = Rng(61);
    for round in 0..500 {
        let rank = rng.below(5);
        let dims = rng.dims(rank, if round % 100 == 0 { 60_000 } else { 700 });
        check(&random_case(&mut rng, &dims));
    }
}

#[test]
fn shapes_of_networks_match_ops_one_by_one() {
    let mut rng = Rng(62);
    let shapes: [&[usize]; 8] = [
        &[4, 12, 1024],
        &[2, 5, 4096],
        &[3, 7, 64, 16],
        &[700, 12],
        &[5000, 3],
        &[64, 10],
        &[70_000],
        &[3, 20_000],
    ];
    for _ in 0..2 {
        for dims in shapes {
            check(&random_case(&mut rng, dims));
        }
    }
}

#[test]
fn normalization_in_lanes_layout_with_channel_sums() {
    // y = max(x * scale + shift, 0) and the sums of y and x² for each channel of [blocks, channels, positions * 16]
    let mut rng = Rng(63);
    let dims: Dims = smallvec![4, 24, 2048];
    let mut inputs = vec![TestTensor::random(&mut rng, DType::F32, &dims)];
    for strides in [[0, 1, 0], [0, 1, 0], [0, 0, 0]] {
        let mut operand = TestTensor::random(&mut rng, DType::F32, &[24]);
        (operand.dims, operand.strides) = (dims.clone(), strides.as_slice().into());
        inputs.push(operand);
    }
    let mut description = empty_description(&dims, &inputs);
    let product = description.apply(Op::Binary(Binary::Mul), &[Register::Input(0), Register::Input(1)]);
    let sum = description.apply(Op::Binary(Binary::Add), &[product, Register::Input(2)]);
    let y = description.apply(Op::Binary(Binary::Max), &[sum, Register::Input(3)]);
    let square = description.apply(Op::Unary(Unary::Square), &[Register::Input(0)]);
    description.store(y, contiguous_strides(&dims));
    description.reduced_axes = smallvec![true, false, true];
    description.reduce(y, Reduction::Sum);
    description.reduce(square, Reduction::Mean);
    check(&Case { description, inputs });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mut rng = Rng(64);
    let dims: Dims = smallvec![8, 3, 40_000];
    for reduced in [[true, false, true], [true, true, false], [true, true, true], [false, false, true]] {
        let inputs = vec![TestTensor::random(&mut rng, DType::F32, &dims)];
        let mut description = empty_description(&dims, &inputs);
        let register = description.apply(Op::Unary(Unary::Exp), &[Register::Input(0)]);
        description.reduced_axes = reduced.as_slice().into();
        description.reduce(register, Reduction::Sum);
        description.reduce(register, Reduction::Max);
        let case = Case { description, inputs };
        let bits = || -> Vec<f64> { execute(&case).iter().flat_map(TestTensor::values).collect() };
        set_thread_count(1);
        let alone = bits();
        for threads in [2, 3, 7] {
            set_thread_count(threads);
            assert_eq!(bits(), alone);
        }
        set_thread_count(0);
    }
}

#[test]
fn outputs_may_replace_their_inputs() {
    // (a, b) → (a + b, a - b), and their swap, in place: each output is what the other one still needs
    let mut rng = Rng(65);
    for swap in [false, true] {
        let dims = [5000];
        let mut inputs = vec![
            TestTensor::random(&mut rng, DType::F32, &dims),
            TestTensor::random(&mut rng, DType::F32, &dims),
        ];
        let (a, b) = (inputs[0].values(), inputs[1].values());
        let mut description = empty_description(&dims, &inputs);
        let (first, second) = (Register::Input(0), Register::Input(1));
        let sum = description.apply(Op::Binary(Binary::Add), &[first, second]);
        let difference = description.apply(Op::Binary(Binary::Sub), &[first, second]);
        for from in if swap { [second, first] } else { [sum, difference] } {
            description.store(from, smallvec![1]);
        }
        description.stores.iter_mut().for_each(|store| store.in_place = true);
        let pointers: Vec<*mut u8> = inputs.iter_mut().map(|input| input.view_mut().data).collect();
        // SAFETY: both outputs lie exactly where an input does, as the description says.
        unsafe { FusedLoop::new(&description).run(&[pointers[0], pointers[1]], &pointers) };
        let combined =
            |f: fn(f64, f64) -> f64| -> Vec<f64> { a.iter().zip(&b).map(|(&x, &y)| f(x, y)).collect() };
        let wanted = if swap { [b, a] } else { [combined(|x, y| x + y), combined(|x, y| x - y)] };
        assert_eq!([inputs[0].values(), inputs[1].values()], wanted);
    }
}

#[test]
fn empty_spaces_reduce_to_the_identity() {
    let dims = [3, 0];
    let mut description = empty_description(&dims, &[TestTensor::uninitialized(DType::F32, &dims)]);
    description.reduced_axes = smallvec![false, true];
    description.reduce(Register::Input(0), Reduction::Sum);
    let mut out = TestTensor::uninitialized(DType::F32, &[3]);
    // SAFETY: there is no input element, and the output has its three.
    unsafe { FusedLoop::new(&description).run(&[std::ptr::dangling()], &[out.view_mut().data]) };
    assert_eq!(out.values(), [0.0; 3]);
}
