//! The commands at work, on few images.

mod common;

use common::Scratch;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The value of a field of a JSON object on one line.
#[track_caller]
fn field<'a>(json: &'a str, name: &str) -> &'a str {
    let (_, rest) = json.split_once(&format!("\"{name}\": ")).unwrap_or_else(|| panic!("{name} in {json}"));
    rest.split([',', '}']).next().unwrap()
}

#[test]
fn help_tells_what_there_is() {
    let scratch = Scratch::new();
    let help = scratch.run(&["--help"]).succeeded();
    for command in ["demo", "train", "summary", "bench", "--threads"] {
        assert!(help.contains(command), "{command} in {help}");
    }
    let help = scratch.run(&["train", "--help"]).succeeded();
    for text in ["--learning-rate", "cosine", "cifar10", "densenet-bc-100-12", "--no-augment", "130"] {
        assert!(help.contains(text), "{text} in {help}");
    }
    for command in ["demo", "summary", "bench"] {
        assert!(scratch.run(&[command, "--help"]).succeeded().contains("Usage: rushlight"));
    }
    assert!(scratch.run(&["--version"]).succeeded().starts_with("rushlight "));
    assert!(scratch.files().is_empty());
}

#[test]
fn summary_counts_parameters_and_memory() {
    let scratch = Scratch::new();
    let small = scratch.run(&["summary", "small", "--batch-size", "16"]).succeeded();
    assert!(small.contains("trainable: 76,810\n"), "{small}");
    assert!(small.contains("Memory of one training step of 16 examples: "), "{small}");
    let two = scratch.run(&["summary", "small", "--classes", "2"]).succeeded();
    // 90 channels and a bias lead to each class.
    assert!(two.contains(&format!("trainable: {}\n", "76,082")), "{two}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = Scratch::new();
    let mut child = scratch
        .command(&["summary", "small", "--batch-size", "16"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn bench_prints_one_object() {
    let scratch = Scratch::new();
    for mode in ["graph", "eager"] {
        let arguments = ["bench", "small", "--batch-size", "16", "--mode", mode, "--json", "--threads", "1"];
        let json = scratch.run(&[&arguments[..], &["--steps", "1"]].concat()).succeeded();
        assert_eq!(json.lines().count(), 1);
        assert!(json.starts_with('{') && json.ends_with("}\n"), "{json}");
        assert_eq!((field(&json, "model"), field(&json, "mode")), ("\"small\"", &*format!("\"{mode}\"")));
        assert_eq!((field(&json, "batch_size"), field(&json, "threads")), ("16", "1"));
        let number = |name: &str| field(&json, name).parse::<f64>().unwrap();
        assert!(number("train_step_ms") > number("inference_ms"), "{json}");
        assert!(number("first_step_ms") > 0.0, "{json}");
        if cfg!(target_os = "linux") {
            assert!(number("peak_rss_mb") > 1.0, "{json}");
        }
        if mode == "graph" {
            assert!(number("compile_ms") > 0.0 && number("compile_ms") < number("first_step_ms"), "{json}");
            assert!(number("planned_mb") > 1.0, "{json}");
        } else {
            assert_eq!((field(&json, "compile_ms"), field(&json, "planned_mb")), ("null", "null"));
        }
    }
    let one = scratch.run(&["bench", "mlp-16-16-4", "--only", "inference", "--json"]).succeeded();
    assert_eq!(field(&one, "train_step_ms"), "null");
    assert!(field(&one, "inference_ms").parse::<f64>().unwrap() > 0.0, "{one}");
    let table = scratch.run(&["bench", "small", "--batch-size", "16", "--steps", "2"]).succeeded();
    assert!(table.contains("training step") && table.contains("examples/s"), "{table}");
}

#[test]
fn a_run_leaves_weights_history_curve_and_logs() {
    let scratch = Scratch::new();
    let arguments = ["train", "--limit", "96", "--batch-size", "32", "--epochs", "2", "--save", "w/small"];
    let said = scratch.run(&arguments).succeeded();
    for text in
        ["trainable: 76,810", "Memory of one training step of 32", "Epoch 1/2", "Epoch 2/2", "images/s"]
    {
        assert!(said.contains(text), "{text} in {said}");
    }
    let files = scratch.files();
    let run = "rushlight-runs/drawn-small-1";
    for file in ["history.csv", "learning-curve.svg"] {
        assert!(files.contains(&format!("{run}/{file}")), "{files:?}");
    }
    for part in ["train", "validation"] {
        let events = format!("{run}/tensorboard/{part}/events.out.tfevents.");
        assert!(files.iter().any(|file| file.starts_with(&events)), "{files:?}");
    }
    assert!(files.iter().all(|file| !file.ends_with(".tmp")), "{files:?}");
    let history = std::fs::read_to_string(scratch.0.join(run).join("history.csv")).unwrap();
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines[0], "epoch,loss,accuracy,val_loss,val_accuracy,seconds");
    assert_eq!(lines.len(), 3);
    let curve = std::fs::read_to_string(scratch.0.join(run).join("learning-curve.svg")).unwrap();
    assert!(curve.starts_with("<svg") && curve.contains("validation"));

    let metadata = rushlight::models::weights_metadata(scratch.0.join("w/small")).unwrap();
    assert_eq!((metadata["model"].as_str(), metadata["data"].as_str()), ("small", "drawn"));
    assert!(metadata["classes"].starts_with("disc,ring"), "{metadata:?}");
    let config = rushlight::applications::config_by_name("small").unwrap();
    let model = config.build().unwrap();
    model.load_weights(scratch.0.join("w/small")).unwrap();

    // The same seed trains the same again, whatever the number of threads.
    let again = scratch.run(&[&arguments[..], &["--threads", "1"]].concat()).succeeded();
    assert!(again.contains("rushlight-runs/drawn-small-2"), "{again}");
    let second = std::fs::read_to_string(scratch.0.join("rushlight-runs/drawn-small-2/history.csv")).unwrap();
    let measured = |history: &str| -> Vec<String> {
        history.lines().map(|line| line.rsplit_once(',').unwrap().0.to_string()).collect()
    };
    assert_eq!(measured(&history), measured(&second));
}

#[test]
fn other_data_and_optimizers() {
    let scratch = Scratch::new();
    let image = |index: u32| (0..784u32).map(move |pixel| ((pixel + index * 40) % 256) as u8);
    let mut images: Vec<u8> =
        [0x0803u32, 40, 28, 28].iter().flat_map(|number| number.to_be_bytes()).collect();
    images.extend((0..40).flat_map(image));
    let mut labels: Vec<u8> = [0x0801u32, 40].iter().flat_map(|number| number.to_be_bytes()).collect();
    labels.extend((0..40u8).map(|index| index % 10));
    scratch.write("digits/t10k-images-idx3-ubyte", &images);
    scratch.write("digits/t10k-labels-idx1-ubyte", &labels);
    let arguments =
        ["train", "--data", "mnist", "--data-dir", "digits", "--optimizer", "adam", "--epochs", "1"];
    let more = ["--batch-size", "16", "--mode", "eager", "--logdir", "run"];
    let said = scratch.run(&[&arguments[..], &more].concat()).succeeded();
    for text in [
        "holds only the t10k part of MNIST: split into 36 images to train with and 4 to test with",
        "36 images of 28×28×1, augmented",
        "adam, learning rate 0.003",
        "eager mode",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
}

#[test]
fn the_demo_compares_both_modes() {
    let scratch = Scratch::new();
    let said = scratch.run(&["demo", "--epochs", "1", "--limit", "64", "--logdir", "demo"]).succeeded();
    for text in ["Epoch 1/1", "eager", "graph", "a step", "times as fast", "demo/learning-curve.svg"] {
        assert!(said.contains(text), "{text} in {said}");
    }
    assert!(scratch.files().contains(&"demo/weights.safetensors".to_string()));
}

/// Ctrl-C once training runs, which a fifo of standard output would not tell sooner than the first epoch's end.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_cleanly_and_saves_what_was_learnt() {
    let scratch = Scratch::new();
    let arguments = [
        "train",
        "--limit",
        "640",
        "--batch-size",
        "16",
        "--epochs",
        "1000",
        "--logdir",
        "run",
        "--save",
        "w",
    ];
    let child = scratch.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let history = scratch.0.join("run/history.csv");
    let deadline = Instant::now() + Duration::from_secs(240);
    while !history.exists() {
        assert!(Instant::now() < deadline, "no epoch was finished in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    // In the middle of the second epoch, or of a later one.
    std::thread::sleep(Duration::from_millis(300));
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output: common::Finished = child.wait_with_output().unwrap().into();
    assert_eq!((output.status, output.stderr.as_str()), (Some(130), ""), "{}", output.stdout);
    assert!(output.stdout.contains("Interrupted in epoch"), "{}", output.stdout);
    assert!(output.stdout.contains("steps is saved in w"), "{}", output.stdout);
    let config = rushlight::applications::config_by_name("small").unwrap();
    let model = config.build().unwrap();
    model.load_weights(scratch.0.join("w")).unwrap();
    let files = scratch.files();
    assert!(files.contains(&"run/learning-curve.svg".to_string()), "{files:?}");
    assert!(files.iter().all(|file| !file.ends_with(".tmp")), "{files:?}");
}
