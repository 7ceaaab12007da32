//! From a model to its config: what Keras's `load_model` builds it from.

use super::arguments::{CALL_FLAGS, TENSOR, dtype_name, each_tensor};
use super::call::layer_arguments;
use super::operators::MASK;
use super::primitives::{self, Written};
use super::structure::{Inside, as_operator, inside};
use crate::layers::{Layer, keras_class};
use crate::models::{Functional, layer_of};
use rushlight_core::tensor::is_open;
use rushlight_core::trace::model::{Source, Step};
use rushlight_core::{Error, ErrorKind, Result, Spec, Tensor, eagerly};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Numbers in a constant of a graph, at most: larger ones belong into variables.
const MOST_CONSTANTS: usize = 1 << 20;

/// The object that describes a model: a `Functional` or a `Sequential`.
///
/// # Errors
/// If the model is no graph of layers, or if layers or ops in it have no counterpart: all are named at once.
pub(super) fn model_object(layer: &dyn Layer) -> Result<Value> {
    let mut problems = Vec::new();
    let name = layer.state().name().replace('/', "_");
    let object = model_or_nothing(layer, &name, &mut problems);
    if !problems.is_empty() {
        let rule = format!("this cannot be written for Keras: {}", problems.join("; "));
        return Err(Error::outside(ErrorKind::Value, "save", rule));
    }
    object.ok_or_else(|| {
        let rule =
            "only functional models and Sequential can be written for Keras, not a model of your own code";
        Error::outside(ErrorKind::Value, "save", rule)
    })
}

fn model_or_nothing(layer: &dyn Layer, name: &str, problems: &mut Vec<String>) -> Option<Value> {
    let trainable = layer.state().is_trainable();
    match inside(layer)? {
        Inside::Graph(functional) => {
            let chain = (layer.state().class() == "Sequential").then(|| chain_of(functional)).flatten();
            let (class, module, config) = match chain {
                Some(layers) => {
                    let input = &functional.graph().inputs()[0];
                    ("Sequential", "keras", chain_config(Some(input), &layers, name, problems))
                }
                None => {
                    ("Functional", "keras.src.models.functional", graph_config(functional, name, problems))
                }
            };
            Some(object(module, class, config, trainable))
        }
        Inside::Chain(layers) => {
            let config = chain_config(None, layers, name, problems);
            Some(object("keras", "Sequential", config, trainable))
        }
    }
}

fn object(module: &str, class: &str, mut config: Map<String, Value>, trainable: bool) -> Value {
    config.insert("trainable".to_string(), json!(trainable));
    json!({ "module": module, "class_name": class, "config": config, "registered_name": class })
}

/// The layers of a graph that is a chain: one input, and each layer is called on the one before it.
fn chain_of(functional: &Functional) -> Option<Vec<Arc<dyn Layer>>> {
    let graph = functional.graph();
    let ([_], [(last, _)]) = (graph.inputs(), graph.outputs()) else { return None };
    let mut layers: Vec<Arc<dyn Layer>> = Vec::new();
    let mut slot = 0;
    for step in graph.steps() {
        let layer = layer_of(step)?;
        let follows = matches!(step.inputs(), [Source::Slot(source)] if *source == slot);
        let again = layers.iter().any(|known| known.state().is(layer.state()));
        if !follows || again || step.outputs().len() != 1 || as_operator(&**layer).is_some() {
            return None;
        }
        layers.push(layer.clone());
        slot = step.slot();
    }
    (*last == slot).then_some(layers)
}

fn chain_config(
    input: Option<&(String, Spec)>,
    layers: &[Arc<dyn Layer>],
    name: &str,
    problems: &mut Vec<String>,
) -> Map<String, Value> {
    let mut names = Names::default();
    let mut listed = Vec::new();
    if let Some((name, spec)) = input {
        listed.push(input_object(&names.unique(name), spec));
    }
    for layer in layers {
        let name = names.unique(&layer.state().name());
        listed.extend(layer_object(&**layer, &name, problems));
    }
    let mut config = Map::new();
    config.insert("name".to_string(), json!(name));
    config.insert("layers".to_string(), Value::Array(listed));
    config
}

