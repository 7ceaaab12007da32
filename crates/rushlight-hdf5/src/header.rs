//! Object headers: the messages that describe a group or a data set.

use crate::cursor::Cursor;
use crate::reader::Reader;
use crate::{Error, Result};

/// One message of a header.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) body: &'a [u8],
}

pub(crate) mod kind {
    pub(crate) const DATASPACE: u16 = 0x01;
    pub(crate) const LINK_INFO: u16 = 0x02;
    pub(crate) const DATATYPE: u16 = 0x03;
    pub(crate) const LINK: u16 = 0x06;
    pub(crate) const EXTERNAL: u16 = 0x07;
    pub(crate) const LAYOUT: u16 = 0x08;
    pub(crate) const FILTERS: u16 = 0x0b;
    pub(crate) const ATTRIBUTE: u16 = 0x0c;
    pub(crate) const CONTINUATION: u16 = 0x10;
    pub(crate) const SYMBOL_TABLE: u16 = 0x11;
    pub(crate) const ATTRIBUTE_INFO: u16 = 0x15;
}

/// Set in a message's flags if it only points to where the real one is.
const SHARED: u8 = 2;

/// All messages of the object whose header is at this address, continuations included.
pub(crate) fn messages<'a>(reader: &Reader<'a>, address: u64) -> Result<Vec<Message<'a>>> {
    const WHAT: &str = "an object header";
    let mut cursor = reader.at(address, WHAT)?;
    let mut found = Vec::new();
    // Parts yet to be read.
    let mut parts: Vec<&'a [u8]> = Vec::new();
    let mut probe = cursor;
    let form = if probe.take(4)? == b"OHDR" {
        cursor = probe;
        cursor.version(&[2])?;
        let flags = cursor.u8()?;
        cursor.skip(if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 })?;
        let size = cursor.uint(1 << (flags & 3))?;
        parts.push(cursor.take(usize::try_from(size).map_err(|_| Error::truncated(WHAT, 0))?)?);
        Form::New { tracks_order: flags & 4 != 0 }
    } else {
        cursor.version(&[1])?;
        cursor.skip(1 + 2 + 4)?;
        let size = cursor.u32()? as usize;
        cursor.skip(4)?;
        parts.push(cursor.take(size)?);
        Form::Old
    };
    while let Some(part) = parts.pop() {
        reader.count_block()?;
        let mut cursor = Cursor::new(part, WHAT);
        while cursor.remaining() >= form.prefix() {
            reader.count_block()?;
            let (message, flags) = form.message(&mut cursor)?;
            if flags & SHARED != 0 && message.kind != 0 {
                return Err(Error::new("shared messages (committed datatypes) are not supported"));
            }
            if message.kind != kind::CONTINUATION {
                found.push(message);
                continue;
            }
            let mut body = Cursor::new(message.body, WHAT);
            let (address, length) = (body.u64()?, body.u64()?);
            parts.push(form.continuation(reader.slice(address, length, WHAT)?)?);
        }
    }
    Ok(found)
}

#[derive(Clone, Copy)]
enum Form {
    Old,
    New { tracks_order: bool },
}

impl Form {
    /// Bytes before a message's body.
    fn prefix(self) -> usize {
        match self {
            Form::Old => 8,
            Form::New { tracks_order } => {
                if tracks_order {
                    6
                } else {
                    4
                }
            }
        }
    }

    fn message<'a>(self, cursor: &mut Cursor<'a>) -> Result<(Message<'a>, u8)> {
        let (kind, size, flags);
        match self {
            Form::Old => {
                (kind, size, flags) = (cursor.u16()?, cursor.u16()?, cursor.u8()?);
                cursor.skip(3)?;
            }
            Form::New { tracks_order } => {
                (kind, size, flags) = (u16::from(cursor.u8()?), cursor.u16()?, cursor.u8()?);
                cursor.skip(if tracks_order { 2 } else { 0 })?;
            }
        }
        Ok((Message { kind, body: cursor.take(usize::from(size))? }, flags))
    }

    /// What is in a further part, without its signature and checksum.
    fn continuation(self, part: &[u8]) -> Result<&[u8]> {
        match self {
            Form::Old => Ok(part),
            Form::New { .. } => part
                .strip_prefix(b"OCHK")
                .and_then(|rest| rest.len().checked_sub(4).map(|end| &rest[..end]))
                .ok_or_else(|| Error::new("a part of an object header must begin with `OCHK`")),
        }
    }
}
