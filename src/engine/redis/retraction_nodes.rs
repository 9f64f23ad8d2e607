//! Tests: alerts that are taken back where there are replicas, several nodes, or nodes of other versions.

use super::gate::Gate;
use super::retractions::{Node, SECRET, alert, holders, keyed};
use super::testing::{Server, until};
use super::{Durability, Settings, Topology};
use crate::alert::Id;
use crate::engine::{AppendError, Cause, RetractFailure, Retractable, Retracted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replicas_do_not_confirm_takes_nothing_back() {
    let server = Server::start();
    let replica = server.replica();
    let node = Node::start(Settings { durability: Durability::Replicas(1), ..server.settings("i") }).await;
    node.is_raised(&server).await;
    let mut stored = None;
    until(async || {
        stored = node.publish(keyed(SECRET, r#","incident":"disk""#, "k", None)).await.ok();
        stored.is_some()
    })
    .await;
    let id = stored.unwrap().record.id;
    let (row, log) = (node.row("disk").await, node.log(Id::ZERO).await);
    replica.signal("STOP");
    let failed = node.retract("ops", id, Retractable::All).await.unwrap_err();
    assert!(matches!(failed, RetractFailure::Failed(_)), "{failed:?}");
    until(async || node.row("disk").await == row).await;
    assert_eq!((node.log(Id::ZERO).await, server.ask(&["EXISTS", "{i}:retracted"]).trim()), (log, "0"));
    replica.signal("CONT");
    let mut outcome = None;
    until(async || {
        outcome = node.retract("ops", id, Retractable::All).await.ok();
        outcome.is_some()
    })
    .await;
    assert!(matches!(outcome, Some(Retracted::Now(_))), "{outcome:?}");
    assert!(matches!(node.retract("ops", id, Retractable::All).await, Ok(Retracted::Before)));
    assert_eq!(
        node.publish(keyed(SECRET, r#","incident":"disk""#, "k", None)).await.unwrap_err(),
        AppendError::Retracted
    );
    assert_eq!(holders(&mut server.connection().await, SECRET).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_take_an_alert_back_at_once_one_does() {
    let server = Server::start();
    let nodes = [Node::of(&server).await, Node::start(Settings { node: "two".into(), ..server.settings("i") }).await];
    for _ in 0..30 {
        let id = nodes[0].publish(alert("m", r#","incident":"disk""#)).await.unwrap().record.id;
        let [one, two] = [0, 1].map(|node| nodes[node].retract("ops", id, Retractable::All));
        let (one, two) = tokio::join!(one, two);
        let is_now = |outcome: &Retracted| matches!(outcome, Retracted::Now(_));
        assert_ne!(is_now(&one.unwrap()), is_now(&two.unwrap()));
    }
    assert_eq!(nodes[1].log(Id::ZERO).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_behind_gets_the_retraction_alone_and_no_gap() {
    let server = Server::start();
    let gate = Gate::before(server.port()).await;
    let other = Node::of(&server).await;
    let topology = Topology::Alone { host: "127.0.0.1".into(), port: gate.port };
    let mut node = Node::start(Settings { topology, node: "behind".into(), ..server.settings("i") }).await;
    let first = node.publish(alert("first", "")).await.unwrap().record;
    node.fed(first.id).await;
    // The node has stored the alert and not heard of it when another one takes it back.
    gate.hold("SUBSCRIBE".into(), 0);
    server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    gate.held().await;
    let secret = node.publish(alert(SECRET, "")).await.unwrap().record;
    let record = other.taken_back(secret.id).await;
    let last = other.publish(alert("last", "")).await.unwrap().record;
    gate.release();
    assert_eq!(node.fed(last.id).await, (vec![record, last], 0));
    assert!(!node.has_gap(first.id).await && !node.has_gap(secret.id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_back_while_a_node_that_could_not_read_it_may_run() {
    let server = Server::start();
    let (seconds, _) =
        server.ask(&["TIME"]).trim().split_once('\n').map(|(s, us)| (s.to_owned(), us.to_owned())).unwrap();
    server.ask(&["HSET", "{i}:state", "schema", "2"]);
    server.ask(&["HSET", "{i}:nodes", "older", &format!("{seconds}000 0 3 0.1.0 2")]);
    let node = Node::start(server.settings("i")).await;
    let id = node.publish(alert("m", r#","incident":"disk""#)).await.unwrap().record.id;
    let failed = node.retract("ops", id, Retractable::All).await.unwrap_err();
    let RetractFailure::Failed(AppendError::NotStored(reason)) = failed else { panic!("{failed:?}") };
    assert_eq!(reason.cause, Cause::OlderNodes, "{}", reason.detail);
    assert_eq!(node.log(Id::ZERO).await.len(), 1);
    server.ask(&["HDEL", "{i}:nodes", "older"]);
    node.is_raised(&server).await;
    node.taken_back(id).await;
}
