//! Training by the command what Keras has begun, and going on after a kill.

mod common;

use common::Scratch;
use rushlight::formats::{read_npz, write_npy, write_npz};
use rushlight::prelude::*;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rushlight/tests/formats/files/");

/// Puts a model of Keras's, its inputs and its targets into the directory.
fn put(scratch: &Scratch, name: &str) -> Vec<(String, Tensor)> {
    let older = std::fs::read(format!("{FILES}{name}.h5"));
    scratch
        .write("m.keras", &older.unwrap_or_else(|_| std::fs::read(format!("{FILES}{name}.keras")).unwrap()));
    let arrays = read_npz(&std::fs::read(format!("{FILES}{name}.npz")).unwrap()).unwrap();
    let some = |from: &str, to: &str| {
        let chosen = arrays.iter().filter_map(|(name, array)| {
            Some((format!("{to}_{}", name.strip_prefix(from)?.strip_prefix('_')?), array.clone()))
        });
        write_npz(&chosen.collect::<Vec<_>>()).unwrap()
    };
    scratch.write("x.npz", &some("input", "input"));
    scratch.write("y.npz", &some("target", "output"));
    arrays
}

fn json(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(scratch.0.join(name)).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_close(got: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() <= tolerance * wanted.abs().max(1.0), "{what}: {got} is not {wanted}");
    }
}

const FIT: [&str; 6] = ["fit", "m.keras", "--input", "x.npz", "--target", "y.npz"];

/// Trains as the script that made the files did.
#[track_caller]
fn fit(scratch: &Scratch, epochs: &str, options: &[&str]) {
    let mut arguments = FIT.to_vec();
    arguments.extend(["--batch-size", "4", "--epochs", epochs, "--history", "h.json", "--save", "out.keras"]);
    if !options.contains(&"--shuffle") {
        arguments.extend(["--shuffle", "false"]);
    }
    arguments.extend(options);
    let said = scratch.run(&arguments).succeeded();
    // A run that goes on may have come to its end before.
    assert!(said.contains("loss") || options.contains(&"--resume"), "{said}");
}

#[test]
fn training_goes_on_as_in_keras() {
    for name in ["sequential", "dense_block", "shared_and_nested", "recurrent", "masks", "legacy_trained"] {
        let scratch = Scratch::new();
        let arrays = put(&scratch, name);
        let find = |key: &str| &arrays.iter().find(|(known, _)| known == key).unwrap().1;
        let losses = find("loss").to_vec::<f64>().unwrap();
        // Each epoch has two batches of four.
        fit(&scratch, &(losses.len() / 2).to_string(), &[]);
        assert_close(&numbers(&json(&scratch, "h.json")["batch_loss"]), &losses, 1e-4, name);
        assert_eq!(numbers(&json(&scratch, "h.json")["loss"]).len(), losses.len() / 2);
        scratch.run(&["predict", "out.keras", "--input", "x.npz", "--output", "p.npz"]).succeeded();
        let predictions = read_npz(&std::fs::read(scratch.0.join("p.npz")).unwrap()).unwrap();
        for (index, (_, prediction)) in predictions.iter().enumerate() {
            let got = prediction.cast(DType::F64).to_vec::<f64>().unwrap();
            let wanted = find(&format!("trained_{index}")).cast(DType::F64).to_vec::<f64>().unwrap();
            // Adam divides by roots of gradients near zero.
            assert_close(&got, &wanted, 5e-4, name);
        }
    }
}

#[test]
fn what_is_saved_goes_on_to_the_same_bits() {
    let scratch = Scratch::new();
    put(&scratch, "dense_block");
    fit(&scratch, "4", &[]);
    let all = numbers(&json(&scratch, "h.json")["batch_loss"]);
    fit(&scratch, "2", &[]);
    std::fs::rename(scratch.0.join("out.keras"), scratch.0.join("m.keras")).unwrap();
    let mut parts = numbers(&json(&scratch, "h.json")["batch_loss"]);
    fit(&scratch, "2", &[]);
    parts.extend(numbers(&json(&scratch, "h.json")["batch_loss"]));
    // The file has single precision, as the weights are.
    assert_close(&parts, &all, 1e-6, "losses");
}

