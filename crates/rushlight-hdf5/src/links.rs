//! Links of new groups: each is a message of its own.

use crate::cursor::Cursor;
use crate::heap::text;
use crate::{Error, Result};

/// Name and address of the object that a link message points to; nothing for soft and external links.
pub(crate) fn parse_link(body: &[u8]) -> Result<Option<(String, u64)>> {
    let mut cursor = Cursor::new(body, "a link");
    cursor.version(&[1])?;
    let flags = cursor.u8()?;
    let kind = if flags & 8 != 0 { cursor.u8()? } else { 0 };
    cursor.skip(if flags & 4 != 0 { 8 } else { 0 } + if flags & 16 != 0 { 1 } else { 0 })?;
    let length = cursor.uint(1 << (flags & 3))?;
    let length = usize::try_from(length).map_err(|_| Error::truncated("a link", 0))?;
    let name = text(cursor.take(length)?)?;
    if kind != 0 {
        return Ok(None);
    }
    Ok(Some((name, cursor.u64()?)))
}
