//! Streams: their start, their content and their end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Daemon, Request, Transport, eventually, over_both_transports};

over_both_transports! {
    a_stream_begins_with_the_latest_alert_then_the_seam_then_live,
    since_and_cursors_in_all_forms_choose_where_to_begin,
    topics_patterns_and_levels_select,
    a_quiet_stream_gets_a_cursor_that_moves_on,
    ndjson_is_the_same_stream_line_by_line,
    what_retention_removed_is_told_as_a_gap_and_the_rest_follows,
    a_slow_reader_is_ended_alone_and_resumes_by_id,
    http_1_0_gets_a_body_that_ends_with_the_connection,
}

fn a_stream_begins_with_the_latest_alert_then_the_seam_then_live(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    daemon.publish(&key, "default", "old");
    let newest = daemon.publish(&key, "default", "new");
    let mut stream = daemon.stream(&key, "/alerts");
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
    let first = stream.event().unwrap();
    assert_eq!((first.id.as_deref(), first.retry.is_some()), (Some(newest.as_str()), true));
    assert!((1000..=5000).contains(&first.retry.unwrap()));
    let seam = stream.event().unwrap();
    assert_eq!((seam.event.as_str(), seam.data), ("cursor", json!({"id": newest}).to_string()));
    daemon.publish(&key, "default", "live");
    assert_eq!(stream.message(), "live");
    daemon.publish(&key, "other", "not for this one");
    daemon.publish(&key, "default", "live 2");
    assert_eq!(stream.message(), "live 2");
}

fn since_and_cursors_in_all_forms_choose_where_to_begin(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let ids: Vec<String> = (0..5).map(|i| daemon.publish(&key, "default", &format!("m{i}"))).collect();
    // The messages and gaps up to the seam.
    let seen = |path: &str, header: Option<&str>| {
        let mut request = Request::get(path).key(&key);
        if let Some(header) = header {
            request = request.header("Last-Event-ID", header);
        }
        let mut stream = daemon.follow(&request);
        assert_eq!(stream.head.status, 200);
        let mut seen = Vec::new();
        loop {
            let event = stream.event().unwrap();
            match event.event.as_str() {
                "cursor" => return seen.join(" "),
                "gap" => seen.push("gap".to_owned()),
                _ => seen
                    .push(serde_json::from_str::<Value>(&event.data).unwrap()["message"].as_str().unwrap().to_owned()),
            }
        }
    };
    assert_eq!(seen("/alerts", None), "m4");
    assert_eq!(seen("/alerts?since=latest", None), "m4");
    assert_eq!(seen("/alerts?since=none", None), "");
    assert_eq!(seen("/alerts?since=all", None), "m0 m1 m2 m3 m4");
    assert_eq!(seen("/alerts?since=10m", None), "m0 m1 m2 m3 m4");
    assert_eq!(seen(&format!("/alerts?since={}", ids[2]), None), "m3 m4");
    assert_eq!(seen("/alerts?since=2020-01-01T00:00:00Z", None), "m0 m1 m2 m3 m4");
    assert_eq!(seen("/alerts?since=0-0", None), "m0 m1 m2 m3 m4");
    assert_eq!(seen("/alerts", Some(&ids[3])), "m4");
    assert_eq!(seen("/alerts", Some(&ids[4])), "");
    assert_eq!(seen(&format!("/alerts?since=all&last_event_id={}", ids[1]), None), "m2 m3 m4");
    assert_eq!(seen(&format!("/alerts?last_event_id={}", ids[1]), Some(&ids[3])), "m4");
    assert_eq!(seen("/alerts?since=none", Some("")), "");
    assert_eq!(seen("/alerts", Some("nonsense")), "gap m0 m1 m2 m3 m4");
    assert_eq!(seen("/alerts", Some("5-5")), "gap m0 m1 m2 m3 m4");
    assert_eq!(seen("/alerts", Some("99999999999999-0")), "gap");
}

fn topics_patterns_and_levels_select(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let mut below = daemon.stream(&key, "/alerts?topic=ops.*&since=none");
    let mut named = daemon.stream(&key, "/alerts/ops.db?since=none&level=warn");
    let mut two = daemon.stream(&key, "/alerts?topic=web&topic=mail&since=none");
    let mut all = daemon.stream(&key, "/alerts?topic=*&since=none&level=error");
    for stream in [&mut below, &mut named, &mut two, &mut all] {
        stream.until("cursor");
    }
    for (topic, level) in [
        ("ops", "error"),
        ("ops.db", "info"),
        ("ops.db", "warn"),
        ("web", "info"),
        ("opsx.db", "error"),
        ("mail", "warn"),
    ] {
        let body = json!({"message": format!("{topic} {level}"), "level": level});
        assert_eq!(daemon.send(&Request::post(&format!("/alerts/{topic}")).key(&key).json(&body)).status, 200);
    }
    assert_eq!([below.message(), below.message()], ["ops.db info", "ops.db warn"]);
    assert_eq!(named.message(), "ops.db warn");
    assert_eq!([two.message(), two.message()], ["web info", "mail warn"]);
    assert_eq!([all.message(), all.message()], ["ops error", "opsx.db error"]);
}

