//! The journal as alerts, with a `journalctl` that writes what the test wants: a flood (F19), urgent entries within it, and
//! kills in the middle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Daemon, Request, Running, eventually};

/// A journal in a directory, read by the `journalctl` beside it: it starts at the entry of `--cursor`, selects by `PRIORITY`,
/// and goes on after `pause` entries once a file `go` is there.
struct Journal {
    directory: tempfile::TempDir,
}

const SCRIPT: &str = r#"#!/usr/bin/python3
import json, os, select, sys
here = os.path.dirname(os.path.abspath(__file__))
reader = select.poll()
reader.register(1, 0)
# Whether nobody reads what this writes, after some milliseconds.
is_gone = lambda ms: bool(reader.poll(ms))
entries = [line.rstrip("\n") for line in open(here + "/entries")]
words = sys.argv[1:]
value = lambda name: next((word.split("=", 1)[1] for word in words if word.startswith(name + "=")), None)
cursors = [json.loads(line)["__CURSOR"] for line in entries]
at = cursors.index(value("--cursor")) if value("--cursor") else 0
if value("--lines") == "1" and not value("--cursor"):
    at = len(entries) - 1
if value("--lines") == "1":
    print(entries[at]); sys.exit()
priorities = {word for word in words if word.startswith("PRIORITY=")}
pause = int(open(here + "/pause").read())
is_all = "PRIORITY=3" in priorities
for n, line in enumerate(entries[at:], at):
    if is_all and n == pause:
        sys.stdout.flush()
        while not os.path.exists(here + "/go") and not is_gone(5):
            pass
    if "PRIORITY=" + json.loads(line)["PRIORITY"] in priorities:
        sys.stdout.write(line + "\n")
sys.stdout.flush()
# Ends with the follower, also if that is killed.
while "--follow" in words and not is_gone(1000):
    pass
"#;

impl Journal {
    /// A journal of errors, but for the critical one at `critical`.
    fn new(total: usize, critical: usize, pause: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let entry = |n: usize| {
            let micros = 1_795_455_190_000_000 + n;
            json!({
                "__CURSOR": format!("s=0;i={n:x};b=0;m={n:x};t={micros:x};x=0"), "__REALTIME_TIMESTAMP": micros.to_string(),
                "PRIORITY": if n == critical { "2" } else { "3" }, "MESSAGE": format!("entry {n}"),
                "_HOSTNAME": "nas1", "_SYSTEMD_UNIT": "flood.service", "SYSLOG_IDENTIFIER": "flood", "_PID": "7",
            })
        };
        let entries: String = (0..=total).map(|n| format!("{}\n", entry(n))).collect();
        fs::write(directory.path().join("entries"), entries).unwrap();
        fs::write(directory.path().join("pause"), pause.to_string()).unwrap();
        // The position is behind entry 0.
        let first = format!("s=0;i=0;b=0;m=0;t={:x};x=0\n", 1_795_455_190_000_000u64);
        fs::write(directory.path().join("position"), first).unwrap();
        let script = directory.path().join("journalctl");
        fs::write(&script, SCRIPT).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, daemon: &Daemon) -> Command {
        let mut command = daemon.ctl_command();
        let path = format!("{}:{}", self.directory.path().display(), std::env::var("PATH").unwrap());
        command.args(["journal", "--state"]).arg(self.file("position")).env("PATH", path);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn follow(&self, daemon: &Daemon) -> Running {
        Running(self.command(daemon).spawn().unwrap())
    }

    fn go(&self) {
        fs::write(self.file("go"), "").unwrap();
    }

    fn position(&self) -> String {
        fs::read_to_string(self.file("position")).unwrap()
    }
}

/// The numbers of all entries that are alerts, in the order of the log.
fn numbers(daemon: &Daemon) -> Vec<usize> {
    let (mut numbers, mut since) = (Vec::new(), "all".to_owned());
    loop {
        let request = Request::get(&format!("/alerts/host.journal?since={since}&limit=1000"));
        let page = request.header("Accept", "application/json").over(&daemon.control()).json();
        let number =
            |alert: &Value| alert["message"].as_str().unwrap().split_once(' ').unwrap().1.parse::<usize>().unwrap();
        numbers.extend(page["alerts"].as_array().unwrap().iter().map(number));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut since),
            None => return numbers,
        }
    }
}

