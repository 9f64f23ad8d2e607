//! Clients that keep a fleet busy while a fault happens, and record what they saw.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alertd::alert::Id;
use serde_json::{Value, json};

use super::super::nodes::{Fleet, knows};
use super::publishers::Publisher;
use super::{Direction, History, Revoked};
use crate::harness::{Answer, Key, Request, eventually};

/// After so long without a byte a client takes its node for dead.
pub(super) const CLIENT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long publishers may insist, and readers may read, after the end.
pub(super) const END_TIMEOUT: Duration = Duration::from_secs(60);
const PUBLISHERS: usize = 4;
/// Between two publishes of a publisher.
pub(super) const PACE: Duration = Duration::from_millis(35);

/// Clients at work.
pub(in super::super) struct Traffic<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) seed: u64,
    began: Instant,
    pub(super) ended: AtomicBool,
    /// Publishers that are not done.
    pub(super) publishing: AtomicUsize,
    answers: AtomicUsize,
    newest: Mutex<Id>,
    pub(super) history: Mutex<History>,
    pub(super) revoked: Mutex<Vec<(Key, Revoked)>>,
    /// May only read.
    pub(super) reader_key: Key,
    pub(super) admin_key: Key,
}

/// Ends the clients even if the test fails, because the test waits for them.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<'a> Traffic<'a> {
    /// Has clients at work while something happens, and until all of them have seen the end.
    pub(in super::super) fn during(fleet: &'a Fleet, seed: u64, happens: impl FnOnce(&Self)) -> History {
        let traffic = Self::new(fleet, seed);
        std::thread::scope(|scope| {
            let traffic = &traffic;
            for number in 0..PUBLISHERS {
                scope.spawn(move || {
                    Publisher::new(traffic, number).publish_until_the_end();
                    traffic.publishing.fetch_sub(1, Ordering::AcqRel);
                });
            }
            for number in 0..5 {
                scope.spawn(move || traffic.read(number));
            }
            scope.spawn(move || traffic.page());
            scope.spawn(move || traffic.change_keys());
            let _ends = Ends(&traffic.ended);
            traffic.flows();
            happens(traffic);
            (0..2).for_each(|_| traffic.flows());
        });
        traffic.finish()
    }

    fn new(fleet: &'a Fleet, seed: u64) -> Self {
        let [reader_key, admin_key] = ["subscribe", "admin"].map(|scope| {
            let request = Request::post("/keys").json(&json!({ "user": scope, "scopes": [scope] }));
            let made = eventually("a key", || {
                let answer = fleet.node(0, |node| request.over(&node.control()));
                (answer.status == 201).then(|| answer.json())
            });
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let key = Key { id: text(&made["key"]["id"]), secret: text(&made["secret"]) };
            (0..fleet.size()).for_each(|node| fleet.node(node, |node| knows(node, &key)));
            key
        });
        Self {
            fleet,
            seed,
            began: Instant::now(),
            ended: AtomicBool::new(false),
            publishing: AtomicUsize::new(PUBLISHERS),
            answers: AtomicUsize::new(0),
            newest: Mutex::new(Id::ZERO),
            history: Mutex::default(),
            revoked: Mutex::default(),
            reader_key,
            admin_key,
        }
    }

    /// Waits until fifty more publishes were answered with success.
    pub(in super::super) fn flows(&self) {
        let before = self.answers.load(Ordering::Acquire);
        eventually("fifty publishes", || (self.answers.load(Ordering::Acquire) >= before + 50).then_some(()));
    }

    /// Says when the fault begins and, after the closure, that it is over.
    pub(in super::super) fn fault(&self, fault: impl FnOnce()) {
        let began = self.now();
        self.history.lock().unwrap().fault = Some((began, Duration::MAX));
        fault();
        self.history.lock().unwrap().fault = Some((began, self.now()));
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn unexpected(&self, what: &str, answer: &Answer) {
        let detail = answer.text();
        let detail = detail.split("\"detail\":").nth(1).unwrap_or_default().chars().take(120).collect::<String>();
        let text = format!("{what} at {:.1?}: {} {detail}", self.now(), answer.status);
        self.history.lock().unwrap().unexpected.push(text);
    }

    /// Whether the clients may stop, one that has got to this id in particular.
    pub(super) fn is_over(&self, at: Id) -> bool {
        self.publishing.load(Ordering::Acquire) == 0 && at >= *self.newest.lock().unwrap()
    }

    pub(super) fn answered(&self, message: &str, answer: &Answer) {
        let id: Id = answer.json()["alert"]["id"].as_str().unwrap().parse().unwrap();
        let at = self.now();
        let mut history = self.history.lock().unwrap();
        let publish = history.publishes.get_mut(message).unwrap();
        if publish.answered.iter().all(|(known, _)| *known != id) {
            publish.answered.push((id, at));
        }
        drop(history);
        let mut newest = self.newest.lock().unwrap();
        *newest = id.max(*newest);
        self.answers.fetch_add(1, Ordering::AcqRel);
    }

    /// All that was seen, with the log of each node and a last try of each revoked key.
    fn finish(self) -> History {
        let logs = (0..self.fleet.size()).map(|node| {
            let pages = eventually("the whole log", || self.walk(node, Direction::Forward));
            pages.into_iter().flatten().collect()
        });
        let logs = logs.collect();
        let mut keys = std::mem::take(&mut *self.revoked.lock().unwrap());
        for (key, revoked) in &mut keys {
            (0..self.fleet.size()).for_each(|node| self.try_key(node, key, revoked));
        }
        let mut history = self.history.into_inner().unwrap();
        history.logs = logs;
        history.revoked = keys.into_iter().map(|(_, revoked)| revoked).collect();
        history
    }
}

/// The answer, or None if there was no complete one in the client's time.
pub(super) fn ask(address: SocketAddr, request: &Request) -> Option<Answer> {
    ask_within(CLIENT_TIMEOUT, address, request)
}

pub(super) fn ask_within(timeout: Duration, address: SocketAddr, request: &Request) -> Option<Answer> {
    let mut wire = TcpStream::connect_timeout(&address, timeout).ok()?;
    wire.set_read_timeout(Some(timeout)).ok()?;
    wire.write_all(&request.bytes(true)).ok()?;
    let answer = Answer::read(&mut wire);
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    (answer.status != 0 && length == Some(answer.body.len())).then_some(answer)
}
