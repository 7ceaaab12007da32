//! Random loops against the same ops done one element at a time.

use super::*;
use crate::cpu::kernels::testing::Numbers;
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Compare, Unary};
use crate::tensor::{DType, Dims, Strides, contiguous_strides};

struct Case {
    description: LoopDescription,
    inputs: Vec<Vec<f32>>,
    output_lengths: Vec<usize>,
}

fn random_case(numbers: &mut Numbers) -> Case {
    let rank = 1 + numbers.below(4);
    let dims: Dims = (0..rank).map(|_| [1, 2, 3, 5, 9, 16][numbers.below(6)]).collect();
    let mut dims = dims;
    if rank < 3 && numbers.below(3) == 0 {
        dims[rank - 1] = 1500 + numbers.below(2000);
    }
    let mut inputs = Vec::new();
    let mut accesses = Vec::new();
    for _ in 0..1 + numbers.below(3) {
        let own: Dims = dims.iter().map(|&dim| if numbers.below(3) == 0 { 1 } else { dim }).collect();
        // Sometimes stored with the axes reversed, so that the innermost stride is not 1.
        let reversed = numbers.below(4) == 0;
        let mut strides: Strides = if reversed {
            let flipped: Dims = own.iter().rev().copied().collect();
            contiguous_strides(&flipped).into_iter().rev().collect()
        } else {
            contiguous_strides(&own)
        };
        (0..rank).filter(|&axis| own[axis] == 1).for_each(|axis| strides[axis] = 0);
        inputs.push((0..own.iter().product()).map(|_| 2.0 * numbers.one::<f32>()).collect::<Vec<f32>>());
        accesses.push(Access { dtype: DType::F32, strides });
    }
    let mut instructions: Vec<Instruction> = Vec::new();
    for _ in 0..1 + numbers.below(6) {
        let mut float = || loop {
            let choice = numbers.below(accesses.len() + instructions.len());
            if choice < accesses.len() {
                return Register::Input(choice);
            }
            let index = choice - accesses.len();
            if instructions[index].dtype == DType::F32 {
                return Register::Instruction(index);
            }
        };
        let (a, b) = (float(), float());
        let condition = (0..instructions.len()).find(|&index| instructions[index].dtype == DType::Bool);
        let (op, operands, dtype): (Op, SmallVec<[Register; 3]>, DType) = match (numbers.below(6), condition)
        {
            (0, _) => (Op::Unary(Unary::Square), smallvec![a], DType::F32),
            (1, _) => (Op::Binary(Binary::Mul), smallvec![a, b], DType::F32),
            (2, _) => (Op::Binary(Binary::Sub), smallvec![a, b], DType::F32),
            (3, _) => (Op::Compare(Compare::Less), smallvec![a, b], DType::Bool),
            (4, Some(condition)) => {
                (Op::Select, smallvec![Register::Instruction(condition), a, b], DType::F32)
            }
            _ => (Op::Binary(Binary::Max), smallvec![a, b], DType::F32),
        };
        instructions.push(Instruction { op, operands, dtype });
    }
    let floats: Vec<usize> =
        (0..instructions.len()).filter(|&i| instructions[i].dtype == DType::F32).collect();
    let reduced_axes: SmallVec<[bool; 6]> = (0..rank).map(|_| numbers.below(2) == 0).collect();
    let (mut stores, mut reductions, mut output_lengths) = (Vec::new(), Vec::new(), Vec::new());
    for &index in &floats {
        if numbers.below(2) == 0 {
            let access = Access { dtype: DType::F32, strides: contiguous_strides(&dims) };
            stores.push(Store {
                from: Register::Instruction(index),
                access,
                in_place: numbers.below(3) == 0,
            });
            output_lengths.push(dims.iter().product());
        }
    }
    let kept: Dims = (0..rank).map(|axis| if reduced_axes[axis] { 1 } else { dims[axis] }).collect();
    let mut strides = contiguous_strides(&kept);
    (0..rank).filter(|&axis| reduced_axes[axis]).for_each(|axis| strides[axis] = 0);
    let from = floats.last().map_or(Register::Input(0), |&index| Register::Instruction(index));
    for kind in [Reduction::Sum, Reduction::Max, Reduction::Min] {
        if numbers.below(2) == 0 {
            let access = Access { dtype: DType::F32, strides: strides.clone() };
            reductions.push(Reduced { from, kind, access });
            output_lengths.push(kept.iter().product());
        }
    }
    let description =
        LoopDescription { dims, inputs: accesses, instructions, stores, reductions, reduced_axes };
    Case { description, inputs, output_lengths }
}

