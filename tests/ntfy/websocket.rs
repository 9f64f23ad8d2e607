//! WebSocket: the app's connection, and clients that misbehave.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::{app, publish_lines};
use crate::harness::{Answer, Daemon, Key, Request, Transport, Wire, over_both_transports};

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

struct Socket {
    wire: Wire,
    bytes: Vec<u8>,
}

fn upgrade(key: &Key, path: &str) -> Request {
    app(key, path)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Extensions", "permessage-deflate")
}

impl Socket {
    fn open(daemon: &Daemon, key: &Key, path: &str) -> Self {
        let mut wire = daemon.connect().patient().unwrap();
        wire.write_all(&upgrade(key, path).bytes(false)).unwrap();
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            if let Some((head, rest)) = Answer::head(&bytes) {
                assert_eq!(head.status, 101, "{head:?}");
                assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
                assert_eq!((head.header("transfer-encoding"), head.header("sec-websocket-extensions")), (None, None));
                return Self { wire, bytes: rest.to_vec() };
            }
            let read = wire.read(&mut piece).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&piece[..read]);
        }
    }

    /// The next frame; none at the end of the connection.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut piece = [0; 4096];
        loop {
            if let [first, second, rest @ ..] = &self.bytes[..] {
                assert!(first & 0xf0 == 0x80 && second & 0x80 == 0, "a final frame without a mask");
                let (length, at) = match second {
                    126 if rest.len() >= 2 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), 4),
                    126 => (usize::MAX, 4),
                    short => (usize::from(*short), 2),
                };
                if self.bytes.len() - at.min(self.bytes.len()) >= length {
                    let frame = (first & 15, self.bytes[at..at + length].to_vec());
                    self.bytes.drain(..at + length);
                    return Some(frame);
                }
            }
            match self.wire.read(&mut piece) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Ok(read) => self.bytes.extend_from_slice(&piece[..read]),
                Err(error) => panic!("no frame in time: {error}"),
            }
        }
    }

    fn event(&mut self) -> Value {
        loop {
            match self.frame().expect("a frame") {
                (TEXT, text) => return serde_json::from_slice(&text).unwrap(),
                (PING, _) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// A frame of a client, masked.
    fn send(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0xfe);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        self.put(&bytes);
    }

    fn put(&mut self, bytes: &[u8]) {
        // Fails if the server has ended the connection already.
        let _ = self.wire.write_all(bytes);
    }

    /// The number in the Close frame that ends the connection; texts and Pongs before it are passed over.
    fn closed(&mut self) -> Option<u16> {
        loop {
            match self.frame()? {
                (CLOSE, reason) => {
                    assert_eq!(self.frame(), None, "something after the Close");
                    return Some(u16::from_be_bytes(reason.try_into().unwrap()));
                }
                (TEXT | PING | PONG, _) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

over_both_transports! {
    the_app_gets_a_message_in_each_text_and_a_ping_as_a_sign_of_life,
}

fn the_app_gets_a_message_in_each_text_and_a_ping_as_a_sign_of_life(transport: Transport) {
    let daemon = Daemon::on(transport, "[http]\nheartbeat = \"1s\"\n");
    let key = daemon.key("alice");
    daemon.publish(&key, "ops.db", "before");
    let mut socket = Socket::open(&daemon, &key, "/ntfy/ops_db,web/ws?since=all");
    assert_eq!(socket.event()["event"], "open");
    let first = socket.event();
    assert_eq!(
        (&first["event"], &first["topic"], &first["message"]),
        (&json!("message"), &json!("ops_db"), &json!("before"))
    );
    let long = "ä".repeat(2000);
    for message in ["one", "two", &long] {
        daemon.publish(&key, "web", message);
    }
    assert_eq!(
        [socket.event(), socket.event(), socket.event()].map(|event| event["message"].clone()),
        ["one", "two", &long].map(|text| json!(text))
    );
    assert_eq!(socket.frame(), Some((PING, Vec::new())));
    socket.send(0x8a, b"");
    socket.send(0x89, b"still there?");
    loop {
        match socket.frame().unwrap() {
            (PONG, payload) => break assert_eq!(payload, b"still there?"),
            (PING, _) => {}
            other => panic!("{other:?}"),
        }
    }
    // In parts, as RFC 6455 allows, and of no interest.
    socket.send(0x01, b"hel");
    socket.send(0x80, b"lo");
    daemon.publish(&key, "web", "after");
    assert_eq!(socket.event()["message"], "after");
    daemon.has_streams(1);
    socket.send(0x88, b"\x03\xe8");
    while socket.frame().is_some() {}
    daemon.has_streams(0);
    let mut again =
        Socket::open(&daemon, &key, &format!("/ntfy/ops_db/ws?since={}&poll=1", first["id"].as_str().unwrap()));
    assert_eq!(again.frame(), None, "a poll without messages ends at once");
}

#[test]
fn a_client_that_floods_or_breaks_the_protocol_ends_its_own_connection_alone() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut other = Socket::open(&daemon, &key, "/ntfy/ops/ws");
    assert_eq!(other.event()["event"], "open");
    type Misdeed = (&'static str, fn(&mut Socket), u16);
    let misdeeds: [Misdeed; 7] = [
        ("without a mask", |socket| socket.put(b"\x81\x01x"), 1002),
        ("of an unknown kind", |socket| socket.send(0x83, b"x"), 1002),
        ("compressed", |socket| socket.send(0xc1, b"x"), 1002),
        ("too long", |socket| socket.send(0x82, &[0; 5000]), 1009),
        ("announced as endless", |socket| socket.put(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), 1009),
        (
            "in endless parts",
            |socket| {
                socket.send(0x01, &[0; 1000]);
                (0..10).for_each(|_| socket.send(0x00, &[0; 1000]));
            },
            1009,
        ),
        ("in a flood of Pings", |socket| socket.put(&b"\x89\x80\0\0\0\0".repeat(10_000)), 1008),
    ];
    for (what, misdeed, number) in misdeeds {
        let mut socket = Socket::open(&daemon, &key, "/ntfy/ops/ws");
        assert_eq!(socket.event()["event"], "open");
        misdeed(&mut socket);
        // What follows the end may cost the client the answer, as the kernel resets the connection.
        let closed = socket.closed();
        assert!(closed.is_none_or(|closed| closed == number), "{what}: {closed:?}");
        daemon.has_streams(1);
    }
    daemon.publish(&key, "ops", "still");
    assert_eq!(other.event()["message"], "still");
}

#[test]
fn a_client_that_pings_and_reads_nothing_holds_nobody_up() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut deaf = Socket::open(&daemon, &key, "/ntfy/ops/ws");
    let mut other = Socket::open(&daemon, &key, "/ntfy/ops/ws");
    deaf.send(0x89, b"x");
    assert_eq!(other.event()["event"], "open");
    let long = "x".repeat(4096);
    for _ in 0..15 {
        publish_lines(&daemon, &key, (0..200).map(|_| json!({"message": long})));
        for _ in 0..200 {
            assert_eq!(other.event()["event"], "message");
        }
    }
}

#[test]
fn a_revoked_key_and_a_restart_cut_the_connection_so_that_the_app_reconnects() {
    let mut daemon = Daemon::start();
    let (gone, stays) = (daemon.key("gone"), daemon.key("stays"));
    let mut ended = Socket::open(&daemon, &gone, "/ntfy/ops/ws");
    let mut open = Socket::open(&daemon, &stays, "/ntfy/ops/ws");
    assert_eq!((ended.event()["event"].clone(), open.event()["event"].clone()), (json!("open"), json!("open")));
    let began = std::time::Instant::now();
    assert_eq!(Request::new("DELETE", &format!("/keys/{}", gone.id)).over(&daemon.control()).status, 200);
    // Upon a Close frame the app for Android would stay away.
    assert_eq!(ended.frame(), None);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(daemon.stop().success());
    assert_eq!(open.frame(), None);
}

#[test]
fn a_request_that_is_no_handshake_is_refused_in_ntfys_form_and_opens_nothing() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let with = |headers: &[(&str, &str)]| {
        headers.iter().fold(app(&key, "/ntfy/ops/ws"), |request, (name, value)| request.header(name, value))
    };
    let version = ("Sec-WebSocket-Version", "13");
    for request in [
        with(&[]),
        with(&[("Connection", "Upgrade"), ("Upgrade", "h2c"), version]),
        with(&[("Connection", "Upgrade"), ("Upgrade", "websocket"), version]),
        with(&[("Connection", "Upgrade"), ("Upgrade", "websocket"), version, ("Sec-WebSocket-Key", "short")]),
    ] {
        let answer = daemon.send(&request);
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(40016)), "{request:?}");
    }
    let without_key = Request::get("/ntfy/ops/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    assert_eq!(daemon.send(&without_key).status, 401);
    daemon.has_streams(0);
}
