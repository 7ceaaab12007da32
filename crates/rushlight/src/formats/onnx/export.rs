//! The engine's ops as ONNX's operators.

use super::fold::{Folded, Folds};
use super::message::{Attribute, Graph, element_type, node, tensor, value_info};
use crate::layers::in_primitives;
use crate::models::Model;
use rushlight_core::ops::Op;
use rushlight_core::ops::convolution::Convolution;
use rushlight_core::ops::elementwise::{Binary, Compare, Unary};
use rushlight_core::ops::pooling::{Pooling, Window};
use rushlight_core::ops::reduce::Reduction;
use rushlight_core::tensor::is_open;
use rushlight_core::trace::model::{ModelGraph, Source, Step};
use rushlight_core::trace::model_input;
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Tensor};
use std::collections::HashMap;

/// The bytes of an ONNX file of what the model computes in inference; on request with batch normalization and biases
/// taken into the convolutions before them.
///
/// # Errors
/// If the model is not built or no graph of layers, or if ops have no counterpart: all of them are named.
pub(crate) fn write(model: &Model, folds_normalization: bool) -> Result<Vec<u8>> {
    let failed = |rule: String| Error::outside(ErrorKind::Value, "onnx", rule);
    let specs = model.inputs();
    if specs.is_empty() {
        return Err(failed("only models with symbolic inputs, which are built, can be written".to_string()));
    }
    let inputs: Vec<Tensor> = specs.iter().map(|(name, spec)| model_input(name, spec.clone())).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let outputs = in_primitives(model, &inputs);
    let flat = ModelGraph::new(&inputs, &outputs.iter().collect::<Vec<_>>())?;
    let mut writer = Writer::default();
    writer.graph.name = model.name().to_string();
    for (slot, (name, spec)) in flat.inputs().iter().enumerate() {
        writer.graph.inputs.push(value_info(name, spec));
        writer.held.insert(slot, Held { name: name.clone(), spec: spec.clone(), constant: None });
    }
    let folds = if folds_normalization { Folds::of(&flat) } else { Folds::default() };
    let mut problems = Vec::new();
    for (index, step) in flat.steps().iter().enumerate() {
        if folds.dropped.contains(&index) {
            continue;
        }
        let spread = spreads(&flat, index);
        if let Err(rule) = writer.step(step, spread, folds.convolutions.get(&index)) {
            if !problems.contains(&rule) {
                problems.push(rule);
            }
            for (output, spec) in step.outputs().iter().enumerate() {
                let held = Held { name: String::new(), spec: spec.clone(), constant: None };
                writer.held.insert(step.slot() + output, held);
            }
        }
    }
    if !problems.is_empty() {
        return Err(failed(format!("the model has what ONNX cannot be given: {}", problems.join("; "))));
    }
    for (index, (slot, spec)) in flat.outputs().iter().enumerate() {
        let held = writer.held[slot].clone();
        let name = format!("output_{index}");
        writer.graph.nodes.push(node("Identity", &[held.name], std::slice::from_ref(&name), &[]));
        writer.graph.outputs.push(value_info(&name, spec));
    }
    Ok(writer.graph.file())
}

/// Whether what a broadcast gives must really be spread out: elementwise operators do so by themselves.
fn spreads(graph: &ModelGraph, index: usize) -> bool {
    let step = &graph.steps()[index];
    if !matches!(step.op(), Some(Op::Broadcast(_))) {
        return false;
    }
    let slot = step.slot();
    let reads = |step: &Step| {
        step.inputs().iter().any(|source| matches!(source, Source::Slot(read) if *read == slot))
    };
    let elementwise = |step: &Step| {
        matches!(step.op(), Some(Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Broadcast(_)))
    };
    graph.outputs().iter().any(|(output, _)| *output == slot)
        || graph.steps()[index + 1..].iter().any(|step| reads(step) && !elementwise(step))
}

/// What a slot of the graph holds.
#[derive(Clone)]
struct Held {
    name: String,
    spec: Spec,
    constant: Option<Tensor>,
}

#[derive(Default)]
struct Writer {
    graph: Graph,
    held: HashMap<usize, Held>,
    /// Names given so far.
    count: usize,
}

