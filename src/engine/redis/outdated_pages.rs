//! Tests: a page that was read for another stream is true exactly as long as the log has everything that it shows, whichever
//! node changes the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::retractions::{Node, alert};
use super::testing::{Server, cut_found_by_another, until};
use super::{Redis, Settings};
use crate::alert::{Filter, Id, Level};
use crate::engine::{Direction, Publish, Range, Retention};

const UNLIMITED: Retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };

fn filter(pattern: &str) -> Filter {
    Filter::new([pattern.parse().unwrap()], Level::Info)
}

/// A node on its own thread of the fleet's log, and another one with these limits.
async fn nodes(server: &Server, retention: Retention) -> [Node; 2] {
    let own = Node::of(server).await;
    let other = Settings { node: "other".into(), retention, ..server.settings("i") };
    [own, Node::start(other).await]
}

async fn publish(node: &Node, topic: &str) -> Id {
    let body = format!(r#"{{"topic":"{topic}","message":"m"}}"#);
    let draft = crate::alert::Draft::from_json(None, body.as_bytes()).unwrap();
    node.publish(Publish { draft, ..alert("m", "") }).await.unwrap().record.id
}

/// A page that was read just now.
struct Kept {
    version: u64,
    filter: Filter,
    after: Id,
    until: Id,
}

impl Kept {
    async fn read(engine: &Redis, pattern: &str, after: Id) -> Self {
        let (version, filter, until) = (engine.page_version(), filter(pattern), engine.head().unwrap());
        let range = Range { filter: filter.clone(), after, until, limit: 100, bytes: 1 << 20 };
        let page = engine.read(range, Direction::Forward).await.unwrap();
        assert!(page.trimmed <= after && page.damaged.is_none(), "{page:?}");
        Self { version, filter, after, until }
    }

    async fn is_true(&self, engine: &Redis) -> bool {
        engine.is_page_true(self.version, &self.filter, self.after, self.until).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_does_not_outlive_a_retraction_by_another_node_for_a_moment() {
    let server = Server::start();
    let [own, other] = nodes(&server, UNLIMITED).await;
    let mut feed = own.feed;
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    for _ in 0..100 {
        let before = publish(&other, "ops").await;
        let secret = publish(&other, "ops").await;
        until(async || own.engine.head() == Some(secret)).await;
        let kept = Kept::read(&own.engine, "ops", before).await;
        assert!(kept.is_true(&own.engine).await && kept.is_true(&own.engine).await);
        // What is new is no reason to read a page again.
        publish(&other, "ops").await;
        assert!(kept.is_true(&own.engine).await);
        let unrelated = Kept { filter: filter("db"), ..Kept::read(&own.engine, "ops", before).await };
        other.taken_back(secret).await;
        assert!(!kept.is_true(&own.engine).await);
        assert!(!unrelated.is_true(&own.engine).await, "a retraction outdates all pages");
        let again = Kept::read(&own.engine, "ops", before).await;
        assert!(again.is_true(&own.engine).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_true_only_once_its_node_has_heard_of_all_that_the_log_shows() {
    let server = Server::start();
    let [own, other] = nodes(&server, UNLIMITED).await;
    let first = publish(&other, "ops").await;
    until(async || own.engine.head() == Some(first)).await;
    let kept = Kept::read(&own.engine, "ops", Id::ZERO).await;
    // Nobody takes what the node has heard, so it stops to hear.
    for _ in 0..super::MAX_FEED + 10 {
        publish(&other, "ops").await;
    }
    assert!(!kept.is_true(&own.engine).await);
    let mut feed = own.feed;
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    until(async || kept.is_true(&own.engine).await).await;
    assert_eq!(kept.version, own.engine.page_version());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_does_not_outlive_what_limits_of_another_node_remove() {
    let server = Server::start();
    let [own, other] = nodes(&server, Retention { count: 12, topic_count: 5, ..UNLIMITED }).await;
    let mut ops = Vec::new();
    for _ in 0..5 {
        ops.push(publish(&other, "ops").await);
    }
    let db = publish(&other, "db").await;
    until(async || own.engine.head() == Some(db)).await;
    let read = async |pattern, after| Kept::read(&own.engine, pattern, after).await;
    let (first, second) = (read("ops", Id::ZERO).await, read("ops", ops[0]).await);
    let (all, of_db) = (read("*", Id::ZERO).await, read("db", Id::ZERO).await);
    // The topic loses its oldest alert.
    publish(&other, "ops").await;
    assert!(!first.is_true(&own.engine).await && second.is_true(&own.engine).await);
    assert!(!all.is_true(&own.engine).await && of_db.is_true(&own.engine).await);
    for number in 0..8 {
        publish(&other, &format!("t.{number}")).await;
    }
    // The log has lost two more, of which the page had one.
    assert!(!second.is_true(&own.engine).await && !of_db.is_true(&own.engine).await);
    let head = own.engine.head().unwrap();
    assert!(read("ops", head).await.is_true(&own.engine).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_does_not_outlive_a_loss_or_the_log_itself() {
    let server = Server::start();
    let [own, other] = nodes(&server, UNLIMITED).await;
    let first = publish(&other, "ops").await;
    until(async || own.engine.head() == Some(first)).await;
    let kept = Kept::read(&own.engine, "ops", Id::ZERO).await;
    // Another node has seen what the log does not have.
    let lost = first.successor();
    assert!(cut_found_by_another(&own.engine, &server, lost, lost).await > lost);
    assert!(!kept.is_true(&own.engine).await);
    until(async || own.engine.page_version() != kept.version).await;
    let next = publish(&other, "ops").await;
    until(async || own.engine.head() == Some(next)).await;
    let kept = Kept::read(&own.engine, "ops", next.predecessor()).await;
    assert!(kept.is_true(&own.engine).await);
    server.ask(&["FLUSHALL"]);
    let answer = own.engine.is_page_true(kept.version, &kept.filter, kept.after, kept.until).await;
    assert!(!matches!(answer, Ok(true)), "{answer:?}");
    until(async || own.engine.page_version() != kept.version).await;
    assert!(!kept.is_true(&own.engine).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_streams_asks_once_or_twice_about_a_page() {
    const STREAMS: u64 = 300;
    let server = Server::start();
    let [own, other] = nodes(&server, UNLIMITED).await;
    let first = publish(&other, "ops").await;
    until(async || own.engine.head() == Some(first)).await;
    let kept = Arc::new(Kept::read(&own.engine, "ops", Id::ZERO).await);
    assert!(kept.is_true(&own.engine).await, "the script is loaded");
    server.ask(&["CONFIG", "RESETSTAT"]);
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (kept, engine) = (Arc::clone(&kept), own.engine.clone());
        streams.spawn(async move { kept.is_true(&engine).await });
    }
    assert!(streams.join_all().await.into_iter().all(|is_true| is_true));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let counted = server.ask(&["INFO", "commandstats"]);
    let calls = |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse::<u64>().ok();
    let calls = counted.lines().find_map(calls).unwrap();
    // The nodes themselves call scripts once a second.
    assert!(calls < STREAMS / 10, "{calls}");
}
