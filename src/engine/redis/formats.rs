//! Tests: what a node does with stored formats that are older or newer than its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};

use super::testing::Server;
use super::{Redis, script};
use crate::alert::{Draft, Filter, Id, Level, Pattern};
use crate::engine::{
    ActFailure, AppendError, Cause, Direction, Feed, Idempotency, Page, Publish, Range, Retention, Stored, Tracking,
    Unavailable,
};
use crate::incident::{Act, Action, Key, State, Untracked};

const NOW: u64 = 1_795_455_190_000;

fn start(server: &Server) -> (Redis, tokio::sync::mpsc::Receiver<Feed>) {
    let unlimited = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };
    server.engine("f", unlimited, Arc::new(|| NOW))
}

async fn publish(engine: &Redis, key: &str) -> Stored {
    let draft = Draft::from_text(Some("a".parse().unwrap()), b"m", Level::Info).unwrap();
    let idempotency = Some(Idempotency { user: "u".into(), key: key.into(), state: None });
    engine.append_all(vec![Publish { draft, user: "u".into(), idempotency }]).await.unwrap().remove(0)
}

async fn read_all(engine: &Redis) -> Result<Page, Unavailable> {
    let filter = Filter::new([Pattern::All], Level::Info);
    let range = Range { filter, after: Id::ZERO, until: Id::MAX, limit: 100, bytes: 1 << 20 };
    engine.read(range, Direction::Forward).await
}

async fn run<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, line: &str) -> T {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    command.arg(words.collect::<Vec<_>>()).query_async(connection).await.unwrap()
}

/// Every key with its content.
async fn snapshot(connection: &mut MultiplexedConnection) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for key in run::<Vec<String>>(connection, "KEYS *").await {
        let content = run(connection, &format!("DUMP {key}")).await;
        all.insert(key, content);
    }
    all
}

