//! Zip archives, as Keras and NumPy use them: read from bytes that nobody vouches for, and written.
//!
//! Source: APPNOTE.TXT, the .ZIP file format specification.

use rushlight_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::io::Read;

/// Members of an archive, and bytes of each of them unpacked, at most.
const MOST_MEMBERS: usize = 100_000;
const MOST_BYTES: u64 = 16 << 30;
/// Deflate makes nothing more than about a thousand times smaller.
const MOST_RATIO: u64 = 1100;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

fn damaged(rule: impl Into<String>) -> Error {
    Error::outside(ErrorKind::Value, "zip", rule)
}

/// An archive in memory.
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    members: BTreeMap<String, Member>,
}

struct Member {
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    header: u64,
}

/// Whether a file begins like a zip archive.
pub(crate) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(LOCAL) || bytes.starts_with(END)
}

fn number(bytes: &[u8], at: usize, size: usize) -> Result<u64> {
    let end = at.checked_add(size);
    let part = end.and_then(|end| bytes.get(at..end)).ok_or_else(|| damaged("the archive is cut off"))?;
    Ok(part.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

impl<'a> Archive<'a> {
    /// Reads the directory of the archive.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Archive<'a>> {
        /// What an end record may at most be followed by: its comment.
        const MOST_COMMENT: usize = 65_535;
        let earliest = bytes.len().saturating_sub(22 + MOST_COMMENT);
        let last_start = bytes.len().checked_sub(22).ok_or_else(|| damaged("this is no zip archive"))?;
        let end = (earliest..=last_start).rev().find(|&at| bytes[at..].starts_with(END));
        let end = end.ok_or_else(|| damaged("the archive is cut off: its directory is missing"))?;
        let (mut count, mut start) = (number(bytes, end + 10, 2)?, number(bytes, end + 16, 4)?);
        if (count == 0xffff || start == 0xffff_ffff)
            && let Some(locator) = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(LOCATOR_64))
        {
            let at = usize::try_from(number(bytes, locator + 8, 8)?).unwrap_or(usize::MAX);
            if !bytes.get(at..).is_some_and(|rest| rest.starts_with(END_64)) {
                return Err(damaged("the large directory is missing"));
            }
            (count, start) = (number(bytes, at + 32, 8)?, number(bytes, at + 48, 8)?);
        }
        if count > MOST_MEMBERS as u64 {
            return Err(damaged(format!("{count} members are more than {MOST_MEMBERS}")));
        }
        let mut members = BTreeMap::new();
        let mut at = usize::try_from(start).unwrap_or(usize::MAX);
        for _ in 0..count {
            let (name, member, next) = Archive::entry(bytes, at)?;
            if members.insert(name.clone(), member).is_some() {
                return Err(damaged(format!("`{name}` is there twice")));
            }
            at = next;
        }
        Ok(Archive { bytes, members })
    }

    /// The entry of the directory at this place, and where the next one begins.
    fn entry(bytes: &[u8], at: usize) -> Result<(String, Member, usize)> {
        if !bytes.get(at..).is_some_and(|rest| rest.starts_with(CENTRAL)) {
            return Err(damaged("the directory is damaged"));
        }
        let field = |offset: usize, size: usize| number(bytes, at + offset, size);
        let (flags, method, crc) = (field(8, 2)?, field(10, 2)? as u16, field(16, 4)? as u32);
        let [mut packed, mut size, mut header] = [field(20, 4)?, field(24, 4)?, field(42, 4)?];
        let [name_length, extra, comment] =
            [field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize];
        let name_start = at + 46;
        let extra_start = name_start + name_length;
        let next = extra_start + extra + comment;
        let name = bytes.get(name_start..extra_start).ok_or_else(|| damaged("the archive is cut off"))?;
        let name = String::from_utf8_lossy(name).into_owned();
        // Sizes that do not fit are in an extra field, in this order.
        let mut extra_at = extra_start;
        while extra_at + 4 <= extra_start + extra {
            let (kind, length) = (number(bytes, extra_at, 2)?, number(bytes, extra_at + 2, 2)? as usize);
            let mut value_at = extra_at + 4;
            if kind == 1 {
                for value in [&mut size, &mut packed, &mut header] {
                    if *value == 0xffff_ffff {
                        *value = number(bytes, value_at, 8)?;
                        value_at += 8;
                    }
                }
            }
            extra_at += 4 + length;
        }
        if flags & 1 != 0 {
            return Err(damaged(format!("`{name}` is encrypted")));
        }
        Ok((name, Member { method, crc, packed, size, header }, next))
    }

    /// The names of all members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A member's content, its checksum verified.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let member = self.members.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.names().take(20).collect();
            damaged(format!("`{name}` is missing; there are {}", names.join(", ")))
        })?;
        let wrong = |rule: String| damaged(format!("`{name}` {rule}"));
        let header = usize::try_from(member.header).unwrap_or(usize::MAX);
        if !self.bytes.get(header..).is_some_and(|rest| rest.starts_with(LOCAL)) {
            return Err(wrong("is not where the directory says".to_string()));
        }
        let [name_length, extra] = [number(self.bytes, header + 26, 2)?, number(self.bytes, header + 28, 2)?];
        let start = header + 30 + (name_length + extra) as usize;
        let packed = usize::try_from(member.packed)
            .ok()
            .and_then(|packed| self.bytes.get(start..start.checked_add(packed)?))
            .ok_or_else(|| wrong("is cut off".to_string()))?;
        if member.size > MOST_BYTES || member.size > member.packed.saturating_mul(MOST_RATIO) + 1024 {
            return Err(wrong(format!("claims {} bytes, packed in {}", member.size, member.packed)));
        }
        let content = match member.method {
            0 => packed.to_vec(),
            8 => {
                let mut content = Vec::new();
                let mut decoder = flate2::read::DeflateDecoder::new(packed).take(member.size + 1);
                decoder.read_to_end(&mut content).map_err(|error| wrong(format!("is damaged: {error}")))?;
                content
            }
            method => return Err(wrong(format!("is packed by method {method}, not stored or deflated"))),
        };
        if content.len() as u64 != member.size {
            return Err(wrong(format!("has {} bytes, not {}", content.len(), member.size)));
        }
        if checksum(&content) != member.crc {
            return Err(wrong("is damaged: its checksum is wrong".to_string()));
        }
        Ok(content)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// An archive of these members, stored as they are.
