//! Readers that were behind when the process ended: in the middle of a frame, or of a replay.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::SILENT;
use crate::harness::{Key, Manager, Request, Stream, eventually};

/// A connection whose kernel holds only a few kilobytes for a reader that does not read.
fn narrow(manager: &Manager) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&manager.address.into()).unwrap();
    socket.into()
}

/// Asks for a stream and reads nothing.
fn ask(manager: &Manager, key: &Key, path: &str, accept: &str) -> TcpStream {
    let mut socket = narrow(manager);
    let request = Request::get(path).key(key).header("Accept", accept);
    socket.write_all(&request.bytes(false)).unwrap();
    socket
}

fn long(number: usize) -> String {
    format!("{number:06} {}", "long ".repeat(700))
}

/// Waits until the daemon has nothing to do for a client that does not read.
fn settles(manager: &Manager) {
    eventually("a standstill", || {
        let before = manager.metric("alertd_deliveries_total");
        std::thread::park_timeout(Duration::from_millis(50));
        (manager.metric("alertd_deliveries_total") == before).then_some(())
    });
}

fn check(stream: &mut Stream, numbers: std::ops::Range<usize>) {
    let first = numbers.start;
    for number in numbers {
        assert_eq!(stream.message(), long(number), "alert {number}, the first is {first}");
    }
}

#[test]
fn a_frame_that_was_written_in_part_goes_on_at_the_exact_byte() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    let sockets: Vec<_> =
        (0..20).map(|_| ask(&manager, &key, "/alerts?topic=*&since=none", "text/event-stream")).collect();
    eventually("all streams", || {
        (manager.metric("alertd_streams{format=\"sse\",transport=\"loop\"}") == 20.0).then_some(())
    });
    for number in 0..60 {
        manager.publish("ops", &long(number));
    }
    settles(&manager);
    let began = Instant::now();
    manager.restart();
    assert!(began.elapsed() < Duration::from_secs(15), "waited for slow readers: {:?}", began.elapsed());
    assert_eq!(manager.status()["hub"]["taken_over"], 20);
    for number in 60..90 {
        manager.publish("ops", &long(number));
    }
    // Some are still behind at the next restart, others not.
    let (fast, slow) = sockets.split_at(10);
    let mut fast: Vec<_> = fast.iter().map(|socket| Stream::answered(socket.try_clone().unwrap()).unwrap()).collect();
    fast.iter_mut().for_each(|stream| check(stream, 0..90));
    manager.restart();
    for number in 90..100 {
        manager.publish("ops", &long(number));
    }
    fast.iter_mut().for_each(|stream| check(stream, 90..100));
    for socket in slow {
        check(&mut Stream::answered(socket.try_clone().unwrap()).unwrap(), 0..100);
    }
}

#[test]
fn a_replay_goes_on_where_it_was() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    let topics = 40;
    for number in 0..300 {
        manager.publish(&format!("ops.t{}", number % topics), &long(number));
    }
    let ask = |path| ask(&manager, &key, path, "text/event-stream");
    let all: Vec<_> = (0..10).map(|_| ask("/alerts?topic=*&since=all")).collect();
    let latest: Vec<_> = (0..10).map(|_| ask("/alerts?topic=*&since=latest")).collect();
    let lost: Vec<_> = (0..3).map(|_| ask("/alerts?topic=*&last_event_id=nonsense")).collect();
    settles(&manager);
    for start in [300, 310] {
        manager.restart();
        assert_eq!(manager.status()["hub"]["taken_over"], 23);
        (start..start + 10).for_each(|number| drop(manager.publish("ops.t1", &long(number))));
    }
    for socket in all {
        let mut stream = Stream::answered(socket).unwrap();
        check(&mut stream, 0..320);
    }
    for socket in latest {
        check(&mut Stream::answered(socket).unwrap(), 300 - topics..320);
    }
    for socket in lost {
        let mut stream = Stream::answered(socket).unwrap();
        assert_eq!(stream.event().unwrap().event, "gap");
        check(&mut stream, 0..320);
    }
}

#[test]
fn a_reader_that_takes_nothing_ends_in_time_although_the_process_was_replaced() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    let stuck = ask(&manager, &key, "/alerts?topic=*&since=none", "text/event-stream");
    eventually("the stream", || (manager.status()["hub"]["streams"] == 1).then_some(()));
    (0..60).for_each(|number| drop(manager.publish("ops", &long(number))));
    settles(&manager);
    let began = Instant::now();
    std::thread::park_timeout(Duration::from_secs(12));
    manager.restart();
    std::thread::park_timeout(Duration::from_secs(12));
    manager.restart();
    eventually("the end of the slow reader", || (manager.status()["hub"]["ended_slow"] == 1).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(40), "ended after {:?}", began.elapsed());
    drop(stuck);
}
