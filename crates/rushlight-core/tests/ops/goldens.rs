//! The ops against values that NumPy, SciPy, PyTorch and Keras gave; see `tests/goldens/README.md`.

use rushlight_core::{
    ConvOptions, DType, Padding, PoolOptions, Tape, Tensor, binary_crossentropy, categorical_crossentropy,
    concat, einsum, sparse_categorical_crossentropy, stack, where_,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;

struct Goldens {
    bytes: Vec<u8>,
    cases: Vec<Value>,
}

fn load() -> Goldens {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");
    let bytes = std::fs::read(format!("{folder}/ops.safetensors")).unwrap();
    let index = std::fs::read_to_string(format!("{folder}/ops.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    Goldens { bytes, cases: index["cases"].as_array().unwrap().clone() }
}

/// A stored tensor.
fn read(tensors: &SafeTensors, name: &str) -> Tensor {
    let view = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (bytes, dims) = (view.data(), view.shape());
    macro_rules! elements {
        ($type:ty) => {{
            let chunks = bytes.chunks_exact(size_of::<$type>());
            let elements: Vec<$type> =
                chunks.map(|chunk| <$type>::from_le_bytes(chunk.try_into().unwrap())).collect();
            Tensor::new(&elements, dims)
        }};
    }
    match view.dtype() {
        Dtype::F32 => elements!(f32),
        Dtype::F64 => elements!(f64),
        Dtype::F16 => elements!(half::f16),
        Dtype::BF16 => elements!(half::bf16),
        Dtype::I32 => elements!(i32),
        Dtype::I64 => elements!(i64),
        Dtype::U8 => elements!(u8),
        Dtype::BOOL => Tensor::new(&bytes.iter().map(|&byte| byte != 0).collect::<Vec<bool>>(), dims),
        other => panic!("{name} is of dtype {other:?}"),
    }
}

/// The attributes of a case, read as what the op wants.
struct Attributes<'a>(&'a Value);

impl Attributes<'_> {
    fn number(&self, name: &str) -> f64 {
        match &self.0[name] {
            Value::String(text) => text.parse().unwrap(),
            Value::Bool(value) => f64::from(u8::from(*value)),
            value => value.as_f64().unwrap_or_else(|| panic!("no number `{name}` in {}", self.0)),
        }
    }

    fn axis(&self) -> isize {
        self.number("axis") as isize
    }

    fn size(&self, name: &str) -> usize {
        self.number(name) as usize
    }

    fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("no flag `{name}` in {}", self.0))
    }

    fn list(&self, name: &str) -> Vec<isize> {
        let list = self.0[name].as_array().unwrap_or_else(|| panic!("no list `{name}` in {}", self.0));
        list.iter().map(|item| item.as_i64().unwrap() as isize).collect()
    }

    fn sizes(&self, name: &str) -> Vec<usize> {
        self.list(name).into_iter().map(|size| size as usize).collect()
    }

    fn pairs(&self, name: &str) -> Vec<(usize, usize)> {
        let list = self.0[name].as_array().unwrap().iter();
        list.map(|pair| (pair[0].as_u64().unwrap() as usize, pair[1].as_u64().unwrap() as usize)).collect()
    }

    fn dtype(&self) -> DType {
        DType::from_name(self.0["dtype"].as_str().unwrap()).unwrap()
    }

    /// The axes to reduce; missing ones mean all.
    fn axes(&self, x: &Tensor) -> Vec<isize> {
        match &self.0["axes"] {
            Value::Null => (0..x.rank().unwrap() as isize).collect(),
            _ => self.list("axes"),
        }
    }

    fn padding(&self) -> Padding {
        match self.0["padding"].as_str() {
            Some("same") => Padding::Same,
            Some("valid") => Padding::Valid,
            Some(other) => panic!("padding {other}"),
            None => Padding::Explicit(self.pairs("padding")),
        }
    }

    fn convolution(&self) -> ConvOptions {
        let options = ConvOptions::new()
            .strides(self.sizes("strides"))
            .dilations(self.sizes("dilations"))
            .padding(self.padding());
        let options = match &self.0["groups"] {
            Value::Null => options,
            groups => options.groups(groups.as_u64().unwrap() as usize),
        };
        match &self.0["output_padding"] {
            Value::Null => options,
            _ => options.output_padding(self.sizes("output_padding")),
        }
    }

    fn pooling(&self) -> PoolOptions {
        PoolOptions::new(self.sizes("size")).strides(self.sizes("strides")).padding(self.padding())
    }
}

