//! The cases of `goldens/layers.json`, and layers made for them.

use rushlight::config::Config;
use rushlight::layers::{layer_from_config, set_mask};
use rushlight::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Layers called one after the other, with Keras's numbers.
pub struct Case {
    pub name: String,
    pub tolerance: f64,
    /// The layers draw random numbers while training.
    pub is_random: bool,
    pub configs: Vec<Value>,
    pub arguments: Value,
    pub inputs: Vec<Tensor>,
    pub masks: Vec<Option<Tensor>>,
    pub weights: Vec<Tensor>,
    pub weight_names: Vec<String>,
    pub trainable: Vec<bool>,
    pub outputs: Vec<Tensor>,
    pub output_mask: Option<Tensor>,
    pub training: Option<Training>,
    pub losses: Option<f64>,
    pub gradients: Option<Gradients>,
}

/// What a call while training gives.
pub struct Training {
    pub outputs: Vec<Tensor>,
    /// Weights that the call changes.
    pub weights_after: Vec<Option<Tensor>>,
}

/// Gradients of `Σ outputs · cotangents + losses`, by the numbers of inputs and weights.
pub struct Gradients {
    pub cotangents: Vec<Tensor>,
    pub of_inputs: BTreeMap<usize, Tensor>,
    pub of_weights: BTreeMap<usize, Tensor>,
}

pub fn all() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");
        let bytes = std::fs::read(format!("{folder}/layers.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let index = std::fs::read_to_string(format!("{folder}/layers.json")).unwrap();
        let index: Value = serde_json::from_str(&index).unwrap();
        index["cases"].as_array().unwrap().iter().map(|case| read_case(case, &tensors)).collect()
    })
}

fn read_case(case: &Value, tensors: &SafeTensors) -> Case {
    let tensor = |name: &Value| read(tensors, name.as_str().unwrap());
    let list = |key: &str| case[key].as_array().unwrap_or_else(|| panic!("{key} of {}", case["name"]));
    let some = |name: &Value| (!name.is_null()).then(|| tensor(name));
    let numbered = |key: &str| -> BTreeMap<usize, Tensor> {
        let names = case[key].as_object().unwrap();
        names.iter().map(|(place, name)| (place.parse().unwrap(), tensor(name))).collect()
    };
    Case {
        name: case["name"].as_str().unwrap().to_string(),
        tolerance: case["tolerance"].as_f64().unwrap(),
        is_random: case["random"].as_bool().unwrap(),
        configs: list("layers").clone(),
        arguments: case["arguments"].clone(),
        inputs: list("inputs").iter().map(tensor).collect(),
        masks: list("masks").iter().map(some).collect(),
        weights: list("weights").iter().map(tensor).collect(),
        weight_names: list("weight_names").iter().map(|name| name.as_str().unwrap().to_string()).collect(),
        trainable: list("trainable").iter().map(|flag| flag.as_bool().unwrap()).collect(),
        outputs: list("outputs").iter().map(tensor).collect(),
        output_mask: some(&case["output_mask"]),
        training: case.get("training_outputs").map(|outputs| Training {
            outputs: outputs.as_array().unwrap().iter().map(tensor).collect(),
            weights_after: list("weights_after").iter().map(some).collect(),
        }),
        losses: case["losses"].as_f64(),
        gradients: case.get("cotangents").map(|cotangents| Gradients {
            cotangents: cotangents.as_array().unwrap().iter().map(tensor).collect(),
            of_inputs: numbered("input_gradients"),
            of_weights: numbered("weight_gradients"),
        }),
    }
}

/// A stored tensor; floats as `f64`, in which the goldens were computed.
fn read(tensors: &SafeTensors, name: &str) -> Tensor {
    let view = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (bytes, dims) = (view.data(), view.shape());
    match view.dtype() {
        Dtype::F32 => {
            let chunks = bytes.as_chunks::<4>().0.iter();
            Tensor::new(
                &chunks.map(|chunk| f64::from(f32::from_le_bytes(*chunk))).collect::<Vec<f64>>(),
                dims,
            )
        }
        Dtype::I32 => {
            let chunks = bytes.as_chunks::<4>().0.iter();
            Tensor::new(&chunks.map(|chunk| i32::from_le_bytes(*chunk)).collect::<Vec<i32>>(), dims)
        }
        Dtype::BOOL => Tensor::new(&bytes.iter().map(|&byte| byte != 0).collect::<Vec<bool>>(), dims),
        other => panic!("{name} is of dtype {other:?}"),
    }
}

/// The layers of a case, made from Keras's configs.
pub struct Stack(pub Vec<Arc<dyn Layer>>);

impl Stack {
    pub fn call(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let mut values = inputs.to_vec();
        for layer in &self.0 {
            values = layer.call_many(&values);
        }
        values
    }

    pub fn variables(&self) -> Vec<Variable> {
        self.0.iter().flat_map(|layer| layer.variables()).collect()
    }
}

impl Case {
    /// Keras's class names of the case's layers.
    pub fn classes(&self) -> Vec<String> {
        self.configs.iter().map(|config| config["class_name"].as_str().unwrap().to_string()).collect()
    }

    /// The config of a layer, with what Keras takes as an argument of the call.
    pub fn config(&self, layer: usize) -> Result<Config, String> {
        let mut config = Config::from_json(&self.configs[layer]).map_err(|error| error.to_string())?;
        for (key, value) in self.arguments.as_object().unwrap() {
            config = config.with(key, value.clone());
        }
        Ok(config)
    }

    /// The layers, not built.
    pub fn unbuilt(&self) -> Result<Stack, String> {
        let make = |layer| layer_from_config(&self.config(layer)?).map_err(|error| error.to_string());
        (0..self.configs.len()).map(make).collect::<Result<_, String>>().map(Stack)
    }

    /// Fresh inputs with their masks.
    pub fn masked_inputs(&self) -> Vec<Tensor> {
        // Masks belong to handles: each call gets handles of its own.
        let inputs: Vec<Tensor> =
            self.inputs.iter().map(|input| input.reshape_to(input.shape().unwrap())).collect();
        for (input, mask) in inputs.iter().zip(&self.masks) {
            if let Some(mask) = mask {
                set_mask(input, mask);
            }
        }
        inputs
    }

    /// The layers with Keras's weights.
    pub fn built(&self) -> Result<Stack, String> {
        let stack = self.unbuilt()?;
        for output in stack.call(&self.masked_inputs()) {
            output.check().map_err(|error| error.to_string())?;
        }
        self.set_weights(&stack)?;
        Ok(stack)
    }

    pub fn set_weights(&self, stack: &Stack) -> Result<(), String> {
        let variables = stack.variables();
        if variables.len() != self.weights.len() {
            return Err(format!("{} variables, Keras has {:?}", variables.len(), self.weight_names));
        }
        for ((variable, weight), name) in variables.iter().zip(&self.weights).zip(&self.weight_names) {
            let value = weight.cast(variable.spec().dtype);
            variable.assign(&value).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(())
    }
}
