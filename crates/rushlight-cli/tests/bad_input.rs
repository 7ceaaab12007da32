//! What makes no sense ends with a status and one clear line, and leaves nothing half-written.

mod common;

use common::Scratch;

/// Runs the command on arguments that make no sense; it must say so and write nothing.
#[track_caller]
fn refused(arguments: &[&str], said: &[&str]) {
    let scratch = Scratch::new();
    let finished = scratch.run(arguments);
    finished.failed(2, said);
    assert_eq!(finished.stdout, "");
    assert!(scratch.files().is_empty(), "{:?}", scratch.files());
}

#[test]
fn names_that_are_not_known() {
    refused(&["tran"], &["unrecognized subcommand 'tran'", "'train'"]);
    refused(&["train", "--data", "cifar"], &["invalid value 'cifar'", "drawn, cifar10, mnist", "'cifar10'"]);
    refused(
        &["train", "--model", "densnet-121"],
        &["invalid value 'densnet-121'", "small, densenet-40-12", "a similar value exists: 'densenet-121'"],
    );
    refused(&["summary", "resnet"], &["invalid value 'resnet'", "densenet-bc-100-12"]);
    refused(&["bench", "smal", "--json"], &["'small'"]);
    refused(&["train", "--optimizer", "adm"], &["invalid value 'adm'", "sgd, adam"]);
    refused(&["train", "--mode", "lazy"], &["graph, eager"]);
    refused(&["train", "--epoch", "3"], &["unexpected argument '--epoch'", "'--epochs'"]);
    refused(&["bench"], &["required arguments were not provided", "<MODEL>"]);
}

#[test]
fn numbers_that_make_no_sense() {
    for (option, values) in [
        ("--batch-size", ["0", "-4", "many"]),
        ("--epochs", ["0", "1.5", ""]),
        ("--limit", ["0", "-1", "x"]),
        ("--threads", ["0", "two", "-1"]),
    ] {
        for value in values {
            refused(&["train", option, value], &[option, value, "at least 1"]);
        }
    }
    for value in ["0", "-0.1", "NaN", "inf", "fast"] {
        refused(&["train", "--learning-rate", value], &["--learning-rate", value, "above 0"]);
    }
    refused(&["train", "--seed", "-1"], &["--seed"]);
    refused(&["bench", "small", "--batch-size", "0"], &["--batch-size", "at least 1"]);
    refused(&["bench", "small", "--momentum", "1"], &["--momentum", "below 1"]);
    refused(&["bench", "small", "--only", "both"], &["--only", "training, inference"]);
    refused(&["summary", "small", "--classes", "0"], &["--classes", "at least 1"]);
}

#[test]
fn more_images_than_there_are() {
    refused(&["train", "--limit", "10001"], &["--limit 10,001", "only 10,000 images"]);
    refused(&["demo", "--limit", "1000000"], &["--limit 1,000,000", "only 10,000 images"]);
    let scratch = Scratch::new();
    mnist(&scratch, 30, 30, 28);
    let arguments = ["train", "--data", "mnist", "--data-dir", ".", "--limit", "28"];
    scratch.run(&arguments).failed(2, &["--limit 28", "only 27 images"]);
}

#[test]
fn data_that_is_not_there() {
    for data in ["cifar10", "mnist"] {
        let scratch = Scratch::new();
        scratch
            .run(&["train", "--data", data, "--data-dir", "nowhere"])
            .failed(1, &["nowhere: not found, expected", "--download fetches it"]);
        assert!(scratch.files().is_empty());
    }
}

