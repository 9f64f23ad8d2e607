//! Requests beyond a limit are refused with its name, and cost other clients nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::harness::{Answer, Daemon, Key, PATIENCE, Request, Transport, eventually, over_both_transports, raw};

over_both_transports! {
    streams_are_limited_by_key_and_in_all,
}

#[test]
fn a_publisher_over_its_rate_is_told_when_to_come_back() {
    let daemon = Daemon::with("[limits]\npublish_rate = 5\n");
    let (fast, other) = (daemon.key("fast"), daemon.key("other"));
    let send = |key: &Key| daemon.send(&Request::post("/alerts").key(key).body("x"));
    let limited = eventually("the limit", || Some(send(&fast)).filter(|answer| answer.status != 200));
    assert_eq!((limited.status, limited.problem().as_str()), (429, "too-many-requests"));
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(limited.text().contains("limits.publish_rate"), "{}", limited.text());
    assert_eq!(send(&other).status, 200);
}

fn streams_are_limited_by_key_and_in_all(transport: Transport) {
    let daemon = Daemon::on(transport, "[limits]\nstreams_per_key = 2\n[http]\nmax_streams = 3\n");
    let (one, two) = (daemon.key("one"), daemon.key("two"));
    let mut open: Vec<_> = (0..2).map(|_| daemon.stream(&one, "/alerts")).collect();
    let third = daemon.stream(&one, "/alerts");
    assert_eq!(third.head.status, 429);
    open.push(daemon.stream(&two, "/alerts"));
    assert_eq!(open[2].head.status, 200);
    let fourth = daemon.send(&Request::get("/alerts").key(&two));
    assert_eq!(fourth.status, 429);
    assert!(fourth.text().contains("http.max_streams"), "{}", fourth.text());
    drop(open.remove(0));
    eventually("a free place", || (daemon.stream(&one, "/alerts").head.status == 200).then_some(()));
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let daemon = Daemon::with("[http]\nmax_body = \"2KiB\"\n");
    let key = daemon.key("alice");
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 999999999\r\n\r\n",
        key.secret
    );
    socket.write_all(head.as_bytes()).unwrap();
    let answer = Answer::read(&mut socket);
    assert_eq!((answer.status, answer.problem().as_str()), (413, "too-large"));
    // Without a length it is counted as it comes.
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let chunked = format!(
        "POST /alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        key.secret,
        chunk.repeat(4)
    );
    assert_eq!(raw(daemon.address, chunked.as_bytes()).status, 413);
    let within = json!({"message": "x".repeat(1500)});
    assert_eq!(daemon.send(&Request::post("/alerts").key(&key).json(&within)).status, 200);
}

#[test]
fn a_head_that_never_ends_is_cut() {
    let daemon = Daemon::start();
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("closed by the server in time");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}
