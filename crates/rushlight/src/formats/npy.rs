//! NumPy's arrays: `.npy` files, and `.npz` archives of them.
//!
//! Source: NumPy's format description (NEP 1).

use crate::formats::elements::{bytes_of, tensor_of};
use crate::formats::zip::{Archive, is_zip, write};
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";

fn wrong(rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, "npy", rule)
}

/// Whether these bytes begin like a `.npy` file.
pub fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The array of a `.npy` file; small integers become `i32`, unsigned ones of 32 and 64 bits `i64`.
///
/// # Errors
/// If the file is damaged, or if its elements are neither numbers nor truth values.
pub fn read_npy(bytes: &[u8]) -> Result<Tensor> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(wrong("this is no .npy file: it must begin with \\x93NUMPY"));
    };
    let cut_off = || wrong("the file ends within its header");
    let (&version, rest) = rest.split_first().ok_or_else(cut_off)?;
    let length_size = match version {
        1 => 2,
        2 | 3 => 4,
        _ => return Err(wrong(format!("version {version} of the format is not known"))),
    };
    let sizes = rest.get(1..1 + length_size).ok_or_else(cut_off)?;
    let length = sizes.iter().rev().fold(0usize, |value, &byte| value << 8 | usize::from(byte));
    let start = 1 + length_size;
    let header = start.checked_add(length).and_then(|end| rest.get(start..end)).ok_or_else(cut_off)?;
    let header = std::str::from_utf8(header).map_err(|_| wrong("the header is no text"))?;
    Header::parse(header)?.tensor(&rest[start + length..])
}

struct Header {
    kind: u8,
    size: usize,
    big_endian: bool,
    by_columns: bool,
    dims: Vec<usize>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(header: &str) -> Result<Header> {
        let bad = || wrong(format!("the header {header:?} is not understood"));
        let value = |key: &str| {
            let at = header.find(&format!("'{key}'")).ok_or_else(bad)? + key.len() + 2;
            let rest = header[at..].trim_start();
            Ok::<&str, Error>(rest.strip_prefix(':').ok_or_else(bad)?.trim_start())
        };
        let descr =
            value("descr")?.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).ok_or_else(bad)?;
        let by_columns = match value("fortran_order")? {
            text if text.starts_with("True") => true,
            text if text.starts_with("False") => false,
            _ => return Err(bad()),
        };
        let shape =
            value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(bad)?.0;
        let sizes = shape.split(',').map(str::trim).filter(|part| !part.is_empty());
        let dims: Vec<usize> = sizes.map(|part| part.parse().map_err(|_| bad())).collect::<Result<_>>()?;
        let mut letters = descr.bytes();
        let (order, kind) = (letters.next().ok_or_else(bad)?, letters.next().ok_or_else(bad)?);
        let size = descr.get(2..).and_then(|size| size.parse().ok()).ok_or_else(bad)?;
        let known = matches!((kind, size), (b'f', 2 | 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1));
        if !known || dims.len() > 32 {
            return Err(wrong(format!(
                "elements of type `{descr}` with {} axes are not supported",
                dims.len()
            )));
        }
        Ok(Header { kind, size, big_endian: order == b'>', by_columns, dims })
    }

    fn tensor(&self, data: &[u8]) -> Result<Tensor> {
        let Header { kind, size, .. } = *self;
        let count = self.dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        let length = count.and_then(|count| count.checked_mul(size));
        let (Some(count), Some(length)) = (count, length) else {
            return Err(wrong(format!("sizes {:?} are absurd", self.dims)));
        };
        let data = data.get(..length).ok_or_else(|| {
            wrong(format!("{:?} elements of {size} bytes need {length} bytes, not {}", self.dims, data.len()))
        })?;
        let swapped: Vec<u8>;
        let data = if self.big_endian {
            swapped = data.chunks_exact(size).flat_map(|element| element.iter().rev().copied()).collect();
            &swapped
        } else {
            data
        };
        let mut dims = self.dims.clone();
        if self.by_columns {
            dims.reverse();
        }
        let plain = |dtype| Ok(tensor_of(data, &dims, dtype));
        let integer = |element: &[u8]| {
            let value = element.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
            let unused = 64 - 8 * element.len() as u32;
            if kind == b'i' { ((value << unused) as i64) >> unused } else { value as i64 }
        };
        let integers = || data.chunks_exact(size).map(integer);
        let tensor = match (kind, size) {
            (b'f', 2) => plain(DType::F16),
            (b'f', 4) => plain(DType::F32),
            (b'f', _) => plain(DType::F64),
            (b'b', _) => plain(DType::Bool),
            (b'u', 1) => plain(DType::U8),
            (b'i', 4) => plain(DType::I32),
            (b'i', 8) => plain(DType::I64),
            (_, 1 | 2) => {
                let values: Vec<i32> = integers().map(|value| value as i32).collect();
                Ok(Tensor::new(&values, &dims))
            }
            _ => {
                let values: Vec<i64> = integers().collect();
                match values.iter().any(|&value| value < 0) {
                    true => Err(wrong("an unsigned number is too large for i64")),
                    false => Ok(Tensor::new(&values, &dims)),
                }
            }
        }?;
        if !self.by_columns || count == 0 {
            return tensor.reshape_to(&self.dims).check().cloned();
        }
        let axes: Vec<isize> = (0..dims.len() as isize).rev().collect();
        tensor.transpose(&axes).check().cloned()
    }
}

