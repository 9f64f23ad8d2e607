//! ntfy's clients: the requests of its app for Android, libraries from PyPI as they are, and connections that misbehave.

mod libraries;
mod publish;
mod subscribe;
mod websocket;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::harness::{Daemon, Key, Request, Stream};

/// The header by which the app sends a user and a password; the key is the password.
fn basic(key: &Key) -> String {
    format!("Basic {}", BASE64.encode(format!("phone:{}", key.secret)))
}

/// A request as the app for Android sends it.
fn app(key: &Key, path: &str) -> Request {
    Request::get(path)
        .header("Authorization", &basic(key))
        .header("User-Agent", "ntfy/1.16.0 (play; Android 14; SDK 34)")
}

/// A stream of lines of JSON.
struct Messages {
    stream: Stream,
    read: usize,
}

impl Messages {
    fn open(daemon: &Daemon, request: &Request) -> Self {
        let stream = daemon.follow(request);
        assert_eq!(stream.head.status, 200, "{:?}", stream.head);
        Self { stream, read: 0 }
    }

    fn of(stream: Stream) -> Self {
        Self { stream, read: 0 }
    }

    /// The next line, whatever it is.
    fn line(&mut self) -> String {
        loop {
            let rest = &self.stream.raw[self.read..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8(rest[..end].to_vec()).unwrap();
                self.read += end + 1;
                return line;
            }
            self.stream.more();
        }
    }

    fn event(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The next message; keepalives are passed over.
    fn message(&mut self) -> Value {
        loop {
            let event = self.event();
            match event["event"].as_str().unwrap() {
                "message" => return event,
                "keepalive" | "open" => {}
                other => panic!("{other}: the app knows no such event"),
            }
        }
    }

    /// Reads to the end, which must be that of the body or of the connection.
    fn ends(&mut self) {
        while self.stream.event().is_some() {}
    }
}

/// The messages of a poll.
fn polled(daemon: &Daemon, request: &Request) -> Vec<Value> {
    let answer = daemon.send(request);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["message"].as_str().unwrap()).collect()
}

/// A key for these topics alone.
fn key_for(daemon: &Daemon, topics: &[&str]) -> Key {
    daemon.key_with(&json!({"user": "phone", "topics": topics}))
}

/// Publishes many alerts to the topic `ops` in one request.
fn publish_lines(daemon: &Daemon, key: &Key, alerts: impl Iterator<Item = Value>) {
    let lines: String = alerts.map(|alert| format!("{alert}\n")).collect();
    let request = Request::post("/alerts/ops").key(key).header("Content-Type", "application/x-ndjson").body(lines);
    assert_eq!(daemon.send(&request).status, 200);
}
