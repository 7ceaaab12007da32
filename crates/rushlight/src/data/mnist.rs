//! MNIST (LeCun, Cortes and Burges, 1998) in its IDX files, plain or gzip-compressed.
//!
//! An IDX file is a magic number, one 32-bit size for each axis (all big-endian) and the bytes.

use super::download::{FetchOptions, RemoteFile, fetch};
use super::error::DataError;
use super::images::{ImageData, ImageSet};
use super::source::{open, unreadable};
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The four files at a public mirror; the authors' own site no longer offers them.
pub const FILES: [RemoteFile; 4] = [
    RemoteFile {
        name: "train-images-idx3-ubyte.gz",
        address: "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
        bytes: 9_912_422,
        sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    },
    RemoteFile {
        name: "train-labels-idx1-ubyte.gz",
        address: "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
        bytes: 28_881,
        sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    },
    RemoteFile {
        name: "t10k-images-idx3-ubyte.gz",
        address: "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz",
        bytes: 1_648_877,
        sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    },
    RemoteFile {
        name: "t10k-labels-idx1-ubyte.gz",
        address: "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-labels-idx1-ubyte.gz",
        bytes: 4_542,
        sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
];

const SIDE: usize = 28;
const CLASSES: usize = 10;
const IMAGES: Kind = Kind { name: "images-idx3-ubyte", magic: 0x0803, axes: 3 };
const LABELS: Kind = Kind { name: "labels-idx1-ubyte", magic: 0x0801, axes: 1 };
/// Of one part alone, nine tenths become the part to train with.
const TRAIN_FRACTION: f64 = 0.9;

/// Reads MNIST: 28 × 28 × 1, ten digits, from the directory that holds its files.
///
/// Names are the official ones, also with a dot (`train-images.idx3-ubyte`), each with `.gz` or without. If only
/// one of the two parts is there it is split, nine tenths to train with and one tenth to test with, always the
/// same way, and [`ImageData::note`] says so.
pub fn load(directory: impl AsRef<Path>) -> Result<ImageData, DataError> {
    let directory = directory.as_ref();
    let (train, test) = (Part::find(directory, "train"), Part::find(directory, "t10k"));
    let (alone, name) = match (train.is_there(), test.is_there()) {
        (true, true) => return Ok(ImageData { train: train.read()?, test: test.read()?, note: None }),
        (true, false) => (train.read()?, "train"),
        (false, true) => (test.read()?, "t10k"),
        (false, false) => {
            return Err(DataError::Missing {
                path: directory.into(),
                expected:
                    "the files of MNIST there, such as train-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"
                        .into(),
            });
        }
    };
    let (train, test) = alone.split(TRAIN_FRACTION, 0)?;
    let note = format!(
        "{} holds only the {name} part of MNIST: split into {} images to train with and {} to test with",
        directory.display(),
        train.len(),
        test.len()
    );
    Ok(ImageData { train, test, note: Some(note) })
}

/// Fetches the four files into `directory` if there is nothing of MNIST in it yet, then reads them.
pub fn load_or_fetch(
    directory: impl AsRef<Path>,
    options: &mut FetchOptions<'_>,
) -> Result<ImageData, DataError> {
    let directory = directory.as_ref();
    if !Part::find(directory, "train").is_there() && !Part::find(directory, "t10k").is_there() {
        for file in &FILES {
            fetch(file, directory, options)?;
        }
    }
    load(directory)
}

struct Kind {
    name: &'static str,
    magic: u32,
    axes: usize,
}

/// The two files of a part: where they are, or the official name of what is missing.
struct Part {
    images: Result<PathBuf, PathBuf>,
    labels: Result<PathBuf, PathBuf>,
}

impl Part {
    fn find(directory: &Path, part: &str) -> Part {
        let find = |kind: &Kind| {
            let official = format!("{part}-{}", kind.name);
            let dotted = official.replace("-idx", ".idx");
            [official.clone(), dotted]
                .iter()
                .flat_map(|name| [directory.join(name), directory.join(format!("{name}.gz"))])
                .find(|path| path.is_file())
                .ok_or(directory.join(official))
        };
        Part { images: find(&IMAGES), labels: find(&LABELS) }
    }

    fn is_there(&self) -> bool {
        self.images.is_ok() || self.labels.is_ok()
    }

    fn read(self) -> Result<ImageSet, DataError> {
        let there = |path: Result<PathBuf, PathBuf>, other: &str| {
            path.map_err(|path| DataError::Missing {
                path,
                expected: format!("that file, plain or .gz, beside the {other} of the same part"),
            })
        };
        let (image_path, label_path) = (there(self.images, "labels")?, there(self.labels, "images")?);
        let (sizes, images) = read_idx(&image_path, &IMAGES)?;
        if sizes[1..] != [SIDE, SIDE] {
            let found = format!("images of {}×{}", sizes[1], sizes[2]);
            return Err(DataError::malformed(&image_path, format!("images of {SIDE}×{SIDE}"), found));
        }
        let (_, labels) = read_idx(&label_path, &LABELS)?;
        if labels.len() != sizes[0] {
            return Err(DataError::malformed(
                &label_path,
                format!("{} labels, one for each image of {}", sizes[0], image_path.display()),
                format!("{} labels", labels.len()),
            ));
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= CLASSES) {
            let found = format!("label {} at position {index}", labels[index]);
            return Err(DataError::malformed(&label_path, "labels from 0 to 9", found));
        }
        let labels = labels.into_iter().map(i32::from).collect();
        ImageSet::new(images, labels, [SIDE, SIDE, 1], (0..CLASSES).map(|digit| digit.to_string()).collect())
    }
}

/// The sizes of the axes and the bytes of an IDX file.
fn read_idx(path: &Path, kind: &Kind) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let file = open(path, "an IDX file")?;
    let file_bytes = file.metadata().map_err(|error| DataError::io("read", path, error))?.len();
    let compressed = path.extension().is_some_and(|extension| extension == "gz");
    let mut reader = Reader::new(file, compressed);

    let mut header = vec![0; 4 + 4 * kind.axes];
    reader.read_exact(&mut header).map_err(|error| short(path, "the header of an IDX file", error))?;
    let mut numbers =
        header.chunks_exact(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let magic = numbers.next().unwrap_or_default();
    if magic != kind.magic {
        let expected = format!("the magic number {:#06x} of {}", kind.magic, kind.name);
        return Err(DataError::malformed(path, expected, format!("{magic:#06x}")));
    }
    let sizes: Vec<usize> = numbers.map(|size| size as usize).collect();
    let bytes = sizes.iter().try_fold(1u64, |all, &size| all.checked_mul(size as u64));
    // Deflate cannot shrink anything to less than 1/1032, so a larger claim is false before a byte is reserved.
    let most = if compressed { file_bytes * 1032 } else { file_bytes.saturating_sub(header.len() as u64) };
    let expected = format!(
        "{} bytes behind the header",
        sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
    );
    let bytes = match bytes {
        Some(bytes) if bytes <= most && (compressed || bytes == most) => bytes as usize,
        _ if compressed => {
            return Err(DataError::malformed(
                path,
                expected,
                format!("a compressed file of {file_bytes} bytes"),
            ));
        }
        _ => return Err(DataError::malformed(path, expected, format!("{most} bytes"))),
    };
    let mut content = vec![0; bytes];
    reader.read_exact(&mut content).map_err(|error| short(path, &expected, error))?;
    // Reading on to the end also compares the checksum of a compressed file.
    match reader.read(&mut [0]) {
        Ok(0) => Ok((sizes, content)),
        Ok(_) => Err(DataError::malformed(path, expected, "more bytes")),
        Err(error) => Err(unreadable(path, "a whole file", error)),
    }
}

fn short(path: &Path, expected: &str, error: std::io::Error) -> DataError {
    match error.kind() {
        ErrorKind::UnexpectedEof => DataError::malformed(path, expected, "an end of the file before"),
        _ => unreadable(path, expected, error),
    }
}

enum Reader {
    Plain(BufReader<File>),
    Compressed(Box<GzDecoder<BufReader<File>>>),
}

impl Reader {
    fn new(file: File, compressed: bool) -> Self {
        match compressed {
            true => Reader::Compressed(Box::new(GzDecoder::new(BufReader::new(file)))),
            false => Reader::Plain(BufReader::new(file)),
        }
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Reader::Plain(reader) => reader.read(into),
            Reader::Compressed(reader) => reader.read(into),
        }
    }
}

#[cfg(test)]
mod tests;
