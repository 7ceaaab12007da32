//! From a config to a model: first all layers are made, so that everything unknown is told at once; then they are
//! called in an order in which that is possible.

use super::arguments::{CALL_FLAGS, Reference, each_tensor, keras_dtype, reference};
use super::call::layer_inputs;
use super::operators::{Call, Operator, is_known, is_operator};
use super::structure::{Container, Entry};
use crate::config::Config;
use crate::layers::{Layer, LayerState, call_layer, is_registered, layer_from_config};
use crate::models::{Functional, Input, Model, Sequential};
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Layers of one model, at most.
const MOST_LAYERS: usize = 100_000;

/// A model as its config describes it.
pub(super) struct Plan {
    is_sequential: bool,
    name: String,
    trainable: bool,
    layers: Vec<PlannedLayer>,
    inputs: Vec<Reference>,
    outputs: Vec<Reference>,
}

struct PlannedLayer {
    name: String,
    class: String,
    part: Part,
    /// One for each call.
    nodes: Vec<Value>,
}

enum Part {
    Input(Vec<Option<usize>>, DType),
    Layer(Arc<dyn Layer>),
    Operator { module: String, config: Map<String, Value> },
    Model(Box<Plan>),
}

/// What is wrong with layers, with their paths.
#[derive(Default)]
pub(super) struct Problems {
    /// Class names that nobody registered, and where they are.
    unknown: BTreeMap<String, Vec<String>>,
    others: Vec<String>,
}

impl Problems {
    fn unknown(&mut self, class: &str, path: &str) {
        self.unknown.entry(class.to_string()).or_default().push(path.to_string());
    }

    /// One error that tells all of it.
    pub(super) fn check(&self) -> Result<()> {
        let mut rules = Vec::new();
        if !self.unknown.is_empty() {
            let classes = self.unknown.iter().map(|(class, paths)| format!("{class} ({})", paths.join(", ")));
            let classes: Vec<String> = classes.collect();
            rules.push(format!(
                "these layers are not known: {}; `register_layer` makes layers of your own known",
                classes.join("; ")
            ));
        }
        rules.extend(self.others.iter().cloned());
        match rules.is_empty() {
            true => Ok(()),
            false => Err(wrong(rules.join("; "))),
        }
    }
}

pub(super) fn wrong(rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, "config.json", rule)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an object is a model made of layers.
fn is_model(object: &Value) -> bool {
    let class = text(object, "class_name");
    let has_layers =
        object.get("config").is_some_and(|config| config.get("layers").is_some_and(Value::is_array));
    has_layers && matches!(class, "Functional" | "Sequential" | "Model")
}

