//! Mixed precision, and masks in losses and metrics, as Keras has them: `goldens/make_precision.py` made the numbers.

use rushlight::config::Config;
use rushlight::layers::layer_from_config;
use rushlight::prelude::*;
use rushlight::{losses, metrics, run_functions_eagerly};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

fn goldens() -> &'static Value {
    static GOLDENS: OnceLock<Value> = OnceLock::new();
    GOLDENS.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/precision.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|number| number.as_f64().unwrap()).collect()
}

fn tensor(value: &Value) -> Tensor {
    let dims: Vec<usize> = numbers(&value["dims"]).into_iter().map(|size| size as usize).collect();
    let dtype = if value["kind"] == "i" { DType::I32 } else { DType::F32 };
    Tensor::new(&numbers(&value["numbers"]), dims).cast(dtype)
}

fn layers(value: &Value) -> Vec<Arc<dyn Layer>> {
    list(value).iter().map(|config| layer_from_config(&Config::from_json(config).unwrap()).unwrap()).collect()
}

fn sequential(value: &Value) -> Sequential {
    layers(value).into_iter().fold(Sequential::new(), Sequential::add)
}

fn assign(variables: &[Variable], values: &[Value]) {
    assert_eq!(variables.len(), values.len());
    for (variable, value) in variables.iter().zip(values) {
        variable.assign(&tensor(value)).unwrap();
    }
}

/// The largest distance to Keras's numbers.
fn off(got: &Tensor, wanted: &Value) -> f64 {
    let wanted = tensor(wanted);
    assert_eq!(got.shape().unwrap(), wanted.shape().unwrap());
    (got.cast(DType::F32) - wanted).abs().max(..).to_f64().unwrap()
}

fn largest(value: &Value) -> f64 {
    numbers(&value["numbers"]).into_iter().map(f64::abs).fold(0.0, f64::max)
}

/// Two neighbours among the numbers of a dtype near 1 are so far apart.
fn step(dtype: DType) -> f64 {
    if dtype == DType::BF16 { 2f64.powi(-7) } else { 2f64.powi(-10) }
}

