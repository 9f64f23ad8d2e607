//! The seam, as a property: whatever readers do, each sees the log's own sequence, or a gap exactly where the log no longer
//! has it.

use std::sync::{Condvar, Mutex, MutexGuard};

use alertd::alert::{Filter, Id, Level, Pattern, Topic};
use alertd::sse::Gap;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::harness::{Daemon, Key, Request, Transport, over_both_transports};

over_both_transports! {
    each_reader_sees_the_logs_sequence_or_a_gap_where_it_no_longer_has_it,
}

const TOPICS: [&str; 4] = ["ops", "ops.db", "ops.net", "web"];
const PATTERNS: [&str; 4] = ["*", "ops.*", "web", "ops.db"];

/// What a reader does.
#[derive(Clone, Debug)]
struct Plan {
    pattern: usize,
    level: usize,
    /// Connects once this number of alerts is stored.
    from: usize,
    /// Disconnects after this number of events, each time.
    breaks: Vec<usize>,
    /// Reads on only once this number of alerts is stored.
    stall: usize,
}

fn plan(alerts: usize) -> impl Strategy<Value = Plan> {
    (0..PATTERNS.len(), 0..2usize, 0..alerts, prop::collection::vec(1..60usize, 0..5), 0..alerts)
        .prop_map(|(pattern, level, from, breaks, stall)| Plan { pattern, level, from, breaks, stall })
}

/// What the log took.
#[derive(Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    alerts: Vec<(Id, Topic, Level)>,
    publishers: usize,
}

/// Ends with the last alert of a publisher, or its failure.
struct Publisher<'a>(&'a Log);

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn publisher(&self) -> Publisher<'_> {
        self.state().publishers += 1;
        Publisher(self)
    }

    /// Waits for this number of alerts as long as there are publishers, however slow the machine is.
    fn reach(&self, number: usize) {
        let is_behind = |state: &mut State| state.alerts.len() < number && state.publishers > 0;
        let state = self.changed.wait_while(self.state(), is_behind).unwrap();
        assert!(state.alerts.len() >= number, "a publisher failed");
    }
}

impl Drop for Publisher<'_> {
    fn drop(&mut self) {
        self.0.state().publishers -= 1;
        self.0.changed.notify_all();
    }
}

fn publish(daemon: &Daemon, key: &Key, number: usize, size: usize, log: &Log) {
    let (topic, level) = (TOPICS[number % 4], ["info", "error", "info"][number % 3]);
    let body = json!({"message": "x".repeat(size), "level": level});
    let answer = daemon.send(&Request::post(&format!("/alerts/{topic}")).key(key).json(&body));
    assert_eq!(answer.status, 200);
    let id: Id = answer.json()["alert"]["id"].as_str().unwrap().parse().unwrap();
    log.state().alerts.push((id, topic.parse().unwrap(), level.parse().unwrap()));
    log.changed.notify_all();
}

/// Follows as planned until the head of the finished log; returns its events as `Ok(id)` and `Err(gap)`.
fn follow(daemon: &Daemon, key: &Key, plan: &Plan, log: &Log, alerts: usize) -> Vec<Result<Id, Gap>> {
    log.reach(plan.from);
    let level = ["info", "error"][plan.level];
    let path = format!("/alerts?topic={}&level={level}", PATTERNS[plan.pattern]);
    let (mut seen, mut cursor, mut turn) = (Vec::new(), "0-0".to_owned(), 0);
    loop {
        let mut stream = daemon.follow(&Request::get(&path).key(key).header("Last-Event-ID", &cursor));
        if turn == 0 {
            log.reach(plan.stall);
        }
        let mut left = plan.breaks.get(turn).copied().unwrap_or(usize::MAX);
        turn += 1;
        while left > 0 {
            let Some(event) = stream.event() else { break };
            left -= 1;
            match event.event.as_str() {
                "" => seen.push(Ok(event.id.as_ref().unwrap().parse().unwrap())),
                "gap" => seen.push(Err(serde_json::from_str(&event.data).unwrap())),
                _ => {}
            }
            if let Some(id) = &stream.last_id {
                cursor.clone_from(id);
            }
            let state = log.state();
            let head = state.alerts.iter().map(|alert| alert.0).max();
            if state.alerts.len() == alerts && Some(cursor.parse().unwrap()) >= head && stream.last_id.is_some() {
                return seen;
            }
        }
    }
}

/// Compares the log with what the reader saw.
fn check(plan: &Plan, seen: &[Result<Id, Gap>], log: &[(Id, Topic, Level)]) {
    let level = ["info", "error"][plan.level].parse().unwrap();
    let filter = Filter::new([PATTERNS[plan.pattern].parse::<Pattern>().unwrap()], level);
    let mut expected =
        log.iter().filter(|(_, topic, level)| filter.matches(topic.as_str(), *level)).map(|(id, ..)| *id).peekable();
    for (at, event) in seen.iter().enumerate() {
        match event {
            Ok(id) => assert_eq!(
                expected.next(),
                Some(*id),
                "a hole or a repeat for {plan:?} in {:?}",
                &seen[at.saturating_sub(4)..=at]
            ),
            Err(gap) => {
                // Only what the log no longer had may be missing.
                let oldest = gap.oldest.unwrap_or(gap.head);
                while expected.next_if(|id| *id < oldest).is_some() {}
            }
        }
    }
    assert_eq!(expected.next(), None, "the end is missing for {plan:?}");
}

fn run(transport: Transport, alerts: usize, size: usize, retain: usize, plans: &[Plan]) {
    let daemon = Daemon::on(
        transport,
        &format!("[http]\nheartbeat = \"1s\"\n[hub]\nmemory = \"1MiB\"\n[alerts]\nretain_count = {retain}\n"),
    );
    let key = daemon.key("alice");
    let log = Log::default();
    std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..3)
            .map(|first| {
                let (daemon, key, log, publisher) = (&daemon, &key, &log, log.publisher());
                scope.spawn(move || {
                    let _publisher = publisher;
                    (first..alerts).step_by(3).for_each(|number| publish(daemon, key, number, size, log));
                })
            })
            .collect();
        let readers: Vec<_> =
            plans.iter().map(|plan| scope.spawn(|| follow(&daemon, &key, plan, &log, alerts))).collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        log.state().alerts.sort();
        for (plan, reader) in plans.iter().zip(readers) {
            let seen = reader.join().unwrap();
            check(plan, &seen, &log.state().alerts);
        }
    });
}

fn each_reader_sees_the_logs_sequence_or_a_gap_where_it_no_longer_has_it(transport: Transport) {
    let alerts = 600;
    let plans = prop::collection::vec(plan(alerts), 1..8);
    let property = (plans, prop_oneof![Just(10usize), Just(4000)], prop_oneof![Just(0usize), Just(40), Just(200)]);
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(&property, |(plans, size, retain)| {
        run(transport, alerts, size, retain, &plans);
        Ok(())
    });
    if let Err(failure) = tried {
        panic!("{failure}");
    }
}
