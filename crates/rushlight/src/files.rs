//! Writing files so that nothing half-written is ever found under their name.

mod png;

pub use png::encode_png;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Writes `content` to `path`: all of it, or nothing.
///
/// The bytes go to a file of another name in the same directory, which takes the place of `path` only once they
/// are on the disk. If anything fails, what was at `path` before stays as it was. Missing directories are made.
pub fn write_atomically(path: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
    write_atomically_with(path, |file| file.write_all(content))
}

/// As [`write_atomically`], with `write` called to write the content; if it fails nothing is changed.
pub fn write_atomically_with(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut io::BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let path = path.as_ref();
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let (temporary, file) = create_beside(path)?;
    let mut buffered = io::BufWriter::new(&file);
    let written = write(&mut buffered)
        .and_then(|()| buffered.flush())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // If the file cannot be removed either, the first error is still the one to tell.
        let _ = fs::remove_file(&temporary);
    } else if let Ok(directory) = File::open(directory) {
        // The new name is safe once the directory is on the disk; not every system lets a directory be synced.
        let _ = directory.sync_all();
    }
    written
}

/// Creates a file in the directory of `path`, under a name that no other process or thread takes.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "names no file"))?;
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{count}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match File::create_new(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            // Left by a process of the same number that was killed: take the next name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn files_are_made_and_replaced() {
        let scratch = Scratch::new("files-made");
        let path = scratch.0.join("new/er/curve.svg");
        write_atomically(&path, b"first").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_failure_leaves_the_old_file_as_it_was() {
        let scratch = Scratch::new("files-failed");
        let path = scratch.write("model", b"old");
        let failed = write_atomically_with(&path, |file| {
            file.write_all(&[1; 100_000])?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!((fs::read(&path).unwrap(), scratch.names()), (b"old".to_vec(), vec!["model".to_string()]));
    }

    #[test]
    fn paths_that_cannot_be_written_are_errors() {
        let scratch = Scratch::new("files-paths");
        let file = scratch.write("file", b"");
        assert!(write_atomically(file.join("below"), b"x").is_err());
        assert_eq!(write_atomically(&scratch.0, b"x").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(write_atomically(scratch.0.join(".."), b"x").is_err());
        assert_eq!(scratch.names(), ["file"]);
    }

    #[test]
    fn threads_that_write_one_path_do_not_mix() {
        let scratch = Scratch::new("files-threads");
        let path = scratch.0.join("same");
        std::thread::scope(|scope| {
            for letter in b'a'..b'i' {
                let path = &path;
                scope.spawn(move || write_atomically(path, &[letter; 50_000]).unwrap());
            }
        });
        let content = fs::read(&path).unwrap();
        assert_eq!((content.len(), scratch.names().len()), (50_000, 1));
        assert!(content.iter().all(|&byte| byte == content[0]));
    }
}
