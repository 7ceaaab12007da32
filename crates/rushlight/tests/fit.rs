//! What `fit` can be asked for, and the callbacks.

use rushlight::callbacks::{Callback, Progressing};
use rushlight::prelude::*;
use rushlight::training::{Compile, Epoch};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// 48 points of three classes.
fn points() -> (Tensor, Tensor) {
    let numbers = Tensor::arange(48, DType::F32);
    let x = stack(&[&(&numbers * 0.37).sin(), &(&numbers * 0.73).cos()], 1);
    (x, (numbers * 5.0 % 3.0).cast(DType::I32))
}

fn data() -> Dataset {
    let (x, y) = points();
    Dataset::from_tensors(&x, &y).unwrap().batch(8)
}

fn model() -> Model {
    random::set_seed(3);
    let layers = Sequential::new().add(Dense::new(8).activation(activations::Tanh)).add(Dense::new(3));
    let mut model = layers.model([2]).unwrap();
    model.compile(Adam::new(0.02), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    model
}

fn weights(model: &Model) -> Vec<Vec<f32>> {
    model.variables().iter().map(|variable| variable.read().to_vec().unwrap()).collect()
}

fn quiet(epochs: usize) -> Fit {
    Fit::epochs(epochs).verbose(0)
}

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rushlight-fit-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_split_keeps_the_last_part_to_validate_on() {
    let history = model().fit(&data().shuffle(1), quiet(2).validation_split(0.25)).unwrap();
    assert_eq!(history.epochs[0].examples, 36);
    let trained = model();
    trained.fit(&data().take(36).shuffle(1), quiet(2)).unwrap();
    let wanted = trained.evaluate(&data().skip(36)).unwrap();
    assert_eq!(history.last("val_loss"), wanted.get("loss"));
    assert_eq!(history.last("val_accuracy"), wanted.get("accuracy"));
    let error = model().fit(&data(), quiet(1).validation_split(1.5)).unwrap_err().to_string();
    assert!(error.contains("in [0, 1]"), "{error}");
    assert!(model().fit(&data(), quiet(1).validation_split(0.5).validation(&data())).is_err());
}

#[test]
fn class_weights_are_weights_of_examples() {
    let (x, y) = points();
    let each = Tensor::from([1.0f32, 3.0, 0.25]).take(&y, 0);
    let weighted = Dataset::from_weighted_tensors(&x, &y, &each).unwrap().batch(8);
    let (by_class, by_example, plain) = (model(), model(), model());
    let classes = [(1, 3.0), (2, 0.25)];
    let a = by_class.fit(&data(), quiet(2).class_weights(&classes)).unwrap();
    let b = by_example.fit(&weighted, quiet(2)).unwrap();
    plain.fit(&data(), quiet(2)).unwrap();
    assert_eq!(a.get("loss"), b.get("loss"));
    assert_eq!(weights(&by_class), weights(&by_example));
    assert_ne!(weights(&by_class), weights(&plain));
    // The loss is the mean of weighted losses, not a weighted mean: by hand for the first epoch's first batch.
    let fresh = model();
    let logits = fresh.predict(x.slice_axis(0, 0, 8)).unwrap();
    let values = sparse_categorical_crossentropy(&y.slice_axis(0, 0, 8), &logits);
    let by_hand = (values * each.slice_axis(0, 0, 8)).mean(..).to_f64().unwrap();
    let batch = weighted.epoch(0).next().unwrap().unwrap();
    assert!((fresh.test_on_batch(&batch).unwrap().get("loss").unwrap() - by_hand).abs() < 1e-6);
    // One-hot targets have classes too.
    let mut one_hot = model();
    one_hot.compile(Adam::new(0.02), CategoricalCrossentropy::from_logits(), ());
    let hot = Dataset::from_tensors(&x, &y.one_hot(3, DType::F32)).unwrap().batch(8);
    let c = one_hot.fit(&hot, quiet(2).class_weights(&classes)).unwrap();
    assert!((c.last("loss").unwrap() - a.last("loss").unwrap()).abs() < 1e-6);
    let error = model().fit(&weighted, quiet(1).class_weights(&classes)).unwrap_err().to_string();
    assert!(error.contains("not both"), "{error}");
}

#[test]
fn weighted_metrics_count_by_weight() {
    let mut judged = model();
    let settings = Compile::new(Sgd::new(0.0), SparseCategoricalCrossentropy::from_logits());
    judged.compile_with(
        settings
            .metrics([SparseCategoricalAccuracy::new()])
            .weighted_metrics([SparseCategoricalAccuracy::new().named("weighted")]),
    );
    let (x, y) = points();
    let right = judged.predict(&x).unwrap().argmax(-1).equal(&y).cast(DType::F32);
    let data = Dataset::from_weighted_tensors(&x, &y, &right).unwrap();
    let logs = judged.evaluate(&data).unwrap();
    let part = right.mean(..).to_f64().unwrap();
    assert!((logs.get("sparse_categorical_accuracy").unwrap() - part).abs() < 1e-6);
    assert_eq!(logs.get("weighted"), Some(1.0));
}

#[test]
fn epochs_of_some_steps_go_on_where_the_last_one_ended() {
    let (whole, halves) = (model(), model());
    whole.fit(&data(), quiet(2)).unwrap();
    let history = halves.fit(&data(), quiet(4).steps_per_epoch(3)).unwrap();
    assert_eq!(weights(&whole), weights(&halves));
    assert_eq!(history.epochs.iter().map(|epoch| epoch.examples).collect::<Vec<_>>(), [24; 4]);
    // Longer than a pass: the next pass follows.
    let history = model().fit(&data(), quiet(2).steps_per_epoch(9)).unwrap();
    assert_eq!(history.epochs[1].examples, 72);
}

#[test]
fn a_training_goes_on_from_an_initial_epoch() {
    let (whole, parts) = (model(), model());
    let data = data().shuffle(5);
    whole.fit(&data, quiet(5)).unwrap();
    parts.fit(&data, quiet(2)).unwrap();
    let history = parts.fit(&data, quiet(5).initial_epoch(2)).unwrap();
    assert_eq!(history.epochs.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(weights(&whole), weights(&parts));
}

#[test]
fn validation_comes_as_often_as_asked_for() {
    let history = model().fit(&data(), quiet(5).validation(&data()).validation_freq(2)).unwrap();
    let validated = |epoch: &Epoch| epoch.logs.get("val_loss").is_some();
    assert_eq!(history.epochs.iter().map(validated).collect::<Vec<_>>(), [false, true, false, true, false]);
    let all = model().fit(&data(), quiet(1).validation(&data())).unwrap().last("val_loss");
    let some =
        model().fit(&data(), quiet(1).validation(&data()).validation_steps(2)).unwrap().last("val_loss");
    let trained = model();
    trained.fit(&data(), quiet(1)).unwrap();
    assert_eq!(some, trained.evaluate(&data().take(16)).unwrap().get("loss"));
    assert_ne!(all, some);
}

#[test]
fn single_batches_train_like_fit() {
    let (fitted, stepped) = (model(), model());
    let history = fitted.fit(&data(), quiet(1)).unwrap();
    let mut logs = Logs::default();
    for batch in data().epoch(0) {
        logs = stepped.train_on_batch(&batch.unwrap()).unwrap();
    }
    assert_eq!(weights(&fitted), weights(&stepped));
    assert_eq!(logs.get("loss"), history.last("loss"));
    stepped.reset_metrics().unwrap();
    let batch = data().batch(48).epoch(0).next().unwrap().unwrap();
    assert_eq!(stepped.test_on_batch(&batch).unwrap(), fitted.evaluate(&data().batch(48)).unwrap());
    let outputs = stepped.predict_on_batch(&batch.inputs[0]).unwrap();
    let predicted = fitted.predict(&batch.inputs[0]).unwrap();
    assert_eq!(outputs[0].to_vec::<f32>().unwrap(), predicted.to_vec::<f32>().unwrap());
}

#[test]
fn a_train_step_of_ones_own_and_eager_steps_do_the_same() {
    let (usual, mut own, mut eager) = (model(), model(), model());
    let settings = || {
        Compile::new(Adam::new(0.02), SparseCategoricalCrossentropy::from_logits()).metrics([Accuracy::new()])
    };
    own.compile_with(settings().train_step(|step| {
        let forward = step.minimize(|| {
            let mut forward = step.forward()?;
            // The same loss, by hand.
            forward.loss =
                sparse_categorical_crossentropy(&step.targets[0], &forward.predictions[0]).mean(..);
            Ok(forward)
        })?;
        step.measure(&forward)
    }));
    eager.compile_with(settings().run_eagerly());
    let usual_history = usual.fit(&data(), quiet(3)).unwrap();
    let own_history = own.fit(&data(), quiet(3)).unwrap();
    let eager_history = eager.fit(&data(), quiet(3)).unwrap();
    assert_eq!(usual_history.get("accuracy"), own_history.get("accuracy"));
    for (a, b) in usual_history.get("loss").iter().zip(eager_history.get("loss")) {
        assert!((a - b).abs() < 1e-5);
    }
    for (a, b) in usual_history.get("loss").iter().zip(own_history.get("loss")) {
        assert!((a - b).abs() < 1e-6);
    }
}

#[test]
fn outputs_have_losses_and_metrics_of_their_own() {
    let x = Input::new([2]);
    let hidden = x.apply(Dense::new(4)).relu();
    let (class, size) =
        (hidden.apply(Dense::new(3).named("class")), hidden.apply(Dense::new(1).named("size")));
    let mut model = Model::new(&x, [&class, &size]).unwrap();
    let settings =
        Compile::new(Sgd::new(0.0), (SparseCategoricalCrossentropy::from_logits(), MeanSquaredError));
    model.compile_with(
        settings
            .loss_weights(&[2.0, 0.5])
            .metrics([Accuracy::new()])
            .metrics_of(1, [MeanAbsoluteError.metric()]),
    );
    let (points, classes) = points();
    let targets = vec![classes, points.sum_keepdims(-1)];
    let batch = Batch { inputs: vec![points.clone()], targets, ..Batch::default() };
    let history = model.fit(&Dataset::from_batch(batch).unwrap().batch(12), quiet(1)).unwrap();
    let names: Vec<&str> = history.epochs[0].logs.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["loss", "class_loss", "size_loss", "accuracy", "size_mean_absolute_error"]);
    let value = |name| history.last(name).unwrap();
    assert!((value("loss") - 2.0 * value("class_loss") - 0.5 * value("size_loss")).abs() < 1e-6);
    let wrong = Compile::new(Sgd::new(0.1), (MeanSquaredError, MeanSquaredError)).loss_weights(&[1.0]);
    model.compile_with(wrong);
    let batch = Batch { inputs: vec![points.clone()], targets: vec![points.clone(); 2], ..Batch::default() };
    let error = model.train_on_batch(&batch).unwrap_err().to_string();
    assert!(error.contains("one loss weight for each loss: 1 for 2"), "{error}");
}

#[test]
fn what_a_model_was_compiled_with_can_be_written_and_read() {
    let settings = Compile::new(
        Adam::new(CosineDecay::new(0.1, 50)).clipnorm(1.0),
        (SparseCategoricalCrossentropy::from_logits(), Huber::new(0.5)),
    )
    .loss_weights(&[1.0, 0.25])
    .metrics((Accuracy::new(), SparseTopKCategoricalAccuracy::new().k(2), Auc::new().curve(Curve::Pr)))
    .weighted_metrics([MeanSquaredError.metric()]);
    let json = settings.to_json().unwrap();
    assert_eq!(json["loss"][1]["config"]["delta"], 0.5);
    assert_eq!(Compile::from_json(&json).unwrap().to_json().unwrap(), json);
    // Names instead of objects.
    let short = serde_json::json!({"optimizer": "adam", "loss": "mse", "metrics": ["accuracy", "mae"]});
    let read = Compile::from_json(&short).unwrap().to_json().unwrap();
    assert_eq!(read["loss"]["class_name"], "MeanSquaredError");
    assert_eq!(read["metrics"][1]["class_name"], "MeanAbsoluteError");
    let own = Compile::new(Sgd::new(0.1), |t: &Tensor, p: &Tensor| (t - p).abs().mean(-1));
    assert!(own.to_json().is_none());
}

#[test]
fn averaged_weights_take_their_place_at_the_end() {
    let mut averaged = model();
    averaged.compile(Sgd::new(0.5).use_ema(0.5), SparseCategoricalCrossentropy::from_logits(), ());
    averaged.fit(&data(), quiet(1)).unwrap();
    let mut plain = model();
    plain.compile(Sgd::new(0.5), SparseCategoricalCrossentropy::from_logits(), ());
    let mut mean: Option<Vec<Tensor>> = None;
    for batch in data().epoch(0) {
        plain.train_on_batch(&batch.unwrap()).unwrap();
        let now: Vec<Tensor> = plain.variables().iter().map(Variable::read).collect();
        let next = |old: Vec<Tensor>| old.iter().zip(&now).map(|(a, b)| a * 0.5 + b * 0.5).collect();
        mean = Some(mean.map_or_else(|| now.clone(), next));
    }
    for (variable, wanted) in averaged.variables().iter().zip(mean.unwrap()) {
        let difference = (variable.read() - wanted).abs().max(..).to_f64().unwrap();
        assert!(difference < 1e-6, "{difference}");
    }
}

#[test]
fn the_learning_rate_falls_on_a_plateau() {
    let mut stuck = model();
    stuck.compile(Sgd::new(0.0), SparseCategoricalCrossentropy::from_logits(), ());
    // A learning rate of zero changes nothing, so this one is set by hand; the loss stays as it is.
    let rates = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = rates.clone();
    let note = LambdaCallback::new().on_epoch_end(move |training, _| {
        seen.lock().unwrap().push(training.optimizer.learning_rate()?);
        Ok(())
    });
    let plateau =
        ReduceLROnPlateau::new("loss").factor(0.5).patience(2).cooldown(1).min_lr(0.2).min_delta(10.0);
    let raise = LambdaCallback::new().on_train_begin(|training| training.optimizer.set_learning_rate(1.0));
    stuck.fit(&data(), quiet(9).callback(raise).callback(plateau).callback(note)).unwrap();
    // Epoch 0 is the best; 1 and 2 are no better; cooling down in 3; 3 and 4 count again.
    assert_eq!(*rates.lock().unwrap(), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]);
    let wrong = ReduceLROnPlateau::new("loss").factor(1.0);
    assert!(model().fit(&data(), quiet(1).callback(wrong)).is_err());
}

