//! Fetching the files of data sets: over HTTP, checked by size and SHA-256 before they get their name.

use super::error::DataError;
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

/// The environment variable that names a mirror for all data sets.
pub const MIRROR_VARIABLE: &str = "RUSHLIGHT_DATA_URL";

/// A file at a fixed address, with what it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name on disk, and at a mirror.
    pub name: &'static str,
    /// Where its publisher offers it.
    pub address: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: &'static str,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The file.
    pub name: &'static str,
    /// Bytes that are on disk.
    pub received: u64,
    /// Bytes that it will have.
    pub total: u64,
}

/// How to fetch: from where, how patiently, and who is told.
pub struct FetchOptions<'a> {
    mirror: Option<String>,
    timeout: Duration,
    attempts: u32,
    pause: Duration,
    progress: Box<dyn FnMut(Progress) + 'a>,
    #[cfg(feature = "https")]
    trusted: Option<Vec<u8>>,
}

impl<'a> FetchOptions<'a> {
    /// From the publisher, or the mirror that the environment variable `RUSHLIGHT_DATA_URL` names; given up when
    /// three attempts in a row got no further, each after 30 seconds of silence at most.
    pub fn new() -> Self {
        FetchOptions {
            mirror: std::env::var(MIRROR_VARIABLE).ok().filter(|address| !address.is_empty()),
            timeout: Duration::from_secs(30),
            attempts: 3,
            pause: Duration::from_secs(1),
            progress: Box::new(|_| ()),
            #[cfg(feature = "https")]
            trusted: None,
        }
    }

    /// Fetches `<address>/<name of the file>`. What comes must still have the publisher's checksum.
    pub fn mirror(mut self, address: impl Into<String>) -> Self {
        self.mirror = Some(address.into());
        self
    }

    /// Waits so long for a connection, for an answer, or for more of it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives up after so many attempts in a row that got no further; pauses in between.
    pub fn attempts(mut self, attempts: u32, pause: Duration) -> Self {
        (self.attempts, self.pause) = (attempts.max(1), pause);
        self
    }

    /// Calls `progress` at the start, as bytes come in, and at the end.
    pub fn progress(mut self, progress: impl FnMut(Progress) + 'a) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Trusts servers certified by these (PEM), in place of the authorities that browsers trust.
    #[cfg(feature = "https")]
    pub fn trust(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.trusted = Some(certificates.into());
        self
    }

    fn address(&self, file: &RemoteFile) -> String {
        match &self.mirror {
            Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), file.name),
            None => file.address.into(),
        }
    }
}

impl Default for FetchOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Fetches a file into `directory` and returns its path there.
///
/// A file of that name is left alone and not fetched again. Until size and SHA-256 are right the bytes go to
/// `<name>.part`, which is removed when anything fails; one left by a process that was killed is continued.
/// A broken connection is taken up again where it broke, if the server can do that.
pub fn fetch(
    file: &RemoteFile,
    directory: &Path,
    options: &mut FetchOptions<'_>,
) -> Result<PathBuf, DataError> {
    let target = directory.join(file.name);
    if target.is_file() {
        return Ok(target);
    }
    fs::create_dir_all(directory).map_err(|error| DataError::io("create", directory, error))?;
    let path = directory.join(format!("{}.part", file.name));
    let content = open_alone(&path)?;
    // Another process may have finished the same download before the lock was ours.
    if target.is_file() {
        return Ok(target);
    }
    let fetched = receive(file, &content, &path, options)
        .and_then(|()| content.sync_all().map_err(|error| DataError::io("write", &path, error)))
        .and_then(|()| fs::rename(&path, &target).map_err(|error| DataError::io("rename", &path, error)));
    if fetched.is_err() {
        // If the file cannot be removed either, the first error is still the one to tell.
        let _ = fs::remove_file(&path);
    }
    fetched.map(|()| target)
}

/// Opens the file, with what a killed process left in it, unless another process is writing to it.
fn open_alone(path: &Path) -> Result<File, DataError> {
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = opened.map_err(|error| DataError::io("create", path, error))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(DataError::io("write", path, io::Error::other("another process is fetching it")))
        }
        // Some file systems have no locks; two processes at once are then the user's to avoid.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Why an attempt ended early.
