//! Stores of version 0.1, whole and cut off, and files that no version wrote.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::alert::{Draft, Filter, Level, Record, Start};
use crate::engine::embedded::{Durability, Embedded};
use crate::engine::{AppendError, Direction, Idempotency, Publish, Range, Retention};

const NOW: u64 = 1_795_455_190_000;

fn settings(directory: PathBuf) -> Settings {
    let retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };
    Settings { directory, durability: Durability::Fsync, retention, clock: Arc::new(|| NOW) }
}

fn alert(topic: &str, text: &str) -> Draft {
    Draft::from_text(Some(topic.parse().unwrap()), text.as_bytes(), Level::Warn).unwrap()
}

fn id(bytes: &mut Vec<u8>, id: Id) {
    bytes.extend_from_slice(&id.to_u128().to_le_bytes());
}

/// A store as version 0.1 wrote it: `count` alerts, one more that the limit of its topic removed, and a key.
fn store(path: &Path, count: u64) -> Vec<Record> {
    let records: Vec<_> = (0..count)
        .map(|i| alert(&format!("t{}", i % 3), &format!("m{i}")).record(Id::at(NOW - 1000 + 2 * i), NOW - 1000))
        .collect();
    let (removed, head) = (Id::at(NOW - 999), records.last().unwrap().id);
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut log = transaction.open_table(LOG).unwrap();
        for record in &records {
            let mut value = vec![record.level as u8];
            value.extend_from_slice(&record.received_ms.to_le_bytes());
            value.push(u8::try_from(record.topic.as_str().len()).unwrap());
            value.extend_from_slice(record.topic.as_str().as_bytes());
            value.extend_from_slice(&record.json);
            log.insert(record.id.to_u128(), value.as_slice()).unwrap();
        }
        transaction.open_table(REMOVED).unwrap().insert(removed.to_u128(), ()).unwrap();
        let mut row = [1_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat();
        [Id::ZERO, head, Id::ZERO, removed].into_iter().for_each(|own| id(&mut row, own));
        transaction.open_table(TOPICS).unwrap().insert("t1", row.as_slice()).unwrap();
        let key = Idempotency { user: "alice".into(), key: "k".into(), state: None };
        let publish = Publish { draft: alert("t0", "m0"), user: "u".into(), idempotency: Some(key) };
        let mut row = publish.fingerprint().to_vec();
        id(&mut row, records[0].id);
        row.extend_from_slice(&(NOW - 1000).to_le_bytes());
        let hash = publish.idempotency.unwrap().hash();
        transaction.open_table(KEYS).unwrap().insert(&hash, row.as_slice()).unwrap();
        let mut state = Vec::new();
        [head, Id::ZERO, Id::at(5), removed].into_iter().for_each(|own| id(&mut state, own));
        for number in [count, 0, 3, 3, NOW, 1, 1] {
            state.extend_from_slice(&number.to_le_bytes());
        }
        transaction.open_table(STATE).unwrap().insert(STATE_ROW, state.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    records
}

async fn all(engine: &Embedded) -> Vec<Record> {
    let filter = Filter::new(["*".parse().unwrap()], Level::Info);
    let range = Range { filter, after: Id::ZERO, until: Id::MAX, limit: 10_000, bytes: 1 << 30 };
    engine.read(range, Direction::Forward).await.unwrap().records
}

#[tokio::test]
async fn every_alert_cursor_and_key_is_taken_over_and_the_old_store_goes_with_the_first_stop() {
    let place = tempfile::tempdir().unwrap();
    let (path, aside) = (place.path().join("alerts.redb"), place.path().join("alerts.redb.converted"));
    let records = store(&path, 3000);
    let (engine, _feed) = Embedded::open(settings(place.path().to_owned())).unwrap();
    assert_eq!(all(&engine).await, records);
    assert!(aside.exists() && fs::read(&path).unwrap().starts_with(b"alertd: "));
    let status = engine.stats().await;
    assert_eq!((status.alerts, status.topics, status.head), (3000, 3, records[2999].id));
    let seek = async |cursor: Id, pattern: &str| {
        let filter = Filter::new([pattern.parse().unwrap()], Level::Info);
        engine.seek(&Start::After(cursor), &filter, engine.head(), 0).await.unwrap().gap.is_some()
    };
    assert!(
        !seek(records[7].id, "*").await && !seek(Id::at(NOW - 999), "*").await && !seek(Id::at(NOW - 999), "t1").await
    );
    assert!(seek(Id::at(4), "*").await && seek(records[0].id, "t1").await && !seek(records[0].id, "t0").await);
    let key = Some(Idempotency { user: "alice".into(), key: "k".into(), state: None });
    let again = Publish { draft: alert("t0", "m0"), user: "u".into(), idempotency: key.clone() };
    let stored = engine.append_all(vec![again]).await.unwrap().remove(0);
    assert!(stored.repeated && stored.record == records[0]);
    let other = engine.append_all(vec![Publish { draft: alert("t0", "x"), user: "u".into(), idempotency: key }]).await;
    assert_eq!(other.map(drop), Err(AppendError::Conflict));
    engine.close().await;
    assert!(!aside.exists());
    let (engine, _feed) = Embedded::open(settings(place.path().to_owned())).unwrap();
    assert_eq!(all(&engine).await, records);
    let new = engine
        .append_all(vec![Publish { draft: alert("t0", "new"), user: "u".into(), idempotency: None }])
        .await
        .unwrap();
    assert!(new[0].record.id > records[2999].id);
    engine.close().await;
}

#[tokio::test]
async fn a_conversion_that_was_cut_off_begins_anew_or_is_finished() {
    for cut in ["unfinished", "renamed", "linked"] {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let records = store(&at("alerts.redb"), 50);
        fs::copy(at("alerts.redb"), at("copy")).unwrap();
        let (engine, _feed) = Embedded::open(settings(place.path().to_owned())).unwrap();
        engine.close().await;
        // Back to what a crash in the middle leaves.
        fs::rename(at("copy"), at("alerts.redb")).unwrap();
        if cut == "unfinished" {
            fs::rename(at("log"), at("log.tmp")).unwrap();
            fs::remove_file(at("log.tmp/stop")).unwrap();
        } else {
            fs::write(at("log/converted"), "").unwrap();
        }
        if cut == "linked" {
            fs::hard_link(at("alerts.redb"), at("alerts.redb.converted")).unwrap();
        }
        let (engine, _feed) = Embedded::open(settings(place.path().to_owned())).unwrap();
        assert_eq!(all(&engine).await, records, "{cut}");
        engine.close().await;
        assert!(!at("log.tmp").exists() && !at("log/converted").exists(), "{cut}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_name_and_left_as_it_is() {
    let open = |place: &Path| Embedded::open(settings(place.to_owned())).map(drop).unwrap_err().to_string();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("alerts.redb");
    fs::write(&path, "something else").unwrap();
    assert!(open(place.path()).contains("alerts.redb cannot be read"));
    assert_eq!(fs::read(&path).unwrap(), b"something else");

    // A later format of the old store.
    fs::remove_file(&path).unwrap();
    store(&path, 3);
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut state = transaction.open_table(STATE).unwrap();
        state.remove(STATE_ROW).unwrap();
        state.insert("v2", b"x".as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    assert!(open(place.path()).contains("a format that this alertd does not know"));

    // The log is gone, and the text says that it was there; then both stores at once.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("alerts.redb");
    drop(super::super::location::prepare(&settings(place.path().to_owned()), &|_| ()).unwrap());
    fs::remove_dir(place.path().join("log")).unwrap();
    assert!(open(place.path()).contains("log cannot be read: it is missing"));
    fs::create_dir(place.path().join("log")).unwrap();
    fs::remove_file(&path).unwrap();
    store(&path, 3);
    assert!(open(place.path()).contains("keep one of them"));
}
