//! Elements as bytes: row-major, little-endian.

use rushlight_core::{DType, Element, Result, Tensor};

/// The elements in row-major order, little-endian.
pub(crate) fn bytes_of(value: &Tensor) -> Result<Vec<u8>> {
    Ok(match value.dtype()? {
        DType::F32 => value.to_vec::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
        DType::F64 => value.to_vec::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect(),
        DType::F16 => value.to_vec::<half::f16>()?.into_iter().flat_map(half::f16::to_le_bytes).collect(),
        DType::BF16 => value.to_vec::<half::bf16>()?.into_iter().flat_map(half::bf16::to_le_bytes).collect(),
        DType::I32 => value.to_vec::<i32>()?.into_iter().flat_map(i32::to_le_bytes).collect(),
        DType::I64 => value.to_vec::<i64>()?.into_iter().flat_map(i64::to_le_bytes).collect(),
        DType::U8 => value.to_vec::<u8>()?,
        DType::Bool => value.to_vec::<bool>()?.into_iter().map(u8::from).collect(),
    })
}

/// The tensor of these bytes, which must be as many as sizes and dtype say.
pub(crate) fn tensor_of(bytes: &[u8], dims: &[usize], dtype: DType) -> Tensor {
    fn elements<T: Element, const N: usize>(bytes: &[u8], dims: &[usize], read: fn([u8; N]) -> T) -> Tensor {
        let elements: Vec<T> = bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect();
        Tensor::new(&elements, dims)
    }
    match dtype {
        DType::F32 => elements(bytes, dims, f32::from_le_bytes),
        DType::F64 => elements(bytes, dims, f64::from_le_bytes),
        DType::F16 => elements(bytes, dims, half::f16::from_le_bytes),
        DType::BF16 => elements(bytes, dims, half::bf16::from_le_bytes),
        DType::I32 => elements(bytes, dims, i32::from_le_bytes),
        DType::I64 => elements(bytes, dims, i64::from_le_bytes),
        DType::U8 => elements(bytes, dims, |[byte]| byte),
        DType::Bool => elements(bytes, dims, |[byte]| byte != 0),
    }
}