/// Waits until the engine reports that publishing fails for this cause.
async fn refused(engine: &Redis, cause: Cause) -> String {
    let refused = async {
        loop {
            if let Err(unavailable) = engine.status().health
                && unavailable.cause == cause
            {
                return unavailable.detail;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), refused).await.expect("it is refused")
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_name_and_nothing_is_changed() {
    let server = Server::start();
    let mut direct = server.connection().await;
    let (engine, _feed) = start(&server);
    engine.synced().await;
    let before = publish(&engine, "k").await.record;
    engine.close().await;
    for newer in ["4", "soon"] {
        let _: u64 = run(&mut direct, &format!("HSET {{f}}:state schema {newer}")).await;
        let stored = snapshot(&mut direct).await;
        let (engine, _feed) = start(&server);
        let detail = refused(&engine, Cause::UnknownFormat).await;
        assert!(detail.contains(&format!("a log of schema {newer}")) && detail.contains("supports 0 to 3"), "{detail}");
        assert_eq!(read_all(&engine).await.unwrap_err().cause, Cause::UnknownFormat);
        assert_eq!((engine.head(), snapshot(&mut direct).await), (None, stored));
        engine.close().await;
    }
    let _: u64 = run(&mut direct, &format!("HSET {{f}}:state schema {}", script::SCHEMA)).await;
    let (engine, _feed) = start(&server);
    engine.synced().await;
    assert_eq!(read_all(&engine).await.unwrap().records, [before]);
}

#[tokio::test]
async fn a_log_of_the_previous_schema_is_taken_and_raised_when_every_node_knows_the_new_one() {
    let server = Server::start();
    let mut direct = server.connection().await;
    let (seconds, _): (u64, u64) = run(&mut direct, "TIME").await;
    // A node of an earlier version does not report its schema.
    let older: u64 = redis::cmd("HSET")
        .arg("{f}:nodes")
        .arg("older")
        .arg(format!("{seconds}000 0 3 0.0.9"))
        .query_async(&mut direct)
        .await
        .unwrap();
    assert_eq!(older, 1);
    let (engine, _feed) = start(&server);
    engine.synced().await;
    publish(&engine, "k").await;
    let mut entries = std::collections::BTreeSet::new();
    // The node has done its periodic work at least twice.
    while entries.len() < 3 {
        entries.insert(run::<Option<String>>(&mut direct, "HGET {f}:nodes test-f").await);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(run::<Option<u64>>(&mut direct, "HGET {f}:state schema").await, None);
    assert_eq!(engine.stats().await.nodes.len(), 2);
    let _: u64 = run(&mut direct, "HDEL {f}:nodes older").await;
    let raised = async {
        while run::<Option<u64>>(&mut direct, "HGET {f}:state schema").await != Some(script::SCHEMA) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), raised).await.expect("the schema is raised");
    assert!(publish(&engine, "k").await.repeated);
}

#[tokio::test]
async fn while_a_node_of_the_previous_schema_is_listed_nothing_is_written_that_it_cannot_read() {
    let server = Server::start();
    let mut direct = server.connection().await;
    let (seconds, _): (u64, u64) = run(&mut direct, "TIME").await;
    let _: u64 = run(&mut direct, "HSET {f}:state schema 1").await;
    let older = format!("{seconds}000 0 3 0.1.0 1");
    let _: u64 = redis::cmd("HSET").arg("{f}:nodes").arg("older").arg(older).query_async(&mut direct).await.unwrap();
    let (engine, _feed) = start(&server);
    engine.synced().await;
    let report = || {
        let body = br#"{"topic":"a","message":"m","level":"error","incident":"disk"}"#;
        let draft = Draft::from_json(None, body).unwrap();
        Publish { draft, user: "u".into(), idempotency: None }
    };
    let stored = engine.append_all(vec![report()]).await.unwrap().remove(0);
    assert_eq!(stored.incident, Tracking::Untracked(Untracked::OlderNode));
    assert_eq!(read_all(&engine).await.unwrap().records, [stored.record]);
    let key = Key { topic: "a".parse().unwrap(), name: "disk".parse().unwrap() };
    let act = || Act { key: key.clone(), action: Action::Acknowledge, by: "u".into(), note: None };
    let refused = engine.act(act()).await.unwrap_err();
    let ActFailure::Failed(AppendError::NotStored(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.cause, Cause::OlderNodes, "{}", refused.detail);
    assert_eq!(run::<Vec<String>>(&mut direct, "KEYS {f}:incidents*").await, [""; 0]);

    let _: u64 = run(&mut direct, "HDEL {f}:nodes older").await;
    let raised = async {
        while run::<Option<u64>>(&mut direct, "HGET {f}:state schema").await != Some(script::SCHEMA) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), raised).await.expect("the schema is raised");
    assert_eq!(engine.append_all(vec![report()]).await.unwrap()[0].incident, Tracking::Tracked);
    let changed = engine.act(act()).await.unwrap();
    let last = read_all(&engine).await.unwrap().records.pop();
    assert_eq!((changed.row.state, changed.record), (State::Acknowledged, last));
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_kept_and_an_unknown_kind_is_refused_by_name() {
    let server = Server::start();
    let mut direct = server.connection().await;
    let (engine, _feed) = start(&server);
    engine.synced().await;
    let first = publish(&engine, "k").await.record;
    // What a newer version may add: to the row of a topic, to an idempotency key, to an entry of the log.
    for hash in ["rows", "idem"] {
        let fields: Vec<String> = run(&mut direct, &format!("HGETALL {{f}}:{hash}")).await;
        let more = format!("{} more", fields[1]);
        let _: u64 = redis::cmd("HSET")
            .arg(format!("{{f}}:{hash}"))
            .arg(&fields[0])
            .arg(more)
            .query_async(&mut direct)
            .await
            .unwrap();
    }
    assert!(publish(&engine, "k").await.repeated);
    let second = publish(&engine, "l").await.record;
    let row: String = run(&mut direct, "HGET {f}:rows a").await;
    assert!(row.ends_with(" more"), "{row}");
    let third = second.id.successor();
    let _: String =
        run(&mut direct, &format!("XADD {{f}}:log {third} ms {NOW} level 0 topic a alert {{}} colour red")).await;
    let _: u64 = run(&mut direct, &format!("HSET {{f}}:state head {third} shown {third}")).await;
    let ids: Vec<_> = read_all(&engine).await.unwrap().records.iter().map(|record| record.id).collect();
    assert_eq!(ids, [first.id, second.id, third]);

    let fourth = third.successor();
    let entry = format!("XADD {{f}}:log {fourth} ms {NOW} level 0 topic a alert {{}} kind other");
    let _: String = run(&mut direct, &entry).await;
    let _: u64 = run(&mut direct, &format!("HSET {{f}}:state head {fourth} shown {fourth}")).await;
    let refused = read_all(&engine).await.unwrap_err();
    assert_eq!(refused.cause, Cause::UnknownFormat, "{}", refused.detail);
    assert!(refused.detail.contains(&format!("the record {fourth} of kind \"other\"")), "{}", refused.detail);
}
