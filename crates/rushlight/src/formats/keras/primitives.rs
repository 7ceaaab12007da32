//! The engine's ops as Keras's operators.

use super::arguments::dtype_name;
use super::export::Held;
use rushlight_core::Spec;
use rushlight_core::ops::Op;
use rushlight_core::ops::elementwise::{Binary, Compare, Unary};
use rushlight_core::ops::reduce::Reduction;
use rushlight_core::tensor::is_open;
use serde_json::{Map, Value, json};

const NUMPY: &str = "keras.src.ops.numpy";
const MATH: &str = "keras.src.ops.math";
const NN: &str = "keras.src.ops.nn";
const CORE: &str = "keras.src.ops.core";

/// What has been written for a step: a node with the number of its call, or nothing, because it is something else.
pub(super) enum Written {
    Node(String, usize),
    Alias(Held),
}

/// How an op is to be written.
pub(super) enum Writing {
    Alias(Held),
    Call(OperatorCall),
}

/// A call of one of Keras's operators.
pub(super) struct OperatorCall {
    pub(super) module: &'static str,
    pub(super) class: &'static str,
    pub(super) config: Map<String, Value>,
    pub(super) args: Vec<Value>,
}

/// The operator that does what an op does.
///
/// # Errors
/// In words, why there is none.
pub(super) fn write(op: &Op, inputs: &[Held], outputs: &[Spec]) -> Result<Writing, String> {
    // Keras's operators broadcast by themselves.
    if let (Op::Broadcast(_), [input]) = (op, inputs) {
        return Ok(Writing::Alias(input.clone()));
    }
    let mut args = inputs.iter().map(Held::argument).collect::<Result<Vec<Value>, String>>()?;
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| drop(config.insert(key.to_string(), value));
    let (module, class) = match op {
        Op::Unary(unary) => unary_class(*unary),
        Op::Binary(binary) => (NUMPY, binary_class(*binary)),
        Op::Compare(compare) => (NUMPY, compare_class(*compare)),
        Op::Select => (NUMPY, "Where"),
        Op::Cast(dtype) => {
            set("dtype", json!(dtype_name(*dtype)));
            (CORE, "Cast")
        }
        Op::Reduce(reduce) => {
            set("axis", json!(reduce.axes.as_slice()));
            set("keepdims", json!(false));
            (NUMPY, reduction_class(reduce.kind))
        }
        Op::ArgReduce(reduce) => {
            set("axis", json!(reduce.axis));
            set("keepdims", json!(false));
            (NUMPY, if reduce.largest { "Argmax" } else { "Argmin" })
        }
        Op::Dot(dot) => {
            if dot.transpose_left || dot.transpose_right {
                return Err("a product of transposed matrices has no operator in Keras".to_string());
            }
            (NUMPY, "Matmul")
        }
        Op::Reshape(dims) => {
            if dims.iter().filter(|&&dim| is_open(dim)).count() > 1 {
                return Err("only one axis of a new shape may depend on the batch".to_string());
            }
            let dim = |&dim: &usize| if is_open(dim) { -1 } else { dim as i64 };
            set("newshape", json!(dims.iter().map(dim).collect::<Vec<i64>>()));
            (NUMPY, "Reshape")
        }
        Op::Transpose(axes) => {
            set("axes", json!(axes.as_slice()));
            (NUMPY, "Transpose")
        }
        Op::Flip(axes) => {
            set("axis", json!(axes.as_slice()));
            (NUMPY, "Flip")
        }
        Op::Concat(axis) => {
            set("axis", json!(axis));
            args = vec![Value::Array(args)];
            (NUMPY, "Concatenate")
        }
        Op::Slice(slice) => {
            let part = |axis: usize| {
                let stop = slice.stop[axis];
                let stop = if is_open(stop) { Value::Null } else { json!(stop) };
                let step = slice.step[axis];
                json!({ "class_name": "__slice__", "config": { "start": slice.start[axis], "stop": stop, "step": step } })
            };
            args.push((0..slice.start.len()).map(part).collect());
            (NUMPY, "GetItem")
        }
        Op::Pad(pad) if pad.interior.iter().all(|&gap| gap == 0) => {
            // The value that is padded with is the second input of the op, and a number in Keras.
            if args.pop().as_ref().and_then(Value::as_f64) != Some(0.0) {
                return Err("padding with anything but zero cannot be written".to_string());
            }
            let pairs: Vec<[usize; 2]> =
                pad.low.iter().zip(&pad.high).map(|(low, high)| [*low, *high]).collect();
            set("pad_width", json!(pairs));
            set("mode", json!("constant"));
            (NUMPY, "Pad")
        }
        Op::Take(axis) => {
            set("axis", json!(axis));
            (NUMPY, "Take")
        }
        other => return Err(format!("the op `{}` has no counterpart in Keras", other.name())),
    };
    let _ = outputs;
    Ok(Writing::Call(OperatorCall { module, class, config, args }))
}