fn input_object(name: &str, spec: &Spec) -> Value {
    let config = json!({
        "batch_shape": dims_value(&spec.dims),
        "dtype": dtype_name(spec.dtype),
        "sparse": false,
        "name": name,
    });
    json!({ "module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": null })
}

/// Sizes with `null` for what depends on the batch.
fn dims_value(dims: &[usize]) -> Value {
    dims.iter().map(|&dim| if is_open(dim) { Value::Null } else { json!(dim) }).collect()
}

/// The object of one layer, under its name in this model; nothing if there is a problem, which is noted then.
fn layer_object(layer: &dyn Layer, name: &str, problems: &mut Vec<String>) -> Option<Value> {
    if inside(layer).is_some() {
        return model_or_nothing(layer, name, problems);
    }
    match layer.config() {
        Ok(config) => {
            let mut object = config.to_json("keras.layers");
            object["config"]["name"] = json!(name);
            object["config"]["trainable"] = json!(layer.state().is_trainable());
            let class = keras_class(layer.state().class());
            if let (true, Some(output)) =
                (object["config"]["activation"].is_object(), layer.state().first_outputs().first())
            {
                // An activation with weights is built before it is called.
                let dims: Vec<Value> = output.dims.iter().skip(1).map(|&dim| json!(dim)).collect();
                let shape: Vec<Value> = std::iter::once(Value::Null).chain(dims).collect();
                object["config"]["activation"]["build_config"] = json!({ "input_shape": shape });
            }
            if let Some(settings) = object["config"].as_object_mut() {
                CALL_FLAGS.iter().for_each(|flag| drop(settings.remove(*flag)));
                not_taken(&class).iter().for_each(|key| drop(settings.remove(*key)));
            }
            Some(object)
        }
        Err(error) => {
            problems.push(format!("layer `{name}` ({}): {}", layer.state().class(), error.rule()));
            None
        }
    }
}

/// What some of Keras's classes do not take, though others of their kind do.
fn not_taken(class: &str) -> &'static [&'static str] {
    match class {
        "SpatialDropout1D" => &["trainable", "data_format"],
        "SpatialDropout2D" | "SpatialDropout3D" => &["trainable"],
        "Cropping1D" => &["data_format"],
        _ => &[],
    }
}

/// Names that differ from each other within one model.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn unique(&mut self, wanted: &str) -> String {
        let wanted = wanted.replace('/', "_");
        let mut name = wanted.clone();
        let mut count = 1;
        while !self.0.insert(name.clone()) {
            name = format!("{wanted}_{count}");
            count += 1;
        }
        name
    }
}

/// What a slot of the graph holds.
#[derive(Clone)]
pub(super) enum Held {
    /// An output of a node: name, number of the call, number of the output; and its shape and dtype.
    Node(String, usize, usize, Spec),
    Constant(Tensor),
}

impl Held {
    /// As an argument of a call.
    pub(super) fn argument(&self) -> std::result::Result<Value, String> {
        match self {
            Held::Node(name, call, output, spec) => Ok(json!({
                "class_name": TENSOR,
                "config": {
                    "shape": dims_value(&spec.dims),
                    "dtype": dtype_name(spec.dtype),
                    "keras_history": [name, call, output],
                },
            })),
            Held::Constant(tensor) => constant(tensor),
        }
    }
}