/// Where a Python with Keras is at hand (`RUSHLIGHT_PYTHON`).
#[test]
fn keras_goes_on_where_the_command_stopped() {
    let Ok(python) = std::env::var("RUSHLIGHT_PYTHON") else {
        eprintln!("skipped: RUSHLIGHT_PYTHON names no Python with Keras");
        return;
    };
    for name in ["sequential", "dense_block", "shared_and_nested"] {
        let scratch = Scratch::new();
        let arrays = put(&scratch, name);
        let losses = arrays.iter().find(|(known, _)| known == "loss").unwrap().1.to_vec::<f64>().unwrap();
        fit(&scratch, "1", &[]);
        let script = r#"
import sys, keras, numpy as np
model = keras.models.load_model("out.keras")
x, y = (np.load(f) for f in ("x.npz", "y.npz"))
x, y = ([a[k] for k in sorted(a)] for a in (x, y))
history = model.fit(x if len(x) > 1 else x[0], y if len(y) > 1 else y[0], epochs=2, batch_size=4, shuffle=False, verbose=0)
print(*history.history["loss"])
assert int(model.optimizer.iterations) > 2
"#;
        let mut command = std::process::Command::new(&python);
        command.args(["-c", script]).current_dir(&scratch.0).env("CUDA_VISIBLE_DEVICES", "-1");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("Skipping variable loading"), "{name}");
        let last = said.lines().last().unwrap_or_default();
        let got: Vec<f64> = last.split_whitespace().map(|text| text.parse().unwrap()).collect();
        // Each epoch has two batches of four.
        let wanted: Vec<f64> = losses.chunks(2).skip(1).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
        assert_close(&got, &wanted, 1e-4, name);
    }
}

/// Noise, an order that changes, callbacks that count, and a part to validate with.
const EVERYTHING: [&str; 6] = [
    "--shuffle",
    "true",
    "--validation-split",
    "0.25",
    "--callbacks",
    "early-stopping=8,reduce-lr-on-plateau=1,terminate-on-nan",
];

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let whole = Scratch::new();
    put(&whole, "masks");
    let epochs = "20";
    let start = std::time::Instant::now();
    fit(&whole, epochs, &[&EVERYTHING[..], &["--logdir", "logs"]].concat());
    // The first kill comes well before such a run ends, however fast the machine is.
    let mut wait = start.elapsed() / 4;
    let wanted = (std::fs::read(whole.0.join("out.keras")).unwrap(), json(&whole, "h.json"));
    let scratch = Scratch::new();
    put(&scratch, "masks");
    let mut arguments = FIT.to_vec();
    arguments.extend(["--batch-size", "4", "--epochs", epochs, "--history", "h.json", "--save", "out.keras"]);
    arguments.extend(EVERYTHING);
    arguments.extend(["--logdir", "logs", "--resume"]);
    let mut kills = 0;
    loop {
        let mut child =
            scratch.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = std::time::Instant::now() + wait;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if std::time::Instant::now() >= deadline => break None,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        if let Some(status) = status {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        // Other moments each time, and in the end enough time to finish.
        wait += wait / 3 + Duration::from_millis(3);
    }
    assert!(kills > 0);
    assert!(std::fs::read(scratch.0.join("out.keras")).unwrap() == wanted.0, "after {kills} kills");
    assert_eq!(json(&scratch, "h.json"), wanted.1);
}

/// Stopping early, whether or not there was a kill in between: here after each epoch.
#[test]
fn callbacks_remember_what_they_counted() {
    let options = ["--validation-split", "0.5", "--callbacks", "early-stopping=2,reduce-lr-on-plateau=1"];
    let whole = Scratch::new();
    put(&whole, "sequential");
    fit(&whole, "30", &[&options[..], &["--learning-rate", "0.5", "--logdir", "logs"]].concat());
    let wanted = json(&whole, "h.json");
    let epochs = numbers(&wanted["val_loss"]).len();
    assert!((3..30).contains(&epochs), "{wanted}");
    let scratch = Scratch::new();
    put(&scratch, "sequential");
    for stop in (1..=epochs + 2).map(|stop| stop.to_string()) {
        fit(
            &scratch,
            &stop,
            &[&options[..], &["--learning-rate", "0.5", "--logdir", "logs", "--resume"]].concat(),
        );
    }
    assert_eq!(json(&scratch, "h.json"), wanted);
    let saved = |scratch: &Scratch| std::fs::read(scratch.0.join("out.keras")).unwrap();
    assert!(saved(&scratch) == saved(&whole));
}

