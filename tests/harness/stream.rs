//! A subscriber: reads a stream event by event.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use alertd::sse::{Event, Parser};
use serde_json::Value;

use super::http::Chunks;
use super::{Answer, Request, Wire};

/// An open stream.
pub struct Stream {
    pub head: Answer,
    wire: Wire,
    chunks: Chunks,
    parser: Parser,
    events: VecDeque<Event>,
    /// As a client keeps it for its next connection.
    pub last_id: Option<String>,
    /// Every byte of the body so far.
    pub raw: Vec<u8>,
}

impl Stream {
    /// Opens a stream and reads the head of the answer.
    pub fn open(address: SocketAddr, request: &Request) -> Self {
        Self::try_open(address, request).expect("an answer")
    }

    /// The same, but `None` if nobody listens.
    pub fn try_open(address: SocketAddr, request: &Request) -> Option<Self> {
        Self::on(TcpStream::connect(address).ok()?, request)
    }

    /// Over this connection.
    pub fn on(wire: impl Into<Wire>, request: &Request) -> Option<Self> {
        let mut wire = wire.into().patient().ok()?;
        wire.write_all(&request.bytes(false)).ok()?;
        Self::answered(wire)
    }

    /// Over a connection on which the request was sent already.
    pub fn answered(wire: impl Into<Wire>) -> Option<Self> {
        let mut wire = wire.into();
        let mut bytes = Vec::new();
        let (head, rest) = loop {
            if let Some((head, rest)) = Answer::head(&bytes) {
                break (head, rest.to_vec());
            }
            let mut piece = [0; 4096];
            let read = wire.read(&mut piece).ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&piece[..read]);
        };
        let mut stream = Self {
            head,
            wire,
            chunks: Chunks::default(),
            parser: Parser::default(),
            events: VecDeque::new(),
            last_id: None,
            raw: Vec::new(),
        };
        stream.feed(&rest);
        Some(stream)
    }

    fn feed(&mut self, bytes: &[u8]) {
        let body = self.chunks.feed(bytes);
        self.raw.extend_from_slice(&body);
        let events = &mut self.events;
        self.parser.feed(&body, |event| events.push_back(event)).unwrap();
    }

    /// The next event; `None` if the stream has ended.
    pub fn event(&mut self) -> Option<Event> {
        self.try_event()
            .unwrap_or_else(|error| panic!("no event in time: {error}; so far: {}", String::from_utf8_lossy(&self.raw)))
    }

    /// The same, or an error if nothing came in time.
    pub fn try_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if let Some(id) = &event.id {
                    self.last_id = Some(id.clone());
                }
                return Ok(Some(event));
            }
            if self.chunks.ended {
                return Ok(None);
            }
            let mut piece = [0; 16 << 10];
            match self.wire.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(read) => self.feed(&piece[..read]),
                // TLS reports an end without close_notify as an error.
                Err(error) if [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&error.kind()) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next event of this name; others, and alerts, are passed over.
    pub fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.event().unwrap_or_else(|| panic!("the stream ended before {name}"));
            if event.event == name {
                return event;
            }
        }
    }

    /// The next alert, skipping control events; `None` if the stream has ended.
    pub fn alert(&mut self) -> Option<Value> {
        loop {
            let event = self.event()?;
            if event.event.is_empty() && !event.data.is_empty() {
                let alert: Value = serde_json::from_str(&event.data).unwrap();
                assert_eq!(alert["id"].as_str(), event.id.as_deref());
                return Some(alert);
            }
        }
    }

    /// The message of the next alert.
    pub fn message(&mut self) -> String {
        self.alert().expect("an alert")["message"].as_str().unwrap().to_owned()
    }

    /// The reason in the `bye`, after which the stream ends.
    pub fn bye(&mut self) -> String {
        let bye = self.until("bye");
        let reason = serde_json::from_str::<Value>(&bye.data).unwrap()["reason"].as_str().unwrap().to_owned();
        assert_eq!(self.event(), None, "something after the bye");
        assert!(self.chunks.ended, "no last chunk");
        reason
    }

    /// All of the body so far, and what comes next.
    pub fn more(&mut self) -> String {
        let mut piece = [0; 16 << 10];
        let read = self.wire.read(&mut piece).unwrap();
        assert!(read > 0, "the stream ended");
        self.feed(&piece[..read]);
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// For tests that stall on purpose.
    pub fn set_patience(&self, patience: Duration) {
        self.wire.set_patience(patience).unwrap();
    }
}
