//! Restarts that streams survive, and stops that they do not.

use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use super::machine::{Machine, http, newer, package};
use super::on_each_release;
use crate::harness::{Key, Request, Running, Stream, eventually};

const STREAMS: usize = 500;
const LAST: &str = "the last of all";
const BYES: &str = "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e1c";

/// Runs the subscribers, in a copy of this program in the machine's network; does nothing elsewhere.
#[test]
fn subscribers() {
    let (Ok(secret), Ok(report)) = (std::env::var("TAKEOVER_KEY"), std::env::var("TAKEOVER_REPORT")) else { return };
    let key = Key { id: String::new(), secret };
    let request = Request::get("/alerts?topic=*&since=none").key(&key);
    let mut streams: Vec<Stream> = (0..STREAMS).map(|_| Stream::open(http(), &request)).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    std::fs::write(format!("{report}.open"), "").unwrap();
    let mut all: Option<Vec<String>> = None;
    for stream in &mut streams {
        stream.set_patience(std::time::Duration::from_secs(300));
        let mut messages = Vec::new();
        while messages.last().is_none_or(|last| last != LAST) {
            messages.push(stream.message());
        }
        assert_eq!(*all.get_or_insert_with(|| messages.clone()), messages);
    }
    std::fs::write(format!("{report}.read"), "").unwrap();
    let byes: Vec<_> = streams.iter_mut().map(Stream::bye).collect();
    let is_same = byes.iter().all(|bye| *bye == byes[0]);
    std::fs::write(report, json!({ "messages": all, "bye": byes[0], "is_same": is_same }).to_string()).unwrap();
}

/// The same for subscribers whose streams end.
#[test]
fn waiting_subscribers() {
    let (Ok(secret), Ok(report)) = (std::env::var("WAITING_KEY"), std::env::var("TAKEOVER_REPORT")) else { return };
    let key = Key { id: String::new(), secret };
    let request = Request::get("/alerts?topic=*&since=none").key(&key);
    let mut streams: Vec<Stream> = (0..2 * STREAMS).map(|_| Stream::open(http(), &request)).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    std::fs::write(format!("{report}.open"), "").unwrap();
    let mut ends = std::collections::BTreeMap::<String, usize>::new();
    for stream in &mut streams {
        stream.set_patience(std::time::Duration::from_secs(100));
        let mut last = "no bye".to_owned();
        while let Some(event) = stream.event() {
            last = event.event;
        }
        *ends.entry(last).or_default() += 1;
    }
    std::fs::write(report, json!(ends).to_string()).unwrap();
}

struct Subscribers {
    directory: tempfile::TempDir,
    process: Running,
}

impl Subscribers {
    fn start(machine: &Machine) -> Self {
        machine.write("/etc/alertd.toml", "[limits]\nstreams_per_key = 0\n");
        machine.sh("systemctl restart alertd");
        Self::run(machine, "subscribers", "TAKEOVER_KEY")
    }

    /// Some whose streams end.
    fn waiting(machine: &Machine) -> Self {
        Self::run(machine, "waiting_subscribers", "WAITING_KEY")
    }

    fn run(machine: &Machine, test: &str, variable: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = machine.in_its_network(&std::env::current_exe().unwrap());
        command.args(["--exact", &format!("systemd::takeover::{test}")]).env(variable, machine.key("many"));
        command.env("TAKEOVER_REPORT", directory.path().join("report")).stdout(Stdio::null());
        let it = Self { process: Running(command.spawn().unwrap()), directory };
        it.wait_for("open");
        it
    }

    fn wait_for(&self, what: &str) {
        let file = self.directory.path().join("report").with_extension(what);
        eventually(what, || file.exists().then_some(()));
    }

    fn report(mut self) -> Value {
        assert!(self.process.0.wait().unwrap().success());
        serde_json::from_str(&std::fs::read_to_string(self.directory.path().join("report")).unwrap()).unwrap()
    }
}

/// All streams were carried over the last restart, and nothing is left of it.
fn carried(machine: &Machine, streams: usize) {
    assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
    let status: Value = serde_json::from_str(&machine.sh("alertctl status --json")).unwrap();
    assert_eq!(status["hub"]["taken_over"], streams, "{}", machine.sh("journalctl -u alertd -n 20 --no-pager"));
}