impl Plan {
    /// Makes the layers of a `Functional` or `Sequential` object; what is wrong goes to `problems`.
    pub(super) fn parse(object: &Value, path: &str, problems: &mut Problems) -> Result<Plan> {
        if !is_model(object) {
            let class = text(object, "class_name");
            let rule = format!(
                "the model is a `{class}`: only Functional and Sequential models describe themselves"
            );
            return Err(wrong(rule));
        }
        let config = &object["config"];
        let listed = config["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
        if listed.len() > MOST_LAYERS {
            return Err(wrong(format!("{} layers are more than {MOST_LAYERS}", listed.len())));
        }
        let mut layers = Vec::new();
        for (index, object) in listed.iter().enumerate() {
            let config = object.get("config").cloned().unwrap_or(json!({}));
            let name =
                [text(object, "name"), text(&config, "name")].into_iter().find(|name| !name.is_empty());
            let name = name.map_or_else(|| format!("layer_{index}"), str::to_string);
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let nodes = object.get("inbound_nodes").and_then(Value::as_array).cloned().unwrap_or_default();
            let class = match text(object, "class_name") {
                "Model" => "Functional",
                class => class,
            };
            if let Some(part) = Part::parse(object, &config, class, &path, problems)? {
                layers.push(PlannedLayer { name, class: class.to_string(), part, nodes });
            }
        }
        let references = |key: &str| references(config.get(key).unwrap_or(&Value::Null));
        Ok(Plan {
            is_sequential: text(object, "class_name") == "Sequential",
            name: text(config, "name").to_string(),
            trainable: config.get("trainable").and_then(Value::as_bool).unwrap_or(true),
            inputs: references("input_layers"),
            outputs: references("output_layers"),
            layers,
        })
    }

    /// Calls the layers; `shapes` fill in what the inputs leave open.
    pub(super) fn build(self, shapes: &Shapes<'_>) -> Result<(Model, Container)> {
        let (name, trainable) = (self.name.clone(), self.trainable);
        let (model, container) = if self.is_sequential { self.chain(shapes)? } else { self.graph(shapes)? };
        if !name.is_empty() {
            model.state().set_name(name);
        }
        if !trainable {
            model.set_trainable(false);
        }
        Ok((model, container))
    }

    fn chain(self, shapes: &Shapes<'_>) -> Result<(Model, Container)> {
        let mut layers: Vec<Arc<dyn Layer>> = Vec::new();
        let mut container = Container::default();
        let mut input = None;
        for planned in self.layers {
            let PlannedLayer { name, class, part, .. } = planned;
            match part {
                Part::Input(dims, dtype) if input.is_none() && layers.is_empty() => {
                    input = Some(shapes.input(&name, &dims, dtype)?);
                }
                Part::Input(..) | Part::Operator { .. } => {
                    return Err(wrong(format!("`{name}` cannot be in a Sequential model")));
                }
                part => layers.push(part.layer(class, shapes, &mut container)?),
            }
        }
        let Some(input) = input else {
            let chain = layers.into_iter().fold(Sequential::new(), Sequential::add);
            return Ok((Model::from(chain), container));
        };
        let mut x = vec![(*input).clone()];
        for layer in &layers {
            x = call_layer(&**layer, &x.iter().collect::<Vec<_>>());
        }
        let state = LayerState::new("Sequential");
        let outputs: Vec<&Tensor> = x.iter().collect();
        Ok((Model::from_functional(Functional::with_state(state, &[&input], &outputs)?), container))
    }

    fn graph(self, shapes: &Shapes<'_>) -> Result<(Model, Container)> {
        let mut graph = Graph::default();
        let mut container = Container::default();
        let mut calls = Vec::new();
        let mut nested = std::collections::HashSet::new();
        for planned in self.layers {
            let PlannedLayer { name, class, part, nodes } = planned;
            if let Part::Model(plan) = &part
                && !plan.is_sequential
            {
                nested.insert(name.clone());
            }
            let callee = match part {
                Part::Input(dims, dtype) => {
                    let input = shapes.input(&name, &dims, dtype)?;
                    graph.values.insert((name, 0), vec![(*input).clone()]);
                    continue;
                }
                Part::Operator { module, config } => Callee::Operator { module, class, config },
                part => Callee::Layer(part.layer(class, shapes, &mut container)?),
            };
            let callee = Arc::new(callee);
            for (number, node) in nodes.into_iter().enumerate() {
                calls.push(Waiting { name: name.clone(), number, callee: callee.clone(), node });
            }
        }
        graph.run(calls)?;
        // A nested functional model counts its own making as its first call, but only here.
        let end = |reference: &Reference| {
            let inner = usize::from(nested.contains(&reference.layer) && reference.call > 0);
            graph.get(&Reference { call: reference.call - inner, ..reference.clone() })
        };
        let ends = |references: &[Reference], what: &str| match references.iter().map(end).collect() {
            Some(tensors) => Ok::<Vec<Tensor>, Error>(tensors),
            None => Err(wrong(format!("the model's {what} are not among what its layers give"))),
        };
        let (inputs, outputs) = (ends(&self.inputs, "inputs")?, ends(&self.outputs, "outputs")?);
        if inputs.is_empty() || outputs.is_empty() {
            return Err(wrong("the model has no inputs or no outputs"));
        }
        let functional =
            Functional::new(&inputs.iter().collect::<Vec<_>>(), &outputs.iter().collect::<Vec<_>>())?;
        Ok((Model::from_functional(functional), container))
    }
}

impl Part {
    /// Nothing if there is a problem, which has been noted then.
    fn parse(
        object: &Value,
        config: &Value,
        class: &str,
        path: &str,
        problems: &mut Problems,
    ) -> Result<Option<Part>> {
        let module = text(object, "module");
        if is_operator(module) {
            if !is_known(class) {
                problems.unknown(&format!("{module}.{class}"), path);
                return Ok(None);
            }
            let config = config.as_object().cloned().unwrap_or_default();
            return Ok(Some(Part::Operator { module: module.to_string(), config }));
        }
        if is_model(object) {
            return Ok(Some(Part::Model(Box::new(Plan::parse(object, path, problems)?))));
        }
        if class == "InputLayer" {
            let dims =
                config.get("batch_shape").or(config.get("batch_input_shape")).and_then(Value::as_array);
            let dtype = keras_dtype(&dtype_text(config.get("dtype"))).unwrap_or(DType::F32);
            let dim = |value: &Value| value.as_u64().map(|dim| dim as usize);
            return Ok(match dims.map(|dims| dims.iter().skip(1).map(dim).collect()) {
                Some(dims) => Some(Part::Input(dims, dtype)),
                None => {
                    problems.others.push(format!("the input `{path}` has no `batch_shape`"));
                    None
                }
            });
        }
        let registered = text(object, "registered_name");
        let class = [class, registered].into_iter().find(|class| is_registered(class));
        let Some(class) = class else {
            problems.unknown(text(object, "class_name"), path);
            return Ok(None);
        };
        let mut named = object.clone();
        named["class_name"] = json!(class);
        for flag in CALL_FLAGS {
            if config.is_object() && object["inbound_nodes"][0]["kwargs"][flag] == json!(true) {
                named["config"][flag] = json!(true);
            }
        }
        match Config::from_json(&named).and_then(|config| layer_from_config(&config)) {
            Ok(layer) => Ok(Some(Part::Layer(layer))),
            Err(error) => {
                problems.others.push(format!("`{path}`: {}", error.rule()));
                Ok(None)
            }
        }
    }

