//! Streams that do not go on, and why.

use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::net::{Shutdown, shutdown};
use serde_json::{Value, json};

use super::SILENT;
use crate::harness::{Key, Manager, PATIENCE, Request, Stream, certificate, eventually, program, told};

fn open(manager: &Manager, key: &Key, topic: &str) -> Stream {
    let mut stream = manager.stream(key, &format!("/alerts?topic={topic}"));
    stream.until("cursor");
    stream
}

/// The stream goes on with this message.
fn goes_on(stream: &mut Stream, message: &str) {
    assert_eq!(stream.message(), message);
}

/// Changes the stored key, as an operator does it who edits the file.
fn edit_key(manager: &Manager, key: &Key, change: impl Fn(&mut Value)) {
    let path = manager.directory.path().join("state/auth.json");
    let mut stored: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let keys = stored["keys"].as_array_mut().unwrap();
    let record = keys.iter_mut().find(|stored| stored["id"] == key.id.as_str()).unwrap();
    record.as_object_mut().unwrap().remove("checksum");
    change(record);
    // Or a key without a checksum would count as damaged.
    stored.as_object_mut().unwrap().remove("number");
    std::fs::write(path, stored.to_string()).unwrap();
}

#[test]
fn a_key_that_was_revoked_narrowed_or_expired_meanwhile_ends_exactly_its_streams() {
    let mut manager = Manager::running(SILENT);
    let new =
        |user: &str, expires: Value| manager.key(&json!({ "user": user, "topics": ["*"], "expires_in": expires }));
    let (good, revoked, narrowed, expired) =
        (new("a", json!(null)), new("b", json!(null)), new("c", json!(null)), new("d", json!(3600)));
    let mut goes = [open(&manager, &good, "*"), open(&manager, &narrowed, "ops.*")];
    let mut ends =
        [open(&manager, &revoked, "ops.*"), open(&manager, &narrowed, "web"), open(&manager, &expired, "ops.db")];
    assert!(manager.leave().success());
    let mut ctl = program("alertctl");
    ctl.arg("--config").arg(manager.directory.path().join("alertd.toml"));
    let done = ctl.args(["key", "revoke", &revoked.id]).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    edit_key(&manager, &narrowed, |key| key["topics"] = json!(["ops.*"]));
    edit_key(&manager, &expired, |key| key["expires_at"] = json!("2020-01-01T00:00:00Z"));
    manager.start();
    manager.publish("ops.db", "after");
    goes.iter_mut().for_each(|stream| goes_on(stream, "after"));
    assert_eq!(ends.each_mut().map(Stream::bye), ["revoked", "revoked", "expired"]);
    assert_eq!(manager.metric("alertd_takeover_streams_total{result=\"taken\"}"), 2.0);
    assert_eq!(manager.metric("alertd_takeover_streams_total{result=\"key\"}"), 3.0);
    // And exactly these: a revoked key ends the others later, too.
    let gone = Request::new("DELETE", &format!("/keys/{}", good.id)).over(&manager.control());
    assert_eq!(gone.status, 200);
    assert_eq!(goes[0].bye(), "revoked");
}

#[test]
fn a_store_that_keeps_nothing_means_a_bye_and_a_resume() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    manager.keeps(false);
    let mut stream = open(&manager, &key, "*");
    manager.publish("ops", "before");
    assert!(manager.leave().success());
    assert_eq!((stream.message().as_str(), stream.bye().as_str(), manager.stored()), ("before", "restart", 0));
    manager.start();
    let id = stream.last_id.unwrap();
    manager.publish("ops", "after");
    let request = Request::get("/alerts?topic=*").key(&key).header("Last-Event-ID", &id);
    assert_eq!(Stream::open(manager.address, &request).message(), "after");
    assert!(manager.log().contains("1 of 1 streams cannot be left"), "{}", manager.log());
}

#[test]
fn a_start_that_is_refused_ends_the_streams_and_empties_the_store() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    let mut streams: Vec<_> = (0..50).map(|_| open(&manager, &key, "*")).collect();
    assert!(manager.leave().success());
    assert_eq!(manager.stored(), 1);
    manager.configure("[http]\nno_such_setting = 1\n");
    manager.launch();
    assert_eq!(manager.ended().code(), Some(78));
    streams.iter_mut().for_each(|stream| assert_eq!(stream.bye(), "restart"));
    eventually("an empty store", || (manager.stored() == 0).then_some(()));
    // The store of alerts is another reason, found later.
    manager.configure(SILENT);
    manager.start();
    let mut stream = open(&manager, &key, "*");
    assert!(manager.leave().success());
    std::fs::write(manager.directory.path().join("state/auth.json"), "no keys").unwrap();
    manager.launch();
    assert_eq!(manager.ended().code(), Some(65));
    assert_eq!(stream.bye(), "restart");
    eventually("an empty store", || (manager.stored() == 0).then_some(()));
}

/// Changes a line of the description and its checksum.
fn rewrite(text: &mut Vec<u8>, change: impl Fn(&mut Value)) {
    let lines = std::str::from_utf8(text).unwrap().lines().map(|line| match line.split_once(" {") {
        None => line.to_owned(),
        Some((_, json)) => {
            let mut value: Value = serde_json::from_str(&format!("{{{json}")).unwrap();
            change(&mut value);
            format!("{:08x} {value}", crc32c::crc32c(value.to_string().as_bytes()))
        }
    });
    *text = lines.map(|line| line + "\n").collect::<String>().into_bytes();
}

