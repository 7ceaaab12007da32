//! Training: layers that behave differently in it, optimizers by hand-computed numbers, fit and its options.

use rushlight::prelude::*;
use rushlight::training::Epoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn close(got: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(got.len(), wanted.len());
    for (index, (a, b)) in got.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= tolerance, "element {index}: {a} and {b} in {got:?}");
    }
}

fn read(variable: &Variable) -> Vec<f32> {
    variable.read().to_vec().unwrap()
}

#[test]
fn batch_normalization_is_that_of_keras() {
    let norm = BatchNormalization::new();
    let x = Tensor::from([[1.0f32, 10.0], [3.0, 10.0]]);
    // Inference: moving mean 0, moving variance 1.
    let factor = 1.0 / (1.0f32 + 1e-3).sqrt();
    close(&norm.call(&x).to_vec().unwrap(), &[factor, 10.0 * factor, 3.0 * factor, 10.0 * factor], 1e-5);
    let [gamma, beta, mean, variance] = norm.variables().try_into().unwrap();
    assert_eq!(norm.trainable_variables(), [gamma.clone(), beta.clone()]);
    gamma.assign(&Tensor::from([2.0f32, 3.0])).unwrap();
    beta.assign(&Tensor::from([0.5f32, -1.0])).unwrap();
    // Training: mean [2, 10], biased variance [1, 0].
    let y = training(true, || norm.call(&x));
    close(&y.to_vec().unwrap(), &[0.5 - 2.0 * factor, -1.0, 0.5 + 2.0 * factor, -1.0], 1e-5);
    close(&read(&mean), &[0.02, 0.1], 1e-7);
    close(&read(&variance), &[0.99 + 0.01, 0.99], 1e-7);
    // Frozen: moving statistics also while training, and they stay.
    norm.set_trainable(false);
    assert!(norm.trainable_variables().is_empty());
    training(true, || norm.call(&x)).check().unwrap();
    close(&read(&mean), &[0.02, 0.1], 1e-7);
    norm.set_trainable(true);
    assert_eq!(norm.trainable_variables(), [gamma, beta]);
}

#[test]
fn batch_normalization_of_images_keeps_channels_apart() {
    let norm = BatchNormalization::new().epsilon(0.0).scale(false);
    let x = Tensor::arange(2 * 3 * 3 * 2, DType::F32).reshape([2, 3, 3, 2]);
    let y = training(true, || norm.call(&x));
    assert_eq!(y.shape().unwrap(), [2, 3, 3, 2]);
    close(&y.mean([0, 1, 2]).to_vec().unwrap(), &[0.0, 0.0], 1e-5);
    close(&y.variance([0, 1, 2]).to_vec().unwrap(), &[1.0, 1.0], 1e-4);
    assert_eq!(norm.variables().len(), 3);
}

#[test]
fn dropout_drops_while_training_only() {
    let dropout = Dropout::new(0.25).seed(3);
    let x = Tensor::ones([100, 100], DType::F32);
    assert_eq!(dropout.call(&x).to_vec::<f32>().unwrap(), vec![1.0; 10_000]);
    let (first, second) = training(true, || (dropout.call(&x), dropout.call(&x)));
    let values = first.to_vec::<f32>().unwrap();
    assert!(values.iter().all(|&value| value == 0.0 || (value - 4.0 / 3.0).abs() < 1e-6));
    let kept = values.iter().filter(|&&value| value != 0.0).count();
    assert!((7300..7700).contains(&kept), "{kept} of 10000 kept");
    assert_ne!(values, second.to_vec::<f32>().unwrap());
    let error = training(true, || Dropout::new(1.5).call(&x)).check().err().unwrap().to_string();
    assert!(error.contains("between 0 and 1"), "{error}");
}