fn a_quiet_stream_gets_a_cursor_that_moves_on(transport: Transport) {
    let daemon = Daemon::on(transport, "[http]\nheartbeat = \"1s\"\n");
    let key = daemon.key("alice");
    let mut quiet = daemon.stream(&key, "/alerts/quiet");
    quiet.until("cursor");
    let elsewhere = daemon.publish(&key, "noisy", "x");
    eventually("a cursor behind what was filtered out", || {
        (quiet.until("cursor").id.as_ref() == Some(&elsewhere)).then_some(())
    });
    // With it the stream resumes exactly, without a gap.
    let mut back = daemon.follow(&Request::get("/alerts/quiet").key(&key).header("Last-Event-ID", &elsewhere));
    daemon.publish(&key, "quiet", "hello");
    let first = back.event().unwrap();
    assert_eq!(first.event, "cursor");
    assert_eq!(back.message(), "hello");
    assert!(!String::from_utf8_lossy(&quiet.raw).contains("\n\n\n"), "a block without data");
}

fn ndjson_is_the_same_stream_line_by_line(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let id = daemon.publish(&key, "default", "one");
    let request = Request::get("/alerts?since=all").key(&key).header("Accept", "application/x-ndjson");
    let mut stream = daemon.follow(&request);
    assert_eq!(stream.head.header("content-type"), Some("application/x-ndjson"));
    stream.set_patience(Duration::from_millis(300));
    daemon.publish(&key, "default", "two");
    let mut lines = Vec::<Value>::new();
    eventually("three lines", || {
        // The parser of the other format finds no event, so the read ends by its timeout.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stream.event()));
        let text = String::from_utf8(stream.raw.clone()).unwrap();
        lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (lines.len() >= 3).then_some(())
    });
    assert_eq!(lines[0]["id"], id.as_str());
    assert_eq!((&lines[1]["event"], &lines[1]["id"]), (&json!("cursor"), &json!(id)));
    assert_eq!(lines[2]["message"], "two");
}

fn what_retention_removed_is_told_as_a_gap_and_the_rest_follows(transport: Transport) {
    let daemon = Daemon::on(transport, "[alerts]\nretain_count = 5\n");
    let key = daemon.key("alice");
    let ids: Vec<String> = (0..20).map(|i| daemon.publish(&key, "default", &format!("m{i}"))).collect();
    let mut late = daemon.follow(&Request::get("/alerts").key(&key).header("Last-Event-ID", &ids[3]));
    let gap: Value = serde_json::from_str(&late.until("gap").data).unwrap();
    assert_eq!(gap, json!({"requested": ids[3], "oldest": ids[15], "head": ids[19]}));
    assert_eq!(late.message(), "m15");
    // The newest id that was removed is still a valid cursor.
    let mut just = daemon.follow(&Request::get("/alerts").key(&key).header("Last-Event-ID", &ids[14]));
    let first = just.event().unwrap();
    assert_eq!((first.event.as_str(), first.id.as_ref()), ("", Some(&ids[15])));
}

fn a_slow_reader_is_ended_alone_and_resumes_by_id(transport: Transport) {
    let daemon = Daemon::on(transport, "[hub]\nmemory = \"1MiB\"\n[alerts]\nretain_count = 100_000\n");
    let key = daemon.key("alice");
    let mut slow = daemon.stream(&key, "/alerts?since=none");
    slow.until("cursor");
    let mut fast = daemon.stream(&key, "/alerts?since=none");
    fast.until("cursor");
    let message = "x".repeat(4000);
    let count = 3000;
    std::thread::scope(|scope| {
        let reader = scope
            .spawn(|| (0..count).map(|_| fast.alert().unwrap()["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        let publishers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..count / 4).for_each(|_| drop(daemon.publish(&key, "default", &message)))))
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        let ids = reader.join().unwrap();
        assert!(ids.is_sorted() && ids.len() == count);
        // Twelve megabytes, with one megabyte of memory: the slow reader continues from the log, and nothing is
        // missing.
        let mut got = Vec::new();
        while got.len() < count {
            match slow.event() {
                Some(event) if event.event.is_empty() => got.extend(event.id),
                Some(_) => {}
                None => {
                    let last = got.last().cloned().unwrap();
                    slow = daemon.follow(&Request::get("/alerts").key(&key).header("Last-Event-ID", &last));
                }
            }
        }
        assert_eq!(got, ids);
    });
}

fn http_1_0_gets_a_body_that_ends_with_the_connection(transport: Transport) {
    use std::io::{BufRead, BufReader, Write};
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    daemon.publish(&key, "default", "hello");
    let mut socket = daemon.connect();
    write!(socket, "GET /alerts HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", key.secret).unwrap();
    let mut lines = BufReader::new(socket).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().ends_with("200 OK"));
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(!head.iter().any(|line| line.to_ascii_lowercase().starts_with("transfer-encoding")), "{head:?}");
    let data = lines.find(|line| line.starts_with("data: ")).unwrap();
    assert!(data.contains("hello"), "{data}");
}
