//! What is checked of each case.

use crate::case::{Case, Stack};
use rushlight::config::Config;
use rushlight::layers::{collect_losses, layer_from_config, mask_of};
use rushlight::prelude::*;
use rushlight::tensor::{BATCH, close};
use serde_json::Value;

type Check = Result<(), String>;

fn worded(error: Error) -> String {
    error.to_string()
}

/// Within the tolerance, relative to the largest number.
fn near(what: &str, got: &Tensor, expected: &Tensor, tolerance: f64) -> Check {
    let (dims, wanted) = (got.shape().map_err(worded)?, expected.shape().map_err(worded)?);
    if dims != wanted {
        return Err(format!("{what} is {dims:?}, not {wanted:?}"));
    }
    let numbers = |tensor: &Tensor| tensor.cast(DType::F64).to_vec::<f64>().map_err(worded);
    let (got, expected) = (numbers(got)?, numbers(expected)?);
    let scale = expected.iter().fold(1.0, |most, &number| f64::max(most, number.abs()));
    let wrong = got.iter().zip(&expected).position(|(got, expected)| {
        let is_near = (got - expected).abs() <= tolerance * scale;
        !is_near && got.to_bits() != expected.to_bits()
    });
    match wrong {
        None => Ok(()),
        Some(place) => Err(format!("{what}[{place}] is {}, not {}", got[place], expected[place])),
    }
}

fn all_near(what: &str, got: &[Tensor], expected: &[Tensor], tolerance: f64) -> Check {
    if got.len() != expected.len() {
        return Err(format!("{} {what}s, not {}", got.len(), expected.len()));
    }
    let mut pairs = got.iter().zip(expected).enumerate();
    pairs.try_for_each(|(place, (got, expected))| near(&format!("{what} {place}"), got, expected, tolerance))
}

/// Names, shapes, trainability and number of the weights; the symbolic shape is the actual one.
pub fn build(case: &Case) -> Check {
    let stack = case.unbuilt()?;
    let inputs: Vec<Input> = case
        .inputs
        .iter()
        .map(|input| {
            let spec = input.spec().unwrap();
            Input::new(&spec.dims[1..]).dtype(spec.dtype)
        })
        .collect();
    let mut symbols: Vec<Tensor> = inputs.iter().map(|input| (**input).clone()).collect();
    for layer in &stack.0 {
        symbols = layer.call_many(&symbols);
    }
    let batch = case.inputs[0].shape().map_err(worded)?[0];
    if symbols.len() != case.outputs.len() {
        return Err(format!("{} symbolic outputs, not {}", symbols.len(), case.outputs.len()));
    }
    for (symbol, output) in symbols.iter().zip(&case.outputs) {
        let dims = symbol.shape().map_err(worded)?;
        let closed: Vec<usize> = dims.iter().map(|&dim| close(dim, batch)).collect();
        let actual = output.shape().map_err(worded)?;
        if closed != actual || dims[0] != BATCH {
            return Err(format!("the symbolic shape is {dims:?}, the actual one {actual:?}"));
        }
    }
    let variables = stack.variables();
    let count: usize = variables.iter().map(|variable| variable.spec().count()).sum();
    let expected: usize = case.weights.iter().map(|weight| weight.count().unwrap()).sum();
    if count != expected {
        return Err(format!("{count} parameters, not {expected}"));
    }
    for (((variable, weight), name), &trainable) in
        variables.iter().zip(&case.weights).zip(&case.weight_names).zip(&case.trainable)
    {
        if variable.name().rsplit('/').next() != Some(name) || variable.shape() != weight.shape().unwrap() {
            return Err(format!("{variable:?} instead of {name} {:?}", weight.shape().unwrap()));
        }
        if variable.is_trainable() != trainable {
            return Err(format!("{name} is {}trained", if trainable { "not " } else { "" }));
        }
    }
    case.set_weights(&stack)?;
    // The model that was recorded on symbols computes the same.
    let model = Model::new(&inputs, &symbols).map_err(worded)?;
    if case.masks.is_empty() {
        all_near("output of the model", &model.call_many(&case.inputs), &case.outputs, tolerance(case))?;
    }
    Ok(())
}

