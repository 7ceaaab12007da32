//! Data in chunks, each perhaps packed by filters.

use crate::cursor::Cursor;
use crate::reader::Reader;
use crate::{Error, Result};
use std::io::Read;

/// What was done to each chunk, in this order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(Vec<Filter>);

#[derive(Clone, Copy, Debug)]
enum Filter {
    Deflate,
    Shuffle(usize),
    Fletcher32,
}

impl Filters {
    pub(crate) fn parse(body: &[u8]) -> Result<Filters> {
        let mut cursor = Cursor::new(body, "a filter pipeline");
        let version = cursor.version(&[1, 2])?;
        let count = cursor.u8()?;
        cursor.skip(if version == 1 { 6 } else { 0 })?;
        let mut filters = Vec::new();
        for _ in 0..count {
            let id = cursor.u16()?;
            let name_length = if version == 1 || id >= 256 { usize::from(cursor.u16()?) } else { 0 };
            cursor.skip(2)?;
            let values = usize::from(cursor.u16()?);
            cursor.skip(if version == 1 { name_length.next_multiple_of(8) } else { name_length })?;
            let first = if values > 0 { Some(cursor.u32()?) } else { None };
            cursor.skip(values.saturating_sub(1) * 4)?;
            cursor.skip(if version == 1 && values % 2 == 1 { 4 } else { 0 })?;
            filters.push(match (id, first) {
                (1, _) => Filter::Deflate,
                (2, Some(size)) if size > 0 => Filter::Shuffle(size as usize),
                (3, _) => Filter::Fletcher32,
                _ => return Err(Error::new(format!("filter {id} is not supported"))),
            });
        }
        Ok(Filters(filters))
    }

    /// The chunk as it was before the filters; `skipped` has a bit for each filter that was left out.
    fn undo(&self, packed: &[u8], size: usize, skipped: u32) -> Result<Vec<u8>> {
        let mut bytes = packed.to_vec();
        for (index, filter) in self.0.iter().enumerate().rev() {
            if skipped >> index.min(31) & 1 == 1 {
                continue;
            }
            bytes = match filter {
                Filter::Deflate => inflate(&bytes, size + 4)?,
                Filter::Shuffle(element) => unshuffle(&bytes, *element),
                Filter::Fletcher32 => checked(bytes)?,
            };
        }
        if bytes.len() != size {
            return Err(Error::new(format!("a chunk has {} bytes, not {size}", bytes.len())));
        }
        Ok(bytes)
    }
}

/// At most so many bytes; a bomb is cut off and found to be of the wrong size.
fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(packed).take(limit as u64 + 1);
    match decoder.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Error::new(format!("a chunk cannot be inflated: {error}"))),
    }
}

/// The first bytes of all elements are together, then the second ones, and so on.
fn unshuffle(bytes: &[u8], element: usize) -> Vec<u8> {
    let count = bytes.len() / element;
    let whole = count * element;
    let mut result = Vec::with_capacity(bytes.len());
    for index in 0..count {
        result.extend((0..element).map(|part| bytes[part * count + index]));
    }
    result.extend(&bytes[whole..]);
    result
}

fn checked(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let Some(length) = bytes.len().checked_sub(4) else {
        return Err(Error::new("a chunk is too short for its checksum"));
    };
    let stored = u32::from_le_bytes([bytes[length], bytes[length + 1], bytes[length + 2], bytes[length + 3]]);
    bytes.truncate(length);
    if fletcher32(&bytes) != stored {
        return Err(Error::new("a chunk's checksum is wrong"));
    }
    Ok(bytes)
}

fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (0u32, 0u32);
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    for word in words {
        low = (low + word) % 65535;
        high = (high + low) % 65535;
    }
    high << 16 | low
}

/// Where the chunks are.
#[derive(Clone, Debug)]
pub(crate) struct Chunked {
    /// Sizes of a chunk along each axis.
    dims: Vec<u64>,
    index: Index,
}

#[derive(Clone, Debug)]
enum Index {
    /// Nothing has been written.
    Empty,
    /// A B-tree of version 1.
    Tree(u64),
    /// There is one chunk only: its address, and its packed size and skipped filters if it is packed.
    Single(u64, Option<(u64, u32)>),
    /// All chunks one after the other, unpacked.
    Implicit(u64),
    /// An array of addresses.
    FixedArray(u64),
}

