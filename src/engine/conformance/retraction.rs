//! Alerts that are taken back.

use std::sync::atomic::Ordering;

use super::{Backend, Log, NOW, UNLIMITED, draft, filter};
use crate::alert::{Draft, Id, Level, Record, RecordKind, Start};
use crate::engine::{
    AppendError, Direction, Feed, Idempotency, Publish, Range, Retention, Retract, RetractFailure, Retractable,
    Retracted,
};
use crate::incident::{Key, Settings};

fn retract(topic: &str, id: Id, allowed: Retractable) -> Retract {
    Retract { topic: topic.parse().unwrap(), id, by: "carol".into(), allowed }
}

fn of(user: &str) -> Retractable {
    Retractable::OfUser(user.into())
}

/// As [`Result::unwrap`], for what was taken back just now.
fn now(outcome: Result<Retracted, RetractFailure>) -> Record {
    match outcome.unwrap() {
        Retracted::Now(record) => record,
        Retracted::Before => panic!("it was retracted before"),
    }
}

fn publish(topic: &str, text: &str, key: Option<(&str, Option<&str>)>) -> Publish {
    let idempotency =
        key.map(|(key, state)| Idempotency { user: "u".into(), key: key.into(), state: state.map(Into::into) });
    Publish { draft: draft(topic, text, Level::Warn), user: "u".into(), idempotency }
}

fn reported(name: &str, message: &str, rest: &str) -> Publish {
    let body = format!(r#"{{"topic":"ops","message":"{message}","level":"warn","incident":"{name}"{rest}}}"#);
    Publish { draft: Draft::from_json(None, body.as_bytes()).unwrap(), user: "u".into(), idempotency: None }
}

impl Log {
    async fn taken(&self, publish: Publish) -> Record {
        self.engine.append(publish).await.unwrap().record
    }

    async fn read(&self) -> Vec<Record> {
        let range =
            Range { filter: filter("*", Level::Error), after: Id::ZERO, until: Id::MAX, limit: 100, bytes: 1 << 20 };
        let all = Range { filter: filter("*", Level::Info), ..range };
        self.engine.read(all, Direction::Forward).await.unwrap().records
    }

    async fn latest(&self, topic: &str) -> Option<Record> {
        let (until, filter) = (self.engine.head().unwrap(), filter(topic, Level::Info));
        self.engine.seek(&Start::Latest, &filter, until, 0).await.unwrap().latest.pop()
    }

    async fn message(&self, name: &str) -> Option<String> {
        let key = Key { topic: "ops".parse().unwrap(), name: name.parse().unwrap() };
        self.engine.incident(key).await.unwrap().unwrap().last.map(|last| last.message)
    }
}

#[tokio::test]
async fn a_retracted_alert_is_read_no_more_and_its_retraction_is() {
    for backend in Backend::all() {
        read_no_more(backend).await;
    }
}

async fn read_no_more(backend: Backend) {
    let mut log = backend.open("log", UNLIMITED).await;
    let mut records = Vec::new();
    for (topic, text) in [("a", "one"), ("b", "two"), ("a", "secret"), ("b", "four")] {
        records.push(log.taken(publish(topic, text, None)).await);
    }
    let secret = records[2].clone();
    let record = now(log.engine.retract(retract("a", secret.id, of("u"))).await);
    assert!(record.id > records[3].id && record.kind == RecordKind::Retraction(secret.id));
    assert_eq!((record.topic.as_str(), record.level), ("a", Level::Error));
    let json: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
    assert_eq!(json["alert"].as_str(), Some(&*secret.id.to_string()));
    assert_eq!((json["id"].as_str(), json["by"].as_str()), (Some(&*record.id.to_string()), Some("carol")));
    let mut fed = Vec::new();
    while fed.len() < 5 {
        if let Feed::Alerts(alerts) = log.feed.recv().await.unwrap() {
            fed.extend_from_slice(&alerts);
        }
    }
    assert_eq!(fed.pop().as_ref(), Some(&record));
    records.remove(2);
    records.push(record.clone());
    for is_restarted in [false, true] {
        if is_restarted {
            log.engine.close().await;
            log = backend.open("log", UNLIMITED).await;
        }
        assert_eq!(log.read().await, records);
        assert_eq!(log.back("*").await.len(), 4);
        assert_eq!(log.all("*", Level::Error, Id::ZERO).await, [record.id]);
        assert_eq!(
            (log.latest("a").await.as_ref(), log.latest("b").await.as_ref()),
            (Some(&records[0]), Some(&records[2]))
        );
        // Its id, and that of its retraction, are cursors.
        assert!(!log.gap(secret.id, "*").await && !log.gap(record.id, "*").await);
        assert!(matches!(log.engine.retract(retract("a", secret.id, of("u"))).await, Ok(Retracted::Before)));
        assert!(matches!(log.engine.retract(retract("a", secret.id, Retractable::All)).await, Ok(Retracted::Before)));
        assert_eq!(log.engine.head(), Some(record.id));
    }
}

#[tokio::test]
async fn only_an_alert_that_there_is_is_retracted_by_its_user_or_by_whoever_may_retract_all() {
    for backend in Backend::all() {
        let mut log = backend.open("log", Retention { count: 4, ..UNLIMITED }).await;
        let old = log.publish("a", "old", Level::Info).await;
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(log.publish("a", "m", Level::Info).await.id);
        }
        log.settled(4).await;
        let fails =
            async |topic: &str, id: Id, allowed| log.engine.retract(retract(topic, id, allowed)).await.unwrap_err();
        let unknown = Id { ms: ids[3].ms, seq: 77 };
        for (topic, id) in [("a", old.id), ("b", ids[3]), ("a", unknown), ("a", Id::ZERO), ("a", Id::MAX)] {
            assert_eq!(fails(topic, id, Retractable::All).await, RetractFailure::Unknown, "{topic} {id}");
        }
        assert_eq!(fails("a", ids[3], of("other")).await, RetractFailure::OfOthers);
        assert_eq!(log.engine.head(), Some(ids[3]));
        let record = now(log.engine.retract(retract("a", ids[3], of("u"))).await);
        // Neither is it an alert itself.
        assert_eq!(fails("a", record.id, Retractable::All).await, RetractFailure::Unknown);
        now(log.engine.retract(retract("a", ids[2], Retractable::All)).await);
    }
}

