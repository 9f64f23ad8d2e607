//! Failed units as incidents, with a `systemctl` and a `journalctl` that say what the test wants.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Daemon, Request, Running, eventually, program, told};

/// A machine with units and a journal.
struct Machine {
    directory: tempfile::TempDir,
}

/// Units in the file `units`, one a line: name, states separated by commas (each look but the last one takes one), run,
/// and `OnFailure=`.
const SYSTEMCTL: &str = r#"#!/usr/bin/python3
import os, sys
file = os.path.dirname(os.path.abspath(__file__)) + "/units"
units = {words[0]: words[1:] for words in (line.split() for line in open(file))}
if "list-units" in sys.argv:
    for name, (states, run, reporter) in units.items():
        if states.split(",")[0] == "failed":
            print(name, "loaded failed failed", name)
    sys.exit()
is_changed = False
for name in sys.argv[sys.argv.index("--") + 1:]:
    states, run, reporter = units.get(name, ("inactive", "", "-"))
    now, _, later = states.partition(",")
    enabled = "enabled" if now == "enabled" else ""
    print(f"Id={name}\nActiveState={now}\nResult=exit-code\nInvocationID={run}\nOnFailure={reporter.strip('-')}\nUnitFileState={enabled}\nExecStart=alertctl journal --failed-units\n")
    if later:
        units[name][0], is_changed = later, True
if not is_changed:
    sys.exit()
with open(file + ".new", "w") as new:
    new.writelines(" ".join([name, *rest]) + "\n" for name, rest in units.items())
os.rename(file + ".new", file)
"#;

const JOURNALCTL: &str = r#"#!/usr/bin/python3
import json, os, select, sys
words = sys.argv[1:]
reader = select.poll()
reader.register(1, 0)
value = lambda name: next((word.split("=", 1)[1] for word in words if word.startswith(name + "=")), None)
wanted = {}
for word in words:
    name, _, text = word.partition("=")
    if not word.startswith("--") and text:
        wanted.setdefault(name, set()).add(text)
file = open(os.path.dirname(os.path.abspath(__file__)) + "/entries")
found, at = [], value("--cursor")
def more():
    global at
    for line in file:
        entry = json.loads(line)
        at = None if entry["__CURSOR"] == at else at
        if at is None and "+" not in words and all(str(entry.get(name)) in texts for name, texts in wanted.items()):
            yield line
if "--follow" not in words:
    sys.stdout.writelines(list(more())[-int(value("--lines")):])
    sys.exit()
while not reader.poll(10):
    sys.stdout.writelines(more())
    sys.stdout.flush()
"#;

const FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";
const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";

