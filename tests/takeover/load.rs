//! Many streams and a publisher over several restarts; `tests/systemd` has the same over real ones.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::SILENT;
use crate::harness::http::Chunks;
use crate::harness::{Key, Manager, PATIENCE, Request, eventually};

pub(crate) const STREAMS: usize = 500;
const RESTARTS: usize = 4;
/// Topics t0 to t9; a stream reads one of them, or all.
const TOPICS: usize = 10;
const LAST: &str = "the very last one";

/// A stream as bytes, without any understanding of them.
struct Raw {
    socket: TcpStream,
    bytes: Vec<u8>,
    topic: Option<usize>,
    is_ndjson: bool,
}

impl Raw {
    fn open(address: SocketAddr, number: usize, key: &Key) -> Self {
        let topic = (!number.is_multiple_of(11)).then_some(number % TOPICS);
        let path = topic.map_or("/alerts?topic=*&since=none".to_owned(), |t| format!("/alerts?topic=t{t}&since=none"));
        let is_ndjson = number.is_multiple_of(3);
        let accept = if is_ndjson { "application/x-ndjson" } else { "text/event-stream" };
        let request = Request::get(&path).key(key).header("Accept", accept);
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&request.bytes(false)).unwrap();
        Self { socket, bytes: Vec::new(), topic, is_ndjson }
    }

    /// Reads what has come, or waits for it.
    fn more(&mut self) {
        let mut piece = [0; 64 << 10];
        let read = self.socket.read(&mut piece).unwrap();
        assert!(read > 0, "the stream ended: {}", String::from_utf8_lossy(&self.bytes));
        self.bytes.extend_from_slice(&piece[..read]);
    }

    fn read_until(&mut self, text: &str) {
        let mut searched = 0;
        while !self.bytes[searched..].windows(text.len()).any(|window| window == text.as_bytes()) {
            searched = self.bytes.len().saturating_sub(text.len());
            self.more();
        }
    }

    /// The ids of the alerts, after a check of every byte.
    fn ids(&self) -> Vec<String> {
        let text = String::from_utf8(self.bytes.clone()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let mut chunks = Chunks::default();
        let body = String::from_utf8(chunks.feed(&self.bytes[head.len() + 4..])).unwrap();
        assert!(chunks.is_empty() && !chunks.ended, "the bytes end within a chunk, or the stream has ended");
        let mut ids = Vec::new();
        // A heartbeat may come after the last alert, while other streams are checked.
        let (mut cursors, mut before_last) = (0, 0);
        if self.is_ndjson {
            for line in body.lines() {
                let value: Value = serde_json::from_str(line).unwrap();
                match value["event"].as_str() {
                    None => {
                        before_last = cursors;
                        ids.push(value["id"].as_str().unwrap().to_owned());
                    }
                    Some("cursor") => cursors += 1,
                    Some(other) => panic!("an event {other}: {line}"),
                }
            }
        } else {
            for block in body.strip_suffix("\n\n").unwrap().split("\n\n") {
                let block = block.strip_prefix("retry: ").map_or(block, |rest| rest.split_once('\n').unwrap().1);
                if block.starts_with("event: cursor\nid: ") {
                    cursors += 1;
                    continue;
                }
                let (id, data) = block.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap();
                assert_eq!(serde_json::from_str::<Value>(data).unwrap()["id"], id);
                before_last = cursors;
                ids.push(id.to_owned());
            }
        }
        assert_eq!(before_last, 1, "{body}");
        ids
    }
}

/// What the publisher and the test tell each other.
#[derive(Default)]
struct Progress {
    answered: AtomicUsize,
    ends: AtomicBool,
}

