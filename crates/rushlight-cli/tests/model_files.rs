//! Commands on files of models: what Keras made is run, inspected and converted.

mod common;

use common::{Finished, Scratch};
use rushlight::formats::{read_npy, read_npz, write_npy, write_npz};
use rushlight::prelude::*;
use std::io::Write;
use std::process::Stdio;

/// A file that Keras made, or what it computes.
fn made(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../rushlight/tests/formats/files/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

fn array(name: &str, key: &str) -> Tensor {
    let arrays = read_npz(&made(&format!("{name}.npz"))).unwrap();
    arrays.into_iter().find(|(known, _)| known == key).unwrap().1
}

#[track_caller]
fn assert_close(got: &Tensor, wanted: &Tensor) {
    assert_eq!(got.shape().unwrap(), wanted.shape().unwrap());
    let (got, wanted) = (got.to_vec::<f32>().unwrap(), wanted.to_vec::<f32>().unwrap());
    for (got, wanted) in got.iter().zip(&wanted) {
        assert!((got - wanted).abs() < 1e-5, "{got} is not {wanted}");
    }
}

#[test]
fn predictions_are_keras_s() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("sequential.keras"));
    scratch.write("x.npy", &write_npy(&array("sequential", "input_0")).unwrap());
    let wanted = array("sequential", "output_0");
    for options in [&["--batch-size", "3"][..], &["--mode", "eager"], &["--mode", "graph"]] {
        let mut arguments = vec!["predict", "m.keras", "--input", "x.npy", "--output", "y.npy"];
        arguments.extend(options);
        assert_eq!(scratch.run(&arguments).succeeded(), "");
        assert_close(&read_npy(&std::fs::read(scratch.0.join("y.npy")).unwrap()).unwrap(), &wanted);
    }
    let said = scratch.run(&["predict", "m.keras", "--input", "x.npy", "--top", "2"]).succeeded();
    assert_eq!(said.lines().count(), 8);
    assert!(said.starts_with("0: "), "{said}");
}

#[test]
fn several_inputs_and_outputs_go_by_names() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("shared_and_nested.keras"));
    let (left, right) = (array("shared_and_nested", "input_0"), array("shared_and_nested", "input_1"));
    let inputs = [("right".to_string(), right), ("left".to_string(), left)];
    scratch.write("x.npz", &write_npz(&inputs).unwrap());
    scratch.run(&["predict", "m.keras", "--input", "x.npz", "--output", "y.npz"]).succeeded();
    let outputs = read_npz(&std::fs::read(scratch.0.join("y.npz")).unwrap()).unwrap();
    for (index, (name, output)) in outputs.iter().enumerate() {
        assert_eq!(name, &format!("output_{index}"));
        assert_close(output, &array("shared_and_nested", name));
    }
    scratch
        .run(&["predict", "m.keras", "--input", "x.npz", "--output", "y.npy"])
        .failed(2, &["y.npy", "2 outputs"]);
    scratch.write("x.npz", &write_npz(&inputs[..1]).unwrap());
    scratch
        .run(&["predict", "m.keras", "--input", "x.npz", "--output", "z.npz"])
        .failed(1, &["x.npz", "left, right", "there is right"]);
    assert!(!scratch.files().contains(&"z.npz".to_string()));
}

#[test]
fn pipes_are_files() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("sequential.keras"));
    let arguments = ["predict", "m.keras", "--input", "-", "--output", "-"];
    let mut child = scratch.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&write_npy(&array("sequential", "input_0")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_close(&read_npy(&output.stdout).unwrap(), &array("sequential", "output_0"));
}

#[test]
fn standard_streams_have_one_use() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("sequential.keras"));
    scratch.write("x.npy", &write_npy(&array("sequential", "input_0")).unwrap());
    scratch.run(&["predict", "-", "--input", "-", "--output", "y.npy"]).failed(2, &["standard input"]);
    let to_output = ["predict", "m.keras", "--input", "x.npy", "--output", "-"];
    scratch.run(&[&to_output[..], &["--json"]].concat()).failed(2, &["standard output"]);
    scratch.run(&[&to_output[..], &["--top", "2"]].concat()).failed(2, &["standard output"]);
}

#[test]
fn results_that_cannot_be_made_leave_older_ones() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("sequential.keras"));
    scratch.write("x.npy", &write_npy(&array("sequential", "input_0")).unwrap());
    scratch.write("y.npy", b"older");
    scratch.write("names.txt", b"one\n");
    let arguments = [
        "predict",
        "m.keras",
        "--input",
        "x.npy",
        "--output",
        "y.npy",
        "--top",
        "1",
        "--classes",
        "names.txt",
    ];
    scratch.run(&arguments).failed(1, &["names.txt: 1 names for 3 classes"]);
    assert_eq!(std::fs::read(scratch.0.join("y.npy")).unwrap(), b"older");
    let nowhere = ["predict", "m.keras", "--input", "x.npy", "--output", "m.keras/y.npy"];
    scratch.run(&nowhere).failed(1, &["m.keras/y.npy cannot be written"]);
}

