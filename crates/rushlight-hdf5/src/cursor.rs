//! Reading little-endian numbers from a part of the file, never past its end.

use crate::{Error, Result};

/// A place in a part of the file.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is being read, for the message.
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Cursor<'a> {
        Cursor { bytes, at: 0, what }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.remaining() {
            return Err(Error::truncated(self.what, self.at));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<()> {
        self.take(count).map(drop)
    }

    /// Skips to a multiple of 8 bytes from the start; the end of the part will do as well.
    pub(crate) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8).min(self.bytes.len());
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(taken);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of up to 8 bytes.
    pub(crate) fn uint(&mut self, size: usize) -> Result<u64> {
        if size > 8 {
            return Err(Error::new(format!("{} has a number of {size} bytes", self.what)));
        }
        let taken = self.take(size)?;
        Ok(taken.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// An address; nothing if it is the undefined one.
    pub(crate) fn address(&mut self) -> Result<Option<u64>> {
        Ok(Some(self.u64()?).filter(|&address| address != u64::MAX))
    }

    pub(crate) fn signature(&mut self, signature: &[u8; 4]) -> Result<()> {
        let at = self.at;
        if self.take(4)? != signature {
            let name = String::from_utf8_lossy(signature);
            return Err(Error::new(format!("{} must begin with `{name}` (byte {at} of it)", self.what)));
        }
        Ok(())
    }

    pub(crate) fn version(&mut self, known: &[u8]) -> Result<u8> {
        let version = self.u8()?;
        if !known.contains(&version) {
            return Err(Error::new(format!("{} has version {version}, which is not known", self.what)));
        }
        Ok(version)
    }
}
