use super::{
    InnerLoop, Joined, binary_kernel, cast_kernel, compare_kernel, multiply_add_kernel, select_kernel,
    unary_kernel,
};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, rounding};
use crate::ops::elementwise::{Binary, Compare, Unary};
use crate::tensor::DType;

pub(crate) const UNARY: [Unary; 34] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sign,
    Unary::Exp,
    Unary::Expm1,
    Unary::Log,
    Unary::Log1p,
    Unary::Sqrt,
    Unary::Rsqrt,
    Unary::Reciprocal,
    Unary::Square,
    Unary::Sin,
    Unary::Cos,
    Unary::Tan,
    Unary::Asin,
    Unary::Acos,
    Unary::Atan,
    Unary::Sinh,
    Unary::Cosh,
    Unary::Asinh,
    Unary::Acosh,
    Unary::Atanh,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Erf,
    Unary::Erfinv,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Trunc,
    Unary::Not,
    Unary::IsNan,
    Unary::IsInf,
    Unary::IsFinite,
];
pub(crate) const BINARY: [Binary; 12] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Pow,
    Binary::Rem,
    Binary::Max,
    Binary::Min,
    Binary::Atan2,
    Binary::And,
    Binary::Or,
    Binary::Xor,
];
const COMPARE: [Compare; 6] = [
    Compare::Equal,
    Compare::NotEqual,
    Compare::Less,
    Compare::LessEqual,
    Compare::Greater,
    Compare::GreaterEqual,
];

/// The instruction sets of this machine.
fn isas() -> Vec<Isa> {
    [Isa::Plain, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| isa <= Isa::current()).collect()
}

fn unary_reference(op: Unary, x: f64, dtype: DType) -> f64 {
    match op {
        Unary::Neg if dtype == DType::U8 => (256.0 - x) % 256.0,
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign => {
            if x == 0.0 || x.is_nan() {
                x
            } else {
                x.signum()
            }
        }
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Square if dtype == DType::U8 => (x * x) % 256.0,
        Unary::Square => x * x,
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tan => x.tan(),
        Unary::Asin => x.asin(),
        Unary::Acos => x.acos(),
        Unary::Atan => x.atan(),
        Unary::Sinh => x.sinh(),
        Unary::Cosh => x.cosh(),
        Unary::Asinh => x.asinh(),
        Unary::Acosh => x.acosh(),
        Unary::Atanh => x.atanh(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Erf => crate::cpu::kernels::math::double::erf(x),
        Unary::Erfinv => crate::cpu::kernels::math::double::erfinv(x),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Trunc => x.trunc(),
        Unary::Not if dtype == DType::Bool => 1.0 - x,
        Unary::Not if dtype == DType::U8 => 255.0 - x,
        Unary::Not => -x - 1.0,
        Unary::IsNan => x.is_nan() as u8 as f64,
        Unary::IsInf => x.is_infinite() as u8 as f64,
        Unary::IsFinite => x.is_finite() as u8 as f64,
    }
}

/// The low bits of an integer result; floats stay.
fn wrapped(x: i128, dtype: DType) -> f64 {
    match dtype {
        DType::U8 => x as u8 as f64,
        DType::I32 => x as i32 as f64,
        _ => x as i64 as f64,
    }
}

fn binary_reference(op: Binary, x: f64, y: f64, dtype: DType) -> f64 {
    let (a, b) = (x as i128, y as i128);
    let floored = |x: f64, y: f64| x - y * (x / y).floor();
    match op {
        Binary::Add | Binary::Sub | Binary::Mul if !dtype.is_float() => wrapped(
            match op {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                _ => a * b,
            },
            dtype,
        ),
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div | Binary::Rem if !dtype.is_float() && b == 0 => 0.0,
        Binary::Div if !dtype.is_float() => (x / y).floor(),
        Binary::Div => x / y,
        Binary::Rem => floored(x, y),
        Binary::Pow if !dtype.is_float() => match (a, b < 0) {
            (1, true) => 1.0,
            (-1, true) => {
                if b % 2 == 0 {
                    1.0
                } else {
                    -1.0
                }
            }
            (_, true) => 0.0,
            _ => (0..b).fold(1i128, |p, _| wrapped(p * a, DType::I64) as i128 & ((1 << 40) - 1)) as f64,
        },
        Binary::Pow => x.powf(y),
        Binary::Max if x.is_nan() || y.is_nan() => f64::NAN,
        Binary::Min if x.is_nan() || y.is_nan() => f64::NAN,
        Binary::Max => x.max(y),
        Binary::Min => x.min(y),
        Binary::Atan2 => x.atan2(y),
        Binary::And => (a & b) as f64,
        Binary::Or => (a | b) as f64,
        Binary::Xor => (a ^ b) as f64,
    }
}

fn compare_reference(op: Compare, x: f64, y: f64) -> f64 {
    let holds = match op {
        Compare::Equal => x == y,
        Compare::NotEqual => x != y,
        Compare::Less => x < y,
        Compare::LessEqual => x <= y,
        Compare::Greater => x > y,
        Compare::GreaterEqual => x >= y,
    };
    holds as u8 as f64
}

/// `n` values of the dtype, or one for a scalar; floats include NaN and infinities.
fn operand(rng: &mut Rng, dtype: DType, n: usize, scalar: bool) -> TestTensor {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 2e6, 1.0, -1.0];
    let values: Vec<f64> = (0..if scalar { 1 } else { n })
        .map(|_| if dtype.is_float() && rng.chance(9) { special[rng.below(7)] } else { rng.value(dtype) })
        .collect();
    TestTensor::new(dtype, &[values.len()], &values)
}