///
/// # Errors
/// If it would be 4 GiB or larger.
pub(crate) fn write(members: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    /// 1980-01-01, the first date there is: the same content gives the same bytes.
    const DATE: [u8; 4] = [0, 0, 0x21, 0];
    let total: usize = members.iter().map(|(name, content)| content.len() + 2 * name.len() + 128).sum();
    if total >= u32::MAX as usize || members.len() >= usize::from(u16::MAX) {
        return Err(damaged("an archive of 4 GiB or more cannot be written"));
    }
    let mut bytes = Vec::with_capacity(total);
    let mut directory = Vec::new();
    for (name, content) in members {
        let start = bytes.len() as u32;
        let mut common = vec![20, 0, 0, 8, 0, 0];
        common.extend(DATE);
        common.extend(checksum(content).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(LOCAL);
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(*content);
        directory.extend(CENTRAL);
        directory.extend([20, 0]);
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (bytes.len() as u32, members.len() as u16);
    bytes.extend(&directory);
    bytes.extend(END);
    bytes.extend([0; 4]);
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_found() {
        let members: [(&str, &[u8]); 3] = [("a.txt", b"hello"), ("empty", b""), ("dir/b", &[7; 300])];
        let whole = write(&members).unwrap();
        let archive = Archive::new(&whole).unwrap();
        for (name, content) in members {
            assert_eq!(archive.read(name).unwrap(), content);
        }
        assert!(archive.read("c").unwrap_err().to_string().contains("`c` is missing; there are a.txt"));
        for length in 0..whole.len() {
            assert!(Archive::new(&whole[..length]).is_err(), "{length}");
        }
        let mut damaged = whole.clone();
        damaged[35] ^= 1;
        let error = Archive::new(&damaged).unwrap().read("a.txt").unwrap_err().to_string();
        assert_eq!(error, "[zip] `a.txt` is damaged: its checksum is wrong");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            if let Ok(archive) = Archive::new(&damaged) {
                for name in archive.names() {
                    let _ = archive.read(name);
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut whole = write(&[("bomb", &[0; 50])]).unwrap();
        let directory = whole.windows(4).position(|bytes| bytes == CENTRAL).unwrap();
        whole[directory + 24..directory + 28].copy_from_slice(&(1u32 << 31).to_le_bytes());
        let error = Archive::new(&whole).unwrap().read("bomb").unwrap_err().to_string();
        assert!(error.contains("claims 2147483648 bytes, packed in 50"), "{error}");
    }
}
