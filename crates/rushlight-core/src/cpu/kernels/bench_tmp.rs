use super::fused as a;
use super::fused_b as b;
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Unary};
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Dims, Strides, contiguous_strides};
use std::time::Instant;

fn time(mut f: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..31).map(|_| { let t = Instant::now(); f(); t.elapsed().as_secs_f64() * 1e6 }).collect();
    times.sort_by(f64::total_cmp);
    times[10]
}

fn case(name: &str, dims: &[usize], channel: &[isize], reduce: &[usize], with_store: bool) {
    let n: usize = dims.iter().product();
    let x = vec![0.5f32; n];
    let s = vec![0.5f32; 1024];
    let mut y = vec![0f32; n];
    let mut sums = vec![0f32; 4096];
    let mut sums2 = vec![0f32; 4096];
    let dims: Dims = dims.into();
    let chan: Strides = channel.into();
    let dense = contiguous_strides(&dims);
    use a::Register as R;
    let app = |op: Op, o: &[R]| a::Instruction { op, operands: o.iter().copied().collect(), dtype: DType::F32 };
    let da = a::LoopDescription {
        dims: dims.clone(),
        inputs: vec![
            a::Access { dtype: DType::F32, strides: dense.clone() },
            a::Access { dtype: DType::F32, strides: chan.clone() },
            a::Access { dtype: DType::F32, strides: chan.clone() },
            a::Access { dtype: DType::F32, strides: dims.iter().map(|_| 0).collect() },
        ],
        instructions: vec![
            app(Op::Binary(Binary::Mul), &[R::Input(0), R::Input(1)]),
            app(Op::Binary(Binary::Add), &[R::Instruction(0), R::Input(2)]),
            app(Op::Binary(Binary::Max), &[R::Instruction(1), R::Input(3)]),
            app(Op::Unary(Unary::Square), &[R::Instruction(2)]),
        ],
        stores: if with_store { vec![a::Store { from: R::Instruction(2), access: a::Access { dtype: DType::F32, strides: dense.clone() }, in_place: false }] } else { vec![] },
        reductions: if reduce.is_empty() { vec![] } else {
            [2, 3].map(|i| a::Reduced { from: R::Instruction(i), kind: Reduction::Sum, access: a::Access { dtype: DType::F32, strides: chan.clone() } }).into_iter().collect()
        },
        reduced_axes: (0..dims.len()).map(|i| reduce.contains(&i)).collect(),
    };
    let fa = a::FusedLoop::new(&da);
    let out = |register: usize| b::LoopOutput { register, strides: chan.clone(), reduction: Some(b::LoopReduction { kind: Reduction::Sum, axes: reduce.into() }) };
    let db = b::LoopDescription {
        dims: dims.clone(),
        inputs: vec![
            b::LoopInput { dtype: DType::F32, strides: dense.clone() },
            b::LoopInput { dtype: DType::F32, strides: chan.clone() },
            b::LoopInput { dtype: DType::F32, strides: chan.clone() },
        ],
        instructions: vec![
            b::Instruction::constant(0f32),
            b::Instruction::apply(Op::Binary(Binary::Mul), &[0, 1]),
            b::Instruction::apply(Op::Binary(Binary::Add), &[4, 2]),
            b::Instruction::apply(Op::Binary(Binary::Max), &[5, 3]),
            b::Instruction::apply(Op::Unary(Unary::Square), &[6]),
        ],
        outputs: {
            let mut v = vec![];
            if with_store { v.push(b::LoopOutput { register: 6, strides: dense.clone(), reduction: None }); }
            if !reduce.is_empty() { v.push(out(6)); v.push(out(7)); }
            v
        },
    };
    let fb = b::FusedLoop::new(&db).unwrap();
    let zero = [0f32];
    let xa: Vec<*const u8> = vec![x.as_ptr().cast(), s.as_ptr().cast(), s.as_ptr().cast(), zero.as_ptr().cast()];
    let mut oa: Vec<*mut u8> = vec![];
    if with_store { oa.push(y.as_mut_ptr().cast()); }
    if !reduce.is_empty() { oa.push(sums.as_mut_ptr().cast()); oa.push(sums2.as_mut_ptr().cast()); }
    for round in 0..2 {
        let ta = time(|| unsafe { fa.run(&xa, &oa) });
        let tb = time(|| unsafe { fb.run(&xa[..3], &oa) });
        if round == 1 { println!("{name}: lead {ta:.1} us, mine {tb:.1} us  ({:.2} / {:.2} ns/elem)", ta * 1e3 / n as f64, tb * 1e3 / n as f64); }
    }
}

#[test]
fn bench() {
    for threads in [1, 2] {
        crate::cpu::threads::set_thread_count(threads);
        println!("threads {threads}");
        case("lanes bn relu store    [4,88,16384]", &[4, 88, 16384], &[0, 1, 0], &[], true);
        case("lanes bn relu st+sums  [4,88,4096]", &[4, 88, 4096], &[0, 1, 0], &[0, 2], true);
        case("lanes sums only        [4,88,4096]", &[4, 88, 4096], &[0, 1, 0], &[0, 2], false);
        case("lanes small            [4,376,1024]", &[4, 376, 1024], &[0, 1, 0], &[0, 2], true);
        case("nhwc bn relu store     [65536,12]", &[65536, 12], &[0, 1], &[], true);
        case("nhwc bn relu st+sums   [65536,12]", &[65536, 12], &[0, 1], &[0], true);
        case("nhwc sums              [16384,88]", &[16384, 88], &[0, 1], &[0], true);
        case("tiny                   [64,10]", &[64, 10], &[0, 1], &[], true);
        case("tiny                   [1000]", &[1000], &[0], &[], true);
    }
}