/// MNIST's test part: so many images of this side, and so many labels.
fn mnist(scratch: &Scratch, images: u32, labels: u32, side: u32) {
    let header = |magic: u32, sizes: &[u32]| -> Vec<u8> {
        [magic].iter().chain(sizes).flat_map(|number| number.to_be_bytes()).collect()
    };
    let mut file = header(0x0803, &[images, side, side]);
    file.extend((0..images * side * side).map(|index| (index * 7 % 251) as u8));
    scratch.write("t10k-images-idx3-ubyte", &file);
    let mut file = header(0x0801, &[labels]);
    file.extend((0..labels).map(|index| (index % 10) as u8));
    scratch.write("t10k-labels-idx1-ubyte", &file);
}

#[test]
fn data_that_is_damaged() {
    let train = |scratch: &Scratch, data: &str| scratch.run(&["train", "--data", data, "--data-dir", "."]);
    let scratch = Scratch::new();
    mnist(&scratch, 20, 19, 28);
    train(&scratch, "mnist").failed(1, &["t10k-labels-idx1-ubyte", "20 labels", "19 labels"]);
    mnist(&scratch, 20, 20, 29);
    train(&scratch, "mnist").failed(1, &["t10k-images-idx3-ubyte", "images of 28×28", "29×29"]);
    mnist(&scratch, 20, 20, 28);
    let path = scratch.0.join("t10k-images-idx3-ubyte");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    train(&scratch, "mnist").failed(1, &["t10k-images-idx3-ubyte", "20×28×28 bytes"]);
    mnist(&scratch, 1, 1, 28);
    train(&scratch, "mnist").failed(1, &["images to train with and to validate with"]);

    let scratch = Scratch::new();
    scratch.write("cifar-10-binary.tar.gz", b"not an archive");
    train(&scratch, "cifar10").failed(1, &["cifar-10-binary.tar.gz", "gzip"]);
    let scratch = Scratch::new();
    scratch.write("data_batch_1.bin", &[0; 3073]);
    train(&scratch, "cifar10").failed(1, &["data_batch_1.bin", "30730000", "3073 bytes"]);
    assert_eq!(scratch.files(), ["data_batch_1.bin"]);
}

#[test]
fn places_that_cannot_be_written() {
    let scratch = Scratch::new();
    scratch.write("file", b"");
    std::fs::create_dir(scratch.0.join("directory")).unwrap();
    for (arguments, said) in [
        (["--logdir", "file"], "file is no directory"),
        (["--logdir", "file/below"], "file is no directory"),
        (["--save", "file/weights"], "file is no directory"),
        (["--save", "directory"], "it is a directory"),
        (["--save", ".."], "it is a directory"),
        (["--save", "/dev/null/weights"], "/dev/null is no directory"),
    ] {
        let all: Vec<&str> = ["train", "--limit", "32"].into_iter().chain(arguments).collect();
        let finished = scratch.run(&all);
        finished.failed(1, &["cannot be written", said]);
        assert_eq!(finished.stdout, "", "found out before any work is done");
        assert_eq!(scratch.files(), ["directory", "file"]);
    }
}

#[test]
fn a_download_that_fails() {
    let scratch = Scratch::new();
    // A port that nobody listens at: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = scratch.command(&["train", "--data", "mnist", "--data-dir", "here", "--download"]);
    let output = command.env("RUSHLIGHT_DATA_URL", format!("http://127.0.0.1:{port}")).output().unwrap();
    common::Finished::from(output).failed(1, &[&format!("127.0.0.1:{port}/train-images-idx3-ubyte.gz")]);
    assert!(!scratch.files().iter().any(|file| file.contains("ubyte")), "{:?}", scratch.files());
}

#[test]
fn a_training_that_goes_astray() {
    let scratch = Scratch::new();
    let arguments = ["train", "--limit", "64", "--batch-size", "32", "--epochs", "3", "--logdir", "run"];
    let finished = scratch.run(&[&arguments[..], &["--learning-rate", "1e30"]].concat());
    finished.failed(1, &["the loss is NaN in epoch", "a smaller --learning-rate"]);
    assert!(scratch.files().iter().all(|file| file != "run/weights.safetensors"), "{:?}", scratch.files());
}