/// Layers after an embedding are in single precision, as their input gives no other.
fn tolerance(case: &Case) -> f64 {
    let is_single = case.classes().iter().any(|class| class == "Embedding");
    if is_single { f64::max(case.tolerance, 2e-5) } else { case.tolerance }
}

/// Outputs in both modes, gradients, losses, masks, and what a call while training leaves behind.
pub fn numbers(case: &Case) -> Check {
    let tolerance = tolerance(case);
    let stack = case.built()?;
    let outputs = stack.call(&case.masked_inputs());
    all_near("output", &outputs, &case.outputs, tolerance)?;
    match (mask_of(&outputs[0]), &case.output_mask) {
        (None, None) => {}
        (Some(mask), Some(expected)) => near("mask", &mask, expected, 0.0)?,
        (mask, _) => return Err(format!("{} mask came out", if mask.is_some() { "a" } else { "no" })),
    }
    let inputs = case.masked_inputs();
    let variables = stack.variables();
    let tape = Tape::new();
    inputs.iter().for_each(|input| tape.watch(input));
    let (outputs, mut losses) = collect_losses(|| training(!case.is_random, || stack.call(&inputs)));
    stack.0.iter().for_each(|layer| losses.extend(layer.regularization_losses()));
    if let Some(expected) = &case.training {
        all_near("training output", &outputs, &expected.outputs, tolerance)?;
    }
    let sum = losses.into_iter().reduce(|sum, loss| sum + loss);
    match (&sum, case.losses) {
        (None, None) => {}
        (Some(sum), Some(expected)) => near("loss", sum, &Tensor::scalar(expected), tolerance)?,
        (sum, expected) => return Err(format!("losses {:?}, not {expected:?}", sum.is_some())),
    }
    if let Some(gradients) = &case.gradients {
        let terms = outputs.iter().zip(&gradients.cotangents).map(|(output, cotangent)| {
            let cotangent = cotangent.cast(output.dtype().unwrap_or(DType::F64));
            (output * cotangent).sum(..)
        });
        let total = terms.chain(sum).reduce(|sum, term| sum + term).ok_or("no output")?;
        let floats: Vec<&Tensor> = gradients.of_inputs.keys().map(|&place| &inputs[place]).collect();
        let of_inputs = tape.gradient(&total, &floats).map_err(worded)?;
        for ((place, expected), got) in gradients.of_inputs.iter().zip(&of_inputs) {
            near(&format!("gradient of input {place}"), got, expected, 5.0 * tolerance)?;
        }
        let trained: Vec<Variable> =
            gradients.of_weights.keys().map(|&place| variables[place].clone()).collect();
        let of_weights = tape.gradient_of_variables(&total, &trained).map_err(worded)?;
        for ((place, expected), got) in gradients.of_weights.iter().zip(&of_weights) {
            near(&format!("gradient of {}", case.weight_names[*place]), got, expected, 5.0 * tolerance)?;
        }
    }
    let after = case.training.as_ref().map_or(&[][..], |training| &training.weights_after);
    for ((variable, after), name) in variables.iter().zip(after).zip(&case.weight_names) {
        if let Some(after) = after {
            near(&format!("{name} after training"), &variable.read(), after, tolerance)?;
        }
    }
    Ok(())
}

