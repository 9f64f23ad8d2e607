//! A plain HTTP/1.1 client that sends exactly the given bytes, valid or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::{Key, PATIENCE, Wire};

/// A request as it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A complete answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub fn key(self, key: &Key) -> Self {
        self.header("Authorization", &format!("Bearer {}", key.secret))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn json(self, value: &Value) -> Self {
        self.header("Content-Type", "application/json").body(value.to_string())
    }

    /// The bytes; `close` asks the server to end the connection behind the answer.
    pub fn bytes(&self, close: bool) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() || matches!(self.method.as_str(), "PUT" | "POST") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        head += if close { "Connection: close\r\n\r\n" } else { "\r\n" };
        [head.as_bytes(), &self.body].concat()
    }

    pub fn to(&self, address: SocketAddr) -> Answer {
        raw(address, &self.bytes(true))
    }

    /// Like [`Request::to`], but `None` if nobody listens or the answer is incomplete.
    pub fn try_to(&self, address: SocketAddr) -> Option<Answer> {
        self.on(TcpStream::connect(address).ok()?)
    }

    /// Sends the request over this connection; `None` if the answer is incomplete.
    pub fn on(&self, wire: impl Into<Wire>) -> Option<Answer> {
        let answer = self.answered(wire)?;
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        (answer.status != 0 && length == Some(answer.body.len())).then_some(answer)
    }

    /// The bytes that arrived; `None` if the connection is already closed.
    pub fn answered(&self, wire: impl Into<Wire>) -> Option<Answer> {
        let mut stream = wire.into().patient().ok()?;
        // Fails if the server refuses, answers and closes before it has read everything.
        let _ = stream.write_all(&self.bytes(true));
        Some(Answer::read(&mut stream))
    }

    pub fn over(&self, socket: &Path) -> Answer {
        self.answered(UnixStream::connect(socket).unwrap()).unwrap()
    }
}

/// Sends these bytes and reads until the server closes.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Fails if the server refuses, answers and closes before it has read everything.
    let _ = stream.write_all(bytes);
    Answer::read(&mut stream)
}

impl Answer {
    /// Reads to the end of the connection. No answer at all has the status 0.
    pub fn read(stream: &mut impl Read) -> Self {
        let (mut bytes, mut piece, began) = (Vec::new(), [0; 16 << 10], Instant::now());
        // A reset after the answer does not matter.
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..length]);
            // The heartbeat of a stream that opened by mistake would keep the test waiting for ever.
            assert!(began.elapsed() < PATIENCE, "an answer without an end: {}", String::from_utf8_lossy(&bytes));
        }
        let Some((mut answer, rest)) = Self::head(&bytes) else { return Self::default() };
        answer.body = if answer.header("transfer-encoding") == Some("chunked") {
            let mut chunks = Chunks::default();
            chunks.feed(rest)
        } else {
            rest.to_vec()
        };
        answer
    }

    /// Splits off the head, if it is complete.
    pub fn head(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers =
            lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()));
        Some((Self { status, headers: headers.collect(), body: Vec::new() }, &bytes[end + 4..]))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// The kind of a problem, such as `malformed`.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        problem["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }
}

/// Removes the chunked coding.
#[derive(Default)]
pub struct Chunks {
    pending: Vec<u8>,
    pub ended: bool,
}

impl Chunks {
    /// Whether all bytes so far belong to whole chunks.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The bytes that the next piece completes.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(piece);
        let mut out = Vec::new();
        while let Some(line) = self.pending.windows(2).position(|two| two == b"\r\n") {
            let length = usize::from_str_radix(std::str::from_utf8(&self.pending[..line]).unwrap(), 16).unwrap();
            if self.pending.len() < line + 2 + length + 2 {
                break;
            }
            out.extend_from_slice(&self.pending[line + 2..line + 2 + length]);
            self.pending.drain(..line + 2 + length + 2);
            self.ended |= length == 0;
        }
        out
    }
}
