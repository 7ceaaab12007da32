//! Every way a download can go, against a small server on loopback.

use super::*;
use crate::testing::Scratch;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the file holds: more than any buffer on the way.
fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn file() -> RemoteFile {
    let sha256: &'static str = hexadecimal(&Sha256::digest(content())).leak();
    RemoteFile { name: "data.bin", address: "http://127.0.0.1:9/data.bin", bytes: 300_000, sha256 }
}

/// One request: its number from 0, its path, and from which byte it wants the file.
struct Request {
    number: u32,
    path: String,
    from: Option<usize>,
}

fn read_request(stream: &mut impl Read, number: u32) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_string();
    let headers: Vec<String> = lines.map(|line| line.to_lowercase()).collect();
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes="));
    let from = range.map(|range| range.trim_end_matches('-').parse().unwrap());
    Some(Request { number, path, from })
}

/// The path and the first byte of each request.
type Log = Vec<(String, Option<usize>)>;

struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Log>>,
}

impl Server {
    /// Answers each request on a thread of its own, which ends with the test process at the latest.
    fn start(answer: impl Fn(&mut TcpStream, &Request) -> io::Result<()> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, count, answer) = (requests.clone(), AtomicU32::new(0), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let number = count.fetch_add(1, Ordering::Relaxed);
                let Some(request) = read_request(&mut stream, number) else { continue };
                log.lock().unwrap().push((request.path.clone(), request.from));
                let answer = answer.clone();
                thread::spawn(move || {
                    // The client may hang up early; that is what some tests are about.
                    let _ = answer(&mut stream, &request);
                });
            }
        });
        Server { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Log {
        self.requests.lock().unwrap().clone()
    }

    fn fetch(&self, directory: &Path) -> Result<PathBuf, DataError> {
        fetch(&file(), directory, &mut patient_for_a_test().mirror(self.url()))
    }
}

/// Three attempts at once; time enough for a machine that is busy with other tests.
fn patient_for_a_test<'a>() -> FetchOptions<'a> {
    FetchOptions::new().timeout(Duration::from_secs(20)).attempts(3, Duration::ZERO)
}

fn send(stream: &mut impl Write, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")?;
    stream.write_all(body)?;
    stream.flush()
}

fn send_whole(stream: &mut impl Write, body: &[u8]) -> io::Result<()> {
    send(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()), body)
}

/// Announces everything from `first` on, but hangs up after `count` bytes.
fn send_cut(stream: &mut impl Write, first: usize, count: usize, partial: bool) -> io::Result<()> {
    let body = &content()[first..];
    let range = format!("Content-Range: bytes {first}-299999/300000\r\n");
    let (status, range) = if partial { ("206 Partial Content", &range[..]) } else { ("200 OK", "") };
    let headers = format!("Content-Length: {}\r\n{range}", body.len());
    send(stream, status, &headers, &body[..count.min(body.len())])
}

#[test]
fn a_file_arrives_whole_with_progress_in_a_directory_made_for_it() {
    let scratch = Scratch::new("whole");
    let server = Server::start(|stream, _| send_whole(stream, &content()));
    let directory = scratch.0.join("new/er");
    let mut seen = Vec::new();
    // A mirror may be given with a slash at the end, and with a path.
    let mut options =
        patient_for_a_test().mirror(server.url() + "/sets/").progress(|progress| seen.push(progress));
    let path = fetch(&file(), &directory, &mut options).unwrap();
    drop(options);
    assert_eq!(path, directory.join("data.bin"));
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no other file is left");
    assert_eq!(server.requests(), [("/sets/data.bin".to_string(), None)]);
    assert_eq!(seen.first(), Some(&Progress { name: "data.bin", received: 0, total: 300_000 }));
    assert_eq!(seen.last(), Some(&Progress { name: "data.bin", received: 300_000, total: 300_000 }));
    assert!(seen.windows(2).all(|pair| pair[0].received < pair[1].received));

    fs::write(&path, "mine").unwrap();
    assert_eq!(server.fetch(&directory).unwrap(), path);
    assert_eq!(
        (fs::read(&path).unwrap(), server.requests().len()),
        (b"mine".to_vec(), 1),
        "a file is left alone"
    );
}

