//! The messages of an ONNX file; numbers of fields are those of `onnx.proto`.

use crate::formats::elements::bytes_of;
use crate::tensorboard::proto::Message;
use rushlight_core::tensor::is_open;
use rushlight_core::{DType, Result, Spec, Tensor};

/// The versions of the file format and of the operators.
const IR_VERSION: i64 = 10;
const OPERATORS: i64 = 20;

/// An attribute of a node.
pub(super) enum Attribute {
    Integer(i64),
    Integers(Vec<i64>),
    Text(&'static str),
}

/// The number of an element type.
pub(super) fn element_type(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::BF16 => 16,
    }
}

pub(super) fn node(
    kind: &str,
    inputs: &[String],
    outputs: &[String],
    attributes: &[(&str, Attribute)],
) -> Message {
    let with_inputs = inputs.iter().fold(Message::new(), |message, input| message.text(1, input));
    let with_outputs = outputs.iter().fold(with_inputs, |message, output| message.text(2, output));
    let named = with_outputs.text(3, outputs.first().map_or("", String::as_str)).text(4, kind);
    attributes.iter().fold(named, |message, (name, attribute)| message.message(5, &attribute.message(name)))
}

impl Attribute {
    fn message(&self, name: &str) -> Message {
        let named = Message::new().text(1, name);
        match self {
            Attribute::Integer(value) => named.element(3, *value).integer(20, 2),
            Attribute::Text(text) => named.text(4, text).integer(20, 3),
            Attribute::Integers(values) => {
                values.iter().fold(named, |message, value| message.element(8, *value)).integer(20, 7)
            }
        }
    }
}

/// A constant.
///
/// # Errors
/// If the tensor has no value.
pub(super) fn tensor(name: &str, value: &Tensor) -> Result<Message> {
    let dims = value.shape()?.iter().fold(Message::new(), |message, &dim| message.element(1, dim as i64));
    Ok(dims.integer(2, element_type(value.dtype()?)).text(8, name).bytes(9, &bytes_of(value)?))
}

/// An input or output with its type; the batch is open.
pub(super) fn value_info(name: &str, spec: &Spec) -> Message {
    let shape = spec.dims.iter().fold(Message::new(), |message, &dim| {
        let dim = match is_open(dim) {
            true => Message::new().text(2, "batch"),
            false => Message::new().element(1, dim as i64),
        };
        message.message(1, &dim)
    });
    let kind = Message::new().integer(1, element_type(spec.dtype)).message(2, &shape);
    Message::new().text(1, name).message(2, &Message::new().message(1, &kind))
}

/// The parts of a graph.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) nodes: Vec<Message>,
    pub(super) constants: Vec<Message>,
    pub(super) inputs: Vec<Message>,
    pub(super) outputs: Vec<Message>,
}

impl Graph {
    /// The whole file.
    pub(super) fn file(self) -> Vec<u8> {
        let graph = Message::new()
            .messages(1, self.nodes)
            .text(2, &self.name)
            .messages(5, self.constants)
            .messages(11, self.inputs)
            .messages(12, self.outputs);
        let operators = Message::new().text(1, "").integer(2, OPERATORS);
        let file = Message::new()
            .integer(1, IR_VERSION)
            .text(2, "rushlight")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, &graph)
            .message(8, &operators);
        file.as_bytes().to_vec()
    }
}
