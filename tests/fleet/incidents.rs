//! Incidents in a fleet: one state on all nodes, whoever changes it.

use serde_json::{Value, json};

use super::nodes::Fleet;
use crate::harness::{Answer, Redis, Request, Stream};

fn send(fleet: &Fleet, node: usize, request: Request) -> Answer {
    let (address, key) = fleet.endpoint(node);
    request.key(&key).to(address)
}

fn transitions(fleet: &Fleet, node: usize) -> Vec<Value> {
    let path = "/alerts/ops?since=all&include=incidents&limit=1000";
    let page = send(fleet, node, Request::get(path).header("Accept", "application/json")).json();
    page["alerts"].as_array().unwrap().iter().filter(|one| one["event"] == "incident").cloned().collect()
}

#[test]
fn two_nodes_that_acknowledge_at_once_make_one_acknowledgement() {
    let redis = Redis::start();
    let fleet = Fleet::of(3, &redis.configuration(""));
    let (address, key) = fleet.endpoint(2);
    let mut stream = Stream::open(address, &Request::get("/alerts/ops?since=none").key(&key));
    stream.until("cursor");
    for round in 0..10 {
        let name = format!("i{round}");
        let body = json!({"message": "m", "level": "error", "incident": name});
        assert_eq!(send(&fleet, 0, Request::post("/alerts/ops").json(&body)).status, 200);
        let acknowledge = |node: usize| {
            let path = format!("/incidents/ops/{name}/acknowledge");
            send(&fleet, node, Request::post(&path).json(&json!({"note": format!("node {node}")})))
        };
        let answers = std::thread::scope(|scope| {
            let both = [0, 1].map(|node| scope.spawn(move || acknowledge(node)));
            both.map(|answer| answer.join().unwrap())
        });
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["note"], answers[0].json()["note"]);
        }
        let told: Value = serde_json::from_str(&stream.until("incident").data).unwrap();
        assert_eq!((&told["incident"], &told["note"]), (&json!(name), &answers[0].json()["note"]));
        for node in 0..3 {
            let seen = send(&fleet, node, Request::get(&format!("/incidents/ops/{name}"))).json();
            assert_eq!(seen, answers[0].json());
        }
    }
    assert_eq!(transitions(&fleet, 1).len(), 10);
    // Every node has all incidents, and the one that stored an acknowledgement has measured it.
    let acknowledged = |node: usize| {
        let text = fleet.node(node, |daemon| Request::get("/metrics").over(&daemon.control()).text());
        let value = |series: &str| -> u64 {
            text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).unwrap().parse().unwrap()
        };
        let incidents = value("alertd_incidents{state=\"acknowledged\",level=\"error\"}");
        (incidents, value("alertd_incident_acknowledgement_seconds_count"))
    };
    let [first, second, third] = [0, 1, 2].map(acknowledged);
    assert_eq!([first.0, second.0, third.0], [10; 3]);
    assert_eq!((first.1 + second.1, third.1), (10, 0));
}

#[test]
fn time_ends_an_incident_once_in_a_fleet() {
    let redis = Redis::start();
    let fleet = Fleet::of(3, &redis.configuration("[incidents]\nremind_after = \"1s\"\n"));
    let (address, key) = fleet.endpoint(1);
    let mut stream = Stream::open(address, &Request::get("/alerts/ops?since=none").key(&key));
    stream.until("cursor");
    for round in 0..5 {
        let body = json!({"message": "m", "level": "warn", "incident": format!("i{round}"), "ttl": "1s"});
        assert_eq!(send(&fleet, round % 3, Request::post("/alerts/ops").json(&body)).status, 200);
    }
    for _ in 0..5 {
        let told: Value = serde_json::from_str(&stream.until("incident").data).unwrap();
        assert_eq!((&told["state"], &told["reason"]), (&json!("resolved"), &json!("ttl")));
    }
    // Reminders too come once each, in order.
    let body = json!({"message": "m", "level": "error", "incident": "remind"});
    assert_eq!(send(&fleet, 0, Request::post("/alerts/ops").json(&body)).status, 200);
    stream.alert();
    for number in 1..4 {
        assert_eq!(stream.alert().unwrap()["metadata"]["reminder"], number);
    }
    assert_eq!(transitions(&fleet, 2).len(), 5);
}
