//! Damage to the stored files while alertd runs, and after it has failed: it is found, named, and never served.

mod random;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Output;

use crate::harness::{Daemon, Redis, Request, eventually, program, told};

/// The file that holds this text.
fn segment_with(daemon: &Daemon, text: &str) -> PathBuf {
    let files = fs::read_dir(daemon.state().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments = files.filter(|path| path.extension().is_some_and(|ending| ending == "seg"));
    segments.find(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(text)).unwrap()
}

/// Changes one bit of this text where it is stored.
fn damage(daemon: &Daemon, text: &str) {
    use std::os::unix::fs::FileExt;
    let path = segment_with(daemon, text);
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    // In place, as a disk does it, while alertd has the file open.
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
}

/// Starts alertd on the files of one that has ended, and waits for its end.
fn start(daemon: &Daemon, environment: &[(&str, &str)]) -> Output {
    let mut start = program("alertd");
    start.arg("--config").arg(daemon.directory.path().join("alertd.toml")).env("ALERTD_HTTP_LISTEN", "127.0.0.1:0");
    start.envs(environment.iter().copied()).output().unwrap()
}

#[test]
fn damage_while_alertd_runs_is_a_gap_for_the_next_reader_of_a_stream_and_of_history() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let ids: Vec<_> = (0..9).map(|number| daemon.publish(&key, "ops", &format!("number {number}"))).collect();
    damage(&daemon, "number 4");
    let mut stream = daemon.stream(&key, &format!("/alerts/ops?since={}", ids[1]));
    let gap = stream.until("gap");
    let gap: serde_json::Value = serde_json::from_str(&gap.data).unwrap();
    assert!(gap["oldest"].as_str().unwrap() > ids[4].as_str(), "{gap}");
    let left: Vec<_> = (0..6).map(|_| stream.message()).collect();
    assert_eq!(left, [2, 3, 5, 6, 7, 8].map(|number| format!("number {number}")));
    let page = Request::get("/alerts/ops").header("Accept", "application/json").key(&key);
    let page = daemon.send(&page).json();
    assert_eq!(page["alerts"].as_array().unwrap().len(), 8, "{page}");
    assert_eq!(page["gap"]["requested"], ids[4].as_str(), "{page}");
    let line = daemon.said("store-damaged");
    assert!(line.contains(&ids[4]) && line.contains(".seg: the record at offset"), "{line}");
    daemon.publish(&key, "ops", "after");
    assert_eq!(stream.message(), "after");
}

#[test]
fn the_scrub_finds_damage_while_alertd_runs_before_any_reader_does() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let ids: Vec<_> = (0..9).map(|number| daemon.publish(&key, "ops", &format!("number {number}"))).collect();
    let first = eventually("a pass", || Some(daemon.status()["engine"]["scrubbed_at"].as_str()?.to_owned()));
    assert_eq!(daemon.status()["engine"]["damaged"], 0);
    damage(&daemon, "number 4");
    let line = daemon.said("store-damaged");
    assert!(line.contains(&format!("the alert {} is lost", ids[4])) && line.contains(".seg"), "{line}");
    eventually("another pass", || {
        (daemon.status()["engine"]["scrubbed_at"].as_str().unwrap() > first.as_str()).then_some(())
    });
    let status = told(&daemon.ctl(&["status"]));
    assert!(status.contains("1 place, listed by journalctl") && status.contains("in the background"), "{status}");
    let metrics = Request::get("/metrics").over(&daemon.control()).text();
    assert!(metrics.contains("\nalertd_log_damaged 1\n"), "{metrics}");
    assert!(metrics.contains("\nalertd_log_scrubbed_timestamp_seconds 1"), "{metrics}");
    // Named once, by whoever came first.
    daemon.stream(&key, "/alerts/ops?since=all").until("gap");
    assert_eq!(daemon.log().matches("store-damaged").count(), 1, "{}", daemon.log());
}

