//! Clients that close their half of a connection, or are answered before they have sent everything.

use std::io::{Read, Write};
use std::thread;

use serde_json::json;

use crate::harness::{Answer, Daemon, Key, Request, Transport, over_both_transports, told};

over_both_transports! {
    a_request_with_the_end_of_its_sender_behind_it_is_answered,
    a_reader_that_closes_its_half_has_gone,
    a_refusal_reaches_a_client_that_is_still_sending,
    curl_gets_a_refusal_of_a_long_body_over_every_version_of_http,
}

/// Sends a request and the end of the sending half at once, and reads the answer.
fn half_closed(daemon: &Daemon, bytes: &[u8]) -> Answer {
    let mut wire = daemon.connect().patient().unwrap();
    wire.write_all(bytes).unwrap();
    wire.finish_sending();
    Answer::read(&mut wire)
}

fn a_request_with_the_end_of_its_sender_behind_it_is_answered(transport: Transport) {
    const THREADS: usize = 4;
    const EACH: usize = 250;
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (daemon, key) = (&daemon, &key);
            scope.spawn(move || {
                for number in 0..EACH {
                    // With and without a wish to keep the connection.
                    let request = Request::post("/alerts/pump").key(key).body(format!("{thread} {number}"));
                    let answer = half_closed(daemon, &request.bytes(number % 2 == 0));
                    assert_eq!(answer.status, 200, "{thread} {number}: {answer:?}");
                    assert!(answer.text().contains("alert stored"), "{answer:?}");
                }
            });
        }
    });
    let history = Request::get("/alerts/pump?since=all&limit=1000").key(&key).header("Accept", "application/json");
    let answer = half_closed(&daemon, &history.bytes(false));
    assert_eq!(answer.json()["alerts"].as_array().unwrap().len(), THREADS * EACH);
    // An incomplete request does not count as complete.
    let cut = Request::post("/alerts/pump").key(&key).body("incomplete").bytes(true);
    let answer = half_closed(&daemon, &cut[..cut.len() - 3]);
    assert!(matches!(answer.status, 0 | 400), "{answer:?}");
    assert_eq!(half_closed(&daemon, &cut[..40]).status, 0);
}

fn a_reader_that_closes_its_half_has_gone(transport: Transport) {
    // No heartbeats, so that the end has to be noticed without a write.
    let daemon = Daemon::on(transport, "[http]\nheartbeat = \"1h\"\n");
    let key = daemon.key("alice");
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let request = Request::get("/alerts?since=none").key(&key).bytes(false);
        let request = String::from_utf8(request).unwrap().replace("HTTP/1.1", version);
        let mut kept = daemon.connect().patient().unwrap();
        kept.write_all(request.as_bytes()).unwrap();
        daemon.has_streams(1);
        // Bytes that the client sends during a stream do not hide the end.
        kept.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
        kept.finish_sending();
        daemon.has_streams(0);
        let mut dropped = daemon.connect().patient().unwrap();
        dropped.write_all(request.as_bytes()).unwrap();
        daemon.has_streams(1);
        drop(dropped);
        daemon.has_streams(0);
    }
    let mut stream = daemon.stream(&key, "/alerts?since=none");
    stream.until("cursor");
    daemon.publish(&key, "default", "still served");
    assert_eq!(stream.message(), "still served");
}

fn a_refusal_reaches_a_client_that_is_still_sending(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let unknown = Key { secret: "x".into(), ..key.clone() };
    let body = "x".repeat(3 << 20);
    let sized = |path: &str, key: &Key| Request::post(path).key(key).body(body.clone());
    let chunked = |key: &Key| {
        let head = format!(
            "POST /alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            key.secret
        );
        format!("{head}{}0\r\n\r\n", format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(3 << 10)).into_bytes()
    };
    for (bytes, wanted) in [
        (sized("/alerts", &key).bytes(true), 413),
        (sized("/alerts", &key).bytes(false), 413),
        (chunked(&key), 413),
        (sized("/hooks/alertmanager", &key).bytes(false), 413),
        (sized("/alerts", &unknown).bytes(false), 401),
        (sized("/nowhere", &key).bytes(false), 404),
        (sized("/alerts", &key).header("Content-Encoding", "gzip").bytes(false), 415),
    ] {
        let mut wire = daemon.connect().patient().unwrap();
        wire.write_all(&bytes).expect("a client that sends all before it reads");
        assert_eq!(Answer::read(&mut wire).status, wanted);
    }
}

