//! Logs that TensorBoard shows: event files of scalars.
//!
//! ```no_run
//! let mut writer = rushlight::tensorboard::Writer::create("logs/run1/train")?;
//! for step in 0..100 {
//!     writer.scalar("epoch_loss", step, 1.0 / (1.0 + step as f32))?;
//! }
//! writer.flush()?;
//! # std::io::Result::Ok(())
//! ```

mod callback;
mod proto;
mod record;

pub use callback::TensorBoard;

use proto::Message;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Records are written together once they take up this many bytes.
const BUFFERED: usize = 1 << 16;

/// Writes one event file, in a directory that TensorBoard shows as one run.
///
/// The file only ever holds whole records. What is not yet flushed is flushed when the writer is dropped; call
/// [`flush`](Self::flush) to learn of errors, and whenever somebody who is looking should see the newest values.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    written: u64,
    buffer: Vec<u8>,
    last_steps: HashMap<String, i64>,
}

impl Writer {
    /// Starts an event file in `directory`, which is made if need be. Files that are there already stay.
    pub fn create(directory: impl AsRef<Path>) -> io::Result<Self> {
        let directory = directory.as_ref();
        fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
        let now = now();
        let (path, file) = create_file(directory, now as u64)?;
        let buffer = Vec::with_capacity(BUFFERED);
        let mut writer = Writer { path, file, written: 0, buffer, last_steps: HashMap::new() };
        writer.record(&Message::new().double(1, now).text(3, "brain.Event:2"));
        writer.flush()?;
        Ok(writer)
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a value to the curve `tag`. Slashes in the tag make groups.
    ///
    /// The steps of a tag must rise: TensorBoard drops what it holds from a step on that comes again, so that is
    /// refused here.
    pub fn scalar(&mut self, tag: &str, step: i64, value: f32) -> io::Result<()> {
        match self.last_steps.get_mut(tag) {
            Some(last) if step <= *last => {
                let text = format!("scalar {tag}: steps must rise, got step {step} after step {last}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Some(last) => *last = step,
            None => drop(self.last_steps.insert(tag.into(), step)),
        }
        self.record(&scalar_event(now(), tag, step, value));
        if self.buffer.len() >= BUFFERED { self.flush() } else { Ok(()) }
    }

    /// Writes what is buffered to the file, where TensorBoard finds it.
    pub fn flush(&mut self) -> io::Result<()> {
        match self.file.write_all(&self.buffer) {
            Ok(()) => {
                self.written += self.buffer.len() as u64;
                self.buffer.clear();
                Ok(())
            }
            Err(error) => {
                // Part of a record may be in the file: take it back, so that a later try starts where this did.
                let _ = self.file.set_len(self.written);
                let _ = io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.written));
                Err(at(&self.path, error))
            }
        }
    }

    fn record(&mut self, event: &Message) {
        record::frame(event.as_bytes(), &mut self.buffer);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whoever wants to know calls flush first.
        let _ = self.flush();
    }
}

/// Event { wall_time, step, summary { value { tag, tensor, metadata } } }.
fn scalar_event(wall_time: f64, tag: &str, step: i64, value: f32) -> Message {
    const FLOAT: i64 = 1;
    let scalar_shape = Message::new();
    let tensor = Message::new().integer(1, FLOAT).message(2, &scalar_shape).bytes(4, &value.to_le_bytes());
    let metadata = Message::new().message(1, &Message::new().text(1, "scalars"));
    let value = Message::new().text(1, tag).message(8, &tensor).message(9, &metadata);
    Message::new().double(1, wall_time).integer(2, step).message(5, &Message::new().message(1, &value))
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A new file with a name as TensorFlow gives: time, machine, process and a number that counts on.
fn create_file(directory: &Path, seconds: u64) -> io::Result<(PathBuf, File)> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    loop {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (host, process) = (host_name(), std::process::id());
        let path = directory.join(format!("events.out.tfevents.{seconds:010}.{host}.{process}.{serial}.v2"));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(at(&path, error)),
        }
    }
}

/// The name of this machine, as far as it can be learnt without calling into C.
fn host_name() -> String {
    let of_file = |path| fs::read_to_string(path).ok();
    let of_variable = |name| std::env::var(name).ok();
    let name = of_file("/proc/sys/kernel/hostname")
        .or_else(|| of_file("/etc/hostname"))
        .or_else(|| of_variable("HOSTNAME"))
        .or_else(|| of_variable("COMPUTERNAME"))
        .unwrap_or_default();
    let allowed = |c: &char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(c);
    let name: String = name.trim().chars().filter(allowed).take(64).collect();
    if name.is_empty() { "localhost".into() } else { name }
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
