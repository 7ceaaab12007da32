//! TFRecord files, and the examples in them.

use crate::data::streams::stacked;
use crate::data::{Batch, DataError, Dataset, Source};
use crate::tensorboard::record::checksum;
use rushlight_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The records of TFRecord files, found once and read as they are needed.
///
/// ```no_run
/// use rushlight::data::{Example, TfRecords};
/// use rushlight::prelude::*;
/// let data = TfRecords::open(&["train-0.tfrecord", "train-1.tfrecord"])?.dataset(|record| {
///     let example = Example::parse(record)?;
///     let x = Tensor::from(example.floats("x")?.to_vec());
///     Ok(Batch::new(x, Tensor::scalar(example.integers("y")?[0] as i32)))
/// });
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TfRecords {
    files: Vec<PathBuf>,
    /// By record: the file, where its data begin, and how many bytes they are.
    places: Vec<(usize, u64, usize)>,
}

impl TfRecords {
    /// Finds the records of some files, one file behind the other.
    ///
    /// # Errors
    /// If a file cannot be read, or is not made of whole records; the message names it.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<TfRecords, DataError> {
        let files: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_path_buf()).collect();
        let mut places = Vec::new();
        for (number, path) in files.iter().enumerate() {
            let failed = |error| DataError::io("read", path, error);
            let mut file = File::open(path).map_err(failed)?;
            let end = file.metadata().map_err(failed)?.len();
            let mut start = 0;
            while start < end {
                let cut_off = || {
                    DataError::malformed(
                        path,
                        "whole records",
                        format!("one that is cut off at byte {start}"),
                    )
                };
                let mut head = [0; 12];
                file.seek(SeekFrom::Start(start)).map_err(failed)?;
                file.read_exact(&mut head).map_err(|_| cut_off())?;
                let (length, sum) = head.split_at(8);
                if checksum(length).to_le_bytes() != *sum {
                    let found = format!("another checksum at byte {start}");
                    return Err(DataError::malformed(path, "the length of a record", found));
                }
                let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
                let next = start.checked_add(16).and_then(|next| next.checked_add(length));
                let next = next.filter(|next| *next <= end).ok_or_else(cut_off)?;
                places.push((number, start + 12, length as usize));
                start = next;
            }
        }
        Ok(TfRecords { files, places })
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The data of a record.
    ///
    /// # Errors
    /// If it cannot be read, or its checksum is another one.
    pub fn read(&self, record: usize) -> Result<Vec<u8>, DataError> {
        let (file, start, length) = self.places[record];
        let path = &self.files[file];
        let failed = |error| DataError::io("read", path, error);
        let mut file = File::open(path).map_err(failed)?;
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut data = vec![0; length + 4];
        file.read_exact(&mut data).map_err(failed)?;
        let sum = data.split_off(length);
        if checksum(&data).to_le_bytes() != *sum {
            let found = format!("another checksum in record {record}");
            return Err(DataError::malformed(path, "data as they were written", found));
        }
        Ok(data)
    }

    /// A data set whose examples `parse` makes of the records; their tensors have no batch axis.
    pub fn dataset(self, parse: impl Fn(&[u8]) -> Result<Batch> + Send + Sync + 'static) -> Dataset {
        Dataset::new(Parsed { records: self, parse: Arc::new(parse) })
    }
}

/// Makes an example of a record.
type Parse = dyn Fn(&[u8]) -> Result<Batch> + Send + Sync;

struct Parsed {
    records: TfRecords,
    parse: Arc<Parse>,
}

impl Source for Parsed {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn batch(&self, examples: &[usize], _epoch: u64) -> Result<Batch> {
        let parsed = examples.iter().map(|&record| {
            (self.parse)(&self.records.read(record)?).map_err(|error| {
                let path = &self.records.files[self.records.places[record].0];
                let rule = format!("{}: record {record}: {error}", path.display());
                Error::outside(error.kind(), "data", rule)
            })
        });
        stacked(parsed.collect::<Result<Vec<Batch>>>()?)
    }
}

/// The values of a feature of an [`Example`].
#[derive(Clone, Debug, PartialEq)]
pub enum Feature {
    Bytes(Vec<Vec<u8>>),
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// A `tf.train.Example`: features by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    pub features: BTreeMap<String, Feature>,
}

