//! Tests: the log is rewritten after retractions, and nothing else changes by that.

use redis::aio::MultiplexedConnection;

use super::retractions::{Node, SECRET, alert};
use super::testing::{Server, until};
use super::{Durability, Settings, script};
use crate::alert::{Id, Record};
use crate::engine::Retention;

/// Lets nobody rewrite the log for some seconds: another node does the periodic work.
fn hold(server: &Server) {
    let now = server.ask(&["TIME"]).lines().next().unwrap().to_owned() + "000";
    server.ask(&["HSET", "{i}:state", "tidier", "elsewhere", "tidied", &now]);
}

/// Lets the log be rewritten again at once.
fn release(server: &Server) {
    server.ask(&["HDEL", "{i}:state", "tidier", "tidied", "rewrite_began"]);
}

/// Copies that many entries, while the nodes do not.
async fn step(node: &Node, server: &Server, direct: &mut MultiplexedConnection, entries: usize) -> String {
    hold(server);
    let call = script::rewrite(&node.engine.0.queries.shared.link, entries, 1 << 20);
    String::from_utf8(call.run(direct).await.unwrap().remove(0)).unwrap()
}

async fn rewrite(node: &Node, server: &Server, direct: &mut MultiplexedConnection) -> usize {
    server.ask(&["HDEL", "{i}:state", "rewrite_began"]);
    let mut steps = 1;
    while step(node, server, direct, 40).await == "more" {
        steps += 1;
    }
    steps
}

async fn uncompressed(server: &Server) -> MultiplexedConnection {
    server.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
    server.connection().await
}

/// The names of all keys in whose memory this text is.
async fn keepers(direct: &mut MultiplexedConnection, text: &str) -> Vec<String> {
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(direct).await.unwrap();
    let mut keepers = Vec::new();
    for name in names {
        let dump: Option<Vec<u8>> = redis::cmd("DUMP").arg(&name).query_async(direct).await.unwrap();
        if String::from_utf8_lossy(&dump.unwrap_or_default()).contains(text) {
            keepers.push(name);
        }
    }
    keepers
}

async fn publish(node: &Node, message: &str, number: usize) -> Vec<Record> {
    let alerts = (0..number).map(|_| alert(message, "")).collect();
    node.engine.append_all(alerts).await.unwrap().into_iter().map(|stored| stored.record).collect()
}