/// The value of operand `i` at element `k`.
fn at(operand: &TestTensor, k: usize) -> f64 {
    operand.get(&[if operand.dims[0] == 1 { 0 } else { k }])
}

fn call(kernel: InnerLoop, n: usize, dtype: DType, operands: &[&TestTensor]) -> Vec<f64> {
    let mut out = TestTensor::uninitialized(dtype, &[n]);
    let pointer = |i: usize| operands.get(i).map_or(std::ptr::null(), |operand| operand.view().data);
    // SAFETY: the operands hold `n` elements or are scalars of which the kernel reads one.
    unsafe { kernel(n, out.view_mut().data, pointer(0), pointer(1), pointer(2)) };
    out.values()
}

const LENGTHS: [usize; 5] = [1, 7, 64, 259, 1000];

#[test]
fn unary_loops_match_the_reference_on_every_instruction_set() {
    let mut rng = Rng(1);
    let mut defined = 0;
    for isa in isas() {
        for dtype in DType::ALL {
            for op in UNARY {
                let Some(kernel) = unary_kernel(isa, op, dtype) else { continue };
                defined += 1;
                let predicate = matches!(op, Unary::IsNan | Unary::IsInf | Unary::IsFinite);
                let result = if predicate { DType::Bool } else { dtype };
                for n in LENGTHS {
                    let x = operand(&mut rng, dtype, n, false);
                    let got = call(kernel, n, result, &[&x]);
                    let wanted: Vec<f64> = (0..n).map(|k| unary_reference(op, x.get(&[k]), dtype)).collect();
                    let wanted = TestTensor::new(result, &[n], &wanted).values();
                    assert_close(&got, &wanted, rounding(result), &format!("{op:?} {dtype} {isa:?}"));
                }
            }
        }
    }
    assert_eq!(defined, isas().len() * (4 * 33 + 3 * 12 + 1));
}

