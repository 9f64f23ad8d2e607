//! Two builds that know the store of descriptors, installed over each other under streams and a publisher.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use super::machine::{Machine, http, newer, package};
use super::on_each_release;
use crate::harness::{Key, Running, eventually};
use crate::takeover::load::{Load, STREAMS};

/// In the machine's network a copy of this program is the clients; everywhere else this test has nothing to do.
#[test]
fn clients() {
    let (Ok(secret), Ok(stop)) = (std::env::var("UPGRADE_KEY"), std::env::var("UPGRADE_STOP")) else { return };
    let (key, stop) = (Key { id: String::new(), secret }, PathBuf::from(stop));
    let load = Load::start(http(), key);
    let mut reported = 0;
    while !stop.exists() {
        let answered = load.answered();
        if answered > reported {
            std::fs::write(stop.with_extension("answered"), answered.to_string()).unwrap();
            reported = answered;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    std::fs::write(stop.with_extension("report"), json!(load.check()).to_string()).unwrap();
}

fn runs(machine: &Machine, version: &str) {
    let status: Value = serde_json::from_str(&machine.sh("alertctl status --json")).unwrap();
    let journal = || machine.sh("journalctl -u alertd -n 20 --no-pager");
    assert_eq!((&status["version"], &status["hub"]["taken_over"]), (&json!(version), &json!(STREAMS)), "{}", journal());
    assert_eq!(machine.show("alertd.service", "NFileDescriptorStore"), "0");
}

on_each_release! {
    fn no_stream_ends_loses_or_repeats_anything_when_one_build_replaces_another_under_load(machine: &Machine) {
        machine.install();
        let directory = tempfile::tempdir().unwrap();
        let stop = directory.path().join("stop");
        let mut command = machine.in_its_network(&std::env::current_exe().unwrap());
        command.args(["--exact", "systemd::upgrade::clients"]).env("UPGRADE_KEY", machine.key("load")).env("UPGRADE_STOP", &stop);
        let mut clients = Running(command.stdout(Stdio::null()).spawn().unwrap());
        let answered = || std::fs::read_to_string(stop.with_extension("answered")).ok()?.parse::<usize>().ok();
        let mut published = 0;
        for (package, version) in [(newer(), "0.2.0"), (package(), "0.1.0"), (newer(), "0.2.0"), (package(), "0.1.0")] {
            eventually("some alerts", || answered().filter(|now| *now >= published + 20).map(|now| published = now));
            machine.apt_install(package);
            runs(machine, version);
        }
        std::fs::write(&stop, "").unwrap();
        assert!(clients.0.wait().unwrap().success(), "the clients failed");
        let report = std::fs::read_to_string(stop.with_extension("report")).unwrap();
        assert!(report.parse::<usize>().unwrap() >= 80, "{report}");
    }
}