#[test]
fn optimizers_follow_keras_formulas() {
    let start = [1.0f32, -2.0];
    let gradient = Tensor::from([0.5f32, 1.0]);
    let steps = |optimizer: &dyn Optimizer, count: usize| {
        let w = Variable::new("w", &Tensor::from(start)).unwrap();
        for _ in 0..count {
            optimizer.apply(std::slice::from_ref(&gradient), std::slice::from_ref(&w)).unwrap();
        }
        read(&w)
    };
    let sgd = |w: f32, g: f32| w - 0.1 * g;
    close(&steps(&Sgd::new(0.1), 1), &[sgd(1.0, 0.5), sgd(-2.0, 1.0)], 1e-7);
    // v1 = -lr·g, v2 = 0.9·v1 - lr·g: w2 = w - lr·g·(1 + 1.9).
    close(&steps(&Sgd::new(0.1).momentum(0.9), 2), &[1.0 - 0.05 * 2.9, -2.0 - 0.1 * 2.9], 1e-6);
    // Nesterov: each step adds 0.9·v - lr·g: 1.9·lr·g, then (0.9·1.9 + 1)·lr·g.
    let nesterov = Sgd::new(0.1).momentum(0.9).nesterov(true);
    close(&steps(&nesterov, 2), &[1.0 - 0.05 * 4.61, -2.0 - 0.1 * 4.61], 1e-6);
    // Weight decay comes first: w·(1 - lr·decay) - lr·g.
    close(&steps(&Sgd::new(0.1).weight_decay(0.5), 1), &[0.95 - 0.05, -1.9 - 0.1], 1e-6);
    // Adam's first step is lr·sign(g) but for epsilon.
    close(&steps(&Adam::new(0.01), 1), &[0.99, -2.01], 1e-6);
    // With equal gradients the second step is as large.
    close(&steps(&Adam::new(0.01), 2), &[0.98, -2.02], 1e-5);
    close(&steps(&AdamW::new(0.01), 1), &[1.0 - 0.00004 - 0.01, -2.0 + 0.00008 - 0.01], 1e-6);
}

#[test]
fn a_learning_rate_changes_without_a_new_recording() {
    let w = Variable::new("w", &Tensor::scalar(0.0f32)).unwrap();
    let optimizer = Arc::new(Sgd::new(1.0));
    let step = function("step", {
        let (w, optimizer) = (w.clone(), optimizer.clone());
        move |g: &Tensor| -> Result<Tensor> {
            optimizer.apply(std::slice::from_ref(g), std::slice::from_ref(&w))?;
            Ok(w.read())
        }
    });
    let one = Tensor::scalar(1.0f32);
    assert_eq!(step.call(&one).unwrap().item::<f32>().unwrap(), -1.0);
    optimizer.set_learning_rate(10.0).unwrap();
    assert_eq!(step.call(&one).unwrap().item::<f32>().unwrap(), -11.0);
    assert_eq!(step.recordings().recording_count(), 1);
    assert_eq!(optimizer.state().iterations().read().item::<i64>().unwrap(), 2);
}

#[test]
fn faulty_gradients_change_nothing() {
    let (a, b) = (
        Variable::new("a", &Tensor::scalar(1.0f32)).unwrap(),
        Variable::new("b", &Tensor::from([1.0f32, 2.0])).unwrap(),
    );
    let good = Tensor::scalar(1.0f32);
    let bad = Tensor::from([1.0f32, 2.0]) + Tensor::from([1.0f32, 2.0, 3.0]);
    let optimizer = Sgd::new(0.1);
    let both = [a.clone(), b.clone()];
    assert!(optimizer.apply(&[good.clone(), bad], &both).unwrap_err().to_string().starts_with("[add]"));
    let error = optimizer.apply(&[good.clone(), good.clone()], &both).unwrap_err().to_string();
    assert!(error.contains("gradient of `b` must be f32[2]: got []"), "{error}");
    let error = optimizer.apply(&[good], &both).unwrap_err().to_string();
    assert!(error.contains("1 gradients came for 2 variables"), "{error}");
    assert_eq!((read(&a), read(&b)), (vec![1.0], vec![1.0, 2.0]));
}