fn unary_class(unary: Unary) -> (&'static str, &'static str) {
    let class = match unary {
        Unary::Rsqrt => return (MATH, "Rsqrt"),
        Unary::Erf => return (MATH, "Erf"),
        Unary::Erfinv => return (MATH, "Erfinv"),
        Unary::Sigmoid => return (NN, "Sigmoid"),
        Unary::Neg => "Negative",
        Unary::Abs => "Absolute",
        Unary::Sign => "Sign",
        Unary::Exp => "Exp",
        Unary::Expm1 => "Expm1",
        Unary::Log => "Log",
        Unary::Log1p => "Log1p",
        Unary::Sqrt => "Sqrt",
        Unary::Reciprocal => "Reciprocal",
        Unary::Square => "Square",
        Unary::Sin => "Sin",
        Unary::Cos => "Cos",
        Unary::Tan => "Tan",
        Unary::Asin => "Arcsin",
        Unary::Acos => "Arccos",
        Unary::Atan => "Arctan",
        Unary::Sinh => "Sinh",
        Unary::Cosh => "Cosh",
        Unary::Asinh => "Arcsinh",
        Unary::Acosh => "Arccosh",
        Unary::Atanh => "Arctanh",
        Unary::Tanh => "Tanh",
        Unary::Floor => "Floor",
        Unary::Ceil => "Ceil",
        Unary::Round => "Round",
        Unary::Trunc => "Trunc",
        Unary::Not => "LogicalNot",
        Unary::IsNan => "Isnan",
        Unary::IsInf => "Isinf",
        Unary::IsFinite => "Isfinite",
    };
    (NUMPY, class)
}

fn binary_class(binary: Binary) -> &'static str {
    match binary {
        Binary::Add => "Add",
        Binary::Sub => "Subtract",
        Binary::Mul => "Multiply",
        Binary::Div => "TrueDivide",
        Binary::Pow => "Power",
        Binary::Rem => "Mod",
        Binary::Max => "Maximum",
        Binary::Min => "Minimum",
        Binary::Atan2 => "Arctan2",
        Binary::And => "LogicalAnd",
        Binary::Or => "LogicalOr",
        Binary::Xor => "LogicalXor",
    }
}

fn compare_class(compare: Compare) -> &'static str {
    match compare {
        Compare::Equal => "Equal",
        Compare::NotEqual => "NotEqual",
        Compare::Less => "Less",
        Compare::LessEqual => "LessEqual",
        Compare::Greater => "Greater",
        Compare::GreaterEqual => "GreaterEqual",
    }
}

fn reduction_class(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::Sum => "Sum",
        Reduction::Mean => "Mean",
        Reduction::Prod => "Prod",
        Reduction::Max => "Max",
        Reduction::Min => "Min",
        Reduction::Any => "Any",
        Reduction::All => "All",
    }
}
