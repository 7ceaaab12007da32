//! Fractal heaps and B-trees of version 2, which hold the links and attributes of large new groups.

use crate::cursor::Cursor;
use crate::reader::Reader;
use crate::{Error, Result};

/// All objects of a heap that the tree knows, in the tree's order.
pub(crate) fn objects<'a>(reader: &Reader<'a>, heap: u64, tree: u64) -> Result<Vec<&'a [u8]>> {
    let heap = Heap::read(reader, heap)?;
    let mut found = Vec::new();
    for id in heap_ids(reader, tree)? {
        found.push(heap.object(reader, id)?);
    }
    Ok(found)
}

struct Heap {
    offset_size: usize,
    length_size: usize,
    blocks: Vec<DirectBlock>,
}

struct DirectBlock {
    /// Where it is in the heap, and in the file.
    offset: u64,
    size: u64,
    address: u64,
}

/// How blocks double in size from row to row.
struct Table {
    width: u64,
    start: u64,
    largest_direct: u64,
    offset_size: usize,
}

impl Table {
    fn block_size(&self, row: u32) -> Result<u64> {
        let doublings = row.saturating_sub(1);
        self.start.checked_shl(doublings).filter(|size| size >> doublings == self.start).ok_or_else(too_large)
    }
}

fn too_large() -> Error {
    Error::new("a fractal heap is absurdly large")
}

impl Heap {
    fn read(reader: &Reader<'_>, address: u64) -> Result<Heap> {
        let mut cursor = reader.at(address, "a fractal heap")?;
        cursor.signature(b"FRHP")?;
        cursor.version(&[0])?;
        cursor.skip(2)?;
        let filters = cursor.u16()?;
        cursor.skip(1)?;
        let largest_managed = cursor.u32()?;
        cursor.skip(12 * 8)?;
        let (width, start, largest_direct) = (u64::from(cursor.u16()?), cursor.u64()?, cursor.u64()?);
        let heap_bits = cursor.u16()?;
        cursor.skip(2)?;
        let (root, rows) = (cursor.address()?, u32::from(cursor.u16()?));
        if filters != 0 {
            return Err(Error::new("packed fractal heaps are not supported"));
        }
        if width == 0 || !start.is_power_of_two() || !largest_direct.is_power_of_two() || heap_bits > 64 {
            return Err(Error::new("a fractal heap's table makes no sense"));
        }
        let offset_size = usize::from(heap_bits).div_ceil(8);
        let length_size =
            (largest_direct.ilog2() as usize).div_ceil(8).min(encoded_size(u64::from(largest_managed)));
        let table = Table { width, start, largest_direct, offset_size };
        let mut blocks = Vec::new();
        match root {
            None => {}
            Some(address) if rows == 0 => blocks.push(DirectBlock { offset: 0, size: start, address }),
            Some(address) => {
                indirect(reader, &table, address, 0, rows, 16, &mut blocks)?;
            }
        }
        Ok(Heap { offset_size, length_size, blocks })
    }

    fn object<'a>(&self, reader: &Reader<'a>, id: &'a [u8]) -> Result<&'a [u8]> {
        reader.count_block()?;
        let mut cursor = Cursor::new(id, "a heap's object");
        let first = cursor.u8()?;
        match first >> 4 & 3 {
            0 => {
                let (offset, length) = (cursor.uint(self.offset_size)?, cursor.uint(self.length_size)?);
                let block = self
                    .blocks
                    .iter()
                    .find(|block| (block.offset..).contains(&offset) && offset - block.offset < block.size);
                let block = block.ok_or_else(|| Error::new("an object lies outside of its heap"))?;
                let start = block.address.checked_add(offset - block.offset).ok_or_else(too_large)?;
                reader.slice(start, length, "a heap's object")
            }
            2 => cursor.take(usize::from(first & 15) + 1),
            _ => Err(Error::new("huge objects in fractal heaps are not supported")),
        }
    }
}

