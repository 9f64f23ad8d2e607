//! Hundreds of streams at once: revoked keys, maximum age, heartbeats, shutdown, and more subscriptions than rings.

use std::time::{Duration, Instant};

use crate::harness::{Daemon, Key, Request, Stream, Transport, over_both_transports};

use super::{number, publish_all};

over_both_transports! {
    a_revoked_key_among_many_ends_exactly_its_streams_within_a_second,
    streams_that_are_old_enough_are_told_so,
    hundreds_of_idle_streams_get_cursors_that_move_and_never_go_back,
    a_stop_with_hundreds_of_streams_says_goodbye_to_each_and_ends_in_time,
    subscriptions_without_a_ring_get_everything_in_order,
    thousands_of_distinct_subscriptions_leave_nothing_behind,
}

const TOPICS: [&str; 3] = ["a", "b", "c"];

fn crowd(daemon: &Daemon, keys: &[Key], each: usize) -> Vec<(usize, &'static str, Stream)> {
    let mut crowd = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        for topic in TOPICS {
            for _ in 0..each {
                let mut stream = daemon.stream(key, &format!("/alerts/{topic}?since=none"));
                stream.until("cursor");
                crowd.push((number, topic, stream));
            }
        }
    }
    crowd
}

fn a_revoked_key_among_many_ends_exactly_its_streams_within_a_second(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let keys: Vec<_> = (0..4).map(|number| daemon.key(&format!("user{number}"))).collect();
    let mut crowd = crowd(&daemon, &keys, 25);
    daemon.has_streams(300);
    for gone in [2, 0] {
        let left = crowd.iter().filter(|(number, ..)| *number != gone).count();
        let revoked = Request::new("DELETE", &format!("/keys/{}", keys[gone].id)).over(&daemon.control());
        assert_eq!(revoked.status, 200);
        let began = Instant::now();
        daemon.has_streams(left as u64);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        for (number, topic, mut stream) in std::mem::take(&mut crowd) {
            if number == gone {
                assert_eq!(stream.bye(), "revoked");
            } else {
                crowd.push((number, topic, stream));
            }
        }
        assert_eq!(crowd.len(), left);
    }
    for topic in TOPICS {
        daemon.publish(&keys[1], topic, topic);
    }
    for (_, topic, stream) in &mut crowd {
        assert_eq!(stream.message(), *topic);
    }
}

fn streams_that_are_old_enough_are_told_so(transport: Transport) {
    let daemon = Daemon::on(transport, "[http]\nstream_lifetime = \"3s\"\n");
    let began = Instant::now();
    let mut crowd = crowd(&daemon, &[daemon.key("alice")], 10);
    for (.., stream) in &mut crowd {
        assert_eq!(stream.bye(), "lifetime");
    }
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    daemon.has_streams(0);
}

fn hundreds_of_idle_streams_get_cursors_that_move_and_never_go_back(transport: Transport) {
    let daemon = Daemon::on(transport, "[http]\nheartbeat = \"1s\"\n[engine]\ndurability = \"none\"\n");
    let key = daemon.key("alice");
    let mut crowd = crowd(&daemon, std::slice::from_ref(&key), 100);
    // Alerts arrive on another topic all the time, and now and then on this one.
    for turn in 0..200 {
        daemon.publish(&key, "elsewhere", "x");
        if turn % 50 == 0 {
            daemon.publish(&key, TOPICS[turn / 50 % 3], "here");
        }
    }
    let last: alertd::alert::Id = daemon.publish(&key, "elsewhere", "x").parse().unwrap();
    for (_, topic, stream) in &mut crowd {
        let (mut cursor, mut alerts) = (alertd::alert::Id::ZERO, 0);
        while cursor < last {
            let event = stream.event().unwrap();
            let id = event.id.unwrap().parse().unwrap();
            match event.event.as_str() {
                "cursor" => assert!(id >= cursor, "{id} behind {cursor}"),
                "" => assert!(id > cursor, "{id} behind {cursor}"),
                other => panic!("{other}"),
            }
            alerts += usize::from(event.event.is_empty());
            cursor = id;
        }
        assert_eq!(alerts, if *topic == "a" { 2 } else { 1 });
    }
}

fn a_stop_with_hundreds_of_streams_says_goodbye_to_each_and_ends_in_time(transport: Transport) {
    let mut daemon = Daemon::on(transport, "");
    let keys: Vec<_> = (0..4).map(|number| daemon.key(&format!("user{number}"))).collect();
    let mut crowd = crowd(&daemon, &keys, 25);
    let began = Instant::now();
    assert!(daemon.stop().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for (.., stream) in &mut crowd {
        assert_eq!(stream.bye(), "stop");
    }
}

fn subscriptions_without_a_ring_get_everything_in_order(transport: Transport) {
    let daemon = Daemon::on(transport, "[hub]\nmax_subscriptions = 2\n[engine]\ndurability = \"none\"\n");
    let key = daemon.key("alice");
    let mut crowd = crowd(&daemon, std::slice::from_ref(&key), 8);
    assert_eq!(daemon.status()["hub"]["subscriptions"], 2);
    std::thread::scope(|scope| {
        for topic in TOPICS {
            let (daemon, key) = (&daemon, &key);
            scope.spawn(move || publish_all(daemon, key, topic, 0..200, 100));
        }
        for (.., stream) in &mut crowd {
            let seen: Vec<_> = (0..200).map(|_| number(stream)).collect();
            assert!(seen.iter().copied().eq(0..200), "{seen:?}");
        }
    });
}

fn thousands_of_distinct_subscriptions_leave_nothing_behind(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let open = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let stream = daemon.stream(&key, &format!("/alerts?topic=t{number}.*&topic=u{number}&since=none"));
            assert_eq!(stream.head.status, 200);
        }
        daemon.has_streams(0);
    };
    open(0..500);
    let before = daemon.memory_kb();
    open(500..2500);
    let after = daemon.memory_kb();
    assert!(after < before + (4 << 10), "{after} kB after {before} kB");
    assert_eq!((&daemon.status()["hub"]["subscriptions"], &daemon.status()["hub"]["bytes"]), (&0.into(), &0.into()));
}
