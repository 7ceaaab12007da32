//! The first steps of training equal Keras's: see goldens/README.md, whose script made the numbers.

use rushlight::applications::{DenseNetConfig, densenet};
use rushlight::cpu::isa::Isa;
use rushlight::prelude::*;
use rushlight::run_functions_eagerly;
use safetensors::SafeTensors;
use serde_json::Value;

/// One run of Keras: the net with its starting weights, the batches, and what came out.
struct Golden<'a> {
    file: &'a SafeTensors<'a>,
    model: &'a Value,
    run: &'a Value,
    dtype: DType,
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn sizes(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|number| number as usize).collect()
}

fn size(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

impl Golden<'_> {
    /// A tensor of the file, floats in this run's dtype.
    fn tensor(&self, name: &Value) -> Tensor {
        let view = self.file.tensor(name.as_str().unwrap()).unwrap();
        let words = view.data().as_chunks::<4>().0.iter();
        match view.dtype() {
            safetensors::Dtype::I32 => {
                Tensor::new(&words.map(|&word| i32::from_le_bytes(word)).collect::<Vec<_>>(), view.shape())
            }
            _ => Tensor::new(&words.map(|&word| f32::from_le_bytes(word)).collect::<Vec<_>>(), view.shape())
                .cast(self.dtype),
        }
    }

    fn batch(&self, step: usize) -> (Tensor, Tensor) {
        let pick = |name: &str| {
            let all = self.tensor(&self.model[name]);
            let dims = all.shape().unwrap()[1..].to_vec();
            all.slice_axis(0, step % 4, step % 4 + 1).reshape_to(&dims)
        };
        (pick("images"), pick("labels"))
    }

    fn starting_model(&self) -> Model {
        let net = self.model;
        let input = sizes(&net["input_shape"]);
        let model = if net["kind"] == "mlp" {
            let mut layers = Sequential::new();
            for units in sizes(&net["units"]) {
                layers = layers.add(Dense::new(units).activation(activations::Relu));
            }
            let image = Input::new(input).dtype(self.dtype);
            Model::new(&image, layers.add(Dense::new(size(&net["classes"]))).call(&image)).unwrap()
        } else {
            let config = DenseNetConfig {
                input: input.try_into().unwrap(),
                classes: size(&net["classes"]),
                first_filters: size(&net["first_filters"]),
                blocks: sizes(&net["layers"]),
                growth: size(&net["growth"]),
                bottleneck: net["bottleneck"].as_bool().unwrap(),
                compression: net["compression"].as_f64().unwrap(),
                dtype: self.dtype,
                ..DenseNetConfig::small()
            };
            densenet(&config).unwrap()
        };
        let weights = net["weights"].as_array().unwrap();
        let variables = model.variables();
        assert_eq!(variables.len(), weights.len());
        for (variable, weight) in variables.iter().zip(weights) {
            assert_eq!(
                variable.is_trainable(),
                weight["trainable"].as_bool().unwrap(),
                "{}",
                variable.name()
            );
            variable.assign(&self.tensor(&weight["tensor"])).unwrap();
        }
        model
    }

    fn optimizer(&self) -> Box<dyn Optimizer> {
        let settings = &self.run["optimizer"];
        let number = |key: &str| settings[key].as_f64().unwrap_or(0.0);
        // These go through a float32 in Keras, also where it computes in float64.
        let single = |key: &str| f64::from(number(key) as f32);
        match settings["kind"].as_str().unwrap() {
            "sgd" => Box::new(
                Sgd::new(number("learning_rate"))
                    .momentum(single("momentum"))
                    .nesterov(settings["nesterov"].as_bool().unwrap())
                    .weight_decay(single("weight_decay")),
            ),
            _ => Box::new(Adam::new(number("learning_rate")).weight_decay(number("weight_decay"))),
        }
    }

    /// How far each step's loss may be off.
    fn tolerances(&self) -> Vec<f64> {
        let losses = numbers(&self.run["losses"]);
        match self.dtype {
            // In Keras the powers of Adam's betas, and only they, are those of float32 numbers.
            DType::F64 if self.run["optimizer"]["kind"] != "sgd" => losses.iter().map(|_| 1e-5).collect(),
            DType::F64 => losses.iter().map(|_| 1e-12).collect(),
            _ => numbers(&self.run["tolerances_float32"]["losses"]),
        }
    }

    fn close(&self, what: &str, got: &Tensor, wanted: &Value, tolerance: f64) {
        let difference = (got - self.tensor(wanted)).abs().max(..).to_f64().unwrap();
        let name = &self.run["name"];
        assert!(difference <= tolerance, "{name} in {}: {what} is off by {difference}", self.dtype);
    }

    /// Steps by hand, as a recorded function, then everything that Keras saw.
    fn replay(&self) {
        let (model, optimizer) = (self.starting_model(), self.optimizer());
        let tolerances = &self.run["tolerances_float32"];
        let allowed = |part: &str| match self.dtype {
            // The tensors of the file are in float32.
            DType::F64 => 1e-4,
            _ => tolerances[part].as_f64().unwrap(),
        };
        let (first_images, _) = self.batch(0);
        let before = model.predict(&first_images).unwrap();
        self.close(
            "predictions_before",
            &before,
            &self.model["predictions_before"],
            allowed("predictions_before"),
        );
        let variables = model.trainable_variables();
        let step = function("step", |x: &Tensor, y: &Tensor| -> Result<(Tensor, Vec<Tensor>)> {
            let loss = || SparseCategoricalCrossentropy::from_logits().mean(y, &model.call(x));
            let (loss, gradients) = value_and_grad(loss, &variables)?;
            optimizer.apply(&gradients, &variables)?;
            Ok((loss, gradients))
        });
        let wanted = numbers(&self.run["losses"]);
        for (index, (wanted, tolerance)) in wanted.iter().zip(self.tolerances()).enumerate() {
            let (x, y) = self.batch(index);
            let (loss, gradients) = training(true, || step.call2(&x, &y)).unwrap();
            let loss = loss.to_f64().unwrap();
            let name = &self.run["name"];
            assert!(
                (loss - wanted).abs() <= tolerance,
                "{name} in {}: the loss of step {index} is {loss}, Keras's {wanted}, tolerance {tolerance}",
                self.dtype
            );
            if index == 0 {
                let weights = self.model["weights"].as_array().unwrap();
                let trained = weights.iter().filter(|weight| weight["trainable"] == true);
                for (gradient, weight) in gradients.iter().zip(trained) {
                    let path = weight["path"].as_str().unwrap();
                    self.close(path, gradient, &self.model["gradients"][path], allowed("gradients"));
                }
            }
        }
        let weights = self.model["weights"].as_array().unwrap();
        for (variable, weight) in model.variables().iter().zip(weights) {
            let path = weight["path"].as_str().unwrap();
            if let Some(after) = self.run["weights_after"].get(path) {
                self.close(path, &variable.read(), after, allowed("weights_after"));
            }
        }
        let after = model.predict(&first_images).unwrap();
        self.close("predictions_after", &after, &self.run["predictions_after"], allowed("predictions_after"));
    }

    /// The same through `fit`, whose epochs of four batches report mean losses.
    fn fit(&self, mode: Mode) {
        let mut model = self.starting_model();
        let optimizer: std::sync::Arc<dyn Optimizer> = self.optimizer().into();
        model.compile(optimizer, SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
        let flat = |name: &str| {
            let all = self.tensor(&self.model[name]);
            let mut dims = all.shape().unwrap()[1..].to_vec();
            dims[0] *= 4;
            all.reshape_to(&dims)
        };
        let data = Dataset::from_tensors(&flat("images"), &flat("labels")).unwrap().batch(16);
        let wanted = numbers(&self.run["losses"]);
        let options = Fit::epochs(wanted.len() / 4).mode(mode).verbose(0);
        let losses = model.fit(&data, options).unwrap().get("loss");
        let tolerances = self.tolerances();
        for (epoch, loss) in losses.iter().enumerate() {
            let steps = epoch * 4..epoch * 4 + 4;
            let mean = wanted[steps.clone()].iter().sum::<f64>() / 4.0;
            let tolerance = tolerances[steps].iter().fold(0.0, |a, &b| f64::max(a, b));
            let name = &self.run["name"];
            assert!((loss - mean).abs() <= tolerance, "{name}: epoch {epoch} has {loss}, Keras {mean}");
        }
    }
}

fn for_each_run(dtype: DType, check: impl Fn(&Golden)) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");
    let bytes = std::fs::read(format!("{folder}/trajectories.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let text = std::fs::read_to_string(format!("{folder}/trajectories.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let runs = all["runs"].as_array().unwrap();
    assert!(runs.len() >= 11);
    for run in runs {
        let model = &all["models"][run["model"].as_str().unwrap()];
        check(&Golden { file: &file, model, run, dtype });
    }
}

#[test]
fn recorded_steps_in_f32_equal_keras() {
    for_each_run(DType::F32, |golden| golden.replay());
}

#[test]
fn recorded_steps_in_f64_equal_keras() {
    for_each_run(DType::F64, |golden| golden.replay());
}

#[test]
fn eager_steps_in_f32_equal_keras() {
    run_functions_eagerly(|| for_each_run(DType::F32, |golden| golden.replay()));
}

#[test]
fn fit_equals_keras_in_both_modes() {
    for_each_run(DType::F32, |golden| golden.fit(Mode::Graph));
    for_each_run(DType::F32, |golden| golden.fit(Mode::Eager));
}

/// On the lesser instruction sets of this machine too, each in a process of its own.
#[test]
fn keras_values_hold_on_every_instruction_set() {
    let best = Isa::current();
    for isa in Isa::available().into_iter().filter(|&isa| isa != best) {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let child = child
            .args(["recorded_steps_in_f32_equal_keras"])
            .env("RUSHLIGHT_ISA", isa.name())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && !text.contains(" 0 passed"), "{isa:?}: {text}");
    }
}
