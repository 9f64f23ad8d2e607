//! Streams that leave hyper for a broadcast loop: pipelined requests, disconnects, slow readers, partly written frames.

mod bytes;
mod crowd;
mod nginx;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::{Answer, Daemon, Key, PATIENCE, Request, Stream};

/// No heartbeats, so that a disconnect has to be noticed without a write.
const SILENT: &str = "[http]\nheartbeat = \"10m\"\n";

/// A connection whose kernel holds only a few kilobytes for a reader that does not read.
fn narrow(daemon: &Daemon) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&daemon.address.into()).unwrap();
    socket.into()
}

/// Processor time, in hundredths of a second.
fn work(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Reads one response with a length, and not a byte more.
fn answer(socket: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        assert_eq!(socket.read(&mut byte).unwrap(), 1, "ended within {}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
        let Some((mut answer, _)) = Answer::head(&bytes) else { continue };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        socket.read_exact(&mut answer.body).unwrap();
        return answer;
    }
}

fn publish_all(daemon: &Daemon, key: &Key, topic: &str, messages: std::ops::Range<usize>, padding: usize) {
    let padding = "x".repeat(padding);
    let mut socket = daemon.connect().patient().unwrap();
    for number in messages {
        let body = json!({ "message": format!("{number} {padding}") });
        let request = Request::post(&format!("/alerts/{topic}")).key(key).json(&body);
        socket.write_all(&request.bytes(false)).unwrap();
        assert_eq!(answer(&mut socket).status, 200);
    }
}

/// The number in front of the next message.
fn number(stream: &mut Stream) -> usize {
    stream.message().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_head_request_gets_the_head_alone_and_the_connection_goes_on() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut socket = daemon.connect().patient().unwrap();
    socket.write_all(&Request::new("HEAD", "/alerts").key(&key).bytes(false)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let (head, _) = Answer::head(&head).unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    socket.write_all(&Request::get("/health").key(&key).bytes(false)).unwrap();
    assert_eq!(answer(&mut socket).json(), json!({"status": "ok"}));
    daemon.has_streams(0);
}

#[test]
fn a_stream_pipelined_behind_a_publish_begins_behind_its_whole_answer() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let publish = Request::new("PUT", "/alerts").key(&key).json(&json!({"message": "first"})).bytes(false);
    let follow = Request::get("/alerts").key(&key).bytes(false);
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&[publish, follow].concat()).unwrap();
    let stored = answer(&mut socket);
    assert_eq!((stored.status, &stored.json()["status"]), (200, &json!("alert stored")));
    let mut stream = Stream::answered(socket).unwrap();
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.message(), "first");
    daemon.publish(&key, "default", "second");
    assert_eq!(stream.message(), "second");
}

#[test]
fn a_request_that_comes_byte_by_byte_is_a_request() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for byte in Request::get("/alerts?since=none").key(&key).bytes(false) {
        socket.write_all(&[byte]).unwrap();
    }
    let mut stream = Stream::answered(socket).unwrap();
    stream.until("cursor");
    daemon.publish(&key, "default", "hello");
    assert_eq!(stream.message(), "hello");
}