/// Streams and a publisher that must not notice what happens meanwhile.
pub(crate) struct Load {
    address: SocketAddr,
    key: Key,
    progress: Arc<Progress>,
    reader: JoinHandle<Vec<Raw>>,
    publisher: JoinHandle<Vec<(usize, String)>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, key: Key) -> Self {
        let mut streams: Vec<_> = (0..STREAMS).map(|number| Raw::open(address, number, &key)).collect();
        streams.iter_mut().for_each(|stream| stream.read_until("cursor"));
        let progress = Arc::<Progress>::default();
        let shared = Arc::clone(&progress);
        let reader = std::thread::spawn(move || read(streams, &shared));
        let (shared, publishing) = (Arc::clone(&progress), key.clone());
        let publisher = std::thread::spawn(move || publish(address, &publishing, &shared));
        Self { address, key, progress, reader, publisher }
    }

    /// How many alerts were published so far.
    pub(crate) fn answered(&self) -> usize {
        self.progress.answered.load(Ordering::SeqCst)
    }

    /// Ends the publisher, and checks that each stream is open and got each of its alerts once, in order, in bytes that are
    /// valid from the first to the last. Returns the number of alerts.
    pub(crate) fn check(self) -> usize {
        self.progress.ends.store(true, Ordering::SeqCst);
        let mut streams = self.reader.join().unwrap();
        let answered = self.publisher.join().unwrap();
        let number = answered.len();
        let mut expected: HashMap<Option<usize>, Vec<String>> = HashMap::new();
        for (topic, id) in answered {
            expected.entry(Some(topic)).or_default().push(id.clone());
            expected.entry(None).or_default().push(id);
        }
        for topic in 0..TOPICS {
            let last = Request::post(&format!("/alerts/t{topic}")).key(&self.key).json(&json!({ "message": LAST }));
            assert_eq!(last.to(self.address).status, 200);
        }
        for stream in &mut streams {
            stream.read_until(LAST);
            let ids = stream.ids();
            let expected = &expected[&stream.topic];
            assert_eq!(ids[..expected.len()], expected[..], "topic {:?}", stream.topic);
        }
        number
    }
}

/// Reads until told to end, so that no stream counts as slow.
fn read(mut streams: Vec<Raw>, progress: &Progress) -> Vec<Raw> {
    let limit = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !progress.ends.load(Ordering::SeqCst) {
        let mut watched: Vec<_> = streams.iter().map(|stream| PollFd::new(&stream.socket, PollFlags::IN)).collect();
        poll(&mut watched, Some(&limit)).unwrap();
        let ready: Vec<_> = watched.iter().map(|watched| !watched.revents().is_empty()).collect();
        streams.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready).for_each(|(stream, _)| stream.more());
    }
    streams
}

/// Publishes until told to end; gives the ids that were answered, with their topics.
fn publish(address: SocketAddr, key: &Key, progress: &Progress) -> Vec<(usize, String)> {
    let mut answered = Vec::new();
    while !progress.ends.load(Ordering::SeqCst) {
        let number = answered.len();
        let topic = number % TOPICS;
        let request = Request::post(&format!("/alerts/t{topic}")).key(key);
        let request = request.header("Idempotency-Key", &format!("n{number}"));
        let request = request.json(&json!({ "message": format!("number {number}") }));
        // A new connection waits in the socket while no process runs; one of an old process may be cut.
        let answer = loop {
            match request.try_to(address) {
                Some(answer) if answer.status == 200 => break answer,
                Some(answer) if answer.status == 503 => {}
                Some(answer) => panic!("{answer:?}"),
                None => {}
            }
        };
        answered.push((topic, answer.json()["alert"]["id"].as_str().unwrap().to_owned()));
        progress.answered.fetch_add(1, Ordering::SeqCst);
        std::thread::park_timeout(Duration::from_millis(2));
    }
    answered
}

#[test]
fn hundreds_of_streams_get_each_alert_once_over_restarts_under_load() {
    let mut manager = Manager::running(SILENT);
    let load = Load::start(manager.address, manager.key(&json!({ "user": "alice" })));
    for restart in 1..=RESTARTS {
        eventually("some alerts", || (load.answered() >= 30 * restart).then_some(()));
        manager.restart();
        assert_eq!((manager.status()["hub"]["taken_over"].as_u64(), manager.stored()), (Some(STREAMS as u64), 0));
    }
    load.check();
}
