//! A server of InfluxDB's version 2 that is stricter than any real one, and fails by script.
//!
//! It accepts lines for one organisation, bucket, token and precision only, parses them with an independent parser,
//! rejects a whole request for one bad line, and drops points with a field of another type. It serves plain HTTP or
//! TLS.

#![allow(clippy::disallowed_methods, reason = "it notes when it was asked")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use influxdb_line_protocol::{FieldValue, parse_lines};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::tls::server_config;

/// The only accepted values.
pub(crate) const ORG: &str = "an org & more";
pub(crate) const BUCKET: &str = "bücket/1";
pub(crate) const TOKEN: &str = "80915723640017==";

/// The outcome of the next request.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// A response with this status, `Retry-After` header and body; no line is written.
    Answer(u16, Option<&'static str>, &'static str),
    /// All lines are written, but the connection is cut in the middle of the response.
    CutAnswer,
    /// The connection is cut before the whole request is read.
    CutRequest,
    /// All lines are written, but no response follows.
    Hang,
    /// All lines are written, with a response.
    Take,
}

/// A write request.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) at: Instant,
    pub(crate) lines: usize,
    pub(crate) is_gzip: bool,
    pub(crate) status: u16,
}

/// The server. Its threads end with the process.
pub(crate) struct StrictInfluxDb {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Next>,
    /// Points by series and time, and the number of writes of each.
    points: BTreeMap<(String, i64), BTreeMap<String, String>>,
    types: BTreeMap<(String, String), &'static str>,
    requests: Vec<Written>,
}

struct Request {
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl StrictInfluxDb {
    /// Starts a server of plain HTTP.
    pub(crate) fn start() -> Self {
        Self::serve(None)
    }

    /// Starts a TLS server, with the certificate and the key in files. With the authorities of a file, it requires
    /// certificates of clients.
    pub(crate) fn start_tls(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Self {
        Self::serve(Some(server_config(certificate, key, client_ca)))
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                thread::spawn(move || {
                    let cut = stream.try_clone().unwrap();
                    match tls {
                        None => converse(stream, &cut, &state),
                        Some(config) => {
                            converse(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &cut, &state);
                        }
                    }
                });
            }
        });
        Self { url, state }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sets the outcomes of the next requests, one after the other; later requests succeed.
    pub(crate) fn script(&self, next: impl IntoIterator<Item = Next>) {
        self.lock().next.extend(next);
    }

    /// Whether all outcomes of the script have occurred.
    pub(crate) fn is_played(&self) -> bool {
        self.lock().next.is_empty()
    }

    pub(crate) fn requests(&self) -> Vec<Written> {
        self.lock().requests.clone()
    }

