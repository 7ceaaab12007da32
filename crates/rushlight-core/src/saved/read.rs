//! Reading functions from bytes that may hold anything.

use crate::cpu;
use crate::graph::{Constant, Graph, Inputs, Kind, Node, Origin, ValueId, verify};
use crate::ops::control::{Branch, Loop, Turns};
use crate::ops::effect::Effect;
use crate::ops::{Op, Specs};
use crate::saved::error;
use crate::saved::format::*;
use crate::saved::validate::{check_branch, check_loop, check_numbers, check_op, check_size};
use crate::saved::write::dtype_name;
use crate::tensor::{BATCH, DType, Error, ErrorKind, Result, Spec, Tensor, Value, display_dims, is_open};
use crate::trace::batch::Programs;
use crate::trace::control::next_family;
use crate::trace::{Variable, recorder};
use safetensors::tensor::SafeTensors;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::fmt::Write;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

/// A recorded function read from a file: it runs without the code it was recorded from.
///
/// ```
/// use rushlight_core::{SavedFunction, Tensor, Variable, function};
/// let kernel = Variable::new("kernel", &Tensor::from([2.0f32, 3.0]))?;
/// let scale = function("scale", move |x: &Tensor| x * kernel.read());
/// scale.call(&Tensor::from([1.0f32, 1.0])).check()?;
/// let path = std::env::temp_dir().join(format!("scale-{}.safetensors", std::process::id()));
/// scale.save(&path)?;
///
/// // In another program:
/// let scale = SavedFunction::load(&path)?;
/// assert_eq!(scale.name(), "scale");
/// let result = scale.call(&[&Tensor::from([10.0f32, 100.0])])?;
/// assert_eq!(result[0].to_vec::<f32>()?, [20.0, 300.0]);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SavedFunction {
    name: String,
    variables: Vec<Variable>,
    recordings: Vec<Recording>,
}

struct Recording {
    arguments: Vec<Argument>,
    /// Shapes and dtypes of the arguments that are tensors.
    specs: Vec<Spec>,
    variables: Vec<Variable>,
    graph: Graph,
    programs: Programs,
}

type Checked<T> = std::result::Result<T, String>;

impl SavedFunction {
    /// Reads a function that `save` wrote.
    ///
    /// # Errors
    /// If the file cannot be read, is no saved function, is damaged, or was written by a later version.
    #[track_caller]
    pub fn load(path: impl AsRef<Path>) -> Result<SavedFunction> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|problem| {
            error("load", ErrorKind::Io, format!("{} cannot be read: {problem}", path.display()))
        })?;
        read(&bytes, &path.display().to_string())
    }

    /// The same from the contents of a file.
    ///
    /// # Errors
    /// As [`SavedFunction::load`].
    #[track_caller]
    pub fn from_bytes(bytes: &[u8]) -> Result<SavedFunction> {
        read(bytes, "the function")
    }

    /// The name under which the function was recorded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The variables that the function reads and assigns, with the values that they had when it was saved.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.variables.iter().filter(|variable| variable.name() != recorder::EFFECTS)
    }

    /// The variable of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn variable(&self, name: &str) -> Result<&Variable> {
        self.variables().find(|variable| variable.name() == name).ok_or_else(|| {
            error("variable", ErrorKind::Value, format!("function `{}` has no variable `{name}`", self.name))
        })
    }

    /// What it takes: one line for each recording, such as `x: f32[32, 10], rate = 0.1`.
    pub fn signatures(&self) -> Vec<String> {
        self.recordings.iter().map(Recording::signature).collect()
    }

    /// Calls the function on its tensor arguments, in order; gives the tensors of its result, in order.
    ///
    /// # Errors
    /// If no recording takes arguments of these shapes and dtypes, an argument carries an error or has no value, or
    /// a condition of the function does not hold.
    #[track_caller]
    pub fn call(&self, arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
        let mut values: SmallVec<[&Value; 8]> = SmallVec::new();
        for argument in arguments {
            values.push(argument.value(&self.name)?);
        }
        let serves = |recording: &&Recording| recording.batch_of(&values).is_some();
        let Some(recording) = self.recordings.iter().find(serves) else {
            let mut rule = "the saved function was not recorded for these arguments; it takes".to_string();
            for (number, signature) in self.signatures().iter().enumerate() {
                let _ = write!(rule, "{} ({signature})", if number > 0 { " or" } else { "" });
            }
            let specs = values.iter().map(|value| value.spec.clone()).collect();
            return Err(Error::with_inputs(ErrorKind::DType, self.name.as_str(), rule, specs));
        };
        let program = recording.programs.of(&recording.graph, recording.batch_of(&values).flatten(), None)?;
        let results = program.run(&recording.variables, &values)?;
        Ok(results.into_iter().map(Tensor::from_value).collect())
    }
}

