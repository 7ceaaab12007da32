use super::event_file::now;
use super::proto::Message;
use super::values::{self, event, strings};
use super::*;
use crate::prelude::*;
use crate::testing::Scratch;
use std::fs;
use std::path::Path;
use std::time::Duration;

const TIME: f64 = 1_700_000_000.5;

fn framed(events: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let version = Message::new().double(1, TIME).text(3, "brain.Event:2");
    std::iter::once(&version).chain(events).for_each(|event| record::frame(event.as_bytes(), &mut bytes));
    bytes
}

#[test]
fn scalars_are_byte_for_byte_those_of_tensorboard() {
    let scalar = |step, value| event(TIME, "epoch_loss", step, "scalars", &[], &values::scalar(value));
    let bytes = framed(&[scalar(0, 0.5), scalar(300, f32::NAN)]);
    assert_eq!(bytes, include_bytes!("goldens/scalars.tfevents"));
}

#[test]
fn all_other_values_are_byte_for_byte_those_of_tensorboard() {
    let hparams = |name: &str, data: Message| {
        event(TIME, &format!("_hparams_/{name}"), 0, "hparams", data.as_bytes(), &values::nothing())
    };
    let start =
        HParams::new().with("augment", false).with("optimizer", "sgd").with("rate", 0.1).group("first");
    let experiment =
        Experiment::new().description("Rates").hparam("rate", [0.1, 0.2]).metric("train", "epoch_loss");
    let spec = |rows| Spec::new([rows, 4], DType::F32);
    let open = rushlight_core::tensor::BATCH;
    let mut graph = OpGraph::default();
    graph.nodes.push(OpNode::new("x", "Input").output(spec(open)));
    let relu = OpNode::new("dense/relu", "relu").input("x").input("^x").output(spec(open));
    graph.nodes.push(relu.attribute("layer", "dense"));
    let start_time = Duration::from_secs(1_700_000_000);
    let run = NodeRun {
        node: "dense/relu".into(),
        time: Some((start_time, Duration::from_nanos(25_400))),
        bytes: 64,
        outputs: vec![spec(4)],
    };
    let metadata = graph.run_metadata(&[run]);
    let table = [b"a", b"b", b"c", b"d"].map(|cell| &cell[..]);
    let bytes = framed(&[
        event(TIME, "weights", 1, "histograms", &[], &values::histogram(&[[0.0, 1.0, 2.0], [1.0, 2.5, 7.0]])),
        event(TIME, "pictures", 2, "images", &[], &strings(&[3], [&b"4"[..], b"3", b"\x89PNG"])),
        event(TIME, "notes", 3, "text", &[], &strings(&[], ["*é*".as_bytes()])),
        event(TIME, "table", 4, "text", &[], &strings(&[2, 2], table)),
        hparams("session_start_info", start.session_start(TIME)),
        hparams("session_end_info", hparams::session_end(SessionStatus::Failure, TIME)),
        hparams("experiment", experiment.message(TIME)),
        event(TIME, "step", 5, "graph_run_metadata", b"1", &strings(&[], [metadata.as_bytes()])),
    ]);
    assert_eq!(bytes, include_bytes!("goldens/values.tfevents"));
}

/// The data of each record; every record is whole.
pub(super) fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(rest[12..12 + length].to_vec());
        rest = &rest[12 + length + 4..];
    }
    records
}

#[test]
fn a_file_starts_with_its_version_and_holds_what_was_flushed() {
    let scratch = Scratch::new("tensorboard-file");
    let directory = scratch.0.join("logs/train");
    let writer = Writer::create(&directory).unwrap();
    let path = writer.path().to_path_buf();
    let name = path.file_name().unwrap().to_str().unwrap().to_string();
    assert!(name.starts_with("events.out.tfevents.1") && name.ends_with(".v2"), "{name}");
    assert_eq!(records(&path).len(), 1);
    assert!(records(&path)[0].ends_with(b"\x1a\x0dbrain.Event:2"));
    writer.scalar("loss", 0, 1.5).unwrap();
    writer.scalar("accuracy", 0, 0.25f32).unwrap();
    writer.flush().unwrap();
    writer.flush().unwrap();
    assert_eq!(records(&path).len(), 3);
    for step in 1..2000 {
        writer.scalar("loss", step, 1.0).unwrap();
    }
    assert!(records(&path).len() > 1000, "a full buffer is written on its own");
    drop(writer);
    assert_eq!(records(&path).len(), 2002);
}

