//! Groups: objects by name.

use crate::cursor::Cursor;
use crate::header::{Message, kind, messages};
use crate::heap::{local_heap, name_in};
use crate::links::parse_link;
use crate::reader::Reader;
use crate::{Attribute, Dataset, Error, Result, fractal};
use std::collections::BTreeMap;

/// Objects by name, and attributes.
#[derive(Clone, Debug, Default)]
pub struct Group<'a> {
    members: BTreeMap<String, Node<'a>>,
    attributes: Vec<Attribute<'a>>,
}

/// What a group has under a name.
#[derive(Clone, Debug)]
pub enum Node<'a> {
    Group(Group<'a>),
    Dataset(Dataset<'a>),
}

impl<'a> Group<'a> {
    /// Names and objects, in the order of the names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.members.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// What is at this path, such as `layers/dense/vars`; nothing if there is nothing.
    pub fn get(&self, path: &str) -> Option<&Node<'a>> {
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match (self.members.get(first)?, rest) {
            (node, "") => Some(node),
            (Node::Group(group), rest) => group.get(rest),
            _ => None,
        }
    }

    /// The group at this path; the group itself for an empty one.
    pub fn group(&self, path: &str) -> Option<&Group<'a>> {
        match self.get(path) {
            Some(Node::Group(group)) => Some(group),
            None if path.is_empty() => Some(self),
            _ => None,
        }
    }

    /// The data set at this path.
    pub fn dataset(&self, path: &str) -> Option<&Dataset<'a>> {
        match self.get(path)? {
            Node::Dataset(dataset) => Some(dataset),
            Node::Group(_) => None,
        }
    }

    /// All data sets in and below this group, with their paths.
    pub fn datasets(&self) -> Vec<(String, &Dataset<'a>)> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect<'s>(&'s self, path: &str, found: &mut Vec<(String, &'s Dataset<'a>)>) {
        for (name, node) in &self.members {
            match node {
                Node::Group(group) => group.collect(&format!("{path}{name}/"), found),
                Node::Dataset(dataset) => found.push((format!("{path}{name}"), dataset)),
            }
        }
    }

    pub fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    pub fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name() == name)
    }
}

pub(crate) fn read_root<'a>(reader: &Reader<'a>, address: u64) -> Result<Group<'a>> {
    match read_object(reader, address, reader.limits.depth)? {
        Some(Node::Group(group)) => Ok(group),
        _ => Err(Error::new("the root of the file is no group")),
    }
}

/// The object whose header is here; nothing for a committed datatype.
fn read_object<'a>(reader: &Reader<'a>, address: u64, depth_left: usize) -> Result<Option<Node<'a>>> {
    reader.count_block()?;
    let messages = messages(reader, address)?;
    let attributes = read_attributes(reader, &messages)?;
    let has = |kind| messages.iter().any(|message| message.kind == kind);
    if has(kind::LAYOUT) {
        return Dataset::parse(reader, &messages, attributes).map(|dataset| Some(Node::Dataset(dataset)));
    }
    if !has(kind::SYMBOL_TABLE) && !has(kind::LINK_INFO) && !has(kind::LINK) {
        // A committed datatype has that message alone; what has none of these is an empty group.
        return Ok((!has(kind::DATATYPE)).then(|| Node::Group(Group { attributes, ..Group::default() })));
    }
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return Err(Error::new(format!("groups lie more than {} deep in each other", reader.limits.depth)));
    };
    let mut members = BTreeMap::new();
    for (name, address) in links(reader, &messages)? {
        let node = read_object(reader, address, depth_left).map_err(|error| error.within(&name))?;
        if let Some(node) = node
            && members.insert(name.clone(), node).is_some()
        {
            return Err(Error::new("two objects have this name").within(&name));
        }
    }
    Ok(Some(Node::Group(Group { members, attributes })))
}

fn read_attributes<'a>(reader: &Reader<'a>, messages: &[Message<'a>]) -> Result<Vec<Attribute<'a>>> {
    let mut attributes = Vec::new();
    for message in messages {
        match message.kind {
            kind::ATTRIBUTE => attributes.push(Attribute::parse(reader, message.body)?),
            kind::ATTRIBUTE_INFO => {
                let mut cursor = Cursor::new(message.body, "attribute information");
                cursor.version(&[0])?;
                let flags = cursor.u8()?;
                cursor.skip(if flags & 1 != 0 { 2 } else { 0 })?;
                if let (Some(heap), Some(tree)) = (cursor.address()?, cursor.address()?) {
                    for object in fractal::objects(reader, heap, tree)? {
                        attributes.push(Attribute::parse(reader, object)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(attributes)
}

/// Names and addresses of a group's objects.
fn links(reader: &Reader<'_>, messages: &[Message<'_>]) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for message in messages {
        match message.kind {
            kind::SYMBOL_TABLE => {
                let mut cursor = Cursor::new(message.body, "a symbol table");
                let (tree, heap) = (cursor.u64()?, cursor.u64()?);
                walk(reader, tree, local_heap(reader, heap)?, 16, &mut found)?;
            }
            kind::LINK => found.extend(parse_link(message.body)?),
            kind::LINK_INFO => {
                let mut cursor = Cursor::new(message.body, "link information");
                cursor.version(&[0])?;
                let flags = cursor.u8()?;
                cursor.skip(if flags & 1 != 0 { 8 } else { 0 })?;
                if let (Some(heap), Some(tree)) = (cursor.address()?, cursor.address()?) {
                    for object in fractal::objects(reader, heap, tree)? {
                        found.extend(parse_link(object)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Collects the entries of a group's B-tree.
fn walk(
    reader: &Reader<'_>,
    address: u64,
    heap: &[u8],
    levels_left: usize,
    found: &mut Vec<(String, u64)>,
) -> Result<()> {
    const WHAT: &str = "a group's tree";
    reader.count_block()?;
    let Some(levels_left) = levels_left.checked_sub(1) else {
        return Err(Error::new("a group's tree is too deep"));
    };
    let mut cursor = reader.at(address, WHAT)?;
    cursor.signature(b"TREE")?;
    cursor.version(&[0])?;
    let (level, entries) = (cursor.u8()?, cursor.u16()?);
    cursor.skip(16)?;
    for _ in 0..entries {
        cursor.skip(8)?;
        let child = cursor.u64()?;
        if level > 0 {
            walk(reader, child, heap, levels_left, found)?;
        } else {
            symbols(reader, child, heap, found)?;
        }
    }
    Ok(())
}

/// The entries of a leaf.
fn symbols(reader: &Reader<'_>, address: u64, heap: &[u8], found: &mut Vec<(String, u64)>) -> Result<()> {
    /// What the entry of a soft link has in place of a cache.
    const SOFT_LINK: u32 = 2;
    reader.count_block()?;
    let mut cursor = reader.at(address, "a group's leaf")?;
    cursor.signature(b"SNOD")?;
    cursor.version(&[1])?;
    cursor.skip(1)?;
    for _ in 0..cursor.u16()? {
        reader.count_block()?;
        let (name, header, cache) = (cursor.u64()?, cursor.u64()?, cursor.u32()?);
        cursor.skip(4 + 16)?;
        if cache != SOFT_LINK {
            found.push((name_in(heap, name)?, header));
        }
    }
    Ok(())
}