/// The bytes of a `.npy` file; `bf16`, which NumPy does not have, is written as `f32`.
///
/// # Errors
/// If the tensor carries an error or has no value.
pub fn write_npy(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = if tensor.dtype()? == DType::BF16 { tensor.cast(DType::F32) } else { tensor.clone() };
    let kind = match tensor.dtype()? {
        DType::F16 => "<f2",
        DType::F32 | DType::BF16 => "<f4",
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::Bool => "|b1",
    };
    let dims: Vec<String> = tensor.shape()?.iter().map(usize::to_string).collect();
    let shape = if dims.len() == 1 { format!("({},)", dims[0]) } else { format!("({})", dims.join(", ")) };
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    // The data begins at a multiple of 64 bytes, behind a line break.
    let length = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(length as u16).to_le_bytes(), header.as_bytes()].concat();
    bytes.extend(bytes_of(&tensor)?);
    Ok(bytes)
}

/// The arrays of an `.npz` file by name.
///
/// # Errors
/// If the archive or an array in it is damaged.
pub fn read_npz(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    if !is_zip(bytes) {
        return Err(wrong("this is no .npz file: it must be a zip archive"));
    }
    let archive = Archive::new(bytes)?;
    let names: Vec<&str> = archive.names().filter(|name| !name.ends_with('/')).collect();
    let mut arrays = Vec::new();
    for name in names {
        let array =
            read_npy(&archive.read(name)?).map_err(|error| wrong(format!("`{name}`: {}", error.rule())))?;
        arrays.push((name.strip_suffix(".npy").unwrap_or(name).to_string(), array));
    }
    Ok(arrays)
}

/// The bytes of an `.npz` file of these arrays.
///
/// # Errors
/// As [`write_npy`].
pub fn write_npz(arrays: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let files = arrays.iter().map(|(name, array)| Ok((format!("{name}.npy"), write_npy(array)?)));
    let files = files.collect::<Result<Vec<_>>>()?;
    let members: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    write(&members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back() {
        let arrays = [
            Tensor::new(&[1.5f32, -2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]),
            Tensor::scalar(2.5f64),
            Tensor::new(&[1i64, -1], [2]),
            Tensor::new(&[true, false], [2, 1]),
            Tensor::new(&[7u8; 3], [3]),
            Tensor::zeros([0, 4], DType::F32),
        ];
        for array in &arrays {
            let bytes = write_npy(array).unwrap();
            assert_eq!(bytes.len() % 64, bytes_of(array).unwrap().len() % 64);
            let again = read_npy(&bytes).unwrap();
            assert_eq!(again.spec().unwrap(), array.spec().unwrap());
            assert_eq!(bytes_of(&again).unwrap(), bytes_of(array).unwrap());
            for length in 0..bytes.len() {
                assert!(read_npy(&bytes[..length]).is_err());
            }
        }
        let named: Vec<(String, Tensor)> =
            arrays.iter().enumerate().map(|(index, array)| (format!("a{index}"), array.clone())).collect();
        let again = read_npz(&write_npz(&named).unwrap()).unwrap();
        assert_eq!(
            again.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["a0", "a1", "a2", "a3", "a4", "a5"]
        );
    }

    fn npy(descr: &str, columns: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {columns}, 'shape': {shape}, }}\n");
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn other_orders_and_integers_are_understood() {
        let by_columns =
            read_npy(&npy("<i4", "True", "(2, 2)", &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]));
        assert_eq!(by_columns.unwrap().to_vec::<i32>().unwrap(), [1, 3, 2, 4]);
        let big_endian = read_npy(&npy(">i2", "False", "(2,)", &[0xff, 0xfe, 1, 0])).unwrap();
        assert_eq!(big_endian.to_vec::<i32>().unwrap(), [-2, 256]);
        let unsigned = read_npy(&npy("<u4", "False", "()", &[0xff, 0xff, 0xff, 0xff])).unwrap();
        assert_eq!(unsigned.item::<i64>().unwrap(), 0xffff_ffff);
        for (descr, shape) in
            [("|O8", "(1,)"), ("<f4", "(99999999999, 99999999999)"), ("<U3", "(1,)"), ("<f4", "(2,)")]
        {
            assert!(read_npy(&npy(descr, "False", shape, &[0; 4])).is_err(), "{descr} {shape}");
        }
    }
}
