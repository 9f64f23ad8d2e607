//! Tests: streams get a gap for a part of the log that is removed or lost before a node has read it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use super::gate::Gate;
use super::testing::{Server, cut_found_by_another};
use super::{Redis, Settings, Topology, script};
use crate::alert::{Draft, Filter, Id, Level, Pattern, Start};
use crate::engine::{Feed, Publish, Retention};

const UNLIMITED: Retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };

/// A node, and what its hub was fed with.
struct Node {
    engine: Redis,
    feed: Receiver<Feed>,
    fed: Vec<Id>,
    /// Everything up to the newest of these has to be read from the log.
    resets: Vec<Id>,
}

impl Node {
    async fn start(server: &Server, port: u16, name: &str, retention: Retention) -> Self {
        Self::with(port, Settings { retention, node: name.into(), ..server.settings("l") }).await
    }

    async fn with(port: u16, settings: Settings) -> Self {
        let topology = Topology::Alone { host: "127.0.0.1".into(), port };
        let (engine, feed) = Redis::start(Settings { topology, ..settings });
        let mut node = Self { engine, feed, fed: Vec::new(), resets: Vec::new() };
        // Where the log begins for this node.
        assert!(matches!(node.feed.recv().await, Some(Feed::Reset(_))));
        node.engine.synced().await;
        node
    }

    async fn publish(&self, topic: &str, number: usize) -> Vec<Id> {
        let mut ids = Vec::new();
        while ids.len() < number {
            let group = (number - ids.len()).min(100);
            let draft = |_| Draft::from_text(Some(topic.parse().unwrap()), b"m", Level::Info).unwrap();
            let group = (0..group).map(|i| Publish { draft: draft(i), user: "u".into(), idempotency: None }).collect();
            ids.extend(self.engine.append_all(group).await.unwrap().iter().map(|stored| stored.record.id));
        }
        ids
    }

    /// Waits until the hub has been fed up to this id.
    async fn reach(&mut self, id: Id) {
        let reached = async {
            while self.fed.iter().chain(&self.resets).max().copied().unwrap_or_default() < id {
                match self.feed.recv().await.unwrap() {
                    Feed::Alerts(records) => self.fed.extend(records.iter().map(|record| record.id)),
                    Feed::Reset(at) => self.resets.push(at),
                    Feed::Marker(_) => {}
                }
            }
        };
        timeout(Duration::from_secs(20), reached).await.expect("the node follows the log");
    }

    /// The alerts among these that the hub did not get and that no reset covers.
    fn untold(&self, answered: &[Id]) -> Vec<Id> {
        let is_told = |id: &Id| self.fed.contains(id) || self.resets.iter().any(|reset| reset >= id);
        answered.iter().filter(|id| !is_told(id)).copied().collect()
    }