/// What curl says of a request: the status that it got, over which version of HTTP.
fn curl(daemon: &Daemon, key: &Key, path: &str, options: &[&str], body: &std::path::Path) -> String {
    let mut curl = std::process::Command::new("curl");
    let scheme = if let Some(certificate) = daemon.trusted() {
        curl.arg("--cacert").arg(certificate);
        "https"
    } else {
        "http"
    };
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code} over %{http_version}"]).args(options);
    curl.args(["-H", &format!("Authorization: Bearer {}", key.secret), "-H", "Content-Type: text/plain"]);
    curl.arg("--data-binary").arg(format!("@{}", body.display()));
    let output = curl.arg(format!("{scheme}://{}{path}", daemon.address)).output().unwrap();
    assert!(output.status.success(), "{options:?} {path}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn curl_gets_a_refusal_of_a_long_body_over_every_version_of_http(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let unknown = Key { secret: "x".into(), ..key.clone() };
    let (long, short) = (daemon.directory.path().join("long"), daemon.directory.path().join("short"));
    std::fs::write(&long, "x".repeat(3 << 20)).unwrap();
    std::fs::write(&short, "x").unwrap();
    let http2 = if transport == Transport::Tls { "--http2" } else { "--http2-prior-knowledge" };
    for (option, version) in [("--http1.0", "1"), ("--http1.1", "1.1"), (http2, "2")] {
        let status = |path: &str, key: &Key, body: &std::path::Path, more: &[&str]| {
            curl(&daemon, key, path, &[&[option], more].concat(), body)
        };
        assert_eq!(status("/alerts/pump", &key, &long, &[]), format!("413 over {version}"));
        assert_eq!(status("/alerts/pump", &key, &long, &["-H", "Expect:"]), format!("413 over {version}"));
        assert_eq!(
            status("/alerts/pump", &key, &long, &["-H", "Content-Encoding: gzip"]),
            format!("415 over {version}")
        );
        assert_eq!(status("/hooks/alertmanager", &unknown, &long, &[]), format!("401 over {version}"));
        assert_eq!(status("/nowhere", &key, &long, &[]), format!("404 over {version}"));
        assert_eq!(status("/alerts/pump", &key, &short, &[]), format!("200 over {version}"));
    }
}

#[test]
fn a_compressed_body_is_refused_by_the_name_of_its_header() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for (path, coding) in
        [("/alerts", "gzip"), ("/alerts/ops", "BR"), ("/hooks/alertmanager", "deflate"), ("/alerts", "identity, gzip")]
    {
        let answer = daemon.send(&Request::post(path).key(&key).header("Content-Encoding", coding).body("\u{1f}x"));
        assert_eq!((answer.status, answer.problem().as_str()), (415, "unsupported-media-type"), "{path} {coding}");
        assert!(answer.text().contains(&format!("Content-Encoding: {coding}")), "{}", answer.text());
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    // None of these is a coding; scripts put the charset there.
    for none in ["identity", "Identity, identity", "", "utf-8", "UTF8"] {
        let plain = Request::post("/alerts").key(&key).header("Content-Encoding", none).json(&json!({"message": "x"}));
        assert_eq!(daemon.send(&plain).status, 200, "{none}");
    }
}

#[test]
fn a_pipelined_request_and_the_end_behind_a_stream_leave_nothing_open() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut wire = daemon.connect().patient().unwrap();
    let health = Request::get("/health").key(&key).bytes(false);
    let stream = Request::get("/alerts?since=none").key(&key).bytes(false);
    wire.write_all(&[health, stream].concat()).unwrap();
    let mut received = String::new();
    while received.matches("HTTP/1.1 200").count() < 2 {
        let mut piece = [0; 4096];
        let read = wire.read(&mut piece).unwrap();
        assert!(read > 0, "the connection ended after: {received}");
        received.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    daemon.has_streams(1);
    wire.finish_sending();
    daemon.has_streams(0);
}