    /// The layer, listed in the container of the model around it.
    fn layer(self, class: String, shapes: &Shapes<'_>, container: &mut Container) -> Result<Arc<dyn Layer>> {
        let (layer, inside): (Arc<dyn Layer>, _) = match self {
            Part::Layer(layer) => (layer, None),
            Part::Model(plan) => {
                let (model, inside) = plan.build(shapes)?;
                (Arc::new(model), Some(inside))
            }
            Part::Input(..) | Part::Operator { .. } => unreachable!("neither is a layer of a container"),
        };
        container.entries.push(Entry { class, state: layer.state().clone(), inside });
        Ok(layer)
    }
}

/// The dtype of an input: a name, or a policy that has one.
fn dtype_text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(name)) => name.clone(),
        Some(policy) => {
            policy.get("config").map(|config| text(config, "name")).unwrap_or_default().to_string()
        }
        None => "float32".to_string(),
    }
}

/// `[name, call, output]`, a list of such, or an object of such.
fn references(value: &Value) -> Vec<Reference> {
    if let Some(one) = Reference::parse(value) {
        return vec![one];
    }
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(fields) => fields.values().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The shapes of a root model's inputs where the file leaves axes open, in the order of the file.
pub(super) struct Shapes<'a> {
    given: &'a [Vec<usize>],
    next: std::cell::Cell<usize>,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(given: &'a [Vec<usize>]) -> Shapes<'a> {
        Shapes { given, next: std::cell::Cell::new(0) }
    }

    fn input(&self, name: &str, dims: &[Option<usize>], dtype: DType) -> Result<Input> {
        let given = self.given.get(self.next.get()).filter(|given| given.len() == dims.len());
        self.next.set(self.next.get() + 1);
        let size = |axis: usize| dims[axis].or_else(|| given.map(|given| given[axis]));
        let sizes: Option<Vec<usize>> = (0..dims.len()).map(size).collect();
        match sizes {
            Some(sizes) => Ok(Input::new(sizes).named(name).dtype(dtype)),
            None => {
                let shown = dims.iter().map(|dim| dim.map_or("None".to_string(), |dim| dim.to_string()));
                let shown: Vec<String> = std::iter::once("None".to_string()).chain(shown).collect();
                let shown = shown.join(", ");
                Err(wrong(format!(
                    "the input `{name}` is [{shown}]: sizes must be given for all axes but the batch"
                )))
            }
        }
    }
}

enum Callee {
    Layer(Arc<dyn Layer>),
    Operator { module: String, class: String, config: Map<String, Value> },
}

/// A call whose inputs may not be there yet.
struct Waiting {
    name: String,
    number: usize,
    callee: Arc<Callee>,
    node: Value,
}

/// What the calls have given so far.
#[derive(Default)]
struct Graph {
    values: HashMap<(String, usize), Vec<Tensor>>,
}

impl Graph {
    fn get(&self, reference: &Reference) -> Option<Tensor> {
        self.values.get(&(reference.layer.clone(), reference.call))?.get(reference.output).cloned()
    }

    /// Makes each call as soon as what it needs is there.
    fn run(&mut self, calls: Vec<Waiting>) -> Result<()> {
        let mut missing = Vec::new();
        let mut waiting_for: HashMap<(String, usize), Vec<usize>> = HashMap::new();
        let mut ready = VecDeque::new();
        for (index, call) in calls.iter().enumerate() {
            let mut needs = std::collections::HashSet::new();
            let mut broken = false;
            each_tensor(&call.node, &mut |value| match reference(value).flatten() {
                Some(reference) => drop(needs.insert((reference.layer, reference.call))),
                None => broken = true,
            });
            if broken {
                return Err(wrong(format!("an input of `{}` is not understood", call.name)));
            }
            needs.retain(|need| !self.values.contains_key(need));
            missing.push(needs.len());
            if needs.is_empty() {
                ready.push_back(index);
            }
            needs.into_iter().for_each(|need| waiting_for.entry(need).or_default().push(index));
        }
        let mut made = 0;
        while let Some(index) = ready.pop_front() {
            let call = &calls[index];
            let outputs = self.make(call)?;
            made += 1;
            for &waiting in waiting_for.get(&(call.name.clone(), call.number)).into_iter().flatten() {
                missing[waiting] -= 1;
                if missing[waiting] == 0 {
                    ready.push_back(waiting);
                }
            }
            self.values.insert((call.name.clone(), call.number), outputs);
        }
        if made < calls.len() {
            let stuck: Vec<&str> = calls
                .iter()
                .zip(&missing)
                .filter(|(_, missing)| **missing > 0)
                .map(|(call, _)| call.name.as_str())
                .take(10)
                .collect();
            return Err(wrong(format!("the inputs of {} never come: the graph is broken", stuck.join(", "))));
        }
        Ok(())
    }

    fn make(&self, call: &Waiting) -> Result<Vec<Tensor>> {
        let empty = json!([]);
        // Older files have a list of inputs in place of an object with `args` and `kwargs`.
        let (args, kwargs) = match &call.node {
            Value::Object(fields) => {
                (fields.get("args").unwrap_or(&empty), fields.get("kwargs").unwrap_or(&Value::Null))
            }
            other => (other, &Value::Null),
        };
        let find = |value: &Value| reference(value).flatten().and_then(|reference| self.get(&reference));
        let mut inputs = Vec::new();
        let mut incomplete = false;
        for part in [args, kwargs] {
            each_tensor(part, &mut |value| match find(value) {
                Some(tensor) => inputs.push(tensor),
                None => incomplete = true,
            });
        }
        if incomplete || inputs.is_empty() {
            return Err(wrong(format!("`{}` is called on something that no layer gives", call.name)));
        }
        let outputs = match &*call.callee {
            Callee::Layer(layer) => {
                let inputs = layer_inputs(&call.name, args, kwargs, &find)?;
                call_layer(&**layer, &inputs.iter().collect::<Vec<_>>())
            }
            Callee::Operator { module, class, config } => {
                let name = if call.number == 0 {
                    call.name.clone()
                } else {
                    format!("{}_{}", call.name, call.number)
                };
                let as_written = Call {
                    module: module.clone(),
                    class: class.clone(),
                    config: config.clone(),
                    args: args.clone(),
                    kwargs: kwargs.clone(),
                };
                call_layer(&Operator::new(&name, as_written), &inputs.iter().collect::<Vec<_>>())
            }
        };
        if let Some(faulty) = outputs.iter().find(|output| output.error().is_some()) {
            faulty.check().map_err(|error| wrong(format!("`{}`: {}", call.name, shown(&error))))?;
        }
        Ok(outputs)
    }
}

/// What an error says without the place in the program, which means nothing to who reads a file.
fn shown(error: &Error) -> String {
    let inputs: Vec<String> =
        error.inputs().iter().map(|spec| rushlight_core::tensor::display_dims(&spec.dims)).collect();
    match inputs.is_empty() {
        true => error.rule().to_string(),
        false => format!("{}: got {}", error.rule(), inputs.join(" and ")),
    }
}
