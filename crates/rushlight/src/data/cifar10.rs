//! CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009) in its binary layout:
//! files of 10,000 records, each a label byte and three planes (red, green, blue) of 32 × 32 bytes.

use super::download::{FetchOptions, RemoteFile, fetch};
use super::error::DataError;
use super::images::{ImageData, ImageSet};
use super::source::{open, unreadable};
use flate2::bufread::GzDecoder;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The archive as its authors publish it, in the binary version.
pub const ARCHIVE: RemoteFile = RemoteFile {
    name: "cifar-10-binary.tar.gz",
    address: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    bytes: 170_052_171,
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
};

/// The ten classes, in the order of their labels.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const DIRECTORY: &str = "cifar-10-batches-bin";
const NAMES: &str = "batches.meta.txt";
const BATCHES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
const TEST: usize = 5;
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const OFFICIAL_RECORDS: usize = 10_000;

/// Reads CIFAR-10: 50,000 images to train with and 10,000 to test with, 32 × 32 × 3.
///
/// `path` is a directory that holds the binary files, or `cifar-10-batches-bin` with them, or
/// `cifar-10-binary.tar.gz`; or it is that archive. An archive is read as a stream, nothing is unpacked.
pub fn load(path: impl AsRef<Path>) -> Result<ImageData, DataError> {
    load_records(path.as_ref(), OFFICIAL_RECORDS)
}

/// Fetches the archive into `directory` if there is nothing of CIFAR-10 in it yet, then reads it.
pub fn load_or_fetch(
    directory: impl AsRef<Path>,
    options: &mut FetchOptions<'_>,
) -> Result<ImageData, DataError> {
    let directory = directory.as_ref();
    if let Source::Nothing = Source::find(directory) {
        fetch(&ARCHIVE, directory, options)?;
    }
    load(directory)
}

enum Source {
    Unpacked(PathBuf),
    Archive(PathBuf),
    Nothing,
}

impl Source {
    fn find(path: &Path) -> Source {
        if path.is_file() {
            return Source::Archive(path.into());
        }
        for directory in [path.to_path_buf(), path.join(DIRECTORY)] {
            if BATCHES.iter().any(|name| directory.join(name).is_file()) {
                return Source::Unpacked(directory);
            }
        }
        match path.join(ARCHIVE.name) {
            archive if archive.is_file() => Source::Archive(archive),
            _ => Source::Nothing,
        }
    }
}

/// `records` in each file: 10,000 officially, fewer in tests.
fn load_records(path: &Path, records: usize) -> Result<ImageData, DataError> {
    let mut set = Batches::new(records);
    match Source::find(path) {
        Source::Unpacked(directory) => set.read_directory(&directory)?,
        Source::Archive(archive) => set.read_archive(&archive)?,
        Source::Nothing => {
            return Err(DataError::Missing {
                path: path.into(),
                expected: format!(
                    "{} to {}, {DIRECTORY} or {} there",
                    BATCHES[0], BATCHES[TEST], ARCHIVE.name
                ),
            });
        }
    }
    set.finish()
}

/// Both parts while files are read into them, in whatever order they come.
struct Batches {
    records: usize,
    train: (Vec<u8>, Vec<i32>),
    test: (Vec<u8>, Vec<i32>),
    classes: Vec<String>,
}

impl Batches {
    fn new(records: usize) -> Self {
        let room = |batches: usize| (vec![0; batches * records * (RECORD - 1)], vec![0; batches * records]);
        Batches { records, train: room(TEST), test: room(1), classes: CLASSES.map(String::from).to_vec() }
    }

    fn file_bytes(&self) -> u64 {
        (self.records * RECORD) as u64
    }

    fn read_directory(&mut self, directory: &Path) -> Result<(), DataError> {
        for (batch, name) in BATCHES.iter().enumerate() {
            let path = directory.join(name);
            let file = open(&path, &format!("{} bytes of CIFAR-10 records", self.file_bytes()))?;
            let bytes = file.metadata().map_err(|error| DataError::io("read", &path, error))?.len();
            self.read_batch(batch, bytes, file, &path)?;
        }
        let path = directory.join(NAMES);
        if path.is_file() {
            let file = open(&path, "the names of the classes")?;
            self.read_names(file, &path)?;
        }
        Ok(())
    }

