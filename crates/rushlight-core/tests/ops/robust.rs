//! Unfit inputs give carried errors, never a panic; small floats give about what large ones give.

use crate::registry::{self, Case};
use rushlight_core::{DType, Tape, Tensor};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Default)]
struct Counts {
    ran: usize,
    refused: usize,
    panics: Vec<String>,
}

/// Runs the case on other inputs, reads all results and gradients; says whether it was refused or panicked.
fn attempt(case: &Case, inputs: &[Tensor], what: &str, counts: &mut Counts) {
    let run = || -> rushlight_core::Result<()> {
        let tape = Tape::new();
        inputs.iter().for_each(|input| tape.watch(input));
        for output in (case.run)(inputs) {
            output.check()?.cast(DType::F64).to_vec::<f64>()?;
            if output.dtype()?.is_float() && case.differentiable {
                for gradient in tape.gradient(&output, &inputs.iter().collect::<Vec<_>>())? {
                    gradient.cast(DType::F64).to_vec::<f64>()?;
                }
            }
        }
        Ok(())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => counts.ran += 1,
        Ok(Err(_)) => counts.refused += 1,
        Err(_) => counts.panics.push(format!("{} with {what}", case.name())),
    }
}

/// Other tensors to put in an input's place, with what is different about them.
fn variations(input: &Tensor) -> Vec<(String, Tensor)> {
    let mut list = Vec::new();
    let rank = input.rank().unwrap() as isize;
    for axis in 0..rank {
        list.push((format!("no elements along axis {axis}"), input.slice_axis(axis, 0, 0)));
        list.push((format!("axis {axis} doubled"), input.repeat(2, axis)));
        list.push((format!("one element along axis {axis}"), input.slice_axis(axis, 0, 1)));
    }
    list.push(("an axis more in front".to_string(), input.expand_dims(0)));
    list.push(("an axis more behind".to_string(), input.expand_dims(-1)));
    list.push(("its elements in one axis".to_string(), input.reshape([-1])));
    list.push(("a scalar".to_string(), input.reshape([-1]).slice_axis(0, 0, 1).squeeze(0)));
    list.push(("a wide view".to_string(), Tensor::full(input.shape().unwrap(), 1.0, input.dtype().unwrap())));
    list
}

#[test]
fn unfit_shapes_and_dtypes_never_panic() {
    let mut counts = Counts::default();
    for case in registry::cases() {
        for index in 0..case.inputs.len() {
            let shapes = variations(&case.inputs[index]);
            let dtypes = DType::ALL.map(|dtype| (format!("dtype {dtype}"), case.inputs[index].cast(dtype)));
            for (what, variation) in shapes.into_iter().chain(dtypes) {
                let mut inputs = case.inputs.clone();
                inputs[index] = variation;
                attempt(&case, &inputs, &format!("input {index}: {what}"), &mut counts);
            }
        }
        for dtype in DType::ALL {
            let inputs: Vec<Tensor> = case.inputs.iter().map(|input| input.cast(dtype)).collect();
            attempt(&case, &inputs, &format!("all inputs {dtype}"), &mut counts);
        }
    }
    println!("unfit inputs: {} calls ran, {} were refused", counts.ran, counts.refused);
    assert!(counts.panics.is_empty(), "panics:\n{}", counts.panics.join("\n"));
}

/// Ops whose results jump where their inputs are rounded.
const JUMPS: [&str; 6] = ["floor_div", "rem", "is_inf", "one_hot", "round", "stop_gradient"];

#[test]
fn small_floats_give_about_the_same() {
    let mut compared = 0;
    for case in registry::cases() {
        if JUMPS.contains(&case.op) {
            continue;
        }
        for (dtype, tolerance) in [(DType::F16, 0.01), (DType::BF16, 0.08)] {
            let is_float = |tensor: &Tensor| tensor.dtype().unwrap() == DType::F64;
            if !case.inputs.iter().any(is_float) {
                continue;
            }
            // What the small dtype holds, in both dtypes.
            let small: Vec<Tensor> = case
                .inputs
                .iter()
                .map(|input| if is_float(input) { input.cast(dtype) } else { input.clone() })
                .collect();
            let wide: Vec<Tensor> = small
                .iter()
                .map(
                    |input| {
                        if input.dtype().unwrap() == dtype { input.cast(DType::F64) } else { input.clone() }
                    },
                )
                .collect();
            for (got, want) in (case.run)(&small).iter().zip((case.run)(&wide)) {
                let name = format!("{} in {dtype}", case.name());
                assert_eq!(got.shape().unwrap(), want.shape().unwrap(), "{name}");
                let expected =
                    if is_float(&want) && case.op != "cast" { dtype } else { got.dtype().unwrap() };
                assert_eq!(got.dtype().unwrap(), expected, "{name}");
                let numbers = |tensor: &Tensor| tensor.cast(DType::F64).to_vec::<f64>().unwrap();
                let want = numbers(&want);
                let scale = want.iter().filter(|x| x.is_finite()).fold(1.0f64, |scale, x| scale.max(x.abs()));
                for (got, want) in numbers(got).iter().zip(&want) {
                    let equal = got == want || (got.is_nan() && want.is_nan());
                    assert!(
                        equal || (got - want).abs() <= tolerance * scale,
                        "{name}: {got} instead of {want}"
                    );
                }
                compared += 1;
            }
        }
    }
    println!("small floats: {compared} results in f16 and bf16");
}