type Written<T> = std::result::Result<T, String>;

impl Writer {
    fn name(&mut self, base: &str) -> String {
        self.count += 1;
        format!("{base}_{}", self.count)
    }

    fn constant(&mut self, value: &Tensor) -> Written<String> {
        let name = self.name("constant");
        self.graph.constants.push(tensor(&name, value).map_err(|error| error.rule().to_string())?);
        Ok(name)
    }

    fn numbers(&mut self, values: &[i64]) -> Written<String> {
        self.constant(&Tensor::new(values, [values.len()]))
    }

    /// A scalar of a dtype.
    fn scalar(&mut self, value: f64, dtype: DType) -> Written<String> {
        self.constant(&Tensor::scalar_of(value, dtype))
    }

    fn call(&mut self, kind: &str, inputs: &[String], attributes: &[(&str, Attribute)]) -> String {
        let output = self.name(kind);
        self.graph.nodes.push(node(kind, inputs, std::slice::from_ref(&output), attributes));
        output
    }

    fn transpose(&mut self, input: &str, axes: &[usize]) -> String {
        let axes = axes.iter().map(|&axis| axis as i64).collect();
        self.call("Transpose", &[input.to_string()], &[("perm", Attribute::Integers(axes))])
    }

    fn step(&mut self, step: &Step, spread: bool, folded: Option<&Folded>) -> Written<()> {
        let Some(op) = step.op() else { return Err(format!("`{}` is no op", step.name())) };
        let mut inputs = Vec::new();
        for source in step.inputs() {
            inputs.push(match source {
                Source::Slot(slot) => self.held[slot].clone(),
                Source::Constant(value) => Held {
                    name: self.constant(value)?,
                    spec: value.spec().map_err(|error| error.rule().to_string())?.clone(),
                    constant: Some(value.clone()),
                },
            });
        }
        let spec = step.outputs()[0].clone();
        let name = match (op, inputs.as_slice(), folded) {
            (Op::Broadcast(_), [input], _) if !spread => input.name.clone(),
            (Op::Convolution(convolution), [x, kernel], Some(folded)) => {
                let value = kernel.constant.as_ref().ok_or("a kernel that is no constant")?;
                let kernel = Held { constant: Some(value * &folded.scale), ..kernel.clone() };
                self.convolution(convolution, &[x.clone(), kernel], None, Some(&folded.shift))?
            }
            (op, inputs, _) => self.op(op, inputs, &spec)?,
        };
        let slot = folded.map_or(step.slot(), |folded| folded.slot);
        self.held.insert(slot, Held { name, spec, constant: None });
        Ok(())
    }

