//! Many streams and a publisher over several restarts.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::SILENT;
use crate::harness::http::Chunks;
use crate::harness::{Manager, PATIENCE, Request, Wire, eventually};

const STREAMS: usize = 500;
const RESTARTS: usize = 4;
/// Topics t0 to t9; a stream reads one of them, or all.
const TOPICS: usize = 10;

/// A stream as bytes, without any understanding of them.
struct Raw {
    wire: Wire,
    bytes: Vec<u8>,
    topic: Option<usize>,
    is_ndjson: bool,
}

impl Raw {
    fn open(manager: &Manager, number: usize, key: &crate::harness::Key) -> Self {
        let topic = (!number.is_multiple_of(11)).then_some(number % TOPICS);
        let path = topic.map_or("/alerts?topic=*&since=none".to_owned(), |t| format!("/alerts?topic=t{t}&since=none"));
        let is_ndjson = number.is_multiple_of(3);
        let accept = if is_ndjson { "application/x-ndjson" } else { "text/event-stream" };
        let request = Request::get(&path).key(key).header("Accept", accept);
        let mut wire = Wire::connect(manager.address, None).unwrap().patient().unwrap();
        std::io::Write::write_all(&mut wire, &request.bytes(false)).unwrap();
        Self { wire, bytes: Vec::new(), topic, is_ndjson }
    }

    fn read_until(&mut self, text: &str) {
        let mut piece = [0; 64 << 10];
        while !self.bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            let read = self.wire.read(&mut piece).unwrap();
            assert!(read > 0, "the stream ended before {text}: {}", String::from_utf8_lossy(&self.bytes));
            self.bytes.extend_from_slice(&piece[..read]);
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
        let mut cursors = 0;
        if self.is_ndjson {
            for line in body.lines() {
                let value: Value = serde_json::from_str(line).unwrap();
                match value["event"].as_str() {
                    None => ids.push(value["id"].as_str().unwrap().to_owned()),
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
                ids.push(id.to_owned());
            }
        }
        assert_eq!(cursors, 1, "{body}");
        ids
    }
}

/// What the publisher and the test tell each other.
#[derive(Default)]
struct Progress {
    answered: AtomicUsize,
    ends: AtomicBool,
}

/// Publishes until told to end; gives the ids that were answered, with their topics.
fn publisher(manager: &Manager, progress: &Arc<Progress>) -> std::thread::JoinHandle<Vec<(usize, String)>> {
    let (address, key, progress) = (manager.address, manager.key(&json!({ "user": "bob" })), Arc::clone(progress));
    std::thread::spawn(move || {
        let mut answered = Vec::new();
        for number in 0.. {
            if progress.ends.load(Ordering::SeqCst) {
                return answered;
            }
            let topic = number % TOPICS;
            let request = Request::post(&format!("/alerts/t{topic}")).key(&key);
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
        unreachable!()
    })
}

#[test]
fn hundreds_of_streams_get_each_alert_once_over_restarts_under_load() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    let mut streams: Vec<_> = (0..STREAMS).map(|number| Raw::open(&manager, number, &key)).collect();
    streams.iter_mut().for_each(|stream| stream.read_until("cursor"));
    let progress = Arc::<Progress>::default();
    let publisher = publisher(&manager, &progress);
    for restart in 1..=RESTARTS {
        let has_published = || (progress.answered.load(Ordering::SeqCst) >= 30 * restart).then_some(());
        eventually("some alerts", has_published);
        manager.restart();
        assert_eq!((manager.status()["hub"]["taken_over"].as_u64(), manager.stored()), (Some(STREAMS as u64), 0));
    }
    progress.ends.store(true, Ordering::SeqCst);
    let answered = publisher.join().unwrap();
    let mut expected: HashMap<Option<usize>, Vec<String>> = HashMap::new();
    for (topic, id) in answered {
        expected.entry(Some(topic)).or_default().push(id.clone());
        expected.entry(None).or_default().push(id);
    }
    (0..TOPICS).for_each(|topic| drop(manager.publish(&format!("t{topic}"), "the very last one")));
    for stream in &mut streams {
        stream.wire.set_patience(PATIENCE).unwrap();
        stream.read_until("the very last one");
        let ids = stream.ids();
        let expected = &expected[&stream.topic];
        assert_eq!(ids[..expected.len()], expected[..], "topic {:?}", stream.topic);
    }
}
