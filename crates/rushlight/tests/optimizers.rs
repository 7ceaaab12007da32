//! Optimizers and learning rate schedules do what Keras's do: goldens/make_optimizers.py made the numbers.

use rushlight::config::Config;
use rushlight::optimizers::{from_config, schedules};
use rushlight::prelude::*;
use rushlight::run_functions_eagerly;
use serde_json::Value;
use std::sync::Arc;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/optimizers.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|number| number.as_f64().unwrap()).collect()
}

fn config(golden: &Value) -> Config {
    let values = golden["config"].as_object().unwrap();
    values.iter().fold(Config::new(golden["class"].as_str().unwrap()), |config, (key, value)| {
        config.with(key, value.clone())
    })
}

fn close(what: &str, got: &Tensor, wanted: &Value, tolerance: f64) {
    let got: Vec<f64> = got.cast(DType::F64).reshape([-1]).to_vec().unwrap();
    let wanted = numbers(wanted);
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (a, b) in got.iter().zip(&wanted) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what}: {got:?}, Keras has {wanted:?}");
    }
}

/// The same steps as Keras's, recorded or eager.
fn replay(golden: &Value, case: &Value, dtype: DType) {
    let optimizer = from_config(&config(case)).unwrap();
    let what = format!("{} {} in {dtype}", case["class"], case["config"]);
    let dims = |index: usize| -> Vec<usize> {
        numbers(&golden["shapes"][index]).iter().map(|&size| size as usize).collect()
    };
    let tensor = |values: &Value, index: usize| Tensor::new(&numbers(values), dims(index)).cast(dtype);
    let names = list(&golden["names"]).iter().map(|name| name.as_str().unwrap()).enumerate();
    let variables: Vec<Variable> =
        names.map(|(i, name)| Variable::new(name, &tensor(&golden["start"][i], i)).unwrap()).collect();
    let step = function("step", {
        let (optimizer, variables) = (optimizer.clone(), variables.clone());
        move |gradients: &Vec<Tensor>| -> Result<Tensor> {
            optimizer.apply(gradients, &variables)?;
            Ok(optimizer.state().iterations().read())
        }
    });
    // Keras takes betas through float32 on their way to their powers.
    let tolerance = if dtype == DType::F64 { 2e-6 } else { 2e-5 };
    let steps = list(&golden["gradients"]);
    for (index, gradients) in steps.iter().enumerate() {
        let mut gradients: Vec<Tensor> =
            list(gradients).iter().enumerate().map(|(i, values)| tensor(values, i)).collect();
        if case["class"] == "LossScaleOptimizer" && index == 4 {
            gradients[1] = &gradients[1] * f64::INFINITY;
        }
        step.call(&gradients).unwrap();
        let stage = [3, steps.len()].iter().position(|&after| after == index + 1);
        for (i, variable) in variables.iter().enumerate().filter(|_| stage.is_some()) {
            let wanted = &case["weights"][stage.unwrap()][i];
            close(
                &format!("{what}: {} after step {index}", variable.name()),
                &variable.read(),
                wanted,
                tolerance,
            );
        }
    }
    let (own, theirs) = (optimizer.variables(), list(&case["variables"]));
    assert_eq!(own.len(), theirs.len(), "{what}: {own:?}");
    let names = list(&case["names"]).iter().map(|name| name.as_str().unwrap());
    for (variable, name) in own.iter().zip(names) {
        // Keras names these after the variable alone, or by a number.
        let unnamed = ["/u_product", "_r", "_c"].iter().any(|end| variable.name().ends_with(end));
        assert!(unnamed || variable.name().ends_with(&format!("/{name}")), "{variable:?}, in Keras {name}");
    }
    for (variable, wanted) in own.iter().zip(theirs) {
        close(&format!("{what}: {}", variable.name()), &variable.read(), wanted, tolerance);
    }
    let (rate, wanted) = (optimizer.learning_rate().unwrap(), case["rate"].as_f64().unwrap());
    assert!((rate - wanted).abs() <= 1e-8, "{what}: {rate}, in Keras {wanted}");
    assert!(step.recordings().recording_count() <= 1, "{what}: learning rates and counters are variables");
    // The same description again, but for the name, whose number depends on what else was made.
    for (key, wanted) in case["config"].as_object().unwrap() {
        let (config, optimizer) = (optimizer.config(), &what);
        let got = config.values().get(key).unwrap_or(&Value::Null);
        assert!(alike(got, wanted), "{optimizer}: {key} is {got}, in Keras {wanted}");
    }
}

/// Equal up to the way numbers are written, and names.
fn alike(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-15 * b.abs()
        }
        (Value::Object(a), Value::Object(b)) => {
            b.iter().all(|(key, wanted)| key == "name" || alike(a.get(key).unwrap_or(&Value::Null), wanted))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::String(a), Value::String(b)) => {
            a == b || b.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_') == a
        }
        _ => got == wanted,
    }
}

