//! Replay: streams that continue after the same id share what is read, and never see what the log no longer has.

use serde_json::json;

use crate::harness::{Daemon, Key, Request, Stream, Transport, over_both_transports};

over_both_transports! {
    streams_that_continue_after_the_same_id_share_what_is_read,
    a_shared_page_never_shows_what_was_removed,
}

/// Publishes alerts together.
pub(crate) fn publish(daemon: &Daemon, key: &Key, alerts: usize) {
    let line = |number| json!({"message": format!("alert {number}")}).to_string() + "\n";
    let request = Request::post("/alerts").key(key).header("Content-Type", "application/x-ndjson");
    let answer = daemon.send(&request.body((0..alerts).map(line).collect::<String>()));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The ids of all alerts that are retained.
fn retained(daemon: &Daemon, key: &Key) -> Vec<String> {
    replayed(&mut daemon.stream(key, "/alerts?since=all")).0
}

/// The ids of a stream's alerts up to its seam, and whether it was told of a gap.
pub(crate) fn replayed(stream: &mut Stream) -> (Vec<String>, bool) {
    let (mut ids, mut is_told) = (Vec::new(), false);
    loop {
        let event = stream.event().expect("the stream goes on");
        match event.event.as_str() {
            "cursor" => return (ids, is_told),
            "gap" => is_told = true,
            _ => ids.extend(event.id),
        }
    }
}

/// Pages that were read from the log, and pages that another stream had read.
pub(crate) fn pages(daemon: &Daemon) -> [u64; 2] {
    let text = Request::get("/metrics").over(&daemon.control()).text();
    ["log", "stream"].map(|source| {
        let series = format!("alertd_replay_pages_total{{source=\"{source}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series)).expect(&series);
        value.parse().unwrap()
    })
}

fn streams_that_continue_after_the_same_id_share_what_is_read(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    (0..3).for_each(|_| publish(&daemon, &key, 500));
    let ids = retained(&daemon, &key);
    assert_eq!(ids.len(), 1500);
    let [before, _] = pages(&daemon);
    for _ in 0..20 {
        for level in ["info", "error"] {
            let path = format!("/alerts?level={level}&since={}", ids[0]);
            let (seen, is_told) = replayed(&mut daemon.stream(&key, &path));
            let wanted = if level == "info" { &ids[1..] } else { &[] };
            assert!(seen == wanted && !is_told, "{} of {}", seen.len(), wanted.len());
        }
    }
    let [read, shared] = pages(&daemon);
    assert!(shared > read - before, "{} were read and {shared} shared", read - before);
}

fn a_shared_page_never_shows_what_was_removed(transport: Transport) {
    let daemon = Daemon::on(transport, "alerts.retain_count = 10");
    let key = daemon.key("alice");
    publish(&daemon, &key, 10);
    let ids = retained(&daemon, &key);
    let path = format!("/alerts?since={}", ids[2]);
    for _ in 0..2 {
        assert_eq!(replayed(&mut daemon.stream(&key, &path)), (ids[3..].to_vec(), false));
    }
    publish(&daemon, &key, 5);
    let seen = replayed(&mut daemon.stream(&key, &path));
    assert_eq!(seen, (retained(&daemon, &key), true));
}