#[test]
fn what_a_client_sends_on_an_open_stream_costs_nothing_and_disturbs_nothing() {
    let daemon = Daemon::with("[http]\nheartbeat = \"1s\"\n");
    let key = daemon.key("alice");
    let mut quiet = daemon.stream(&key, "/alerts?since=none");
    quiet.until("cursor");
    let before = daemon.memory_kb();
    let garbage = vec![b'\n'; 1 << 20];
    let mut noisy: Vec<_> = (0..8)
        .map(|_| {
            let mut socket = TcpStream::connect(daemon.address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
                .write_all(&[Request::get("/alerts?since=none").key(&key).bytes(false), vec![0; 999]].concat())
                .unwrap();
            let mut stream = Stream::answered(socket.try_clone().unwrap()).unwrap();
            stream.until("cursor");
            // Until the receive buffer of the daemon is full.
            socket.set_nonblocking(true).unwrap();
            let refused = loop {
                if let Err(error) = socket.write_all(&garbage) {
                    break error;
                }
            };
            assert_eq!(refused.kind(), ErrorKind::WouldBlock);
            socket.set_nonblocking(false).unwrap();
            stream
        })
        .collect();
    let began = work(&daemon);
    for _ in 0..3 {
        quiet.until("cursor");
    }
    let spent = work(&daemon) - began;
    assert!(spent < 50, "{spent} hundredths of a second spent on ignored bytes");
    assert!(daemon.memory_kb() < before + (6 << 10), "{} kB after {before} kB", daemon.memory_kb());
    daemon.publish(&key, "default", "for all");
    for stream in noisy.iter_mut().chain([&mut quiet]) {
        assert_eq!(stream.message(), "for all");
    }
}

#[test]
fn a_client_that_goes_away_ends_its_stream_at_once_however_it_goes() {
    // The first subscription has the only ring; the second is served from the log.
    let daemon = Daemon::with(&format!("{SILENT}[hub]\nmax_subscriptions = 1\n"));
    let key = daemon.key("alice");
    let mut stays = daemon.stream(&key, "/alerts?since=none");
    stays.until("cursor");
    for topic in ["default", "other"] {
        for way in ["half", "close", "reset"] {
            let socket = TcpStream::connect(daemon.address).unwrap();
            let path = format!("/alerts/{topic}?since=none");
            let mut stream = Stream::on(socket.try_clone().unwrap(), &Request::get(&path).key(&key)).unwrap();
            stream.until("cursor");
            daemon.has_streams(2);
            let began = Instant::now();
            match way {
                "half" => {
                    socket.shutdown(Shutdown::Write).unwrap();
                    while stream.event().is_some() {}
                }
                "close" => drop((socket, stream)),
                _ => {
                    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                    drop((stream, socket));
                }
            }
            daemon.has_streams(1);
            assert!(began.elapsed() < Duration::from_secs(5), "{topic}, {way}: {:?}", began.elapsed());
        }
    }
    let socket = UnixStream::connect(daemon.control()).unwrap();
    let mut stream = Stream::on(socket.try_clone().unwrap(), &Request::get("/alerts")).unwrap();
    stream.until("cursor");
    socket.shutdown(Shutdown::Write).unwrap();
    daemon.has_streams(1);
    daemon.publish(&key, "default", "hello");
    assert_eq!(stays.message(), "hello");
}

#[test]
fn a_reader_that_stops_within_a_frame_goes_on_with_its_rest_when_the_ring_has_passed_it() {
    let daemon = Daemon::with(&format!("{SILENT}[hub]\nmemory = \"1MiB\"\n[engine]\ndurability = \"none\"\n"));
    let key = daemon.key("alice");
    let request = Request::get("/alerts?since=none").key(&key);
    let mut streams: Vec<_> = (0..3).map(|_| Stream::on(narrow(&daemon), &request).unwrap()).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    let (round, mut next) = (300, 0);
    for _ in 0..3 {
        // Over a megabyte, while the ring holds a quarter of that and the sockets a few kilobytes.
        publish_all(&daemon, &key, "default", next..next + round, 3900);
        assert!(daemon.status()["hub"]["bytes"].as_u64().unwrap() <= 256 << 10);
        for stream in &mut streams {
            // Not to the end, so that the next round meets it within a frame again.
            let seen: Vec<_> = (next..next + round - 40).map(|_| number(stream)).collect();
            assert_eq!(seen, (next..next + round - 40).collect::<Vec<_>>());
        }
        for stream in &mut streams {
            let seen: Vec<_> = (next + round - 40..next + round).map(|_| number(stream)).collect();
            assert_eq!(seen, (next + round - 40..next + round).collect::<Vec<_>>());
        }
        next += round;
    }
    assert_eq!(daemon.status()["hub"]["ended_slow"], 0);
}

#[test]
fn a_reader_that_never_reads_is_ended_and_the_others_do_not_notice() {
    let daemon = Daemon::with("[hub]\nmemory = \"1MiB\"\n[engine]\ndurability = \"none\"\n");
    let key = daemon.key("alice");
    let request = Request::get("/alerts?since=none").key(&key);
    let stuck: Vec<_> = (0..3).map(|_| Stream::on(narrow(&daemon), &request).unwrap()).collect();
    let mut fast = daemon.follow(&request);
    fast.until("cursor");
    daemon.has_streams(4);
    let (began, mut next) = (Instant::now(), 0);
    while daemon.status()["hub"]["ended_slow"] != 3 {
        assert!(began.elapsed() < 2 * PATIENCE, "never ended");
        publish_all(&daemon, &key, "default", next..next + 20, 3900);
        let published = Instant::now();
        for number_ in next..next + 20 {
            assert_eq!(number(&mut fast), number_);
        }
        assert!(published.elapsed() < Duration::from_secs(2), "the fast one waited {:?}", published.elapsed());
        next += 20;
    }
    assert!(began.elapsed() > Duration::from_secs(28), "ended after {:?}", began.elapsed());
    // Clients decide how often that happens, so the journal has one line for all of them.
    assert_eq!(daemon.log().matches("message_id=slow-stream-ended").count(), 1, "{}", daemon.log());
    daemon.has_streams(1);
    drop(stuck);
}

#[test]
fn the_control_socket_carries_streams_without_a_key() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    daemon.publish(&key, "ops.db", "one");
    let socket = UnixStream::connect(daemon.control()).unwrap();
    let mut stream = Stream::on(socket, &Request::get("/alerts?topic=*&since=all")).unwrap();
    assert_eq!(stream.message(), "one");
    let mut tail = daemon.ctl_command();
    tail.args(["tail", "*", "--since", "all", "--count", "2", "--json"]).stdout(std::process::Stdio::piped());
    let tail = tail.spawn().unwrap();
    daemon.has_streams(2);
    daemon.publish(&key, "ops.net", "two");
    assert_eq!(stream.message(), "two");
    let output = tail.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && lines.lines().count() == 2 && lines.contains("two"), "{lines}");
    drop(stream);
    daemon.has_streams(0);
}
