//! Graphs of ops for the Graphs tab, and what each of their nodes took.

use super::proto::Message;
use super::values::{dtype_number, shape, shape_of};
use rushlight_core::{Error, ErrorKind, Result, Spec};
use std::collections::HashMap;
use std::time::Duration;

/// The device that all nodes ran on: the Graphs tab ignores statistics of names it cannot take apart.
const DEVICE: &str = "/job:localhost/replica:0/task:0/device:CPU:0";

/// A graph of ops as TensorBoard draws it.
///
/// ```
/// use rushlight::tensorboard::{OpGraph, OpNode};
/// use rushlight::{DType, Spec};
/// let mut graph = OpGraph::default();
/// graph.nodes.push(OpNode::new("x", "Input").output(Spec::new([8, 4], DType::F32)));
/// graph.nodes.push(OpNode::new("dense/relu", "relu").input("x").output(Spec::new([8, 4], DType::F32)));
/// graph.check()?;
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpGraph {
    pub nodes: Vec<OpNode>,
}

/// One op of an [`OpGraph`].
#[derive(Clone, Debug, Default)]
pub struct OpNode {
    /// Unique in the graph; slashes make scopes.
    pub name: String,
    /// The kind of op. Nodes whose kind contains `Const` are drawn small and without time or memory.
    pub op: String,
    /// Names of nodes: `name` or `name:2` for their first or third result, `^name` for one that only has to run before.
    pub inputs: Vec<String>,
    /// Shapes and dtypes of the results, which label the edges.
    pub outputs: Vec<Spec>,
    /// What the card shows besides, as name and ASCII text.
    pub attributes: Vec<(String, String)>,
}

/// What one execution of a node took.
#[derive(Clone, Debug)]
pub struct NodeRun {
    /// Name of the node.
    pub node: String,
    /// Time since 1970, and how long it took; nothing for nodes that only hold memory.
    pub time: Option<(Duration, Duration)>,
    /// Bytes of memory that it filled or held.
    pub bytes: usize,
    pub outputs: Vec<Spec>,
}

impl OpNode {
    pub fn new(name: impl Into<String>, op: impl Into<String>) -> OpNode {
        OpNode { name: name.into(), op: op.into(), ..OpNode::default() }
    }

    /// With one more input.
    pub fn input(mut self, node: impl Into<String>) -> OpNode {
        self.inputs.push(node.into());
        self
    }

    /// With one more result.
    pub fn output(mut self, spec: Spec) -> OpNode {
        self.outputs.push(spec);
        self
    }

    /// With one more line in the card.
    pub fn attribute(mut self, name: impl Into<String>, text: impl Into<String>) -> OpNode {
        self.attributes.push((name.into(), text.into()));
        self
    }

    /// NodeDef
    fn message(&self) -> Message {
        let mut node = Message::new().text(1, &self.name).text(2, &self.op);
        for input in &self.inputs {
            node = node.text(3, input);
        }
        node = node.text(4, DEVICE);
        if !self.outputs.is_empty() {
            let shapes = Message::new().messages(7, self.outputs.iter().map(shape_of));
            node = node.entry(5, "_output_shapes", &Message::new().message(1, &shapes));
            let dtype = Message::new().integer(6, dtype_number(self.outputs[0].dtype));
            node = node.entry(5, "dtype", &dtype);
        }
        for (name, text) in &self.attributes {
            node = node.entry(5, name, &Message::new().text(2, text));
        }
        node
    }
}