    fn op(&mut self, op: &Op, inputs: &[Held], spec: &Spec) -> Written<String> {
        let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        let integer = Attribute::Integer;
        Ok(match op {
            Op::Unary(unary) => self.unary(*unary, &names, spec)?,
            Op::Binary(binary) => self.binary(*binary, &names, spec)?,
            Op::Compare(Compare::NotEqual) => {
                let equal = self.call("Equal", &names, &[]);
                self.call("Not", &[equal], &[])
            }
            Op::Compare(compare) => self.call(compare_kind(*compare), &names, &[]),
            Op::Select => self.call("Where", &names, &[]),
            Op::Cast(dtype) => self.call("Cast", &names, &[("to", integer(element_type(*dtype)))]),
            Op::Reduce(reduce) => {
                let axes: Vec<i64> = reduce.axes.iter().map(|&axis| axis as i64).collect();
                let kind = reduction_kind(reduce.kind)
                    .ok_or_else(|| format!("the reduction `{}` has no counterpart in ONNX", op.name()))?;
                let axes = self.numbers(&axes)?;
                self.call(kind, &[names[0].clone(), axes], &[("keepdims", integer(0))])
            }
            Op::ArgReduce(reduce) => {
                let attributes = [("axis", integer(reduce.axis as i64)), ("keepdims", integer(0))];
                let found = self.call(if reduce.largest { "ArgMax" } else { "ArgMin" }, &names, &attributes);
                self.call("Cast", &[found], &[("to", integer(element_type(spec.dtype)))])
            }
            Op::Dot(dot) => {
                let rank = spec.rank();
                let mut swapped: Vec<usize> = (0..rank).collect();
                swapped.swap(rank - 2, rank - 1);
                let mut sides = names;
                for (side, transposed) in [dot.transpose_left, dot.transpose_right].into_iter().enumerate() {
                    if transposed {
                        sides[side] = self.transpose(&sides[side], &swapped);
                    }
                }
                self.call("MatMul", &sides, &[])
            }
            Op::Convolution(convolution) => self.convolution(convolution, inputs, None, None)?,
            Op::ConvolutionInputGradient(convolution, dims) => {
                self.convolution(convolution, inputs, Some(dims), None)?
            }
            Op::Window(window) => self.window(window, &names[0], spec)?,
            Op::Reshape(dims) => {
                if dims.iter().filter(|&&dim| is_open(dim)).count() > 1 {
                    return Err("a shape in which two axes depend on the batch".to_string());
                }
                let dims: Vec<i64> =
                    dims.iter().map(|&dim| if is_open(dim) { -1 } else { dim as i64 }).collect();
                let dims = self.numbers(&dims)?;
                // A size of 0 means 0, not "as it was".
                self.call("Reshape", &[names[0].clone(), dims], &[("allowzero", integer(1))])
            }
            Op::Broadcast(dims) => {
                let from = &inputs[0].spec.dims;
                let aligned = dims.len() - from.len();
                let mut sizes = Vec::new();
                for (axis, &dim) in dims.iter().enumerate() {
                    let has_batch = axis >= aligned && is_open(from[axis - aligned]);
                    sizes.push(match (is_open(dim), has_batch) {
                        (true, false) => {
                            return Err("something is repeated for each example of the batch".to_string());
                        }
                        (true, true) => 1,
                        (false, _) => dim as i64,
                    });
                }
                let sizes = self.numbers(&sizes)?;
                self.call("Expand", &[names[0].clone(), sizes], &[])
            }
            Op::Transpose(axes) => self.transpose(&names[0], axes),
            Op::Slice(slice) => {
                let stop = |&stop: &usize| if is_open(stop) { i64::MAX } else { stop as i64 };
                let starts: Vec<i64> = slice.start.iter().map(|&start| start as i64).collect();
                let stops: Vec<i64> = slice.stop.iter().map(stop).collect();
                let steps: Vec<i64> = slice.step.iter().map(|&step| step as i64).collect();
                let axes: Vec<i64> = (0..starts.len() as i64).collect();
                self.slice(&names[0], [&starts, &stops, &axes, &steps])?
            }
            Op::Flip(axes) => {
                let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
                let all = |value: i64| vec![value; axes.len()];
                self.slice(&names[0], [&all(-1), &all(i64::MIN), &axes, &all(-1)])?
            }
            Op::Pad(pad) if pad.interior.iter().all(|&gap| gap == 0) => {
                let pads: Vec<i64> = pad.low.iter().chain(&pad.high).map(|&size| size as i64).collect();
                let pads = self.numbers(&pads)?;
                self.call("Pad", &[names[0].clone(), pads], &[])
            }
            Op::Concat(axis) => self.call("Concat", &names, &[("axis", integer(*axis as i64))]),
            Op::Take(axis) => self.call("Gather", &names, &[("axis", integer(*axis as i64))]),
            Op::TakeAlong(axis) => self.call("GatherElements", &names, &[("axis", integer(*axis as i64))]),
            Op::Cumulative(scan) if !scan.product => {
                let axis = self.numbers(&[scan.axis as i64])?;
                let flags = [
                    ("exclusive", integer(scan.exclusive.into())),
                    ("reverse", integer(scan.reverse.into())),
                ];
                self.call("CumSum", &[names[0].clone(), axis], &flags)
            }
            other => return Err(format!("the op `{}` has no counterpart in ONNX", other.name())),
        })
    }

    fn slice(&mut self, input: &str, parts: [&[i64]; 4]) -> Written<String> {
        let mut inputs = vec![input.to_string()];
        for part in parts {
            inputs.push(self.numbers(part)?);
        }
        Ok(self.call("Slice", &inputs, &[]))
    }

