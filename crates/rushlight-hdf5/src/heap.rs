//! Local heaps, which hold the names of old groups, and global heaps, which hold texts of variable length.

use crate::reader::Reader;
use crate::{Error, Result};

/// The data of the local heap at this address.
pub(crate) fn local_heap<'a>(reader: &Reader<'a>, address: u64) -> Result<&'a [u8]> {
    const WHAT: &str = "a local heap";
    let mut cursor = reader.at(address, WHAT)?;
    cursor.signature(b"HEAP")?;
    cursor.version(&[0])?;
    cursor.skip(3)?;
    let size = cursor.u64()?;
    cursor.skip(8)?;
    let data = cursor.u64()?;
    reader.slice(data, size, WHAT)
}

/// The name that begins here and ends with a zero.
pub(crate) fn name_in(heap: &[u8], offset: u64) -> Result<String> {
    let rest = usize::try_from(offset).ok().and_then(|offset| heap.get(offset..)).unwrap_or_default();
    match rest.iter().position(|&byte| byte == 0) {
        Some(end) => text(&rest[..end]),
        None => Err(Error::new("a name goes beyond its heap")),
    }
}

pub(crate) fn text(bytes: &[u8]) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(_) => Err(Error::new("a text is not UTF-8")),
    }
}

/// An object of the global heap collection at this address.
pub(crate) fn global_object<'a>(reader: &Reader<'a>, address: u64, index: u32) -> Result<&'a [u8]> {
    const WHAT: &str = "a global heap";
    let mut cursor = reader.at(address, WHAT)?;
    cursor.signature(b"GCOL")?;
    cursor.version(&[1])?;
    cursor.skip(3)?;
    let size = cursor.u64()?;
    let body = reader.slice(address, size, WHAT)?;
    let mut cursor = crate::cursor::Cursor::new(body, WHAT);
    cursor.skip(16)?;
    while cursor.remaining() >= 16 {
        reader.count_block()?;
        let number = cursor.u16()?;
        cursor.skip(6)?;
        let length = cursor.u64()?;
        // What is behind object 0 is free.
        if number == 0 {
            break;
        }
        let length = usize::try_from(length).map_err(|_| Error::truncated(WHAT, 0))?;
        let object = cursor.take(length)?;
        if u32::from(number) == index {
            return Ok(object);
        }
        cursor.align();
    }
    Err(Error::new(format!("object {index} is not in its global heap")))
}