enum Stop {
    /// Another attempt may get further.
    Again(DataError),
    /// No other attempt will.
    Final(DataError),
}

/// What of a file has come in.
struct Part<'a> {
    file: &'a RemoteFile,
    url: &'a str,
    path: &'a Path,
    content: &'a File,
    hash: Sha256,
    received: u64,
}

/// Receives the whole file, in as many attempts as it takes and the options allow, and compares its checksum.
fn receive(
    file: &RemoteFile,
    content: &File,
    path: &Path,
    options: &mut FetchOptions<'_>,
) -> Result<(), DataError> {
    let url = options.address(file);
    let agent = agent(&url, options)?;
    let mut part = Part { file, url: &url, path, content, hash: Sha256::new(), received: 0 };
    let mut left_by_another = part.take_over()?;
    let (mut furthest, mut failures) = (part.received, 0);
    loop {
        match part.attempt(&agent, &mut options.progress) {
            Ok(()) => {
                let sum = hexadecimal(&part.hash.finalize_reset());
                if sum == file.sha256 {
                    return Ok(());
                }
                if !left_by_another {
                    return Err(part.problem(format!("expected the SHA-256 {}, received {sum}", file.sha256)));
                }
                part.restart()?;
            }
            Err(Stop::Final(error)) => return Err(error),
            Err(Stop::Again(error)) => {
                failures = if part.received > furthest { 1 } else { failures + 1 };
                furthest = furthest.max(part.received);
                if failures >= options.attempts {
                    return Err(error);
                }
                std::thread::sleep(options.pause);
            }
        }
        left_by_another &= part.received > 0;
    }
}

impl Part<'_> {
    /// Counts what an earlier process left in the file as received. Answers whether there was anything.
    fn take_over(&mut self) -> Result<bool, DataError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count =
                self.content.read(&mut buffer).map_err(|error| DataError::io("read", self.path, error))?;
            if count == 0 {
                break;
            }
            self.hash.update(&buffer[..count]);
            self.received += count as u64;
        }
        if self.received >= self.file.bytes {
            self.restart()?;
        }
        Ok(self.received > 0)
    }

    fn restart(&mut self) -> Result<(), DataError> {
        self.content
            .set_len(0)
            .and_then(|()| self.content.seek(SeekFrom::Start(0)))
            .map_err(|error| DataError::io("write", self.path, error))?;
        self.hash.reset();
        self.received = 0;
        Ok(())
    }

    /// Asks for what is missing and receives it.
    fn attempt(&mut self, agent: &Agent, progress: &mut dyn FnMut(Progress)) -> Result<(), Stop> {
        let mut request = agent.get(self.url);
        if self.received > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", self.received));
        }
        let response = request.call().map_err(|error| self.failure(error))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, self.received) => (),
            StatusCode::OK => self.restart().map_err(Stop::Final)?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.restart().map_err(Stop::Final)?;
                return Err(Stop::Again(self.problem("the server sent another range than asked for")));
            }
            status => {
                let error = self.problem(format!("the server answered {status}"));
                let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                return Err(if passing { Stop::Again(error) } else { Stop::Final(error) });
            }
        }
        let wanted = self.file.bytes - self.received;
        if let Some(announced) = response.body().content_length().filter(|&length| length != wanted) {
            let error = format!("expected {wanted} bytes, the server announced {announced}");
            return Err(Stop::Final(self.problem(error)));
        }
        self.receive_body(response.into_body(), progress)
    }

    fn receive_body(&mut self, mut body: Body, progress: &mut dyn FnMut(Progress)) -> Result<(), Stop> {
        let (name, total) = (self.file.name, self.file.bytes);
        let mut reader = body.as_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress(Progress { name, received: self.received, total });
            let count = match reader.read(&mut buffer) {
                Ok(0) if self.received == total => return Ok(()),
                Ok(0) => return Err(Stop::Again(self.cut("the server ended"))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stop::Again(self.cut(&error.to_string()))),
            };
            if count as u64 > total - self.received {
                return Err(Stop::Final(
                    self.problem(format!("expected {total} bytes, the server sends more")),
                ));
            }
            let mut content = self.content;
            content
                .write_all(&buffer[..count])
                .map_err(|error| Stop::Final(DataError::io("write", self.path, error)))?;
            self.hash.update(&buffer[..count]);
            self.received += count as u64;
        }
    }

    fn problem(&self, problem: impl Into<String>) -> DataError {
        DataError::Download { url: self.url.into(), problem: problem.into() }
    }

    fn cut(&self, reason: &str) -> DataError {
        self.problem(format!("received {} of {} bytes: {reason}", self.received, self.file.bytes))
    }

    /// What a request that got no answer means.
    fn failure(&self, error: ureq::Error) -> Stop {
        let problem = self.problem(error.to_string());
        match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_) => Stop::Again(problem),
            _ => Stop::Final(problem),
        }
    }
}

