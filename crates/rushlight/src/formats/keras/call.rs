//! Calls of layers: which tensors go in, in our order and in Keras's, and which masks come with them.

use super::arguments::{CALL_FLAGS, each_tensor};
use super::operators::{Call, MASK, Operator};
use super::plan::wrong;
use crate::layers::{Layer, call_layer, keras_class};
use rushlight_core::{Result, Tensor};
use serde_json::{Map, Value, json};

/// Layers whose inputs are arguments of their own: query, value, key, and a mask for pairs of places.
const ATTENTION: [&str; 2] = ["MultiHeadAttention", "GroupQueryAttention"];
const WITH_STATE: [&str; 4] = ["SimpleRNN", "LSTM", "GRU", "Bidirectional"];
const ROLES: [&str; 3] = ["query", "value", "key"];
const ROLES_MASKS: [&str; 3] = ["query_mask", "value_mask", "key_mask"];
const PAIRS_MASK: &str = "attention_mask";

/// The tensors of a call in the order of our layers; each with the mask that the file gives it.
///
/// # Errors
/// If there are arguments that change what the layer does and are not understood.
pub(super) fn layer_inputs(
    name: &str,
    args: &Value,
    kwargs: &Value,
    find: &dyn Fn(&Value) -> Option<Tensor>,
) -> Result<Vec<Tensor>> {
    check_keywords(name, kwargs)?;
    let mut inputs = tensors(args, find);
    for key in ROLES.iter().chain(&["initial_state"]) {
        inputs.extend(tensors(&kwargs[*key], find));
    }
    let masks = match &kwargs["mask"] {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    };
    let masks = masks.into_iter().enumerate().chain(ROLES_MASKS.iter().map(|key| &kwargs[*key]).enumerate());
    for (place, mask) in masks {
        let Some(mask) = tensors(mask, find).pop() else { continue };
        if place == inputs.len() && place == 2 {
            // The key is the value where none is given, but has a mask of its own.
            inputs.push(inputs[1].clone());
        }
        if let Some(input) = inputs.get_mut(place) {
            *input = masked(name, input, &mask);
        }
    }
    if let Some(mask) = tensors(&kwargs[PAIRS_MASK], find).pop() {
        if inputs.len() == 2 {
            inputs.push(inputs[1].clone());
        }
        inputs.push(mask);
    }
    Ok(inputs)
}

fn tensors(value: &Value, find: &dyn Fn(&Value) -> Option<Tensor>) -> Vec<Tensor> {
    let mut found = Vec::new();
    each_tensor(value, &mut |value| found.extend(find(value)));
    found
}

/// The same tensor with a mask.
fn masked(name: &str, x: &Tensor, mask: &Tensor) -> Tensor {
    let call = Call {
        module: String::new(),
        class: MASK.to_string(),
        config: Map::new(),
        args: json!([]),
        kwargs: json!({}),
    };
    call_layer(&Operator::new(&format!("{name}_mask"), call), &[x, mask]).remove(0)
}

/// Keyword arguments change what a layer does; those that are not understood must not be passed over.
fn check_keywords(name: &str, kwargs: &Value) -> Result<()> {
    /// Tensors that are inputs like any other, and the mode, which running decides.
    const KNOWN: [&str; 4] = ["initial_state", "training", "mask", PAIRS_MASK];
    let known = |key: &str| [&KNOWN[..], &ROLES, &ROLES_MASKS, &CALL_FLAGS].concat().contains(&key);
    for (key, value) in kwargs.as_object().into_iter().flatten() {
        let means_nothing = value.is_null() || value == &json!(false);
        if !means_nothing && !known(key) {
            return Err(wrong(format!("the argument `{key}` in a call of `{name}` is not supported")));
        }
    }
    Ok(())
}

/// `args` and `kwargs` for Keras of a call on these inputs, which may have masks that the file gave them.
pub(super) fn layer_arguments(
    layer: &dyn Layer,
    inputs: Vec<Value>,
    masks: Vec<Option<Value>>,
) -> (Value, Value) {
    let class = keras_class(layer.state().class());
    let mut keywords = json!({});
    for flag in CALL_FLAGS {
        if layer.config().is_ok_and(|config| config.get(flag) == Some(&json!(true))) {
            keywords[flag] = json!(true);
        }
    }
    let has_masks = masks.iter().any(Option::is_some);
    match inputs.as_slice() {
        _ if ATTENTION.contains(&class.as_str()) => {
            for (key, mask) in ROLES_MASKS.iter().zip(masks) {
                mask.into_iter().for_each(|mask| keywords[*key] = mask);
            }
            if let Some(mask) = inputs.get(ROLES.len()) {
                keywords[PAIRS_MASK] = mask.clone();
            }
            (inputs.into_iter().take(ROLES.len()).collect(), keywords)
        }
        [x, state @ ..] if state.is_empty() || WITH_STATE.contains(&class.as_str()) => {
            if !state.is_empty() {
                keywords["initial_state"] = json!(state);
            }
            masks.into_iter().flatten().take(1).for_each(|mask| keywords["mask"] = mask);
            (json!([x]), keywords)
        }
        _ => {
            if has_masks {
                keywords["mask"] = json!(masks);
            }
            (json!([inputs]), keywords)
        }
    }
}
