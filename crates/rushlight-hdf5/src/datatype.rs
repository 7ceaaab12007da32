//! What the elements of data sets and attributes are.

use crate::cursor::Cursor;
use crate::{Error, Result};

/// The type of elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datatype {
    F16,
    F32,
    F64,
    /// Signed little-endian, of 1, 2, 4 or 8 bytes.
    Int(u8),
    /// Unsigned little-endian, of 1, 2, 4 or 8 bytes.
    Uint(u8),
    /// As h5py writes them: an enumeration of bytes.
    Bool,
    /// Bytes without a meaning, such as Keras's bfloat16.
    Opaque(u32),
    /// Text of so many bytes, filled up at its end.
    FixedText(u32),
    /// Text of variable length, in a global heap.
    Text,
    /// Something else, as HDF5 calls it.
    Other(&'static str, u32),
}

impl Datatype {
    /// Bytes of an element in the file.
    pub fn size(&self) -> usize {
        match self {
            Datatype::F16 => 2,
            Datatype::F32 => 4,
            Datatype::F64 => 8,
            Datatype::Int(size) | Datatype::Uint(size) => usize::from(*size),
            Datatype::Bool => 1,
            Datatype::Text => 16,
            Datatype::Opaque(size) | Datatype::FixedText(size) | Datatype::Other(_, size) => *size as usize,
        }
    }

    pub(crate) fn parse(body: &[u8]) -> Result<Datatype> {
        Datatype::read(&mut Cursor::new(body, "a datatype"))
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Datatype> {
        const CLASSES: [&str; 12] = [
            "integer",
            "float",
            "time",
            "text",
            "bit field",
            "opaque",
            "compound",
            "reference",
            "enumeration",
            "sequence of variable length",
            "array",
            "complex",
        ];
        let first = cursor.u8()?;
        let (class, bits) = (usize::from(first & 15), [cursor.u8()?, cursor.u8()?, cursor.u8()?]);
        let size = cursor.u32()?;
        if size == 0 {
            return Err(Error::new("a datatype has elements of 0 bytes"));
        }
        let other = || Datatype::Other(CLASSES.get(class).copied().unwrap_or("unknown datatype"), size);
        let little_endian = bits[0] & 1 == 0;
        Ok(match class {
            0 => {
                let (offset, precision) = (cursor.u16()?, cursor.u16()?);
                let plain = offset == 0 && u32::from(precision) == size.saturating_mul(8) && little_endian;
                match size as u8 {
                    _ if !plain || ![1, 2, 4, 8].contains(&size) => other(),
                    size if bits[0] & 8 != 0 => Datatype::Int(size),
                    size => Datatype::Uint(size),
                }
            }
            1 => {
                cursor.skip(4)?;
                let layout = (cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?);
                match (size, layout) {
                    _ if !little_endian || bits[0] & 0x40 != 0 => other(),
                    (2, (10, 5, 0, 10)) => Datatype::F16,
                    (4, (23, 8, 0, 23)) => Datatype::F32,
                    (8, (52, 11, 0, 52)) => Datatype::F64,
                    _ => other(),
                }
            }
            3 => Datatype::FixedText(size),
            5 => Datatype::Opaque(size),
            // h5py's bool is the only enumeration of two values of a byte in use.
            8 if size == 1 && u16::from_le_bytes([bits[0], bits[1]]) == 2 => Datatype::Bool,
            9 if bits[0] & 15 == 1 && size == 16 => Datatype::Text,
            _ => other(),
        })
    }

    /// The message's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let float = |size: u8, layout: [u8; 4], bias: u32| {
            let mut bytes = vec![0x11, 0x20, size * 8 - 1, 0, size, 0, 0, 0, 0, 0, size * 8, 0];
            bytes.extend(layout);
            bytes.extend(bias.to_le_bytes());
            bytes
        };
        let integer = |size: u8, signed: u8| vec![0x10, signed, 0, 0, size, 0, 0, 0, 0, 0, size * 8, 0];
        Ok(match self {
            Datatype::F16 => float(2, [10, 5, 0, 10], 15),
            Datatype::F32 => float(4, [23, 8, 0, 23], 127),
            Datatype::F64 => float(8, [52, 11, 0, 52], 1023),
            Datatype::Int(size) => integer(*size, 8),
            Datatype::Uint(size) => integer(*size, 0),
            Datatype::Bool => {
                let mut bytes = vec![0x18, 2, 0, 0, 1, 0, 0, 0];
                bytes.extend(integer(1, 8));
                bytes.extend(b"FALSE\0\0\0TRUE\0\0\0\0\0\x01");
                bytes
            }
            Datatype::Opaque(size) => [&[0x15, 0, 0, 0][..], &size.to_le_bytes()].concat(),
            Datatype::Text => [&[0x19, 1, 1, 0, 16, 0, 0, 0][..], &integer(1, 0)].concat(),
            Datatype::FixedText(_) | Datatype::Other(..) => {
                return Err(Error::new(format!("{self:?} cannot be written")));
            }
        })
    }
}