#[tokio::test]
async fn the_key_of_a_retracted_alert_stores_nothing_and_a_new_state_does() {
    for backend in Backend::all() {
        let mut log = backend.open("log", UNLIMITED).await;
        let once = publish("a", "secret", Some(("k", None)));
        let firing = publish("a", "91 % secret", Some(("disk", Some("full"))));
        for publish in [&once, &firing] {
            let id = log.taken(publish.clone()).await.id;
            now(log.engine.retract(retract("a", id, of("u"))).await);
        }
        for is_restarted in [false, true] {
            if is_restarted {
                log.engine.close().await;
                log = backend.open("log", UNLIMITED).await;
            }
            let head = log.engine.head();
            let other = publish("a", "else", Some(("k", None)));
            for again in [&once, &other] {
                assert!(matches!(log.engine.append(again.clone()).await, Err(AppendError::Retracted)));
                let group = vec![publish("b", "m", Some(("new", None))), again.clone()];
                assert!(matches!(log.engine.append_all(group).await, Err(AppendError::Retracted)));
            }
            let group = vec![firing.clone(), publish("b", "m", Some(("n", Some("s"))))];
            let stored = log.engine.append_all(group).await.unwrap();
            assert_eq!((stored[0].repeated, stored[1].repeated), (true, is_restarted));
            assert!(is_restarted || log.engine.head() > head);
            assert!(log.read().await.iter().all(|record| !record.json.windows(6).any(|part| part == b"secret")));
        }
        let over = publish("a", "fine", Some(("disk", Some("free"))));
        assert!(!log.engine.append(over).await.unwrap().repeated);
    }
}

