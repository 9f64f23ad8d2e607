//! Restarts that leave streams connected, with a service manager made by hand; real ones are in `tests/systemd`.

mod endings;
pub(crate) mod load;
mod slow;

use crate::harness::{Manager, Request, Stream};
use serde_json::{Value, json};

/// No heartbeats, so that the bytes of two streams can be compared.
const SILENT: &str = "[http]\nheartbeat = \"10m\"\n[limits]\nstreams_per_key = 0\n";

/// The messages of the alerts of a stream up to this one.
fn messages_until(stream: &mut Stream, last: &str) -> Vec<String> {
    let mut messages = Vec::new();
    while messages.last().is_none_or(|message| message != last) {
        messages.push(stream.message());
    }
    messages
}

#[test]
fn streams_of_both_formats_over_tcp_and_unix_sockets_go_on_over_restarts() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    let mut sse = manager.stream(&key, "/alerts?topic=*");
    let ndjson = Request::get("/alerts?topic=ops.*").key(&key).header("Accept", "application/x-ndjson");
    let mut ndjson = Stream::open(manager.address, &ndjson);
    let control = std::os::unix::net::UnixStream::connect(manager.control()).unwrap();
    let mut local = Stream::on(control, &Request::get("/alerts?topic=*")).unwrap();
    sse.until("cursor");
    local.until("cursor");
    manager.publish("ops.db", "one");
    for message in ["two", "three", "four"] {
        manager.restart();
        assert_eq!(manager.stored(), 0, "{}", manager.log());
        assert_eq!(manager.status()["hub"]["taken_over"], 3);
        manager.publish("ops.db", message);
    }
    for stream in [&mut sse, &mut local] {
        assert_eq!(messages_until(stream, "four"), ["one", "two", "three", "four"]);
    }
    while !String::from_utf8_lossy(&ndjson.raw).contains("four") {
        ndjson.more();
    }
    let text = String::from_utf8(ndjson.raw.clone()).unwrap();
    let alerts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = alerts.iter().filter_map(|alert| alert["message"].as_str()).collect();
    assert_eq!(messages, ["one", "two", "three", "four"]);
    assert_eq!(manager.metric("alertd_takeover_streams_total{result=\"taken\"}"), 3.0);
    assert!(manager.metric("alertd_takeover_seconds") > 0.0);
    assert!(manager.log().contains("3 streams taken over, 0 ended"), "{}", manager.log());
    // The stream ends as any other.
    assert!(manager.stop().success());
    assert_eq!((sse.bye(), local.bye(), manager.stored()), ("stop".to_owned(), "stop".to_owned(), 0));
}

#[test]
fn a_stop_without_a_mark_of_its_own_start_is_no_restart() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    manager.restart();
    // The mark of the previous process is still there.
    assert!(manager.directory.path().join("restart").exists());
    let mut stream = manager.stream(&key, "/alerts");
    stream.until("cursor");
    assert!(manager.stop().success());
    assert_eq!((stream.bye(), manager.stored()), ("stop".to_owned(), 0));
}