/// One chunk: where it begins in the data, and what is stored of it.
struct Chunk<'a> {
    offsets: Vec<u64>,
    packed: &'a [u8],
    skipped: u32,
}

impl Chunked {
    /// `dims` has the element's size behind the axes' sizes.
    pub(crate) fn tree(address: Option<u64>, mut dims: Vec<u64>) -> Result<Chunked> {
        dims.pop();
        Ok(Chunked { dims, index: address.map_or(Index::Empty, Index::Tree) })
    }

    /// Layout version 4, behind the class.
    pub(crate) fn indexed(cursor: &mut Cursor<'_>) -> Result<Chunked> {
        let (flags, axes, width) = (cursor.u8()?, cursor.u8()?, usize::from(cursor.u8()?));
        let mut dims = (0..axes).map(|_| cursor.uint(width)).collect::<Result<Vec<u64>>>()?;
        dims.pop();
        let kind = cursor.u8()?;
        let mut packed = None;
        match kind {
            1 if flags & 2 != 0 => packed = Some((cursor.u64()?, cursor.u32()?)),
            1 | 2 => {}
            3 => cursor.skip(1)?,
            _ => {
                let rule =
                    "chunks of data that can grow, as this file's version keeps them, are not supported";
                return Err(Error::new(rule));
            }
        }
        let index = match (cursor.address()?, kind) {
            (None, _) => Index::Empty,
            (Some(address), 1) => Index::Single(address, packed),
            (Some(address), 2) => Index::Implicit(address),
            (Some(address), _) => Index::FixedArray(address),
        };
        Ok(Chunked { dims, index })
    }

