//! Several nodes on one Redis: one log and one order, also under faults.

mod access;
mod backup;
mod cluster;
mod cut;
mod expectations;
mod faults;
mod history;
mod incidents;
mod keys;
mod load;
mod network;
mod nodes;
mod partition;
mod proxies;
mod replay;
mod restored;
mod retraction;
mod sentinel;
mod servers;
mod table;
mod upgrade;

use std::time::{Duration, Instant};

use crate::harness::{Daemon, Redis, Request, eventually};
use nodes::Fleet;

#[test]
fn every_alert_reaches_the_subscribers_of_all_nodes_once_and_in_one_order() {
    let redis = Redis::start();
    let fleet = Fleet::of(3, &redis.configuration(""));
    let mut streams: Vec<_> = (0..3).map(|node| fleet.stream(node, "&since=none")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let fleet = &fleet;
            scope.spawn(move || {
                // Not the same node twice, so that all of them store at once.
                (0..250).for_each(|number| drop(fleet.publish(writer + number * 7, &format!("{writer}-{number}"))));
            });
        }
    });
    let orders: Vec<Vec<_>> = streams
        .iter_mut()
        .map(|stream| (0..1000).map(|_| stream.alert().expect("an alert")["id"].to_string()).collect())
        .collect();
    let mut sorted = orders[0].clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 1000);
    assert!(orders.iter().all(|order| *order == orders[0]));
    assert!(orders[0].is_sorted_by_key(|id| id.trim_matches('"').parse::<alertd::alert::Id>().unwrap()));
}

#[test]
fn an_alert_is_in_the_history_of_every_node_once_it_was_answered() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    for number in 0..50 {
        let id = fleet.publish(number, "x");
        let (address, key) = fleet.endpoint(number + 1);
        let page = Request::get("/alerts/ops?limit=1").header("Accept", "application/json").key(&key).to(address);
        assert_eq!(page.json()["alerts"][0]["id"], id, "{}", page.text());
    }
}

#[test]
fn a_repeated_idempotency_key_is_known_on_every_node() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let publish = |node, text: &str| {
        let (address, key) = fleet.endpoint(node);
        Request::post("/alerts/ops").key(&key).header("Idempotency-Key", "once").body(text).to(address)
    };
    let (first, second) = (publish(0, "a"), publish(1, "a"));
    assert_eq!(first.json()["alert"]["id"], second.json()["alert"]["id"]);
    assert_eq!(publish(1, "b").status, 409);
}

#[test]
fn a_node_starts_without_its_redis_says_so_and_lets_streams_wait() {
    let mut redis = Redis::start();
    redis.kill();
    // Keys of its own, or nobody could be let in.
    let node = Daemon::with(&format!("auth.store = \"file\"\n{}", redis.configuration("")));
    let key = node.key("alice");
    let ready = Request::get("/readyz").to(node.address);
    assert_eq!(ready.status, 503);
    let mut stream = node.stream(&key, "/alerts/ops?since=none");
    assert_eq!(stream.head.status, 200);
    let asked = Instant::now();
    let refused = node.send(&Request::post("/alerts/ops").key(&key).body("x"));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(refused.header("retry-after"), Some("1"));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("the log of alerts cannot be reached now"), "{detail}");
    assert!(!detail.contains("127.0.0.1") && !detail.contains(&redis.port.to_string()), "{detail}");
    assert!(node.said("engine-away").contains(&format!("Redis at 127.0.0.1:{}", redis.port)));
    assert!(
        node.status()["not_ready"].as_str().unwrap().contains("check the server, the network"),
        "{}",
        node.status()
    );
    redis.again();
    eventually("ready", || (Request::get("/readyz").to(node.address).status == 200).then_some(()));
    node.publish(&key, "ops", "now");
    assert_eq!(stream.message(), "now");
}

#[test]
fn settings_of_the_server_that_lose_alerts_are_named() {
    let redis = Redis::with(&["--appendonly", "no"]);
    let fleet = Fleet::of(1, &redis.configuration(""));
    fleet.node(0, |node| {
        assert!(node.said("engine-unsafe").contains("appendonly is off"));
        let status = node.status();
        assert!(status["engine"]["server_warnings"][0].as_str().unwrap().contains("set appendonly yes"), "{status}");
    });
}

#[test]
fn the_status_of_each_node_shows_all_of_them() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let _streams = [fleet.stream(1, ""), fleet.stream(1, "")];
    let port = fleet.endpoint(1).0.port().to_string();
    eventually("two streams on the other node", || {
        let status = fleet.node(0, Daemon::status);
        let nodes = status["engine"]["nodes"].as_array()?.clone();
        let other = nodes.iter().find(|node| node["name"].as_str().is_some_and(|name| name.ends_with(&port)))?;
        (nodes.len() == 2 && other["streams"] == 2).then_some(())
    });
    fleet.kill(1);
    eventually("a silent node", || {
        let told = fleet.node(0, |node| node.ctl(&["status"]));
        String::from_utf8_lossy(&told.stdout).contains("silent for").then_some(())
    });
}