#[test]
fn streams_that_have_waited_for_longer_than_45_seconds_end() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    for (seconds, result) in [(40, "taken"), (46, "late")] {
        let mut stream = open(&manager, &key, "*");
        assert!(manager.leave().success());
        manager.repack(|_, text| {
            rewrite(text, |value| {
                if let Some(stored) = value.pointer_mut("/header/stored_ms") {
                    *stored = json!(stored.as_u64().unwrap() - seconds * 1000);
                }
            });
        });
        manager.start();
        assert_eq!(manager.metric(&format!("alertd_takeover_streams_total{{result=\"{result}\"}}")), 1.0);
        if result == "late" {
            assert_eq!(stream.bye(), "restart");
        } else {
            manager.publish("ops", "on");
            goes_on(&mut stream, "on");
        }
        drop(stream);
        eventually("no streams", || (manager.status()["hub"]["streams"] == 0).then_some(()));
    }
}

/// Flips a bit of the nth occurrence of these words.
fn flip(text: &mut [u8], words: &str, nth: usize) {
    let mut places = text.windows(words.len()).enumerate().filter(|(_, found)| *found == words.as_bytes());
    let (at, _) = places.nth(nth - 1).expect(words);
    text[at + 2] ^= 1;
}

#[test]
fn whatever_is_damaged_ends_the_streams_concerned_and_no_others() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    type Change = fn(&mut Vec<OwnedFd>, &mut Vec<u8>);
    // How many of three streams go on.
    let changes: [(Change, usize); 12] = [
        (
            |_, text| {
                *text =
                    text.strip_prefix(b"alertd takeover 1").map(|rest| [b"alertd takeover 2", rest].concat()).unwrap()
            },
            0,
        ),
        (|_, text| text.clear(), 0),
        (|_, text| *text = vec![0xff; 5000], 0),
        (|_, text| text.truncate(text.len() - 5), 3),
        (|sockets, _| drop(sockets.remove(1)), 2),
        (|sockets, _| sockets[0] = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(), 2),
        (|sockets, _| sockets[2] = std::fs::File::open("/dev/null").unwrap().into(), 2),
        (|sockets, _| sockets[1] = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(), 2),
        (|sockets, _| shutdown(&sockets[1], Shutdown::Both).unwrap(), 2),
        (|sockets, _| sockets.reverse(), 3),
        (|_, text| flip(text, "\"stream\":", 2), 2),
        (|_, text| flip(text, "\"subscription\":", 1), 0),
    ];
    for (number, (change, expected)) in changes.into_iter().enumerate() {
        let mut streams = [0; 3].map(|_| open(&manager, &key, "*"));
        assert!(manager.leave().success());
        manager.repack(change);
        manager.start();
        let message = format!("after change {number}");
        manager.publish("ops", &message);
        let went_on = streams.each_mut().map(|stream| match stream.alert() {
            Some(alert) => usize::from(alert["message"] == message.as_str()),
            None => 0,
        });
        assert_eq!(went_on.iter().sum::<usize>(), expected, "change {number}: {}", manager.log());
        assert_eq!(manager.stored(), 0);
        drop(streams);
        eventually("no streams", || (manager.status()["hub"]["streams"] == 0).then_some(()));
    }
}

#[test]
fn streams_that_cannot_be_carried_are_told_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key_file) = certificate(directory.path(), "alertd");
    let tls = format!("[http]\ntls_cert = \"{}\"\ntls_key = \"{}\"\n", cert.display(), key_file.display());
    let mut manager = Manager::running(&tls);
    let key = manager.key(&json!({ "user": "alice" }));
    let url = format!("https://localhost:{}/alerts", manager.address.port());
    let output = directory.path().join("output");
    let mut curl = ["--http1.1", "--http2"].map(|version| {
        let mut curl = Command::new("curl");
        curl.args(["-sSN", version, "--cacert"]).arg(&cert).arg("-o").arg(output.with_extension(&version[2..]));
        curl.args(["-H", &format!("Authorization: Bearer {}", key.secret), &url]).spawn().unwrap()
    });
    eventually("both streams", || (manager.status()["hub"]["streams"] == 2).then_some(()));
    assert!(manager.leave().success());
    assert_eq!(manager.stored(), 0);
    curl.iter_mut().for_each(|curl| assert!(curl.wait().unwrap().success()));
    for version in ["http1.1", "http2"] {
        let text = std::fs::read_to_string(output.with_extension(version)).unwrap();
        assert!(text.contains("event: bye\nretry: ") && text.ends_with("data: {\"reason\":\"restart\"}\n\n"), "{text}");
    }
}

#[test]
fn a_crash_ends_streams_and_loses_nothing() {
    let mut manager = Manager::running(SILENT);
    let key = manager.key(&json!({ "user": "alice" }));
    let mut stream = open(&manager, &key, "*");
    manager.publish("ops", "before");
    goes_on(&mut stream, "before");
    manager.kill();
    stream.set_patience(PATIENCE);
    assert_eq!(stream.event(), None);
    manager.start();
    manager.publish("ops", "after");
    let request = Request::get("/alerts?topic=*").key(&key).header("Last-Event-ID", &stream.last_id.unwrap());
    goes_on(&mut Stream::open(manager.address, &request), "after");
    // A process that dies after it has stored its streams has still left them.
    let mut stream = open(&manager, &key, "*");
    manager.restart();
    manager.publish("ops", "again");
    goes_on(&mut stream, "again");
}
