//! ONNX's operators as layers and ops: a model that can be trained on.

use super::parse::{Attribute, Graph, Node, file, wrong};
use crate::layers::{
    BatchNormalization, Conv1d, Conv2d, Dense, Layer, LayerState, Permute, ReLU, ZeroPadding1d,
    ZeroPadding2d, with_zero_weights,
};
use crate::models::{Input, Model};
use rushlight_core::{DType, Error, Padding, PoolOptions, Result, Tensor, Variable, concat, eagerly, where_};
use std::collections::{BTreeMap, HashMap};

/// The operators that are understood.
const KNOWN: [&str; 55] = [
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Cos",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "Less",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Pad",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Sin",
    "Slice",
    "Softmax",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// The model in an ONNX file: its first axis is the batch.
///
/// # Errors
/// If the file is damaged, has operators that are not understood (all are named, with their nodes), or calls them in a
/// way that is not.
pub(crate) fn read(bytes: &[u8]) -> Result<Model> {
    let graph = file(bytes)?;
    let mut unknown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| !KNOWN.contains(&node.kind.as_str())) {
        unknown.entry(&node.kind).or_default().push(&node.name);
    }
    if !unknown.is_empty() {
        let kinds: Vec<String> =
            unknown.iter().map(|(kind, names)| format!("{kind} ({})", names.join(", "))).collect();
        return Err(wrong(format!("these operators are not supported: {}", kinds.join("; "))));
    }
    let elements = graph.constants.values().filter_map(|constant| constant.count().ok()).sum();
    with_zero_weights(elements, || build(&graph))
}

fn build(graph: &Graph) -> Result<Model> {
    let mut values: HashMap<&str, Tensor> = HashMap::new();
    let mut inputs = Vec::new();
    for input in &graph.inputs {
        let sizes: Option<Vec<usize>> = input.dims.iter().skip(1).copied().collect();
        let Some(sizes) = sizes.filter(|_| !input.dims.is_empty()) else {
            return Err(wrong(format!(
                "the input `{}` must have sizes for all axes but the batch",
                input.name
            )));
        };
        let made = Input::new(sizes).dtype(input.dtype).named(&input.name);
        values.insert(&input.name, made.clone());
        inputs.push(made);
    }
    values.extend(graph.constants.iter().map(|(name, constant)| (name.as_str(), constant.clone())));
    for (index, node) in graph.nodes.iter().enumerate() {
        let name = if node.name.is_empty() { format!("{}_{index}", node.kind) } else { node.name.clone() };
        let failed = |rule: &str| wrong(format!("{} `{name}`: {rule}", node.kind));
        let mut arguments = Vec::new();
        for input in &node.inputs {
            arguments.push(match input.as_str() {
                "" => None,
                input => Some(
                    values.get(input).cloned().ok_or_else(|| failed(&format!("there is no `{input}`")))?,
                ),
            });
        }
        let call = Call { node, name: name.replace(['/', '.', ':'], "_"), arguments };
        let result = call.run().map_err(|rule| failed(&rule))?;
        result.check().map_err(|error: Error| failed(error.rule()))?;
        let output = node.outputs.first().ok_or_else(|| failed("it has no output"))?;
        values.insert(output, result);
    }
    let outputs = graph.outputs.iter().map(|name| {
        values.get(name.as_str()).ok_or_else(|| wrong(format!("no node gives the output `{name}`")))
    });
    let outputs = outputs.collect::<Result<Vec<&Tensor>>>()?;
    let inputs: Vec<&Tensor> = inputs.iter().map(|input| &**input).collect();
    let model = Model::new(inputs.as_slice(), outputs.as_slice())?;
    Ok(if graph.name.is_empty() { model } else { model.named(graph.name.replace('/', "_")) })
}

struct Call<'a> {
    node: &'a Node,
    name: String,
    arguments: Vec<Option<Tensor>>,
}

type Made<T> = std::result::Result<T, String>;

fn rule(error: Error) -> String {
    error.rule().to_string()
}

