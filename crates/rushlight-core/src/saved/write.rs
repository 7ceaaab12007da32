//! Writing recordings to bytes.

use crate::cpu;
use crate::graph::{Graph, Kind, ValueId};
use crate::ops::Op;
use crate::ops::control::Turns;
use crate::saved::error;
use crate::saved::format::*;
use crate::tensor::{DType, ErrorKind, Inner, Result, Value};
use crate::trace::Variable;
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::collections::HashMap;

/// A recording to be written.
pub(crate) struct Recorded<'a> {
    pub(crate) graph: &'a Graph,
    /// Those of the graph, in its order.
    pub(crate) variables: Vec<Variable>,
    /// Name, and text if it is no tensor, of each argument.
    pub(crate) arguments: Vec<(String, Option<String>)>,
}

/// What is written of all recordings together.
#[derive(Default)]
struct Writer {
    variables: Vec<SavedVariable>,
    by_id: HashMap<u64, usize>,
    by_memory: HashMap<(usize, usize, Vec<usize>, Vec<isize>), usize>,
    constants: usize,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

/// The file of a function with these recordings.
pub(crate) fn to_bytes(name: &str, recordings: &[Recorded]) -> Result<Vec<u8>> {
    let failed = |problem: String| error("save", ErrorKind::Value, format!("function `{name}`: {problem}"));
    if recordings.is_empty() {
        return Err(failed(
            "there is nothing to save: call the function first, which records it".to_string(),
        ));
    }
    let mut writer = Writer::default();
    let recordings = recordings.iter().map(|recorded| writer.recording(recorded)).collect();
    let file = File { version: VERSION, name: name.to_string(), variables: writer.variables, recordings };
    let json = serde_json::to_string(&file).map_err(|problem| failed(problem.to_string()))?;
    let views = writer
        .tensors
        .iter()
        .map(|(name, dtype, dims, bytes)| Ok((name, TensorView::new(*dtype, dims.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let metadata = [(KEY.to_string(), json)].into_iter().collect();
    views.and_then(|views| serialize(views, Some(metadata))).map_err(|problem| failed(problem.to_string()))
}

impl Writer {
    fn recording(&mut self, recorded: &Recorded) -> SavedRecording {
        let graph = recorded.graph;
        let variables = recorded.variables.iter().map(|variable| self.variable(variable)).collect();
        let nodes = self.nodes(graph);
        let mut inputs = graph.inputs.iter();
        let arguments = recorded.arguments.iter().map(|(name, fixed)| {
            let name = name.clone();
            match fixed {
                Some(value) => Argument::Fixed { name, value: value.clone() },
                None => {
                    let spec = graph.spec(*inputs.next().expect("each tensor is an input"));
                    Argument::Tensor { name, dims: spec.dims.to_vec(), dtype: spec.dtype }
                }
            }
        });
        SavedRecording {
            arguments: arguments.collect(),
            variables,
            nodes,
            outputs: graph.outputs.iter().map(id).collect(),
            assignments: graph.assignments.iter().map(|(variable, value)| (*variable, id(value))).collect(),
        }
    }

    fn nodes(&mut self, graph: &Graph) -> Vec<SavedNode> {
        let nodes = graph.nodes.iter().map(|node| SavedNode {
            is: match &node.kind {
                Kind::Input(number) => SavedKind::Argument(*number),
                Kind::Variable(number) => SavedKind::Variable(*number),
                Kind::Constant(constant) => SavedKind::Constant(self.constant(&constant.0)),
                Kind::Op(Op::Loop(op)) => SavedKind::Loop(Box::new(SavedLoop {
                    name: op.name.to_string(),
                    family: op.family,
                    turns: match op.turns {
                        Turns::Fixed(count) => SavedTurns::Fixed(count),
                        Turns::Counted(most) => SavedTurns::Counted(most),
                        Turns::While(most) => SavedTurns::While(most),
                    },
                    carried: op.carried,
                    sliced: op.sliced,
                    stacked: op.stacked,
                    reverse: op.reverse,
                    body: self.body(&op.body),
                })),
                Kind::Op(Op::Branch(op)) => SavedKind::Branch(Box::new(SavedBranch {
                    name: op.name.to_string(),
                    branches: op.branches.iter().map(|branch| self.body(branch)).collect(),
                })),
                Kind::Op(op) => SavedKind::Op(op.clone()),
                Kind::Fused(_) => unreachable!("fused nodes are not recorded"),
            },
            inputs: node.inputs.iter().map(id).collect(),
            path: node.origin.path.as_deref().map(str::to_string),
            line: format!("{}:{}", node.origin.location.file(), node.origin.location.line()),
        });
        nodes.collect()
    }

    fn body(&mut self, graph: &Graph) -> SavedBody {
        let spec = |&id: &ValueId| (graph.spec(id).dims.to_vec(), graph.spec(id).dtype);
        SavedBody {
            inputs: graph.inputs.iter().map(spec).collect(),
            nodes: self.nodes(graph),
            outputs: graph.outputs.iter().map(id).collect(),
        }
    }

    fn variable(&mut self, variable: &Variable) -> usize {
        if let Some(&known) = self.by_id.get(&variable.id()) {
            return known;
        }
        let number = self.variables.len();
        self.by_id.insert(variable.id(), number);
        self.variables
            .push(SavedVariable { name: variable.name().to_string(), trainable: variable.is_trainable() });
        let value = variable.lock().clone();
        let Inner::Value(value) = &*value.0 else { unreachable!("variables hold values") };
        self.tensor(variable_name(number), value);
        number
    }

    fn constant(&mut self, value: &Value) -> usize {
        let (dims, strides) = (value.spec.dims.to_vec(), value.strides.to_vec());
        let key = (value.address() as usize, value.spec.dtype as usize, dims, strides);
        if let Some(&known) = self.by_memory.get(&key) {
            return known;
        }
        let number = self.constants;
        self.constants += 1;
        self.by_memory.insert(key, number);
        self.tensor(constant_name(number), value);
        number
    }

    fn tensor(&mut self, name: String, value: &Value) {
        let value = cpu::contiguous(value);
        let bytes = cpu::bytes_of(&value);
        self.tensors.push((name, dtype_name(value.spec.dtype), value.spec.dims.to_vec(), bytes));
    }
}

fn id(id: &ValueId) -> Id {
    (id.node, id.output)
}

/// The dtype as safetensors knows it.
pub(super) fn dtype_name(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
