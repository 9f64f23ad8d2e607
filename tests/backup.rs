//! Backups of a running daemon, and logs that are restored from them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Daemon, Key, Request, program, told};

/// Backups of the test under load, times `ALERTD_TEST_RUNS`.
const BACKUPS: usize = 5;
const PUBLISHERS: usize = 8;

pub(crate) type Alerts = BTreeMap<(u64, u64), Value>;

pub(crate) fn order(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap();
    (ms.parse().unwrap(), seq.parse().unwrap())
}

pub(crate) fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// alertctl with the configuration of a daemon, which names the socket.
pub(crate) fn configured(daemon: &Daemon) -> Command {
    let mut command = program("alertctl");
    command.arg("--config").arg(daemon.directory.path().join("alertd.toml"));
    command
}

pub(crate) fn restore(daemon: &Daemon, arguments: &[&str], backup: &Path) -> Output {
    configured(daemon).arg("restore").args(arguments).arg(backup).output().unwrap()
}

/// A daemon with the restored backup in a new directory, as on another machine.
pub(crate) fn restored(configuration: &str, arguments: &[&str], backup: &Path) -> Daemon {
    let mut daemon = Daemon::with(configuration);
    assert!(daemon.stop().success());
    let output = restore(&daemon, arguments, backup);
    assert!(succeeded(&output).contains("systemctl start alertd.socket"), "{}", told(&output));
    daemon.again()
}

/// Every alert, and whether a reader from the beginning gets a gap.
pub(crate) fn history(daemon: &Daemon) -> Alerts {
    let (mut alerts, mut since) = (Alerts::new(), "all".to_owned());
    loop {
        let path = format!("/alerts?topic=*&limit=1000&since={since}");
        let page = Request::get(&path).header("Accept", "application/json").over(&daemon.control()).json();
        for alert in page["alerts"].as_array().unwrap() {
            alerts.insert(order(alert["id"].as_str().unwrap()), alert.clone());
        }
        match page["next"].as_str() {
            Some(next) => since = next.to_owned(),
            None => return alerts,
        }
    }
}

/// The first line of a backup.
pub(crate) fn header(backup: &Path) -> Value {
    let text = fs::read_to_string(backup).unwrap();
    let line = text.lines().next().unwrap();
    serde_json::from_str::<Value>(line.splitn(3, ' ').nth(2).unwrap()).unwrap()["header"].clone()
}

fn publish_until(is_over: &AtomicBool, number: usize, daemon: &Daemon, key: &Key) -> Alerts {
    let mut answered = Alerts::new();
    for turn in 0.. {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        let body = json!({ "message": format!("{number}-{turn}-{}", "x".repeat(300)) });
        let answer = daemon.send(&Request::post(&format!("/alerts/load.{number}")).key(key).json(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        let alert = answer.json()["alert"].clone();
        answered.insert(order(alert["id"].as_str().unwrap()), alert);
    }
    answered
}

/// Backups that are made while publishers are at work: the alerts that were answered, and the files.
pub(crate) fn backups_under_publishers(
    daemon: &Daemon,
    key: &Key,
    place: &Path,
    number: usize,
) -> (Alerts, Vec<PathBuf>) {
    let runs: usize = std::env::var("ALERTD_TEST_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let publish = |number| {
            scope.spawn({
                let is_over = &is_over;
                move || publish_until(is_over, number, daemon, key)
            })
        };
        let publishing: Vec<_> = (0..PUBLISHERS).map(publish).collect();
        let back_up = |number: usize| {
            let path = place.join(number.to_string());
            let said = succeeded(&daemon.ctl(&["backup", path.to_str().unwrap()]));
            assert!(said.contains(&format!("up to {}", header(&path)["until"].as_str().unwrap())), "{said}");
            assert!(!said.contains("gaps"), "{said}");
            path
        };
        let backups = (0..number * runs).map(back_up).collect();
        is_over.store(true, Ordering::Release);
        (publishing.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect(), backups)
    })
}

/// The answered alerts that a backup has to have, from its first line.
pub(crate) fn prefix(answered: &Alerts, backup: &Path) -> Alerts {
    let header = header(backup);
    let [trim, until] = ["trim", "until"].map(|name| order(header[name].as_str().unwrap()));
    let is_in = |id: &(u64, u64)| *id > trim && *id <= until;
    answered.iter().filter(|(id, _)| is_in(id)).map(|(id, alert)| (*id, alert.clone())).collect()
}

/// F1: of copies of the directory, made as the documents said with clients about, two of three could not be opened.
#[test]
fn f1_backups_under_publishers_and_retention_hold_exactly_a_prefix_of_the_log_and_restore() {
    let daemon = Daemon::with("engine.durability = \"none\"\nalerts.retain_count = 3000\n");
    let (key, place) = (daemon.key("alice"), tempfile::tempdir().unwrap());
    let (answered, backups) = backups_under_publishers(&daemon, &key, place.path(), BACKUPS);
    for backup in backups {
        assert!(configured(&daemon).arg("check").arg(&backup).output().unwrap().status.success());
        let restored = restored("alerts.retain_count = 0\n", &[], &backup);
        assert!(history(&restored) == prefix(&answered, &backup), "{}", backup.display());
        let until = order(header(&backup)["until"].as_str().unwrap());
        assert!(order(&restored.publish(&key, "new", "its key works")) > until);
    }
}

