//! Keras's operators: nodes of a functional model that are no layers, such as `x + 1`.

use super::arguments::{Argument, keras_dtype, resolve};
use crate::layers::{Layer, LayerState, set_mask};
use rushlight_core::tensor::{IntoIndex, is_open};
use rushlight_core::{Error, ErrorKind, Index, Result, Tensor, concat, einsum, stack, strided, where_};
use serde_json::{Map, Value};

/// What gives a tensor a mask: no operator of Keras's, where masks are arguments of calls.
pub(super) const MASK: &str = "Mask";

/// One call of an operator, kept as it was written so that it can be written again.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    state: LayerState,
    call: std::sync::Arc<Call>,
}

/// What Keras writes of an operator: tensors of the graph stand in `args` and `kwargs` in the order of the inputs.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) module: String,
    pub(crate) class: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) args: Value,
    pub(crate) kwargs: Value,
}

impl Operator {
    #[track_caller]
    pub(super) fn new(name: &str, call: Call) -> Operator {
        let state = LayerState::new("Operator");
        state.set_name(name);
        Operator { state, call: call.into() }
    }

    pub(super) fn call_as_written(&self) -> &Call {
        &self.call
    }
}

/// Whether this is an operator and no layer of the same name.
pub(super) fn is_operator(module: &str) -> bool {
    module.starts_with("keras.src.ops.") || module.starts_with("keras.ops")
}

impl Layer for Operator {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        if let (MASK, [x, mask]) = (self.call.class.as_str(), inputs) {
            // Masks belong to handles: this is another one for the same elements.
            let x = x.expand_dims(-1).squeeze(-1);
            set_mask(&x, mask);
            return vec![x];
        }
        let mut inputs = inputs.iter();
        let mut next = |_: &Value| inputs.next().map(|tensor| (*tensor).clone());
        let result = (|| {
            let arguments = match resolve(&self.call.args, &mut next)? {
                Argument::List(items) => items,
                other => vec![other],
            };
            let mut named = Named { config: &self.call.config, call: Vec::new() };
            for (key, value) in self.call.kwargs.as_object().into_iter().flatten() {
                named.call.push((key, resolve(value, &mut next)?));
            }
            apply(&self.call.class, &arguments, &named)
        })();
        result.unwrap_or_else(|rule| {
            let operator = format!("{} `{}`", self.call.class, self.state.name());
            vec![Tensor::carry(Error::new(ErrorKind::Value, operator, rule))]
        })
    }
}

/// Arguments by name: those of the call, and the operator's own.
struct Named<'a> {
    config: &'a Map<String, Value>,
    call: Vec<(&'a String, Argument)>,
}

impl Named<'_> {
    fn get(&self, key: &str) -> Argument {
        if let Some((_, argument)) = self.call.iter().find(|(name, _)| *name == key) {
            return argument.clone();
        }
        self.config
            .get(key)
            .map_or(Argument::Nothing, |value| resolve(value, &mut |_| None).unwrap_or(Argument::Nothing))
    }

    fn number(&self, key: &str, default: f64) -> f64 {
        if let Argument::Number(number) = self.get(key) { number } else { default }
    }

    fn axis(&self, key: &str, default: isize) -> isize {
        self.number(key, default as f64) as isize
    }

    fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Argument::Flag(true))
    }

    fn integers(&self, key: &str) -> Option<Vec<isize>> {
        match self.get(key) {
            Argument::Number(number) => Some(vec![number as isize]),
            Argument::List(items) => items
                .iter()
                .map(|item| if let Argument::Number(number) = item { Some(*number as isize) } else { None })
                .collect(),
            _ => None,
        }
    }
}

fn tensor(arguments: &[Argument], index: usize) -> Result<Tensor, String> {
    match arguments.get(index) {
        Some(Argument::Tensor(tensor)) => Ok(tensor.clone()),
        _ => Err(format!("argument {index} must be a tensor")),
    }
}

/// The tensors in a list that is the first argument, or all arguments.
fn tensors(arguments: &[Argument]) -> Result<Vec<Tensor>, String> {
    let items = match arguments {
        [Argument::List(items), ..] => items.as_slice(),
        items => items,
    };
    (0..items.len()).map(|index| tensor(items, index)).collect()
}

/// Both sides of a binary operator; a number takes on the dtype of the other side.
fn sides(arguments: &[Argument]) -> Result<(Tensor, Tensor), String> {
    let number = |like: &Tensor, value: f64| match like.dtype() {
        Ok(dtype) => Tensor::scalar_of(value, dtype),
        Err(error) => Tensor::carry(error),
    };
    match arguments {
        [Argument::Tensor(left), Argument::Tensor(right), ..] => Ok((left.clone(), right.clone())),
        [Argument::Tensor(left), Argument::Number(right), ..] => Ok((left.clone(), number(left, *right))),
        [Argument::Number(left), Argument::Tensor(right), ..] => Ok((number(right, *left), right.clone())),
        _ => Err("there must be two arguments, tensors or numbers".to_string()),
    }
}