/// Whether the answer's `Content-Range: bytes <first>-<last>/<size>` begins at `first`.
fn starts_at(response: &Response<Body>, first: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    start == Some(first)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn agent(url: &str, options: &FetchOptions<'_>) -> Result<Agent, DataError> {
    let wait = Some(options.timeout);
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("rushlight/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(wait)
        .timeout_connect(wait)
        .timeout_recv_response(wait)
        .timeout_per_read(wait)
        .timeout_per_write(wait);
    if is_loopback(url) {
        // A proxy of the environment could not reach this machine's own servers.
        config = config.proxy(None);
    }
    let config = with_tls(config, url, options)?;
    Ok(config.build().new_agent())
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|local| host.strip_prefix(local).is_some_and(|port| port.is_empty() || port.starts_with(':')))
}

type Config = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

#[cfg(feature = "https")]
fn with_tls(config: Config, url: &str, options: &FetchOptions<'_>) -> Result<Config, DataError> {
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

    let Some(mut tls) = tls_provider::add(TlsConfig::builder()) else {
        return without_tls(config, url, "this processor lacks the instructions that https needs here");
    };
    if let Some(pem) = &options.trusted {
        let mut roots = Vec::new();
        for item in parse_pem(pem) {
            let problem = |error| DataError::Argument(format!("certificates to trust: {error}"));
            if let PemItem::Certificate(certificate) = item.map_err(problem)? {
                roots.push(certificate);
            }
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&roots));
    }
    Ok(config.tls_config(tls.build()))
}

#[cfg(not(feature = "https"))]
fn with_tls(config: Config, url: &str, _: &FetchOptions<'_>) -> Result<Config, DataError> {
    without_tls(config, url, "built without https")
}

/// Plain http, without redirects, as they could lead to https.
fn without_tls(config: Config, url: &str, why: &str) -> Result<Config, DataError> {
    if url.starts_with("https:") {
        let problem = format!("{why}: use a mirror over http, or put the file in place by hand");
        return Err(DataError::Download { url: url.into(), problem });
    }
    Ok(config.max_redirects(0))
}

/// The cryptography, where there is one: it would panic on a processor that lacks what it asks for.
#[cfg(feature = "https")]
mod tls_provider {
    use ureq::tls::TlsConfigBuilder;

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn add(tls: TlsConfigBuilder) -> Option<TlsConfigBuilder> {
        let provider = || std::sync::Arc::new(rustls_graviola::default_provider());
        is_supported().then(|| tls.unversioned_rustls_crypto_provider(provider()))
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(super) fn add(_: TlsConfigBuilder) -> Option<TlsConfigBuilder> {
        None
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn is_supported() -> bool {
        use std::arch::is_x86_feature_detected as detected;
        let encryption = detected!("aes") && detected!("pclmulqdq");
        encryption && detected!("avx2") && detected!("adx") && detected!("bmi1") && detected!("bmi2")
    }

    #[cfg(target_arch = "aarch64")]
    pub(super) fn is_supported() -> bool {
        use std::arch::is_aarch64_feature_detected as detected;
        detected!("neon") && detected!("aes") && detected!("sha2") && detected!("pmull")
    }
}

#[cfg(test)]
mod tests;
