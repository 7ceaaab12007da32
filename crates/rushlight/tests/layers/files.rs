//! Every layer through `.keras` files, both ways: Keras reads what is written here, and what it then writes itself is
//! read here.

use crate::case::{self, Case};
use crate::peer::{Folder, python};
use rushlight::formats::write_npz;
use rushlight::layers::BUILT_IN_LAYERS;
use rushlight::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

/// Loads each model, holds it to the numbers, and writes it again.
const SCRIPT: &str = r#"
import sys, pathlib, keras, numpy as np
folder = pathlib.Path(sys.argv[1])
for index, tolerance in enumerate(map(float, sys.argv[2:])):
    try:
        model = keras.models.load_model(folder / f"{index}.keras")
        arrays = np.load(folder / f"{index}.npz")
        inputs = [arrays[f"input_{i}"] for i in range(len(model.inputs))]
        outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        assert len(outputs) == len([key for key in arrays if key.startswith("output_")])
        for i, output in enumerate(outputs):
            wanted = arrays[f"output_{i}"]
            scale = max(1.0, abs(wanted).max(initial=0.0))
            np.testing.assert_allclose(np.asarray(output), wanted, 0.0, tolerance * scale)
        model.save(folder / f"by-keras-{index}.keras")
    except Exception as error:
        print(index, " ".join(str(error).split())[:300])
"#;

/// Keras 3.15 on TensorFlow computes this one otherwise than its paper; see `goldens/README.md`.
const WRONG_IN_KERAS: &str = "activation sparsemax";

fn tolerance(case: &Case) -> f64 {
    f64::max(case.tolerance, 1e-5)
}

fn numbered(prefix: &str, tensors: &[Tensor]) -> Vec<(String, Tensor)> {
    tensors.iter().enumerate().map(|(index, tensor)| (format!("{prefix}_{index}"), single(tensor))).collect()
}

/// Floats in single precision, as models in files are.
fn single(tensor: &Tensor) -> Tensor {
    if tensor.dtype().unwrap() == DType::F64 { tensor.cast(DType::F32) } else { tensor.clone() }
}

/// The layers of a case as a model, with Keras's weights.
fn model_of(case: &Case) -> Result<Model, String> {
    let stack = case.unbuilt()?;
    let input = |tensor: &Tensor| {
        let spec = single(tensor).spec().unwrap().clone();
        Input::new(&spec.dims[1..]).dtype(spec.dtype)
    };
    let inputs: Vec<Input> = case.inputs.iter().map(input).collect();
    let symbols: Vec<Tensor> = inputs.iter().map(|input| (**input).clone()).collect();
    let outputs = stack.call(&symbols);
    let model = Model::new(&inputs, &outputs).map_err(|error| error.to_string())?;
    case.set_weights(&stack)?;
    Ok(model)
}

fn check_outputs(case: &Case, model: &Model) -> Result<(), String> {
    let inputs: Vec<Tensor> = case.inputs.iter().map(single).collect();
    let outputs = model.predict_many(&inputs).map_err(|error| error.to_string())?;
    for (output, wanted) in outputs.iter().zip(&case.outputs) {
        let numbers = |tensor: &Tensor| tensor.cast(DType::F64).to_vec::<f64>().unwrap();
        let (output, wanted) = (numbers(output), numbers(wanted));
        let scale = wanted.iter().fold(1.0, |most, &number| f64::max(most, number.abs()));
        for (got, wanted) in output.iter().zip(&wanted) {
            if (got - wanted).abs() > tolerance(case) * scale {
                return Err(format!("{got} is not {wanted}"));
            }
        }
    }
    Ok(())
}

fn write(case: &Case, index: usize, folder: &Path) -> Result<(), String> {
    let model = model_of(case)?;
    model.save(folder.join(format!("{index}.keras"))).map_err(|error| error.to_string())?;
    let arrays = [numbered("input", &case.inputs), numbered("output", &case.outputs)].concat();
    std::fs::write(folder.join(format!("{index}.npz")), write_npz(&arrays).unwrap()).unwrap();
    Ok(())
}

fn read(case: &Case, path: &Path) -> Result<(), String> {
    check_outputs(case, &Model::load(path).map_err(|error| error.to_string())?)
}

#[test]
fn every_layer_goes_through_files_both_ways() {
    let cases: Vec<&Case> = case::all()
        .iter()
        .filter(|case| case.masks.iter().all(Option::is_none) && case.name != WRONG_IN_KERAS)
        .collect();
    let seen: BTreeSet<String> = cases.iter().flat_map(|case| case.classes()).collect();
    let missing: Vec<&&str> = BUILT_IN_LAYERS.iter().filter(|class| !seen.contains(**class)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    let folder = Folder::new("layers");
    let mut failures = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let path = folder.0.join(format!("{index}.keras"));
        if let Err(failure) = write(case, index, &folder.0).and_then(|()| read(case, &path)) {
            failures.push(format!("{}: {failure}", case.name));
        }
    }
    let mut arguments = vec![folder.0.display().to_string()];
    arguments.extend(cases.iter().map(|case| tolerance(case).to_string()));
    if let Some(said) = python(SCRIPT, &arguments) {
        for line in said.lines() {
            let (index, failure) = line.split_once(' ').unwrap();
            failures.push(format!("{} in Keras: {failure}", cases[index.parse::<usize>().unwrap()].name));
        }
        for (index, case) in cases.iter().enumerate() {
            let path = folder.0.join(format!("by-keras-{index}.keras"));
            if let Some(failure) = path.exists().then(|| read(case, &path).err()).flatten() {
                failures.push(format!("{} written by Keras: {failure}", case.name));
            }
        }
        eprintln!("{} cases of {} layers went through Keras", cases.len(), seen.len());
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
