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
        time: Some((start_time, Duration::from_nanos(25_600))),
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

/// The data of each whole record. The last one may be on its way, or a kill may have cut it off: readers leave it out.
pub(super) fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while let Some(length) = rest.get(..8) {
        let end = 12 + u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let Some(after) = rest.get(end + 4..) else { break };
        records.push(rest[12..end].to_vec());
        rest = after;
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
    let model = Model::new([&a, &b], (both.relu() + 1.0).apply(Dense::new(2).named("head"))).unwrap();
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

/// Writes until it is killed, if the test below started it; does nothing otherwise.
#[test]
fn a_writer_that_is_killed_at_work() {
    let Some(directory) = std::env::var_os("RUSHLIGHT_TEST_KILLED") else { return };
    let writer = Writer::create(directory).unwrap().flush_every(Duration::from_millis(5));
    for step in 0.. {
        writer.scalar("loss", step, step as f64).unwrap();
        writer.histogram("weights", step, &Tensor::arange(50, DType::F32)).unwrap();
    }
}

#[test]
fn what_was_written_before_a_kill_is_whole() {
    let scratch = Scratch::new("tensorboard-killed");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tensorboard::tests::a_writer_that_is_killed_at_work"])
        .env("RUSHLIGHT_TEST_KILLED", &scratch.0)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let file = || fs::read_dir(&scratch.0).unwrap().next().map(|entry| entry.unwrap().path());
    let start = now();
    while file().is_none_or(|path| fs::metadata(path).unwrap().len() < 200_000) {
        assert!(now() - start < 60.0, "the child writes nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(records(&file().unwrap()).len() > 100, "every record is whole");
}

/// All event files below a directory, one behind the other.
fn all_bytes(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            records(&path).iter().for_each(|record| bytes.extend(record));
        }
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn small_model() -> Model {
    let image = Input::new([8, 8, 3]);
    let x = Conv2d::new(16, 3).padding(Same).named("first").call(&image);
    let x = x.apply(BatchNormalization::new().named("norm")).relu();
    let logits = x.apply(GlobalAveragePooling2d::new()).apply(Dense::new(4).named("head"));
    let mut model = Model::new(&image, &logits).unwrap();
    let loss = SparseCategoricalCrossentropy::from_logits();
    model.compile(Sgd::new(0.1).momentum(0.9), loss, [Accuracy::new()]);
    model
}

fn small_data() -> Dataset {
    let images = random::uniform([64, 8, 8, 3], 0.0, 1.0, DType::F32);
    let labels = random::randint([64], 0, 4, DType::I32);
    Dataset::from_tensors(&images, &labels).unwrap().batch(16)
}

#[test]
fn a_training_is_logged_as_asked() {
    let scratch = Scratch::new("tensorboard-callback");
    let (model, data) = (small_model(), small_data());
    let log = TensorBoard::new(&scratch.0)
        .update_freq(UpdateFreq::Batches(2))
        .histogram_freq(1)
        .write_images(true)
        .write_grads(true)
        .write_steps_per_second(true)
        .profile_batch(3..=5)
        .hparams(HParams::new().with("learning_rate", 0.1));
    model.fit(&data, Fit::epochs(2).verbose(0).validation(&data).callback(log)).unwrap();
    let train = all_bytes(&scratch.0.join("train"));
    for tag in [
        "epoch_loss",
        "epoch_accuracy",
        "epoch_learning_rate",
        "epoch_steps_per_second",
        "batch_loss",
        "batch_steps_per_second",
        "first/kernel/histogram",
        "first/kernel/image",
        "head/bias/image",
        "first/kernel/gradient",
        "keras",
        "training_step/recorded",
        "training_step/compiled",
        "batch_5/compiled",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    ] {
        assert!(holds(&train, tag), "train lacks {tag}");
    }
    let validation = all_bytes(&scratch.0.join("validation"));
    for tag in ["epoch_loss", "evaluation_accuracy_vs_iterations"] {
        assert!(holds(&validation, tag), "validation lacks {tag}");
    }
    assert_eq!(fs::read_dir(scratch.0.join("train/plugins/profile")).unwrap().count(), 1);
}

#[test]
fn gradients_are_those_of_the_loss_and_leave_the_model_as_it_was() {
    let (model, data) = (small_model(), small_data());
    let batch = data.epoch(0).next().unwrap().unwrap();
    let variables = model.trainable_variables();
    let read = || -> Vec<Vec<f32>> { model.variables().iter().map(|v| v.read().to_vec().unwrap()).collect() };
    let before = read();
    let found = model.compiled.as_ref().unwrap().gradients(&model, &variables, &batch).unwrap();
    assert_eq!(before, read());
    let loss = || {
        let logits = model.call(&batch.inputs[0]);
        rushlight_core::sparse_categorical_crossentropy(&batch.targets[0], &logits).mean(..)
    };
    let (_, wanted) = training(true, || rushlight_core::value_and_grad(loss, &variables)).unwrap();
    for (found, wanted) in found.iter().zip(&wanted) {
        let apart = (found - wanted).abs().max(..).to_f64().unwrap();
        assert!(apart <= 1e-6, "{apart}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_logged_and_a_failed_training_says_so() {
    let scratch = Scratch::new("tensorboard-failure");
    let data =
        small_data().map(|batch| Ok(Batch { targets: vec![Tensor::zeros([3, 3], DType::F32)], ..batch }));
    let hparams = HParams::new().with("learning_rate", 0.1);
    let log = TensorBoard::new(&scratch.0).write_graph(false).hparams(hparams);
    small_model().fit(&data, Fit::epochs(1).verbose(0).callback(log)).unwrap_err();
    let train = all_bytes(&scratch.0.join("train"));
    assert!(holds(&train, "_hparams_/session_end_info") && !holds(&train, "keras"));
    let log = TensorBoard::new(&scratch.0).profile_batch(0..=3);
    let error = small_model().fit(&small_data(), Fit::epochs(1).verbose(0).callback(log)).unwrap_err();
    assert_eq!(error.rule(), "profile_batch counts batches from 1, the first one first");
    assert!(rushlight_core::profile::stop().kernels.is_empty(), "no profile is left on the way");
}

#[test]
fn a_traced_call_is_drawn_with_times_that_add_up() {
    let scratch = Scratch::new("tensorboard-trace");
    let (model, x) = (small_model(), random::uniform([16, 8, 8, 3], 0.0, 1.0, DType::F32));
    let infer = rushlight_core::trace::function("infer", |x: &Tensor| model.call(x));
    let (_, collected) = rushlight_core::profile::profile(|| infer.call(&x).check().map(drop));
    let call = &collected.graphs[0];
    let kernels = collected.kernels.iter().filter(|kernel| kernel.place.is_some());
    let took: Duration = kernels.map(|kernel| kernel.duration).sum();
    for picture in [call.plan.recorded(), call.plan.compiled()] {
        let graph = function_graph::op_graph(&picture);
        graph.check().unwrap();
        let runs = function_graph::runs(&picture, &collected, 0);
        let sum: Duration = runs.iter().filter_map(|run| Some(run.time?.1)).sum();
        let apart = sum.abs_diff(took).as_secs_f64() / took.as_secs_f64();
        assert!(apart < 0.02, "{sum:?} of {took:?} is told apart");
        let named = |name: &str| graph.nodes.iter().any(|node| node.name.ends_with(name));
        assert!(named("/first/kernel") && named("argument_0") && named("result_0"));
    }
    let compiled = function_graph::op_graph(&call.plan.compiled());
    assert!(compiled.nodes.iter().any(|node| node.name.contains("/loop_")));

    let traced = trace(&scratch.0, "infer", || infer.call(&x)).unwrap();
    assert_eq!(traced.shape().unwrap(), [16, 4]);
    let bytes = all_bytes(&scratch.0);
    assert!(holds(&bytes, "infer/recorded") && holds(&bytes, "infer/compiled"));
    assert!(scratch.0.join("plugins/profile").is_dir());
    let error = trace(&scratch.0, "nothing", || 3).unwrap_err();
    assert_eq!(error.rule(), "nothing was traced: the closure must call a recorded function");
}

#[test]
fn kernels_lie_inside_their_layers_on_the_line_of_their_thread() {
    let scratch = Scratch::new("tensorboard-timeline");
    let (model, x) = (small_model(), random::uniform([16, 8, 8, 3], 0.0, 1.0, DType::F32));
    let infer = rushlight_core::trace::function("infer", |x: &Tensor| model.call(x));
    let (_, collected) = rushlight_core::profile::profile(|| infer.call(&x).check().map(drop));
    let lines = timeline::lines(&collected);
    let main = &lines[0];
    let end = |event: &timeline::Event| event.start + event.duration;
    assert!(main.events.windows(2).all(|pair| pair[0].start <= pair[1].start));
    let mut kernels = 0;
    for event in &main.events {
        let timeline::EventKind::Kernel { op } = &event.kind else { continue };
        let Some((path, _)) = op.split_once("first/") else { continue };
        kernels += 1;
        assert!(path.starts_with("infer/"), "{op}");
        let layer = main
            .events
            .iter()
            .find(|outer| outer.name == "first" && outer.start <= event.start && end(outer) >= end(event));
        assert!(layer.is_some(), "{op} lies in no event of its layer");
    }
    assert!(kernels > 0);
    let path = scratch.0.join("trace.json");
    write_chrome_trace(&path, &collected).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    assert!(events.iter().filter(|event| event["ph"] == "X").count() >= collected.kernels.len());
}

#[test]
fn weights_of_embedding_layers_are_points_with_labels() {
    let scratch = Scratch::new("tensorboard-embeddings");
    let words = Input::new([4]);
    let x = words.apply(Embedding::new(6, 3).named("words")).apply(Flatten::new()).apply(Dense::new(2));
    let mut model = Model::new(&words, &x).unwrap();
    model.compile(Sgd::new(0.1), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    let (x, y) = (random::randint([8, 4], 0, 6, DType::I32), random::randint([8], 0, 2, DType::I32));
    let data = Dataset::from_tensors(&x.cast(DType::F32), &y).unwrap().batch(4);
    let fit = |labels: &[&str]| {
        let log = TensorBoard::new(&scratch.0).embeddings_freq(2);
        let log = log.embeddings_metadata("words", labels.iter().copied());
        model.fit(&data, Fit::epochs(2).verbose(0).callback(log)).map(drop)
    };
    fit(&["a", "b", "c", "d", "e", "f"]).unwrap();
    let points = fs::read_to_string(scratch.0.join("train/words/embeddings/points.tsv")).unwrap();
    let written: Vec<f32> = points.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let weights = model.variables()[0].read().to_vec::<f32>().unwrap();
    assert_eq!(written, weights);
    let labels = fs::read_to_string(scratch.0.join("train/words/embeddings/labels.tsv")).unwrap();
    assert_eq!(labels, "a\nb\nc\nd\ne\nf\n");
    let error = fit(&["too", "few"]).unwrap_err();
    assert_eq!(error.rule(), "2 labels do not fit 6 points of 3 dimensions");
}

#[test]
fn batches_that_one_call_trains_on_are_profiled_together() {
    let scratch = Scratch::new("tensorboard-several");
    let log = TensorBoard::new(&scratch.0).profile_batch(3..=3);
    let options = Fit::epochs(1).verbose(0).steps_per_execution(2).callback(log);
    small_model().fit(&small_data(), options).unwrap();
    let train = all_bytes(&scratch.0.join("train"));
    assert!(holds(&train, "training_step/recorded") && holds(&train, "batch_4/compiled"));
    assert!(holds(&train, "scan_1/body/"), "the steps are the body of a loop");
    assert_eq!(fs::read_dir(scratch.0.join("train/plugins/profile")).unwrap().count(), 1);
}
