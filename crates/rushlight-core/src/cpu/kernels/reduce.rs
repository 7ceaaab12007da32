//! Reductions over axes.

use super::fused::{Access, FusedLoop, LoopDescription, Reduced, Register};
use super::layout::around;
use super::loops::{Results, fill_identity, reducer_of};
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::ops::reduce::{Reduce, Reduction};
use crate::tensor::{DType, Strides};
use smallvec::SmallVec;

/// Contiguous inputs of at most so many elements are reduced at once, without a plan.
const SMALL: usize = 8192;

/// Reduces axes of a view in any layout.
///
/// Sums of `f32` are summed in lanes and blocks, and the blocks in `f64`; 16-bit floats are reduced in `f32`.
pub(crate) fn run(op: &Reduce, inputs: &[View], output: &mut ViewMut) {
    let input = &inputs[0];
    let half = matches!(input.dtype, DType::F16 | DType::BF16);
    let neighbours = op.axes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    if let (Some(&first), true, false) = (op.axes.first(), neighbours, half)
        && (1..=SMALL).contains(&input.count())
        && input.is_contiguous()
    {
        let [outer, _, _] = around(&input.dims, first);
        let [_, _, inner] = around(&input.dims, first + op.axes.len() - 1);
        return reduce_small(op.kind, [outer, input.count() / (outer * inner), inner], input, output);
    }
    reduce_any(op, input, output);
}

/// Reduces the middle one of three axes.
fn reduce_small(kind: Reduction, [outer, length, inner]: [usize; 3], input: &View, output: &mut ViewMut) {
    let reducer =
        reducer_of(Isa::current(), kind, input.dtype).expect("the shape rule has checked the dtype");
    let accumulator = if inner == 1 { reducer.folded } else { input.dtype };
    let count = outer * inner;
    with_scratch::<u64, _>(count, |totals: *mut u64| {
        let (totals, null) = (totals.cast::<u8>(), std::ptr::null());
        let (row, totals_row) = (inner * input.dtype.size(), inner * accumulator.size());
        // SAFETY: the scratch has room for `count` accumulators; the input is contiguous, the output as well.
        unsafe {
            fill_identity(kind, accumulator, totals, count);
            if inner > 1 {
                for i in 0..outer * length {
                    let totals = totals.add(i / length * totals_row);
                    (reducer.accumulate)(inner, totals, input.data.add(i * row), null, null);
                }
            } else if length < 64 {
                (reducer.fold_rows)(outer, totals, input.data, std::ptr::without_provenance(length), null);
            } else {
                for i in 0..outer {
                    (reducer.fold)(
                        length,
                        totals.add(i * totals_row),
                        input.data.add(i * length * row),
                        null,
                        null,
                    );
                }
            }
            let results = Results { kind, accumulator, output: output.dtype, elements: length };
            results.write(count, totals, 1, output.data, 1);
        }
    });
}

/// A loop that computes nothing before it reduces.
fn reduce_any(op: &Reduce, input: &View, output: &mut ViewMut) {
    let reduced_axes: SmallVec<[bool; 6]> =
        (0..input.dims.len()).map(|axis| op.axes.contains(&axis)).collect();
    let mut kept = output.strides().into_iter();
    let strides: Strides =
        reduced_axes.iter().map(|&reduced| if reduced { 0 } else { kept.next().unwrap_or(0) }).collect();
    let reduction =
        Reduced { from: Register::Input(0), kind: op.kind, access: Access { dtype: output.dtype, strides } };
    let description = LoopDescription {
        dims: input.dims.clone(),
        inputs: vec![Access { dtype: input.dtype, strides: input.strides.clone() }],
        instructions: Vec::new(),
        stores: Vec::new(),
        reductions: vec![reduction],
        reduced_axes,
    };
    // SAFETY: the view promises the input's elements; the output has the dims that are kept.
    unsafe { FusedLoop::new(&description).run(&[input.data], &[output.data]) }
}