#[test]
fn checkpoints_of_older_versions_are_read() {
    let whole = Scratch::new();
    put(&whole, "dense_block");
    fit(&whole, "4", &["--shuffle", "true"]);
    let scratch = Scratch::new();
    put(&scratch, "dense_block");
    // Written after two epochs by the first version.
    scratch.write(
        "logs/checkpoint.safetensors",
        &std::fs::read(format!("{FILES}checkpoint-v1.safetensors")).unwrap(),
    );
    fit(&scratch, "4", &["--shuffle", "true", "--logdir", "logs", "--resume"]);
    for key in ["batch_loss", "loss"] {
        let values = |scratch: &Scratch| numbers(&json(scratch, "h.json")[key]);
        assert_close(&values(&scratch), &values(&whole), 1e-5, key);
    }
    let said = scratch.run(&["inspect", "logs/checkpoint.safetensors"]).succeeded();
    assert!(said.contains("checkpoint of a training (version 2): 4 epochs finished"), "{said}");
}

#[test]
fn what_cannot_be_trained_is_said_and_nothing_is_written() {
    let scratch = Scratch::new();
    put(&scratch, "operators");
    scratch.write("y.npy", &write_npy(&Tensor::zeros([8, 16, 2], DType::F32)).unwrap());
    let base = ["fit", "m.keras", "--input", "x.npz", "--target", "y.npy", "--save", "out.keras"];
    let run = |more: &[&str]| scratch.run(&[&base[..], more].concat());
    run(&[]).failed(2, &["m.keras", "--loss"]);
    run(&["--loss", "mze"]).failed(2, &["no loss"]);
    run(&["--loss", "mse", "--optimizer", "adm"]).failed(2, &["no optimizer"]);
    run(&["--loss", "mse", "--callbacks", "stop"]).failed(2, &["--callbacks stop", "early-stopping"]);
    run(&["--loss", "mse", "--resume"]).failed(2, &["--logdir"]);
    scratch.write("y.npy", &write_npy(&Tensor::zeros([7, 2], DType::F32)).unwrap());
    run(&["--loss", "mse"]).failed(1, &["y.npy has 7 examples", "x.npz 8"]);
    assert!(!scratch.files().contains(&"out.keras".to_string()));
}

#[test]
fn models_are_evaluated() {
    let scratch = Scratch::new();
    let arrays = put(&scratch, "dense_block");
    let losses = arrays.iter().find(|(known, _)| known == "loss").unwrap().1.to_vec::<f64>().unwrap();
    assert!(losses[0] > 0.0);
    let arguments = ["evaluate", "m.keras", "--input", "x.npz", "--target", "y.npz"];
    let said = scratch.run(&arguments).succeeded();
    assert!(said.contains("loss") && said.contains("accuracy"), "{said}");
    let json: Value =
        serde_json::from_str(&scratch.run(&[&arguments[..], &["--json"]].concat()).succeeded()).unwrap();
    // Cross-entropy of the predictions that Keras made.
    let logits = arrays.iter().find(|(known, _)| known == "output_0").unwrap().1.clone();
    let targets = arrays.iter().find(|(known, _)| known == "target_0").unwrap().1.clone();
    let wanted = SparseCategoricalCrossentropy::from_logits().mean(&targets, &logits).to_f64().unwrap();
    assert!((json["loss"].as_f64().unwrap() - wanted).abs() < 1e-5, "{json} {wanted}");
}

/// Each optimizer of Keras with its state, there and back, where a Python with Keras is at hand.
#[test]
fn every_optimizer_goes_both_ways() {
    let Ok(python) = std::env::var("RUSHLIGHT_PYTHON") else {
        eprintln!("skipped: RUSHLIGHT_PYTHON names no Python with Keras");
        return;
    };
    let scratch = Scratch::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/optimizers.py");
    let mut command = std::process::Command::new(python);
    command.arg(script).arg(env!("CARGO_BIN_EXE_rushlight")).arg(&scratch.0);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
}
