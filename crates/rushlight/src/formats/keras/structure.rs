//! The layers of a model in Keras's order, and the place of each variable in a file of weights.

use super::operators::Operator;
use crate::layers::{Layer, LayerState, snake_case};
use crate::models::{Functional, Model, Sequential, layer_of};
use rushlight_core::Variable;
use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The layers of a model, as its config lists them.
#[derive(Clone, Default)]
pub(crate) struct Container {
    pub(super) entries: Vec<Entry>,
}

/// One layer of a model.
#[derive(Clone)]
pub(super) struct Entry {
    /// Keras's name of the class, by which places in files go.
    pub(super) class: String,
    pub(super) state: LayerState,
    /// What is inside, if the layer is a model.
    pub(super) inside: Option<Container>,
}

/// A variable and where files of weights have it.
pub(crate) struct Place {
    /// `layers/dense_1/vars/0`
    pub(crate) path: String,
    /// The names of the layers around it and its own: `encoder/dense/kernel`.
    pub(crate) name: String,
    pub(crate) variable: Variable,
}

/// What a layer is behind its references, if it is made of others.
pub(super) enum Inside<'a> {
    Graph(&'a Functional),
    Chain(&'a [Arc<dyn Layer>]),
}

/// What is inside of a model or of layers in a row; nothing for other layers.
pub(super) fn inside(layer: &dyn Layer) -> Option<Inside<'_>> {
    let any: &dyn Any = layer;
    if let Some(shared) = any.downcast_ref::<Arc<dyn Layer>>() {
        inside(&**shared)
    } else if let Some(model) = any.downcast_ref::<Model>() {
        match model.functional() {
            Some(functional) => Some(Inside::Graph(functional)),
            None => inside(model.inner_layer()),
        }
    } else if let Some(functional) = any.downcast_ref::<Functional>() {
        Some(Inside::Graph(functional))
    } else {
        any.downcast_ref::<Sequential>().map(|sequential| Inside::Chain(sequential.layers()))
    }
}

/// The operator that a layer is, if it is one.
pub(super) fn as_operator(layer: &dyn Layer) -> Option<&Operator> {
    let any: &dyn Any = layer;
    match any.downcast_ref::<Arc<dyn Layer>>() {
        Some(shared) => as_operator(&**shared),
        None => any.downcast_ref::<Operator>(),
    }
}

impl Container {
    /// The layers of a model in the order of their first calls.
    pub(crate) fn of(layer: &dyn Layer) -> Option<Container> {
        let mut container = Container::default();
        let mut seen = HashSet::new();
        let mut add = |layer: &dyn Layer| {
            if as_operator(layer).is_none() && seen.insert(layer.state().id()) {
                container.entries.push(Entry::of(layer));
            }
        };
        match inside(layer)? {
            Inside::Graph(functional) => {
                functional.graph().steps().iter().filter_map(layer_of).for_each(|layer| add(&**layer));
            }
            Inside::Chain(layers) => layers.iter().for_each(|layer| add(&**layer)),
        }
        Some(container)
    }

    /// All variables with their places below a path such as ``, in Keras's order. A few have two.
    pub(crate) fn places(&self, path: &str) -> Vec<Place> {
        let mut places = Vec::new();
        self.collect(path, "", &mut places);
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.path.clone()));
        places
    }

    /// The same with each variable once.
    pub(crate) fn variables(&self) -> Vec<Place> {
        let mut places = self.places("");
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.variable.id()));
        places
    }

    fn collect(&self, path: &str, names: &str, places: &mut Vec<Place>) {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for entry in &self.entries {
            let base = match entry.class.as_str() {
                // Keras's class has another name than its users see.
                "GroupQueryAttention" => "grouped_query_attention".to_string(),
                class => snake_case(class),
            };
            let count = counts.entry(base.clone()).or_insert(0);
            let part = if *count == 0 { base } else { format!("{base}_{count}") };
            *count += 1;
            let path = format!("{path}layers/{part}/");
            let names = format!("{names}{}/", entry.state.name());
            match &entry.inside {
                Some(inside) => inside.collect(&path, &names, places),
                None => collect_layer(&entry.state, &entry.class, &path, &names, places),
            }
        }
    }
}

impl Entry {
    pub(super) fn of(layer: &dyn Layer) -> Entry {
        let inside = Container::of(layer);
        let class = match &inside {
            Some(_) if layer.state().class() == "Sequential" => "Sequential".to_string(),
            Some(_) => "Functional".to_string(),
            None => crate::layers::keras_class(layer.state().class()),
        };
        Entry { class, state: layer.state().clone(), inside }
    }
}

/// Layers that are activations of others.
const ACTIVATIONS: [&str; 6] = ["PReLU", "LeakyReLU", "ReLU", "ELU", "Softmax", "Activation"];

/// The variables of a layer that is no model: its own, and those of the layers that it wraps.
fn collect_layer(state: &LayerState, class: &str, path: &str, names: &str, places: &mut Vec<Place>) {
    let own = match class {
        // Keras keeps a step of the recurrence as a layer of its own.
        "SimpleRNN" | "LSTM" | "GRU" => "cell/vars",
        _ => "vars",
    };
    let mut weights = state.weights();
    if class == "SpectralNormalization" {
        // The kernel that it normalizes counts as its own as well.
        let inner = state.inner_layers();
        weights.splice(0..0, inner.first().and_then(|layer| layer.weights().into_iter().next()));
    }
    for (index, variable) in weights.into_iter().enumerate() {
        let leaf = variable.name().rsplit('/').next().unwrap_or_default().to_string();
        places.push(Place { path: format!("{path}{own}/{index}"), name: format!("{names}{leaf}"), variable });
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (index, layer) in state.inner_layers().iter().enumerate() {
        let inner_class = crate::layers::keras_class(layer.class());
        let own_name =
            || layer.given_name().map_or_else(|| snake_case(&inner_class), |name| name.to_string());
        let part = match (class, index) {
            ("Bidirectional", 0) => "forward_layer".to_string(),
            ("Bidirectional", _) => "backward_layer".to_string(),
            ("TimeDistributed" | "SpectralNormalization", _) => "layer".to_string(),
            ("MultiHeadAttention" | "GroupQueryAttention", _) => {
                let name = own_name();
                let role = if name == "attention_output" { "output" } else { &name };
                let before = if class == "GroupQueryAttention" { "_" } else { "" };
                format!("{before}{role}_dense")
            }
            _ if ACTIVATIONS.contains(&inner_class.as_str()) => "activation".to_string(),
            _ => {
                let base = own_name();
                let count = counts.entry(base.clone()).or_insert(0);
                *count += 1;
                if *count == 1 { base } else { format!("{base}_{}", *count - 1) }
            }
        };
        collect_layer(layer, &inner_class, &format!("{path}{part}/"), &format!("{names}{part}/"), places);
    }
}
