//! Writing files as h5py does by default: superblock 0, symbol tables, contiguous data.

use crate::datatype::Datatype;
use crate::header::kind;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Entries of a leaf and children of a tree's node: twice the numbers that the superblock gives.
const LEAF_ENTRIES: usize = 8;
const NODE_CHILDREN: usize = 32;
/// Objects of one global heap collection, and its least size.
const HEAP_OBJECTS: usize = 1024;
const HEAP_SIZE: usize = 4096;
const UNDEFINED: u64 = u64::MAX;

/// Puts a file together in memory.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    root: Node,
}

#[derive(Clone, Debug, Default)]
struct Node {
    attributes: Vec<(String, String)>,
    children: BTreeMap<String, Node>,
    data: Option<Data>,
}

#[derive(Clone, Debug)]
struct Data {
    datatype: Datatype,
    dims: Vec<u64>,
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A group at this path, with the groups around it.
    ///
    /// # Errors
    /// If there is data at a part of the path, or a part is no name.
    pub fn group(&mut self, path: &str) -> Result<()> {
        self.node(path).map(drop)
    }

    /// Data at this path: little-endian elements in row-major order.
    ///
    /// # Errors
    /// If there is something at this path, or if the bytes are not as many as type and sizes say.
    pub fn dataset(&mut self, path: &str, datatype: Datatype, dims: &[u64], bytes: Vec<u8>) -> Result<()> {
        let expected = crate::dataset::byte_count(dims, &datatype)?;
        if expected != bytes.len() as u64 {
            let rule = format!("{} bytes are not the {expected} of {datatype:?} {dims:?}", bytes.len());
            return Err(Error::new(rule).within(path));
        }
        let node = self.node(path)?;
        if node.data.is_some() || !node.children.is_empty() {
            return Err(Error::new("there is something at this path already").within(path));
        }
        node.data = Some(Data { datatype, dims: dims.to_vec(), bytes });
        Ok(())
    }

    /// A text as an attribute of the group or data at this path; an empty path is the file's root.
    ///
    /// # Errors
    /// As [`Writer::group`], and if the name is too long.
    pub fn attribute(&mut self, path: &str, name: &str, text: &str) -> Result<()> {
        if name.len() > 1000 {
            return Err(Error::new("the name of an attribute is too long").within(path));
        }
        let node = if path.is_empty() {
            &mut self.root
        } else {
            // Data that is there keeps its attributes beside it.
            let mut node = &mut self.root;
            for part in path.split('/') {
                node = node.children.entry(part.to_string()).or_default();
            }
            node
        };
        node.attributes.push((name.to_string(), text.to_string()));
        Ok(())
    }

    fn node(&mut self, path: &str) -> Result<&mut Node> {
        let mut node = &mut self.root;
        for part in path.split('/') {
            if part.is_empty() || part == "." || part.contains('\0') {
                return Err(Error::new(format!("`{part}` is no name")).within(path));
            }
            if node.data.is_some() {
                return Err(Error::new("there is data at a part of this path").within(path));
            }
            node = node.children.entry(part.to_string()).or_default();
        }
        Ok(node)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// If a datatype cannot be written.
    pub fn finish(self) -> Result<Vec<u8>> {
        let mut file = File { bytes: vec![0; 96], texts: Vec::new(), next_text: 0 };
        let mut texts = Vec::new();
        collect_texts(&self.root, &mut texts);
        file.write_texts(&texts);
        let root = file.write_node(self.root)?;
        file.write_superblock(root);
        Ok(file.bytes)
    }
}

/// The texts of all attributes in the order in which nodes are written: children first.
fn collect_texts<'a>(node: &'a Node, into: &mut Vec<&'a str>) {
    node.children.values().for_each(|child| collect_texts(child, into));
    into.extend(node.attributes.iter().map(|(_, text)| text.as_str()));
}

/// An object that has been written: where its header is, and a group's tree and heap.
#[derive(Clone, Copy)]
struct Written {
    header: u64,
    table: Option<(u64, u64)>,
}

struct File {
    bytes: Vec<u8>,
    /// Where each attribute's text is: collection, object, length.
    texts: Vec<(u64, u32, u32)>,
    next_text: usize,
}

impl File {
    /// Appends a block at a multiple of 8 and gives its address.
    fn append(&mut self, block: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let address = self.bytes.len() as u64;
        self.bytes.extend_from_slice(block);
        address
    }

