//! Attributes: small named values of groups and data sets.

use crate::cursor::Cursor;
use crate::datatype::Datatype;
use crate::heap::{global_object, text};
use crate::reader::Reader;
use crate::{Error, Result};

/// A named value of a group or a data set.
#[derive(Clone, Debug)]
pub struct Attribute<'a> {
    name: String,
    datatype: Datatype,
    dims: Vec<u64>,
    data: &'a [u8],
    /// Texts that are elsewhere in the file.
    texts: Vec<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    pub(crate) fn parse(reader: &Reader<'a>, body: &'a [u8]) -> Result<Attribute<'a>> {
        let mut cursor = Cursor::new(body, "an attribute");
        let version = cursor.version(&[1, 2, 3])?;
        let flags = cursor.u8()?;
        if version > 1 && flags & 3 != 0 {
            return Err(Error::new("attributes of shared types are not supported"));
        }
        let sizes = [cursor.u16()?, cursor.u16()?, cursor.u16()?];
        if version == 3 {
            cursor.skip(1)?;
        }
        let mut part = |size: u16| {
            let taken = cursor.take(usize::from(size))?;
            if version == 1 {
                cursor.align();
            }
            Ok(taken)
        };
        let (name, datatype, space) = (part(sizes[0])?, part(sizes[1])?, part(sizes[2])?);
        let name = text(name.split(|&byte| byte == 0).next().unwrap_or_default())?;
        let parsed = (|| {
            let (datatype, dims) = (Datatype::parse(datatype)?, crate::dataset::parse_dims(space)?);
            let size = crate::dataset::byte_count(&dims, &datatype)?;
            let size = usize::try_from(size).map_err(|_| Error::truncated("an attribute", 0))?;
            let data = cursor.take(size)?;
            let texts = match datatype {
                Datatype::Text => texts(reader, data)?,
                _ => Vec::new(),
            };
            Ok((datatype, dims, data, texts))
        })();
        let (datatype, dims, data, texts) =
            parsed.map_err(|error: Error| error.within(&format!("@{name}")))?;
        Ok(Attribute { name, datatype, dims, data, texts })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn datatype(&self) -> &Datatype {
        &self.datatype
    }

    /// The sizes of the axes; none for a single value.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// The elements as they are in the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// The single text that this attribute is.
    ///
    /// # Errors
    /// If it is something else.
    pub fn text(&self) -> Result<String> {
        match self.texts()?.as_slice() {
            [one] => Ok(one.clone()),
            many => Err(Error::new(format!("`@{}` must be one text, not {}", self.name, many.len()))),
        }
    }

    /// The texts that this attribute holds.
    ///
    /// # Errors
    /// If it holds something else.
    pub fn texts(&self) -> Result<Vec<String>> {
        match &self.datatype {
            Datatype::Text => self.texts.iter().map(|bytes| text(bytes)).collect(),
            Datatype::FixedText(size) => {
                let trimmed = |element: &[u8]| {
                    let end = element.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                    text(&element[..end])
                };
                self.data.chunks_exact(*size as usize).map(trimmed).collect()
            }
            other => Err(Error::new(format!("`@{}` must be text, not {other:?}", self.name))),
        }
    }
}

/// The texts that elements of variable length point to.
fn texts<'a>(reader: &Reader<'a>, elements: &'a [u8]) -> Result<Vec<&'a [u8]>> {
    let mut found = Vec::new();
    let mut cursor = Cursor::new(elements, "a text of variable length");
    while cursor.remaining() >= 16 {
        let (length, address, index) = (cursor.u32()? as usize, cursor.u64()?, cursor.u32()?);
        let object = if length == 0 { &[][..] } else { global_object(reader, address, index)? };
        let text = object.get(..length).ok_or_else(|| Error::truncated("a text of variable length", 0))?;
        // A text that was written with its final zero.
        found.push(text.strip_suffix(b"\0").unwrap_or(text));
    }
    Ok(found)
}
