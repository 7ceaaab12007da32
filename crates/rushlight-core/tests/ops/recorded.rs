//! Every op gives the same results when it runs eagerly and when it is recorded, compiled and called.

use crate::registry::{self, Case, uniform};
use rushlight_core::{DType, Result, Tape, Tensor, function};

/// Outputs, and the gradients of weighted sums of each where they have any.
pub fn outputs_and_gradients(case: &Case, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let tape = Tape::new();
    let floats: Vec<&Tensor> =
        inputs.iter().filter(|input| input.dtype().is_ok_and(DType::is_float)).collect();
    floats.iter().for_each(|input| tape.watch(input));
    let mut results = (case.run)(inputs);
    if case.differentiable {
        let floats_out: Vec<Tensor> =
            results.iter().filter(|output| output.dtype().is_ok_and(DType::is_float)).cloned().collect();
        for output in floats_out {
            let spec = output.spec()?;
            // Of the sum of some outputs, such as those of softmax, the gradient is zero but for rounding.
            let weights = uniform(40, &spec.dims, -1.0, 1.0).cast(spec.dtype);
            results.extend(tape.gradient_from(&output, &weights, &floats)?);
        }
    }
    Ok(results)
}

pub fn as_bits(tensor: &Tensor) -> Vec<u64> {
    let elements = tensor.cast(DType::F64).to_vec::<f64>().unwrap();
    // Adding zero gives both zeros one sign; all NaN are one.
    elements.iter().map(|x| if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }).collect()
}

fn compare(case: &Case, inputs: &[Tensor], what: &str) -> (usize, usize) {
    let eager = outputs_and_gradients(case, inputs).unwrap();
    let compiled = function("case", |inputs: &Vec<Tensor>| outputs_and_gradients(case, inputs));
    let mut bitwise = 0;
    for call in 0..2 {
        let got = compiled.call(&inputs.to_vec()).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        assert_eq!(got.len(), eager.len(), "{} ({what})", case.name());
        bitwise = 0;
        for (index, (got, want)) in got.iter().zip(&eager).enumerate() {
            let name = format!("{} ({what}), result {index}, call {call}", case.name());
            assert_eq!(got.spec().unwrap(), want.spec().unwrap(), "{name}");
            if as_bits(got) == as_bits(want) {
                bitwise += 1;
                continue;
            }
            let near = if what == "f32" { 1e-5 } else { 1e-12 };
            let (got, want) = (
                got.cast(DType::F64).to_vec::<f64>().unwrap(),
                want.cast(DType::F64).to_vec::<f64>().unwrap(),
            );
            let scale = want.iter().filter(|x| x.is_finite()).fold(1e-2f64, |scale, x| scale.max(x.abs()));
            for (place, (got, want)) in got.iter().zip(&want).enumerate() {
                let equal =
                    got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= near * scale;
                assert!(equal, "{name}, element {place}: {got} compiled, {want} eager");
            }
        }
    }
    (eager.len(), bitwise)
}

#[test]
fn compiled_functions_equal_eager_execution() {
    let (mut cases, mut results, mut bitwise) = (0, 0, 0);
    for case in registry::cases() {
        for what in ["f64", "f32"] {
            let inputs: Vec<Tensor> = case
                .inputs
                .iter()
                .map(|input| match (what, input.dtype().unwrap()) {
                    ("f32", DType::F64) => input.cast(DType::F32),
                    _ => input.clone(),
                })
                .collect();
            let (total, equal) = compare(&case, &inputs, what);
            (cases, results, bitwise) = (cases + 1, results + total, bitwise + equal);
        }
    }
    println!(
        "eager = compiled: {cases} cases, {results} results and gradients, {bitwise} of them bit by bit"
    );
}
