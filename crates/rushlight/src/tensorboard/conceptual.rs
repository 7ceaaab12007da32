//! The graph of a model's layers in Keras's JSON, as much of it as TensorBoard draws.

use crate::layers::Layer;
use crate::models::{Functional, Model, Sequential, layer_of};
use rushlight_core::Spec;
use rushlight_core::tensor::is_open;
use rushlight_core::trace::model::Source;
use serde_json::{Value, json};
use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The model with its layers, inner models among them.
pub(super) fn model_json(model: &Model) -> String {
    let name = model.name();
    layers_of(model, &name).unwrap_or_else(|| alone(model, &name)).to_string()
}

/// A layer that is made of others, and which ones; nothing for other layers.
fn layers_of(layer: &dyn Layer, name: &str) -> Option<Value> {
    let any: &dyn Any = layer;
    if let Some(shared) = any.downcast_ref::<Arc<dyn Layer>>() {
        layers_of(&**shared, name)
    } else if let Some(model) = any.downcast_ref::<Model>() {
        match model.functional() {
            Some(functional) => Some(functional_json(functional, name)),
            None => layers_of(model.inner_layer(), name),
        }
    } else if let Some(functional) = any.downcast_ref::<Functional>() {
        Some(functional_json(functional, name))
    } else {
        any.downcast_ref::<Sequential>().map(|sequential| sequential_json(sequential, name))
    }
}

/// A layer of which only those inside are known, not how they are linked: each is drawn for itself.
fn alone(model: &Model, name: &str) -> Value {
    let state = model.state();
    let inner = state.inner_layers();
    let own = [(state.class(), name.to_string())];
    let inner = inner.iter().map(|layer| (layer.class(), layer.name().to_string()));
    let layers: Vec<Value> = match state.inner_layers().is_empty() {
        true => own.into_iter().map(|(class, name)| leaf(class, &name, json!([]))).collect(),
        false => inner.map(|(class, name)| leaf(class, &name, json!([]))).collect(),
    };
    json!({"class_name": "Functional", "config": {"name": name, "layers": layers}})
}

fn leaf(class: &str, name: &str, inbound: Value) -> Value {
    json!({"class_name": class, "config": {"name": name}, "inbound_nodes": inbound})
}

/// Layers without links are linked by their order.
fn sequential_json(sequential: &Sequential, name: &str) -> Value {
    let mut names = Names::default();
    let layers: Vec<Value> = sequential
        .layers()
        .iter()
        .map(|layer| {
            let name = names.unique(&layer.state().name());
            layers_of(&**layer, &name)
                .unwrap_or_else(|| json!({"class_name": layer.state().class(), "config": {"name": name}}))
        })
        .collect();
    json!({"class_name": "Sequential", "config": {"name": name, "layers": layers}})
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

/// A layer of the picture, and what each of its calls reads.
struct Part {
    class: String,
    name: String,
    inner: Option<Value>,
    calls: Vec<Value>,
}

/// Where a tensor comes from, as Keras notes it: layer, which of its calls, which of that call's results.
type History = (String, usize, usize);

fn functional_json(functional: &Functional, name: &str) -> Value {
    let graph = functional.graph();
    let mut names = Names::default();
    let mut parts: Vec<Part> = Vec::new();
    let mut part_of_layer: HashMap<u64, usize> = HashMap::new();
    let mut slots: HashMap<usize, (History, Spec)> = HashMap::new();
    let mut inputs = Vec::new();
    for (slot, (name, spec)) in graph.inputs().iter().enumerate() {
        let name = names.unique(name);
        slots.insert(slot, ((name.clone(), 0, 0), spec.clone()));
        inputs.push(name.clone());
        parts.push(Part { class: "InputLayer".into(), name, inner: None, calls: Vec::new() });
    }
    for step in graph.steps() {
        let tensors: Vec<Value> = step
            .inputs()
            .iter()
            .filter_map(|source| match source {
                Source::Slot(slot) => slots.get(slot).map(|(history, spec)| keras_tensor(history, spec)),
                Source::Constant(_) => None,
            })
            .collect();
        // What an op makes of constants alone, such as the 0 of a ReLU, is no part of the picture.
        if tensors.is_empty() {
            continue;
        }
        let layer = layer_of(step);
        let known = layer.and_then(|layer| part_of_layer.get(&layer.state().id()).copied());
        let number = known.unwrap_or_else(|| {
            let (class, name) = match layer {
                Some(layer) => (layer.state().class().to_string(), names.unique(&layer.state().name())),
                None => (step.name().to_string(), names.unique(step.name())),
            };
            let inner = layer.and_then(|layer| layers_of(&**layer, &name));
            if let Some(layer) = layer {
                part_of_layer.insert(layer.state().id(), parts.len());
            }
            parts.push(Part { class, name, inner, calls: Vec::new() });
            parts.len() - 1
        });
        let part = &mut parts[number];
        for (output, spec) in step.outputs().iter().enumerate() {
            let history = (part.name.clone(), part.calls.len(), output);
            slots.insert(step.slot() + output, (history, spec.clone()));
        }
        let arguments = if tensors.len() == 1 { tensors } else { vec![Value::Array(tensors)] };
        part.calls.push(json!({"args": arguments, "kwargs": {}}));
    }
    let outputs: Vec<&String> =
        graph.outputs().iter().filter_map(|(slot, _)| slots.get(slot)).map(|((name, ..), _)| name).collect();
    json!({
        "class_name": "Functional",
        "config": {
            "name": name,
            "layers": parts.into_iter().map(Part::json).collect::<Vec<_>>(),
            "input_layers": ends(&inputs.iter().collect::<Vec<_>>()),
            "output_layers": ends(&outputs),
        },
    })
}

impl Part {
    fn json(self) -> Value {
        let calls = Value::Array(self.calls);
        match self.inner {
            Some(mut inner) => {
                inner["inbound_nodes"] = calls;
                inner
            }
            None => leaf(&self.class, &self.name, calls),
        }
    }
}

/// TensorBoard takes one end as Keras writes it, and several as plain names.
fn ends(names: &[&String]) -> Value {
    match names {
        [one] => json!([one, 0, 0]),
        several => json!(several),
    }
}

fn keras_tensor((layer, call, output): &History, spec: &Spec) -> Value {
    let dims: Vec<Value> =
        spec.dims.iter().map(|&dim| if is_open(dim) { Value::Null } else { json!(dim) }).collect();
    json!({
        "class_name": "__keras_tensor__",
        "config": {"shape": dims, "dtype": spec.dtype.name(), "keras_history": [layer, call, output]},
    })
}
