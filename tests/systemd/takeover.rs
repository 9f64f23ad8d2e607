//! Restarts that streams survive, and stops that they do not.

use std::process::Stdio;

use serde_json::{Value, json};

use super::machine::{Machine, http, newer, package};
use super::on_each_release;
use crate::harness::{Key, Request, Running, Stream, eventually};

const STREAMS: usize = 500;
const LAST: &str = "the last of all";
const BYES: &str = "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e1c";

/// In the machine's network a copy of this program is the subscribers; everywhere else this test has nothing to do.
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

struct Subscribers {
    directory: tempfile::TempDir,
    process: Running,
}

impl Subscribers {
    fn start(machine: &Machine) -> Self {
        machine.write("/etc/alertd.toml", "[limits]\nstreams_per_key = 0\n");
        machine.sh("systemctl restart alertd");
        let directory = tempfile::tempdir().unwrap();
        let mut command = machine.in_its_network(&std::env::current_exe().unwrap());
        command.args(["--exact", "systemd::takeover::subscribers"]).env("TAKEOVER_KEY", machine.key("many"));
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

/// A stream over the Unix socket that curl follows into a file.
fn follow(machine: &Machine, file: &str) -> Running {
    let curl = machine.background(&format!(
        "exec curl -sSN --unix-socket /run/alertd/control.sock 'http://localhost/alerts?topic=*&since=none' -o {file}"
    ));
    eventually("the cursor", || machine.try_sh(&format!("grep -q cursor {file}")).status.success().then_some(()));
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
                    eventually("an alert", || machine.try_sh(&format!("grep -q after {file}")).status.success().then_some(()));
                    assert!(!machine.sh(&format!("cat {file}")).contains("bye"));
                } else {
                    eventually("a bye", || machine.try_sh(&format!("grep -q '\"reason\":\"{reason}\"' {file}")).status.success().then_some(()));
                    machine.until("alertd.service", "ActiveState", "inactive");
                    assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
                }
                drop(curl);
            }
        }
    }

    fn a_restart_that_fails_or_cannot_store_ends_the_streams_with_a_bye(machine: &Machine) {
        machine.install();
        let bye = |file: &str| {
            eventually("a bye", || machine.try_sh(&format!("grep -q '\"reason\":\"restart\"' {file}")).status.success().then_some(()));
        };
        let curl = follow(machine, "/root/refused");
        machine.write("/etc/alertd.toml", "no_such_setting = 1\n");
        assert!(!machine.try_sh("systemctl restart alertd").status.success());
        bye("/root/refused");
        drop(curl);
        assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
        machine.write("/etc/alertd.toml", "");
        machine.write("/etc/systemd/system/alertd.service.d/store.conf", "[Service]\nFileDescriptorStoreMax=0\n");
        machine.sh("systemctl daemon-reload && systemctl reset-failed alertd.service alertd.socket alertd-control.socket; systemctl start alertd");
        let curl = follow(machine, "/root/no-store");
        machine.sh("systemctl restart alertd");
        bye("/root/no-store");
        drop(curl);
        assert_eq!(machine.journal(&format!("-u alertd MESSAGE_ID={BYES}")).len(), 1);
        assert_eq!(machine.sh("systemctl is-active alertd"), "active");
    }

    fn an_instance_takes_over_its_own_streams(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd/blue.toml", "");
        machine.sh("systemctl enable --now alertd@blue.socket alertd-control@blue.socket alertd-publish@blue.socket alertd@blue.service");
        let plain = follow(machine, "/root/plain");
        let blue = machine.background("exec curl -sSN --unix-socket /run/alertd/blue/control.sock 'http://localhost/alerts?topic=*&since=none' -o /root/blue");
        eventually("the cursor", || machine.try_sh("grep -q cursor /root/blue").status.success().then_some(()));
        machine.sh("systemctl restart alertd alertd@blue");
        carried(machine, 1);
        machine.sh("alertctl publish plain; alertctl --instance blue publish in-blue");
        for (file, text, other) in [("/root/plain", "plain", "in-blue"), ("/root/blue", "in-blue", "plain")] {
            eventually("its alert", || machine.try_sh(&format!("grep -q {text} {file}")).status.success().then_some(()));
            let got = machine.sh(&format!("cat {file}"));
            assert!(!got.contains(other) && !got.contains("bye"), "{got}");
        }
        machine.sh("systemctl stop alertd@blue");
        eventually("a bye", || machine.try_sh("grep -q '\"reason\":\"stop\"' /root/blue").status.success().then_some(()));
        assert!(!machine.sh("cat /root/plain").contains("bye"));
        drop((plain, blue));
    }
}