/// The reduction with or without keeping the axes.
macro_rules! reduced {
    ($x:expr, $a:expr, $op:ident, $keep:ident) => {{
        let axes = $a.axes($x);
        if $a.flag("keepdims") { $x.$keep(&axes) } else { $x.$op(&axes) }
    }};
}

/// One of three methods, by the number of spatial axes.
macro_rules! ranked {
    ($a:expr, $x:expr, [$one:ident $two:ident $three:ident]($($argument:expr),*)) => {
        match $a.size("rank") {
            1 => $x.$one($($argument),*),
            2 => $x.$two($($argument),*),
            _ => $x.$three($($argument),*),
        }
    };
}

/// The public op of that name on the inputs, or nothing if there is none.
fn call(op: &str, a: &Attributes, x: &[Tensor]) -> Option<Vec<Tensor>> {
    let all: Vec<&Tensor> = x.iter().collect();
    let one = match op {
        "neg" => -&x[0],
        "abs" => x[0].abs(),
        "exp" => x[0].exp(),
        "expm1" => x[0].expm1(),
        "log" => x[0].log(),
        "log1p" => x[0].log1p(),
        "sqrt" => x[0].sqrt(),
        "rsqrt" => x[0].rsqrt(),
        "reciprocal" => x[0].reciprocal(),
        "square" => x[0].square(),
        "sin" => x[0].sin(),
        "cos" => x[0].cos(),
        "tan" => x[0].tan(),
        "asin" => x[0].asin(),
        "acos" => x[0].acos(),
        "atan" => x[0].atan(),
        "sinh" => x[0].sinh(),
        "cosh" => x[0].cosh(),
        "asinh" => x[0].asinh(),
        "acosh" => x[0].acosh(),
        "atanh" => x[0].atanh(),
        "tanh" => x[0].tanh(),
        "sigmoid" => x[0].sigmoid(),
        "erf" => x[0].erf(),
        "erfinv" => x[0].erfinv(),
        "relu" => x[0].relu(),
        "silu" => x[0].silu(),
        "softplus" => x[0].softplus(),
        "gelu" if a.flag("approximate") => x[0].gelu_tanh(),
        "gelu" => x[0].gelu(),
        "elu" => x[0].elu(a.number("alpha")),
        "celu" => x[0].celu(a.number("alpha")),
        "selu" => x[0].selu(),
        "leaky_relu" => x[0].leaky_relu(a.number("negative_slope")),
        "relu6" => x[0].relu6(),
        "hard_sigmoid" => x[0].hard_sigmoid(),
        "hard_silu" => x[0].hard_silu(),
        "hard_tanh" => x[0].hard_tanh(),
        "mish" => x[0].mish(),
        "softsign" => x[0].softsign(),
        "tanh_shrink" => x[0].tanh_shrink(),
        "log_sigmoid" => x[0].log_sigmoid(),
        "sign" => x[0].sign(),
        "logical_not" => !&x[0],
        "isnan" => x[0].is_nan(),
        "isinf" => x[0].is_inf(),
        "isfinite" => x[0].is_finite(),
        "floor" => x[0].floor(),
        "ceil" => x[0].ceil(),
        "round" => x[0].round(),
        "trunc" => x[0].trunc(),
        "add" => &x[0] + &x[1],
        "sub" => &x[0] - &x[1],
        "mul" => &x[0] * &x[1],
        "div" => &x[0] / &x[1],
        "rem" => &x[0] % &x[1],
        "pow" => x[0].pow(&x[1]),
        "atan2" => x[0].atan2(&x[1]),
        "maximum" => x[0].maximum(&x[1]),
        "minimum" => x[0].minimum(&x[1]),
        "floor_divide" => x[0].floor_div(&x[1]),
        "bitwise_and" | "logical_and" => &x[0] & &x[1],
        "bitwise_or" | "logical_or" => &x[0] | &x[1],
        "bitwise_xor" | "logical_xor" => &x[0] ^ &x[1],
        "equal" => x[0].equal(&x[1]),
        "not_equal" => x[0].not_equal(&x[1]),
        "less" => x[0].less(&x[1]),
        "less_equal" => x[0].less_equal(&x[1]),
        "greater" => x[0].greater(&x[1]),
        "greater_equal" => x[0].greater_equal(&x[1]),
        "where" => where_(&x[0], &x[1], &x[2]),
        "cast" => x[0].cast(a.dtype()),
        "sum" => reduced!(&x[0], a, sum, sum_keepdims),
        "mean" => reduced!(&x[0], a, mean, mean_keepdims),
        "prod" => reduced!(&x[0], a, prod, prod_keepdims),
        "max" => reduced!(&x[0], a, max, max_keepdims),
        "min" => reduced!(&x[0], a, min, min_keepdims),
        "any" => reduced!(&x[0], a, any, any_keepdims),
        "all" => reduced!(&x[0], a, all, all_keepdims),
        "var" => reduced!(&x[0], a, variance, variance_keepdims),
        "std" => reduced!(&x[0], a, std, std_keepdims),
        "logsumexp" => reduced!(&x[0], a, logsumexp, logsumexp_keepdims),
        "argmax" | "argmin" => {
            let places = if op == "argmax" { x[0].argmax(a.axis()) } else { x[0].argmin(a.axis()) };
            // The axis that went is put back at its old place, counted in the input's axes.
            let rank = x[0].rank().unwrap() as isize;
            if a.flag("keepdims") { places.expand_dims(a.axis().rem_euclid(rank)) } else { places }
        }
        "cumsum" | "cumprod" => {
            x[0].cumulative(a.axis(), op == "cumprod", a.flag("reverse"), a.flag("exclusive"))
        }
        "matmul" => x[0].matmul(&x[1]),
        "einsum" => einsum(a.0["equation"].as_str().unwrap(), &all),
        "tensordot" => {
            let axes = a.0["axes"].as_array().unwrap();
            let side = |list: &Value| -> Vec<isize> {
                list.as_array().unwrap().iter().map(|axis| axis.as_i64().unwrap() as isize).collect()
            };
            x[0].tensordot(&x[1], &side(&axes[0]), &side(&axes[1]))
        }
        "conv" => ranked!(a, x[0], [conv1d conv2d conv3d](&x[1], &a.convolution())),
        "depthwise_conv" if a.size("rank") == 1 => x[0].depthwise_conv1d(&x[1], &a.convolution()),
        "depthwise_conv" => x[0].depthwise_conv2d(&x[1], &a.convolution()),
        "conv_transpose" => {
            ranked!(a, x[0], [conv1d_transpose conv2d_transpose conv3d_transpose](&x[1], &a.convolution()))
        }
        "max_pool" => ranked!(a, x[0], [max_pool1d max_pool2d max_pool3d](&a.pooling())),
        "average_pool" => ranked!(a, x[0], [average_pool1d average_pool2d average_pool3d](&a.pooling())),
        "global_average_pool" | "global_max_pool" => {
            let pooled = if op == "global_max_pool" {
                ranked!(a, x[0], [global_max_pool1d global_max_pool2d global_max_pool3d]())
            } else {
                ranked!(a, x[0], [global_average_pool1d global_average_pool2d global_average_pool3d]())
            };
            let kept = (0..a.size("rank")).fold(pooled.clone(), |kept, _| kept.expand_dims(1));
            if a.flag("keepdims") { kept } else { pooled }
        }
        "reshape" => x[0].reshape(a.list("shape")),
        "transpose" => x[0].transpose(a.list("permutation")),
        "broadcast_to" => x[0].broadcast_to(&a.sizes("shape")),
        "expand_dims" => x[0].expand_dims(a.axis()),
        "squeeze" => {
            let dims = x[0].shape().unwrap().to_vec();
            let axes = match &a.0["axes"] {
                Value::Null => {
                    (0..dims.len()).filter(|&axis| dims[axis] == 1).map(|axis| axis as isize).collect()
                }
                _ => a.list("axes"),
            };
            let mut axes: Vec<isize> = axes.iter().map(|axis| axis.rem_euclid(dims.len() as isize)).collect();
            axes.sort_unstable();
            axes.iter().rev().fold(x[0].clone(), |squeezed, &axis| squeezed.squeeze(axis))
        }
        "slice" => x[0].slice_with(&a.sizes("start"), &a.sizes("stop"), &a.sizes("step")),
        "flip" => x[0].flip(a.list("axes")),
        "roll" => x[0].roll(a.number("shift") as isize, a.axis()),
        "tril" => x[0].tril(a.number("diagonal") as isize),
        "triu" => x[0].triu(a.number("diagonal") as isize),
        "pad" => x[0].pad_with(&a.pairs("padding"), a.number("value")),
        "concat" => concat(&all, a.axis()),
        "stack" => stack(&all, a.axis()),
        "split" => return Some(x[0].split(&a.sizes("sizes"), a.axis())),
        "tile" => x[0].tile(&a.sizes("repeats")),
        "repeat" => x[0].repeat(a.size("repeats"), a.axis()),
        "take" => x[0].take(&x[1], a.axis()),
        "take_add" => x[0].take_add(&x[1], &x[2], a.axis()),
        "take_along_axis" => x[0].take_along_axis(&x[1], a.axis()),
        "scatter_add" => x[0].scatter_add(&x[1], &x[2], a.axis()),
        "scatter_set" => x[0].scatter(&x[1], &x[2], a.axis()),
        "one_hot" => x[0].one_hot(a.size("classes"), a.dtype()).move_axis(-1, a.axis()),
        "sort" if a.flag("descending") => x[0].sort_descending(a.axis()),
        "sort" => x[0].sort(a.axis()),
        "argsort" if a.flag("descending") => x[0].argsort_descending(a.axis()),
        "argsort" => x[0].argsort(a.axis()),
        "top_k" => {
            let (values, places) = x[0].top_k(a.size("k"));
            return Some(vec![values, places]);
        }
        "arange" => Tensor::range(a.number("start"), a.number("stop"), a.number("step"), a.dtype()),
        "softmax" => x[0].softmax(a.axis()),
        "log_softmax" => x[0].log_softmax(a.axis()),
        "sparse_categorical_crossentropy" => sparse_categorical_crossentropy(&x[0], &x[1]),
        "categorical_crossentropy" => categorical_crossentropy(&x[0], &x[1]),
        "binary_crossentropy" => binary_crossentropy(&x[0], &x[1]),
        "batch_normalization" if a.flag("training") => {
            let (y, mean, variance) =
                x[0].batch_normalization(Some(&x[1]), Some(&x[2]), a.axis(), a.number("epsilon"));
            return Some(vec![y, mean, variance]);
        }
        "batch_normalization" => x[0].batch_normalization_with(
            Some(&x[1]),
            Some(&x[2]),
            &x[3],
            &x[4],
            a.axis(),
            a.number("epsilon"),
        ),
        "layer_normalization" => {
            x[0].layer_normalization(Some(&x[1]), Some(&x[2]), &a.list("axes"), a.number("epsilon"))
        }
        _ => return None,
    };
    Some(vec![one])
}