#[test]
fn stopping_early_gives_the_best_weights_back() {
    let best = Arc::new(std::sync::Mutex::new((f64::INFINITY, Vec::new())));
    let seen = best.clone();
    let note = LambdaCallback::new().on_epoch_end(move |training, history| {
        let (loss, mut best) = (history.last("val_loss").unwrap(), seen.lock().unwrap());
        if loss < best.0 {
            *best = (loss, weights(training.model));
        }
        // Worse and worse from the fourth epoch on.
        training.optimizer.set_learning_rate(if training.epoch < 3 { 0.02 } else { 1.0 })
    });
    let model = model();
    let stop = EarlyStopping::new("val_loss", 3).restore_best_weights();
    let options = quiet(60).validation(&data()).callback(note).callback(stop);
    let history = model.fit(&data(), options).unwrap();
    assert!(history.epochs.len() < 60);
    assert_eq!(weights(&model), best.lock().unwrap().1);
    // Not before an epoch, and not good enough without the baseline.
    let never = EarlyStopping::new("loss", 1).min_delta(100.0).start_from_epoch(4);
    assert_eq!(model.fit(&data(), quiet(20).callback(never)).unwrap().epochs.len(), 6);
}

#[test]
fn checkpoints_have_epochs_and_values_in_their_names() {
    let folder = scratch("checkpoints");
    let model = model();
    let path = folder.join("w-{epoch:02}.safetensors");
    model.fit(&data(), quiet(2).callback(ModelCheckpoint::new(path))).unwrap();
    let last = weights(&model);
    let other = self::model();
    other.load_weights(folder.join("w-02.safetensors")).unwrap();
    assert_eq!(weights(&other), last);
    assert!(folder.join("w-01.safetensors").exists());
    let steps = ModelCheckpoint::new(folder.join("step.safetensors")).every_steps(4);
    self::model().fit(&data(), quiet(1).callback(steps)).unwrap();
    assert!(folder.join("step.safetensors").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Breaks training off with an error.
struct Crash {
    after_epoch: usize,
}

impl Callback for Crash {
    fn on_epoch_end(&mut self, training: &Progressing, _history: &History) -> Result<()> {
        if training.epoch < self.after_epoch {
            return Ok(());
        }
        Err(Error::outside(rushlight::ErrorKind::Io, "the machine", "lost its power"))
    }
}

#[test]
fn a_broken_training_goes_on_to_the_same_bits() {
    let folder = scratch("backup");
    let path = folder.join("backup.safetensors");
    let data = data().shuffle(9);
    let whole = model();
    whole.fit(&data, quiet(5)).unwrap();
    let broken = quiet(5).callback(BackupAndRestore::new(&path)).callback(Crash { after_epoch: 2 });
    assert!(model().fit(&data, broken).is_err());
    assert!(path.exists());
    let again = model();
    let history = again.fit(&data, quiet(5).callback(BackupAndRestore::new(&path))).unwrap();
    assert_eq!(history.epochs.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(weights(&again), weights(&whole));
    assert!(!path.exists());
    std::fs::write(&path, b"something else").unwrap();
    assert!(model().fit(&data, quiet(1).callback(BackupAndRestore::new(&path))).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// `1 / x`
#[derive(Clone)]
struct Invert {
    state: LayerState,
}

impl Layer for Invert {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        (x * 0.0).log() * x
    }
}

#[test]
fn the_layer_is_named_in_which_the_first_nan_appeared() {
    let x = Input::new([2]);
    let hidden = x.apply(Dense::new(4).named("first")).relu();
    let broken = hidden.apply(Invert { state: LayerState::new("Invert") }.named("culprit"));
    let mut model = Model::new(&x, broken.apply(Dense::new(3).named("last"))).unwrap();
    model.compile(Adam::new(0.01), SparseCategoricalCrossentropy::from_logits(), ());
    let before = weights(&model);
    let error = model.fit(&data(), quiet(3).callback(TerminateOnNaN::new())).unwrap_err().to_string();
    assert!(error.contains("in epoch 1, after step 1: it first appeared in the output of layer"), "{error}");
    assert!(error.contains("culprit`"), "{error}");
    assert_eq!(weights(&model), before);
    // Inputs are looked at first.
    let (points, classes) = points();
    let faulty = Dataset::from_tensors(&points.log(), &classes).unwrap().batch(8);
    let error = self::model().fit(&faulty, quiet(1).callback(TerminateOnNaN::new())).unwrap_err().to_string();
    assert!(error.contains("input 0 of the batch"), "{error}");
    // A model without fault trains.
    self::model().fit(&data(), quiet(2).callback(TerminateOnNaN::new())).unwrap();
}

#[test]
fn time_spent_waiting_for_data_is_told() {
    let slow = data().prefetch(1).map(|batch| {
        std::thread::sleep(Duration::from_millis(30));
        Ok(batch)
    });
    let history = model().fit(&slow, quiet(2)).unwrap();
    assert!(history.epochs[1].data_time > history.epochs[1].training_time / 2, "{:?}", history.epochs[1]);
    let history = model().fit(&slow.workers(6).prefetch(6), quiet(2)).unwrap();
    assert!(history.epochs[1].data_time < Duration::from_millis(120), "{:?}", history.epochs[1]);
}

#[test]
fn faulty_options_are_errors_before_the_first_step() {
    let model = model();
    let before = weights(&model);
    for options in [
        quiet(1).steps_per_epoch(0),
        quiet(1).validation_freq(0),
        quiet(1).steps_per_execution(0),
        quiet(1).class_weights(&[(1, -1.0)]),
    ] {
        assert!(model.fit(&data(), options).is_err());
    }
    let flag = Arc::new(AtomicBool::new(true));
    assert!(model.fit(&data(), quiet(1).stop_flag(flag.clone())).unwrap().interrupted);
    flag.store(false, Ordering::Relaxed);
    assert_eq!(weights(&model), before);
}
