//! Tests: alerts that are taken back, and what else knew of them.

use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::testing::{PATIENCE, Server, until};
use super::{Redis, Settings};
use crate::alert::{Draft, Filter, Id, Level, Pattern, Record, RecordKind, Start};
use crate::engine::{
    AppendError, Direction, Feed, Idempotency, Publish, Range, Retention, Retract, RetractFailure, Retractable,
    Retracted, Stored, Tracking,
};
use crate::incident::{self, Key, Row, State};

pub(super) const SECRET: &str = "hunter2-hunter2";

pub(super) struct Node {
    pub(super) engine: Redis,
    pub(super) feed: Receiver<Feed>,
}

impl Node {
    pub(super) async fn start(settings: Settings) -> Self {
        let (engine, feed) = Redis::start(settings);
        engine.synced().await;
        let node = Self { engine, feed };
        until(async || node.engine.status().health.is_ok()).await;
        node
    }

    /// Waits until the fleet writes the newest format.
    pub(super) async fn of(server: &Server) -> Self {
        let node = Self::start(server.settings("i")).await;
        node.is_raised(server).await;
        node
    }

    pub(super) async fn is_raised(&self, server: &Server) {
        let newest = super::script::SCHEMA.to_string();
        until(async || server.ask(&["HGET", "{i}:state", "schema"]).trim() == newest).await;
    }

    pub(super) async fn publish(&self, alert: Publish) -> Result<Stored, AppendError> {
        Ok(self.engine.append_all(vec![alert]).await?.remove(0))
    }

    pub(super) async fn retract(&self, topic: &str, id: Id, allowed: Retractable) -> Result<Retracted, RetractFailure> {
        let topic = topic.parse().unwrap();
        self.engine.retract(Retract { topic, id, by: "alice".into(), allowed }).await
    }

