//! Losses and metrics give what Keras's give, values and gradients: goldens/make_losses.py made the numbers.

use rushlight::config::Config;
use rushlight::prelude::*;
use rushlight::{losses, metrics, run_functions_eagerly};
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/losses.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect()
}

fn config(case: &Value) -> Config {
    let values = case["config"].as_object().unwrap();
    values.iter().fold(Config::new(case["class"].as_str().unwrap()), |config, (key, value)| {
        config.with(key, value.clone())
    })
}

/// Targets, predictions and weights of a case.
fn data(golden: &Value, case: &Value, integral: bool, dtype: DType) -> (Tensor, Tensor, Tensor) {
    let data = &golden["data"][case["data"].as_str().unwrap()];
    let tensor = |part: usize, key: &str| {
        let dims: Vec<usize> = numbers(&data["shapes"][part]).iter().map(|&size| size as usize).collect();
        Tensor::new(&numbers(&data[key]), dims)
    };
    let targets = tensor(0, "targets");
    let targets = if data["integers"] == true { targets.cast(DType::I32) } else { targets.cast(dtype) };
    let predictions = tensor(1, "predictions").cast(dtype);
    let count = targets.shape().unwrap()[0];
    let divisor = if integral { 1.0 } else { 2.0 };
    let weights: Vec<f64> = (0..count).map(|index| ((3 * index + 2) % 5) as f64 / divisor).collect();
    (targets, predictions, Tensor::from(weights))
}

fn close(what: &str, got: &Tensor, wanted: &Value, tolerance: f64) {
    let got: Vec<f64> = got.cast(DType::F64).reshape([-1]).to_vec().unwrap();
    let wanted = numbers(wanted);
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (a, b) in got.iter().zip(&wanted) {
        let fits = (a - b).abs() <= tolerance * b.abs().max(1.0) || (a.is_nan() && b.is_nan());
        assert!(fits, "{what}: {got:?}, Keras has {wanted:?}");
    }
}

/// Equal up to the way numbers are written; what Keras has beyond our arguments does not count.
fn same_config(what: &str, own: &Config, wanted: &Value) {
    for (key, value) in own.values() {
        let theirs = &wanted[key];
        let equal = match (value.as_f64(), theirs.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => value == theirs || (key == "thresholds" && theirs.is_number()),
        };
        // Names have numbers behind them in Keras where there are several of a class.
        assert!(equal || key == "name", "{what}: {key} is {value}, in Keras {theirs}");
    }
}

fn check_losses(golden: &Value, dtype: DType) {
    let cases = golden["losses"].as_array().unwrap();
    assert!(cases.len() >= 45);
    for case in cases {
        let loss = losses::from_config(&config(case)).unwrap();
        let (targets, predictions, weights) = data(golden, case, false, dtype);
        let what = format!("{} {} of {} in {dtype}", case["class"], case["config"], case["data"]);
        // TensorFlow has CTC in float32 only.
        let tolerance = if dtype == DType::F64 && case["class"] != "CTC" { 1e-7 } else { 2e-5 };
        let tolerance = if case["class"] == "Circle" && dtype == DType::F32 { 1e-3 } else { tolerance };
        for (key, weights) in [("plain", None), ("weighted", Some(&weights))] {
            let Some(wanted) = case.get(key) else { continue };
            let recorded = function("loss", |targets: &Tensor, predictions: &Tensor| {
                let tape = Tape::new();
                tape.watch(predictions);
                let value = loss.reduced(targets, predictions, weights);
                let gradients = tape.gradient(&value.sum(..), &[predictions])?;
                Ok::<_, Error>((value, gradients))
            });
            let (value, gradients) = recorded.call2(&targets, &predictions).unwrap();
            close(&format!("{what}, {key}"), &value, wanted, tolerance);
            let gradient = &case[format!("{key}_gradient")];
            close(&format!("{what}, {key} gradient"), &gradients[0], gradient, tolerance);
        }
        same_config(&what, &loss.config().unwrap(), &case["config"]);
    }
}