#[test]
fn redirects_and_chunked_bodies_are_followed() {
    let scratch = Scratch::new("redirect");
    let server = Server::start(|stream, request| match request.path.as_str() {
        "/data.bin" => send(stream, "302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n", b""),
        _ => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for chunk in content().chunks(70_001) {
                write!(stream, "{:x}\r\n", chunk.len())?;
                stream.write_all(chunk)?;
                write!(stream, "\r\n")?;
            }
            write!(stream, "0\r\n\r\n")
        }
    });
    assert_eq!(fs::read(server.fetch(&scratch.0).unwrap()).unwrap(), content());
}

#[test]
fn an_answer_of_not_found_is_final() {
    let scratch = Scratch::new("404");
    let server = Server::start(|stream, _| send(stream, "404 Not Found", "Content-Length: 0\r\n", b""));
    let error = server.fetch(&scratch.0).unwrap_err().to_string();
    assert_eq!(error, format!("{}/data.bin: the server answered 404 Not Found", server.url()));
    assert_eq!((server.requests().len(), scratch.names().len()), (1, 0));
}

#[test]
fn an_overloaded_server_is_asked_again() {
    let scratch = Scratch::new("503");
    let server = Server::start(|stream, request| match request.number {
        0 => send(stream, "503 Service Unavailable", "Content-Length: 0\r\n", b""),
        _ => send_whole(stream, &content()),
    });
    assert!(server.fetch(&scratch.0).is_ok());
    let server =
        Server::start(|stream, _| send(stream, "500 Internal Server Error", "Content-Length: 0\r\n", b""));
    let error = server.fetch(&scratch.0.join("other")).unwrap_err().to_string();
    assert!(error.ends_with("the server answered 500 Internal Server Error"), "{error}");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_cut_body_is_taken_up_where_it_broke() {
    let scratch = Scratch::new("resumed");
    let server = Server::start(|stream, request| match request.from {
        None => send_cut(stream, 0, 100_000, false),
        Some(first) => send_cut(stream, first, 80_000, true),
    });
    assert_eq!(fs::read(server.fetch(&scratch.0).unwrap()).unwrap(), content());
    let starts: Vec<_> = server.requests().into_iter().map(|(_, from)| from).collect();
    assert_eq!(starts, [None, Some(100_000), Some(180_000), Some(260_000)]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let scratch = Scratch::new("restarted");
    let server = Server::start(|stream, request| match request.number {
        0 => send_cut(stream, 0, 100_000, false),
        _ => send_whole(stream, &content()),
    });
    assert_eq!(fs::read(server.fetch(&scratch.0).unwrap()).unwrap(), content());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_body_that_is_always_cut_leaves_nothing() {
    let scratch = Scratch::new("cut");
    let server = Server::start(|stream, _| send_cut(stream, 0, 100_000, false));
    let error = server.fetch(&scratch.0).unwrap_err().to_string();
    assert!(error.contains("received 100000 of 300000 bytes"), "{error}");
    assert_eq!((server.requests().len(), scratch.names().len()), (3, 0));
}

#[test]
fn a_wrong_range_is_not_believed() {
    let scratch = Scratch::new("range");
    let server = Server::start(|stream, request| match request.number {
        0 => send_cut(stream, 0, 100_000, false),
        1 => send_cut(stream, 50_000, 250_000, true),
        _ => send_whole(stream, &content()),
    });
    assert_eq!(fs::read(server.fetch(&scratch.0).unwrap()).unwrap(), content());
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let scratch = Scratch::new("checksum");
    let mut wrong = content();
    wrong[123_456] ^= 1;
    let sum = hexadecimal(&Sha256::digest(&wrong));
    let server = Server::start(move |stream, _| send_whole(stream, &wrong));
    let error = server.fetch(&scratch.0).unwrap_err().to_string();
    let expected = format!("expected the SHA-256 {}, received {sum}", file().sha256);
    assert_eq!(error, format!("{}/data.bin: {expected}", server.url()));
    assert_eq!((server.requests().len(), scratch.names().len()), (1, 0));
}

#[test]
fn another_size_than_announced_by_the_publisher_is_refused_early() {
    let scratch = Scratch::new("size");
    let server = Server::start(|stream, _| send_whole(stream, b"<html>Moved!</html>"));
    let error = server.fetch(&scratch.0).unwrap_err().to_string();
    assert!(error.ends_with("expected 300000 bytes, the server announced 19"), "{error}");
    let endless = Server::start(|stream, _| {
        send(stream, "200 OK", "", &content())?;
        loop {
            stream.write_all(&[0; 1000])?;
        }
    });
    let error = endless.fetch(&scratch.0).unwrap_err().to_string();
    assert!(error.ends_with("expected 300000 bytes, the server sends more"), "{error}");
    assert!(scratch.names().is_empty());
}

#[test]
fn silence_ends_the_download() {
    let scratch = Scratch::new("silence");
    for bytes_before in [0, 1000] {
        let server = Server::start(move |stream, _| {
            if bytes_before > 0 {
                send_cut(stream, 0, bytes_before, false)?;
            }
            thread::sleep(Duration::from_secs(60));
            Ok(())
        });
        let start = std::time::Instant::now();
        let mut options = patient_for_a_test().mirror(server.url()).timeout(Duration::from_millis(300));
        let error = fetch(&file(), &scratch.0, &mut options).unwrap_err().to_string();
        assert!(error.contains("timeout"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!((server.requests().len(), scratch.names().len()), (3, 0));
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let scratch = Scratch::new("refused");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut options = patient_for_a_test().mirror(format!("http://127.0.0.1:{port}"));
    let error = fetch(&file(), &scratch.0, &mut options).unwrap_err().to_string();
    assert!(error.starts_with(&format!("http://127.0.0.1:{port}/data.bin: ")), "{error}");
    let error = fetch(&file(), &scratch.0, &mut patient_for_a_test().mirror("nonsense")).unwrap_err();
    assert!(matches!(error, DataError::Download { .. }), "{error}");
    assert!(scratch.names().is_empty());
}

#[test]
fn what_a_killed_process_left_is_continued_or_replaced() {
    let scratch = Scratch::new("killed");
    let server = Server::start(|stream, request| match request.from {
        None => send_whole(stream, &content()),
        Some(first) => send_cut(stream, first, 300_000, true),
    });
    let part = scratch.0.join("data.bin.part");
    let leftovers = [
        (content()[..200_000].to_vec(), vec![Some(200_000)]),
        (vec![7; 200_000], vec![Some(200_000), None]),
        (vec![7; 400_000], vec![None]),
    ];
    let mut asked = Vec::new();
    for (leftover, requests) in leftovers {
        fs::write(&part, leftover).unwrap();
        let path = server.fetch(&scratch.0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content());
        assert_eq!(scratch.names(), ["data.bin"]);
        fs::remove_file(path).unwrap();
        asked.extend(requests);
        assert_eq!(server.requests().into_iter().map(|(_, from)| from).collect::<Vec<_>>(), asked);
    }
}

#[test]
fn two_downloads_of_one_file_do_not_mix() {
    let scratch = Scratch::new("lock");
    let part = scratch.0.join("data.bin.part");
    let other = File::create(&part).unwrap();
    other.lock().unwrap();
    let server = Server::start(|stream, _| send_whole(stream, &content()));
    let error = server.fetch(&scratch.0).unwrap_err().to_string();
    assert!(error.ends_with("another process is fetching it"), "{error}");
    assert_eq!(scratch.names(), ["data.bin.part"], "the file of the other is left alone");
    drop(other);
    assert!(server.fetch(&scratch.0).is_ok());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new("directory");
    let taken = scratch.0.join("taken");
    fs::write(&taken, "").unwrap();
    let error = fetch(&file(), &taken.join("below"), &mut patient_for_a_test()).unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
}

#[cfg(all(feature = "https", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod https {
    use super::*;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    // Made for this test alone with openssl: an authority whose key was thrown away, and a certificate of it for
    // localhost, valid for a hundred years.
    const AUTHORITY: &[u8] = include_bytes!("loopback_authority.pem");

    fn serve() -> SocketAddr {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("loopback_certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("loopback_key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                if read_request(&mut stream, 0).is_some() {
                    let _ = send_whole(&mut stream, &content());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        address
    }

    #[test]
    fn a_trusted_server_delivers_and_others_do_not() {
        if !tls_provider::is_supported() {
            eprintln!("skipped: this processor lacks the instructions that https needs");
            return;
        }
        let scratch = Scratch::new("https");
        let url = format!("https://localhost:{}", serve().port());
        let error =
            fetch(&file(), &scratch.0, &mut patient_for_a_test().mirror(&url)).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("certificate"), "{error}");
        assert!(scratch.names().is_empty());
        let mut options = patient_for_a_test().mirror(&url).trust(AUTHORITY);
        assert_eq!(fs::read(fetch(&file(), &scratch.0, &mut options).unwrap()).unwrap(), content());
    }
}
