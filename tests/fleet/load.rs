//! Publishers and readers that keep a fleet busy during a fault, and a report on their alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alertd::alert::Id;
use serde_json::json;

use super::nodes::Fleet;
use crate::harness::{Request, Stream, eventually};

/// What a reader received.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Alert(Id, String),
    Gap,
}

/// The report on the alerts.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Publishes answered with success.
    pub(super) answered: usize,
    /// Alerts of the reader that got the fewest.
    pub(super) delivered: usize,
    /// Answered alerts that some reader did not get.
    pub(super) lost: usize,
    /// Alerts that some reader got twice, or out of order.
    pub(super) repeated: usize,
    /// Ids of alerts that were finally answered with 503, but that a reader got.
    pub(super) surfaced: BTreeSet<Id>,
    /// Readers that got a gap.
    pub(super) told: usize,
    /// Readers that missed something without a gap.
    pub(super) untold: usize,
    /// The longest time without a successful publish.
    pub(super) pause: Duration,
}

/// Load on a fleet until `happens` has ended and alerts flow again.
pub(super) struct Load<'a> {
    fleet: &'a Fleet,
    ended: AtomicBool,
    answered: Mutex<BTreeMap<Id, String>>,
    refused: Mutex<BTreeSet<String>>,
    stored: AtomicUsize,
    pauses: Mutex<(Instant, Duration)>,
}

/// Ends the writers even if the test fails, because the test waits for them.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

const WRITERS: usize = 4;
const READERS: usize = 4;
/// Between two publishes of a writer.
const PACE: Duration = Duration::from_millis(10);

impl<'a> Load<'a> {
    /// Runs the load while something happens, which is given the load to look at.
    pub(super) fn during(fleet: &'a Fleet, happens: impl FnOnce(&Self)) -> Outcome {
        let load = Self {
            fleet,
            ended: AtomicBool::new(false),
            answered: Mutex::default(),
            refused: Mutex::default(),
            stored: AtomicUsize::new(0),
            pauses: Mutex::new((Instant::now(), Duration::ZERO)),
        };
        let (writers, readers) = (AtomicUsize::new(WRITERS), 0..READERS);
        let seen = std::thread::scope(|scope| {
            let readers: Vec<_> = readers
                .map(|number| {
                    scope.spawn({
                        let (load, writers) = (&load, &writers);
                        move || load.read(number, writers)
                    })
                })
                .collect();
            for number in 0..WRITERS {
                let (load, writers) = (&load, &writers);
                scope.spawn(move || {
                    load.write(number);
                    writers.fetch_sub(1, Ordering::AcqRel);
                });
            }
            {
                let _ends = Ends(&load.ended);
                load.flows();
                happens(&load);
                load.flows();
            }
            readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
        });
        load.outcome(&seen)
    }

    /// Waits until a hundred more were answered with success.
    pub(super) fn flows(&self) {
        let before = self.stored.load(Ordering::Acquire);
        eventually("a hundred publishes", || (self.stored.load(Ordering::Acquire) >= before + 100).then_some(()));
    }

    /// Half of the writers try until it is stored, with one idempotency key; the others take no for an answer.
    fn write(&self, number: usize) {
        let insists = number.is_multiple_of(2);
        for alert in 0.. {
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            let message = format!("{number}-{alert}");
            let mut turn = number + alert;
            loop {
                let (address, key) = self.fleet.endpoint(turn);
                let mut request = Request::post("/alerts/load").key(&key).json(&json!({ "message": message }));
                if insists {
                    request = request.header("Idempotency-Key", &message);
                }
                match request.try_to(address) {
                    Some(answer) if answer.status == 200 => {
                        let id = answer.json()["alert"]["id"].as_str().unwrap().parse().unwrap();
                        self.note(id, message);
                        break;
                    }
                    Some(answer) => {
                        assert_eq!(answer.status, 503, "{answer:?}");
                        assert!(answer.header("retry-after").is_some(), "{answer:?}");
                        if !insists {
                            self.refused.lock().unwrap().insert(message);
                            break;
                        }
                    }
                    // Not answered at all, so it may be stored or not.
                    None if !insists => break,
                    None => {}
                }
                turn += 1;
                std::thread::park_timeout(PACE);
            }
            std::thread::park_timeout(PACE);
        }
    }

    fn note(&self, id: Id, message: String) {
        self.answered.lock().unwrap().insert(id, message);
        self.stored.fetch_add(1, Ordering::AcqRel);
        let mut pauses = self.pauses.lock().unwrap();
        pauses.1 = pauses.1.max(pauses.0.elapsed());
        pauses.0 = Instant::now();
    }

    /// Moves from node to node with the last id, until it has the last alerts of the publishers.
    fn read(&self, number: usize, writers: &AtomicUsize) -> Vec<Seen> {
        let (mut seen, mut cursor) = (Vec::new(), "0-0".to_owned());
        for turn in number.. {
            let (address, key) = self.fleet.endpoint(turn);
            let request = Request::get("/alerts?topic=*").key(&key).header("Last-Event-ID", &cursor);
            let Some(mut stream) = Stream::try_open(address, &request) else {
                std::thread::park_timeout(PACE);
                continue;
            };
            assert_eq!(stream.head.status, 200, "{:?}", stream.head);
            stream.set_patience(Duration::from_secs(60));
            // One reader stays at its node and sees the whole fault from there.
            let mut left = if number == 0 { usize::MAX } else { 1 + (turn * 7919) % 60 };
            while left > 0
                && let Some(event) = stream.event()
            {
                left -= 1;
                match event.event.as_str() {
                    "" if !event.data.is_empty() => {
                        let alert: serde_json::Value = serde_json::from_str(&event.data).unwrap();
                        let id = alert["id"].as_str().unwrap().parse().unwrap();
                        seen.push(Seen::Alert(id, alert["message"].as_str().unwrap().to_owned()));
                    }
                    "gap" => seen.push(Seen::Gap),
                    _ => {}
                }
                if let Some(id) = &stream.last_id {
                    cursor.clone_from(id);
                }
                let newest = self.answered.lock().unwrap().keys().next_back().copied();
                let at: Id = cursor.parse().unwrap();
                if writers.load(Ordering::Acquire) == 0 && newest.is_some_and(|newest| at >= newest) {
                    return seen;
                }
            }
        }
        seen
    }

    fn outcome(&self, seen: &[Vec<Seen>]) -> Outcome {
        let (answered, refused) = (self.answered.lock().unwrap(), self.refused.lock().unwrap());
        let mut outcome = Outcome { answered: answered.len(), delivered: usize::MAX, ..Outcome::default() };
        outcome.pause = self.pauses.lock().unwrap().1;
        for reader in seen {
            let mut before = Id::ZERO;
            let mut got = BTreeSet::new();
            for event in reader {
                let Seen::Alert(id, message) = event else { continue };
                if *id <= before || !got.insert(message.as_str()) {
                    outcome.repeated += 1;
                }
                before = *id;
            }
            let lost = answered.values().filter(|message| !got.contains(message.as_str())).count();
            let was_told = reader.contains(&Seen::Gap);
            outcome.delivered = outcome.delivered.min(got.len());
            outcome.lost = outcome.lost.max(lost);
            outcome.told += usize::from(was_told);
            outcome.untold += usize::from(lost > 0 && !was_told);
            outcome.surfaced.extend(reader.iter().filter_map(|event| match event {
                Seen::Alert(id, message) if refused.contains(message) => Some(*id),
                _ => None,
            }));
        }
        outcome
    }
}