/// A recorded function of the layers, in both modes, gives what eager calls give, and leaves the same weights behind.
pub fn recorded(case: &Case) -> Check {
    for is_training in [false, true] {
        if is_training && case.is_random {
            continue;
        }
        let (eager, compiled) = (case.built()?, case.built()?);
        let run = |stack: &Stack, inputs: &[Tensor]| training(is_training, || stack.call(inputs));
        let expected = run(&eager, &case.masked_inputs());
        let body = function("layers", |inputs: &Vec<Tensor>| -> Result<Vec<Tensor>> {
            for (input, mask) in inputs.iter().zip(&case.masks) {
                if let Some(mask) = mask {
                    rushlight::layers::set_mask(input, mask);
                }
            }
            Ok(compiled.call(inputs))
        });
        let got = training(is_training, || body.call(&case.inputs)).map_err(worded)?;
        all_near("recorded output", &got, &expected, tolerance(case))?;
        for (got, expected) in compiled.variables().iter().zip(eager.variables()) {
            near(&format!("recorded {}", got.name()), &got.read(), &expected.read(), tolerance(case))?;
        }
    }
    Ok(())
}

/// What Keras writes besides a layer's settings, and what this engine has no use for.
const NOT_SETTINGS: &[&str] = &[
    "dtype",
    "quantization_config",
    "lora_rank",
    "lora_alpha",
    "synchronized",
    "renorm_clipping",
    "renorm_momentum",
    "unroll",
    "use_cudnn",
    "flash_attention",
    "sparse",
    "input_axes",
    "output_axes",
    "registered_name",
    "module",
    "build_config",
    "shared_object_id",
    "stateful",
    "implementation",
    "antialias",
];

/// Keras's settings are in our config, with the same values.
fn same_settings(path: &str, keras: &Value, ours: &Value) -> Check {
    match (keras, ours) {
        (Value::Object(keras), _) => keras.iter().try_for_each(|(key, keras)| {
            let ours = &ours[key];
            let is_left_out = NOT_SETTINGS.contains(&key.as_str()) || (keras.is_null() && ours.is_null());
            if is_left_out { Ok(()) } else { same_settings(&format!("{path}/{key}"), keras, ours) }
        }),
        (Value::Array(keras), Value::Array(ours)) if keras.len() == ours.len() => {
            let mut pairs = keras.iter().zip(ours).enumerate();
            pairs
                .try_for_each(|(place, (keras, ours))| same_settings(&format!("{path}/{place}"), keras, ours))
        }
        (Value::Number(keras), Value::Number(ours)) if keras.as_f64() == ours.as_f64() => Ok(()),
        (keras, ours) if keras == ours => Ok(()),
        _ => Err(format!("{path} is {ours} instead of Keras's {keras}")),
    }
}

/// Keras's config makes the layer, the layer gives Keras's config, and that makes the same layer again.
pub fn configs(case: &Case) -> Check {
    let stack = case.built()?;
    let mut copies = Vec::new();
    for (place, layer) in stack.0.iter().enumerate() {
        let ours = layer.config().map_err(worded)?;
        let json = ours.to_json("keras.layers");
        same_settings(ours.class(), &case.configs[place], &json)?;
        let config = Config::from_json(&json).map_err(worded)?;
        let copy = layer_from_config(&config).map_err(worded)?;
        let again = copy.config().map_err(worded)?;
        if again != ours {
            return Err(format!("the copy's config {again:?} is not {ours:?}"));
        }
        copies.push(copy);
    }
    let copy = Stack(copies);
    copy.call(&case.masked_inputs());
    case.set_weights(&copy)?;
    all_near("output of the copy", &copy.call(&case.masked_inputs()), &case.outputs, tolerance(case))
}

/// A faulty input gives its own error, and leaves the layer unbuilt.
pub fn carried(case: &Case) -> Check {
    let stack = case.unbuilt()?;
    let faulty = Tensor::from([1.0f32, 2.0]).reshape([3]);
    let message = faulty.check().err().ok_or("the input must be faulty")?.to_string();
    for place in 0..case.inputs.len() {
        let mut inputs = case.inputs.clone();
        inputs[place] = faulty.clone();
        let output = &stack.call(&inputs)[0];
        let got = output.check().err().ok_or("the error is gone")?.to_string();
        if got != message {
            return Err(format!("another error came out: {got}"));
        }
    }
    match stack.variables().is_empty() {
        true => Ok(()),
        false => Err("weights were made of a faulty input".to_string()),
    }
}
