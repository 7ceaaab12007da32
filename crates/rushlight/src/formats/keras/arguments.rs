//! Arguments of calls as Keras writes them: tensors, numbers, lists, slices, constants.

use rushlight_core::{DType, Tensor};
use serde_json::Value;

/// The class names of what stands for something else.
pub(super) const TENSOR: &str = "__keras_tensor__";
const CONSTANTS: [&str; 2] = ["__tensor__", "__numpy__"];

/// What Keras's attention layers are told in each call, and ours when they are made.
pub(super) const CALL_FLAGS: [&str; 2] = ["use_causal_mask", "return_attention_scores"];

/// An argument of a call.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    Tensor(Tensor),
    Number(f64),
    Flag(bool),
    Nothing,
    List(Vec<Argument>),
    /// Start, stop and step.
    Slice([Option<i64>; 3]),
    Ellipsis,
}

/// A tensor of the graph: layer, number of the call, number of the output.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) layer: String,
    pub(super) call: usize,
    pub(super) output: usize,
}

impl Reference {
    /// From `[layer, call, output]`.
    pub(super) fn parse(value: &Value) -> Option<Reference> {
        let [layer, call, output] = value.as_array()?.as_slice() else { return None };
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        Some(Reference { layer: layer.as_str()?.to_string(), call: number(call)?, output: number(output)? })
    }
}

/// The tensor that a value refers to, if it is one.
pub(super) fn reference(value: &Value) -> Option<Option<Reference>> {
    if value.get("class_name").and_then(Value::as_str) != Some(TENSOR) {
        return None;
    }
    Some(value.get("config").and_then(|config| config.get("keras_history")).and_then(Reference::parse))
}

/// Calls `visit` with each value that stands for a tensor of the graph, in order.
pub(super) fn each_tensor<'a>(value: &'a Value, visit: &mut dyn FnMut(&'a Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_tensor(item, visit)),
        Value::Object(fields) if fields.get("class_name").and_then(Value::as_str) == Some(TENSOR) => {
            visit(value)
        }
        Value::Object(fields) => fields.values().for_each(|field| each_tensor(field, visit)),
        _ => {}
    }
}

/// The argument that a value stands for; `tensor` gives those of the graph, in the order of [`each_tensor`].
///
/// # Errors
/// In words, what is not understood.
pub(super) fn resolve(
    value: &Value,
    tensor: &mut dyn FnMut(&Value) -> Option<Tensor>,
) -> Result<Argument, String> {
    let not_understood = || {
        let text: String = value.to_string().chars().take(120).collect();
        format!("the argument {text} is not understood")
    };
    Ok(match value {
        Value::Null => Argument::Nothing,
        Value::Bool(flag) => Argument::Flag(*flag),
        Value::Number(number) => Argument::Number(number.as_f64().ok_or_else(not_understood)?),
        Value::String(_) => Argument::Nothing,
        Value::Array(items) => {
            let items = items.iter().map(|item| resolve(item, tensor));
            Argument::List(items.collect::<Result<Vec<Argument>, String>>()?)
        }
        Value::Object(fields) => {
            let config = fields.get("config").unwrap_or(&Value::Null);
            match fields.get("class_name").and_then(Value::as_str) {
                Some(TENSOR) => Argument::Tensor(tensor(value).ok_or_else(not_understood)?),
                Some("__slice__") => {
                    let part = |key| config.get(key).and_then(Value::as_i64);
                    Argument::Slice([part("start"), part("stop"), part("step")])
                }
                Some("__ellipsis__") => Argument::Ellipsis,
                Some("__tuple__") => {
                    let items = fields.get("items").or(config.get("items")).ok_or_else(not_understood)?;
                    resolve(items, tensor)?
                }
                Some(class) if CONSTANTS.contains(&class) => {
                    Argument::Tensor(constant(config).ok_or_else(not_understood)?)
                }
                Some("__lambda__") => return Err("functions of Python cannot be run".to_string()),
                _ => return Err(not_understood()),
            }
        }
    })
}

/// `{"value": nested lists, "dtype": name}` as a tensor.
fn constant(config: &Value) -> Option<Tensor> {
    fn collect(value: &Value, depth: usize, dims: &mut Vec<usize>, elements: &mut Vec<f64>) -> Option<()> {
        match value {
            Value::Array(items) => {
                if dims.len() == depth {
                    dims.push(items.len());
                }
                if dims[depth] != items.len() {
                    return None;
                }
                items.iter().try_for_each(|item| collect(item, depth + 1, dims, elements))
            }
            Value::Bool(flag) => {
                elements.push(f64::from(u8::from(*flag)));
                Some(())
            }
            other => {
                elements.push(other.as_f64()?);
                Some(())
            }
        }
    }
    let dtype = keras_dtype(config.get("dtype")?.as_str()?)?;
    let (mut dims, mut elements) = (Vec::new(), Vec::new());
    collect(config.get("value")?, 0, &mut dims, &mut elements)?;
    if dims.iter().product::<usize>() != elements.len() {
        return None;
    }
    Some(Tensor::new(&elements, &dims).cast(dtype))
}

/// The dtype of Keras's name.
pub(super) fn keras_dtype(name: &str) -> Option<DType> {
    Some(match name {
        "float32" => DType::F32,
        "float64" => DType::F64,
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "int8" | "int16" | "int32" | "uint16" => DType::I32,
        "int64" | "uint32" | "uint64" => DType::I64,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        _ => return None,
    })
}

/// Keras's name of a dtype.
pub(super) fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float32",
        DType::F64 => "float64",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::U8 => "uint8",
        DType::Bool => "bool",
    }
}