/// A number, or an array as Keras writes them.
fn constant(tensor: &Tensor) -> std::result::Result<Value, String> {
    let failed = |error: Error| error.rule().to_string();
    let dims = tensor.shape().map_err(failed)?.to_vec();
    let dtype = tensor.dtype().map_err(failed)?;
    if dims.iter().any(|&dim| is_open(dim)) || dims.iter().product::<usize>() > MOST_CONSTANTS {
        return Err("a constant of this size cannot be written".to_string());
    }
    let values = eagerly(|| tensor.cast(rushlight_core::DType::F64)).to_vec::<f64>().map_err(failed)?;
    fn nested(values: &[f64], dims: &[usize]) -> Value {
        match dims {
            [] => json!(values[0]),
            [first, rest @ ..] => {
                let size = rest.iter().product::<usize>();
                (0..*first).map(|index| nested(&values[index * size..(index + 1) * size], rest)).collect()
            }
        }
    }
    if dims.iter().all(|&dim| dim == 1) && values[0].is_finite() && dtype.is_float() {
        return Ok(json!(values[0]));
    }
    let config = json!({ "value": nested(&values, &dims), "dtype": dtype_name(dtype) });
    Ok(json!({ "class_name": "__numpy__", "config": config }))
}

/// A layer's place in the list, and how often it has been called so far.
struct Listed {
    name: String,
    index: usize,
    calls: usize,
}

fn graph_config(functional: &Functional, name: &str, problems: &mut Vec<String>) -> Map<String, Value> {
    let graph = functional.graph();
    let mut names = Names::default();
    let mut layers: Vec<Value> = Vec::new();
    let mut held: HashMap<usize, Held> = HashMap::new();
    let mut inputs = Vec::new();
    for (slot, (name, spec)) in graph.inputs().iter().enumerate() {
        let name = names.unique(name);
        let mut input = input_object(&name, spec);
        input["name"] = json!(name);
        input["inbound_nodes"] = json!([]);
        layers.push(input);
        inputs.push(json!([name, 0, 0]));
        held.insert(slot, Held::Node(name, 0, 0, spec.clone()));
    }
    let mut known: HashMap<u64, Listed> = HashMap::new();
    let mut nested = HashSet::new();
    // Masks that a file gave to the inputs of calls, by the slots that hold the inputs with them.
    let mut masks: HashMap<usize, Held> = HashMap::new();
    for step in graph.steps() {
        let arguments: Vec<Held> = step
            .inputs()
            .iter()
            .map(|source| match source {
                Source::Slot(slot) => held[slot].clone(),
                Source::Constant(tensor) => Held::Constant(tensor.clone()),
            })
            .collect();
        let own_masks: Vec<Option<Held>> = step
            .inputs()
            .iter()
            .map(|source| if let Source::Slot(slot) = source { masks.get(slot).cloned() } else { None })
            .collect();
        let result = match layer_of(step) {
            Some(layer) if as_operator(&**layer).is_some_and(|it| it.call_as_written().class == MASK) => {
                masks.insert(step.slot(), arguments[1].clone());
                Ok(Written::Alias(arguments[0].clone()))
            }
            Some(layer) => {
                let listed = known.entry(layer.state().id()).or_insert_with(|| {
                    let name = names.unique(&layer.state().name());
                    let object = new_node(&**layer, &name, problems);
                    if object["class_name"] == "Functional" {
                        nested.insert(name.clone());
                    }
                    layers.push(object);
                    Listed { name, index: layers.len() - 1, calls: 0 }
                });
                call_layer(&**layer, listed, &arguments, &own_masks, &mut layers)
            }
            None => call_op(step, &arguments, &mut names, &mut layers),
        };
        match result {
            Ok(Written::Alias(value)) => drop(held.insert(step.slot(), value)),
            Ok(Written::Node(name, call)) => {
                for (output, spec) in step.outputs().iter().enumerate() {
                    held.insert(step.slot() + output, Held::Node(name.clone(), call, output, spec.clone()));
                }
            }
            Err(rule) => {
                problems.push(format!("`{}`: {rule}", step.name()));
                for (output, spec) in step.outputs().iter().enumerate() {
                    held.insert(step.slot() + output, Held::Node(String::new(), 0, output, spec.clone()));
                }
            }
        }
    }
    let mut outputs = Vec::new();
    for (slot, _) in graph.outputs() {
        match &held[slot] {
            // A nested functional model counts its own making as its first call, but only here.
            Held::Node(name, call, output, _) => {
                outputs.push(json!([name, call + usize::from(nested.contains(name)), output]));
            }
            Held::Constant(_) => problems.push("an output of the model is a constant".to_string()),
        }
    }
    let mut config = Map::new();
    config.insert("name".to_string(), json!(name));
    config.insert("layers".to_string(), Value::Array(layers));
    // Keras tells a single tensor from a list of one.
    let list = |mut items: Vec<Value>| if items.len() == 1 { items.remove(0) } else { Value::Array(items) };
    config.insert("input_layers".to_string(), list(inputs));
    config.insert("output_layers".to_string(), list(outputs));
    config
}