/// Waits until a file of the machine contains a text.
fn until_contains(machine: &Machine, file: &str, text: &str) {
    let grep = format!("grep -qF -- '{text}' {file}");
    eventually(text, || machine.try_sh(&grep).status.success().then_some(()));
}

/// A stream over the Unix socket that curl follows into a file.
fn follow(machine: &Machine, file: &str) -> Running {
    follow_path(machine, file, "since=none")
}

fn follow_from(machine: &Machine, file: &str, id: &str) -> Running {
    follow_path(machine, file, &format!("last_event_id={id}"))
}

fn follow_path(machine: &Machine, file: &str, query: &str) -> Running {
    let curl = machine.background(&format!(
        "exec curl -sSN --unix-socket /run/alertd/control.sock 'http://localhost/alerts?topic=*&{query}' -o {file}"
    ));
    until_contains(machine, file, "event: cursor");
    curl
}

fn without_dbus(machine: &Machine) {
    machine.sh("systemctl mask --now dbus.socket dbus.service 2>&1; ! busctl status >/dev/null 2>&1");
}

on_each_release! {
    fn streams_go_on_over_restarts_upgrades_and_downgrades_and_end_with_a_stop(machine: &Machine) {
        machine.install();
        let subscribers = Subscribers::start(machine);
        let unix = follow(machine, "/root/unix");
        let mut published = Vec::new();
        let mut publish = |text: &str| {
            machine.sh(&format!("alertctl publish -t ops '{text}'"));
            published.push(text.to_owned());
        };
        for number in 0..3 {
            publish(&format!("before restart {number}"));
            machine.sh("systemctl restart alertd");
            carried(machine, STREAMS + 1);
        }
        machine.apt_install(newer());
        carried(machine, STREAMS + 1);
        publish("after the upgrade");
        machine.apt_install(package());
        carried(machine, STREAMS + 1);
        publish("after the downgrade");
        machine.sh("systemctl try-restart alertd.service");
        carried(machine, STREAMS + 1);
        without_dbus(machine);
        machine.sh("systemctl restart alertd");
        carried(machine, STREAMS + 1);
        publish(LAST);
        subscribers.wait_for("read");
        machine.sh("systemctl stop alertd.service");
        assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
        assert_eq!(machine.sh("systemctl is-active alertd.socket"), "active");
        let report = subscribers.report();
        assert_eq!((&report["messages"], &report["bye"], &report["is_same"]), (&json!(published), &json!("stop"), &json!(true)));
        drop(unix);
        let text = machine.sh("cat /root/unix");
        assert!(published.iter().all(|message| text.matches(message.as_str()).count() == 1), "{text}");
        assert!(text.contains("\"reason\":\"stop\""), "{text}");
    }

    fn a_stop_is_told_from_a_restart_with_and_without_dbus(machine: &Machine) {
        machine.install();
        for dbus in ["with", "without"] {
            if dbus == "without" {
                without_dbus(machine);
            }
            for (command, reason) in [("stop", "stop"), ("kill -s TERM", "stop"), ("restart", "")] {
                machine.sh("systemctl start alertd.service");
                let file = format!("/root/{dbus}-{}", &command[..4]);
                let curl = follow(machine, &file);
                machine.sh(&format!("systemctl {command} alertd.service"));
                if reason.is_empty() {
                    carried(machine, 1);
                    machine.sh("alertctl publish after");
                    until_contains(machine, &file, "after");
                    assert!(!machine.sh(&format!("cat {file}")).contains("bye"));
                } else {
                    until_contains(machine, &file, &format!("\"reason\":\"{reason}\""));
                    machine.until("alertd.service", "ActiveState", "inactive");
                    assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
                }
                drop(curl);
            }
        }
    }

    fn a_restart_that_cannot_store_ends_the_streams_with_a_bye(machine: &Machine) {
        machine.install();
        machine.write("/etc/systemd/system/alertd.service.d/store.conf", "[Service]\nFileDescriptorStoreMax=0\n");
        machine.sh("systemctl daemon-reload");
        let curl = follow(machine, "/root/no-store");
        machine.sh("systemctl restart alertd");
        until_contains(machine, "/root/no-store", "\"reason\":\"restart\"");
        drop(curl);
        assert_eq!(machine.journal(&format!("-u alertd MESSAGE_ID={BYES}")).len(), 1);
        assert_eq!(machine.sh("systemctl is-active alertd"), "active");
    }

    fn no_client_waits_for_a_start_that_fails(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd.toml", "[limits]\nstreams_per_key = 0\n");
        machine.sh("systemctl restart alertd");
        let subscribers = Subscribers::waiting(machine);
        let began = Instant::now();
        machine.write("/etc/alertd.toml", "no_such_setting = 1\n");
        assert!(!machine.try_sh("systemctl restart alertd").status.success());
        assert_eq!(subscribers.report(), json!({ "bye": 2 * STREAMS }));
        assert!(began.elapsed().as_secs() < 50, "{:?}", began.elapsed());
        assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
        machine.write("/etc/alertd.toml", "[limits]\nstreams_per_key = 0\n");
        machine.sh("systemctl reset-failed alertd.service alertd.socket alertd-control.socket; systemctl start alertd");
        // A crash loop of a program that cannot even look at what was stored.
        let subscribers = Subscribers::waiting(machine);
        let began = Instant::now();
        machine.write("/etc/systemd/system/alertd.service.d/broken.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/false\n");
        machine.sh("systemctl daemon-reload");
        assert!(!machine.try_sh("systemctl restart alertd").status.success());
        assert_eq!(subscribers.report(), json!({ "no bye": 2 * STREAMS }));
        assert!(began.elapsed().as_secs() < 50, "{:?}", began.elapsed());
        assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
    }

    fn a_process_that_is_killed_ends_its_streams_and_nothing_is_lost(machine: &Machine) {
        machine.install();
        let mut published = Vec::new();
        let mut last = "0-0".to_owned();
        for signal in ["KILL", "ABRT"] {
            let file = format!("/root/{signal}");
            let mut curl = follow_from(machine, &file, &last);
            for when in ["before", "after"] {
                if when == "after" {
                    let pid = machine.show("alertd.service", "MainPID");
                    machine.sh(&format!("systemctl kill --kill-whom=main -s {signal} alertd"));
                    curl.0.wait().unwrap();
                    eventually("another process", || (machine.show("alertd.service", "MainPID") != pid).then_some(()));
                    machine.until("alertd.service", "ActiveState", "active");
                }
                published.push(format!("{when} {signal}"));
                machine.sh(&format!("alertctl publish -t ops '{when} {signal}'"));
                if when == "before" {
                    until_contains(machine, &file, &format!("before {signal}"));
                }
            }
            let text = machine.sh(&format!("cat {file}"));
            assert!(!text.contains("event: bye"), "{text}");
            last = text.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
        }
        let curl = follow_from(machine, "/root/end", &last);
        until_contains(machine, "/root/end", "after ABRT");
        drop(curl);
        let text = machine.sh("cat /root/KILL /root/ABRT /root/end");
        let messages: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: {\"id\"")).collect();
        let messages: Vec<_> = published.iter().filter(|text| messages.iter().filter(|line| line.contains(*text)).count() == 1).collect();
        assert_eq!(messages, published.iter().collect::<Vec<_>>(), "{text}");
    }

    fn an_instance_takes_over_its_own_streams(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd/blue.toml", "");
        machine.sh("systemctl enable --now alertd@blue.socket alertd-control@blue.socket alertd-publish@blue.socket alertd@blue.service");
        let plain = follow(machine, "/root/plain");
        let blue = machine.background("exec curl -sSN --unix-socket /run/alertd/blue/control.sock 'http://localhost/alerts?topic=*&since=none' -o /root/blue");
        until_contains(machine, "/root/blue", "event: cursor");
        machine.sh("systemctl restart alertd alertd@blue");
        carried(machine, 1);
        machine.sh("alertctl publish plain; alertctl --instance blue publish in-blue");
        for (file, text, other) in [("/root/plain", "plain", "in-blue"), ("/root/blue", "in-blue", "plain")] {
            until_contains(machine, file, text);
            let got = machine.sh(&format!("cat {file}"));
            assert!(!got.contains(other) && !got.contains("bye"), "{got}");
        }
        machine.sh("systemctl stop alertd@blue");
        until_contains(machine, "/root/blue", "\"reason\":\"stop\"");
        assert!(!machine.sh("cat /root/plain").contains("bye"));
        drop((plain, blue));
    }
}