fn unary(class: &str, x: &Tensor, named: &Named<'_>) -> Option<Tensor> {
    Some(match class {
        "Negative" => -x,
        "Absolute" | "Abs" => x.abs(),
        "Sign" => x.sign(),
        "Exp" => x.exp(),
        "Expm1" => x.expm1(),
        "Log" => x.log(),
        "Log1p" => x.log1p(),
        "Sqrt" => x.sqrt(),
        "Rsqrt" => x.rsqrt(),
        "Reciprocal" => x.reciprocal(),
        "Square" => x.square(),
        "Sin" => x.sin(),
        "Cos" => x.cos(),
        "Tan" => x.tan(),
        "Arcsin" => x.asin(),
        "Arccos" => x.acos(),
        "Arctan" => x.atan(),
        "Sinh" => x.sinh(),
        "Cosh" => x.cosh(),
        "Arcsinh" => x.asinh(),
        "Arccosh" => x.acosh(),
        "Arctanh" => x.atanh(),
        "Tanh" => x.tanh(),
        "Sigmoid" => x.sigmoid(),
        "Erf" => x.erf(),
        "Erfinv" => x.erfinv(),
        "Floor" => x.floor(),
        "Ceil" => x.ceil(),
        "Round" => x.round(),
        "Trunc" => x.trunc(),
        "ConvertToTensor" | "StopGradient" | "Identity" | "Copy" => x.clone(),
        "LogicalNot" => x.logical_not(),
        "Isnan" => x.is_nan(),
        "Isinf" => x.is_inf(),
        "Isfinite" => x.is_finite(),
        "Relu" => x.relu(),
        "Relu6" => x.relu6(),
        "Softplus" => x.softplus(),
        "Softsign" => x.softsign(),
        "Silu" => x.silu(),
        "Selu" => x.selu(),
        "Mish" => x.mish(),
        "LogSigmoid" => x.log_sigmoid(),
        "HardSigmoid" => x.hard_sigmoid(),
        "HardSilu" => x.hard_silu(),
        "HardTanh" => x.hard_tanh(),
        "TanhShrink" => x.tanh_shrink(),
        "Elu" => x.elu(named.number("alpha", 1.0)),
        "Celu" => x.celu(named.number("alpha", 1.0)),
        "LeakyRelu" => x.leaky_relu(named.number("negative_slope", 0.2)),
        "Gelu" => {
            if named.flag("approximate") {
                x.gelu_tanh()
            } else {
                x.gelu()
            }
        }
        "Softmax" => x.softmax(named.axis("axis", -1)),
        "LogSoftmax" => x.log_softmax(named.axis("axis", -1)),
        _ => return None,
    })
}

fn binary(class: &str, left: &Tensor, right: &Tensor) -> Option<Tensor> {
    Some(match class {
        "Add" => left + right,
        "Subtract" => left - right,
        "Multiply" => left * right,
        "Divide" | "TrueDivide" => left / right,
        "FloorDivide" => left.floor_div(right),
        "Mod" => left % right,
        "Power" => left.pow(right),
        "Maximum" => left.maximum(right),
        "Minimum" => left.minimum(right),
        "Arctan2" => left.atan2(right),
        "Equal" => left.equal(right),
        "NotEqual" => left.not_equal(right),
        "Less" => left.less(right),
        "LessEqual" => left.less_equal(right),
        "Greater" => left.greater(right),
        "GreaterEqual" => left.greater_equal(right),
        "LogicalAnd" => left.logical_and(right),
        "LogicalOr" => left.logical_or(right),
        "LogicalXor" => left.logical_xor(right),
        "Matmul" => left.matmul(right),
        _ => return None,
    })
}

fn reduction(class: &str, x: &Tensor, named: &Named<'_>) -> Option<Tensor> {
    let all: Vec<isize> = (0..x.rank().unwrap_or(0) as isize).collect();
    let axes = named.integers("axis").unwrap_or(all);
    Some(match (class, named.flag("keepdims")) {
        ("Mean", false) => x.mean(&axes),
        ("Mean", true) => x.mean_keepdims(&axes),
        ("Sum", false) => x.sum(&axes),
        ("Sum", true) => x.sum_keepdims(&axes),
        ("Max", false) => x.max(&axes),
        ("Max", true) => x.max_keepdims(&axes),
        ("Min", false) => x.min(&axes),
        ("Min", true) => x.min_keepdims(&axes),
        ("Prod", false) => x.prod(&axes),
        ("Prod", true) => x.prod_keepdims(&axes),
        ("Var", false) => x.variance(&axes),
        ("Var", true) => x.variance_keepdims(&axes),
        ("Std", false) => x.std(&axes),
        ("Std", true) => x.std_keepdims(&axes),
        ("Any", false) => x.any(&axes),
        ("Any", true) => x.any_keepdims(&axes),
        ("All", false) => x.all(&axes),
        ("All", true) => x.all_keepdims(&axes),
        ("Logsumexp", false) => x.logsumexp(&axes),
        ("Logsumexp", true) => x.logsumexp_keepdims(&axes),
        _ => return None,
    })
}