    fn read_archive(&mut self, path: &Path) -> Result<(), DataError> {
        let file = open(path, "a CIFAR-10 archive")?;
        let mut compressed = BufReader::with_capacity(1 << 18, file);
        let start = compressed.fill_buf().map_err(|error| DataError::io("read", path, error))?;
        if !start.starts_with(&[0x1f, 0x8b]) {
            return Err(DataError::malformed(
                path,
                "a gzip-compressed archive, which starts with 1f 8b",
                format!("{:02x?}", &start[..start.len().min(4)]),
            ));
        }
        let mut archive = tar::Archive::new(GzDecoder::new(compressed));
        let mut seen = [false; BATCHES.len()];
        let damaged = |error| unreadable(path, "a whole archive", error);
        for entry in archive.entries().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            let member = entry.path().map_err(damaged)?.into_owned();
            let name = member.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let place = PathBuf::from(format!("{}:{}", path.display(), member.display()));
            if !entry.header().entry_type().is_file() {
                continue;
            } else if let Some(batch) = BATCHES.iter().position(|&batch| batch == name) {
                let bytes = entry.size();
                self.read_batch(batch, bytes, entry, &place)?;
                seen[batch] = true;
            } else if name == NAMES {
                self.read_names(entry, &place)?;
            }
        }
        // The checksum of a gzip file stands behind its last byte: read on, so that it is compared.
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(damaged)?;
        match seen.iter().position(|&seen| !seen) {
            None => Ok(()),
            Some(batch) => Err(DataError::malformed(
                path,
                format!("six files, {} among them", BATCHES[batch]),
                format!("{} of them, not that one", seen.iter().filter(|&&seen| seen).count()),
            )),
        }
    }

    fn read_batch(
        &mut self,
        batch: usize,
        bytes: u64,
        mut file: impl Read,
        path: &Path,
    ) -> Result<(), DataError> {
        let expected = || format!("{} records of {RECORD} bytes, {} in all", self.records, self.file_bytes());
        if bytes != self.file_bytes() {
            return Err(DataError::malformed(path, expected(), format!("{bytes} bytes")));
        }
        let (images, labels) = if batch == TEST { &mut self.test } else { &mut self.train };
        let first = if batch == TEST { 0 } else { batch * self.records };
        let mut record = [0; RECORD];
        let mut file = BufReader::with_capacity(64 * RECORD, &mut file);
        for index in 0..self.records {
            file.read_exact(&mut record).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => DataError::malformed(
                    path,
                    format!("{bytes} bytes"),
                    format!("an end within record {index}"),
                ),
                _ => unreadable(path, "a whole file", error),
            })?;
            let (label, planes) = (record[0], &record[1..]);
            if usize::from(label) >= CLASSES.len() {
                return Err(DataError::malformed(
                    path,
                    "labels from 0 to 9",
                    format!("label {label} in record {index}"),
                ));
            }
            labels[first + index] = i32::from(label);
            let image = &mut images[(first + index) * 3 * PLANE..][..3 * PLANE];
            let (red, rest) = planes.split_at(PLANE);
            let (green, blue) = rest.split_at(PLANE);
            for (((pixel, &r), &g), &b) in image.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
                pixel.copy_from_slice(&[r, g, b]);
            }
        }
        Ok(())
    }

    fn read_names(&mut self, file: impl Read, path: &Path) -> Result<(), DataError> {
        let mut text = String::new();
        let most = 4096;
        file.take(most)
            .read_to_string(&mut text)
            .map_err(|error| unreadable(path, "names as text", error))?;
        let names: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if names.len() != CLASSES.len() {
            return Err(DataError::malformed(
                path,
                "ten names, one a line",
                format!("{} names", names.len()),
            ));
        }
        self.classes = names.into_iter().map(String::from).collect();
        Ok(())
    }

    fn finish(self) -> Result<ImageData, DataError> {
        let set = |(images, labels), classes| ImageSet::new(images, labels, [SIDE, SIDE, 3], classes);
        Ok(ImageData {
            train: set(self.train, self.classes.clone())?,
            test: set(self.test, self.classes)?,
            note: None,
        })
    }
}

#[cfg(test)]
mod tests;