impl Call<'_> {
    fn input(&self, index: usize) -> Made<&Tensor> {
        self.optional(index).ok_or_else(|| format!("input {index} is missing"))
    }

    fn optional(&self, index: usize) -> Option<&Tensor> {
        self.arguments.get(index).and_then(Option::as_ref)
    }

    /// An input that must be known beforehand.
    fn known(&self, index: usize) -> Made<&Tensor> {
        let input = self.input(index)?;
        match input.is_symbolic() {
            true => Err(format!("input {index} must be a constant")),
            false => Ok(input),
        }
    }

    fn known_integers(&self, index: usize) -> Made<Vec<i64>> {
        self.known(index)?.cast(DType::I64).to_vec::<i64>().map_err(rule)
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.node.attributes.get(name)
    }

    fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.integer).unwrap_or(default)
    }

    fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).and_then(|attribute| attribute.float).map_or(default, f64::from)
    }

    fn sizes(&self, name: &str, default: &[usize]) -> Made<Vec<usize>> {
        match self.attribute(name) {
            None => Ok(default.to_vec()),
            Some(attribute) => {
                let sizes = attribute.integers.iter().map(|&size| usize::try_from(size).ok());
                sizes.collect::<Option<Vec<usize>>>().ok_or_else(|| format!("`{name}` must not be negative"))
            }
        }
    }

    /// Axes from an input, or from an attribute in older files.
    fn axes(&self, index: usize) -> Made<Option<Vec<isize>>> {
        let axes = match (self.optional(index), self.attribute("axes")) {
            (Some(_), _) => self.known_integers(index)?,
            (None, Some(attribute)) => attribute.integers.clone(),
            (None, None) => return Ok(None),
        };
        Ok(Some(axes.into_iter().map(|axis| axis as isize).collect()))
    }

    fn run(&self) -> Made<Tensor> {
        let x = || self.input(0);
        let both = || Ok::<_, String>((self.input(0)?, self.input(1)?));
        let all = || (0..self.arguments.len()).map(|index| self.input(index)).collect::<Made<Vec<&Tensor>>>();
        let axis = |default: i64| self.integer("axis", default) as isize;
        Ok(match self.node.kind.as_str() {
            "Identity" | "Dropout" => x()?.clone(),
            "Constant" => self.constant()?,
            "Abs" => x()?.abs(),
            "Neg" => x().map(|x| -x)?,
            "Exp" => x()?.exp(),
            "Log" => x()?.log(),
            "Sqrt" => x()?.sqrt(),
            "Reciprocal" => x()?.reciprocal(),
            "Sin" => x()?.sin(),
            "Cos" => x()?.cos(),
            "Erf" => x()?.erf(),
            "Tanh" => x()?.tanh(),
            "Sigmoid" => x()?.sigmoid(),
            "Not" => x()?.logical_not(),
            "Relu" => ReLU::new().named(&*self.name).call(x()?),
            "LeakyRelu" => x()?.leaky_relu(self.float("alpha", 0.01)),
            "Elu" => x()?.elu(self.float("alpha", 1.0)),
            "HardSigmoid" => (x()? * self.float("alpha", 0.2) + self.float("beta", 0.5)).clip(0.0, 1.0),
            "Softmax" => x()?.softmax(axis(-1)),
            "LogSoftmax" => x()?.log_softmax(axis(-1)),
            "Clip" => self.clip()?,
            "Add" => both().map(|(a, b)| a + b)?,
            "Sub" => both().map(|(a, b)| a - b)?,
            "Mul" => both().map(|(a, b)| a * b)?,
            "Div" => both().map(|(a, b)| a / b)?,
            "Pow" => {
                let (a, b) = both()?;
                a.pow(b.cast(a.dtype().map_err(rule)?))
            }
            "Equal" => both().map(|(a, b)| a.equal(b))?,
            "Less" => both().map(|(a, b)| a.less(b))?,
            "Greater" => both().map(|(a, b)| a.greater(b))?,
            "Where" => where_(x()?, self.input(1)?, self.input(2)?),
            "Max" => all()?.into_iter().cloned().reduce(|a, b| a.maximum(&b)).ok_or("there is no input")?,
            "Min" => all()?.into_iter().cloned().reduce(|a, b| a.minimum(&b)).ok_or("there is no input")?,
            "Concat" => concat(&all()?, axis(0)),
            "Cast" => {
                let kind = self.integer("to", 0);
                let dtypes =
                    [DType::F32, DType::F64, DType::F16, DType::I32, DType::I64, DType::U8, DType::Bool];
                let dtype = dtypes.into_iter().find(|dtype| super::message::element_type(*dtype) == kind);
                x()?.cast(dtype.ok_or_else(|| format!("element type {kind} is not supported"))?)
            }
            "Flatten" => match self.integer("axis", 1) {
                1 => {
                    let dims = x()?.shape().map_err(rule)?;
                    x()?.reshape([-1, dims[1..].iter().product::<usize>() as isize])
                }
                other => return Err(format!("only from axis 1 on, not {other}")),
            },
            "Reshape" => self.reshape()?,
            "Expand" => self.expand()?,
            "Transpose" => {
                let reversed =
                    || (0..x().and_then(|x| x.rank().map_err(rule)).unwrap_or(0) as i64).rev().collect();
                let axes =
                    self.attribute("perm").map_or_else(reversed, |attribute| attribute.integers.clone());
                x()?.transpose(axes.into_iter().map(|axis| axis as isize).collect::<Vec<isize>>())
            }
            "Squeeze" => {
                let axes = self.axes(1)?.ok_or("the axes are missing")?;
                sorted(&axes, x()?.rank().map_err(rule)?)
                    .iter()
                    .rev()
                    .fold(x()?.clone(), |x, &axis| x.squeeze(axis))
            }
            "Unsqueeze" => {
                let axes = self.axes(1)?.ok_or("the axes are missing")?;
                let rank = x()?.rank().map_err(rule)? + axes.len();
                sorted(&axes, rank).iter().fold(x()?.clone(), |x, &axis| x.expand_dims(axis))
            }
            "Gather" => x()?.take(&self.input(1)?.cast(DType::I64), axis(0)),
            "Slice" => self.slice()?,
            "Pad" => self.pad()?,
            "ReduceMean" | "ReduceSum" | "ReduceMax" => self.reduce()?,
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let axes: Vec<isize> = (2..x()?.rank().map_err(rule)? as isize).collect();
                match self.node.kind.as_str() {
                    "GlobalMaxPool" => x()?.max_keepdims(&axes),
                    _ => x()?.mean_keepdims(&axes),
                }
            }
            "MatMul" => self.product()?,
            "Gemm" => self.gemm()?,
            "BatchNormalization" => self.normalization()?,
            "Conv" => self.convolution()?,
            "MaxPool" | "AveragePool" => self.pooling()?,
            other => return Err(format!("`{other}` is not supported")),
        })
    }

    fn constant(&self) -> Made<Tensor> {
        let attribute = |name: &str| self.attribute(name);
        if let Some(tensor) = attribute("value").and_then(|attribute| attribute.tensor.clone()) {
            return Ok(tensor);
        }
        if let Some(number) = attribute("value_float").and_then(|attribute| attribute.float) {
            return Ok(Tensor::scalar(number));
        }
        if let Some(number) = attribute("value_int").and_then(|attribute| attribute.integer) {
            return Ok(Tensor::scalar(number));
        }
        match attribute("value_ints") {
            Some(attribute) => Ok(Tensor::new(&attribute.integers, [attribute.integers.len()])),
            None => Err("there is no value in it".to_string()),
        }
    }

    fn clip(&self) -> Made<Tensor> {
        let bound = |index: usize, name: &str, none: f64| match self.optional(index) {
            Some(_) => self.known(index)?.to_f64().map_err(rule),
            None => Ok(self.float(name, none)),
        };
        let (low, high) = (bound(1, "min", f64::NEG_INFINITY)?, bound(2, "max", f64::INFINITY)?);
        Ok(self.input(0)?.clip(low, high))
    }

    fn reshape(&self) -> Made<Tensor> {
        let x = self.input(0)?;
        let from = x.shape().map_err(rule)?;
        let mut dims: Vec<isize> = self.known_integers(1)?.into_iter().map(|dim| dim as isize).collect();
        let keeps_zeros = self.integer("allowzero", 0) == 1;
        for (axis, dim) in dims.iter_mut().enumerate() {
            if *dim == 0 && !keeps_zeros {
                let kept = *from.get(axis).ok_or("a size of 0 stands for an axis that there is not")?;
                *dim = if rushlight_core::tensor::is_open(kept) { -1 } else { kept as isize };
            }
        }
        // A batch that was fixed when the file was made is open here.
        if x.is_of_model() && !dims.contains(&-1) && !dims.is_empty() {
            dims[0] = -1;
        }
        Ok(x.reshape(dims))
    }

    fn expand(&self) -> Made<Tensor> {
        let sizes = self.known_integers(1)?;
        let ones: Vec<usize> = sizes.iter().map(|&size| size.max(0) as usize).collect();
        let x = self.input(0)?;
        Ok(x * Tensor::ones(ones, x.dtype().map_err(rule)?))
    }

    fn slice(&self) -> Made<Tensor> {
        let x = self.input(0)?;
        let (starts, ends) = match self.optional(1) {
            Some(_) => (self.known_integers(1)?, self.known_integers(2)?),
            None => {
                let list =
                    |name: &str| self.attribute(name).map(|it| it.integers.clone()).unwrap_or_default();
                (list("starts"), list("ends"))
            }
        };
        let axes = self.axes(3)?.unwrap_or_else(|| (0..starts.len() as isize).collect());
        let steps = if self.optional(4).is_some() { self.known_integers(4)? } else { vec![1; starts.len()] };
        let mut result = x.clone();
        for (index, axis) in sorted(&axes, x.rank().map_err(rule)?).into_iter().enumerate() {
            let size = x.shape().map_err(rule)?[axis as usize];
            let (Some(&start), Some(&end), Some(&step)) =
                (starts.get(index), ends.get(index), steps.get(index))
            else {
                return Err("starts, ends and steps must be as many as axes".to_string());
            };
            if rushlight_core::tensor::is_open(size) {
                if (start, step) == (0, 1) && end >= i64::from(i32::MAX) {
                    continue;
                }
                return Err("the batch cannot be sliced".to_string());
            }
            let place =
                |place: i64| if place < 0 { (place + size as i64).max(0) } else { place.min(size as i64) };
            let (from, to) = (place(start) as usize, place(end) as usize);
            result = match step {
                1 => result.slice_axis(axis, from, to.max(from)),
                -1 if start == -1 && end < -(size as i64) => result.flip([axis]),
                _ => return Err(format!("a step of {step} is not supported")),
            };
        }
        Ok(result)
    }

    fn pad(&self) -> Made<Tensor> {
        if self.attribute("mode").and_then(|mode| mode.text.clone()).is_some_and(|mode| mode != "constant") {
            return Err("only padding with a constant is supported".to_string());
        }
        let pads = match self.optional(1) {
            Some(_) => self.known_integers(1)?,
            None => self.attribute("pads").map(|it| it.integers.clone()).unwrap_or_default(),
        };
        let (low, high) = pads.split_at(pads.len() / 2);
        if pads.iter().any(|&size| size < 0) {
            return Err("negative padding is not supported".to_string());
        }
        let pairs: Vec<(usize, usize)> =
            low.iter().zip(high).map(|(&low, &high)| (low as usize, high as usize)).collect();
        let value = if self.optional(2).is_some() { self.known(2)?.to_f64().map_err(rule)? } else { 0.0 };
        Ok(self.input(0)?.pad_with(&pairs, value))
    }

    fn reduce(&self) -> Made<Tensor> {
        let x = self.input(0)?;
        let axes = self.axes(1)?.unwrap_or_else(|| (0..x.rank().unwrap_or(0) as isize).collect());
        Ok(match (self.node.kind.as_str(), self.integer("keepdims", 1) != 0) {
            ("ReduceMean", true) => x.mean_keepdims(&axes),
            ("ReduceMean", false) => x.mean(&axes),
            ("ReduceSum", true) => x.sum_keepdims(&axes),
            ("ReduceSum", false) => x.sum(&axes),
            (_, true) => x.max_keepdims(&axes),
            (_, false) => x.max(&axes),
        })
    }

    /// A fully connected layer, its weights from constants.
    fn dense(&self, x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Made<Tensor> {
        let units = kernel.shape().map_err(rule)?[1];
        let layer = Dense::new(units).use_bias(bias.is_some()).named(&*self.name);
        let y = layer.call(x);
        y.check().map_err(rule)?;
        assign(&layer, [Some(kernel), bias].into_iter().flatten())?;
        Ok(y)
    }

    fn product(&self) -> Made<Tensor> {
        let (x, kernel) = (self.input(0)?, self.input(1)?);
        if !kernel.is_symbolic() && kernel.rank().map_err(rule)? == 2 && x.rank().map_err(rule)? >= 2 {
            return self.dense(x, kernel, None);
        }
        Ok(x.matmul(kernel))
    }

    fn gemm(&self) -> Made<Tensor> {
        if self.float("alpha", 1.0) != 1.0 || self.float("beta", 1.0) != 1.0 || self.integer("transA", 0) != 0
        {
            return Err("only alpha = beta = 1 and transA = 0 are supported".to_string());
        }
        let kernel = self.known(1)?;
        let kernel = if self.integer("transB", 0) != 0 { kernel.t() } else { kernel.clone() };
        let bias = if self.optional(2).is_some() { Some(self.known(2)?) } else { None };
        self.dense(self.input(0)?, &kernel, bias)
    }

    fn normalization(&self) -> Made<Tensor> {
        let layer = BatchNormalization::new()
            .axis(1)
            .epsilon(self.float("epsilon", 1e-5))
            .momentum(self.float("momentum", 0.9))
            .named(&*self.name);
        let y = layer.call(self.input(0)?);
        y.check().map_err(rule)?;
        // Scale, shift, mean, variance: the order of the layer's variables.
        assign(&layer, (1..5).map(|index| self.known(index)).collect::<Made<Vec<&Tensor>>>()?)?;
        Ok(y)
    }

    /// Places before and after each spatial axis; nothing if the result is to be as large as the input.
    fn padding(&self, axes: usize) -> Made<Option<Vec<(usize, usize)>>> {
        match self.attribute("auto_pad").and_then(|attribute| attribute.text.as_deref()) {
            Some("SAME_UPPER") => return Ok(None),
            Some("SAME_LOWER") => return Err("`auto_pad` SAME_LOWER is not supported".to_string()),
            _ => {}
        }
        let pads = self.sizes("pads", &vec![0; 2 * axes])?;
        if pads.len() != 2 * axes {
            return Err(format!("`pads` must be {} numbers", 2 * axes));
        }
        Ok(Some((0..axes).map(|axis| (pads[axis], pads[axis + axes])).collect()))
    }

    fn convolution(&self) -> Made<Tensor> {
        let kernel = self.known(1)?;
        let dims = kernel.shape().map_err(rule)?.to_vec();
        let axes = dims.len().saturating_sub(2);
        let (strides, dilations) = (self.sizes("strides", &[1])?, self.sizes("dilations", &[1])?);
        let groups = self.sizes("group", &[])?.first().copied().unwrap_or(self.integer("group", 1) as usize);
        let bias = if self.optional(2).is_some() { Some(self.known(2)?.clone()) } else { None };
        let order: Vec<isize> = (2..dims.len() as isize).chain([1, 0]).collect();
        let weights: Vec<Tensor> = std::iter::once(kernel.transpose(order)).chain(bias.clone()).collect();
        let margins = self.padding(axes)?;
        let pads = margins.as_ref().is_some_and(|margins| margins.iter().any(|&margin| margin != (0, 0)));
        let padding = if margins.is_none() { Padding::Same } else { Padding::Valid };
        let mut x = self.channels_last()?;
        macro_rules! run {
            ($Conv:ty, $Pad:ty, $axes:literal) => {{
                if pads {
                    let margins: [(usize, usize); $axes] =
                        margins.unwrap_or_default().try_into().map_err(|_| "the padding does not fit")?;
                    x = <$Pad>::new(margins).named(format!("{}_pad", self.name)).call(&x);
                }
                let layer = <$Conv>::new(dims[0], &dims[2..])
                    .strides(strides.as_slice())
                    .dilation_rate(dilations.as_slice())
                    .groups(groups)
                    .padding(padding)
                    .use_bias(bias.is_some())
                    .named(&*self.name);
                let y = layer.call(&x);
                y.check().map_err(rule)?;
                assign(&layer, weights.iter())?;
                y
            }};
        }
        let y = match axes {
            1 => run!(Conv1d, ZeroPadding1d, 1),
            2 => run!(Conv2d, ZeroPadding2d, 2),
            _ => return Err(format!("{axes} spatial axes are not supported")),
        };
        Ok(self.channels_first(&y))
    }

    fn pooling(&self) -> Made<Tensor> {
        let x = self.channels_last()?;
        let size = self.sizes("kernel_shape", &[])?;
        let axes = x.rank().map_err(rule)?.saturating_sub(2);
        if axes != 2 || size.len() != 2 {
            return Err(format!("{axes} spatial axes are not supported"));
        }
        if self.integer("ceil_mode", 0) != 0 || self.sizes("dilations", &[1])?.iter().any(|&step| step != 1) {
            return Err("`ceil_mode` and `dilations` are not supported".to_string());
        }
        let margins = self.padding(axes)?;
        let counts_padding = self.integer("count_include_pad", 0) != 0;
        let padding = margins.map_or(Padding::Same, Padding::Explicit);
        let options = PoolOptions::new(size.as_slice()).strides(self.sizes("strides", &[1, 1])?.as_slice());
        let y = match (self.node.kind.as_str(), padding) {
            ("MaxPool", padding) => x.max_pool2d(&options.padding(padding)),
            (_, Padding::Explicit(margins)) if counts_padding => {
                let all: Vec<(usize, usize)> = [(0, 0)].into_iter().chain(margins).chain([(0, 0)]).collect();
                x.pad(&all).average_pool2d(&options)
            }
            (_, padding) => x.average_pool2d(&options.padding(padding)),
        };
        Ok(self.channels_first(&y))
    }

    /// ONNX has the channels first, layers have them last.
    fn channels_last(&self) -> Made<Tensor> {
        let x = self.input(0)?;
        let rank = x.rank().map_err(rule)?;
        let order: Vec<isize> = (2..rank as isize).chain([1]).collect();
        Ok(Permute::new(order).named(format!("{}_last", self.name)).call(x))
    }

    fn channels_first(&self, y: &Tensor) -> Tensor {
        let rank = y.rank().unwrap_or(2);
        let last = rank as isize - 1;
        let order: Vec<isize> = [last].into_iter().chain(1..last).collect();
        Permute::new(order).named(format!("{}_first", self.name)).call(y)
    }
}

/// Axes from 0 on, in rising order.
fn sorted(axes: &[isize], rank: usize) -> Vec<isize> {
    let mut axes: Vec<isize> =
        axes.iter().map(|&axis| if axis < 0 { axis + rank as isize } else { axis }).collect();
    axes.sort_unstable();
    axes
}

/// Gives a layer its weights in their order.
fn assign<'a>(layer: &impl Layer, values: impl IntoIterator<Item = &'a Tensor>) -> Made<()> {
    let variables: Vec<Variable> = LayerState::weights(layer.state());
    let values: Vec<&Tensor> = values.into_iter().collect();
    if variables.len() != values.len() {
        return Err(format!("{} constants came for {} weights", values.len(), variables.len()));
    }
    for (variable, value) in variables.iter().zip(values) {
        let value = value.cast(variable.spec().dtype).reshape_to(&variable.spec().dims);
        eagerly(|| variable.assign(&value)).map_err(rule)?;
    }
    Ok(())
}
