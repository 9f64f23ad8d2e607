//! kill -9 under load: nothing that was answered is lost or repeated, and readers resume exactly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use serde_json::json;

use crate::harness::{Daemon, Key, PATIENCE, Request, Stream, eventually};

/// The current address of the daemon, and whether it will be started again.
struct Location {
    address: Mutex<Option<SocketAddr>>,
    moved: Condvar,
    done: AtomicBool,
}

impl Location {
    fn set(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap() = address;
        self.moved.notify_all();
    }

    fn wait(&self) -> SocketAddr {
        let address = self.address.lock().unwrap();
        let (address, _) = self.moved.wait_timeout_while(address, PATIENCE, |address| address.is_none()).unwrap();
        address.expect("the daemon is back")
    }
}

/// Publishes until the end; each alert is retried with its key until its outcome is known.
fn publisher(number: usize, key: &Key, location: &Location, answered: &AtomicUsize) -> HashMap<String, String> {
    let mut ids = HashMap::new();
    for turn in 0.. {
        if location.done.load(Ordering::Acquire) {
            break;
        }
        let message = format!("{number}-{turn}");
        let request = Request::post("/alerts/load")
            .key(key)
            .header("Idempotency-Key", &message)
            .json(&json!({"message": message}));
        let id = loop {
            match request.try_to(location.wait()) {
                Some(answer) if answer.status == 200 => {
                    break answer.json()["alert"]["id"].as_str().unwrap().to_owned();
                }
                Some(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                None => std::thread::yield_now(),
            }
        };
        ids.insert(message, id);
        answered.fetch_add(1, Ordering::AcqRel);
    }
    ids
}

/// Follows over all disconnects until it has seen the last alert.
fn reader(key: &Key, location: &Location, last: &Mutex<Option<String>>) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), "0-0".to_owned());
    loop {
        let request = Request::get("/alerts/load").key(key).header("Last-Event-ID", &cursor);
        let Some(mut stream) = Stream::try_open(location.wait(), &request) else {
            std::thread::yield_now();
            continue;
        };
        while let Some(event) = stream.event() {
            assert_ne!(event.event, "gap", "{event:?}");
            if let Some(id) = &stream.last_id {
                cursor.clone_from(id);
            }
            if event.event.is_empty() {
                ids.extend(event.id);
            }
            if last.lock().unwrap().as_ref() == ids.last() && !ids.is_empty() {
                return ids;
            }
        }
    }
}

#[test]
fn fifty_kills_under_load_lose_nothing_and_repeat_nothing() {
    let daemon = Daemon::with("[http]\nheartbeat = \"1s\"\n");
    let key = daemon.key("alice");
    let location =
        Location { address: Mutex::new(Some(daemon.address)), moved: Condvar::new(), done: AtomicBool::new(false) };
    let mut daemon = Some(daemon);
    let (answered, last) = (AtomicUsize::new(0), Mutex::new(None));
    let (answers, read) = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let (key, location, answered) = (&key, &location, &answered);
                    move || publisher(n, key, location, answered)
                })
            })
            .collect();
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| reader(&key, &location, &last))).collect();
        let runs = std::env::var("ALERTD_TEST_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
        for round in 0..50 * runs {
            // At any moment: after few alerts or many, between two or during one.
            let goal = answered.load(Ordering::Acquire) + 1 + round * 7 % 23;
            eventually("some answers", || (answered.load(Ordering::Acquire) >= goal).then_some(()));
            location.set(None);
            daemon.as_mut().unwrap().kill();
            let back = daemon.take().unwrap().again();
            location.set(Some(back.address));
            daemon = Some(back);
        }
        location.done.store(true, Ordering::Release);
        let mut answers = HashMap::new();
        publishers.into_iter().for_each(|publisher| answers.extend(publisher.join().unwrap()));
        *last.lock().unwrap() = answers.values().max_by_key(|id| order(id)).cloned();
        // A last word, for readers that are up to date and wait.
        let read: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        (answers, read)
    });
    let daemon = daemon.unwrap();
    let mut all = Vec::new();
    let mut since = "0-0".to_owned();
    loop {
        let page = Request::get(&format!("/alerts/load?since={since}&limit=1000"))
            .key(&key)
            .header("Accept", "application/json");
        let page = daemon.send(&page).json();
        assert!(page["gap"].is_null());
        all.extend(
            page["alerts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| (a["id"].as_str().unwrap().to_owned(), a["message"].as_str().unwrap().to_owned())),
        );
        let Some(next) = page["next"].as_str() else { break };
        since = next.to_owned();
    }
    assert!(all.is_sorted_by(|a, b| order(&a.0) < order(&b.0)), "ids rise");
    let stored: HashMap<_, _> = all.iter().map(|(id, message)| (message.clone(), id.clone())).collect();
    assert_eq!(stored.len(), all.len(), "an alert was stored twice");
    assert_eq!(stored, answers, "what was answered is what is there");
    for ids in read {
        assert!(ids.iter().eq(all.iter().map(|(id, _)| id)), "a reader missed or repeated something");
    }
}

fn order(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap();
    (ms.parse().unwrap(), seq.parse().unwrap())
}
