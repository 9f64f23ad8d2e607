//! Alerts that are stored once, and groups that are stored whole.

use super::{Backend, UNLIMITED, draft};
use crate::alert::{Id, Level};
use crate::engine::{AppendError, Feed, Idempotency, Publish};

#[tokio::test]
async fn an_idempotency_key_stores_once_also_within_one_commit() {
    for backend in Backend::all() {
        idempotency(backend).await;
    }
}

async fn idempotency(backend: Backend) {
    let log = backend.open("log", UNLIMITED).await;
    let key = |user: &str, key: &str| Some(Idempotency { user: user.into(), key: key.into(), state: None });
    let publish =
        |text: &str, idempotency| Publish { draft: draft("a", text, Level::Info), user: "u".into(), idempotency };
    let same: Vec<_> = (0..50)
        .map(|_| {
            let (engine, publish) = (log.engine.clone(), publish("m", key("alice", "k")));
            tokio::spawn(async move { engine.append(publish).await.unwrap() })
        })
        .collect();
    let mut stored = Vec::new();
    for task in same {
        stored.push(task.await.unwrap());
    }
    assert_eq!(stored.iter().filter(|s| !s.repeated).count(), 1);
    assert!(stored.iter().all(|s| s.record == stored[0].record));
    assert!(matches!(log.engine.append(publish("other", key("alice", "k"))).await, Err(AppendError::Conflict)));
    assert!(!log.engine.append(publish("other", key("bob", "k"))).await.unwrap().repeated);
    log.engine.close().await;
    let log = backend.open("log", UNLIMITED).await;
    let again = log.engine.append(publish("m", key("alice", "k"))).await.unwrap();
    assert!(again.repeated);
    assert_eq!(again.record, stored[0].record);
    assert_eq!(log.all("*", Level::Info, Id::ZERO).await.len(), 2);
}

#[tokio::test]
async fn a_group_is_stored_whole_or_not_at_all() {
    for backend in Backend::all() {
        group(backend).await;
    }
}

async fn group(backend: Backend) {
    let mut log = backend.open("log", UNLIMITED).await;
    let publish = |topic: &str, text: &str, key: &str| Publish {
        draft: draft(topic, text, Level::Warn),
        user: "alice".into(),
        idempotency: Some(Idempotency { user: "alice".into(), key: key.into(), state: None }),
    };
    assert_eq!(log.engine.append_all(Vec::new()).await.unwrap().len(), 0);
    let three = vec![publish("a", "one", "1"), publish("b", "two", "2"), publish("a", "three", "3")];
    let stored = log.engine.append_all(three.clone()).await.unwrap();
    let records: Vec<_> = stored.iter().map(|stored| stored.record.clone()).collect();
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b) && stored.iter().all(|stored| !stored.repeated));
    assert_eq!((log.all("*", Level::Info, Id::ZERO).await, log.all("a", Level::Info, Id::ZERO).await.len()), (ids, 2));
    let mut fed = Vec::new();
    while fed.len() < records.len() {
        if let Feed::Alerts(alerts) = log.feed.recv().await.unwrap() {
            fed.extend_from_slice(&alerts);
        }
    }
    assert_eq!(fed, records);

    // A retry repeats nothing, and a group that has grown adds what is new.
    let head = log.engine.head().unwrap();
    let again = log.engine.append_all(three.clone()).await.unwrap();
    assert!(again.iter().all(|stored| stored.repeated) && log.engine.head().unwrap() == head);
    assert!(again.iter().map(|stored| &stored.record).eq(&records));
    let grown = log.engine.append_all([three.as_slice(), &[publish("c", "four", "4")]].concat()).await.unwrap();
    assert_eq!(
        grown.iter().filter(|stored| !stored.repeated).map(|stored| stored.record.topic.as_str()).collect::<Vec<_>>(),
        ["c"]
    );

    // The last alert conflicts with a stored one, or with one of its own group: none is stored, and no key is used up.
    let head = log.engine.head().unwrap();
    for wrong in [publish("a", "else", "1"), publish("a", "else", "5")] {
        let conflict = log.engine.append_all(vec![publish("a", "five", "5"), publish("a", "six", "6"), wrong]).await;
        assert!(matches!(conflict, Err(AppendError::Conflict)));
    }
    assert_eq!(log.engine.head().unwrap(), head);
    assert!(!log.engine.append(publish("a", "anew", "5")).await.unwrap().repeated);
    // The same alert twice is one.
    let twice = log.engine.append_all(vec![publish("a", "seven", "7"), publish("a", "seven", "7")]).await.unwrap();
    assert_eq!(twice[0].record, twice[1].record);
    assert!(!twice[0].repeated && twice[1].repeated);
    // Larger than what one commit gathers.
    let many: Vec<_> = (0..1500).map(|i| publish("many", &format!("m{i}"), &format!("k{i}"))).collect();
    let stored = log.engine.append_all(many.clone()).await.unwrap();
    assert!(stored.is_sorted_by(|a, b| a.record.id < b.record.id) && stored.len() == 1500);
    assert!(log.engine.append_all(many).await.unwrap().iter().all(|stored| stored.repeated));
}

#[tokio::test]
async fn a_key_with_a_state_repeats_what_stays_and_stores_what_changes() {
    for backend in Backend::all() {
        let log = backend.open("log", UNLIMITED).await;
        let publish = |text: &str, state: &str| {
            let idempotency = Idempotency { user: "alice".into(), key: "disk".into(), state: Some(state.into()) };
            Publish { draft: draft("a", text, Level::Info), user: "u".into(), idempotency: Some(idempotency) }
        };
        let mut repeated = Vec::new();
        for (text, state) in [("91 %", "full"), ("95 %", "full"), ("fine", "free"), ("fine", "free"), ("91 %", "full")]
        {
            repeated.push(log.engine.append(publish(text, state)).await.unwrap().repeated);
        }
        assert_eq!(repeated, [false, true, false, true, false]);
        let both = log.engine.append_all(vec![publish("fine", "free"), publish("91 %", "full")]).await.unwrap();
        assert!(both.iter().all(|stored| !stored.repeated));
        assert_eq!(log.all("*", Level::Info, Id::ZERO).await.len(), 5);
    }
}