    async fn is_cut_off(&self) {
        let cut_off = async {
            while self.engine.status().health.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), cut_off).await.expect("the node is cut off");
    }

    /// Whether a stream that continues after this id gets a gap, and from where on nothing is missing.
    async fn gap(&self, cursor: Id) -> Option<Option<Id>> {
        while self.engine.status().health.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        let filter = Filter::new([Pattern::All], Level::Info);
        let seek = self.engine.seek(&Start::After(cursor), &filter, self.engine.head().unwrap(), 0).await.unwrap();
        seek.gap.map(|gap| gap.oldest)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_is_told_what_a_limit_removed_meanwhile() {
    for limit in [Retention { topic_count: 2, ..UNLIMITED }, Retention { count: 2, ..UNLIMITED }] {
        let server = Server::start();
        let gate = Gate::before(server.port()).await;
        let writer = Node::start(&server, server.port(), "writer", limit).await;
        let mut node = Node::start(&server, gate.port, "node", limit).await;
        let first = writer.publish("a", 1).await;
        node.reach(first[0]).await;
        gate.close();
        node.is_cut_off().await;
        let missed = writer.publish("a", 7).await;
        gate.open();
        node.reach(missed[6]).await;
        assert_eq!(node.untold(&missed), [], "{limit:?}");
        assert!(!node.resets.is_empty(), "{limit:?}");
        // Nothing from `oldest` on is missing.
        let oldest = node.gap(first[0]).await.unwrap().unwrap();
        assert!(missed[4] < oldest && oldest <= missed[5], "{oldest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_retention_overtakes_while_it_catches_up_is_told() {
    for limit in [Retention { count: 20, ..UNLIMITED }, Retention { topic_count: 20, ..UNLIMITED }] {
        let server = Server::start();
        let gate = Gate::before(server.port()).await;
        let writer = Node::start(&server, server.port(), "writer", UNLIMITED).await;
        let mut node = Node::start(&server, gate.port, "node", UNLIMITED).await;
        let first = writer.publish("a", 1).await;
        node.reach(first[0]).await;
        gate.close();
        node.is_cut_off().await;
        let mut missed = writer.publish("a", 700).await;
        // Most alerts are removed between the first page and the second one.
        gate.hold(script::hash_of_read(), 1);
        gate.open();
        gate.held().await;
        writer.engine.set_retention(limit);
        missed.extend(writer.publish("a", 800).await);
        assert_eq!(writer.engine.stats().await.alerts, 20);
        gate.release();
        node.reach(missed[1499]).await;
        assert_eq!(node.untold(&missed).len(), 0, "{limit:?}");
        assert!(!node.resets.is_empty(), "{limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_limit_of_a_topic_is_no_gap_for_nodes_that_follow() {
    let limit = Retention { topic_count: 1, ..UNLIMITED };
    let server = Server::start();
    let mut node = Node::start(&server, server.port(), "node", limit).await;
    let writer = Node::start(&server, server.port(), "writer", limit).await;
    for _ in 0..300 {
        let ids = writer.publish("a", 3).await;
        node.engine.0.queries.shared.compare_now.notify_one();
        node.reach(ids[2]).await;
    }
    assert_eq!(node.resets, []);
}

/// Puts the keys of a server back as they were, in one step and under open connections.
struct OlderState(BTreeMap<String, Vec<u8>>);

impl OlderState {
    async fn keep(server: &Server) -> Self {
        let mut connection = server.connection().await;
        let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
        let mut keys = BTreeMap::new();
        for name in names {
            let content = redis::cmd("DUMP").arg(&name).query_async(&mut connection).await.unwrap();
            keys.insert(name, content);
        }
        Self(keys)
    }

    async fn restore(&self, server: &Server) {
        let mut restore = redis::pipe();
        restore.atomic().cmd("FLUSHALL").ignore();
        for (name, content) in &self.0 {
            restore.cmd("RESTORE").arg(name).arg(0).arg(content.as_slice()).ignore();
        }
        restore.exec_async(&mut server.connection().await).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_lost_under_open_connections_is_told_whoever_stores_next() {
    for writer in 0..2 {
        let server = Server::start();
        let mut nodes = [
            Node::start(&server, server.port(), "one", UNLIMITED).await,
            Node::start(&server, server.port(), "two", UNLIMITED).await,
        ];
        let kept = nodes[0].publish("a", 2).await;
        let older = OlderState::keep(&server).await;
        let lost = nodes[0].publish("a", 5).await;
        for node in &mut nodes {
            node.reach(lost[4]).await;
        }
        older.restore(&server).await;
        let after = nodes[writer].publish("a", 1).await[0];
        assert!(after > lost[4], "{after} is not above {}", lost[4]);
        for node in &mut nodes {
            node.reach(after).await;
            assert!(node.resets.iter().any(|reset| *reset > lost[4]), "{:?}", node.resets);
            for cursor in kept.iter().chain(&lost) {
                // The gap ends exactly where the log is complete again.
                assert!(node.gap(*cursor).await.is_some_and(|oldest| oldest.is_some_and(|oldest| oldest > lost[4])));
            }
            assert!(node.gap(after).await.is_none());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_lost_is_told_without_another_alert() {
    let server = Server::start();
    let gate = Gate::before(server.port()).await;
    let mut node = Node::start(&server, gate.port, "node", UNLIMITED).await;
    let kept = node.publish("a", 2).await;
    node.reach(kept[1]).await;
    let older = OlderState::keep(&server).await;
    // An alert that this node answered is lost before its hub had it, because it had no subscription.
    gate.hold("SUBSCRIBE".into(), 0);
    server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    gate.held().await;
    let lost = node.publish("a", 1).await;
    older.restore(&server).await;
    gate.release();
    node.reach(lost[0].successor()).await;
    assert!(node.gap(kept[1]).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_the_streams_of_a_node_have_and_the_log_has_not_is_missed_although_the_node_has_stored_newer_ones()
 {
    let server = Server::start();
    let node = Node::start(&server, server.port(), "one", UNLIMITED).await;
    let ids = node.publish("t", 3).await;
    let found = async || cut_found_by_another(&node.engine, &server, ids[2], ids[1]).await;
    assert_eq!(found().await, Id::ZERO);
    // The node followed a server that was replaced, and its writer stored on the new one already.
    let () = redis::cmd("XDEL")
        .arg("{l}:log")
        .arg(ids[1].to_string())
        .query_async(&mut server.connection().await)
        .await
        .unwrap();
    assert!(found().await > ids[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_lost_is_told_although_other_alerts_have_its_ids() {
    let server = Server::start();
    let gate = Gate::before(server.port()).await;
    let settings =
        |name: &str| Settings { node: name.into(), clock: Some(Arc::new(|| 1_000_000)), ..server.settings("l") };
    let mut node = Node::with(gate.port, settings("one")).await;
    let kept = node.publish("a", 2).await;
    let older = OlderState::keep(&server).await;
    let lost = node.publish("a", 3).await;
    node.reach(lost[2]).await;
    // As two primaries do while a failover is under way.
    gate.close();
    node.is_cut_off().await;
    older.restore(&server).await;
    let other = Node::with(server.port(), settings("two")).await;
    assert_eq!(other.publish("b", 3).await, lost);
    gate.open();
    node.reach(lost[2].successor()).await;
    for cursor in kept.iter().chain(&lost) {
        assert!(node.gap(*cursor).await.is_some_and(|oldest| oldest.is_none_or(|oldest| oldest > lost[2])), "{cursor}");
    }
}