    fn unary(&mut self, unary: Unary, names: &[String], spec: &Spec) -> Written<String> {
        let kind = match unary {
            Unary::Neg => "Neg",
            Unary::Abs => "Abs",
            Unary::Sign => "Sign",
            Unary::Exp => "Exp",
            Unary::Log => "Log",
            Unary::Sqrt => "Sqrt",
            Unary::Reciprocal => "Reciprocal",
            Unary::Sin => "Sin",
            Unary::Cos => "Cos",
            Unary::Tan => "Tan",
            Unary::Asin => "Asin",
            Unary::Acos => "Acos",
            Unary::Atan => "Atan",
            Unary::Sinh => "Sinh",
            Unary::Cosh => "Cosh",
            Unary::Asinh => "Asinh",
            Unary::Acosh => "Acosh",
            Unary::Atanh => "Atanh",
            Unary::Tanh => "Tanh",
            Unary::Sigmoid => "Sigmoid",
            Unary::Erf => "Erf",
            Unary::Floor => "Floor",
            Unary::Ceil => "Ceil",
            Unary::Round => "Round",
            Unary::Not if spec.dtype == DType::Bool => "Not",
            Unary::Not => "BitwiseNot",
            Unary::IsNan => "IsNaN",
            Unary::IsInf => "IsInf",
            Unary::Square => return Ok(self.call("Mul", &[names[0].clone(), names[0].clone()], &[])),
            Unary::Rsqrt => {
                let root = self.call("Sqrt", names, &[]);
                return Ok(self.call("Reciprocal", &[root], &[]));
            }
            Unary::Expm1 => {
                let (power, one) = (self.call("Exp", names, &[]), self.scalar(1.0, spec.dtype)?);
                return Ok(self.call("Sub", &[power, one], &[]));
            }
            Unary::Log1p => {
                let one = self.scalar(1.0, spec.dtype)?;
                let sum = self.call("Add", &[names[0].clone(), one], &[]);
                return Ok(self.call("Log", &[sum], &[]));
            }
            Unary::Trunc | Unary::Erfinv | Unary::IsFinite => {
                return Err(format!("the function {unary:?} has no counterpart in ONNX"));
            }
        };
        Ok(self.call(kind, names, &[]))
    }

    fn binary(&mut self, binary: Binary, names: &[String], spec: &Spec) -> Written<String> {
        let is_bool = spec.dtype == DType::Bool;
        let kind = match binary {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div if spec.dtype.is_float() => "Div",
            Binary::Pow => "Pow",
            Binary::Max => "Max",
            Binary::Min => "Min",
            Binary::And => {
                if is_bool {
                    "And"
                } else {
                    "BitwiseAnd"
                }
            }
            Binary::Or => {
                if is_bool {
                    "Or"
                } else {
                    "BitwiseOr"
                }
            }
            Binary::Xor => {
                if is_bool {
                    "Xor"
                } else {
                    "BitwiseXor"
                }
            }
            Binary::Rem if !spec.dtype.is_float() => "Mod",
            Binary::Rem => {
                // The remainder has the sign of the divisor: x - ⌊x / y⌋ · y.
                let quotient = self.call("Div", names, &[]);
                let whole = self.call("Floor", &[quotient], &[]);
                let back = self.call("Mul", &[whole, names[1].clone()], &[]);
                return Ok(self.call("Sub", &[names[0].clone(), back], &[]));
            }
            Binary::Div | Binary::Atan2 => {
                return Err(format!("the function {binary:?} of {} has no counterpart in ONNX", spec.dtype));
            }
        };
        Ok(self.call(kind, names, &[]))
    }