impl Machine {
    fn new(units: &str) -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        for (name, text) in [("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)] {
            let path = machine.directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine.units(units);
        machine.log("begin", "a.service", "0");
        machine
    }

    fn units(&self, text: &str) {
        let file = self.directory.path().join("units");
        fs::write(file.with_extension("next"), text).unwrap();
        fs::rename(file.with_extension("next"), file).unwrap();
    }

    /// The service manager writes this entry.
    fn log(&self, id: &str, unit: &str, run: &str) {
        let path = self.directory.path().join("entries");
        let at = fs::metadata(&path).map_or(0, |data| data.len());
        let entry = json!({
            "__CURSOR": format!("s=0;i={at:x}"), "_PID": "1", "PRIORITY": "6", "MESSAGE_ID": id, "UNIT": unit,
            "INVOCATION_ID": run, "UNIT_RESULT": "exit-code", "MESSAGE": "said",
        });
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{entry}\n").as_bytes()).unwrap();
    }

    fn command(&self, daemon: &Daemon, words: &[&str]) -> Command {
        let mut command = program("alertctl");
        let path = format!("{}:{}", self.directory.path().display(), std::env::var("PATH").unwrap());
        // What the services of the package use, and no more.
        command.arg("--socket").arg(daemon.publish_socket()).args(words).env("PATH", path);
        command
    }

    /// `alertctl journal` as the service runs it.
    fn follow(&self, daemon: &Daemon) -> Running {
        let service = include_str!("../../systemd/alertd-journal.service");
        let start = service.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/alertctl ")).unwrap();
        let mut command = self.command(daemon, &start.split(' ').collect::<Vec<_>>());
        command.arg("--state").arg(self.directory.path().join("position"));
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// `alertctl unit-failed` as `OnFailure=` starts it.
    fn report(&self, daemon: &Daemon, unit: &str) {
        let output = self.command(daemon, &["unit-failed", "--quiet", "0", unit]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
    }
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// State and count of a unit's incident.
fn incident(daemon: &Daemon, unit: &str) -> Option<(String, u64)> {
    let found = Request::get("/incidents?topic=host.units&state=all").over(&daemon.control()).json();
    let name = format!("{}/{unit}", host());
    let incident = found["incidents"].as_array().unwrap().iter().find(|incident| incident["incident"] == name)?.clone();
    Some((incident["state"].as_str().unwrap().to_owned(), incident["count"].as_u64().unwrap()))
}

fn until(daemon: &Daemon, unit: &str, state: &str, count: u64) {
    let expected = Some((state.to_owned(), count));
    eventually(&format!("{unit} {state}"), || (incident(daemon, unit) == expected).then_some(()));
}

fn messages(daemon: &Daemon) -> Vec<String> {
    let request = Request::get("/alerts/host.units?since=all").header("Accept", "application/json");
    let alerts = request.over(&daemon.control()).json()["alerts"].as_array().unwrap().clone();
    alerts.iter().map(|alert: &Value| alert["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_failed_unit_is_an_incident_until_it_is_back_whatever_restarts_meanwhile() {
    let daemon = Daemon::start();
    let machine = Machine::new("a.service active 0 -\nb.mount failed b1 -\n");
    let follower = machine.follow(&daemon);
    // One that had failed before.
    until(&daemon, "b.mount", "open", 1);
    machine.units("a.service failed a1 -\nb.mount failed b1 -\n");
    machine.log(FAILED, "a.service", "a1");
    until(&daemon, "a.service", "open", 1);
    drop(follower);
    let follower = machine.follow(&daemon);
    // It fails again, as a oneshot does, and each failure counts once.
    machine.units("a.service failed a2 -\nb.mount failed b1 -\n");
    machine.log(FAILED, "a.service", "a2");
    machine.log(FAILED, "a.service", "a2");
    until(&daemon, "a.service", "open", 2);
    machine.units("a.service active a3 -\nb.mount failed b1 -\n");
    machine.log(STARTED, "a.service", "a3");
    until(&daemon, "a.service", "resolved", 2);
    // Back while nothing follows, or gone with a reboot.
    drop(follower);
    machine.units("");
    let _follower = machine.follow(&daemon);
    until(&daemon, "b.mount", "resolved", 1);
    let expected = [
        "b.mount failed: exit code unknown",
        "a.service failed: exit code unknown",
        "a.service failed: exit code unknown",
        "a.service is active again",
        "b.mount is not failed any more",
    ];
    assert_eq!(messages(&daemon), expected);
}

#[test]
fn a_unit_that_systemd_restarts_or_that_is_reported_elsewhere_is_no_second_alert() {
    let daemon = Daemon::start();
    let journal = "alertd-journal.service enabled j -\n";
    let reporter = "alertd-unit-failed@r.service.service";
    let machine = Machine::new(journal);
    let _follower = machine.follow(&daemon);
    machine.units(&format!(
        "{journal}r.service failed r1 {reporter}\nloop.service activating l1 -\nlast.timer failed t1 -\n"
    ));
    for (unit, run) in [("loop.service", "l1"), ("r.service", "r1"), ("last.timer", "t1")] {
        machine.log(FAILED, unit, run);
    }
    until(&daemon, "last.timer", "open", 1);
    assert_eq!(messages(&daemon).len(), 1);
    machine.report(&daemon, "r.service");
    until(&daemon, "r.service", "open", 1);
    machine.units(&format!("{journal}r.service active r2 {reporter}\nlast.timer failed t1 -\n"));
    machine.log(STARTED, "r.service", "r2");
    until(&daemon, "r.service", "resolved", 1);
    assert_eq!(messages(&daemon)[2..], ["r.service is active again"]);
    assert_eq!(incident(&daemon, "loop.service"), None);
}

#[test]
fn a_reported_failure_is_an_incident_only_if_it_lasts_and_its_end_is_followed() {
    let daemon = Daemon::start();
    for (journal, state, incident_state) in [
        ("disabled", "failed", None),
        // systemd is about to restart it, or somebody already has.
        ("enabled", "activating", None),
        ("enabled", "active", None),
        ("enabled", "failed", Some("open")),
        // Back while the alert was on its way: the end may have been followed before.
        ("enabled", "failed,active", Some("resolved")),
        ("enabled", "failed,activating,activating,inactive", Some("resolved")),
        ("enabled", "failed,activating,failed", Some("open")),
    ] {
        let unit = format!("{journal}-{}.service", state.replace(',', "-"));
        let machine = Machine::new(&format!("alertd-journal.service {journal} j -\n{unit} {state} r1 -\n"));
        machine.report(&daemon, &unit);
        let found = incident(&daemon, &unit);
        assert_eq!(found.as_ref().map(|(state, _)| state.as_str()), incident_state, "{unit}");
    }
    assert_eq!(messages(&daemon).len(), 7);
}

#[test]
fn a_unit_that_failed_and_came_back_while_nothing_followed_is_resolved_without_an_alert() {
    let daemon = Daemon::start();
    let machine = Machine::new("alertd-journal.service enabled j -\nr.service failed r1 -\n");
    machine.log(FAILED, "r.service", "r1");
    machine.report(&daemon, "r.service");
    until(&daemon, "r.service", "open", 1);
    machine.units("r.service active r2 -\n");
    machine.log(STARTED, "r.service", "r2");
    let _follower = machine.follow(&daemon);
    until(&daemon, "r.service", "resolved", 1);
    assert_eq!(messages(&daemon).len(), 1);
}
