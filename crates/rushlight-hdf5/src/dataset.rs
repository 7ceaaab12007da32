//! Data sets: type, sizes, and where the elements are.

use crate::chunks::{Chunked, Filters};
use crate::cursor::Cursor;
use crate::header::{Message, kind};
use crate::reader::Reader;
use crate::{Attribute, Datatype, Error, Result};
use std::borrow::Cow;

/// An array of elements of one type.
#[derive(Clone)]
pub struct Dataset<'a> {
    reader: &'a [u8],
    limits: crate::Limits,
    datatype: Datatype,
    dims: Vec<u64>,
    storage: Storage<'a>,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Clone)]
enum Storage<'a> {
    /// As the elements are.
    Plain(&'a [u8]),
    /// Nothing was written: all zeros.
    Nothing,
    Chunked(Chunked, Filters),
}

impl<'a> Dataset<'a> {
    pub(crate) fn parse(
        reader: &Reader<'a>,
        messages: &[Message<'a>],
        attributes: Vec<Attribute<'a>>,
    ) -> Result<Dataset<'a>> {
        let find = |kind| messages.iter().find(|message| message.kind == kind).map(|message| message.body);
        let need = |kind, what: &str| find(kind).ok_or_else(|| Error::new(format!("the {what} is missing")));
        let datatype = Datatype::parse(need(kind::DATATYPE, "datatype")?)?;
        let dims = parse_dims(need(kind::DATASPACE, "dataspace")?)?;
        if find(kind::EXTERNAL).is_some() {
            return Err(Error::new("data in other files is not supported"));
        }
        let filters = find(kind::FILTERS).map_or(Ok(Filters::default()), Filters::parse)?;
        let size = byte_count(&dims, &datatype)?;
        let storage = parse_layout(reader, need(kind::LAYOUT, "data layout")?, size, filters)?;
        let Reader { limits, .. } = *reader;
        Ok(Dataset { reader: reader.file(), limits, datatype, dims, storage, attributes })
    }

    pub fn datatype(&self) -> &Datatype {
        &self.datatype
    }

    /// The sizes of the axes; none for a single value.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// Bytes of all elements.
    pub fn byte_count(&self) -> u64 {
        self.dims.iter().product::<u64>() * self.datatype.size() as u64
    }

    pub fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    pub fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name() == name)
    }

    /// The elements in row-major order, as the datatype says.
    ///
    /// # Errors
    /// If the data is damaged, packed by an unknown filter, or larger than the limits allow.
    pub fn bytes(&self) -> Result<Cow<'a, [u8]>> {
        let size = self.byte_count();
        let unpacked = || {
            let limit = self.limits.unpacked_bytes;
            // Deflate makes nothing more than about a thousand times smaller.
            let packed_limit = (self.reader.len() as u64).saturating_mul(1100).saturating_add(1 << 20);
            if size > limit.min(packed_limit) {
                return Err(Error::new(format!("{size} bytes of data in a file of {}", self.reader.len())));
            }
            usize::try_from(size).map_err(|_| Error::new("the data does not fit into memory"))
        };
        match &self.storage {
            Storage::Plain(bytes) => Ok(Cow::Borrowed(bytes)),
            Storage::Nothing => Ok(Cow::Owned(vec![0; unpacked()?])),
            Storage::Chunked(chunked, filters) => {
                let mut all = vec![0; unpacked()?];
                let reader = Reader::again(self.reader, self.limits);
                chunked.read_into(&reader, filters, &self.dims, self.datatype.size(), &mut all)?;
                Ok(Cow::Owned(all))
            }
        }
    }
}

impl std::fmt::Debug for Dataset<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Dataset({:?} {:?})", self.datatype, self.dims)
    }
}

/// The sizes that a dataspace message gives.
pub(crate) fn parse_dims(body: &[u8]) -> Result<Vec<u64>> {
    let mut cursor = Cursor::new(body, "a dataspace");
    let version = cursor.version(&[1, 2])?;
    let rank = cursor.u8()?;
    cursor.skip(1)?;
    let class = cursor.u8()?;
    if version == 1 {
        cursor.skip(4)?;
    } else if class == 2 {
        return Ok(vec![0]);
    }
    if rank > 32 {
        return Err(Error::new(format!("{rank} axes are more than the 32 of the format")));
    }
    (0..rank).map(|_| cursor.u64()).collect()
}

pub(crate) fn byte_count(dims: &[u64], datatype: &Datatype) -> Result<u64> {
    let product = dims.iter().try_fold(datatype.size() as u64, |size, &dim| size.checked_mul(dim));
    // A zero among them must not hide that the others are absurd.
    let others = dims.iter().filter(|&&dim| dim > 0).try_fold(1u64, |size, &dim| size.checked_mul(dim));
    product.filter(|_| others.is_some()).ok_or_else(|| Error::new(format!("the sizes {dims:?} are absurd")))
}

fn parse_layout<'a>(reader: &Reader<'a>, body: &'a [u8], size: u64, filters: Filters) -> Result<Storage<'a>> {
    let mut cursor = Cursor::new(body, "a data layout");
    let version = cursor.version(&[1, 2, 3, 4])?;
    let plain = |address: Option<u64>| match address {
        None => Ok(Storage::Nothing),
        Some(address) => Ok(Storage::Plain(reader.slice(address, size, "the data")?)),
    };
    let compact = |bytes: &'a [u8]| match usize::try_from(size).ok().and_then(|size| bytes.get(..size)) {
        Some(bytes) => Ok(Storage::Plain(bytes)),
        None => Err(Error::new("the data in the header is too short")),
    };
    if version < 3 {
        let (axes, class) = (usize::from(cursor.u8()?), cursor.u8()?);
        cursor.skip(5)?;
        let address = if class == 0 { None } else { cursor.address()? };
        let dims = (0..axes).map(|_| cursor.u32().map(u64::from)).collect::<Result<Vec<u64>>>()?;
        return match class {
            0 => {
                let length = cursor.u32()? as usize;
                compact(cursor.take(length)?)
            }
            1 => plain(address),
            2 => Ok(Storage::Chunked(Chunked::tree(address, dims)?, filters)),
            class => Err(Error::new(format!("data layout {class} is not supported"))),
        };
    }
    match (cursor.u8()?, version) {
        (0, _) => {
            let length = usize::from(cursor.u16()?);
            compact(cursor.take(length)?)
        }
        (1, _) => plain(cursor.address()?),
        (2, 3) => {
            let axes = usize::from(cursor.u8()?);
            let address = cursor.address()?;
            let dims = (0..axes).map(|_| cursor.u32().map(u64::from)).collect::<Result<Vec<u64>>>()?;
            Ok(Storage::Chunked(Chunked::tree(address, dims)?, filters))
        }
        (2, _) => Ok(Storage::Chunked(Chunked::indexed(&mut cursor)?, filters)),
        (class, _) => Err(Error::new(format!("data layout {class} (virtual data) is not supported"))),
    }
}
