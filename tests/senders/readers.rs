//! What libraries and monitors add to the URL of a read, and what they send for a cursor that they do not have.

use crate::harness::{Daemon, Key, Request, Stream};

/// The message of a stream's first alert, with no gap before it.
fn first(daemon: &Daemon, key: &Key, path: &str, cursor: Option<&str>) -> String {
    let request = Request::get(path).key(key).header("Accept", "text/event-stream");
    let request = cursor.map_or(request.clone(), |cursor| request.header("Last-Event-ID", cursor));
    let mut stream = Stream::open(daemon.address, &request);
    assert_eq!(stream.head.status, 200, "{path} {cursor:?}");
    stream.message()
}

#[test]
fn a_read_is_answered_whatever_its_cache_buster_is_called_and_a_publish_is_strict() {
    let daemon = Daemon::start();
    let key =
        daemon.key_with(&serde_json::json!({"user": "alice", "scopes": ["publish", "subscribe", "metrics", "admin"]}));
    daemon.publish(&key, "ops", "stored");
    for more in [
        "_=1795455190123",
        "_=1&_=2",
        "ngsw-bypass",
        "ngsw-bypass=true",
        "ngsw-cache-bust=0.1",
        "uptime_kuma_cachebuster=0.5",
        "nocache=1",
    ] {
        for path in ["/alerts/ops", "/alerts/ops?limit=5", "/health", "/topics", "/status", "/metrics", "/keys"] {
            let path = format!("{path}{}{more}", if path.contains('?') { '&' } else { '?' });
            let answer = daemon.send(&Request::get(&path).key(&key).header("Accept", "application/json, text/plain"));
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        assert_eq!(first(&daemon, &key, &format!("/alerts/ops?{more}&x%zz=1"), None), "stored");
        let publish = Request::post(&format!("/alerts/ops?{more}")).key(&key).body("x");
        assert_eq!(daemon.send(&publish).problem(), "invalid", "{more}");
    }
    let typo = Request::get("/alerts/ops?limt=5").key(&key).header("Accept", "application/json");
    assert_eq!(daemon.send(&typo).problem(), "invalid");
}

#[test]
fn what_languages_write_for_no_cursor_is_none() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    daemon.publish(&key, "ops", "old");
    daemon.publish(&key, "ops", "newest");
    for nothing in
        ["", "undefined", "null", "None", "nil", "NaN", "(null)", "<nil>", "\"\"", "\"null\"", "[object Object]"]
    {
        let encoded: String = nothing.bytes().map(|byte| format!("%{byte:02x}")).collect();
        // Taken for an unknown cursor it would be a gap, and replay everything.
        let in_query = format!("/alerts/ops?lastEventId={encoded}");
        let as_since = format!("/alerts/ops?since={encoded}");
        for (path, header) in [("/alerts/ops", Some(nothing)), (in_query.as_str(), None), (as_since.as_str(), None)] {
            assert_eq!(first(&daemon, &key, path, header), "newest", "{path} {header:?}");
        }
    }
}