#[tokio::test]
async fn an_incident_goes_back_to_the_alert_before_and_keeps_its_state() {
    for backend in Backend::all() {
        let mut log = backend.open("log", UNLIMITED).await;
        log.engine.set_incidents(Settings { repeat_interval_ms: 60_000, ..Settings::default() });
        let first = log.taken(reported("disk", "91 %", "")).await;
        log.taken(reported("net", "down", "")).await;
        let secret = log.taken(reported("disk", "secret", "")).await;
        // Counted, not stored.
        assert_eq!(log.taken(reported("disk", "secret", "")).await.id, secret.id);
        let topic = &secret.topic;
        assert_eq!(log.engine.incident_alert(topic.clone(), secret.id).await.unwrap().as_ref(), Some(&secret));
        now(log.engine.retract(retract("ops", secret.id, of("u"))).await);
        for is_restarted in [false, true] {
            if is_restarted {
                log.engine.close().await;
                log = backend.open("log", UNLIMITED).await;
                log.engine.set_incidents(Settings { repeat_interval_ms: 60_000, ..Settings::default() });
            }
            assert_eq!(log.message("disk").await.as_deref(), Some("91 %"));
            assert_eq!(log.engine.incident_alert(topic.clone(), secret.id).await.unwrap(), None);
            assert_eq!(log.engine.incident_alert(topic.clone(), first.id).await.unwrap().as_ref(), Some(&first));
        }
        // It is news again, with its count.
        let again = log.taken(reported("disk", "secret", "")).await;
        let json: serde_json::Value = serde_json::from_slice(&again.json).unwrap();
        assert!(again.id > secret.id && json["count"] == 4, "{json}");
        for id in [again.id, first.id] {
            now(log.engine.retract(retract("ops", id, of("u"))).await);
        }
        assert_eq!((log.message("disk").await, log.message("net").await.as_deref()), (None, Some("down")));
        // An earlier occurrence has nothing to do with it.
        log.taken(reported("net", "up", r#","status":"resolved""#)).await;
        let anew = log.taken(reported("net", "down anew", "")).await;
        now(log.engine.retract(retract("ops", anew.id, of("u"))).await);
        assert_eq!(log.message("net").await, None);
    }
}

#[tokio::test]
async fn reminders_are_retracted_with_their_alert_and_the_last_alert_of_an_incident_although_retention_took_it() {
    for backend in Backend::all() {
        let mut log = backend.open("log", UNLIMITED).await;
        let settings = Settings { remind_after_ms: 5000, remind_level: Level::Warn, ..Settings::default() };
        log.engine.set_incidents(settings);
        let secret = log.taken(reported("disk", "secret", "")).await;
        let mut fed = 0;
        let mut hear = async |log: &mut Log, count: usize| {
            while fed < count {
                if let Feed::Alerts(alerts) = log.feed.recv().await.unwrap() {
                    fed += alerts.len();
                }
            }
        };
        log.clock.store(NOW + 5000, Ordering::Relaxed);
        hear(&mut log, 2).await;
        log.engine.set_incidents(Settings::default());
        let all = log.read().await;
        assert!(all.len() == 2 && all[1].json.windows(6).any(|part| part == b"secret"));
        let record = now(log.engine.retract(retract("ops", secret.id, of("u"))).await);
        let left = log.read().await;
        assert_eq!(left.last(), Some(&record));
        let kinds: Vec<_> = left.iter().map(|record| record.kind).collect();
        assert_eq!(kinds, [RecordKind::Retraction(all[1].id), RecordKind::Retraction(secret.id)]);
        // The incident keeps what retention takes.
        let kept = log.taken(reported("disk", "kept", "")).await;
        for _ in 0..5 {
            log.taken(publish("other", "m", None)).await;
        }
        log.engine.set_retention(Retention { count: 2, ..UNLIMITED });
        log.settled(2).await;
        assert!(log.engine.incident_alert(kept.topic.clone(), kept.id).await.unwrap().is_some());
        now(log.engine.retract(retract("ops", kept.id, Retractable::All)).await);
        assert_eq!(log.engine.incident_alert(kept.topic.clone(), kept.id).await.unwrap(), None);
        assert_eq!(log.message("disk").await, None);
    }
}
