//! The bytes of a stream are the same over every transport.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::harness::http::Chunks;
use crate::harness::{Answer, Daemon, Key, Request, Transport, Wire, over_both_transports};

over_both_transports! {
    sse_is_the_same_to_the_byte_over_every_transport,
    ndjson_is_the_same_to_the_byte_over_every_transport,
}

/// A client, and everything that it has received.
struct Reader {
    name: &'static str,
    source: Box<dyn Read>,
    got: Vec<u8>,
    /// Ends with the client.
    _client: Option<Client>,
}

struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Reader {
    fn over(name: &'static str, wire: impl Into<Wire>, request: &[u8]) -> Self {
        let mut wire = wire.into().patient().unwrap();
        wire.write_all(request).unwrap();
        Self { name, source: Box::new(wire), got: Vec::new(), _client: None }
    }

    /// Over HTTP/2, by curl.
    fn http2(daemon: &Daemon, key: &Key, path: &str, accept: &str) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-sSN", "-H", &format!("Authorization: Bearer {}", key.secret), "-H", &format!("Accept: {accept}")]);
        let port = daemon.address.port();
        match daemon.trusted() {
            Some(certificate) => {
                curl.args(["--http2", "--cacert"]).arg(certificate).arg(format!("https://localhost:{port}{path}"))
            }
            None => curl.args(["--http2-prior-knowledge", &format!("http://127.0.0.1:{port}{path}")]),
        };
        let mut child = curl.stdout(Stdio::piped()).spawn().unwrap();
        let source = Box::new(child.stdout.take().unwrap());
        Self { name: "HTTP/2", source, got: Vec::new(), _client: Some(Client(child)) }
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.source.read(&mut piece) {
            Ok(read) => {
                self.got.extend_from_slice(&piece[..read]);
                read > 0
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(error) => panic!("{}: {error}; so far {}", self.name, String::from_utf8_lossy(&self.got)),
        }
    }

    fn until(&mut self, text: &str) {
        while !self.got.windows(text.len()).any(|piece| piece == text.as_bytes()) {
            assert!(self.more(), "{} ended before {text}", self.name);
        }
    }

    /// The body, with the random delays masked.
    fn body(mut self) -> String {
        while self.more() {}
        let body = match Answer::head(&self.got) {
            None => self.got,
            Some((head, rest)) => {
                assert_eq!(head.status, 200);
                if head.header("transfer-encoding") == Some("chunked") {
                    let mut chunks = Chunks::default();
                    let body = chunks.feed(rest);
                    assert!(chunks.ended, "{}: no last chunk", self.name);
                    body
                } else {
                    rest.to_vec()
                }
            }
        };
        let mut masked = String::new();
        let mut rest = std::str::from_utf8(&body).unwrap();
        while let Some(at) = rest.find("retry") {
            let digits = rest[at..].find(|c: char| c.is_ascii_digit()).unwrap() + at;
            masked += &rest[..digits];
            masked.push('*');
            rest = rest[digits..].trim_start_matches(|c: char| c.is_ascii_digit());
        }
        masked + rest
    }
}

fn same(transport: Transport, accept: &str) -> String {
    let mut daemon = Daemon::on(transport, "[http]\nheartbeat = \"10m\"\n");
    let key = daemon.key("alice");
    for (topic, message) in [("ops", "old 1"), ("web", "not this one"), ("ops.db", "old 2 ä\u{1f600}\n\"")] {
        daemon.publish(&key, topic, message);
    }
    let path = "/alerts?topic=ops.*&topic=ops&since=5-5";
    let request = Request::get(path).header("Accept", accept);
    let local = UnixStream::connect(daemon.control()).unwrap();
    let asked = String::from_utf8(request.clone().key(&key).bytes(false)).unwrap();
    let mut readers = [
        Reader::over("the control socket", local, &request.bytes(false)),
        Reader::over("HTTP/1.1", daemon.connect(), asked.as_bytes()),
        Reader::over("HTTP/1.0", daemon.connect(), asked.replace("HTTP/1.1", "HTTP/1.0").as_bytes()),
        Reader::http2(&daemon, &key, path, accept),
    ];
    readers.iter_mut().for_each(|reader| reader.until("cursor"));
    for (topic, message) in [("ops", "live 1"), ("web", "nor this one"), ("ops.db", "live 2")] {
        daemon.publish(&key, topic, message);
    }
    readers.iter_mut().for_each(|reader| reader.until("live 2"));
    assert!(daemon.stop().success());
    let bodies = readers.map(|reader| (reader.name, reader.body()));
    let (_, first) = &bodies[0];
    for (name, body) in &bodies {
        assert_eq!(body, first, "{name}");
    }
    first.clone()
}

fn sse_is_the_same_to_the_byte_over_every_transport(transport: Transport) {
    let body = same(transport, "text/event-stream");
    let names: Vec<_> = body.split("\n\n").map(|block| block.lines().next().unwrap_or_default()).collect();
    assert_eq!(names[0], "retry: *");
    assert_eq!(names.iter().filter(|name| name.starts_with("id: ")).count(), 4, "{body}");
    assert!(body.starts_with("retry: *\nevent: gap\ndata: {") && !body.contains("this one"), "{body}");
    assert!(body.ends_with("\n\nevent: bye\nretry: *\ndata: {\"reason\":\"stop\"}\n\n"), "{body}");
}

fn ndjson_is_the_same_to_the_byte_over_every_transport(transport: Transport) {
    let body = same(transport, "application/x-ndjson");
    assert_eq!(body.lines().count(), 7, "{body}");
    assert!(body.starts_with("{\"event\":\"gap\"") && !body.contains("this one"), "{body}");
    assert!(body.ends_with("{\"event\":\"bye\",\"reason\":\"stop\",\"retry\":*}\n"), "{body}");
}
