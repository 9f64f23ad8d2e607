//! Clients that never pause, while the service is restarted, upgraded and killed.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::machine::{Machine, http, newer};
use super::on_each_release;
use crate::harness::{Key, Request, Running, Stream, eventually};

/// Streams of as many subscribers.
pub const READERS: usize = 10;

/// In the machine's network a copy of this program is the clients; everywhere else this test has nothing to do.
#[test]
fn clients() {
    let (Ok(secret), Ok(stop)) = (std::env::var("LOAD_KEY"), std::env::var("LOAD_STOP")) else { return };
    let (key, stop) = (Key { id: String::new(), secret }, PathBuf::from(stop));
    let clients = Clients::new(key);
    let (answered, seen) = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| clients.publish(&stop));
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| clients.read())).collect();
        scope.spawn(|| clients.open(&stop));
        let seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        (publisher.join().unwrap(), seen)
    });
    let (mut lost, mut repeated) = (0, 0);
    for seen in &seen {
        let distinct: HashSet<&String> = seen.iter().collect();
        lost += answered.iter().filter(|id| !distinct.contains(id)).count();
        repeated += seen.len() - distinct.len();
    }
    let report = json!({
        "refused": clients.refused.load(Ordering::Relaxed),
        "opened": clients.opened.load(Ordering::Relaxed),
        "ended": clients.ended.load(Ordering::Relaxed),
        "answered": answered.len(),
        "lost": lost,
        "repeated": repeated,
    });
    std::fs::write(stop.with_extension("report"), report.to_string()).unwrap();
}

struct Clients {
    key: Key,
    refused: AtomicU64,
    opened: AtomicU64,
    /// Streams of readers that ended before their time.
    ended: AtomicU64,
    /// The id of the last alert, once nothing more is published.
    last: Mutex<Option<String>>,
}

impl Clients {
    fn new(key: Key) -> Self {
        let [refused, opened, ended] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { key, refused, opened, ended, last: Mutex::new(None) }
    }

    fn connect(&self) -> Option<TcpStream> {
        match TcpStream::connect(http()) {
            Ok(stream) => Some(stream),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// One alert after another, each under its key until it is answered.
    fn publish(&self, stop: &Path) -> Vec<String> {
        let mut answered = Vec::new();
        while !stop.exists() {
            let n = answered.len();
            let request = Request::post("/alerts/load").key(&self.key).header("Idempotency-Key", &format!("load-{n}"));
            let request = request.json(&json!({ "message": format!("{n}") }));
            let answer = self.connect().and_then(|stream| request.on(stream)).filter(|answer| answer.status == 200);
            if let Some(answer) = answer {
                answered.push(answer.json()["alert"]["id"].as_str().unwrap().to_owned());
            }
        }
        *self.last.lock().unwrap() = answered.last().cloned();
        answered
    }

    /// Streams without pause, each to its first event.
    fn open(&self, stop: &Path) {
        let request = Request::get("/alerts/other?since=none").key(&self.key);
        while !stop.exists() {
            if let Some(mut stream) = self.connect().and_then(|stream| Stream::on(stream, &request))
                && stream.event().is_some()
            {
                self.opened.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A subscriber that comes back with the last id it has, as every EventSource does.
    fn read(&self) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        let mut last_id = "0-0".to_owned();
        let is_done = |seen: &Vec<String>| {
            let last = self.last.lock().unwrap();
            last.is_some() && seen.contains(last.as_ref().unwrap())
        };
        while !is_done(&seen) {
            let request = Request::get("/alerts/load").key(&self.key).header("Last-Event-ID", &last_id);
            let Some(mut stream) = self.connect().and_then(|stream| Stream::on(stream, &request)) else { continue };
            while let Some(event) = stream.event() {
                assert_ne!(event.event, "gap", "{event:?}");
                if event.event.is_empty() && !event.data.is_empty() {
                    seen.push(event.id.clone().unwrap());
                }
                last_id = stream.last_id.clone().unwrap_or(last_id);
                if is_done(&seen) {
                    return seen;
                }
            }
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        seen
    }
}

/// Has this happen to clients that never pause. Gives what became of them.
pub fn under_load(machine: &Machine, events: impl FnOnce(&Machine)) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let stop = directory.path().join("stop");
    let mut command = machine.in_its_network(&std::env::current_exe().unwrap());
    command.args(["--exact", "systemd::load::clients"]).env("LOAD_KEY", machine.key("load")).env("LOAD_STOP", &stop);
    let mut clients = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let newest = || machine.sh("alertctl history load -n 1 --json");
    eventually("the first alert", || (!newest().is_empty()).then_some(()));
    events(machine);
    // What comes last is served as well.
    let before = newest();
    eventually("an alert after all that", || (newest() != before).then_some(()));
    std::fs::write(&stop, "").unwrap();
    let report = stop.with_extension("report");
    let status = clients.0.wait().unwrap();
    assert!(status.success(), "the clients failed");
    serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap()
}

fn restart(machine: &Machine) {
    machine.sh("systemctl restart alertd");
}

fn kill(machine: &Machine) {
    let pid = machine.show("alertd.service", "MainPID");
    machine.sh("systemctl kill -s KILL alertd.service");
    eventually("another process", || {
        let now = machine.show("alertd.service", "MainPID");
        (now != pid && now != "0" && machine.show("alertd.service", "ActiveState") == "active").then_some(())
    });
}

on_each_release! {
    fn restarts_an_upgrade_and_kills_refuse_nobody_and_lose_nothing(machine: &Machine) {
        machine.install();
        let sockets = machine.show("alertd.socket", "ActiveEnterTimestampMonotonic");
        let report = under_load(machine, |machine| {
            (0..10).for_each(|_| restart(machine));
            let said = machine.apt_install(newer());
            assert!(said.contains("Setting up alertd (0.2.0-1)"), "{said}");
            (0..10).for_each(|_| kill(machine));
        });
        eprintln!("{}: {report}", machine.release);
        assert_eq!((&report["refused"], &report["lost"], &report["repeated"]), (&json!(0), &json!(0), &json!(0)), "{report}");
        assert!(report["answered"].as_u64() > Some(100) && report["opened"].as_u64() > Some(20), "{report}");
        assert_eq!(machine.show("alertd.socket", "ActiveEnterTimestampMonotonic"), sockets, "the socket was restarted");
        // Ten restarts, one more by the upgrade, ten by the manager after the kills.
        assert_eq!(machine.journal("-u alertd MESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e01").len(), 22);
    }
}
