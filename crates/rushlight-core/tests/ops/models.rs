//! Every op in a functional model: recorded with an open batch axis, run with a batch of another size.

use crate::registry::{self, Case};
use rushlight_core::tensor::BATCH;
use rushlight_core::trace::model::ModelGraph;
use rushlight_core::{DType, Spec, Tensor, concat, trace};

/// The inputs with symbols of a model in the place of some of them, and those symbols.
fn symbolic(case: &Case, chosen: &[usize]) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut inputs = case.inputs.clone();
    let mut symbols = Vec::new();
    for &index in chosen {
        let spec = inputs[index].spec().unwrap();
        let mut dims = spec.dims.clone();
        dims[0] = BATCH;
        inputs[index] = trace::model_input(&format!("input {index}"), Spec::new(dims, spec.dtype));
        symbols.push(inputs[index].clone());
    }
    (inputs, symbols)
}

/// The model's outputs for a batch twice as large as the case's, compared with eager results.
///
/// Nothing if the op refuses an open axis, or a larger batch does not fit the other inputs.
fn compare(case: &Case, chosen: &[usize]) -> Option<usize> {
    let (inputs, symbols) = symbolic(case, chosen);
    let outputs: Vec<Tensor> = (case.run)(&inputs)
        .into_iter()
        .filter(|output| output.error().is_some() || output.is_of_model())
        .collect();
    if outputs.is_empty() || outputs.iter().any(|output| output.check().is_err()) {
        return None;
    }
    let mut real = case.inputs.clone();
    for &index in chosen {
        real[index] = concat(&[&real[index], &real[index]], 0);
    }
    let name = format!("{} with open inputs {chosen:?}", case.name());
    let symbols: Vec<&Tensor> = symbols.iter().collect();
    let graph = ModelGraph::new(&symbols, &outputs.iter().collect::<Vec<_>>())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let got = graph.run(&chosen.iter().map(|&index| &real[index]).collect::<Vec<_>>());
    let want = (case.run)(&real);
    if want.iter().any(|output| output.check().is_err()) {
        got.iter().for_each(|output| assert!(output.check().is_err(), "{name}: an error went unnoticed"));
        return None;
    }
    for (got, want) in got.iter().zip(&want) {
        let got_spec = got.spec().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(got_spec, want.spec().unwrap(), "{name}");
        let numbers = |tensor: &Tensor| tensor.cast(DType::F64).to_vec::<f64>().unwrap();
        for (got, want) in numbers(got).iter().zip(numbers(want)) {
            // Without the size of the batch einsum may multiply in another order.
            let equal = *got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() < 1e-12;
            assert!(equal, "{name}: {got} instead of {want}");
        }
    }
    Some(got.len())
}

#[test]
fn models_run_every_op_that_takes_an_open_batch() {
    let (mut ran, mut refused, mut results) = (0, 0, 0);
    for case in registry::cases() {
        let sizes: Vec<Option<usize>> =
            case.inputs.iter().map(|input| input.shape().unwrap().first().copied()).collect();
        let Some(Some(first)) = sizes.first() else { continue };
        let same: Vec<usize> = (0..sizes.len()).filter(|&index| sizes[index] == Some(*first)).collect();
        let mut choices = vec![vec![0]];
        if same.len() > 1 {
            choices.push(same);
        }
        for chosen in choices {
            match compare(&case, &chosen) {
                Some(count) => (ran, results) = (ran + 1, results + count),
                None => refused += 1,
            }
        }
    }
    println!("models: {ran} cases with an open batch, {results} results; {refused} refused it");
    assert!(ran > 300, "only {ran} cases ran");
}