#[test]
fn all_optimizers_equal_keras_recorded_and_eager() {
    let golden = golden();
    let cases = list(&golden["optimizers"]);
    assert!(cases.len() >= 45);
    for case in cases {
        for dtype in [DType::F64, DType::F32] {
            replay(&golden, case, dtype);
            run_functions_eagerly(|| replay(&golden, case, dtype));
        }
    }
}

#[test]
fn all_schedules_equal_keras() {
    let golden = golden();
    for case in list(&golden["schedules"]) {
        let schedule = schedules::from_config(&config(case)).unwrap();
        for (step, wanted) in numbers(&case["rates"]).iter().enumerate() {
            let rate = schedule.rate(&Tensor::scalar(step as f64)).to_f64().unwrap();
            let (class, arguments) = (&case["class"], &case["config"]);
            assert!(
                (rate - wanted).abs() <= 2e-7 * wanted.abs() + 2e-8,
                "{class} {arguments} at {step}: {rate}, in Keras {wanted}"
            );
        }
        let own = schedule.config().unwrap();
        for (key, wanted) in case["config"].as_object().unwrap().iter().filter(|(key, _)| *key != "name") {
            assert!(alike(&own.values()[key], wanted), "{key} of {own:?}");
        }
    }
}

#[test]
fn builders_describe_what_keras_describes_by_default() {
    let golden = golden();
    let defaults: Vec<Arc<dyn Optimizer>> = vec![
        Arc::new(Sgd::new(0.01)),
        Arc::new(RmsProp::new(0.001)),
        Arc::new(Adam::new(0.001)),
        Arc::new(AdamW::new(0.001)),
        Arc::new(Adamax::new(0.001)),
        Arc::new(Adadelta::new(0.001)),
        Arc::new(Adagrad::new(0.001)),
        Arc::new(Nadam::new(0.001)),
        Arc::new(Ftrl::new(0.001)),
        Arc::new(Lion::new(0.001)),
        Arc::new(Adafactor::new(0.001)),
        Arc::new(Lamb::new(0.001)),
        Arc::new(Muon::new(0.001)),
    ];
    for optimizer in defaults {
        let own = optimizer.config();
        let first = list(&golden["optimizers"]).iter().find(|case| case["class"] == own.class()).unwrap();
        for (key, wanted) in first["config"].as_object().unwrap() {
            assert!(alike(&own.values()[key], wanted), "{key} of {own:?}, in Keras {wanted}");
        }
    }
}

#[test]
fn arguments_that_make_no_sense_change_nothing() {
    let w = Variable::new("w", &Tensor::scalar(1.0f32)).unwrap();
    let refuses = |optimizer: &dyn Optimizer, text: &str| {
        let one = Tensor::scalar(1.0f32);
        let error = optimizer.apply(&[one], std::slice::from_ref(&w)).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert_eq!(w.read().item::<f32>().unwrap(), 1.0);
    };
    refuses(&Sgd::new(0.1).clipnorm(1.0).clipvalue(1.0), "only one of clipnorm");
    refuses(&Sgd::new(0.1).clipnorm(-1.0), "above 0, not -1");
    refuses(&Sgd::new(0.1).momentum(1.5), "`momentum` must be in [0, 1], not 1.5");
    refuses(&Adam::new(0.1).use_ema(2.0), "must be in [0, 1], not 2");
    refuses(&Adam::new(0.1).gradient_accumulation_steps(1), "2 or more steps, not 1");
    refuses(&Ftrl::new(0.1).l1(-1.0), "must not be negative");
    refuses(&Sgd::new(CosineDecay::new(0.1, 0)), "above 0, not 0");
    refuses(&Sgd::new(PiecewiseConstantDecay::new(&[1], &[0.1])), "1 for 1");
    let error = Sgd::new(CosineDecay::new(0.1, 5)).set_learning_rate(1.0).unwrap_err().to_string();
    assert!(error.contains("follows a schedule"), "{error}");
    let error = from_config(&Config::new("Newton")).err().unwrap().to_string();
    assert_eq!(error, "[optimizers] there is no optimizer `Newton`");
    assert!(from_config(&Config::new("SGD").with("momentum", "much")).is_err());
}

#[test]
fn biases_can_be_spared_from_decay() {
    let variables =
        ["dense/kernel", "dense/bias"].map(|name| Variable::new(name, &Tensor::scalar(1.0f32)).unwrap());
    let zeros = [Tensor::scalar(0.0f32), Tensor::scalar(0.0f32)];
    Sgd::new(0.1).weight_decay(0.5).exclude_from_weight_decay(&["bias"]).apply(&zeros, &variables).unwrap();
    assert_eq!(variables.map(|variable| variable.read().item::<f32>().unwrap()), [0.95, 1.0]);
}