impl std::fmt::Debug for SavedFunction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SavedFunction({}: {})", self.name, self.signatures().join("; "))
    }
}

impl Recording {
    /// The size that an open batch axis has in these arguments; nothing at all if they do not fit.
    fn batch_of(&self, values: &[&Value]) -> Option<Option<usize>> {
        if values.len() != self.specs.len() {
            return None;
        }
        let mut batch = None;
        for (value, wanted) in values.iter().zip(&self.specs) {
            let got = &value.spec;
            if got.dtype != wanted.dtype || got.rank() != wanted.rank() {
                return None;
            }
            for (&size, &wanted) in got.dims.iter().zip(&wanted.dims) {
                let fits = match is_open(wanted) {
                    true => *batch.get_or_insert(size) == size && wanted == BATCH,
                    false => size == wanted,
                };
                if !fits {
                    return None;
                }
            }
        }
        Some(batch)
    }

    fn signature(&self) -> String {
        let words = self.arguments.iter().map(|argument| match argument {
            Argument::Tensor { name, dims, dtype } => format!("{name}: {dtype}{}", display_dims(dims)),
            Argument::Fixed { name, value } => format!("{name} = {value}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[track_caller]
fn read(bytes: &[u8], subject: &str) -> Result<SavedFunction> {
    let location = Location::caller();
    read_checked(bytes, location)
        .map_err(|problem| error("load", ErrorKind::Value, format!("{subject} cannot be used: {problem}")))
}

fn read_checked(bytes: &[u8], location: &'static Location<'static>) -> Checked<SavedFunction> {
    let text = |problem: &dyn std::fmt::Display| format!("it is no whole safetensors file: {problem}");
    let tensors = SafeTensors::deserialize(bytes).map_err(|problem| text(&problem))?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|problem| text(&problem))?;
    let json = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let json = json.ok_or("it is a safetensors file, but not of a recorded function")?;
    let json: serde_json::Value =
        serde_json::from_str(json).map_err(|problem| format!("its description is damaged: {problem}"))?;
    match json.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if (1..=u64::from(VERSION)).contains(&version) => {}
        Some(version) => {
            return Err(format!(
                "it is of version {version}, and this program reads up to version {VERSION}"
            ));
        }
        None => return Err("its version is missing".to_string()),
    }
    check_numbers(&json)?;
    let file: File =
        serde_json::from_value(json).map_err(|problem| format!("its description is damaged: {problem}"))?;
    let variables = file.variables.iter().enumerate().map(|(number, saved)| {
        let value = Tensor::from_value(tensor(&tensors, &variable_name(number))?);
        let variable = Variable::new(saved.name.as_str(), &value).map_err(|problem| problem.to_string())?;
        variable.set_trainable(saved.trainable);
        Ok(variable)
    });
    let variables = variables.collect::<Checked<Vec<Variable>>>()?;
    let name = file.name;
    let recordings = file.recordings.into_iter().enumerate().map(|(number, saved)| {
        let mut families = HashMap::new();
        Reader { tensors: &tensors, location, nodes: Vec::new(), families: &mut families }
            .recording(&name, saved, &variables)
            .map_err(|problem| format!("recording {}: {problem}", number + 1))
    });
    let recordings = recordings.collect::<Checked<Vec<_>>>()?;
    Ok(SavedFunction { name, variables, recordings })
}

/// A tensor of the file.
fn tensor(tensors: &SafeTensors, name: &str) -> Checked<Value> {
    let view = tensors.tensor(name).map_err(|_| format!("the tensor `{name}` is missing"))?;
    let dtype = DType::ALL.into_iter().find(|&dtype| dtype_name(dtype) == view.dtype());
    let dtype = dtype.ok_or_else(|| format!("the tensor `{name}` is of the dtype {:?}", view.dtype()))?;
    let spec = Spec::new(view.shape(), dtype);
    check_size(&spec)?;
    if dtype == DType::Bool && view.data().iter().any(|&byte| byte > 1) {
        return Err(format!("the tensor `{name}` holds what is neither true nor false"));
    }
    cpu::value_of_bytes(view.data(), spec).ok_or_else(|| format!("the tensor `{name}` is cut off"))
}

/// Makes the graph of a recording.
struct Reader<'a> {
    tensors: &'a SafeTensors<'a>,
    location: &'static Location<'static>,
    nodes: Vec<Node>,
    /// The loops read so far, by the number of their family in the file.
    families: &'a mut HashMap<u64, Arc<Loop>>,
}

impl<'a> Reader<'a> {
    fn recording(&mut self, name: &str, saved: SavedRecording, all: &[Variable]) -> Checked<Recording> {
        let variables = saved
            .variables
            .iter()
            .map(|&number| all.get(number).cloned().ok_or_else(|| format!("there is no variable {number}")));
        let variables = variables.collect::<Checked<Vec<Variable>>>()?;
        let distinct: std::collections::HashSet<u64> = variables.iter().map(Variable::id).collect();
        if distinct.len() < variables.len() {
            return Err("a variable is listed twice".to_string());
        }
        let specs = saved.arguments.iter().filter_map(|argument| match argument {
            Argument::Tensor { dims, dtype, .. } => Some(Spec::new(dims, *dtype)),
            Argument::Fixed { .. } => None,
        });
        let specs: Vec<Spec> = specs.collect();
        let inputs = self.read_nodes(saved.nodes, &specs, &variables)?;
        let outputs = saved.outputs.iter().map(|&id| self.value(id)).collect::<Checked<Vec<ValueId>>>()?;
        let mut assignments: Vec<(usize, ValueId)> = Vec::new();
        for (variable, value) in saved.assignments {
            if variable >= variables.len() || assignments.iter().any(|&(other, _)| other == variable) {
                return Err(format!("variable {variable} is assigned twice, or is not there"));
            }
            assignments.push((variable, self.value(value)?));
        }
        let graph = Graph {
            name: name.into(),
            nodes: std::mem::take(&mut self.nodes),
            inputs,
            outputs,
            variables: variables.iter().map(Variable::downgrade).collect(),
            assignments,
            history: Vec::new(),
        };
        if acts(&graph) && !graph.has_effects() {
            return Err("its effects are not counted".to_string());
        }
        verify(&graph)?;
        let programs = Programs::new(&graph);
        Ok(Recording { arguments: saved.arguments, specs, variables, graph, programs })
    }

    /// Reads nodes; gives the values of the arguments, in order.
    fn read_nodes(
        &mut self,
        nodes: Vec<SavedNode>,
        specs: &[Spec],
        variables: &[Variable],
    ) -> Checked<Vec<ValueId>> {
        let mut inputs = vec![None; specs.len()];
        for (number, node) in nodes.into_iter().enumerate() {
            let is = format!("node {number}");
            if let SavedKind::Argument(argument) = node.is {
                let place = inputs
                    .get_mut(argument)
                    .ok_or_else(|| format!("{is}: there is no argument {argument}"))?;
                if place.replace(ValueId { node: number as u32, output: 0 }).is_some() {
                    return Err(format!("{is}: argument {argument} has two nodes"));
                }
            }
            let node = self.node(node, specs, variables).map_err(|problem| format!("{is}: {problem}"))?;
            self.nodes.push(node);
        }
        let inputs = inputs
            .into_iter()
            .enumerate()
            .map(|(number, id)| id.ok_or_else(|| format!("argument {number} has no node")));
        inputs.collect()
    }

    /// The body of a loop, or a branch.
    fn body(&mut self, saved: SavedBody) -> Checked<Graph> {
        let specs: Vec<Spec> = saved.inputs.iter().map(|(dims, dtype)| Spec::new(dims, *dtype)).collect();
        let (tensors, location) = (self.tensors, self.location);
        let mut reader = Reader { tensors, location, nodes: Vec::new(), families: &mut *self.families };
        let inputs = reader.read_nodes(saved.nodes, &specs, &[])?;
        let outputs = saved.outputs.iter().map(|&id| reader.value(id)).collect::<Checked<Vec<ValueId>>>()?;
        Ok(Graph {
            name: "body".into(),
            nodes: reader.nodes,
            inputs,
            outputs,
            variables: Vec::new(),
            assignments: Vec::new(),
            history: Vec::new(),
        })
    }

    fn turns(&mut self, saved: SavedLoop) -> Checked<Op> {
        let turns = match saved.turns {
            SavedTurns::Fixed(count) => Turns::Fixed(count),
            SavedTurns::Counted(most) => Turns::Counted(most),
            SavedTurns::While(most) => Turns::While(most),
        };
        let SavedLoop { carried, sliced, stacked, reverse, .. } = saved;
        let (name, body) = (known_name(&saved.name)?, self.body(saved.body)?);
        let mut op = Loop { name, family: next_family(), body, turns, carried, sliced, stacked, reverse };
        check_loop(&op)?;
        match self.families.get(&saved.family) {
            // What a file calls one family is one only if it looks like one.
            Some(relative) if is_related(&op, relative) => op.family = relative.family,
            _ => {}
        }
        let op = Arc::new(op);
        self.families.insert(saved.family, op.clone());
        Ok(Op::Loop(op))
    }

    fn branch(&mut self, saved: SavedBranch) -> Checked<Op> {
        let branches =
            saved.branches.into_iter().map(|branch| self.body(branch)).collect::<Checked<Vec<Graph>>>()?;
        let op = Branch { name: known_name(&saved.name)?, branches };
        check_branch(&op)?;
        Ok(Op::Branch(Arc::new(op)))
    }

    /// A value of an earlier node.
    fn value(&self, (node, output): Id) -> Checked<ValueId> {
        let known = self.nodes.get(node as usize).is_some_and(|node| (output as usize) < node.outputs.len());
        if known {
            Ok(ValueId { node, output })
        } else {
            Err(format!("there is no value [{node}, {output}] yet"))
        }
    }

    fn node(&mut self, saved: SavedNode, arguments: &[Spec], variables: &[Variable]) -> Checked<Node> {
        let inputs = saved.inputs.iter().map(|&id| self.value(id)).collect::<Checked<Inputs>>()?;
        let path = match saved.path {
            Some(path) => format!("{path}, recorded at {}", saved.line),
            None => format!("code recorded at {}", saved.line),
        };
        let origin = Origin::of_recorded(Some(path.into()), self.location);
        let one = |kind: Kind, spec: &Spec| match inputs.is_empty() {
            true => Ok((kind, SmallVec::from_elem(spec.clone(), 1))),
            false => Err("it has inputs".to_string()),
        };
        let (kind, outputs) = match saved.is {
            SavedKind::Argument(number) => {
                let spec = arguments.get(number).ok_or_else(|| format!("there is no argument {number}"))?;
                check_size(spec)?;
                one(Kind::Input(number), spec)?
            }
            SavedKind::Variable(number) => {
                let variable =
                    variables.get(number).ok_or_else(|| format!("there is no variable {number}"))?;
                one(Kind::Variable(number), variable.spec())?
            }
            SavedKind::Constant(number) => {
                let value = tensor(self.tensors, &constant_name(number))?;
                let spec = value.spec.clone();
                one(Kind::Constant(Constant(value)), &spec)?
            }
            SavedKind::Op(op) => self.op(op, &inputs, &origin)?,
            SavedKind::Loop(saved) => {
                let op = self.turns(*saved)?;
                self.op(op, &inputs, &origin)?
            }
            SavedKind::Branch(saved) => {
                let op = self.branch(*saved)?;
                self.op(op, &inputs, &origin)?
            }
        };
        Ok(Node { kind, inputs, outputs, origin })
    }

    /// An op, with what it gives for these inputs.
    fn op(&self, op: Op, inputs: &Inputs, origin: &Origin) -> Checked<(Kind, Specs)> {
        let value = |id: &ValueId| &self.nodes[id.node as usize].outputs[id.output as usize];
        let specs: SmallVec<[&Spec; 4]> = inputs.iter().map(value).collect();
        check_op(&op, &specs)?;
        let op = self.placed(op, origin.path.clone());
        let outputs = op.infer(&specs).map_err(|fault| format!("`{}`: {}", op.name(), fault.rule))?;
        outputs.iter().try_for_each(check_size)?;
        Ok((Kind::Op(op), outputs))
    }

    /// The op, with the place that its errors name.
    fn placed(&self, op: Op, path: Option<Arc<str>>) -> Op {
        match op {
            Op::Effect(effect) => Op::Effect(Effect::at(effect.action.clone(), self.location, path)),
            op => op,
        }
    }
}

/// Whether a graph does more than compute.
fn acts(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| match &node.kind {
        Kind::Op(Op::Effect(_)) => true,
        Kind::Op(Op::Loop(op)) => acts(&op.body),
        Kind::Op(Op::Branch(op)) => op.branches.iter().any(acts),
        _ => false,
    })
}

/// Whether two loops differ in nothing but how much they stack, as far as can be seen from outside.
fn is_related(a: &Loop, b: &Loop) -> bool {
    let inputs = |op: &Loop| op.body.inputs.iter().map(|&id| op.body.spec(id).clone()).collect::<Vec<_>>();
    let mut results = a.body.outputs.iter().zip(&b.body.outputs);
    (a.turns, a.carried, a.sliced, a.reverse) == (b.turns, b.carried, b.sliced, b.reverse)
        && inputs(a) == inputs(b)
        && results.all(|(&x, &y)| a.body.spec(x) == b.body.spec(y))
}

/// The name of a public function that makes loops or branches.
fn known_name(name: &str) -> Checked<&'static str> {
    let names = ["cond", "switch", "while_loop", "for_range", "scan", "map"];
    names.into_iter().find(|known| *known == name).ok_or_else(|| format!("there is no kind of loop `{name}`"))
}
