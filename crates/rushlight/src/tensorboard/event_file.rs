//! One event file: whole records only, written at the latest an interval after they came.

use super::proto::Message;
use super::record;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Records are written together once they take up this many bytes.
const BUFFERED: usize = 1 << 16;

/// How long a record waits for others before it is written.
const INTERVAL: Duration = Duration::from_secs(5);

/// An open event file with the thread that writes what has waited long enough.
#[derive(Debug)]
pub(super) struct EventFile {
    shared: Arc<Shared>,
    /// Started with the first record, so that a file that nothing is written to costs no thread.
    writing: Mutex<Option<JoinHandle<()>>>,
    serial: u32,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    /// A record came, or the file is to be closed.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Bytes of the file that are known to be whole records.
    written: u64,
    buffer: Vec<u8>,
    interval: Duration,
    /// What went wrong while nobody was asking.
    failed: Option<io::Error>,
    closed: bool,
}

impl EventFile {
    /// A new file in `directory`, which is made if need be, with its first record.
    pub(super) fn create(directory: &Path) -> io::Result<EventFile> {
        fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
        let now = now();
        let (path, file, serial) = create_file(directory, now as u64)?;
        let state =
            State { file, written: 0, buffer: Vec::new(), interval: INTERVAL, failed: None, closed: false };
        let shared = Arc::new(Shared { path, state: Mutex::new(state), changed: Condvar::new() });
        let version = Message::new().double(1, now).text(3, "brain.Event:2");
        {
            let mut state = shared.lock();
            record::frame(version.as_bytes(), &mut state.buffer);
            shared.write(&mut state)?;
        }
        Ok(EventFile { shared, writing: Mutex::new(None), serial })
    }

    pub(super) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Files of one directory and program are read in the order of this number.
    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        self.shared.lock().interval = interval;
        self.shared.changed.notify_all();
    }

    /// Adds a record.
    pub(super) fn record(&self, event: &Message) -> io::Result<()> {
        let mut state = self.shared.lock();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let first = state.buffer.is_empty();
        record::frame(event.as_bytes(), &mut state.buffer);
        if state.buffer.len() >= BUFFERED {
            return self.shared.write(&mut state);
        }
        drop(state);
        if first {
            self.start_writing();
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Writes what is buffered.
    pub(super) fn flush(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.failed = None;
        self.shared.write(&mut state)
    }

    fn start_writing(&self) {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.is_none() {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("rushlight-events".into());
            // Without a thread records are still written when the buffer is full and at the end.
            *writing = thread.spawn(move || shared.write_on_and_on()).ok();
        }
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        let writing = self.writing.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writing) = writing {
            // It writes what is left. A panic in it has been reported by then.
            let _ = writing.join();
        }
        // Whoever wants to know of errors calls flush first.
        let _ = self.flush();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the buffer, or leaves the file as it was.
    fn write(&self, state: &mut State) -> io::Result<()> {
        let State { file, written, buffer, .. } = state;
        match file.write_all(buffer) {
            Ok(()) => {
                *written += buffer.len() as u64;
                buffer.clear();
                Ok(())
            }
            Err(error) => {
                // Part of a record may be in the file: take it back, so that a later try starts where this did.
                let _ = file.set_len(*written);
                let _ = file.seek(SeekFrom::Start(*written));
                Err(at(&self.path, error))
            }
        }
    }

    /// The life of the writing thread.
    fn write_on_and_on(&self) {
        let mut state = self.lock();
        while !state.closed {
            if state.buffer.is_empty() || state.failed.is_some() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let interval = state.interval;
            let waited = self.changed.wait_timeout_while(state, interval, |state| {
                !state.closed && !state.buffer.is_empty() && state.interval == interval
            });
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Err(error) = self.write(&mut state) {
                state.failed = Some(error);
            }
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A new file with a name as TensorFlow gives: time, machine, process and a number that counts on.
fn create_file(directory: &Path, seconds: u64) -> io::Result<(PathBuf, File, u32)> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    loop {
        // With leading zeros: files of one second are read in the order of their names.
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (host, process) = (host_name(), std::process::id());
        let path =
            directory.join(format!("events.out.tfevents.{seconds:010}.{host}.{process}.{serial:06}.v2"));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file, serial)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(at(&path, error)),
        }
    }
}

/// The name of this machine, as far as it can be learnt without calling into C.
pub(super) fn host_name() -> String {
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

pub(super) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