/// A number of `/metrics`.
fn metric(daemon: &Daemon, name: &str) -> u64 {
    let text = Request::get("/metrics").over(&daemon.control()).text();
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("{name}"));
    line.parse().unwrap()
}

fn until_the_end(journal: &Journal, total: usize) {
    eventually("the end of the journal", || journal.position().contains(&format!("i={total:x};")).then_some(()));
}

const FLOOD: usize = 10_000;

/// F19: each entry had a request and a commit of its own.
#[test]
fn f19_a_flood_of_journal_entries_is_published_in_order_and_many_at_once() {
    let daemon = Daemon::start();
    let journal = Journal::new(FLOOD, usize::MAX, usize::MAX);
    let before = metric(&daemon, "alertd_engine_commit_seconds_count");
    let _follower = journal.follow(&daemon);
    until_the_end(&journal, FLOOD);
    assert_eq!(numbers(&daemon), (1..=FLOOD).collect::<Vec<_>>());
    let commits = metric(&daemon, "alertd_engine_commit_seconds_count") - before;
    assert!(commits <= FLOOD as u64 / 50, "{commits} commits");
}

/// F19: an urgent entry waited for the whole flood before it.
#[test]
fn f19_an_urgent_journal_entry_overtakes_a_flood_and_is_published_once() {
    let daemon = Daemon::start();
    let (total, paused) = (2_000, 500);
    let journal = Journal::new(total, total - 1, paused);
    let follower = journal.follow(&daemon);
    // The flood stands still before the urgent entry, and alertd has it nevertheless.
    eventually("the urgent entry", || numbers(&daemon).contains(&(total - 1)).then_some(()));
    let names = journal.file("position.overtaken");
    eventually("its name", || fs::read_to_string(&names).is_ok_and(|text| text.starts_with("s=")).then_some(()));
    // Killed in between, the next run knows what it has published.
    drop(follower);
    journal.go();
    let _follower = journal.follow(&daemon);
    until_the_end(&journal, total);
    let mut found = numbers(&daemon);
    let at = found.iter().position(|number| *number == total - 1).unwrap();
    assert!(at < paused, "{at}");
    found.remove(at);
    assert_eq!(found, (1..=total).filter(|number| *number != total - 1).collect::<Vec<_>>());
    eventually("no name", || fs::read_to_string(&names).is_ok_and(|text| text == "\n").then_some(()));
}

/// F19: many entries in one request are as exact as one.
#[test]
fn f19_a_follower_that_is_killed_within_a_flood_loses_nothing_and_repeats_nothing() {
    let daemon = Daemon::start();
    let journal = Journal::new(FLOOD, FLOOD / 2, usize::MAX);
    let mut kills = 0;
    loop {
        let before = journal.position();
        let follower = journal.follow(&daemon);
        eventually("progress", || (journal.position() != before).then_some(()));
        if journal.position().contains(&format!("i={FLOOD:x};")) {
            break;
        }
        drop(follower);
        kills += 1;
    }
    assert!(kills > 5, "{kills}");
    let mut found = numbers(&daemon);
    found.sort_unstable();
    assert_eq!(found, (1..=FLOOD).collect::<Vec<_>>());
}

#[test]
fn a_journal_entry_that_is_refused_holds_up_no_other() {
    let daemon = Daemon::start();
    let journal = Journal::new(100, usize::MAX, usize::MAX);
    let key = |cursor: &str| {
        let hex: String = Sha256::digest(cursor).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("journal-{hex}")
    };
    let text = fs::read_to_string(journal.file("entries")).unwrap();
    let entry: Value = serde_json::from_str(text.lines().nth(70).unwrap()).unwrap();
    // The idempotency key of entry 70 is taken by another alert.
    let other = Request::post("/alerts/other").header("Idempotency-Key", &key(entry["__CURSOR"].as_str().unwrap()));
    assert_eq!(other.json(&json!({"message": "x"})).over(&daemon.control()).status, 200);
    let _follower = journal.follow(&daemon);
    until_the_end(&journal, 100);
    assert_eq!(numbers(&daemon), (1..=100).filter(|number| *number != 70).collect::<Vec<_>>());
}
