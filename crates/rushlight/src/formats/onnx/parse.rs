//! The parts of an ONNX file that models for inference have, read from bytes that nobody vouches for.

use crate::formats::elements::tensor_of;
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Tensor};
use std::collections::HashMap;

/// Nodes and constants of a graph, at most.
const MOST_PARTS: usize = 200_000;

pub(super) fn wrong(rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, "onnx", rule)
}

/// A node of the graph.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) attributes: HashMap<String, Attribute>,
}

/// The value of an attribute.
#[derive(Clone, Debug, Default)]
pub(super) struct Attribute {
    pub(super) float: Option<f32>,
    pub(super) integer: Option<i64>,
    pub(super) text: Option<String>,
    pub(super) integers: Vec<i64>,
    pub(super) tensor: Option<Tensor>,
}

/// An input: name, element type, sizes, of which those that are no numbers are open.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) dims: Vec<Option<usize>>,
}

/// What leads from inputs to outputs.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    pub(super) constants: HashMap<String, Tensor>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<String>,
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for index in 0..10 {
            let (&byte, rest) = self.0.split_first().ok_or_else(|| wrong("the file is cut off"))?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(7 * index).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(wrong("a number is too long"))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let count = usize::try_from(count).ok().filter(|&count| count <= self.0.len());
        let (taken, rest) = self.0.split_at(count.ok_or_else(|| wrong("the file is cut off"))?);
        self.0 = rest;
        Ok(taken)
    }

    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Eight)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Four(self.take(4)?.try_into().map_err(|_| wrong("the file is cut off"))?),
            wire => return Err(wrong(format!("a field is of kind {wire}, which does not exist"))),
        };
        Ok(Some((key >> 3, value)))
    }
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| wrong("a text is not UTF-8"))
}

/// Calls `visit` with each field of a message.
fn each<'a>(bytes: &'a [u8], mut visit: impl FnMut(u64, Value<'a>) -> Result<()>) -> Result<()> {
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        visit(number, value)?;
    }
    Ok(())
}

/// Several numbers, packed into one field or a field each.
fn numbers(value: Value<'_>, into: &mut Vec<i64>) -> Result<()> {
    match value {
        Value::Number(number) => into.push(number as i64),
        Value::Bytes(bytes) => {
            let mut fields = Fields(bytes);
            while !fields.0.is_empty() {
                into.push(fields.varint()? as i64);
            }
        }
        Value::Four(_) | Value::Eight => {}
    }
    Ok(())
}

/// The graph in a file.
///
/// # Errors
/// If the file is damaged, has no graph, or has constants of types that are not supported.
pub(super) fn file(bytes: &[u8]) -> Result<Graph> {
    let (mut graph, mut has_operators) = (None, false);
    each(bytes, |field, value| {
        match (field, value) {
            (7, Value::Bytes(bytes)) => graph = Some(parse_graph(bytes)?),
            (8, _) => has_operators = true,
            _ => {}
        }
        Ok(())
    })?;
    if !has_operators {
        return Err(wrong("the file does not say which version of the operators it uses: it may be cut off"));
    }
    graph.ok_or_else(|| wrong("this is no ONNX model: there is no graph in it"))
}

fn parse_graph(bytes: &[u8]) -> Result<Graph> {
    let mut graph = Graph::default();
    each(bytes, |field, value| {
        if graph.nodes.len() + graph.constants.len() > MOST_PARTS {
            return Err(wrong(format!("the graph has more than {MOST_PARTS} parts")));
        }
        match (field, value) {
            (1, Value::Bytes(bytes)) => graph.nodes.push(parse_node(bytes)?),
            (2, Value::Bytes(bytes)) => graph.name = text(bytes)?,
            (5, Value::Bytes(bytes)) => {
                let (name, tensor) = parse_tensor(bytes)?;
                graph.constants.insert(name, tensor);
            }
            (11, Value::Bytes(bytes)) => graph.inputs.push(parse_input(bytes)?),
            (12, Value::Bytes(bytes)) => graph.outputs.push(parse_input(bytes)?.name),
            (15, _) => return Err(wrong("sparse constants are not supported")),
            _ => {}
        }
        Ok(())
    })?;
    // Older files list constants among the inputs.
    let Graph { inputs, constants, .. } = &mut graph;
    inputs.retain(|input| !constants.contains_key(&input.name));
    Ok(graph)
}

