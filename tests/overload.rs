//! Beyond the limit of connections clients are refused at once, and health, status and metrics are served all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Request, Transport, Wire, eventually, over_both_transports, told};

over_both_transports! {
    clients_beyond_the_limit_are_refused_at_once_and_subscribers_notice_nothing,
}

fn listener(daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status();
    status["connections"].as_array().unwrap().iter().find(|entry| entry["listener"] == name).unwrap().clone()
}

/// Connections that send nothing, as many as the daemon counts up to the limit.
fn filled(daemon: &Daemon, number: u64) -> Vec<Wire> {
    let idle = (0..number).map(|_| daemon.connect()).collect();
    eventually("the limit", || (listener(daemon, "http")["open"] == listener(daemon, "http")["limit"]).then_some(()));
    idle
}

fn clients_beyond_the_limit_are_refused_at_once_and_subscribers_notice_nothing(transport: Transport) {
    let daemon = Daemon::on(transport, "[http]\nmax_connections = 6\n");
    let key = daemon.key("alice");
    let asks = daemon.key_with(&json!({ "user": "ops", "scopes": ["admin", "metrics"] }));
    let mut streams: Vec<_> = (0..3).map(|_| daemon.stream(&key, "/alerts/ops?since=none")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    let mut idle = filled(&daemon, 3);
    assert!(daemon.ctl(&["publish", "-t", "ops", "before"]).status.success());

    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..125 {
                    let answer = daemon.send(&Request::post("/alerts").key(&key).body("x"));
                    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{answer:?}");
                    assert!(answer.text().contains("all 6 connections of http.max_connections"), "{}", answer.text());
                    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 2);
                    assert_eq!(answer.header("connection"), Some("close"));
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for (path, key) in [("/livez", None), ("/readyz", None), ("/health", Some(&key)), ("/status", Some(&asks))] {
            let request = Request::get(path);
            let request = if let Some(key) = key { request.key(key) } else { request };
            assert_eq!(daemon.send(&request).status, 200, "{path}");
        }
        assert!(daemon.ctl(&["publish", "-t", "ops", "meanwhile"]).status.success());
    });
    assert_eq!(refused.into_inner(), 1000);
    let metrics = daemon.send(&Request::get("/metrics").key(&asks)).text();
    for line in [
        "alertd_connections{listener=\"http\"} 6",
        "alertd_connections_limit{listener=\"http\"} 6",
        "alertd_connections_refused_total{listener=\"http\"} 1000",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let status = told(&daemon.ctl(&["status"]));
    assert!(status.contains("all 6 connections of http.max_connections are open"), "{status}");
    assert!(status.contains("6 of 6") && status.contains("1000 requests refused"), "{status}");
    let lines = daemon.log().lines().filter(|line| line.contains("connection-limit")).count();
    assert_eq!(lines, 1, "{}", daemon.log());
    for stream in &mut streams {
        assert_eq!((stream.message(), stream.message()), ("before".to_owned(), "meanwhile".to_owned()));
    }
    drop(idle.pop());
    eventually("a free place", || {
        (daemon.send(&Request::post("/alerts").key(&key).body("after")).status == 200).then_some(())
    });
}

#[test]
fn the_memory_of_many_streams_that_begin_at_once_is_given_back() {
    const STREAMS: usize = 2000;
    const ALLOWED_KB: u64 = 4 << 10;
    // Of this process, whose daemons inherit it.
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={}:", 4 * STREAMS));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let begin = format!("GET /alerts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", key.secret);
    // What it needs once.
    assert_eq!(daemon.stream(&key, "/alerts").head.status, 200);
    let before = daemon.memory_kb();
    for storm in 1..=2 {
        let mut streams: Vec<_> = (0..STREAMS).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
        streams.iter_mut().for_each(|stream| stream.write_all(begin.as_bytes()).unwrap());
        eventually("all streams", || (daemon.status()["hub"]["streams"] == STREAMS).then_some(()));
        eventually(&format!("little memory under storm {storm}"), || {
            (daemon.memory_kb() < before + ALLOWED_KB).then_some(())
        });
        drop(streams);
        eventually("no streams", || (daemon.status()["hub"]["streams"] == 0).then_some(()));
        eventually(&format!("little memory after storm {storm}"), || {
            (daemon.memory_kb() < before + ALLOWED_KB).then_some(())
        });
    }
}

#[test]
fn clients_that_send_nothing_give_back_their_places_beyond_the_limit() {
    let daemon = Daemon::with("[http]\nmax_connections = 2\n");
    let _idle = filled(&daemon, 2);
    // More than the reserve.
    let silent: Vec<_> = (0..400).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
    assert_eq!(Request::get("/readyz").to(daemon.address).status, 200);
    for mut socket in silent {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Closed, perhaps with a reset.
        let _ = socket.read(&mut [0; 1]).map(|read| assert_eq!(read, 0));
    }
    assert_eq!(Request::get("/readyz").to(daemon.address).status, 200);
}

#[test]
fn an_operator_gets_an_answer_when_all_connections_of_the_control_socket_are_open() {
    let daemon = Daemon::start();
    let _idle: Vec<_> = (0..256).map(|_| UnixStream::connect(daemon.control()).unwrap()).collect();
    let status = eventually("the limit", || {
        let status = told(&daemon.ctl(&["status"]));
        status.contains("256 of 256 on the control socket").then_some(status)
    });
    assert!(status.contains("all 256 connections of the control socket are open"), "{status}");
    let keys = daemon.ctl(&["key", "list"]);
    assert!(keys.status.code() == Some(69) && told(&keys).contains("all 256 connections"), "{}", told(&keys));
    assert_eq!(Request::get("/readyz").to(daemon.address).status, 200);
}

#[test]
fn a_daemon_without_descriptors_says_so_once_and_accepts_again_when_it_has_some() {
    let daemon = Daemon::start();
    let limit = |number: &str| {
        let pid = daemon.pid().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={number}:")]).status().unwrap();
        assert!(set.success());
    };
    limit("4");
    let waiting = TcpStream::connect(daemon.address).unwrap();
    daemon.said("cannot accept connections");
    // Ten attempts a second go on meanwhile.
    std::thread::park_timeout(std::time::Duration::from_secs(1));
    limit("1000");
    assert_eq!(Request::get("/readyz").on(waiting).unwrap().status, 200);
    assert!(daemon.status()["accept_failures"].as_u64().unwrap() >= 2);
    assert!(told(&daemon.ctl(&["status"])).contains("failed attempts to accept one"));
    let lines = daemon.log().lines().filter(|line| line.contains("cannot-accept")).count();
    assert_eq!(lines, 1, "{}", daemon.log());
}
