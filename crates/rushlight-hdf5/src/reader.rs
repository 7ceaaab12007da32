//! The file as a whole: where it begins, and how much work reading it may be.

use crate::cursor::Cursor;
use crate::{Error, Group, Result};
use std::cell::Cell;

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// How much a file may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Groups within groups.
    pub depth: usize,
    /// Objects, messages, nodes of trees and entries of heaps, all together.
    pub blocks: u64,
    /// Bytes of one data set that are not in the file as they are: decompressed, or never written.
    pub unpacked_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { depth: 64, blocks: 4_000_000, unpacked_bytes: 4 << 30 }
    }
}

/// Whether the file begins like HDF5.
pub fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Reads the tree of groups, data sets and attributes; the data itself is read on demand.
///
/// # Errors
/// If the file is damaged, asks for too much, or uses what h5py and Keras do not.
pub fn read(bytes: &[u8]) -> Result<Group<'_>> {
    read_within(bytes, Limits::default())
}

/// As [`read`], within limits of your own.
///
/// # Errors
/// As [`read`].
pub fn read_within(bytes: &[u8], limits: Limits) -> Result<Group<'_>> {
    let start = start_of(bytes)?;
    let file = &bytes[start..];
    let reader = Reader { file, limits, blocks_left: Cell::new(limits.blocks) };
    let root = root_address(file)?;
    crate::group::read_root(&reader, root)
}

/// The signature is at the beginning, or behind a user block of 512, 1024, … bytes.
fn start_of(bytes: &[u8]) -> Result<usize> {
    let mut start = 0;
    while start < bytes.len() {
        if bytes[start..].starts_with(SIGNATURE) {
            return Ok(start);
        }
        start = if start == 0 { 512 } else { start * 2 };
    }
    Err(Error::new("this is no HDF5 file: the signature is missing"))
}

/// The address of the root group's header.
fn root_address(file: &[u8]) -> Result<u64> {
    let mut cursor = Cursor::new(file, "the superblock");
    cursor.skip(8)?;
    let version = cursor.version(&[0, 1, 2, 3])?;
    let sizes = |offsets: u8, lengths: u8| match (offsets, lengths) {
        (8, 8) => Ok(()),
        _ => Err(Error::new(format!(
            "addresses of {offsets} and lengths of {lengths} bytes are not supported"
        ))),
    };
    let root = if version < 2 {
        cursor.skip(4)?;
        sizes(cursor.u8()?, cursor.u8()?)?;
        cursor.skip(1 + 2 + 2 + 4 + if version == 1 { 4 } else { 0 })?;
        // Base address, free space, end of file, driver; then the root's entry, whose name comes first.
        cursor.skip(4 * 8 + 8)?;
        cursor.address()?
    } else {
        sizes(cursor.u8()?, cursor.u8()?)?;
        cursor.skip(1 + 3 * 8)?;
        cursor.address()?
    };
    root.ok_or_else(|| Error::new("the file has no root group"))
}

/// A file being read.
pub(crate) struct Reader<'a> {
    file: &'a [u8],
    pub(crate) limits: Limits,
    blocks_left: Cell<u64>,
}

impl<'a> Reader<'a> {
    /// The file from this address on.
    pub(crate) fn at(&self, address: u64, what: &'static str) -> Result<Cursor<'a>> {
        match usize::try_from(address).ok().and_then(|start| self.file.get(start..)) {
            Some(bytes) => Ok(Cursor::new(bytes, what)),
            None => Err(Error::new(format!("{what} is at byte {address}, beyond the end of the file"))),
        }
    }

    /// So many bytes from this address on.
    pub(crate) fn slice(&self, address: u64, length: u64, what: &'static str) -> Result<&'a [u8]> {
        let mut cursor = self.at(address, what)?;
        let length = usize::try_from(length).map_err(|_| Error::truncated(what, 0))?;
        cursor.take(length)
    }

    pub(crate) fn file(&self) -> &'a [u8] {
        self.file
    }

    /// The same file, with all work allowed anew.
    pub(crate) fn again(file: &'a [u8], limits: Limits) -> Reader<'a> {
        Reader { file, limits, blocks_left: Cell::new(limits.blocks) }
    }

    /// Counts a block; a file that goes in circles runs out of them.
    pub(crate) fn count_block(&self) -> Result<()> {
        let left = self.blocks_left.get();
        if left == 0 {
            return Err(Error::new(format!("the file has more than {} parts", self.limits.blocks)));
        }
        self.blocks_left.set(left - 1);
        Ok(())
    }
}