#[test]
fn layers_compute_in_half_precision_as_in_keras() {
    let faults = std::cell::RefCell::new(Vec::new());
    let ensure = |holds: bool, fault: String| {
        if !holds {
            faults.borrow_mut().push(fault);
        }
    };
    for case in list(&goldens()["layers"]) {
        let name = format!("{} in {}", case["name"], case["policy"]);
        let layer = layer_from_config(&Config::from_json(&case["layer"]).unwrap()).unwrap();
        let policy = DTypePolicy::from_name(case["policy"].as_str().unwrap()).unwrap();
        assert_eq!(layer.state().dtype_policy(), Some(policy), "{name}");
        // The policy goes with the config.
        let again = layer_from_config(&layer.config().unwrap()).unwrap();
        assert_eq!(again.state().dtype_policy(), Some(policy), "{name}");

        let x = tensor(&case["input"]);
        let inputs = if case["twice"] == true { vec![x.clone(), x.clone()] } else { vec![x.clone()] };
        let call = || layer.call(&inputs);
        call().check().unwrap();
        assert!(layer.variables().iter().all(|variable| variable.spec().dtype != policy.compute), "{name}");
        assign(&layer.variables(), list(&case["weights"]));

        let output = call();
        assert_eq!(output.dtype().unwrap(), policy.compute, "{name}");
        assert_eq!(case["dtype"], policy.compute.name(), "{name}");
        // Sums in another order may round another way: to the neighbour, and in a recurrence each turn goes on from there.
        let step = step(policy.compute);
        let turns = if case["name"] == "lstm" { 2.0 } else { 1.0 };
        let allowed = 1.01 * turns * step * largest(&case["output"]);
        let (strayed, apart) = (off(&output, &case["output"]), case["apart"].as_f64().unwrap());
        let fault = format!("{name}: output off by {strayed}, single precision by {apart}");
        ensure(strayed <= allowed, fault);

        let cotangent = tensor(&case["cotangent"]);
        let mut losses = 0.0;
        let variables = layer.trainable_variables();
        let tape = Tape::new();
        if x.dtype().unwrap().is_float() {
            tape.watch(&x);
        }
        let (y, mut added) = training(true, || rushlight::layers::collect_losses(call));
        added.extend(layer.regularization_losses());
        let mut total = (y.cast(DType::F32) * &cotangent).sum(..);
        for loss in added {
            losses += loss.to_f64().unwrap();
            total = total + loss;
        }
        assert!(
            (losses - case["losses"].as_f64().unwrap()).abs() < 1e-3 * (1.0 + losses),
            "{name}: {losses}"
        );
        let strayed = off(&y, &case["training_output"]);
        ensure(strayed <= allowed, format!("{name}: output in training off by {strayed}"));
        let mut gradients = Vec::new();
        if x.dtype().unwrap().is_float() {
            gradients.extend(tape.gradient(&total, &[&x]).unwrap());
        }
        gradients.extend(tape.gradient_of_variables(&total, &variables).unwrap());
        assert_eq!(gradients.len(), list(&case["gradients"]).len(), "{name}");
        // Where terms cancel, as in the gradient of a key's bias, what is left is rounding of terms as large as others.
        let size = list(&case["gradients"]).iter().map(largest).fold(0.0, f64::max);
        for (index, (gradient, wanted)) in gradients.iter().zip(list(&case["gradients"])).enumerate() {
            assert_eq!(gradient.dtype().unwrap(), DType::F32, "{name}");
            let strayed = off(gradient, wanted);
            let fault = format!("{name}: gradient {index} off by {strayed} of {size}");
            ensure(strayed <= 3.0 * step * size, fault);
        }
        for (variable, wanted) in layer.variables().iter().zip(list(&case["after"])) {
            let strayed = off(&variable.read(), wanted);
            // Keras rounds single inputs of a batch normalization before it takes their statistics; here they stay.
            let allowed = 2e-4 * (1.0 + largest(wanted));
            ensure(strayed <= allowed, format!("{name}: {} off by {strayed}", variable.name()));
        }
    }
    assert!(faults.borrow().is_empty(), "{}", faults.borrow().join("\n"));
}

/// Takes the policies out of a config, those of layers inside as well.
fn forget_policies(config: &mut Value) {
    match config {
        Value::Object(settings) => {
            settings.remove("dtype");
            settings.values_mut().for_each(forget_policies);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_policies),
        _ => {}
    }
}

#[test]
fn layers_that_round_are_told_from_those_that_do_not() {
    // If a layer ignored its policy it would be off by more than the test above allows, at least where much is added up.
    let told = list(&goldens()["layers"]).iter().filter(|case| {
        let mut config = case["layer"].clone();
        forget_policies(&mut config);
        let layer = layer_from_config(&Config::from_json(&config).unwrap()).unwrap();
        let x = tensor(&case["input"]);
        let inputs = if case["twice"] == true { vec![x.clone(), x] } else { vec![x] };
        layer.call(&inputs).check().unwrap();
        assign(&layer.variables(), list(&case["weights"]));
        let output = layer.call(&inputs);
        assert_eq!(output.dtype().unwrap(), DType::F32);
        let close = (off(&output, &case["output"]) - case["apart"].as_f64().unwrap()).abs();
        assert!(
            close < 1e-4,
            "{}: without a policy the layer is as far from Keras's numbers as Keras",
            case["name"]
        );
        case["apart"].as_f64().unwrap() > 1e-4
    });
    assert!(told.count() >= 20);
}

fn optimizer(case: &Value) -> Arc<dyn Optimizer> {
    match case["optimizer"].as_str().unwrap() {
        "sgd" => Arc::new(Sgd::new(0.05).momentum(0.9)),
        _ => Arc::new(Adam::new(0.01)),
    }
}