    /// A convolution, or the transposed one to a result of these sizes. ONNX has the channels first.
    fn convolution(
        &mut self,
        convolution: &Convolution,
        inputs: &[Held],
        transposed: Option<&[usize]>,
        bias: Option<&Tensor>,
    ) -> Written<String> {
        let [x, kernel] = inputs else { return Err("a convolution without a kernel".to_string()) };
        let rank = x.spec.rank();
        let spatial = rank - 2;
        // [spatial…, channels / groups, filters] → [filters, channels / groups, spatial…], the same both ways.
        let order: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..spatial).collect();
        let weights = match &kernel.constant {
            Some(value) => {
                let axes: Vec<isize> = order.iter().map(|&axis| axis as isize).collect();
                self.constant(&value.transpose(axes))?
            }
            None => self.transpose(&kernel.name, &order),
        };
        let integers = |values: &mut dyn Iterator<Item = usize>| {
            Attribute::Integers(values.map(|value| value as i64).collect())
        };
        let padding = &convolution.padding;
        let mut attributes = vec![
            ("strides", integers(&mut convolution.strides.iter().copied())),
            ("dilations", integers(&mut convolution.dilations.iter().copied())),
            (
                "pads",
                integers(&mut padding.iter().map(|pair| pair.0).chain(padding.iter().map(|pair| pair.1))),
            ),
            ("group", Attribute::Integer(convolution.groups as i64)),
        ];
        if let Some(dims) = transposed {
            let mut rest = Vec::new();
            for axis in 0..spatial {
                let reach = (kernel.spec.dims[axis] - 1) * convolution.dilations[axis] + 1;
                let covered = (x.spec.dims[axis + 1] - 1) * convolution.strides[axis] + reach;
                let kept = dims[axis + 1] + padding[axis].0 + padding[axis].1;
                rest.push(
                    kept.checked_sub(covered).ok_or("a transposed convolution that cuts its result off")?,
                );
            }
            attributes.push(("output_padding", integers(&mut rest.into_iter())));
        }
        let first = self.channels_first(&x.name, rank);
        let kind = if transposed.is_some() { "ConvTranspose" } else { "Conv" };
        let bias = bias.map(|bias| self.constant(bias)).transpose()?;
        let result = self.call(kind, &[vec![first, weights], Vec::from_iter(bias)].concat(), &attributes);
        Ok(self.channels_last(&result, rank))
    }

    fn window(&mut self, window: &Window, input: &str, spec: &Spec) -> Written<String> {
        let integers =
            |values: &[usize]| Attribute::Integers(values.iter().map(|&value| value as i64).collect());
        let pads: Vec<usize> = window
            .padding
            .iter()
            .map(|pair| pair.0)
            .chain(window.padding.iter().map(|pair| pair.1))
            .collect();
        let mut attributes = vec![
            ("kernel_shape", integers(&window.size)),
            ("strides", integers(&window.strides)),
            ("pads", integers(&pads)),
        ];
        let first = self.channels_first(input, spec.rank());
        let result = match window.kind {
            Pooling::Max => self.call("MaxPool", &[first], &attributes),
            Pooling::Sum => {
                attributes.push(("count_include_pad", Attribute::Integer(1)));
                attributes.push(("auto_pad", Attribute::Text("NOTSET")));
                let mean = self.call("AveragePool", &[first], &attributes);
                let count = window.size.iter().product::<usize>() as f64;
                let count = self.scalar(count, spec.dtype)?;
                self.call("Mul", &[mean, count], &[])
            }
        };
        Ok(self.channels_last(&result, spec.rank()))
    }

    fn channels_first(&mut self, input: &str, rank: usize) -> String {
        self.transpose(input, &[0, rank - 1].into_iter().chain(1..rank - 1).collect::<Vec<usize>>())
    }

    fn channels_last(&mut self, input: &str, rank: usize) -> String {
        self.transpose(input, &[0].into_iter().chain(2..rank).chain([1]).collect::<Vec<usize>>())
    }
}

fn compare_kind(compare: Compare) -> &'static str {
    match compare {
        Compare::Equal | Compare::NotEqual => "Equal",
        Compare::Less => "Less",
        Compare::LessEqual => "LessOrEqual",
        Compare::Greater => "Greater",
        Compare::GreaterEqual => "GreaterOrEqual",
    }
}

fn reduction_kind(reduction: Reduction) -> Option<&'static str> {
    Some(match reduction {
        Reduction::Sum => "ReduceSum",
        Reduction::Mean => "ReduceMean",
        Reduction::Prod => "ReduceProd",
        Reduction::Max => "ReduceMax",
        Reduction::Min => "ReduceMin",
        Reduction::Any | Reduction::All => return None,
    })
}