#[test]
fn what_does_not_fit_is_said_and_nothing_is_written() {
    let scratch = Scratch::new();
    let model = made("sequential.keras");
    scratch.write("m.keras", &model);
    scratch.write("y.npy", b"older");
    scratch.write("x.npy", &write_npy(&Tensor::zeros([2, 8, 8, 1], DType::F32)).unwrap());
    let predict =
        |model: &str, input: &str| scratch.run(&["predict", model, "--input", input, "--output", "y.npy"]);
    predict("m.keras", "x.npy").failed(1, &["x.npy: the input `", "[batch, 8, 8, 3], not [2, 8, 8, 1]"]);
    scratch.write("x.npy", &write_npy(&array("sequential", "input_0")).unwrap()[..300]);
    predict("m.keras", "x.npy").failed(1, &["x.npy", "need", "bytes"]);
    predict("m.keras", "missing.npy").failed(1, &["missing.npy cannot be read"]);
    scratch.write("cut.keras", &model[..model.len() - 30]);
    predict("cut.keras", "x.npy").failed(1, &["x.npy"]);
    scratch.write("x.npy", &write_npy(&array("sequential", "input_0")).unwrap());
    predict("cut.keras", "x.npy").failed(1, &["cut.keras", "zip"]);
    let mut changed = model.clone();
    let at = changed.windows(4).position(|bytes| bytes == b"SNOD").unwrap();
    changed[at + 20] ^= 1;
    scratch.write("changed.keras", &changed);
    predict("changed.keras", "x.npy").failed(1, &["changed.keras", "`model.weights.h5`", "checksum"]);
    assert_eq!(std::fs::read(scratch.0.join("y.npy")).unwrap(), b"older");
    scratch.run(&["predict", "m.keras", "--input", "x.npy"]).failed(2, &["--output or --top"]);
    scratch
        .run(&["predict", "m.keras", "--input", "x.npy", "--output", "y.txt"])
        .failed(2, &["y.txt", ".npy or .npz"]);
}

#[test]
fn weights_that_are_not_numbers_are_refused() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("sequential.keras"));
    scratch.run(&["convert", "m.keras", "w.npz"]).succeeded();
    let mut arrays = read_npz(&std::fs::read(scratch.0.join("w.npz")).unwrap()).unwrap();
    let kernel = arrays.iter_mut().find(|(name, _)| name == "dense/kernel").unwrap();
    kernel.1 = &kernel.1 * f64::NAN;
    scratch.write("w.npz", &write_npz(&arrays).unwrap());
    let finished = scratch.run(&["convert", "w.npz", "out.keras", "--model", "m.keras"]);
    finished.failed(1, &["w.npz", "`dense/kernel`", "not numbers (NaN)"]);
}

#[test]
fn formats_are_converted_into_each_other() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("dense_block.keras"));
    scratch.write("x.npy", &write_npy(&array("dense_block", "input_0")).unwrap());
    for weights in ["w.safetensors", "w.npz", "w.weights.h5"] {
        scratch.run(&["convert", "m.keras", weights]).succeeded();
        scratch.run(&["convert", weights, "again.keras", "--model", "m.keras"]).succeeded();
        let arguments = ["predict", "again.keras", "--input", "x.npy", "--output", "y.npy"];
        scratch.run(&arguments).succeeded();
        let got = read_npy(&std::fs::read(scratch.0.join("y.npy")).unwrap()).unwrap();
        assert_close(&got, &array("dense_block", "output_0"));
    }
    scratch.run(&["convert", "w.npz", "v.safetensors"]).succeeded();
    let said = scratch
        .run(&["convert", "m.keras", "folded.onnx", "--fold-batch-normalization", "--json"])
        .succeeded();
    let bytes = std::fs::metadata(scratch.0.join("folded.onnx")).unwrap().len();
    assert_eq!(said, format!("{{\"bytes\":{bytes},\"written\":\"folded.onnx\"}}\n"));
    scratch
        .run(&["convert", "m.keras", "v.npz", "--fold-batch-normalization"])
        .failed(2, &["v.npz", ".onnx"]);
    for to in ["a.keras", "a.onnx", "a.npz", "a.weights.h5", "a.safetensors"] {
        scratch.run(&["convert", "m.keras", to]).succeeded();
        scratch.run(&["inspect", to, "--json"]).succeeded();
    }
    for to in ["b.onnx", "b.npz", "b.safetensors"] {
        scratch.run(&["convert", "folded.onnx", to]).succeeded();
    }
    for model in ["a.keras", "a.onnx", "b.onnx"] {
        scratch.run(&["predict", model, "--input", "x.npy", "--output", "y.npy"]).succeeded();
        let got = read_npy(&std::fs::read(scratch.0.join("y.npy")).unwrap()).unwrap();
        assert_close(&got, &array("dense_block", "output_0"));
    }
    scratch.run(&["convert", "w.npz", "v.keras"]).failed(2, &["w.npz", "--model"]);
    scratch.run(&["convert", "m.keras", "v.txt"]).failed(2, &["v.txt", ".safetensors"]);
}