/// Every output computed element by element, sums in `f64`.
fn reference(case: &Case) -> Vec<Vec<f64>> {
    let description = &case.description;
    let mut outputs: Vec<Vec<f64>> = case.output_lengths.iter().map(|&length| vec![0.0; length]).collect();
    for (number, reduced) in description.reductions.iter().enumerate() {
        outputs[description.stores.len() + number].fill(reduce::start_of(reduced.kind));
    }
    let count: usize = description.dims.iter().product();
    for element in 0..count {
        let offset = |strides: &Strides| offset_of(&description.dims, strides, element) as usize;
        let mut values: Vec<f32> = Vec::new();
        let input = |index: usize| case.inputs[index][offset(&description.inputs[index].strides)];
        for instruction in &description.instructions {
            let value = |number: usize| match instruction.operands[number] {
                Register::Input(index) => input(index),
                Register::Instruction(index) => values[index],
            };
            let result = match &instruction.op {
                Op::Unary(Unary::Square) => value(0) * value(0),
                Op::Binary(Binary::Mul) => value(0) * value(1),
                Op::Binary(Binary::Sub) => value(0) - value(1),
                Op::Binary(Binary::Max) => value(0).max(value(1)),
                Op::Compare(_) => f32::from(value(0) < value(1)),
                Op::Select => {
                    if value(0) != 0.0 {
                        value(1)
                    } else {
                        value(2)
                    }
                }
                other => unreachable!("{other:?} is not made by random_case"),
            };
            values.push(result);
        }
        let value = |register: Register| match register {
            Register::Input(index) => input(index),
            Register::Instruction(index) => values[index],
        };
        for (number, store) in description.stores.iter().enumerate() {
            outputs[number][offset(&store.access.strides)] = f64::from(value(store.from));
        }
        for (number, reduced) in description.reductions.iter().enumerate() {
            let total = &mut outputs[description.stores.len() + number][offset(&reduced.access.strides)];
            *total = combine(reduced.kind, *total, f64::from(value(reduced.from)));
        }
    }
    outputs
}

#[test]
fn random_loops_equal_one_element_at_a_time() {
    let mut numbers = Numbers::new(7);
    let mut checked = 0;
    for _ in 0..400 {
        let case = random_case(&mut numbers);
        if case.output_lengths.is_empty() {
            continue;
        }
        let compiled = FusedLoop::new(&case.description);
        let mut outputs: Vec<Vec<f32>> =
            case.output_lengths.iter().map(|&length| vec![f32::NAN; length]).collect();
        let inputs: Vec<*const u8> = case.inputs.iter().map(|input| input.as_ptr().cast()).collect();
        let targets: Vec<*mut u8> = outputs.iter_mut().map(|output| output.as_mut_ptr().cast()).collect();
        // SAFETY: inputs and outputs are as large as their strides reach.
        unsafe { compiled.run(&inputs, &targets) };
        for (got, expected) in outputs.iter().zip(reference(&case)) {
            for (got, expected) in got.iter().zip(expected) {
                let error = (f64::from(*got) - expected).abs();
                let size = expected.abs().max(1.0);
                assert!(
                    error <= 2e-5 * size || f64::from(*got) == expected,
                    "{got} {expected} {:?}",
                    case.description
                );
            }
        }
        checked += 1;
    }
    assert!(checked > 200);
}

#[test]
fn a_sum_shared_by_tasks_is_exact_enough() {
    let count = 1 << 21;
    let input = vec![0.1f32; count];
    let axis = |stride: isize| Access { dtype: DType::F32, strides: smallvec![stride] };
    let description = LoopDescription {
        dims: smallvec![count],
        inputs: vec![axis(1)],
        instructions: vec![],
        stores: vec![],
        reductions: vec![Reduced { from: Register::Input(0), kind: Reduction::Sum, access: axis(0) }],
        reduced_axes: smallvec![true],
    };
    let mut total = 0f32;
    let output: *mut f32 = &mut total;
    // SAFETY: one input of `count` elements, one output element.
    unsafe { FusedLoop::new(&description).run(&[input.as_ptr().cast()], &[output.cast()]) };
    assert!((f64::from(total) / (0.1f32 as f64 * count as f64) - 1.0).abs() < 1e-6, "{total}");
}
