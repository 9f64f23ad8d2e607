//! Streams of a node that replay the same part of the log share its pages, and never get what another node has removed or
//! taken back, or what Redis has lost.

use super::nodes::Fleet;
use super::servers::{Servers, Topology};
use crate::harness::{Redis, Request, Stream, eventually};
use crate::replay::{pages, publish, replayed};

const SECRET: &str = "hunter2-hunter2";
const STREAMS: usize = 100;

fn follow(fleet: &Fleet, node: usize, since: &str) -> Stream {
    fleet.stream(node, &format!("&since={since}"))
}

/// All texts up to the seam.
fn text(mut stream: Stream) -> String {
    replayed(&mut stream);
    String::from_utf8_lossy(&stream.raw).into_owned()
}

fn retract(fleet: &Fleet, node: usize, id: &str) {
    let (address, key) = fleet.endpoint(node);
    let delete = Request::new("DELETE", &format!("/alerts/ops/{id}")).key(&key);
    eventually("a retraction", || (delete.to(address).status == 204).then_some(()));
}

/// Opens streams that continue after the same id, all at once. Each gets all that follows.
fn storm(fleet: &Fleet, node: usize, ids: &[String]) {
    let mut streams: Vec<_> = (0..STREAMS).map(|_| follow(fleet, node, &ids[0])).collect();
    for stream in &mut streams {
        let (seen, is_told) = replayed(stream);
        assert!(seen == ids[1..] && !is_told, "{} of {}", seen.len(), ids.len() - 1);
    }
}

/// Publishes alerts on the first node, and returns the ids of all once the other node has them.
fn fill(fleet: &Fleet, alerts: usize) -> Vec<String> {
    let (_, key) = fleet.endpoint(0);
    fleet.node(0, |node| (0..alerts / 500).for_each(|_| publish(node, &key, 500)));
    let [own, other] = [0, 1].map(|node| replayed(&mut follow(fleet, node, "all")).0);
    assert_eq!((own.len(), &own), (alerts, &other));
    own
}

fn read_and_shared(fleet: &Fleet, node: usize) -> [u64; 2] {
    fleet.node(node, pages)
}

#[test]
fn streams_that_continue_after_the_same_id_share_what_is_read() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let ids = fill(&fleet, 1500);
    let before = read_and_shared(&fleet, 1);
    storm(&fleet, 1, &ids);
    let after = read_and_shared(&fleet, 1);
    let [read, shared] = [0, 1].map(|source| after[source] - before[source]);
    assert!(read < 20 && shared > 20 * read, "{read} pages were read and {shared} shared");
}

#[test]
fn a_shared_page_never_shows_what_another_node_took_back() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let first = fleet.publish(0, "first");
    let taken = fleet.publish(0, SECRET);
    retract(&fleet, 0, &taken);
    let mut after = first;
    for _ in 0..30 {
        let secret = fleet.publish(0, SECRET);
        let has_it = || text(follow(&fleet, 1, &after)).contains(SECRET);
        eventually("the node has the alert", || has_it().then_some(()));
        assert!((0..3).all(|_| has_it()), "the page is kept");
        retract(&fleet, 0, &secret);
        assert!((0..3).all(|_| !has_it()));
        after = secret;
    }
    let [_, shared] = read_and_shared(&fleet, 1);
    assert!(shared >= 30, "{shared} pages were shared");
}

#[test]
fn a_shared_page_never_shows_what_another_node_removed() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &format!("alerts.retain_count = 10\n{}", redis.configuration("")));
    for round in 0..20 {
        let ids: Vec<_> = (0..10).map(|_| fleet.publish(0, "x")).collect();
        let ask = |after: &str| replayed(&mut follow(&fleet, 1, after));
        eventually("the node has the alerts", || (ask(&ids[2]).0.len() == 7).then_some(()));
        assert!((0..3).all(|_| ask(&ids[2]) == (ids[3..].to_vec(), false)), "round {round}");
        let more: Vec<_> = (0..5).map(|_| fleet.publish(0, "y")).collect();
        let (seen, is_told) = ask(&ids[2]);
        assert!(is_told && !seen.contains(&ids[3]) && !seen.contains(&ids[4]), "round {round}");
        eventually("the rest", || (ask(&ids[2]).0 == [&ids[5..], &more].concat()).then_some(()));
    }
    let [_, shared] = read_and_shared(&fleet, 1);
    assert!(shared >= 40, "{shared} pages were shared");
}

#[test]
fn pages_are_shared_again_after_a_restart_of_redis_and_none_shows_what_it_has_lost() {
    let mut redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let ids = fill(&fleet, 1000);
    storm(&fleet, 1, &ids);
    redis.again();
    storm(&fleet, 1, &ids);
    let old = tempfile::tempdir().unwrap();
    redis.save_to(old.path());
    let lost = fleet.publish(0, SECRET);
    let newest = &ids[999];
    let has_it = || text(follow(&fleet, 1, newest)).contains(SECRET);
    eventually("the node has the alert", || has_it().then_some(()));
    assert!(has_it());
    redis.restore_from(old.path());
    let mut streams: Vec<_> = (0..5).map(|_| follow(&fleet, 1, newest)).collect();
    for stream in &mut streams {
        let (seen, is_told) = replayed(stream);
        assert!(!seen.contains(&lost) && is_told, "{seen:?}");
    }
    let next = eventually("a publish", || {
        let (address, key) = fleet.endpoint(0);
        let answer = Request::post("/alerts/ops").key(&key).body("next").try_to(address)?;
        (answer.status == 200).then(|| answer.json()["alert"]["id"].as_str().unwrap().to_owned())
    });
    assert!(streams.iter_mut().all(|stream| stream.message() == "next"));
    eventually("the other node has it", || (replayed(&mut follow(&fleet, 1, &lost)).0 == [&*next]).then_some(()));
}

#[test]
fn a_shared_page_never_shows_what_was_taken_back_when_a_replica_is_promoted() {
    let servers = Servers::start(Topology::Sentinel(1));
    let fleet = Fleet::of(2, &servers.configuration("replicas:1"));
    let stored = |message: &'static str| {
        eventually("a stored alert", || {
            let (address, key) = fleet.endpoint(0);
            let answer = Request::post("/alerts/ops").key(&key).body(message).try_to(address)?;
            (answer.status == 200).then(|| answer.json()["alert"]["id"].as_str().unwrap().to_owned())
        })
    };
    let first = stored("first");
    let secret = stored(SECRET);
    let kept = stored("kept");
    let told = || text(follow(&fleet, 1, &first));
    eventually("the node has the alerts", || told().contains(&kept).then_some(()));
    assert!((0..3).all(|_| told().contains(SECRET)));
    servers.fail_over();
    let after = told();
    assert!(after.contains(SECRET) && after.contains(&kept), "{after}");
    retract(&fleet, 0, &secret);
    for _ in 0..3 {
        let after = told();
        assert!(!after.contains(SECRET) && after.contains(&kept), "{after}");
    }
}