    fn write_texts(&mut self, texts: &[&str]) {
        for group in texts.chunks(HEAP_OBJECTS) {
            let mut objects = Vec::new();
            for (index, text) in group.iter().enumerate() {
                objects.extend((index as u16 + 1).to_le_bytes());
                objects.extend([1, 0, 0, 0, 0, 0]);
                objects.extend((text.len() as u64).to_le_bytes());
                objects.extend(text.as_bytes());
                objects.resize(objects.len().next_multiple_of(8), 0);
            }
            let size = (16 + objects.len() + 16).max(HEAP_SIZE);
            let free = (size - 16 - objects.len()) as u64;
            let mut block = b"GCOL\x01\0\0\0".to_vec();
            block.extend((size as u64).to_le_bytes());
            block.extend(objects);
            // Object 0 is the free space, with its header.
            block.extend([0; 8]);
            block.extend(free.to_le_bytes());
            block.resize(size, 0);
            let address = self.append(&block);
            let places = group.iter().enumerate();
            self.texts.extend(places.map(|(index, text)| (address, index as u32 + 1, text.len() as u32)));
        }
    }

    /// Writes children first, so that their addresses are known.
    fn write_node(&mut self, node: Node) -> Result<Written> {
        let Node { attributes, children, data } = node;
        let mut entries = Vec::new();
        for (name, child) in children {
            let written = self.write_node(child).map_err(|error| error.within(&name))?;
            entries.push((name, written));
        }
        let mut messages = Vec::new();
        let table = match data {
            Some(data) => {
                messages.extend(self.data_messages(data)?);
                None
            }
            None => {
                let (tree, heap) = self.write_table(&entries);
                messages.push((kind::SYMBOL_TABLE, [tree.to_le_bytes(), heap.to_le_bytes()].concat()));
                Some((tree, heap))
            }
        };
        for (name, _) in &attributes {
            messages.push((kind::ATTRIBUTE, self.attribute_message(name)?));
        }
        Ok(Written { header: self.write_header(&messages), table })
    }

    fn write_header(&mut self, messages: &[(u16, Vec<u8>)]) -> u64 {
        let mut body = Vec::new();
        for (kind, message) in messages {
            let size = message.len().next_multiple_of(8);
            body.extend(kind.to_le_bytes());
            body.extend((size as u16).to_le_bytes());
            body.extend([0; 4]);
            body.extend(message);
            body.resize(body.len() + size - message.len(), 0);
        }
        let mut header = vec![1, 0];
        header.extend((messages.len() as u16).to_le_bytes());
        header.extend(1u32.to_le_bytes());
        header.extend((body.len() as u32).to_le_bytes());
        header.extend([0; 4]);
        header.extend(body);
        self.append(&header)
    }

    fn data_messages(&mut self, data: Data) -> Result<[(u16, Vec<u8>); 4]> {
        /// Space is taken when data is written, and filled only if a value is given: none is.
        const FILL_VALUE: (u16, [u8; 8]) = (0x05, [2, 2, 2, 1, 0, 0, 0, 0]);
        let size = data.bytes.len() as u64;
        let address = if size == 0 { UNDEFINED } else { self.append(&data.bytes) };
        let mut layout = vec![3, 1];
        layout.extend(address.to_le_bytes());
        layout.extend(size.to_le_bytes());
        Ok([
            (kind::DATASPACE, dataspace(&data.dims)),
            (kind::DATATYPE, data.datatype.encode()?),
            (FILL_VALUE.0, FILL_VALUE.1.to_vec()),
            (kind::LAYOUT, layout),
        ])
    }

    fn attribute_message(&mut self, name: &str) -> Result<Vec<u8>> {
        let (address, index, length) = self.texts[self.next_text];
        self.next_text += 1;
        let (datatype, space) = (Datatype::Text.encode()?, dataspace(&[]));
        let mut message = vec![1, 0];
        for size in [name.len() + 1, datatype.len(), space.len()] {
            message.extend((size as u16).to_le_bytes());
        }
        for part in [[name.as_bytes(), b"\0"].concat(), datatype, space] {
            message.extend(part);
            message.resize(message.len().next_multiple_of(8), 0);
        }
        message.extend(length.to_le_bytes());
        message.extend(address.to_le_bytes());
        message.extend(index.to_le_bytes());
        Ok(message)
    }