    /// The record that takes an alert back.
    pub(super) async fn taken_back(&self, id: Id) -> Record {
        match self.retract("ops", id, Retractable::All).await {
            Ok(Retracted::Now(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn log(&self, after: Id) -> Vec<Record> {
        let filter = Filter::new([Pattern::All], Level::Info);
        let range = Range { filter, after, until: Id::MAX, limit: 1000, bytes: 1 << 20 };
        self.engine.read(range, Direction::Forward).await.unwrap().records
    }

    pub(super) async fn has_gap(&self, cursor: Id) -> bool {
        let (filter, head, start) =
            (Filter::new([Pattern::All], Level::Info), self.engine.head().unwrap(), Start::After(cursor));
        let mut seek = None;
        // A node that lost its subscription a moment ago may not be ready yet.
        until(async || {
            seek = self.engine.seek(&start, &filter, head, 0).await.ok();
            seek.is_some()
        })
        .await;
        seek.unwrap().gap.is_some()
    }

    pub(super) async fn latest(&self) -> Vec<Id> {
        let (filter, until) = (Filter::new([Pattern::All], Level::Info), self.engine.head().unwrap());
        let seek = self.engine.seek(&Start::Latest, &filter, until, 0).await.unwrap();
        seek.latest.iter().map(|record| record.id).collect()
    }

    pub(super) async fn row(&self, name: &str) -> Option<Row> {
        self.engine.incident(&key(name)).await.unwrap()
    }

    /// What the hub is fed with, up to this id.
    pub(super) async fn fed(&mut self, until: Id) -> (Vec<Record>, usize) {
        let (mut fed, mut resets) = (Vec::new(), 0);
        let feeding = async {
            while fed.last().is_none_or(|last: &Record| last.id < until) {
                match self.feed.recv().await.unwrap() {
                    Feed::Alerts(records) => fed.extend_from_slice(&records),
                    Feed::Reset(_) => resets += 1,
                    Feed::Marker(_) => {}
                }
            }
        };
        timeout(PATIENCE, feeding).await.expect("the node follows the log");
        (fed, resets)
    }
}

fn key(name: &str) -> Key {
    Key { topic: "ops".parse().unwrap(), name: name.parse().unwrap() }
}

pub(super) fn alert(message: &str, more: &str) -> Publish {
    let body = format!(r#"{{"topic":"ops","message":"{message}","level":"error"{more}}}"#);
    Publish { draft: Draft::from_json(None, body.as_bytes()).unwrap(), user: "bob".into(), idempotency: None }
}

pub(super) fn keyed(message: &str, more: &str, key: &str, state: Option<&str>) -> Publish {
    let idempotency = Idempotency { user: "bob".into(), key: key.into(), state: state.map(str::to_owned) };
    Publish { idempotency: Some(idempotency), ..alert(message, more) }
}

/// The names of all keys that have this text in what they hold.
pub(super) async fn holders(connection: &mut MultiplexedConnection, text: &str) -> Vec<String> {
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(connection).await.unwrap();
    let mut holders = Vec::new();
    for name in names {
        let kind: String = redis::cmd("TYPE").arg(&name).query_async(connection).await.unwrap();
        let mut read = match kind.as_str() {
            "stream" => redis::cmd("XRANGE"),
            "hash" => redis::cmd("HGETALL"),
            "zset" => redis::cmd("ZRANGE"),
            other => panic!("{name} is a {other}"),
        };
        read.arg(&name);
        match kind.as_str() {
            "stream" => read.arg("-").arg("+"),
            "zset" => read.arg(0).arg(-1),
            _ => &mut read,
        };
        let content: redis::Value = read.query_async(connection).await.unwrap();
        if format!("{content:?}").contains(text) {
            holders.push(name);
        }
    }
    holders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_is_taken_back_is_in_no_key_and_its_id_is_a_cursor_without_a_gap() {
    let server = Server::start();
    let mut node = Node::of(&server).await;
    let first = node.publish(alert("first", "")).await.unwrap().record;
    let secret = node.publish(keyed(SECRET, "", "k", None)).await.unwrap().record;
    let mut direct = server.connection().await;
    assert_eq!(holders(&mut direct, SECRET).await, ["{i}:log"]);
    assert_eq!(node.latest().await, [secret.id]);
    let own = |user: &str| Retractable::OfUser(user.into());
    for (topic, id, allowed) in [("db", secret.id, Retractable::All), ("ops", secret.id.successor(), own("bob"))] {
        assert_eq!(node.retract(topic, id, allowed).await.unwrap_err(), RetractFailure::Unknown);
    }
    assert_eq!(node.retract("ops", secret.id, own("eve")).await.unwrap_err(), RetractFailure::OfOthers);
    let Ok(Retracted::Now(record)) = node.retract("ops", secret.id, own("bob")).await else { panic!("it is there") };
    assert_eq!(record.kind, RecordKind::Retraction(secret.id));
    for allowed in [Retractable::All, own("bob")] {
        assert!(matches!(node.retract("ops", secret.id, allowed).await, Ok(Retracted::Before)));
    }
    assert_eq!(node.retract("ops", record.id, Retractable::All).await.unwrap_err(), RetractFailure::Unknown);
    assert_eq!(holders(&mut direct, SECRET).await, [""; 0]);
    assert_eq!(node.log(Id::ZERO).await, [first.clone(), record.clone()]);
    assert_eq!(node.fed(record.id).await.0, [first.clone(), secret.clone(), record.clone()]);
    assert_eq!(node.latest().await, [first.id]);
    for cursor in [first.id, secret.id, record.id] {
        assert!(!node.has_gap(cursor).await, "{cursor}");
    }
    assert_eq!(node.publish(keyed(SECRET, "", "k", None)).await.unwrap_err(), AppendError::Retracted);
    // The last one of a topic.
    node.taken_back(first.id).await;
    assert_eq!(node.latest().await, [Id::ZERO; 0]);
    let next = node.publish(alert("next", "")).await.unwrap().record;
    assert_eq!(node.latest().await, [next.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_an_alert_that_was_taken_back_refuses_its_group_unless_it_names_a_state() {
    let server = Server::start();
    let node = Node::of(&server).await;
    for (number, more) in ["", r#","incident":"disk""#].into_iter().enumerate() {
        let name = |kind: &str| format!("{kind} {number}");
        let once = || keyed(SECRET, more, &name("once"), None);
        let state = |state| keyed(SECRET, more, &name("state"), Some(state));
        for alert in [once(), state("firing")] {
            let stored = node.publish(alert).await.unwrap();
            node.taken_back(stored.record.id).await;
        }
        let before = node.log(Id::ZERO).await;
        let refused = node.engine.append_all(vec![alert("other", more), once()]).await.unwrap_err();
        assert_eq!(refused, AppendError::Retracted);
        let changed = node.publish(keyed("something else", more, &name("once"), None)).await.unwrap_err();
        assert_eq!(changed, AppendError::Retracted);
        assert_eq!(node.log(Id::ZERO).await, before);
        let both = node.engine.append_all(vec![state("firing"), alert("other", "")]).await.unwrap();
        assert!(both[0].repeated && !both[1].repeated);
        assert_eq!(node.log(before.last().unwrap().id).await, [both[1].record.clone()]);
        let next = node.publish(state("resolved")).await.unwrap();
        assert!(!next.repeated);
        node.taken_back(next.record.id).await;
    }
    assert_eq!(holders(&mut server.connection().await, SECRET).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_keeps_its_state_and_has_the_alert_before() {
    let server = Server::start();
    let node = Node::of(&server).await;
    let repeat_interval_ms = 3_600_000;
    node.engine.set_incidents(incident::Settings { repeat_interval_ms, ..incident::Settings::default() });
    let report = |message: &str| alert(message, r#","incident":"a/b","ttl":"1h""#);
    let topic = "ops".parse().unwrap();
    let first = node.publish(report("first")).await.unwrap().record;
    node.publish(alert("of another", r#","incident":"other""#)).await.unwrap();
    let secret = node.publish(report(SECRET)).await.unwrap().record;
    assert_eq!(
        node.publish(keyed(SECRET, r#","incident":"a/b""#, "k", None)).await.unwrap().incident,
        Tracking::Counted
    );
    let before = node.row("a/b").await.unwrap();
    node.taken_back(secret.id).await;
    let after = node.row("a/b").await.unwrap();
    assert_eq!((after.state, after.count, after.changed), (before.state, before.count, before.changed));
    let last = after.last.unwrap();
    assert_eq!((last.id, last.message.as_str(), last.count), (Some(first.id), "first", 1));
    assert_eq!(node.engine.incident_alert(&topic, secret.id).await.unwrap(), None);
    assert_eq!(node.engine.incident_alert(&topic, first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(holders(&mut server.connection().await, SECRET).await, [""; 0]);
    // A repeat of what was taken back is news, and so is one under a key that was only counted refused.
    assert_eq!(
        node.publish(keyed(SECRET, r#","incident":"a/b""#, "k", None)).await.unwrap_err(),
        AppendError::Retracted
    );
    let again = node.publish(report(SECRET)).await.unwrap();
    assert_eq!((again.incident, node.row("a/b").await.unwrap().count), (Tracking::Tracked, 4));
    node.taken_back(again.record.id).await;
    node.taken_back(first.id).await;
    let row = node.row("a/b").await.unwrap();
    assert_eq!((row.state, row.count, &row.last), (State::Open, 4, &None));
    // Resolved ones too, and the last alert of another occurrence is not the one before.
    let end = alert(SECRET, r#","incident":"a/b","status":"resolved""#);
    let end = node.publish(end).await.unwrap().record;
    node.taken_back(end.id).await;
    let row = node.row("a/b").await.unwrap();
    assert_eq!((row.state, &row.last), (State::Resolved, &None));
    node.publish(alert("over", r#","incident":"other","status":"resolved""#)).await.unwrap();
    let opened = node.publish(alert(SECRET, r#","incident":"other""#)).await.unwrap().record;
    node.taken_back(opened.id).await;
    let row = node.row("other").await.unwrap();
    assert_eq!((row.state, row.occurrence, &row.last), (State::Open, 2, &None));
    assert_eq!(holders(&mut server.connection().await, SECRET).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_is_remembered_for_as_long_as_the_log_has_the_retraction() {
    for limit in [
        Retention { age_ms: 0, count: 2, bytes: 0, topic_count: 0 },
        Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 2 },
    ] {
        let server = Server::start();
        let node = Node::start(Settings { retention: limit, ..server.settings("i") }).await;
        node.is_raised(&server).await;
        let id = node.publish(alert(SECRET, "")).await.unwrap().record.id;
        node.taken_back(id).await;
        node.publish(alert("one", "")).await.unwrap();
        assert!(matches!(node.retract("ops", id, Retractable::All).await, Ok(Retracted::Before)), "{limit:?}");
        assert!(!node.has_gap(id).await);
        node.publish(alert("two", "")).await.unwrap();
        assert_eq!(node.retract("ops", id, Retractable::All).await.unwrap_err(), RetractFailure::Unknown);
        assert_eq!(server.ask(&["EXISTS", "{i}:retracted"]).trim(), "0");
        assert!(node.has_gap(id).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_whose_publisher_is_not_known_is_taken_back_by_administrators_alone() {
    let server = Server::start();
    let node = Node::of(&server).await;
    node.publish(alert("m", "")).await.unwrap();
    let id = server.ask(&["EVAL", "local id = redis.call('XADD', KEYS[1], '*', 'ms', '1', 'level', '0', 'topic', 'ops', 'alert', '{}') redis.call('HSET', KEYS[2], 'head', id, 'shown', id) return id", "2", "{i}:log", "{i}:state"]);
    let id: Id = id.trim().parse().unwrap();
    let refused = node.retract("ops", id, Retractable::OfUser("bob".into())).await.unwrap_err();
    assert_eq!(refused, RetractFailure::OfOthers);
    node.taken_back(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_of_an_alert_are_taken_back_with_it() {
    let server = Server::start();
    let node = Node::of(&server).await;
    node.engine.set_incidents(incident::Settings { remind_after_ms: 1000, ..incident::Settings::default() });
    let first = node.publish(alert("first", r#","incident":"disk""#)).await.unwrap().record;
    let secret = node.publish(alert(SECRET, r#","incident":"disk""#)).await.unwrap().record;
    node.publish(alert("of another", "")).await.unwrap();
    until(async || node.log(secret.id).await.len() > 3).await;
    node.taken_back(secret.id).await;
    assert_eq!(holders(&mut server.connection().await, SECRET).await, [""; 0]);
    let log = node.log(first.id).await;
    assert!(log.iter().filter(|record| matches!(record.kind, RecordKind::Retraction(_))).count() > 2, "{log:?}");
    // It is reminded of the alert before.
    let after = log.last().unwrap().id;
    until(async || !node.log(after).await.is_empty()).await;
    assert!(String::from_utf8_lossy(&node.log(after).await[0].json).contains("first"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_retention_left_to_its_incident_is_taken_back_by_administrators() {
    let server = Server::start();
    let retention = Retention { age_ms: 0, count: 2, bytes: 0, topic_count: 0 };
    let node = Node::start(Settings { retention, ..server.settings("i") }).await;
    node.is_raised(&server).await;
    let id = node.publish(alert(SECRET, r#","incident":"disk""#)).await.unwrap().record.id;
    for _ in 0..3 {
        node.publish(alert("other", "")).await.unwrap();
    }
    let refused = node.retract("ops", id, Retractable::OfUser("bob".into())).await.unwrap_err();
    assert_eq!(refused, RetractFailure::OfOthers);
    node.taken_back(id).await;
    assert!(matches!(node.retract("ops", id, Retractable::All).await, Ok(Retracted::Before)));
    assert_eq!(node.row("disk").await.unwrap().last, None);
    assert_eq!(holders(&mut server.connection().await, SECRET).await, [""; 0]);
}