/// What Redis says of the log apart from how it lies in memory.
fn facts(server: &Server) -> Vec<String> {
    let stream = server.ask(&["XINFO", "STREAM", "{i}:log"]);
    let lines: Vec<&str> = stream.lines().collect();
    let names = ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "recorded-first-entry-id"];
    names.map(|name| lines[lines.iter().position(|line| *line == name).unwrap() + 1].to_owned()).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_what_was_taken_back_is_left_in_a_key_or_a_saved_file_and_all_else_is_as_before() {
    let server = Server::start();
    let mut direct = uncompressed(&server).await;
    let mut node = Node::of(&server).await;
    let before = publish(&node, "before", 250).await;
    let secret = node.publish(alert(SECRET, r#","incident":"disk""#)).await.unwrap().record;
    let after = publish(&node, "after", 250).await;
    node.fed(after[249].id).await;
    hold(&server);
    let retraction = node.taken_back(secret.id).await;
    assert_eq!(keepers(&mut direct, SECRET).await, ["{i}:log"]);
    let log = node.log(Id::ZERO).await;
    let seen = (facts(&server), node.row("disk").await, node.engine.stats().await.alerts, node.latest().await);
    release(&server);
    until(async || keepers(&mut direct, SECRET).await.is_empty()).await;
    assert!(!String::from_utf8_lossy(&server.saved()).contains(SECRET));
    assert_eq!(server.ask(&["EXISTS", "{i}:log-copy"]).trim(), "0");
    assert_eq!(node.log(Id::ZERO).await, log);
    let same = (facts(&server), node.row("disk").await, node.engine.stats().await.alerts, node.latest().await);
    assert_eq!(same, seen);
    for cursor in [before[0].id, before[249].id, secret.id, after[0].id, retraction.id] {
        assert!(!node.has_gap(cursor).await, "{cursor}");
    }
    let next = node.publish(alert("next", "")).await.unwrap().record;
    assert_eq!(node.fed(next.id).await, (vec![retraction, next], 0));
    // For half a minute the log is not rewritten again.
    node.taken_back(after[100].id).await;
    assert_eq!(step(&node, &server, &mut direct, 1000).await, "done");
    assert_eq!(server.ask(&["HGET", "{i}:state", "rewrite_due"]).trim(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_and_removed_while_the_log_is_rewritten_is_so_in_the_new_one() {
    let server = Server::start();
    let mut direct = uncompressed(&server).await;
    let retention = Retention { age_ms: 0, count: 300, bytes: 0, topic_count: 0 };
    let node = Node::start(Settings { retention, ..server.settings("i") }).await;
    node.is_raised(&server).await;
    let mut stored = publish(&node, "first", 40).await;
    stored.extend(publish(&node, SECRET, 20).await);
    stored.extend(publish(&node, "then", 200).await);
    stored.extend(publish(&node, SECRET, 20).await);
    hold(&server);
    node.taken_back(stored[45].id).await;
    let mut steps = 0;
    loop {
        steps += 1;
        let answer = step(&node, &server, &mut direct, 20).await;
        assert!(answer == "more" || answer == "done", "{answer}");
        let own = publish(&node, SECRET, 3).await;
        if steps < 20 {
            // One that may be copied, one that is not yet, and one that came meanwhile; retention goes on.
            for id in [stored[45 + steps].id, stored[279 - steps].id, own[1].id] {
                hold(&server);
                let _ = node.retract("ops", id, crate::engine::Retractable::All).await;
            }
        }
        if answer == "done" {
            break;
        }
    }
    assert!(steps > 10, "{steps}");
    let log = node.log(Id::ZERO).await;
    let seen = facts(&server);
    assert_eq!(log.len(), 300);
    assert!(rewrite(&node, &server, &mut direct).await > 5);
    assert_eq!((node.log(Id::ZERO).await, facts(&server)), (log, seen));
    // All that still has the text is shown, so all that is not shown is gone.
    let rest: Vec<Id> = node.log(Id::ZERO).await.iter().filter(|record| has_secret(record)).map(|r| r.id).collect();
    for id in rest {
        hold(&server);
        node.taken_back(id).await;
    }
    rewrite(&node, &server, &mut direct).await;
    assert_eq!(keepers(&mut direct, SECRET).await, [""; 0]);
    assert!(!String::from_utf8_lossy(&server.saved()).contains(SECRET));
}

fn has_secret(record: &Record) -> bool {
    String::from_utf8_lossy(&record.json).contains(SECRET)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_rewrite_the_log_at_once_and_one_that_goes_on_elsewhere_lose_nothing() {
    let server = Server::start();
    let mut direct = uncompressed(&server).await;
    let node = Node::of(&server).await;
    let other = Node::start(Settings { node: "two".into(), ..server.settings("i") }).await;
    publish(&node, "before", 300).await;
    let secret = publish(&node, SECRET, 1).await.remove(0);
    publish(&node, "after", 300).await;
    hold(&server);
    node.taken_back(secret.id).await;
    for _ in 0..4 {
        assert_eq!(step(&node, &server, &mut direct, 20).await, "more");
    }
    // A replica that takes over goes on from where it is.
    let replica = server.replica();
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    let (log, seen) = (node.log(Id::ZERO).await, facts(&server));
    let mut same = server.connection().await;
    tokio::join!(rewrite(&node, &server, &mut direct), rewrite(&other, &server, &mut same));
    assert_eq!((other.log(Id::ZERO).await, facts(&server)), (log.clone(), seen.clone()));
    assert_eq!(keepers(&mut direct, SECRET).await, [""; 0]);
    let mut elsewhere = uncompressed(&replica).await;
    assert_eq!(keepers(&mut elsewhere, SECRET).await, ["{i}:log"]);
    let third = Node::start(Settings { node: "three".into(), ..replica.settings("i") }).await;
    until(async || keepers(&mut elsewhere, SECRET).await.is_empty()).await;
    until(async || replica.ask(&["EXISTS", "{i}:log-copy"]).trim() == "0").await;
    assert_eq!((third.log(Id::ZERO).await, facts(&replica)), (log, seen));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_does_not_fit_the_log_is_made_again() {
    let server = Server::start();
    let mut direct = uncompressed(&server).await;
    let node = Node::of(&server).await;
    let stored = publish(&node, "before", 100).await;
    let secret = publish(&node, SECRET, 1).await.remove(0);
    publish(&node, "after", 100).await;
    hold(&server);
    node.taken_back(secret.id).await;
    let other = stored[3].id.to_string();
    let cases = [(&["XDEL", "{i}:log", &other][..], "again"), (&["DEL", "{i}:log-copy"], "done")];
    for (disturb, answer) in cases {
        server.ask(&["HDEL", "{i}:state", "rewrite_began"]);
        assert_eq!(step(&node, &server, &mut direct, 150).await, "more");
        server.ask(disturb);
        let log = node.log(Id::ZERO).await;
        assert_eq!(step(&node, &server, &mut direct, 500).await, answer);
        assert_eq!((server.ask(&["HEXISTS", "{i}:state", "rewrite_due"]).trim(), node.log(Id::ZERO).await), ("1", log));
        assert_eq!(keepers(&mut direct, SECRET).await, ["{i}:log"]);
    }
    let log = node.log(Id::ZERO).await;
    release(&server);
    until(async || keepers(&mut direct, SECRET).await.is_empty()).await;
    assert_eq!(node.log(Id::ZERO).await, log);
    // An empty log has no rest either, and one that another program removes is no trouble.
    for record in log.iter().skip(190) {
        let _ = node.retract("ops", record.id, crate::engine::Retractable::All).await;
    }
    hold(&server);
    server.ask(&["HDEL", "{i}:state", "rewrite_began"]);
    assert_eq!(step(&node, &server, &mut direct, 50).await, "more");
    server.ask(&["DEL", "{i}:log"]);
    assert_eq!(step(&node, &server, &mut direct, 50).await, "done");
    assert_eq!(server.ask(&["EXISTS", "{i}:log-copy"]).trim(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replicas_do_not_confirm_is_undone_in_the_copy_too() {
    let server = Server::start();
    let replica = server.replica();
    let mut direct = uncompressed(&server).await;
    let node = Node::start(Settings { durability: Durability::Replicas(1), ..server.settings("i") }).await;
    node.is_raised(&server).await;
    until(async || node.publish(alert("first", "")).await.is_ok()).await;
    let stored = publish(&node, SECRET, 120).await;
    hold(&server);
    node.taken_back(stored[50].id).await;
    assert_eq!(step(&node, &server, &mut direct, 20).await, "more");
    let log = node.log(Id::ZERO).await;
    replica.signal("STOP");
    let rewriting = async {
        until(async || server.ask(&["XLEN", "{i}:log"]).trim() == (log.len() + 1).to_string()).await;
        // Everything is copied now, but the step does not know it yet.
        assert_eq!(step(&node, &server, &mut direct, log.len() - 19).await, "more");
    };
    let (refused, ()) = tokio::join!(node.publish(alert("lost", "")), rewriting);
    assert!(refused.is_err());
    until(async || server.ask(&["XLEN", "{i}:log"]).trim() == log.len().to_string()).await;
    assert_eq!(step(&node, &server, &mut direct, 20).await, "done");
    assert_eq!(server.ask(&["HEXISTS", "{i}:state", "rewrite_due"]).trim(), "0");
    assert_eq!(node.log(Id::ZERO).await, log);
    replica.signal("CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_for_a_copy_the_log_stays_and_the_operator_is_told() {
    let server = Server::start();
    let mut direct = uncompressed(&server).await;
    let node = Node::of(&server).await;
    let large = "x".repeat(2000);
    for _ in 0..20 {
        publish(&node, &large, 200).await;
    }
    let secret = publish(&node, SECRET, 1).await.remove(0);
    publish(&node, &large, 10).await;
    let memory = server.ask(&["INFO", "memory"]);
    let used: u64 = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", &(used + 4_000_000).to_string()]);
    node.taken_back(secret.id).await;
    until(async || node.engine.status().server_warnings.iter().any(|warning| warning.contains("raise maxmemory")))
        .await;
    assert!(node.engine.status().health.is_ok());
    assert_eq!(keepers(&mut direct, SECRET).await, ["{i}:log"]);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    until(async || keepers(&mut direct, SECRET).await.is_empty()).await;
    until(async || !node.engine.status().server_warnings.iter().any(|warning| warning.contains("maxmemory"))).await;
}