    /// The tree and the heap of a group's names, which come in the order of their bytes.
    fn write_table(&mut self, entries: &[(String, Written)]) -> (u64, u64) {
        // Offset 0 is the empty name, the first key of each tree.
        let mut names = vec![0; 8];
        let mut offsets = Vec::new();
        for (name, _) in entries {
            offsets.push(names.len() as u64);
            names.extend(name.as_bytes());
            names.push(0);
            names.resize(names.len().next_multiple_of(8), 0);
        }
        let size = names.len() as u64;
        let data = self.append(&names);
        /// What says that no part of a heap is free.
        const NO_FREE_LIST: u64 = 1;
        let mut heap = b"HEAP\0\0\0\0".to_vec();
        [size, NO_FREE_LIST, data].iter().for_each(|value| heap.extend(value.to_le_bytes()));
        let heap = self.append(&heap);
        let mut level: Vec<(u64, u64)> = Vec::new();
        for (part, offsets) in entries.chunks(LEAF_ENTRIES).zip(offsets.chunks(LEAF_ENTRIES)) {
            let mut leaf = b"SNOD\x01\0".to_vec();
            leaf.extend((part.len() as u16).to_le_bytes());
            for ((_, written), offset) in part.iter().zip(offsets) {
                leaf.extend(symbol_entry(*offset, *written));
            }
            leaf.resize(8 + LEAF_ENTRIES * 40, 0);
            let last = offsets.last().copied().unwrap_or(0);
            level.push((last, self.append(&leaf)));
        }
        let mut height = 0;
        loop {
            let nodes = level.chunks(NODE_CHILDREN).count().max(1);
            // Neighbours point to each other, and all nodes are of one size: their addresses are known beforehand.
            let size = 24 + (2 * NODE_CHILDREN + 1) * 8;
            let first = self.bytes.len().next_multiple_of(8) as u64;
            let address = |index: usize| first + (index * size) as u64;
            let mut above = Vec::new();
            let mut before = 0;
            for index in 0..nodes {
                let children = level.chunks(NODE_CHILDREN).nth(index).unwrap_or_default();
                let mut node = b"TREE\0".to_vec();
                node.push(height);
                node.extend((children.len() as u16).to_le_bytes());
                let left = if index == 0 { UNDEFINED } else { address(index - 1) };
                let right = if index + 1 == nodes { UNDEFINED } else { address(index + 1) };
                node.extend([left.to_le_bytes(), right.to_le_bytes()].concat());
                node.extend(u64::to_le_bytes(before));
                for (last, child) in children {
                    node.extend([child.to_le_bytes(), last.to_le_bytes()].concat());
                    before = *last;
                }
                node.resize(size, 0);
                above.push((before, self.append(&node)));
            }
            if let [(_, root)] = above[..] {
                return (root, heap);
            }
            level = above;
            height += 1;
        }
    }

    fn write_superblock(&mut self, root: Written) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let mut block = b"\x89HDF\r\n\x1a\n".to_vec();
        block.extend([0, 0, 0, 0, 0, 8, 8, 0]);
        block.extend((LEAF_ENTRIES as u16 / 2).to_le_bytes());
        block.extend((NODE_CHILDREN as u16 / 2).to_le_bytes());
        block.extend([0; 4]);
        let end = self.bytes.len() as u64;
        [0, UNDEFINED, end, UNDEFINED].iter().for_each(|value| block.extend(value.to_le_bytes()));
        block.extend(symbol_entry(0, root));
        self.bytes[..block.len()].copy_from_slice(&block);
    }
}

/// An entry of a symbol table; a group's has its tree and heap at hand.
fn symbol_entry(name: u64, written: Written) -> Vec<u8> {
    let mut entry = [name.to_le_bytes(), written.header.to_le_bytes()].concat();
    let (cache, scratch) = match written.table {
        Some((tree, heap)) => (1u32, [tree.to_le_bytes(), heap.to_le_bytes()]),
        None => (0, [[0; 8]; 2]),
    };
    entry.extend(cache.to_le_bytes());
    entry.extend([0; 4]);
    entry.extend(scratch.concat());
    entry
}

fn dataspace(dims: &[u64]) -> Vec<u8> {
    let mut message = vec![1, dims.len() as u8, 0, 0, 0, 0, 0, 0];
    dims.iter().for_each(|dim| message.extend(dim.to_le_bytes()));
    message
}
