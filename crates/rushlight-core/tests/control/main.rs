//! Loops and branches: eager = recorded = compiled, their gradients to the second order, variables in them, errors.

mod cases;
mod errors;
mod gradients;
mod variables;

use cases::{Case, cases};
use rushlight_core::trace::model::ModelGraph;
use rushlight_core::trace::model_input;
use rushlight_core::{Result, Tensor, function};

/// The elements of a tensor of any dtype.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.cast(rushlight_core::DType::F64).to_vec().expect("a value")
}

fn assert_same(name: &str, expected: &[Tensor], got: &[Tensor]) {
    assert_eq!(expected.len(), got.len(), "{name}");
    for (number, (expected, got)) in expected.iter().zip(got).enumerate() {
        assert_eq!(expected.spec().unwrap(), got.spec().unwrap(), "{name}: result {number}");
        let scale = numbers(expected).iter().fold(1.0f64, |scale, x| scale.max(x.abs()));
        for (a, b) in numbers(expected).iter().zip(numbers(got)) {
            assert!((a - b).abs() <= 1e-12 * scale, "{name}: result {number}: {a} became {b}");
        }
    }
}

#[test]
fn eager_equals_compiled() -> Result<()> {
    for Case { name, inputs, run } in cases() {
        let eager = run(&inputs)?;
        let compiled = function("case", |inputs: &Vec<Tensor>| run(inputs));
        assert_same(name, &eager, &compiled.call(&inputs)?);
        assert_same(name, &eager, &compiled.call(&inputs)?);
        assert_eq!(compiled.recordings().recording_count(), 1, "{name}");
    }
    Ok(())
}

#[test]
fn eager_equals_recorded_and_run_node_by_node() -> Result<()> {
    for Case { name, inputs, run } in cases() {
        let symbols: Vec<Tensor> =
            inputs.iter().map(|input| model_input("x", input.spec().unwrap().clone())).collect();
        let outputs = run(&symbols)?;
        let graph = ModelGraph::new(
            &symbols.iter().collect::<Vec<_>>(),
            &outputs.iter().filter(|output| output.is_of_model()).collect::<Vec<_>>(),
        )?;
        let got = graph.run(&inputs.iter().collect::<Vec<_>>());
        let eager = run(&inputs)?;
        let of_model = outputs.iter().zip(eager).filter(|(output, _)| output.is_of_model());
        let eager: Vec<Tensor> = of_model.map(|(_, eager)| eager).collect();
        assert_same(name, &eager, &got);
    }
    Ok(())
}