    /// Copies all chunks to their places.
    pub(crate) fn read_into(
        &self,
        reader: &Reader<'_>,
        filters: &Filters,
        dims: &[u64],
        element: usize,
        all: &mut [u8],
    ) -> Result<()> {
        if self.dims.len() != dims.len() || self.dims.contains(&0) || dims.is_empty() {
            return Err(Error::new(format!("chunks of {:?} do not fit data of {dims:?}", self.dims)));
        }
        let size = crate::dataset::byte_count(&self.dims, &crate::Datatype::Opaque(element as u32))?;
        // A chunk may be larger than the data, but not much.
        let size =
            usize::try_from(size).ok().filter(|&size| size <= all.len().saturating_mul(2).max(1 << 24));
        let size = size.ok_or_else(|| Error::new(format!("chunks of {:?} are too large", self.dims)))?;
        if all.is_empty() {
            return Ok(());
        }
        let mut place = |chunk: Chunk<'_>| -> Result<()> {
            let bytes = filters.undo(chunk.packed, size, chunk.skipped)?;
            copy_chunk(&bytes, &chunk.offsets, &self.dims, dims, element, all)
        };
        match self.index {
            Index::Empty => Ok(()),
            Index::Tree(address) => self.walk(reader, address, 16, &mut place),
            Index::Single(address, packed) => {
                let (length, skipped) = packed.unwrap_or((size as u64, u32::MAX));
                let packed = reader.slice(address, length, "a chunk")?;
                place(Chunk { offsets: vec![0; dims.len()], packed, skipped })
            }
            Index::Implicit(address) => {
                for number in 0..self.count(dims)? {
                    reader.count_block()?;
                    let start = number.checked_mul(size as u64).and_then(|start| start.checked_add(address));
                    let start = start.ok_or_else(|| Error::truncated("a chunk", 0))?;
                    let packed = reader.slice(start, size as u64, "a chunk")?;
                    place(Chunk { offsets: self.offsets(number, dims), packed, skipped: u32::MAX })?;
                }
                Ok(())
            }
            Index::FixedArray(address) => self.fixed_array(reader, address, dims, size, &mut place),
        }
    }

    /// How many chunks cover the data.
    fn count(&self, dims: &[u64]) -> Result<u64> {
        let each = dims.iter().zip(&self.dims).map(|(size, chunk)| size.div_ceil(*chunk));
        each.into_iter()
            .try_fold(1u64, |all, count| all.checked_mul(count))
            .ok_or_else(|| Error::new("there are absurdly many chunks"))
    }

    /// Where the chunk of this number begins.
    fn offsets(&self, mut number: u64, dims: &[u64]) -> Vec<u64> {
        let mut offsets = vec![0; dims.len()];
        for axis in (0..dims.len()).rev() {
            let along = dims[axis].div_ceil(self.dims[axis]).max(1);
            offsets[axis] = number % along * self.dims[axis];
            number /= along;
        }
        offsets
    }

    fn walk<'a>(
        &self,
        reader: &Reader<'a>,
        address: u64,
        levels_left: usize,
        place: &mut dyn FnMut(Chunk<'a>) -> Result<()>,
    ) -> Result<()> {
        const WHAT: &str = "a tree of chunks";
        reader.count_block()?;
        let Some(levels_left) = levels_left.checked_sub(1) else {
            return Err(Error::new("a tree of chunks is too deep"));
        };
        let mut cursor = reader.at(address, WHAT)?;
        cursor.signature(b"TREE")?;
        cursor.version(&[1])?;
        let (level, entries) = (cursor.u8()?, cursor.u16()?);
        cursor.skip(16)?;
        for _ in 0..entries {
            let (length, skipped) = (cursor.u32()?, cursor.u32()?);
            let mut offsets = (0..=self.dims.len()).map(|_| cursor.u64()).collect::<Result<Vec<u64>>>()?;
            offsets.pop();
            let child = cursor.u64()?;
            reader.count_block()?;
            if level > 0 {
                self.walk(reader, child, levels_left, place)?;
            } else {
                let packed = reader.slice(child, u64::from(length), "a chunk")?;
                place(Chunk { offsets, packed, skipped })?;
            }
        }
        Ok(())
    }

    fn fixed_array<'a>(
        &self,
        reader: &Reader<'a>,
        address: u64,
        dims: &[u64],
        size: usize,
        place: &mut dyn FnMut(Chunk<'a>) -> Result<()>,
    ) -> Result<()> {
        const WHAT: &str = "an array of chunks";
        let mut cursor = reader.at(address, WHAT)?;
        cursor.signature(b"FAHD")?;
        cursor.version(&[0])?;
        let (client, entry_size, page_bits) = (cursor.u8()?, usize::from(cursor.u8()?), cursor.u8()?);
        let entries = cursor.u64()?;
        let Some(data) = cursor.address()? else { return Ok(()) };
        if page_bits < 64 && entries > 1 << page_bits {
            return Err(Error::new("an array of chunks in pages is not supported"));
        }
        let mut cursor = reader.at(data, WHAT)?;
        cursor.signature(b"FADB")?;
        cursor.version(&[0])?;
        cursor.skip(1 + 8)?;
        for number in 0..entries.min(self.count(dims)?) {
            reader.count_block()?;
            let child = cursor.address()?;
            let (length, skipped) = if client == 1 {
                let width = entry_size.checked_sub(12).ok_or_else(|| Error::new("an entry is too short"))?;
                (cursor.uint(width)?, cursor.u32()?)
            } else {
                (size as u64, u32::MAX)
            };
            if let Some(child) = child {
                let packed = reader.slice(child, length, "a chunk")?;
                place(Chunk { offsets: self.offsets(number, dims), packed, skipped })?;
            }
        }
        Ok(())
    }
}

/// Copies the part of a chunk that lies within the data, run by run along the last axis.
fn copy_chunk(
    chunk: &[u8],
    offsets: &[u64],
    chunk_dims: &[u64],
    dims: &[u64],
    element: usize,
    all: &mut [u8],
) -> Result<()> {
    let rank = dims.len();
    let inside = offsets
        .iter()
        .zip(dims)
        .zip(chunk_dims)
        .map(|((offset, dim), chunk)| dim.checked_sub(*offset).map(|left| left.min(*chunk)));
    let Some(inside) = inside.collect::<Option<Vec<u64>>>() else {
        return Err(Error::new(format!("a chunk at {offsets:?} lies beyond data of {dims:?}")));
    };
    if inside.contains(&0) {
        return Ok(());
    }
    let run = inside[rank - 1] as usize * element;
    let rows: u64 = inside[..rank - 1].iter().product();
    let mut position = vec![0u64; rank];
    for _ in 0..rows {
        let (mut from, mut to) = (0u64, 0u64);
        for axis in 0..rank {
            from = from * chunk_dims[axis] + position[axis];
            to = to * dims[axis] + offsets[axis] + position[axis];
        }
        let (from, to) = (from as usize * element, to as usize * element);
        all[to..to + run].copy_from_slice(&chunk[from..from + run]);
        for axis in (0..rank - 1).rev() {
            position[axis] += 1;
            if position[axis] < inside[axis] {
                break;
            }
            position[axis] = 0;
        }
    }
    Ok(())
}