/// The operators that this module knows, for a message about one that it does not.
pub(super) fn is_known(class: &str) -> bool {
    let x = Tensor::zeros([1, 1], rushlight_core::DType::F32);
    let named = Named { config: &Map::new(), call: Vec::new() };
    const OTHERS: [&str; 24] = [
        "Reshape",
        "Transpose",
        "Concatenate",
        "Stack",
        "GetItem",
        "ExpandDims",
        "Squeeze",
        "Cast",
        "Where",
        "Clip",
        "Split",
        "Pad",
        "Einsum",
        "Argmax",
        "Argmin",
        "Repeat",
        "Flip",
        "Swapaxes",
        "Tile",
        "Moveaxis",
        "Average",
        "Normalize",
        "ZerosLike",
        "OnesLike",
    ];
    // What it gives for these inputs does not matter; an error in it has been looked at.
    let made = |tensor: Option<Tensor>| tensor.map(|tensor| tensor.check().is_ok()).is_some();
    OTHERS.contains(&class)
        || made(unary(class, &x, &named))
        || made(binary(class, &x, &x))
        || made(reduction(class, &x, &named))
}

fn apply(class: &str, arguments: &[Argument], named: &Named<'_>) -> Result<Vec<Tensor>, String> {
    let x = || tensor(arguments, 0);
    let need =
        |key: &str| named.integers(key).ok_or_else(|| format!("`{key}` must be a whole number, or several"));
    let one = match class {
        "Reshape" => x()?.reshape(need("newshape")?),
        "Transpose" => {
            let x = x()?;
            let reversed = || (0..x.rank().unwrap_or(0) as isize).rev().collect();
            x.transpose(named.integers("axes").unwrap_or_else(reversed))
        }
        "Swapaxes" => x()?.swap_axes(named.axis("axis1", 0), named.axis("axis2", 0)),
        "Moveaxis" => x()?.move_axis(named.axis("source", 0), named.axis("destination", 0)),
        "ExpandDims" => need("axis")?.iter().fold(x()?, |x, &axis| x.expand_dims(axis)),
        "Squeeze" => need("axis")?.iter().fold(x()?, |x, &axis| x.squeeze(axis)),
        "Flip" => x()?.flip(need("axis")?),
        "Repeat" => x()?.repeat(named.axis("repeats", 1).max(0) as usize, named.axis("axis", -1)),
        "Tile" => {
            let repeats: Vec<usize> = need("repeats")?.iter().map(|&repeat| repeat.max(0) as usize).collect();
            x()?.tile(&repeats)
        }
        "Concatenate" | "Stack" => {
            let tensors = tensors(arguments)?;
            let tensors: Vec<&Tensor> = tensors.iter().collect();
            let axis = named.axis("axis", if class == "Stack" { 0 } else { -1 });
            if class == "Stack" { stack(&tensors, axis) } else { concat(&tensors, axis) }
        }
        "Split" => return split(&x()?, named),
        "Cast" => {
            let name = named.config.get("dtype").and_then(Value::as_str).unwrap_or_default();
            x()?.cast(keras_dtype(name).ok_or_else(|| format!("there is no dtype `{name}`"))?)
        }
        "Where" => {
            let (left, right) = sides(arguments.get(1..).unwrap_or_default())?;
            where_(&x()?, &left, &right)
        }
        "ZerosLike" | "OnesLike" => {
            let x = x()?;
            let like = if class == "ZerosLike" { x.zeros_like() } else { x.ones_like() };
            named
                .config
                .get("dtype")
                .and_then(Value::as_str)
                .and_then(keras_dtype)
                .map_or(like.clone(), |it| like.cast(it))
        }
        "Clip" => x()?.clip(named.number("x_min", f64::NEG_INFINITY), named.number("x_max", f64::INFINITY)),
        "Pad" => pad(&x()?, named)?,
        "Einsum" => {
            let equation = named.config.get("subscripts").and_then(Value::as_str).unwrap_or_default();
            let operands = tensors(arguments)?;
            einsum(equation, &operands.iter().collect::<Vec<_>>())
        }
        "Argmax" | "Argmin" => {
            let (x, axis) = (x()?, need("axis")?[0]);
            let found = if class == "Argmax" { x.argmax(axis) } else { x.argmin(axis) };
            if named.flag("keepdims") { found.expand_dims(axis) } else { found }
        }
        "Average" => match named.get("weights") {
            Argument::Nothing => reduction("Mean", &x()?, named).expect("the mean is one"),
            _ => return Err("weights of an average are not supported".to_string()),
        },
        "Normalize" => {
            let axis = need("axis")?;
            if named.number("order", 2.0) != 2.0 {
                return Err("only the norm of order 2 is supported".to_string());
            }
            let x = x()?;
            let norm = x.square().sum_keepdims(&axis).maximum(named.number("epsilon", 1e-7).powi(2));
            &x * norm.rsqrt()
        }
        "GetItem" => get_item(&x()?, arguments.get(1).unwrap_or(&Argument::Nothing))?,
        _ => {
            let simple = match arguments {
                [_, _, ..] => {
                    let (left, right) = sides(arguments)?;
                    binary(class, &left, &right)
                }
                _ => {
                    let x = x()?;
                    unary(class, &x, named).or_else(|| reduction(class, &x, named))
                }
            };
            simple.ok_or_else(|| "this operator is not known".to_string())?
        }
    };
    Ok(vec![one])
}