#[test]
fn a_start_after_a_panic_of_the_storage_checks_the_log_and_serves_one_that_is_not_damaged() {
    let mut daemon = Daemon::start();
    let key = daemon.key("alice");
    daemon.publish(&key, "ops", "number 1");
    assert!(daemon.stop().success());
    let failed = start(&daemon, &[("TEST_WORKER_FAULT", "panic:alertd-writer")]);
    assert_eq!(failed.status.signal(), Some(6), "{}", told(&failed));
    let daemon = daemon.again();
    daemon.said("log-checked");
    assert_eq!(daemon.stream(&key, "/alerts/ops").message(), "number 1");
    let mut daemon = daemon;
    daemon.kill();
    assert!(!daemon.again().log().contains("log-checked"), "it was checked again");
}

#[test]
fn a_start_after_a_panic_of_the_storage_refuses_a_damaged_log_until_somebody_decides() {
    let mut daemon = Daemon::start();
    let key = daemon.key("alice");
    (0..9).for_each(|number| drop(daemon.publish(&key, "ops", &format!("number {number}"))));
    assert!(daemon.stop().success());
    damage(&daemon, "number 4");
    let failed = start(&daemon, &[("TEST_WORKER_FAULT", "panic:alertd-keeper")]);
    assert_eq!(failed.status.signal(), Some(6), "{}", told(&failed));
    let note = daemon.state().join("log.suspect");
    for _ in 0..2 {
        let refused = start(&daemon, &[]);
        let said = told(&refused);
        assert_eq!(refused.status.code(), Some(65), "{said}");
        assert!(
            said.contains("damaged in 1 places") && said.contains(".seg") && said.contains("alertctl check"),
            "{said}"
        );
        assert!(said.contains(note.to_str().unwrap()), "{said}");
    }
    fs::remove_file(note).unwrap();
    let daemon = daemon.again();
    let mut stream = daemon.stream(&key, "/alerts/ops?since=all");
    stream.until("gap");
    assert_eq!((0..8).filter(|_| stream.alert().is_some()).count(), 8);
}

#[test]
fn an_entry_of_redis_that_does_not_decode_is_a_gap_for_readers_and_everything_else_is_served() {
    let redis = Redis::start();
    let daemon = Daemon::with(&redis.configuration(""));
    let key = daemon.key_once_ready();
    let ids: Vec<_> = (0..5).map(|number| daemon.publish(&key, "ops", &format!("number {number}"))).collect();
    let log = redis.ask(&["KEYS", "*log"]);
    // In the place of an entry that alertd wrote.
    let (ms, sequence) = ids[4].split_once('-').unwrap();
    let bad = format!("{ms}-{}", sequence.parse::<u64>().unwrap() + 1);
    redis.ask(&["XADD", log.trim(), &bad, "ms", "1", "level", "x", "topic", "ops"]);
    daemon.publish(&key, "ops", "after");
    for (path, all) in [("/alerts?topic=*&since=all", 6), ("/alerts/ops?since=all", 6)] {
        let mut stream = daemon.stream(&key, path);
        let mut events = Vec::new();
        while let Some(event) = stream.event().filter(|event| event.event != "cursor") {
            events.push(event);
        }
        let alerts = events.iter().filter(|event| event.event.is_empty() && !event.data.is_empty()).count();
        assert_eq!(alerts, all, "{path}: {events:?}");
        if path.contains('*') {
            let gap = events.iter().find(|event| event.event == "gap").unwrap();
            let gap: serde_json::Value = serde_json::from_str(&gap.data).unwrap();
            assert!(gap["oldest"].as_str().unwrap() > bad.as_str(), "{gap}");
        }
    }
    let page = daemon.send(&Request::get("/alerts?topic=*").header("Accept", "application/json").key(&key)).json();
    assert_eq!(page["alerts"].as_array().unwrap().len(), 6, "{page}");
    assert_eq!(page["gap"]["requested"], bad.as_str(), "{page}");
    assert!(daemon.said("store-damaged").contains(&bad));
    assert_eq!(daemon.log().matches("store-damaged").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.status()["engine"]["damaged"], 1);
}