#[test]
fn files_are_inspected() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("dense_block.keras"));
    let said = scratch.run(&["inspect", "m.keras"]).succeeded();
    for text in ["Model: dense_block", "logits (Dense)", "Adam(learning_rate=0.0", "metrics"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    let json = scratch.run(&["inspect", "m.keras", "--json"]).succeeded();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["inputs"][0]["shape"], serde_json::json!([null, 8, 8, 2]));
    assert_eq!(json["compile_config"]["optimizer"]["class_name"], "Adam");
    scratch.write("x.npz", &made("dense_block.npz"));
    let said = scratch.run(&["inspect", "x.npz"]).succeeded();
    assert!(said.contains("input_0    f32[8, 8, 8, 2]"), "{said}");
}

#[test]
fn models_are_drawn() {
    let scratch = Scratch::new();
    scratch.write("m.keras", &made("dense_block.keras"));
    for (to, begin) in
        [("m.svg", "<svg"), ("m.png", "\u{fffd}PNG"), ("m.dot", "digraph"), ("m.mmd", "flowchart")]
    {
        scratch.run(&["plot", "m.keras", to]).succeeded();
        let written = std::fs::read(scratch.0.join(to)).unwrap();
        assert!(String::from_utf8_lossy(&written).starts_with(begin), "{to}");
    }
    let drawn = std::fs::read_to_string(scratch.0.join("m.svg")).unwrap();
    assert!(drawn.contains("Conv2d") && drawn.contains("logits") && drawn.contains("f32"));
    scratch.run(&["plot", "small", "m.svg", "--no-names"]).succeeded();
    assert_ne!(drawn, std::fs::read_to_string(scratch.0.join("m.svg")).unwrap());
    scratch.run(&["plot", "m.keras", "m.bmp"]).failed(2, &["m.bmp", "svg"]);
    scratch.write("broken.keras", b"PK");
    scratch.run(&["plot", "broken.keras", "m.png"]).failed(1, &["broken.keras"]);
    assert!(std::fs::read(scratch.0.join("m.png")).unwrap().len() > 1000, "the older picture stays");
}

#[test]
fn new_models_are_saved_and_run() {
    let scratch = Scratch::new();
    scratch.write("x.npy", &write_npy(&Tensor::ones([1, 32, 32, 3], DType::F32)).unwrap());
    for name in ["small", "resnet-18"] {
        scratch.run(&["new", name, "--save", "n.keras", "--classes", "4", "--seed", "7"]).succeeded();
        scratch.run(&["predict", "n.keras", "--input", "x.npy", "--output", "y.npy"]).succeeded();
        let got = read_npy(&std::fs::read(scratch.0.join("y.npy")).unwrap()).unwrap();
        assert_eq!(got.shape().unwrap(), [1, 4], "{name}");
    }
    scratch.run(&["new", "small", "--save", "n.h5"]).failed(2, &["n.h5", ".keras"]);
}

#[test]
fn pictures_are_resized_and_scaled() {
    let scratch = Scratch::new();
    scratch.run(&["new", "small", "--save", "n.keras"]).succeeded();
    let pixels: Vec<u8> = (0..40 * 24 * 3).map(|index| (index % 251) as u8).collect();
    let png = rushlight::files::encode_png(&pixels, [40, 24, 3]).unwrap();
    scratch.write("pictures/b.png", &png);
    scratch.write("pictures/a.png", &png);
    scratch.write("names.txt", (0..10).map(|i| format!("kind {i}\n")).collect::<String>().as_bytes());
    let arguments = ["predict", "n.keras", "--input", "pictures", "--top", "3", "--classes", "names.txt"];
    let scaled =
        [&arguments[..], &["--scale", "0.00392157", "--mean", "0.5,0.5,0.5", "--std", "0.25"]].concat();
    let said = scratch.run(&scaled).succeeded();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("pictures/a.png: kind ") && lines[1].starts_with("pictures/b.png: kind "));
    scratch.write("pictures/c.png", &png[..100]);
    scratch.run(&arguments).failed(1, &["pictures/c.png"]);
    scratch.write("names.txt", b"one\n");
    scratch.run(&arguments).failed(1, &["pictures/c.png"]);
}

#[test]
fn shells_and_readers_are_helped() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(scratch.run(&["completions", shell]).succeeded().contains("predict"), "{shell}");
    }
    scratch.run(&["man", "pages"]).succeeded();
    let page = std::fs::read_to_string(scratch.0.join("pages/rushlight-predict.1")).unwrap();
    assert!(page.contains(".SH") && page.contains("batch"), "{page}");
    let Finished { status, .. } = scratch.run(&["completions", "nosuchshell"]);
    assert_eq!(status, Some(2));
}