macro_rules! features {
    ($($(#[$doc:meta])* $method:ident $variant:ident -> $type:ty;)*) => {
        impl Example {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// If there is no feature of this name, or it is of another kind.
                pub fn $method(&self, name: &str) -> Result<&[$type]> {
                    match self.features.get(name) {
                        Some(Feature::$variant(values)) => Ok(values),
                        _ => Err(self.lacks(name, stringify!($method))),
                    }
                }
            )*
        }
    };
}

features! {
    /// The numbers of a feature.
    floats Floats -> f32;
    /// The whole numbers of a feature.
    integers Integers -> i64;
    /// The strings of bytes of a feature: texts, pictures, tensors.
    bytes Bytes -> Vec<u8>;
}

fn broken(rule: &str) -> Error {
    Error::outside(ErrorKind::Value, "tf.train.Example", rule)
}

impl Example {
    fn lacks(&self, name: &str, kind: &str) -> Error {
        let names: Vec<&str> = self.features.keys().map(String::as_str).collect();
        broken(&format!("there is no feature `{name}` of {kind}; there are {}", names.join(", ")))
    }

    /// Reads a serialized example.
    ///
    /// # Errors
    /// If the bytes are none.
    pub fn parse(bytes: &[u8]) -> Result<Example> {
        let mut features = BTreeMap::new();
        for part in Fields(bytes) {
            // Example.features, then the entries of Features.feature.
            let (1, Field::Bytes(all)) = part? else { continue };
            for entry in Fields(all) {
                let (1, Field::Bytes(entry)) = entry? else { continue };
                let (mut name, mut feature) = (String::new(), None);
                for part in Fields(entry) {
                    match part? {
                        (1, Field::Bytes(text)) => name = String::from_utf8_lossy(text).into_owned(),
                        (2, Field::Bytes(value)) => feature = parse_feature(value)?,
                        _ => {}
                    }
                }
                features.extend(feature.map(|feature| (name, feature)));
            }
        }
        Ok(Example { features })
    }
}

fn parse_feature(bytes: &[u8]) -> Result<Option<Feature>> {
    let mut feature = None;
    for part in Fields(bytes) {
        let (kind, Field::Bytes(list)) = part? else { continue };
        let (mut strings, mut floats, mut integers) = (Vec::new(), Vec::new(), Vec::new());
        for value in Fields(list) {
            match (kind, value?) {
                (1, (1, Field::Bytes(string))) => strings.push(string.to_vec()),
                (2, (1, Field::Bytes(packed))) => {
                    let words = packed.as_chunks::<4>();
                    if !words.1.is_empty() {
                        return Err(broken("a list of floats is cut off"));
                    }
                    floats.extend(words.0.iter().map(|&word| f32::from_le_bytes(word)));
                }
                (2, (1, Field::Word(word))) => floats.push(f32::from_le_bytes(word)),
                (3, (1, Field::Bytes(mut packed))) => {
                    while !packed.is_empty() {
                        integers.push(varint(&mut packed)? as i64);
                    }
                }
                (3, (1, Field::Integer(number))) => integers.push(number as i64),
                _ => {}
            }
        }
        feature = match kind {
            1 => Some(Feature::Bytes(strings)),
            2 => Some(Feature::Floats(floats)),
            3 => Some(Feature::Integers(integers)),
            _ => feature,
        };
    }
    Ok(feature)
}

/// The fields of a protocol buffer message, by number.
struct Fields<'a>(&'a [u8]);

enum Field<'a> {
    Integer(u64),
    Word([u8; 4]),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| broken("a number is cut off"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(broken("a number is too long"))
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Field<'a>)> {
        let tag = varint(&mut self.0)?;
        let length = match tag & 7 {
            0 => return Ok((tag >> 3, Field::Integer(varint(&mut self.0)?))),
            1 => 8,
            2 => usize::try_from(varint(&mut self.0)?).unwrap_or(usize::MAX),
            5 => 4,
            _ => return Err(broken("a field is of an unknown kind")),
        };
        if length > self.0.len() {
            return Err(broken("a field is cut off"));
        }
        let (value, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok((
            tag >> 3,
            if tag & 7 == 5 {
                Field::Word(value.try_into().unwrap_or_default())
            } else {
                Field::Bytes(value)
            },
        ))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Result<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