/// The numbers that decide whether two tensors are equal.
struct Rule {
    tolerance: f64,
    scale: Option<f64>,
}

/// Compares element by element; what differs, in words.
fn differs(got: &Tensor, want: &Tensor, rule: &Rule) -> Option<String> {
    if got.shape().unwrap() != want.shape().unwrap() {
        return Some(format!("{:?} instead of {:?}", got.shape().unwrap(), want.shape().unwrap()));
    }
    let is_float = want.dtype().unwrap().is_float();
    let (got, want) =
        (got.cast(DType::F64).to_vec::<f64>().unwrap(), want.cast(DType::F64).to_vec::<f64>().unwrap());
    let largest = want.iter().filter(|x| x.is_finite()).fold(0.0f64, |scale, x| scale.max(x.abs()));
    let scale = rule.scale.unwrap_or(largest);
    let wrong = got.iter().zip(&want).position(|(got, want)| {
        let equal = got == want || (got.is_nan() && want.is_nan());
        let near =
            is_float && want.is_finite() && (got - want).abs() <= rule.tolerance * want.abs().max(scale);
        !equal && !near
    })?;
    Some(format!("element {wrong}: {} instead of {}", got[wrong], want[wrong]))
}

#[derive(Default)]
struct Counts {
    cases: usize,
    outputs: usize,
    gradients: usize,
    failures: Vec<String>,
}