/// Collects the direct blocks below an indirect one; gives the heap offset behind it.
fn indirect(
    reader: &Reader<'_>,
    table: &Table,
    address: u64,
    mut offset: u64,
    rows: u32,
    levels_left: usize,
    blocks: &mut Vec<DirectBlock>,
) -> Result<u64> {
    reader.count_block()?;
    let Some(levels_left) = levels_left.checked_sub(1) else {
        return Err(Error::new("a fractal heap is too deep"));
    };
    let mut cursor = reader.at(address, "a fractal heap's block")?;
    cursor.signature(b"FHIB")?;
    cursor.version(&[0])?;
    cursor.skip(8 + table.offset_size)?;
    for row in 0..rows {
        let size = table.block_size(row)?;
        for _ in 0..table.width {
            reader.count_block()?;
            let child = cursor.address()?;
            if let Some(address) = child {
                if size <= table.largest_direct {
                    blocks.push(DirectBlock { offset, size, address });
                } else {
                    let below = table.start.checked_mul(table.width).ok_or_else(too_large)?;
                    let rows = size.ilog2().saturating_sub(below.ilog2()) + 1;
                    indirect(reader, table, address, offset, rows, levels_left, blocks)?;
                }
            }
            offset = offset.checked_add(size).ok_or_else(too_large)?;
        }
    }
    Ok(offset)
}

/// Bytes that a number up to this one is encoded in.
fn encoded_size(largest: u64) -> usize {
    largest.checked_ilog2().unwrap_or(0) as usize / 8 + 1
}

struct Tree {
    kind: u8,
    node_size: usize,
    record_size: usize,
}

impl Tree {
    /// Signature, version, kind and checksum are no records.
    const OVERHEAD: usize = 10;

    /// The most records that a node of this depth holds, and that its subtree holds.
    fn capacity(&self, depth: u16) -> (u64, u64) {
        let room = self.node_size.saturating_sub(Tree::OVERHEAD) as u64;
        let mut most = (room / self.record_size as u64, room / self.record_size as u64);
        let leaf_count = encoded_size(most.0);
        for level in 1..=depth {
            let total = if level > 1 { encoded_size(most.1) } else { 0 };
            let pointer = (8 + leaf_count + total) as u64;
            let records = room.saturating_sub(pointer) / (self.record_size as u64 + pointer);
            most = (records, (records + 1).saturating_mul(most.1).saturating_add(records));
        }
        most
    }
}

/// The heap identifiers in the records of a tree.
fn heap_ids<'a>(reader: &Reader<'a>, address: u64) -> Result<Vec<&'a [u8]>> {
    let mut cursor = reader.at(address, "a B-tree")?;
    cursor.signature(b"BTHD")?;
    cursor.version(&[0])?;
    let kind = cursor.u8()?;
    let (node_size, record_size, depth) = (cursor.u32()?, cursor.u16()?, cursor.u16()?);
    cursor.skip(2)?;
    let (root, records) = (cursor.address()?, cursor.u16()?);
    if record_size == 0 || depth > 16 {
        return Err(Error::new("a B-tree makes no sense"));
    }
    let tree = Tree { kind, node_size: node_size as usize, record_size: usize::from(record_size) };
    let mut found = Vec::new();
    if let Some(root) = root {
        walk(reader, &tree, root, u64::from(records), depth, &mut found)?;
    }
    let of_record = |record: &'a [u8]| match kind {
        // Links by name: behind the name's hash. Attributes by name: at the beginning.
        5 => record.get(4..11),
        8 => record.get(..8),
        _ => None,
    };
    let ids = found.into_iter().map(of_record).collect::<Option<Vec<_>>>();
    ids.ok_or_else(|| Error::new(format!("a B-tree of kind {kind} is not supported")))
}

fn walk<'a>(
    reader: &Reader<'a>,
    tree: &Tree,
    address: u64,
    records: u64,
    depth: u16,
    found: &mut Vec<&'a [u8]>,
) -> Result<()> {
    reader.count_block()?;
    let mut cursor = reader.at(address, "a B-tree's node")?;
    cursor.signature(if depth == 0 { b"BTLF" } else { b"BTIN" })?;
    cursor.version(&[0])?;
    if cursor.u8()? != tree.kind {
        return Err(Error::new("a B-tree's node is of another kind"));
    }
    for _ in 0..records {
        reader.count_block()?;
        found.push(cursor.take(tree.record_size)?);
    }
    if depth == 0 {
        return Ok(());
    }
    let count_size = encoded_size(tree.capacity(0).0);
    let total_size = if depth > 1 { encoded_size(tree.capacity(depth - 1).1) } else { 0 };
    for _ in 0..=records {
        let child = cursor.u64()?;
        let records = cursor.uint(count_size)?;
        cursor.skip(total_size)?;
        walk(reader, tree, child, records, depth - 1, found)?;
    }
    Ok(())
}