#[cfg(test)]
mod tests {
    use crate::cpu::kernels::run;
    use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, index_of, indices, position_of};
    use crate::ops::Op;
    use crate::ops::reduce::{Reduce, Reduction};
    use crate::tensor::{DType, Dims};

    fn reduce(x: &TestTensor, kind: Reduction, axes: &[usize]) -> TestTensor {
        let dims: Dims =
            (0..x.dims.len()).filter(|axis| !axes.contains(axis)).map(|axis| x.dims[axis]).collect();
        let mut output = TestTensor::uninitialized(x.dtype, &dims);
        run(&Op::Reduce(Reduce { kind, axes: axes.into() }), &[x.view()], &mut [output.view_mut()]);
        output
    }

    fn reference(kind: Reduction, values: &[f64]) -> f64 {
        let extreme = |pick: fn(f64, f64) -> f64| {
            values.iter().fold(values.first().copied().unwrap_or(0.0), |best, &v| {
                if best.is_nan() || v.is_nan() { f64::NAN } else { pick(best, v) }
            })
        };
        match kind {
            Reduction::Sum => values.iter().sum(),
            Reduction::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Reduction::Prod => values.iter().product(),
            Reduction::Max => extreme(f64::max),
            Reduction::Min => extreme(f64::min),
            Reduction::Any => values.iter().any(|&v| v != 0.0) as u8 as f64,
            Reduction::All => values.iter().all(|&v| v != 0.0) as u8 as f64,
        }
    }

    #[test]
    fn reductions_match_the_definition_in_any_layout() {
        let mut rng = Rng(71);
        for round in 0..800 {
            let dtype = DType::ALL[rng.below(8)];
            let kind = Reduction::ALL[rng.below(7)];
            let fits = match kind {
                Reduction::Any | Reduction::All => dtype == DType::Bool,
                Reduction::Mean => dtype.is_float(),
                Reduction::Sum | Reduction::Prod => dtype != DType::Bool,
                _ => true,
            };
            let rank = rng.below(5);
            let dims = rng.dims(rank, if round % 80 == 0 { 80_000 } else { 700 });
            let axes: Vec<usize> = (0..rank).filter(|_| rng.chance(2)).collect();
            let elements: usize = axes.iter().map(|&axis| dims[axis]).product();
            // products of many numbers leave every range
            if !fits || kind == Reduction::Prod && elements > 6 {
                continue;
            }
            let mut x = TestTensor::random_strided(&mut rng, dtype, &dims);
            if dtype.is_float() && rng.chance(4) {
                let values: Vec<f64> =
                    x.values().iter().map(|&v| if rng.chance(20) { f64::NAN } else { v }).collect();
                x = TestTensor::new(dtype, &dims, &values);
            }
            let got = reduce(&x, kind, &axes);
            let mut parts: Vec<Vec<f64>> = vec![Vec::new(); got.dims.iter().product()];
            for index in indices(&dims) {
                let kept: Dims =
                    (0..rank).filter(|axis| !axes.contains(axis)).map(|axis| index[axis]).collect();
                parts[position_of(&kept, &got.dims)].push(x.get(&index));
            }
            let wrap = |value: f64| if dtype == DType::U8 { value.rem_euclid(256.0) } else { value };
            let wanted: Vec<f64> = parts.iter().map(|part| wrap(reference(kind, part))).collect();
            let wanted = TestTensor::new(dtype, &[wanted.len()], &wanted).values();
            let tolerance = match dtype {
                DType::F16 => 2e-3,
                DType::BF16 => 1e-2,
                DType::F32 => 1e-5,
                _ => 1e-13,
            };
            assert_close(
                &got.values(),
                &wanted,
                tolerance,
                &format!("{kind:?} {dtype} {dims:?} over {axes:?}"),
            );
        }
    }

    #[test]
    fn sums_of_ten_million_numbers_stay_accurate() {
        let count = 10_000_000;
        for dims in [&[count][..], &[1000, 10_000], &[2, 100, 50_000], &[625_000, 16]] {
            let mut x = TestTensor::uninitialized(DType::F32, dims);
            let mut rng = Rng(72);
            x.view_mut()
                .slice::<f32>()
                .iter_mut()
                .for_each(|v| *v = (rng.next() >> 40) as f32 / (1 << 24) as f32);
            let exact: f64 = x.view_mut().slice::<f32>().iter().map(|&v| v as f64).sum();
            let axes: Vec<usize> = (0..dims.len()).collect();
            let total = reduce(&x, Reduction::Sum, &axes).get(&[]);
            assert!((total - exact).abs() < 1e-6 * exact, "{dims:?}: {total}, not {exact}");
            if dims.len() == 2 {
                let columns = reduce(&x, Reduction::Sum, &[0]);
                let memory = x.view_mut().slice::<f32>().to_vec();
                for column in [0, dims[1] / 2, dims[1] - 1] {
                    let exact: f64 = memory.iter().skip(column).step_by(dims[1]).map(|&v| v as f64).sum();
                    let got = columns.get(&[column]);
                    assert!(
                        (got - exact).abs() < 2e-6 * exact,
                        "column {column} of {dims:?}: {got}, not {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn reducing_nothing_gives_the_identity() {
        let x = TestTensor::uninitialized(DType::F32, &[2, 0]);
        assert_eq!(reduce(&x, Reduction::Sum, &[1]).values(), [0.0, 0.0]);
        assert_eq!(reduce(&x, Reduction::Prod, &[1]).values(), [1.0, 1.0]);
        assert!(reduce(&x, Reduction::Mean, &[1]).values().iter().all(|v| v.is_nan()));
        assert!(reduce(&x, Reduction::Sum, &[0]).values().is_empty());
        let none = TestTensor::uninitialized(DType::Bool, &[0]);
        assert_eq!(reduce(&none, Reduction::All, &[0]).values(), [1.0]);
        assert_eq!(reduce(&none, Reduction::Any, &[0]).values(), [0.0]);
        let one = TestTensor::new(DType::F16, &[], &[2.5]);
        assert_eq!(reduce(&one, Reduction::Sum, &[]).values(), [2.5]);
        assert_eq!(index_of(3, &[2, 2]).as_slice(), &[1, 1]);
    }
}