impl OpGraph {
    /// Checks what TensorBoard would show wrongly without a word.
    ///
    /// # Errors
    /// If a name is empty, has an empty part or comes twice, or if an input is not there.
    pub fn check(&self) -> Result<()> {
        let error = |rule: String| Err(Error::outside(ErrorKind::Value, "tensorboard graph", rule));
        let mut seen = HashMap::new();
        for node in &self.nodes {
            if node.name.split('/').any(str::is_empty) || node.name.starts_with('^') {
                return error(format!("`{}` is no name for a node", node.name));
            }
            if seen.insert(node.name.as_str(), node.outputs.len()).is_some() {
                return error(format!("two nodes have the name `{}`", node.name));
            }
        }
        for node in &self.nodes {
            for input in &node.inputs {
                let (name, output) = source_of(input);
                match seen.get(name) {
                    None => {
                        return error(format!("node `{}` reads `{input}`, which is not there", node.name));
                    }
                    Some(&outputs) if output > 0 && output >= outputs => {
                        return error(format!("node `{}` reads result {output} of `{name}`", node.name));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// GraphDef
    pub(super) fn message(&self) -> Message {
        let versions = Message::new().integer(1, 1);
        Message::new().messages(1, self.nodes.iter().map(OpNode::message)).message(4, &versions)
    }

    /// RunMetadata with this graph as the only function graph, and statistics if there are any.
    pub(super) fn run_metadata(&self, runs: &[NodeRun]) -> Message {
        let mut metadata = Message::new();
        if !runs.is_empty() {
            let stats = runs.iter().map(NodeRun::message);
            let device = Message::new().text(1, DEVICE).messages(2, stats);
            metadata = metadata.message(1, &Message::new().message(1, &device));
        }
        metadata.message(4, &Message::new().message(2, &self.message()))
    }
}

/// The node and the number of its result that an input names.
fn source_of(input: &str) -> (&str, usize) {
    let name = input.strip_prefix('^').unwrap_or(input);
    match name.rsplit_once(':') {
        Some((node, number)) => match number.parse() {
            Ok(number) => (node, number),
            Err(_) => (name, 0),
        },
        None => (name, 0),
    }
}

impl NodeRun {
    /// NodeExecStats
    fn message(&self) -> Message {
        let mut stats = Message::new().text(1, &self.node);
        if let Some((start, took)) = self.time {
            // Zeros mean that nothing is known.
            let rounded = |time: Duration| ((time.as_nanos() + 500) / 1000) as i64;
            let start_micros = rounded(start).max(1);
            let micros = (rounded(start + took) - start_micros).max(1);
            stats = stats.integer(2, start_micros).integer(4, micros).integer(5, micros);
        }
        if self.bytes > 0 {
            let bytes = self.bytes as i64;
            stats = stats.message(6, &Message::new().text(1, "cpu").integer(2, bytes).integer(3, bytes));
        }
        let outputs = self.outputs.iter().enumerate().map(|(slot, spec)| {
            let bytes = if spec.dims.iter().any(|&dim| rushlight_core::tensor::is_open(dim)) {
                0
            } else {
                spec.bytes()
            };
            let allocation = Message::new().integer(1, bytes as i64).integer(2, bytes as i64).text(3, "cpu");
            let description = Message::new()
                .integer(1, dtype_number(spec.dtype))
                .message(2, &shape(&spec.dims))
                .message(4, &allocation);
            Message::new().integer(1, slot as i64).message(3, &description)
        });
        stats.messages(7, outputs)
    }
}

/// A text as part of a node's name: without what has a meaning in names, or is shown as an escape.
pub(super) fn name_part(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.()/ ".contains(c) { c } else { '_' };
    let parts: Vec<String> = text
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| part.chars().map(plain).collect())
        .collect();
    if parts.is_empty() { "_".into() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rushlight_core::DType;

    fn graph(nodes: &[(&str, &[&str])]) -> OpGraph {
        let spec = || Spec::new([2], DType::F32);
        let node = |&(name, inputs): &(&str, &[&str])| {
            inputs.iter().fold(OpNode::new(name, "op").output(spec()), |node, input| node.input(*input))
        };
        OpGraph { nodes: nodes.iter().map(node).collect() }
    }

    #[test]
    fn graphs_that_would_be_drawn_wrongly_are_refused() {
        graph(&[("a", &[]), ("s/b", &["a", "^a"]), ("s/c", &["s/b:0"])]).check().unwrap();
        type Nodes<'a> = &'a [(&'a str, &'a [&'a str])];
        let faults: [(Nodes, &str); 5] = [
            (&[("a", &[]), ("a", &[])], "two nodes have the name `a`"),
            (&[("/a", &[])], "`/a` is no name for a node"),
            (&[("", &[])], "`` is no name for a node"),
            (&[("a", &["^b"])], "node `a` reads `^b`, which is not there"),
            (&[("a", &[]), ("b", &["a:1"])], "node `b` reads result 1 of `a`"),
        ];
        for (nodes, rule) in faults {
            assert_eq!(graph(nodes).check().unwrap_err().rule(), rule);
        }
    }

    #[test]
    fn names_are_made_of_what_the_page_can_show() {
        assert_eq!(name_part("/a//b \"c\"/d:1é"), "a/b _c_/d_1_");
        assert_eq!(name_part("//"), "_");
    }
}
