//! Clients that send without an end and read nothing: their connections stand still or end, and others notice nothing.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Daemon, Request};

const CONNECTIONS: usize = 20;
/// More than the kernel holds for a reader that does not read.
const MOST_BYTES: usize = 64 << 20;
const ALLOWED_KB: u64 = 8 << 10;

/// Sends the same bytes over and over until alertd takes no more, and gives back how many it took.
fn flood(socket: &mut TcpStream, begin: &[u8], piece: &[u8]) -> usize {
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut sent = 0;
    let mut rest = begin;
    while sent < MOST_BYTES {
        match socket.write(rest) {
            Ok(written) => {
                sent += written;
                rest = if written < rest.len() { &rest[written..] } else { piece };
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It stands still, or alertd has ended it.
            Err(_) => break,
        }
    }
    sent
}

/// Floods alertd over many connections at once, while a subscriber follows.
fn others_notice_nothing_of(begin: &[u8], piece: &[u8]) {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts/ops?since=none");
    stream.until("cursor");
    let before = daemon.memory_kb();
    let mut sockets: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
    std::thread::scope(|scope| {
        let floods: Vec<_> =
            sockets.iter_mut().map(|socket| scope.spawn(move || flood(socket, begin, piece))).collect();
        for number in 0..200 {
            let message = number.to_string();
            let answer = daemon.send(&Request::post("/alerts/ops").key(&key).body(message.as_str()));
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(stream.message(), message);
        }
        for flood in floods {
            let sent = flood.join().unwrap();
            assert!(sent < MOST_BYTES, "a connection took {sent} bytes of a client that reads nothing");
        }
    });
    let after = daemon.memory_kb();
    assert!(after < before + ALLOWED_KB, "{before} KB before and {after} KB after");
    assert_eq!(daemon.send(&Request::get("/readyz")).status, 200);
}

/// A frame of HTTP/2 on the connection itself.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
}

fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, &[])].concat()
}

const SETTINGS: u8 = 4;
const PING: u8 = 6;

#[test]
fn streams_that_are_reset_at_once_cost_others_nothing_and_few_log_lines() {
    // GET /readyz, with path and host as literals.
    let head = b"\x82\x86\0\x05:path\x07/readyz\0\x0a:authority\x09localhost";
    let stream = |number: u32| {
        let number = number.to_be_bytes();
        let length = u32::try_from(head.len()).unwrap().to_be_bytes();
        // HEADERS that end both the head and the stream, then RST_STREAM.
        [&length[1..], &[1, 5], &number[..], head, &[0, 0, 4, 3, 0], &number, &[0, 0, 0, 8]].concat()
    };
    let begin: Vec<u8> =
        [preface(), (0..5000).flat_map(|stream_number| stream(2 * stream_number + 1)).collect()].concat();
    let daemon = Daemon::start();
    let before = daemon.log().lines().count();
    for _ in 0..50 {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        // alertd ends the connection before the last of them.
        let _ = socket.write_all(&begin);
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    }
    assert_eq!(daemon.send(&Request::get("/readyz")).status, 200);
    let log = daemon.log();
    assert!(log.lines().count() <= before + 5, "{log}");
}

#[test]
fn pings_whose_answers_are_never_read_cost_others_nothing() {
    others_notice_nothing_of(&preface(), &frame(PING, b"12345678").repeat(500));
}

#[test]
fn settings_whose_answers_are_never_read_cost_others_nothing() {
    // The initial window of streams.
    others_notice_nothing_of(&preface(), &frame(SETTINGS, &[0, 4, 0, 0, 0xff, 0xff]).repeat(500));
}

#[test]
fn requests_whose_answers_are_never_read_cost_others_nothing() {
    let put = b"PUT /alerts/ops HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    others_notice_nothing_of(put, &put.repeat(200));
}