#[test]
fn values_are_written_after_the_interval_without_being_asked() {
    let scratch = Scratch::new("tensorboard-interval");
    let writer = Writer::create(&scratch.0).unwrap().flush_every(Duration::from_millis(20));
    writer.scalar("loss", 0, 1.0).unwrap();
    let start = now();
    while records(writer.path()).len() < 2 {
        assert!(now() - start < 20.0, "nothing was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    writer.scalar("loss", 1, 1.0).unwrap();
    while records(writer.path()).len() < 3 {
        assert!(now() - start < 40.0, "the second value was not written");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn values_that_tensorboard_would_drop_are_refused() {
    let scratch = Scratch::new("tensorboard-steps");
    let writer = Writer::create(&scratch.0).unwrap();
    writer.scalar("loss", 5, 1.0).unwrap();
    for step in [5, 4] {
        let error = writer.scalar("loss", step, 1.0).unwrap_err();
        assert_eq!(error.rule(), format!("scalars loss: steps must rise, got step {step} after step 5"));
    }
    let error = writer.text("loss", 6, "x").unwrap_err();
    assert_eq!(error.rule(), "tag loss holds scalars, no text");
    assert!(writer.scalar("", 0, 1.0).is_err());
    assert!(writer.table("t", 0, &[vec!["a"], vec!["b", "c"]]).is_err());
    assert!(writer.images("i", 0, &Tensor::zeros([2, 3, 5], DType::F32), 3).is_err());
    writer.scalar("accuracy", 0, 1.0).unwrap();
    writer.scalar("loss", 6, 1.0).unwrap();
    writer.flush().unwrap();
    assert_eq!(records(writer.path()).len(), 4);
}

#[test]
fn writers_of_one_directory_know_of_each_other() {
    let scratch = Scratch::new("tensorboard-writers");
    let first = Writer::create(&scratch.0).unwrap();
    first.scalar("loss", 0, 1.0).unwrap();
    let second = Writer::create(scratch.0.join(".")).unwrap();
    assert_ne!(first.path(), second.path());
    assert!(first.path() < second.path(), "TensorBoard reads them in this order");
    second.scalar("accuracy", 0, 1.0).unwrap();
    assert!(second.scalar("loss", 0, 1.0).is_err());
    second.scalar("loss", 1, 1.0).unwrap();
    let error = first.scalar("loss", 2, 1.0).unwrap_err();
    assert_eq!(error.rule(), "scalars loss: a later writer in this directory has gone on with it");
    first.scalar("other", 2, 1.0).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new("tensorboard-directory");
    let file = scratch.write("file", b"");
    let error = Writer::create(file.join("logs")).unwrap_err();
    assert!(error.rule().starts_with(&format!("{}/file", scratch.0.display())), "{error}");
}

/// Layer names with the layers, calls and results that each of their calls reads.
fn links(json: &serde_json::Value) -> Vec<(String, Vec<Vec<String>>)> {
    let layers = json["config"]["layers"].as_array().unwrap();
    let reads = |call: &serde_json::Value| {
        let args = &call["args"][0];
        let tensors = args.as_array().cloned().unwrap_or_else(|| vec![args.clone()]);
        let history = |tensor: &serde_json::Value| {
            let history = &tensor["config"]["keras_history"];
            format!("{}:{}:{}", history[0].as_str().unwrap(), history[1], history[2])
        };
        tensors.iter().map(history).collect::<Vec<String>>()
    };
    let name = |layer: &serde_json::Value| layer["config"]["name"].as_str().unwrap().to_string();
    let calls =
        |layer: &serde_json::Value| layer["inbound_nodes"].as_array().unwrap().iter().map(reads).collect();
    layers.iter().map(|layer| (name(layer), calls(layer))).collect()
}

#[test]
fn models_are_described_with_inner_models_and_shared_layers() {
    rushlight::layers::reset_names();
    let inner = Sequential::new().add(Dense::new(4)).named("encoder").model([3]).unwrap();
    let shared = Dense::new(4).named("shared");
    let (a, b) = (Input::new([3]).named("a"), Input::new([3]).named("b"));
    let both = concat(&[&shared.call(&a), &shared.call(&b), &inner.call(&b)], -1);
    let model = Model::new([&a, &b], &(both.relu() + 1.0).apply(Dense::new(2).named("head"))).unwrap();
    let json: serde_json::Value = serde_json::from_str(&conceptual::model_json(&model)).unwrap();
    let one = |text: &str| vec![vec![text.to_string()]];
    let found = links(&json);
    let find =
        |name: &str| found.iter().find(|(own, _)| own == name).unwrap_or_else(|| panic!("{name}: {found:?}"));
    assert_eq!(find("a").1, Vec::<Vec<String>>::new());
    assert_eq!(find("shared").1, [vec!["a:0:0".to_string()], vec!["b:0:0".to_string()]]);
    assert_eq!(find("encoder").1, one("b:0:0"));
    assert_eq!(find("concat").1, [["shared:0:0", "shared:1:0", "encoder:0:0"].map(String::from).to_vec()]);
    assert_eq!(find("head").1, one("add:0:0"));
    assert_eq!(json["config"]["input_layers"], serde_json::json!(["a", "b"]));
    assert_eq!(json["config"]["output_layers"], serde_json::json!(["head", 0, 0]));
    let encoder = json["config"]["layers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|layer| layer["config"]["name"] == "encoder");
    assert_eq!(encoder.unwrap()["config"]["layers"].as_array().unwrap().len(), 2);
    let unbuilt = Model::from(Sequential::new().add(Dense::new(1)).add(Dense::new(1)));
    let json: serde_json::Value = serde_json::from_str(&conceptual::model_json(&unbuilt)).unwrap();
    assert_eq!(
        (json["class_name"].as_str(), json["config"]["layers"].as_array().unwrap().len()),
        (Some("Sequential"), 2)
    );
}
