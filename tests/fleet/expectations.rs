//! What is expected on topics, in a fleet: known to all nodes, and announced by one of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::nodes::Fleet;
use crate::harness::{Answer, Redis, Request, eventually};

fn send(fleet: &Fleet, node: usize, request: Request) -> Answer {
    let (address, key) = fleet.endpoint(node);
    request.key(&key).to(address)
}

fn listed(fleet: &Fleet, node: usize) -> Vec<Value> {
    send(fleet, node, Request::get("/expectations")).json()["expectations"].as_array().unwrap().clone()
}

/// Topic, `missed` or `met`, and when the sign of life was due.
fn all_announced(fleet: &Fleet) -> Vec<(String, String, u64)> {
    let request = Request::get("/alerts?topic=*&since=all&limit=1000").header("Accept", "application/json");
    // The node that no test ends. On a machine with much to do it may lose its Redis for a moment.
    let page = eventually("a page", || {
        let answer = send(fleet, 1, request.clone());
        (answer.status == 200).then(|| answer.json())
    });
    let words = page["alerts"].as_array().unwrap().iter().filter_map(|alert| {
        let word = alert["metadata"]["expectation"].as_str()?;
        let due: jiff::Timestamp = alert["metadata"]["due"].as_str().unwrap().parse().unwrap();
        Some((alert["topic"].as_str().unwrap().to_owned(), word.to_owned(), due.as_millisecond().try_into().unwrap()))
    });
    words.collect()
}

fn announced(fleet: &Fleet) -> Vec<(String, String)> {
    all_announced(fleet).into_iter().map(|(topic, word, _)| (topic, word)).collect()
}

#[test]
fn one_alert_says_that_a_topic_is_silent_and_one_that_it_is_back() {
    let redis = Redis::start();
    let fleet = Fleet::of(3, &redis.configuration(""));
    let began = Instant::now();
    let put = |topic: &str| {
        let request = Request::new("PUT", &format!("/expectations/{topic}")).json(&json!({"every": "10s"}));
        send(&fleet, 0, request)
    };
    let again = || {
        let request = Request::post("/alerts/again").header("Idempotency-Key", "once").body("x");
        send(&fleet, 1, request)
    };
    assert_eq!(again().status, 200);
    ["silent", "again", "renewed", "gone"].iter().for_each(|topic| assert_eq!(put(topic).status, 200));
    // Every node knows them at once, and one that is removed elsewhere is gone.
    assert_eq!(listed(&fleet, 2).len(), 4);
    assert_eq!(send(&fleet, 1, Request::new("DELETE", "/expectations/gone")).status, 204);
    assert_eq!(listed(&fleet, 0).len(), 3);
    let after = |seconds: f64| {
        eventually("a time", || (began.elapsed() >= Duration::from_secs_f64(seconds)).then_some(()));
    };
    after(5.0);
    // A repeat, which is not in the log, and an alert, each on another node.
    assert_eq!(again().status, 200);
    let renewed = send(&fleet, 2, Request::post("/alerts/renewed").body("x"));
    let renewed_ms: u64 = renewed.json()["alert"]["id"].as_str().unwrap().split('-').next().unwrap().parse().unwrap();
    let word = |topic: &str, word: &str| (topic.to_owned(), word.to_owned());
    eventually("the silence", || (!announced(&fleet).is_empty()).then_some(()));
    assert_eq!(announced(&fleet)[0], word("silent", "missed"));
    assert_eq!(send(&fleet, 1, Request::post("/alerts/silent").body("x")).status, 200);
    eventually("the end of the silence", || announced(&fleet).contains(&word("silent", "met")).then_some(()));
    // A node that is killed is not needed.
    fleet.kill(0);
    fleet.again(0);
    eventually("the other silences", || {
        let all = announced(&fleet);
        (all.contains(&word("again", "missed")) && all.contains(&word("renewed", "missed"))).then_some(())
    });
    after(24.5);
    let mut all = announced(&fleet);
    all.sort();
    let expected = [
        word("again", "missed"),
        word("renewed", "missed"),
        word("silent", "met"),
        word("silent", "missed"),
        word("silent", "missed"),
    ];
    assert!(all == expected || all == [&expected[..3], &expected[4..]].concat(), "{all:?}");
    // No node has judged by what it alone knew: both were renewed at about the same time.
    let renewed = all_announced(&fleet).into_iter().filter(|(topic, ..)| topic != "silent");
    renewed.for_each(|(topic, _, due_ms)| assert!(due_ms + 1000 >= renewed_ms + 10_000, "{topic}"));
    for node in 0..3 {
        let missed: Vec<_> = listed(&fleet, node).iter().map(|one| one["missed"].clone()).collect();
        assert_eq!(missed[..2], [json!(true), json!(true)]);
    }
}

#[test]
fn a_redis_that_went_back_is_given_what_the_nodes_expect() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let put = |node, topic: &str| {
        let request = Request::new("PUT", &format!("/expectations/{topic}")).json(&json!({"every": "25h"}));
        assert_eq!(send(&fleet, node, request).status, 200);
    };
    put(0, "a");
    put(1, "b");
    assert_eq!(listed(&fleet, 0).len(), 2);
    redis.ask(&["DEL", "{alertd}:expectations"]);
    redis.ask(&["HDEL", "{alertd}:state", "expectations_revision"]);
    eventually("what was given back", || (redis.ask(&["HLEN", "{alertd}:expectations"]).trim() == "2").then_some(()));
    assert_eq!((listed(&fleet, 0).len(), listed(&fleet, 1).len()), (2, 2));
    put(0, "c");
    assert_eq!(listed(&fleet, 1).len(), 3);
}