#[test]
fn losses_by_hand() {
    let logits = Tensor::from([[0.0f32, 0.0], [0.0, 3.0f32.ln()]]);
    let mean = |loss: &dyn Loss, target: &Tensor, prediction: &Tensor| {
        loss.mean(target, prediction).item::<f32>().unwrap()
    };
    let wanted = (2.0f32.ln() + (4.0f32 / 3.0).ln()) / 2.0;
    let sparse = SparseCategoricalCrossentropy::from_logits();
    close(&[mean(&sparse, &Tensor::from([0, 1]), &logits)], &[wanted], 1e-6);
    close(&[mean(&sparse, &Tensor::from([[0.0f32], [1.0]]), &logits)], &[wanted], 1e-6);
    let chances = logits.softmax(-1);
    close(&[mean(&SparseCategoricalCrossentropy::new(), &Tensor::from([0, 1]), &chances)], &[wanted], 1e-6);
    let one_hot = Tensor::from([[1.0f32, 0.0], [0.0, 1.0]]);
    close(&[mean(&CategoricalCrossentropy::from_logits(), &one_hot, &logits)], &[wanted], 1e-6);
    close(&[mean(&CategoricalCrossentropy::new(), &one_hot, &chances)], &[wanted], 1e-6);
    let smooth = CategoricalCrossentropy::from_logits().label_smoothing(0.2);
    let second = 0.9 * (4.0f32 / 3.0).ln() + 0.1 * (4.0f32.ln());
    close(&[mean(&smooth, &one_hot, &logits)], &[(2.0f32.ln() + second) / 2.0], 1e-6);
    let half = Tensor::from([[0.5f32]]);
    close(&[mean(&BinaryCrossentropy::new(), &Tensor::from([[1.0f32]]), &half)], &[2.0f32.ln()], 1e-6);
    let zero = Tensor::from([[0.0f32]]);
    close(&[mean(&BinaryCrossentropy::from_logits(), &zero, &zero)], &[2.0f32.ln()], 1e-6);
    let (a, b) = (Tensor::from([[1.0f32, 2.0]]), Tensor::from([[0.0f32, 4.0]]));
    assert_eq!((mean(&MeanSquaredError, &a, &b), mean(&MeanAbsoluteError, &a, &b)), (2.5, 1.5));
    let error = MeanSquaredError.mean(&Tensor::from([1.0f32]), &b).check().err().unwrap().to_string();
    assert!(error.starts_with("[mean_squared_error]"), "{error}");
}