#[test]
fn binary_loops_match_the_reference_in_every_form() {
    let mut rng = Rng(2);
    for isa in isas() {
        for dtype in DType::ALL {
            for op in BINARY {
                for scalars in [[false, false], [false, true], [true, false]] {
                    let Some(kernel) = binary_kernel(isa, op, dtype, scalars) else { continue };
                    for n in LENGTHS {
                        let x = operand(&mut rng, dtype, n, scalars[0]);
                        let mut y = operand(&mut rng, dtype, n, scalars[1]);
                        if op == Binary::Rem && dtype.is_float() {
                            // the reference computes remainders only for finite operands
                            let (a, b) = (TestTensor::random(&mut rng, dtype, &[x.dims[0]]), y.dims[0]);
                            y = TestTensor::new(dtype, &[b], &vec![0.75; b]);
                            let got = call(kernel, n, dtype, &[&a, &y]);
                            let wanted: Vec<f64> =
                                (0..n).map(|k| binary_reference(op, at(&a, k), 0.75, dtype)).collect();
                            assert_close(&got, &wanted, rounding(dtype), "Rem");
                            continue;
                        }
                        let got = call(kernel, n, dtype, &[&x, &y]);
                        let wanted: Vec<f64> =
                            (0..n).map(|k| binary_reference(op, at(&x, k), at(&y, k), dtype)).collect();
                        let wanted: Vec<f64> = if dtype.is_integer() {
                            wanted.iter().map(|&w| wrapped(w as i128, dtype)).collect()
                        } else {
                            TestTensor::new(dtype, &[n], &wanted).values()
                        };
                        let context = format!("{op:?} {dtype} {isa:?} {scalars:?}");
                        if op == Binary::Pow && dtype == DType::I64 {
                            let low = |values: &[f64]| -> Vec<f64> {
                                values.iter().map(|&v| (v as i64 & 0xffff) as f64).collect()
                            };
                            let exact = |v: &f64| v.abs() < 9e15;
                            let keep: Vec<usize> =
                                (0..n).filter(|&k| exact(&got[k]) && exact(&wanted[k])).collect();
                            let pick = |v: &[f64]| low(&keep.iter().map(|&k| v[k]).collect::<Vec<f64>>());
                            assert_close(&pick(&got), &pick(&wanted), 0.0, &context);
                        } else {
                            assert_close(&got, &wanted, rounding(dtype), &context);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn integer_division_and_powers_are_total() {
    let edge = |op, x: i32, y: i32| {
        let kernel = binary_kernel(Isa::current(), op, DType::I32, [false, false]).unwrap();
        let operands =
            [TestTensor::new(DType::I32, &[1], &[x as f64]), TestTensor::new(DType::I32, &[1], &[y as f64])];
        call(kernel, 1, DType::I32, &[&operands[0], &operands[1]])[0] as i32
    };
    assert_eq!(edge(Binary::Div, -7, 2), -4);
    assert_eq!(edge(Binary::Div, 7, 0), 0);
    assert_eq!(edge(Binary::Div, i32::MIN, -1), i32::MIN);
    assert_eq!(edge(Binary::Rem, -7, 3), 2);
    assert_eq!(edge(Binary::Rem, 7, -3), -2);
    assert_eq!(edge(Binary::Rem, 7, 0), 0);
    assert_eq!(edge(Binary::Rem, i32::MIN, -1), 0);
    assert_eq!(edge(Binary::Pow, 3, 20), 3i32.wrapping_pow(20));
    assert_eq!(edge(Binary::Pow, -1, -3), -1);
    assert_eq!(edge(Binary::Pow, 0, 0), 1);
    assert_eq!(edge(Binary::Add, i32::MAX, 1), i32::MIN);
}

#[test]
fn comparisons_and_selections_match_the_reference_in_every_form() {
    let mut rng = Rng(3);
    for isa in isas() {
        for dtype in DType::ALL {
            for n in LENGTHS {
                for (op, scalars) in COMPARE.into_iter().flat_map(|op| {
                    [[false, false], [false, true], [true, false]].map(|scalars| (op, scalars))
                }) {
                    let x = operand(&mut rng, dtype, n, scalars[0]);
                    let y = operand(&mut rng, dtype, n, scalars[1]);
                    let got = call(compare_kernel(isa, op, dtype, scalars), n, DType::Bool, &[&x, &y]);
                    let wanted: Vec<f64> =
                        (0..n).map(|k| compare_reference(op, at(&x, k), at(&y, k))).collect();
                    assert_close(&got, &wanted, 0.0, &format!("{op:?} {dtype} {isa:?} {scalars:?}"));
                }
                for form in 0..8 {
                    let scalars = [form & 1 != 0, form & 2 != 0, form & 4 != 0];
                    let condition = operand(&mut rng, DType::Bool, n, scalars[0]);
                    let x = operand(&mut rng, dtype, n, scalars[1]);
                    let y = operand(&mut rng, dtype, n, scalars[2]);
                    let got = call(select_kernel(isa, dtype, scalars), n, dtype, &[&condition, &x, &y]);
                    let wanted: Vec<f64> = (0..n)
                        .map(|k| if at(&condition, k) != 0.0 { at(&x, k) } else { at(&y, k) })
                        .collect();
                    assert_close(&got, &wanted, 0.0, &format!("select {dtype} {isa:?} {scalars:?}"));
                }
            }
        }
    }
}

#[test]
fn casts_truncate_saturate_and_wrap() {
    let mut rng = Rng(4);
    for isa in isas() {
        for (from, to) in DType::ALL.into_iter().flat_map(|from| DType::ALL.map(|to| (from, to))) {
            for n in LENGTHS {
                let x = operand(&mut rng, from, n, false);
                let got = call(cast_kernel(isa, from, to), n, to, &[&x]);
                let values = x.values();
                let wanted: Vec<f64> = if from.is_integer() && to.is_integer() {
                    values.iter().map(|&v| wrapped(v as i128, to)).collect()
                } else {
                    TestTensor::new(to, &[n], &values).values()
                };
                assert_close(&got, &wanted, 0.0, &format!("{from} to {to} {isa:?}"));
            }
        }
    }
}

#[test]
fn multiply_add_rounds_like_two_loops() {
    let mut rng = Rng(5);
    for isa in isas() {
        for form in 0..12 {
            let joined = [Joined::Sum, Joined::LessTerm, Joined::LessProduct][form / 4];
            let scalars = [form & 1 != 0, form & 2 != 0];
            let n = 333;
            let (a, b) =
                (operand(&mut rng, DType::F32, n, false), operand(&mut rng, DType::F32, n, scalars[0]));
            let c = operand(&mut rng, DType::F32, n, scalars[1]);
            let got = call(multiply_add_kernel(isa, joined, scalars), n, DType::F32, &[&a, &b, &c]);
            let wanted: Vec<f64> = (0..n)
                .map(|k| {
                    let product = at(&a, k) as f32 * at(&b, k) as f32;
                    let term = at(&c, k) as f32;
                    let result = match joined {
                        Joined::Sum => product + term,
                        Joined::LessTerm => product - term,
                        Joined::LessProduct => term - product,
                    };
                    result as f64
                })
                .collect();
            assert_close(&got, &wanted, 0.0, "multiply-add");
        }
    }
}