    /// The value of a field at each series and time.
    pub(crate) fn values(&self, measurement: &str, field: &str) -> BTreeMap<(String, i64), String> {
        let state = self.lock();
        let of = state.points.iter().filter(|((series, _), _)| series.split(',').next() == Some(measurement));
        of.filter_map(|(place, fields)| Some((place.clone(), fields.get(field)?.clone()))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Responds to one request after the other.
fn converse(stream: impl Read + Write, cut: &TcpStream, state: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(head) = read_head(&mut stream) {
        if matches!(lock().next.front(), Some(Next::CutRequest)) {
            lock().next.pop_front();
            // Some of the body is read, and the rest is not.
            let _ = stream.fill_buf();
            let _ = cut.shutdown(Shutdown::Both);
            return;
        }
        let Some(request) = read_body(&mut stream, head) else { return };
        let next = lock().next.pop_front().unwrap_or(Next::Take);
        let (status, retry_after, body) = match next {
            Next::Answer(status, retry_after, body) => {
                let is_gzip = request.headers.contains_key("content-encoding");
                lock().requests.push(Written { at: Instant::now(), lines: 0, is_gzip, status });
                (status, retry_after, body.to_owned())
            }
            _ => {
                let (status, body) = lock().take(&request);
                (status, None, body)
            }
        };
        if matches!(next, Next::Hang) {
            // Longer than any test waits, and the process does not wait for it.
            thread::sleep(Duration::from_secs(600));
        }
        let retry_after = retry_after.map(|asked| format!("Retry-After: {asked}\r\n")).unwrap_or_default();
        let length = body.len();
        let mut answer = format!("HTTP/1.1 {status} Status\r\n{retry_after}Content-Length: {length}\r\n\r\n{body}");
        if matches!(next, Next::CutAnswer) {
            answer.truncate(11);
        }
        let _ = stream.get_mut().write_all(answer.as_bytes()).and_then(|()| stream.get_mut().flush());
        if matches!(next, Next::CutAnswer) {
            let _ = cut.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_head(stream: &mut impl std::io::BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => return Some(Request { target: format!("{method} {target}"), headers, body: Vec::new() }),
        };
    }
}

fn read_body(stream: &mut impl Read, mut head: Request) -> Option<Request> {
    let length = head.headers.get("content-length")?.parse().ok()?;
    head.body = vec![0; length];
    stream.read_exact(&mut head.body).ok()?;
    Some(head)
}

impl State {
    /// Processes a request.
    fn take(&mut self, request: &Request) -> (u16, String) {
        let is_gzip = request.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
        let (status, lines, body) = match self.evaluate(request, is_gzip) {
            Ok((0, lines)) => (204, lines, String::new()),
            Ok((dropped, lines)) => {
                let text = format!("partial write: field type conflict: input field of another type dropped={dropped}");
                (400, lines, format!("{{\"code\":\"invalid\",\"message\":\"{text}\"}}"))
            }
            Err((status, text)) => (status, 0, format!("{{\"code\":\"error\",\"message\":\"{text}\"}}")),
        };
        self.requests.push(Written { at: Instant::now(), lines, is_gzip, status });
        (status, body)
    }

    /// Checks and writes the lines; the numbers of dropped lines and of all lines.
    fn evaluate(&mut self, request: &Request, is_gzip: bool) -> Result<(usize, usize), (u16, String)> {
        let refuse = |status: u16, text: &str| Err((status, text.to_owned()));
        if request.headers.get("authorization").map(String::as_str) != Some(&format!("Token {TOKEN}")) {
            return refuse(401, "unauthorized access");
        }
        if request.target != "POST /api/v2/write?org=an%20org%20%26%20more&bucket=b%C3%BCcket%2F1&precision=us" {
            return refuse(404, &format!("nothing at {}", request.target));
        }
        let mut text = String::new();
        let read = if is_gzip {
            GzDecoder::new(&request.body[..]).read_to_string(&mut text)
        } else {
            (&request.body[..]).read_to_string(&mut text)
        };
        if read.is_err() || !text.ends_with('\n') {
            return refuse(400, "unable to parse: no text, or no line feed at its end");
        }
        let Ok(lines) = parse_lines(&text).collect::<Result<Vec<_>, _>>() else {
            return refuse(400, "unable to parse: a bad line");
        };
        let count = lines.len();
        Ok((lines.iter().filter(|line| !self.write(line)).count(), count))
    }

    /// Whether the point was written.
    fn write(&mut self, line: &influxdb_line_protocol::ParsedLine<'_>) -> bool {
        let measurement = line.series.measurement.to_string();
        let kind = |value: &FieldValue<'_>| match value {
            FieldValue::I64(_) => "integer",
            FieldValue::U64(_) => "unsigned",
            FieldValue::F64(_) => "float",
            FieldValue::String(_) => "string",
            FieldValue::Boolean(_) => "boolean",
        };
        let fits = line.field_set.iter().all(|(name, value)| {
            let known = self.types.entry((measurement.clone(), name.to_string())).or_insert_with(|| kind(value));
            *known == kind(value)
        });
        if fits {
            let place = (line.series.to_string(), line.timestamp.expect("every point has its time"));
            let fields = line.field_set.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            self.points.entry(place).or_default().extend(fields);
        }
        fits
    }
}