/// The object of a layer or operator that has not been called yet.
fn new_node(layer: &dyn Layer, name: &str, problems: &mut Vec<String>) -> Value {
    let mut object = match as_operator(layer) {
        Some(operator) => {
            let call = operator.call_as_written();
            operator_object(&call.module, &call.class, call.config.clone(), name)
        }
        None => layer_object(layer, name, problems).unwrap_or(json!({})),
    };
    object["name"] = json!(name);
    object["inbound_nodes"] = json!([]);
    object
}

pub(super) fn operator_object(
    module: &str,
    class: &str,
    mut config: Map<String, Value>,
    name: &str,
) -> Value {
    config.insert("name".to_string(), json!(name));
    json!({
        "module": module,
        "class_name": class,
        "config": config,
        "registered_name": class,
        "name": name,
        "inbound_nodes": [],
    })
}

fn add_node(object: &mut Value, args: Value, kwargs: Value) {
    if let Some(nodes) = object["inbound_nodes"].as_array_mut() {
        nodes.push(json!({ "args": args, "kwargs": kwargs }));
    }
}

fn call_layer(
    layer: &dyn Layer,
    listed: &mut Listed,
    inputs: &[Held],
    masks: &[Option<Held>],
    layers: &mut [Value],
) -> std::result::Result<Written, String> {
    let written = inputs.iter().map(Held::argument).collect::<std::result::Result<Vec<Value>, String>>()?;
    let (args, kwargs) = match as_operator(layer) {
        Some(operator) => {
            let call = operator.call_as_written();
            let mut next = written.into_iter();
            (fill_in(&call.args, &mut next), fill_in(&call.kwargs, &mut next))
        }
        None => {
            let masks = masks.iter().map(|mask| mask.as_ref().map(Held::argument).transpose());
            layer_arguments(layer, written, masks.collect::<std::result::Result<_, String>>()?)
        }
    };
    add_node(&mut layers[listed.index], args, kwargs);
    listed.calls += 1;
    Ok(Written::Node(listed.name.clone(), listed.calls - 1))
}

/// A call as it was read, with the tensors of this graph in their places.
fn fill_in(value: &Value, next: &mut dyn Iterator<Item = Value>) -> Value {
    let mut is_tensor = false;
    each_tensor(value, &mut |found| is_tensor |= std::ptr::eq(found, value));
    match value {
        _ if is_tensor => next.next().unwrap_or(Value::Null),
        Value::Array(items) => items.iter().map(|item| fill_in(item, next)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| (key.clone(), fill_in(field, next)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn call_op(
    step: &Step,
    inputs: &[Held],
    names: &mut Names,
    layers: &mut Vec<Value>,
) -> std::result::Result<Written, String> {
    let Some(op) = step.op() else { return Err("this is no layer and no op".to_string()) };
    let call = match primitives::write(op, inputs, step.outputs())? {
        primitives::Writing::Alias(value) => return Ok(Written::Alias(value)),
        primitives::Writing::Call(call) => call,
    };
    let name = names.unique(&crate::layers::snake_case(call.class));
    let mut object = operator_object(call.module, call.class, call.config, &name);
    add_node(&mut object, Value::Array(call.args), json!({}));
    layers.push(object);
    Ok(Written::Node(name, 0))
}