/// Trains as Keras did; gives the losses, the scales, and the model.
fn train(case: &Value) -> (Vec<f64>, Vec<f64>, Model) {
    let (images, labels) = (tensor(&goldens()["images"]), tensor(&goldens()["labels"]));
    let dims = images.shape().unwrap().to_vec();
    let mut model = sequential(&case["layers"]).model(&dims[2..]).unwrap();
    assign(&model.variables(), list(&case["start"]));
    let scaling = (case["policy"] == "mixed_float16")
        .then(|| LossScaleOptimizer::new(optimizer(case)).dynamic_growth_steps(3));
    let used: Arc<dyn Optimizer> = match &scaling {
        Some(scaling) => Arc::new(scaling.clone()),
        None => optimizer(case),
    };
    model.compile(used, SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    let (mut losses, mut scales) = (Vec::new(), Vec::new());
    for (step, accuracy) in numbers(&case["accuracies"]).into_iter().enumerate() {
        let pick = |all: &Tensor| all.take(&Tensor::scalar((step % dims[0]) as i64), 0);
        let logs = model.train_on_batch(&Batch::new(pick(&images), pick(&labels))).unwrap();
        losses.push(logs.get("loss").unwrap());
        let got = logs.get("accuracy").unwrap();
        assert!((got - accuracy).abs() <= 2.01 / dims[1] as f64, "accuracy {got}, Keras has {accuracy}");
        model.reset_metrics().unwrap();
        scales.extend(scaling.as_ref().map(|scaling| scaling.scale().read().to_f64().unwrap()));
    }
    (losses, scales, model)
}

#[test]
fn training_follows_keras_under_mixed_precision() {
    for case in list(&goldens()["training"]) {
        let name = format!("{} with {}", case["policy"], case["optimizer"]);
        let (losses, scales, model) = train(case);
        assert!(model.variables().iter().all(|variable| variable.spec().dtype == DType::F32), "{name}");
        let tolerances = &case["tolerances"];
        for (step, ((got, wanted), tolerance)) in
            losses.iter().zip(numbers(&case["losses"])).zip(numbers(&tolerances["losses"])).enumerate()
        {
            assert!(
                (got - wanted).abs() <= tolerance,
                "{name}: loss {step} is {got}, not {wanted} ± {tolerance}"
            );
        }
        assert_eq!(scales, numbers(&case["scales"]), "{name}");
        let weights = model.variables().into_iter().zip(list(&case["weights"]));
        for ((variable, wanted), tolerance) in weights.zip(numbers(&tolerances["weights"])) {
            let strayed = off(&variable.read(), wanted);
            assert!(strayed <= tolerance, "{name}: {} off by {strayed}, not {tolerance}", variable.name());
        }
        let images = tensor(&goldens()["images"]);
        let predictions = model.predict(images.take(&Tensor::scalar(0i64), 0)).unwrap();
        let strayed = off(&predictions, &case["predictions"]);
        assert!(
            strayed <= tolerances["predictions"].as_f64().unwrap(),
            "{name}: predictions off by {strayed}"
        );
        // Op by op the same comes out as compiled, but for sums in another order.
        let (eager, _, _) = run_functions_eagerly(|| train(case));
        for ((eager, graph), tolerance) in eager.iter().zip(&losses).zip(numbers(&tolerances["losses"])) {
            assert!((eager - graph).abs() <= tolerance, "{name}: {eager} op by op, {graph} compiled");
        }
    }
}

#[test]
fn masks_reach_losses_and_metrics_as_in_keras() {
    for case in list(&goldens()["masks"]) {
        let name = &case["name"];
        let model = Model::from(sequential(&case["layers"]));
        let (x, y) = (tensor(&case["input"]), tensor(&case["target"]));
        model.call(&x).check().unwrap();
        assign(&model.variables(), list(&case["weights"]));
        let weights = (!case["sample_weights"].is_null()).then(|| tensor(&case["sample_weights"]));
        let loss = losses::from_config(&Config::from_json(&case["loss"]).unwrap()).unwrap();
        let measure = || loss.reduced(&y, &model.call(&x), weights.as_ref());
        let strayed = off(&measure(), &case["value"]);
        assert!(strayed < 2e-5, "{name}: loss off by {strayed}");
        let variables = model.trainable_variables();
        let (_, gradients) = value_and_grad(|| measure().sum(..), &variables).unwrap();
        for (gradient, wanted) in gradients.iter().zip(list(&case["gradients"])) {
            let strayed = off(gradient, wanted);
            assert!(strayed < 2e-5 * (1.0 + largest(wanted)), "{name}: gradient off by {strayed}");
        }
        for (metric, wanted) in list(&case["metrics"]).iter().zip(numbers(&case["results"])) {
            let made = metrics::from_config(&Config::from_json(metric).unwrap()).unwrap();
            made.update_weighted(&y, &model.call(&x), weights.as_ref()).unwrap();
            let got = made.result().to_f64().unwrap();
            assert!((got - wanted).abs() < 2e-5, "{name}: {} is {got}, not {wanted}", made.name());
        }
        // The same through `compile` and `evaluate`, whose steps are recorded.
        if case["loss"]["config"]["reduction"] == "sum_over_batch_size" {
            let mut model = model.clone();
            model.compile(Sgd::new(0.1), loss.clone(), ());
            let mut batch = Batch::new(x.clone(), y.clone());
            batch.weights = weights.iter().cloned().collect();
            let logs = model.evaluate(&Dataset::from_batch(batch).unwrap().batch(4)).unwrap();
            let wanted = numbers(&case["value"]["numbers"])[0];
            assert!((logs.get("loss").unwrap() - wanted).abs() < 2e-5, "{name}: {logs}, not {wanted}");
        }
    }
}

#[test]
fn policies_are_given_to_layers_as_they_are_made() {
    assert_eq!(rushlight::layers::dtype_policy(), None);
    let outside = Dense::new(1);
    let (inside, own) = with_dtype_policy(DTypePolicy::MIXED_F16, || {
        (Dense::new(2), Dense::new(3).dtype_policy(DTypePolicy::MIXED_BF16))
    });
    assert_eq!(outside.state().dtype_policy(), None);
    assert_eq!(inside.state().dtype_policy(), Some(DTypePolicy::MIXED_F16));
    assert_eq!(own.state().dtype_policy(), Some(DTypePolicy::MIXED_BF16));
    let x = Tensor::ones([2, 4], DType::F32);
    assert_eq!(outside.call(&x).dtype().unwrap(), DType::F32);
    assert_eq!(inside.call(&x).dtype().unwrap(), DType::F16);
    assert_eq!(own.call(x.cast(DType::F64)).dtype().unwrap(), DType::BF16);
    for policy in [DTypePolicy::F32, DTypePolicy::MIXED_BF16, DTypePolicy::MIXED_F16] {
        assert_eq!(DTypePolicy::from_name(&policy.name().unwrap()), Some(policy));
    }
    assert_eq!(DTypePolicy::from_name("int32"), None);
    assert_eq!(DTypePolicy { variable: DType::F64, compute: DType::F16 }.name(), None);
}

/// Calls a dense layer that it makes as it is built.
#[derive(Clone)]
struct Around {
    state: LayerState,
    inner: Arc<OnceLock<Dense>>,
}

impl Layer for Around {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn build(&self, _input: &Spec) -> Result<()> {
        self.inner.get_or_init(|| Dense::new(3));
        Ok(())
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.apply(self.inner.get().unwrap())
    }
}

#[test]
fn layers_made_inside_of_a_layer_have_its_policy() {
    let around = Around { state: LayerState::new("Around"), inner: Arc::default() };
    let around = around.dtype_policy(DTypePolicy::MIXED_BF16);
    assert_eq!(around.call(Tensor::ones([2, 4], DType::F32)).dtype().unwrap(), DType::BF16);
    assert_eq!(around.inner.get().unwrap().state().dtype_policy(), Some(DTypePolicy::MIXED_BF16));
    assert!(around.variables().iter().all(|variable| variable.spec().dtype == DType::F32));
}

#[test]
fn models_in_f16_scale_their_loss() {
    let model = |policy| {
        let mut model =
            with_dtype_policy(policy, || Sequential::new().add(Dense::new(1)).model([3])).unwrap();
        model.compile(Sgd::new(0.1), MeanSquaredError, ());
        model.optimizer().unwrap().config().class().to_string()
    };
    assert_eq!(model(Some(DTypePolicy::MIXED_F16)), "LossScaleOptimizer");
    assert_eq!(model(Some(DTypePolicy::MIXED_BF16)), "SGD");
    assert_eq!(model(None), "SGD");
}
