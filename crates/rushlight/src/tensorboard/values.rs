//! The values that event files hold, as messages.

use super::proto::Message;
use rushlight_core::tensor::is_open;
use rushlight_core::{DType, Spec};

/// Number of a dtype in TensorFlow's messages.
pub(super) fn dtype_number(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => 1,
        DType::F64 => 2,
        DType::I32 => 3,
        DType::U8 => 4,
        DType::I64 => 9,
        DType::Bool => 10,
        DType::BF16 => 14,
        DType::F16 => 19,
    }
}

const FLOAT: i64 = 1;
const DOUBLE: i64 = 2;
const STRING: i64 = 7;

/// TensorShapeProto; open sizes are -1.
pub(super) fn shape(dims: &[usize]) -> Message {
    let size = |&dim: &usize| if is_open(dim) { -1 } else { dim as i64 };
    Message::new().messages(2, dims.iter().map(|dim| Message::new().integer(1, size(dim))))
}

pub(super) fn shape_of(spec: &Spec) -> Message {
    shape(&spec.dims)
}

/// TensorProto of texts or other strings of bytes.
pub(super) fn strings<'a>(dims: &[usize], values: impl IntoIterator<Item = &'a [u8]>) -> Message {
    let tensor = Message::new().integer(1, STRING).message(2, &shape(dims));
    values.into_iter().fold(tensor, |tensor, value| tensor.bytes(8, value))
}

pub(super) fn scalar(value: f32) -> Message {
    Message::new().integer(1, FLOAT).message(2, &shape(&[])).bytes(4, &value.to_le_bytes())
}

/// Rows of left edge, right edge and count.
pub(super) fn histogram(rows: &[[f64; 3]]) -> Message {
    let bytes: Vec<u8> = rows.as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect();
    Message::new().integer(1, DOUBLE).message(2, &shape(&[rows.len(), 3])).bytes(4, &bytes)
}

/// No elements: for values whose content is all in the metadata.
pub(super) fn nothing() -> Message {
    Message::new().integer(1, FLOAT).message(2, &shape(&[0]))
}

/// Event { wall_time, step, summary { value { tag, tensor, metadata { plugin_data } } } }.
pub(super) fn event(
    wall_time: f64,
    tag: &str,
    step: i64,
    plugin: &str,
    content: &[u8],
    tensor: &Message,
) -> Message {
    let mut data = Message::new().text(1, plugin);
    if !content.is_empty() {
        data = data.bytes(2, content);
    }
    let metadata = Message::new().message(1, &data);
    let value = Message::new().text(1, tag).message(8, tensor).message(9, &metadata);
    Message::new().double(1, wall_time).integer(2, step).message(5, &Message::new().message(1, &value))
}