#[test]
fn all_losses_equal_keras() {
    let golden = golden();
    check_losses(&golden, DType::F64);
    check_losses(&golden, DType::F32);
    run_functions_eagerly(|| check_losses(&golden, DType::F64));
}

fn check_metrics(golden: &Value, dtype: DType) {
    let cases = golden["metrics"].as_array().unwrap();
    assert!(cases.len() >= 55);
    for case in cases {
        let metric = metrics::from_config(&config(case)).unwrap();
        let class = case["class"].as_str().unwrap();
        let (targets, predictions, weights) = data(golden, case, class.contains("IoU"), dtype);
        let what = format!("{class} {} of {} in {dtype}", case["config"], case["data"]);
        let tolerance = if dtype == DType::F64 { 1e-6 } else { 2e-5 };
        let count = targets.shape().unwrap()[0];
        let half = count.div_ceil(2);
        let update = function("update", |t: &Tensor, p: &Tensor, w: &Vec<Tensor>| {
            metric.update_weighted(t, p, w.first())
        });
        for key in ["plain", "weighted"] {
            let Some(wanted) = case.get(key) else { continue };
            metric.reset().unwrap();
            for (from, to) in [(0, half), (half, count)] {
                let part = |tensor: &Tensor| tensor.slice_axis(0, from, to);
                let weights = if key == "weighted" { vec![part(&weights)] } else { vec![] };
                update.call3(&part(&targets), &part(&predictions), &weights).unwrap();
            }
            close(&format!("{what}, {key}"), &metric.result(), wanted, tolerance);
        }
        let config = metric.config().unwrap();
        assert_eq!(config.class(), class);
        same_config(&what, &config, &case["config"]);
        metric.reset().unwrap();
        metric.update(&targets, &predictions).unwrap();
    }
}

#[test]
fn all_metrics_equal_keras() {
    let golden = golden();
    check_metrics(&golden, DType::F64);
    check_metrics(&golden, DType::F32);
    run_functions_eagerly(|| check_metrics(&golden, DType::F64));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (a, b) = (Tensor::zeros([2, 3], DType::F32), Tensor::zeros([2, 3, 4], DType::F32));
    let error = MeanSquaredError.mean(&a, &b).check().err().unwrap().to_string();
    assert!(error.starts_with("[mean_squared_error] targets and predictions (second) must have"), "{error}");
    assert!(Precision::new().update(&a, &b).is_err());
    let error = Ctc.mean(&a, &a).check().err().unwrap().to_string();
    assert!(error.contains("[batch, steps, classes]: got [2, 3] and [2, 3]"), "{error}");
    let error = losses::from_config(&Config::new("Guess")).err().unwrap().to_string();
    assert_eq!(error, "[losses] there is no loss `Guess`");
    assert!(losses::from_config(&Config::new("Huber").with("reduction", "max")).is_err());
    assert_eq!(
        metrics::from_config(&Config::new("Guess")).err().unwrap().to_string(),
        "[metrics] there is no metric `Guess`"
    );
    // An error that comes along is passed on.
    let faulty = &a + &Tensor::zeros([5], DType::F32);
    for loss in [
        losses::from_config(&Config::new("Hinge")).unwrap(),
        losses::from_config(&Config::new("Dice")).unwrap(),
    ] {
        assert!(loss.mean(&a, &faulty).check().err().unwrap().to_string().starts_with("[add]"));
    }
}

#[test]
fn half_precision_is_judged_in_single() {
    let targets = Tensor::from([[1.0f32, 0.0], [0.0, 1.0]]);
    let predictions = Tensor::from([[0.75f32, 0.25], [0.5, 0.5]]);
    let loss = MeanSquaredError.mean(&targets, &predictions.cast(DType::BF16));
    assert_eq!(loss.dtype().unwrap(), DType::F32);
    assert_eq!(
        loss.item::<f32>().unwrap(),
        MeanSquaredError.mean(&targets, &predictions).item::<f32>().unwrap()
    );
}