fn split(x: &Tensor, named: &Named<'_>) -> Result<Vec<Tensor>, String> {
    let axis = named.axis("axis", 0);
    let dims = x.shape().map_err(|error| error.rule().to_string())?;
    let place = rushlight_core::tensor::normalize_axis(axis, dims.len()).ok_or("there is no such axis")?;
    let size = dims[place];
    let sizes: Vec<usize> = match named.get("indices_or_sections") {
        Argument::Number(parts) if parts >= 1.0 && size % parts as usize == 0 => {
            vec![size / parts as usize; parts as usize]
        }
        Argument::List(_) => {
            let mut ends = named.integers("indices_or_sections").ok_or("the places must be whole numbers")?;
            ends.push(size as isize);
            let mut start = 0;
            let mut sizes = Vec::new();
            for end in ends {
                sizes.push(usize::try_from(end - start).map_err(|_| "the places must rise")?);
                start = end;
            }
            sizes
        }
        _ => return Err(format!("an axis of {size} cannot be divided so")),
    };
    Ok(x.split(&sizes, axis))
}

fn pad(x: &Tensor, named: &Named<'_>) -> Result<Tensor, String> {
    if named.config.get("mode").and_then(Value::as_str).unwrap_or("constant") != "constant" {
        return Err("only padding with a constant is supported".to_string());
    }
    let Argument::List(pairs) = named.get("pad_width") else {
        return Err("`pad_width` must be pairs of numbers".to_string());
    };
    let pair = |pair: &Argument| match pair {
        Argument::List(items) => match items.as_slice() {
            [Argument::Number(before), Argument::Number(after)] => Some((*before as usize, *after as usize)),
            _ => None,
        },
        _ => None,
    };
    let pairs: Option<Vec<(usize, usize)>> = pairs.iter().map(pair).collect();
    Ok(x.pad_with(
        &pairs.ok_or("`pad_width` must be pairs of numbers")?,
        named.number("constant_values", 0.0),
    ))
}

fn get_item(x: &Tensor, key: &Argument) -> Result<Tensor, String> {
    let keys = match key {
        Argument::List(keys) => keys.as_slice(),
        key => std::slice::from_ref(key),
    };
    let dims = x.shape().map_err(|error| error.rule().to_string())?;
    let taken = keys.iter().filter(|key| matches!(key, Argument::Number(_) | Argument::Slice(_))).count();
    let mut axis = 0;
    let mut parts = Vec::new();
    for key in keys {
        parts.push(match key {
            Argument::Number(index) => Index::At(*index as isize),
            Argument::Slice([None, None, None | Some(1)]) => (..).index(),
            Argument::Slice([start, stop, step]) => {
                let size = *dims.get(axis).ok_or("there are more indices than axes")? as i64;
                if is_open(size as usize) {
                    return Err("the batch cannot be sliced".to_string());
                }
                // Python cuts off what lies outside.
                let place = |place: i64| if place < 0 { (place + size).max(0) } else { place.min(size) };
                let range = place(start.unwrap_or(0))..place(stop.unwrap_or(size));
                match step.unwrap_or(1) {
                    step if step > 0 => strided(range, step as isize),
                    -1 if start.is_none() && stop.is_none() => strided(.., -1),
                    step => return Err(format!("a slice with a step of {step} is not supported")),
                }
            }
            Argument::Ellipsis => {
                axis = dims.len().saturating_sub(taken.saturating_sub(axis));
                parts.push(Index::Ellipsis);
                continue;
            }
            Argument::Nothing => {
                parts.push(Index::NewAxis);
                continue;
            }
            other => return Err(format!("an index {other:?} is not supported")),
        });
        axis += 1;
    }
    Ok(x.i(parts))
}