/// Runs one case with floats as stored, or as `f64`.
fn run(case: &Value, tensors: &SafeTensors, double: bool, counts: &mut Counts) {
    let name = case["name"].as_str().unwrap();
    let load = |names: &Value| -> Vec<Option<Tensor>> {
        let names = names.as_array().unwrap().iter();
        names.map(|name| name.as_str().map(|name| read(tensors, name))).collect()
    };
    let widened = |tensor: Tensor| match double && tensor.dtype().unwrap() == DType::F32 {
        true => tensor.cast(DType::F64),
        false => tensor,
    };
    let inputs: Vec<Tensor> = load(&case["inputs"]).into_iter().flatten().map(widened).collect();
    let (op, attributes) = (case["op"].as_str().unwrap(), Attributes(&case["attributes"]));
    let tape = Tape::new();
    inputs.iter().for_each(|input| tape.watch(input));
    let Some(outputs) = call(op, &attributes, &inputs) else {
        counts.failures.push(format!("{name}: there is no public op `{op}`"));
        return;
    };
    let number = |key: &str| case[key].as_f64();
    let tolerance = number(if double { "tolerance_float64" } else { "tolerance" }).unwrap();
    let what = if double { "f64" } else { "as stored" };
    let wanted = load(&case["outputs"]);
    let stored = case["floats"] == "stored";
    counts.cases += 1;
    if outputs.len() != wanted.len() {
        counts.failures.push(format!("{name}: {} results instead of {}", outputs.len(), wanted.len()));
        return;
    }
    let rule = Rule { tolerance, scale: number("scale") };
    for (index, (got, want)) in outputs.iter().zip(wanted.iter().flatten()).enumerate() {
        if let Err(error) = got.check() {
            counts.failures.push(format!("{name} ({what}): {error}"));
            return;
        }
        let (dtype, expected) = (got.dtype().unwrap(), want.dtype().unwrap());
        let fits = match expected == DType::F64 && !stored {
            true => dtype == if double { DType::F64 } else { DType::F32 },
            false => dtype == expected,
        };
        if !fits {
            counts.failures.push(format!("{name} ({what}): dtype {dtype}, stored {expected}"));
        }
        if let Some(difference) = differs(got, want, &rule) {
            counts.failures.push(format!("{name} ({what}), output {index}, {difference}"));
        }
        counts.outputs += 1;
    }
    // The gradients of the sum of all outputs times their cotangents.
    let gradients = load(&case["gradients"]);
    let mut total: Option<Tensor> = None;
    for (output, cotangent) in outputs.iter().zip(load(&case["cotangents"])) {
        let Some(cotangent) = cotangent.map(widened) else { continue };
        let part = (output * cotangent).sum(..);
        total = Some(total.map_or(part.clone(), |total| total + part));
    }
    let Some(total) = total else { return };
    let sources: Vec<&Tensor> = inputs.iter().collect();
    let got = match tape.gradient(&total, &sources) {
        Ok(got) => got,
        Err(error) => return counts.failures.push(format!("{name} ({what}), gradient: {error}")),
    };
    let rule = Rule { tolerance, scale: number("gradient_scale") };
    for (index, (got, want)) in got.iter().zip(&gradients).enumerate() {
        let Some(want) = want else { continue };
        if let Some(difference) = differs(got, want, &rule) {
            counts.failures.push(format!("{name} ({what}), gradient of input {index}, {difference}"));
        }
        counts.gradients += 1;
    }
}

#[test]
fn ops_give_the_stored_values() {
    let goldens = load();
    let tensors = SafeTensors::deserialize(&goldens.bytes).unwrap();
    let mut counts = Counts::default();
    let mut ops: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &goldens.cases {
        *ops.entry(case["op"].as_str().unwrap()).or_default() += 1;
        run(case, &tensors, false, &mut counts);
        if case["floats"] == "both" {
            run(case, &tensors, true, &mut counts);
        }
    }
    println!(
        "goldens: {} ops, {} stored cases, {} runs, {} outputs and {} gradients compared",
        ops.len(),
        goldens.cases.len(),
        counts.cases,
        counts.outputs,
        counts.gradients
    );
    let failures = counts.failures.len();
    let shown: Vec<String> = counts.failures.into_iter().take(60).collect();
    assert!(failures == 0, "{failures} differences:\n{}", shown.join("\n"));
}
