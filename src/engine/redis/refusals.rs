//! Tests: refused alerts are not stored, and a node reports that it refuses.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::testing::{Server, cut_found_by_another};
use super::{Durability, Redis, Settings};
use crate::alert::{Draft, Filter, Id, Level, Pattern, Record, Start};
use crate::engine::{AppendError, Cause, Direction, Idempotency, Publish, Range, Retention, Unavailable};

const UNLIMITED: Retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };

async fn start(server: &Server, durability: Durability, retention: Retention) -> Redis {
    let (engine, mut feed) = Redis::start(Settings { durability, retention, ..server.settings("r") });
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    engine.synced().await;
    engine
}

fn alert(topic: &str, level: Level, key: Option<&str>) -> Publish {
    let draft = Draft::from_text(Some(topic.parse().unwrap()), b"m", level).unwrap();
    Publish {
        draft,
        user: "u".into(),
        idempotency: key.map(|key| Idempotency { user: "u".into(), key: key.into(), state: None }),
    }
}

async fn publish(engine: &Redis, alert: Publish) -> Result<Record, AppendError> {
    Ok(engine.append_all(vec![alert]).await?.remove(0).record)
}

/// Publishes as soon as the replicas are there again.
async fn publish_again(engine: &Redis, alert: &Publish) -> Record {
    let published = async {
        loop {
            match publish(engine, alert.clone()).await {
                Ok(record) => return record,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    timeout(Duration::from_secs(20), published).await.expect("publishing works again")
}

async fn all(engine: &Redis) -> Vec<Id> {
    let filter = Filter::new([Pattern::All], Level::Info);
    let range = Range { filter, after: Id::ZERO, until: Id::MAX, limit: 1000, bytes: 1 << 20 };
    engine.read(range, Direction::Forward).await.unwrap().records.iter().map(|record| record.id).collect()
}

async fn latest(engine: &Redis, pattern: &str, level: Level) -> Vec<Id> {
    let filter = Filter::new([pattern.parse::<Pattern>().unwrap()], level);
    let seek = engine.seek(&Start::Latest, &filter, Id::MAX, 0).await.unwrap();
    seek.latest.iter().map(|record| record.id).collect()
}

/// Waits until the node reports this health.
async fn health(engine: &Redis, is_it: impl Fn(&Result<(), Unavailable>) -> bool) -> Result<(), Unavailable> {
    let found = async {
        loop {
            let health = engine.status().health;
            if is_it(&health) {
                return health;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), found).await.expect("the node says so")
}

fn is_unsafe(health: &Result<(), Unavailable>) -> bool {
    health.as_ref().is_err_and(|reason| reason.cause == Cause::NotSafe)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_alert_of_a_topic_is_still_its_latest_after_a_later_one_was_taken_back() {
    let server = Server::start();
    let replica = server.replica();
    let engine = start(&server, Durability::Replicas(1), UNLIMITED).await;
    let older = publish_again(&engine, &alert("a", Level::Error, None)).await.id;
    let newer = publish_again(&engine, &alert("a", Level::Info, None)).await.id;
    replica.signal("STOP");
    for level in [Level::Info, Level::Warn, Level::Error] {
        assert!(publish(&engine, alert("a", level, None)).await.is_err());
    }
    replica.signal("CONT");
    let other = publish_again(&engine, &alert("b", Level::Error, None)).await.id;
    assert_eq!(latest(&engine, "a", Level::Info).await, [newer]);
    assert_eq!(latest(&engine, "a", Level::Error).await, [older]);
    assert_eq!(latest(&engine, "*", Level::Info).await, [newer, other]);
    assert_eq!(latest(&engine, "*", Level::Warn).await, [older, other]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_alerts_remove_no_answered_ones_and_no_keys() {
    for limit in [
        Retention { count: 5, ..UNLIMITED },
        Retention { topic_count: 5, ..UNLIMITED },
        Retention { bytes: 1000, ..UNLIMITED },
    ] {
        let server = Server::start();
        let replica = server.replica();
        let engine = start(&server, Durability::Replicas(1), limit).await;
        let first = publish_again(&engine, &alert("a", Level::Info, Some("first"))).await.id;
        for _ in 0..20 {
            publish_again(&engine, &alert("a", Level::Info, None)).await;
        }
        let answered = all(&engine).await;
        replica.signal("STOP");
        let many = || (0..8).map(|_| alert("a", Level::Info, None)).collect();
        for _ in 0..2 {
            let refused = engine.append_all(many()).await.unwrap_err();
            assert!(matches!(refused, AppendError::NotStored(_)), "{refused:?}");
        }
        assert_eq!(all(&engine).await, answered, "{limit:?}");
        replica.signal("CONT");
        let next = publish_again(&engine, &alert("a", Level::Info, None)).await.id;
        let after = all(&engine).await;
        assert_eq!((after.len(), after.last()), (answered.len(), Some(&next)), "{limit:?}");
        assert_eq!(publish_again(&engine, &alert("a", Level::Info, Some("first"))).await.id, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_replicas_which_are_not_there_is_not_ready_and_reads() {
    let server = Server::start();
    let engine = start(&server, Durability::Replicas(1), UNLIMITED).await;
    let reason = health(&engine, is_unsafe).await.unwrap_err();
    assert!(reason.detail.contains("0 replicas") && reason.detail.contains("needs 1"), "{}", reason.detail);
    assert!(publish(&engine, alert("a", Level::Info, None)).await.is_err());
    assert_eq!(all(&engine).await, []);
    let replica = server.replica();
    health(&engine, Result::is_ok).await.unwrap();
    publish_again(&engine, &alert("a", Level::Info, None)).await;
    // A replica that is connected but does not answer.
    replica.signal("STOP");
    health(&engine, is_unsafe).await.unwrap_err();
    replica.signal("CONT");
    health(&engine, Result::is_ok).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_user_may_not_store_is_not_ready_and_reads() {
    let server = Server::start();
    let engine = start(&server, Durability::Primary, UNLIMITED).await;
    let stored = publish(&engine, alert("a", Level::Info, None)).await.unwrap().id;
    for command in ["xadd", "zadd", "hincrby"] {
        server.ask(&["ACL", "SETUSER", "default", &format!("-{command}")]);
        let reason = health(&engine, |health| health.as_ref().is_err_and(|reason| reason.detail.contains("ACL"))).await;
        assert_eq!(reason.unwrap_err().cause, Cause::StoreFailing);
        assert!(publish(&engine, alert("a", Level::Info, None)).await.is_err());
        assert_eq!(all(&engine).await, [stored]);
        server.ask(&["ACL", "SETUSER", "default", &format!("+{command}")]);
        health(&engine, Result::is_ok).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_a_found_loss_makes_visible_is_answered_only_when_the_replicas_have_it() {
    let server = Server::start();
    let replica = server.replica();
    let engine = start(&server, Durability::Replicas(1), UNLIMITED).await;
    let first = publish_again(&engine, &alert("a", Level::Info, None)).await.id;
    replica.signal("STOP");
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { publish(&engine, alert("a", Level::Info, Some("key"))).await }
    });
    while server.ask(&["XLEN", "{r}:log"]).trim() != "2" {
        sleep(Duration::from_millis(5)).await;
    }
    let lost = first.successor();
    assert!(cut_found_by_another(&engine, &server, lost, lost).await > first);
    let outcome = waiting.await.unwrap();
    // Because it is not safe or, on a slow machine, because it took too long.
    assert!(matches!(&outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    let shown = all(&engine).await;
    assert_eq!(shown.len(), 2);
    assert!(publish(&engine, alert("a", Level::Info, Some("key"))).await.is_err());
    replica.signal("CONT");
    assert_eq!(publish_again(&engine, &alert("a", Level::Info, Some("key"))).await.id, shown[1]);
    assert_eq!(all(&engine).await, shown);
}