fn parse_node(bytes: &[u8]) -> Result<Node> {
    let mut node = Node::default();
    each(bytes, |field, value| {
        match (field, value) {
            (1, Value::Bytes(bytes)) => node.inputs.push(text(bytes)?),
            (2, Value::Bytes(bytes)) => node.outputs.push(text(bytes)?),
            (3, Value::Bytes(bytes)) => node.name = text(bytes)?,
            (4, Value::Bytes(bytes)) => node.kind = text(bytes)?,
            (5, Value::Bytes(bytes)) => {
                let (name, attribute) = parse_attribute(bytes)?;
                node.attributes.insert(name, attribute);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(node)
}

fn parse_attribute(bytes: &[u8]) -> Result<(String, Attribute)> {
    let (mut name, mut attribute, mut kind) = (String::new(), Attribute::default(), 0);
    each(bytes, |field, value| {
        match (field, value) {
            (1, Value::Bytes(bytes)) => name = text(bytes)?,
            (2, Value::Four(bytes)) => attribute.float = Some(f32::from_le_bytes(bytes)),
            (3, Value::Number(number)) => attribute.integer = Some(number as i64),
            // Not every text is one: some are bytes.
            (4, Value::Bytes(bytes)) => attribute.text = Some(String::from_utf8_lossy(bytes).into_owned()),
            (5, Value::Bytes(bytes)) => attribute.tensor = Some(parse_tensor(bytes)?.1),
            (8, value) => numbers(value, &mut attribute.integers)?,
            (20, Value::Number(number)) => kind = number,
            _ => {}
        }
        Ok(())
    })?;
    // Zeros are left out of files.
    match kind {
        1 => attribute.float = attribute.float.or(Some(0.0)),
        2 => attribute.integer = attribute.integer.or(Some(0)),
        _ => {}
    }
    Ok((name, attribute))
}

fn dtype_of(number: i64) -> Option<DType> {
    [DType::F32, DType::U8, DType::I32, DType::I64, DType::Bool, DType::F16, DType::F64, DType::BF16]
        .into_iter()
        .find(|dtype| super::message::element_type(*dtype) == number)
}

fn parse_tensor(bytes: &[u8]) -> Result<(String, Tensor)> {
    let (mut name, mut dims, mut kind) = (String::new(), Vec::new(), 0);
    let (mut raw, mut typed) = (None, Vec::new());
    let mut integers = Vec::new();
    let mut external = false;
    each(bytes, |field, value| {
        match (field, value) {
            (1, value) => numbers(value, &mut dims)?,
            (2, Value::Number(number)) => kind = number as i64,
            // Floats, and doubles, may be kept apart from the raw bytes.
            (4 | 10, Value::Bytes(bytes)) => typed.extend_from_slice(bytes),
            (4, Value::Four(bytes)) => typed.extend(bytes),
            (5 | 7, value) => numbers(value, &mut integers)?,
            (8, Value::Bytes(bytes)) => name = text(bytes)?,
            (9, Value::Bytes(bytes)) => raw = Some(bytes),
            (14, Value::Number(1)) => external = true,
            _ => {}
        }
        Ok(())
    })?;
    let fail = |rule: &str| wrong(format!("the constant `{name}` {rule}"));
    if external {
        return Err(fail("is in another file, which is not supported"));
    }
    let dtype = dtype_of(kind)
        .ok_or_else(|| fail(&format!("has elements of type {kind}, which is not supported")))?;
    let dims: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let dims = dims.ok_or_else(|| fail("has negative sizes"))?;
    let count = dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    let length = count.and_then(|count| count.checked_mul(Spec::new([1usize], dtype).bytes()));
    let length = length.ok_or_else(|| fail("has absurd sizes"))?;
    if raw.is_none() && !integers.is_empty() {
        if Some(integers.len()) != count {
            return Err(fail("has another number of elements than its sizes say"));
        }
        return Ok((name, Tensor::new(&integers, &dims).cast(dtype)));
    }
    let bytes = raw.unwrap_or(&typed);
    if bytes.len() != length {
        return Err(fail(&format!("has {} bytes, not {length}", bytes.len())));
    }
    Ok((name, tensor_of(bytes, &dims, dtype)))
}

fn parse_input(bytes: &[u8]) -> Result<Input> {
    let mut input = Input { name: String::new(), dtype: DType::F32, dims: Vec::new() };
    each(bytes, |field, value| match (field, value) {
        (1, Value::Bytes(bytes)) => {
            input.name = text(bytes)?;
            Ok(())
        }
        (2, Value::Bytes(bytes)) => each(bytes, |field, value| match (field, value) {
            (1, Value::Bytes(bytes)) => each(bytes, |field, value| match (field, value) {
                (1, Value::Number(kind)) => {
                    input.dtype = dtype_of(kind as i64).unwrap_or(DType::F32);
                    Ok(())
                }
                (2, Value::Bytes(bytes)) => each(bytes, |_, value| {
                    let Value::Bytes(bytes) = value else { return Ok(()) };
                    let mut size = None;
                    each(bytes, |field, value| {
                        if let (1, Value::Number(number)) = (field, value) {
                            size = usize::try_from(number as i64).ok();
                        }
                        Ok(())
                    })?;
                    input.dims.push(size);
                    Ok(())
                }),
                _ => Ok(()),
            }),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })?;
    Ok(input)
}

/// The constants of a file by name.
///
/// # Errors
/// As [`file`].
pub(crate) fn constants(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let mut constants: Vec<(String, Tensor)> = file(bytes)?.constants.into_iter().collect();
    constants.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(constants)
}
