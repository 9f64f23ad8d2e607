//! Many streams, and the end of all of them.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use super::machine::{Machine, http};
use super::on_each_release;
use crate::harness::{Key, Request, Running, Stream, eventually};

const STREAMS: usize = 3000;

/// Runs the subscribers, in a copy of this program in the machine's network; does nothing elsewhere.
#[test]
fn subscribers() {
    let (Ok(secret), Ok(report)) = (std::env::var("STREAMS_KEY"), std::env::var("STREAMS_REPORT")) else { return };
    let key = Key { id: String::new(), secret };
    let request = Request::get("/alerts?since=none").key(&key);
    let mut streams: Vec<Stream> = (0..STREAMS).map(|_| Stream::open(http(), &request)).collect();
    std::fs::write(format!("{report}.open"), "").unwrap();
    let (mut byes, mut retries) = (0, HashSet::new());
    for stream in &mut streams {
        byes += usize::from(stream.bye() == "stop");
        let text = String::from_utf8_lossy(&stream.raw).into_owned();
        retries.insert(text.lines().find_map(|line| line.strip_prefix("retry: ")).unwrap().to_owned());
    }
    std::fs::write(report, json!({ "byes": byes, "retries": retries.len() }).to_string()).unwrap();
}

on_each_release! {
    fn thousands_are_told_and_let_go_within_two_seconds(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd.toml", "[limits]\nstreams_per_key = 0\n");
        machine.sh("systemctl restart alertd");
        let directory = tempfile::tempdir().unwrap();
        let report = directory.path().join("report");
        let mut command = machine.in_its_network(&std::env::current_exe().unwrap());
        command.args(["--exact", "systemd::streams::subscribers"]).env("STREAMS_KEY", machine.key("many"));
        let mut subscribers = Running(command.env("STREAMS_REPORT", &report).stdout(Stdio::null()).spawn().unwrap());
        eventually("all streams", || report.with_extension("open").exists().then_some(()));
        eventually("the status", || machine.show("alertd.service", "StatusText").contains(&format!("{STREAMS} streams")).then_some(()));
        let began = Instant::now();
        machine.sh("systemctl stop alertd.service");
        let took = began.elapsed();
        assert!(took.as_secs_f32() < 2.0, "{took:?}");
        assert!(subscribers.0.wait().unwrap().success());
        let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
        assert_eq!(report["byes"], STREAMS);
        assert!(report["retries"].as_u64() > Some(100), "{report}");
    }
}