#[test]
fn a_restored_daemon_knows_keys_cursors_and_idempotency_keys_and_tells_what_it_lost() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let send = |daemon: &Daemon, name: &str| {
        let request = Request::post("/alerts/ops").key(&key).header("Idempotency-Key", name);
        let answer = daemon.send(&request.json(&json!({ "message": name })));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["alert"]["id"].as_str().unwrap().to_owned()
    };
    let ids: Vec<_> = ["one", "two", "three"].map(|name| send(&daemon, name)).to_vec();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    succeeded(&daemon.ctl(&["backup", backup.to_str().unwrap()]));
    let later = send(&daemon, "after the backup");

    let running = restore(&daemon, &[], &backup);
    assert!(
        running.status.code() == Some(69) && told(&running).contains("systemctl stop alertd.socket"),
        "{running:?}"
    );
    let restored = restored("", &[], &backup);
    assert_eq!(ids, ["one", "two", "three"].map(|name| send(&restored, name)));
    let gap = |cursor: &str| {
        let path = format!("/alerts?topic=ops&since={cursor}");
        let request = Request::get(&path).header("Accept", "application/json").key(&key);
        !restored.send(&request).json()["gap"].is_null()
    };
    assert!(ids.iter().all(|id| !gap(id)) && gap(&later));
    assert!(restored.state().join("log.replaced").is_dir());

    // With --no-keys the present keys stay.
    let mut other = Daemon::start();
    let own = other.key("bob");
    assert!(other.stop().success());
    succeeded(&restore(&other, &["--no-keys"], &backup));
    let other = other.again();
    assert_eq!(history(&other).len(), 3);
    other.publish(&own, "new", "bob's key works");
    assert_eq!(other.send(&Request::get("/health").key(&key)).status, 401);
}

#[test]
fn one_backup_at_a_time_is_made_and_a_stop_does_not_wait_for_it() {
    let mut daemon = Daemon::start();
    let key = daemon.key("alice");
    // More than the buffers of a connection hold.
    let body = json!({ "message": "large", "metadata": { "text": "x".repeat(40_000) } });
    for _ in 0..60 {
        assert_eq!(daemon.send(&Request::post("/alerts/ops").key(&key).json(&body)).status, 200);
    }
    let mut reader = UnixStream::connect(daemon.control()).unwrap();
    reader.write_all(b"GET /backup HTTP/1.1\r\nHost: alertd\r\n\r\n").unwrap();
    let mut begun = [0; 1000];
    reader.read_exact(&mut begun).unwrap();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    let refused = daemon.ctl(&["backup", backup.to_str().unwrap()]);
    assert!(refused.status.code() == Some(69) && told(&refused).contains("another backup"), "{}", told(&refused));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "something was left behind");
    daemon.signal("TERM");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("alertd is stopping") && !rest.contains("{\"end\":"), "it came to its end");
    assert!(daemon.ended().success());
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
}

#[test]
fn a_damaged_backup_is_named_and_restored_only_on_purpose_with_a_gap() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let ids: Vec<_> = (0..9).map(|number| daemon.publish(&key, "ops", &format!("number {number}"))).collect();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    succeeded(&daemon.ctl(&["backup", backup.to_str().unwrap()]));
    fs::write(&backup, fs::read_to_string(&backup).unwrap().replace("number 4", "number X")).unwrap();
    let check = configured(&daemon).arg("check").arg(&backup).output().unwrap();
    assert!(check.status.code() == Some(65) && told(&check).contains("checksum"), "{}", told(&check));
    let mut refusing = Daemon::start();
    assert!(refusing.stop().success());
    let refused = restore(&refusing, &[], &backup);
    assert!(refused.status.code() == Some(65) && told(&refused).contains("--damaged"), "{}", told(&refused));
    assert!(!refusing.state().join("log.replaced").exists());

    let restored = restored("", &["--damaged"], &backup);
    let left = history(&restored);
    assert_eq!(left.len(), 8);
    let path = format!("/alerts?topic=ops&since={}", ids[2]);
    let mut stream = restored.stream(&key, &path);
    let events: Vec<_> = std::iter::from_fn(|| stream.event()).take_while(|event| event.event != "cursor").collect();
    assert!(events.iter().any(|event| event.event == "gap"), "{events:?}");
}

#[test]
fn a_damaged_store_is_checked_and_saved_and_an_unreadable_one_names_the_commands() {
    let mut daemon = Daemon::start();
    let key = daemon.key("alice");
    (0..9).for_each(|number| drop(daemon.publish(&key, "ops", &format!("number {number}"))));
    let running = configured(&daemon).arg("check").output().unwrap();
    assert!(running.status.code() == Some(69) && told(&running).contains("systemctl stop"), "{}", told(&running));
    assert!(daemon.stop().success());
    let sound = configured(&daemon).arg("check").output().unwrap();
    assert!(succeeded(&sound).is_empty() && told(&sound).contains("9 alerts"), "{}", told(&sound));

    let log = daemon.state().join("log");
    let files = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "seg")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|window| window == b"number 4").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let check = configured(&daemon).arg("check").output().unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(check.status.code() == Some(65) && told(&check).contains(name), "{}", told(&check));
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    let saved = configured(&daemon).arg("backup").arg(&backup).output().unwrap();
    assert!(succeeded(&saved).contains("8 alerts") && told(&saved).contains("gaps: 1"), "{}", told(&saved));
    assert_eq!(fs::read(&segment).unwrap(), bytes, "the store was changed");
    assert_eq!(history(&restored("", &[], &backup)).len(), 8);

    fs::remove_dir_all(&log).unwrap();
    let refused = configured(&daemon).arg("check").output().unwrap();
    assert!(refused.status.code() == Some(65) && told(&refused).contains("alertctl restore"), "{}", told(&refused));
    let mut start = program("alertd");
    start.arg("--config").arg(daemon.directory.path().join("alertd.toml")).env("ALERTD_HTTP_LISTEN", "127.0.0.1:0");
    let start = start.output().unwrap();
    assert!(!start.status.success() && told(&start).contains("alertctl restore"), "{}", told(&start));
}