#[test]
fn accuracy_resolves_by_shape() {
    let measure = |targets: Tensor, predictions: Tensor| {
        let accuracy = Accuracy::new();
        accuracy.update(&targets, &predictions).unwrap();
        accuracy.update(&targets, &predictions).unwrap();
        accuracy.result().to_f64().unwrap()
    };
    let scores = || Tensor::from([[0.1f32, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]);
    assert_eq!(measure(Tensor::from([1, 0, 0, 0]), scores()), 0.75);
    assert_eq!(measure(Tensor::from([[1.0f32], [1.0], [1.0], [1.0]]), scores()), 0.5);
    assert_eq!(measure(Tensor::from([[0.0f32, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), scores()), 0.5);
    assert_eq!(measure(Tensor::from([1, 0, 1]), Tensor::from([[0.6f32], [0.4], [0.1]])), 2.0 / 3.0);
}

/// Points of two classes that a line does not separate.
fn rings() -> Dataset {
    let radius = Tensor::arange(128, DType::F32).reshape([128, 1]) / 128.0 + 0.1;
    let angle = Tensor::arange(128, DType::F32).reshape([128, 1]) * 2.4;
    let x = concat(&[&(&radius * angle.cos()), &(&radius * angle.sin())], 1);
    let y = radius.greater(0.6).cast(DType::I32).squeeze(-1);
    Dataset::from_tensors(&x, &y).unwrap().shuffle(1).batch(24)
}

fn mlp() -> Model {
    random::set_seed(5);
    let mut model = Sequential::new()
        .add(Dense::new(16).activation(activations::Relu))
        .add(BatchNormalization::new().momentum(0.9))
        .add(Dense::new(2))
        .model([2])
        .unwrap();
    model.compile(Adam::new(0.02), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    model
}

#[test]
fn fit_learns_alike_in_both_modes() {
    let data = rings();
    let train = |mode| {
        let model = mlp();
        let history = model.fit(&data, Fit::epochs(25).mode(mode).verbose(0).validation(&data)).unwrap();
        (model, history)
    };
    let (model, graph) = train(Mode::Graph);
    let (_, eager) = train(Mode::Eager);
    assert_eq!(graph.epochs.len(), 25);
    for (a, b) in graph.get("loss").iter().zip(eager.get("loss")) {
        assert!((a - b).abs() <= 1e-3 * b.abs().max(0.01), "{a} in graph mode, {b} in eager mode");
    }
    let last = graph.last("val_accuracy").unwrap();
    assert!(last > 0.95, "{last}");
    assert_eq!(graph.epochs[0].examples, 128);
    // Evaluating once more, and by hand from predictions, gives the same.
    let again = model.evaluate(&data).unwrap();
    assert_eq!(again.get("accuracy"), Some(last));
    let all: Vec<Batch> = data.clone().batch(128).epoch(0).map(Result::unwrap).collect();
    let predicted = model.predict(&all[0].inputs[0]).unwrap();
    let hits = predicted.argmax(-1).equal(&all[0].targets[0]).cast(DType::F32).mean(..);
    assert!((hits.to_f64().unwrap() - last).abs() < 1e-6);
}

#[test]
fn a_deferred_model_is_built_by_its_first_batch() {
    let mut model = Model::from(Sequential::new().add(Dense::new(8)).add(ReLU::new()).add(Dense::new(2)));
    assert!(model.variables().is_empty());
    model.compile(Sgd::new(0.1), SparseCategoricalCrossentropy::from_logits(), ());
    let history = model.fit(&rings(), Fit::epochs(1).verbose(0)).unwrap();
    assert_eq!(model.variables().len(), 4);
    assert_eq!(model.summary().rows.len(), 3);
    assert!(history.last("loss").unwrap().is_finite());
}

#[test]
fn training_can_be_stopped_from_outside_and_inside() {
    struct Stop {
        flag: Arc<AtomicBool>,
        after: usize,
        batches: Arc<AtomicUsize>,
    }
    impl Callback for Stop {
        fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
            assert!(logs()?.get("loss").is_some());
            self.batches.fetch_add(1, Ordering::Relaxed);
            if training.step == self.after {
                self.flag.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
    }
    let (flag, batches) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let stop = Stop { flag: flag.clone(), after: 9, batches: batches.clone() };
    let options = Fit::epochs(10).verbose(0).stop_flag(flag).callback(stop);
    let history = mlp().fit(&rings(), options).unwrap();
    assert!(history.interrupted);
    assert_eq!((history.epochs.len(), batches.load(Ordering::Relaxed)), (1, 9));

    // A learning rate of zero: nothing gets better after the first epoch.
    let frozen = Fit::epochs(50)
        .verbose(0)
        .callback(LearningRateScheduler::new(|_| 0.0))
        .callback(EarlyStopping::new("loss", 3).restore_best_weights());
    let mut model = Sequential::new().add(Dense::new(2)).model([2]).unwrap();
    model.compile(Sgd::new(0.5), SparseCategoricalCrossentropy::from_logits(), ());
    let epochs: Vec<Epoch> = model.fit(&rings().prefetch(0), frozen).unwrap().epochs;
    assert!((4..50).contains(&epochs.len()), "{}", epochs.len());
}

#[test]
fn what_does_not_fit_is_an_error_and_trains_nothing() {
    let model = mlp();
    let before: Vec<Vec<f32>> = model.variables().iter().map(read).collect();
    let x = Tensor::zeros([8, 3], DType::F32);
    let wrong = Dataset::from_tensors(&x, &Tensor::zeros([8], DType::I32)).unwrap();
    let error = model.fit(&wrong, Fit::epochs(1).verbose(0)).unwrap_err().to_string();
    assert!(error.contains("must be f32[batch, 2]: got [8, 3]"), "{error}");
    let labels =
        Dataset::from_tensors(&Tensor::zeros([8, 2], DType::F32), &Tensor::zeros([8, 5], DType::I32));
    assert!(model.fit(&labels.unwrap(), Fit::epochs(1).verbose(0)).is_err());
    let empty = Dataset::from_tensors(&Tensor::zeros([0, 2], DType::F32), &Tensor::zeros([0], DType::I32));
    let error = model.fit(&empty.unwrap(), Fit::epochs(1).verbose(0)).unwrap_err().to_string();
    assert!(error.contains("at least one batch"), "{error}");
    let after: Vec<Vec<f32>> = model.variables().iter().map(read).collect();
    assert_eq!(before, after);
    let plain = Sequential::new().add(Dense::new(2)).model([2]).unwrap();
    let error = plain.fit(&rings(), Fit::epochs(1)).unwrap_err().to_string();
    assert!(error.contains("compiled first"), "{error}");
}

#[test]
fn frozen_layers_stay_and_others_learn() {
    let frozen = Dense::new(4).named("frozen");
    let x = Input::new([2]);
    let norm = BatchNormalization::new();
    let mut model = Model::new(&x, x.apply(&frozen).relu().apply(&norm).apply(Dense::new(2))).unwrap();
    model.compile(Sgd::new(0.1), SparseCategoricalCrossentropy::from_logits(), ());
    let values = |layer: &dyn Fn() -> Vec<Variable>| layer().iter().map(read).collect::<Vec<_>>();
    let one = || Fit::epochs(1).verbose(0);
    let (before, norm_before) = (values(&|| frozen.variables()), values(&|| norm.variables()));
    frozen.set_trainable(false);
    norm.set_trainable(false);
    model.fit(&rings(), one()).unwrap();
    assert_eq!(values(&|| frozen.variables()), before);
    assert_eq!(values(&|| norm.variables()), norm_before);
    frozen.set_trainable(true);
    norm.set_trainable(true);
    model.fit(&rings(), one()).unwrap();
    let changed = |now: Vec<Vec<f32>>, before: &[Vec<f32>]| now.iter().zip(before).all(|(a, b)| a != b);
    assert!(changed(values(&|| frozen.variables()), &before));
    assert!(changed(values(&|| norm.variables()), &norm_before));
}

#[test]
fn a_model_of_two_inputs_and_outputs_trains_on_both() {
    let (left, right) = (Input::new([1]), Input::new([1]));
    let sum = concat(&[&left, &right], -1).apply(Dense::new(1).named("sum"));
    let double = left.apply(Dense::new(1).named("double"));
    let mut model = Model::new([&left, &right], [&sum, &double]).unwrap();
    model.compile(Adam::new(0.05), [MeanSquaredError, MeanSquaredError], ());
    let a = Tensor::linspace(-1.0, 1.0, 70, DType::F32).reshape([70, 1]);
    let b = a.square();
    let targets = vec![&a + &b, &a * 2.0];
    let all = Batch { inputs: vec![a.clone(), b.clone()], targets, ..Batch::default() };
    let data = Dataset::from_batch(all).unwrap().shuffle(3).batch(10);
    let history = model.fit(&data, Fit::epochs(60).verbose(0)).unwrap();
    assert!(history.last("loss").unwrap() < 1e-3, "{:?}", history.last("loss"));
    // 70 rows are more than one batch of a prediction.
    let outputs = model.predict_many([&a, &b]).unwrap();
    close(&outputs[1].to_vec().unwrap(), &(&a * 2.0).to_vec().unwrap(), 0.2);
    assert_eq!(outputs[0].shape().unwrap(), [70, 1]);
    assert!(model.predict([&a, &b]).unwrap_err().to_string().contains("predict_many"));
    let one = Dataset::from_tensors(&a, &b).unwrap();
    assert!(model.fit(&one, Fit::epochs(1).verbose(0)).unwrap_err().to_string().contains("takes 2 input(s)"));
}

#[test]
fn memory_is_planned_before_the_first_step() {
    let model = mlp();
    let memory = model.planned_training_memory(32).unwrap();
    assert!(memory.temporary > 0 && memory.variables > 0 && memory.arguments > 0);
    assert!(model.planned_training_memory(256).unwrap().temporary > memory.temporary);
    let text = model.summary_with_memory(32).unwrap().to_string();
    assert!(text.contains("Memory of one training step of 32 examples: "), "{text}");
    let before: Vec<Vec<f32>> = mlp().variables().iter().map(read).collect();
    assert_eq!(model.variables().iter().map(read).collect::<Vec<_>>(), before);
    let deferred = Model::from(Sequential::new().add(Dense::new(1)));
    assert!(deferred.planned_training_memory(1).unwrap_err().to_string().contains("compiled first"));
}

#[test]
fn checkpoints_and_tables_are_written_as_training_goes_on() {
    let folder = std::env::temp_dir().join(format!("rushlight-callbacks-{}", std::process::id()));
    let (weights, table) = (folder.join("best.safetensors"), folder.join("history.csv"));
    let model = mlp();
    let options = Fit::epochs(3)
        .verbose(0)
        .validation(&rings())
        .callback(ModelCheckpoint::new(&weights).best("val_accuracy"))
        .callback(CsvLogger::new(&table));
    let history = model.fit(&rings(), options).unwrap();
    let text = std::fs::read_to_string(&table).unwrap();
    assert_eq!(text, history.to_csv());
    assert!(text.starts_with("epoch,loss,accuracy,val_loss,val_accuracy,seconds\n1,"), "{text}");
    let best = history.get("val_accuracy").into_iter().fold(0.0, f64::max);
    let other = mlp();
    other.load_weights(&weights).unwrap();
    assert_eq!(other.evaluate(&rings()).unwrap().get("accuracy"), Some(best));
    let wrong = Fit::epochs(1).verbose(0).callback(ModelCheckpoint::new(&weights).best("val_loss"));
    let error = model.fit(&rings(), wrong).unwrap_err().to_string();
    assert!(error.contains("`val_loss` is not measured; there are loss, accuracy"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn models_go_from_thread_to_thread() {
    fn sendable<T: Send + Sync>(value: T) -> T {
        value
    }
    let model = sendable(mlp());
    let data = sendable(rings());
    let worker = std::thread::spawn(move || model.fit(&data, Fit::epochs(1).verbose(0)));
    assert!(worker.join().unwrap().is_ok());
}
