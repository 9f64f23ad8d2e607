//! Units with unusual names, and journal entries with several values of a field.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Daemon, Request, eventually, told};

/// A directory with a `journalctl` that follows with these lines.
fn journal(lines: &[Value]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(directory.path().join("entries"), text).unwrap();
    let script = directory.path().join("journalctl");
    let follows = format!("cat {}; exec sleep 60", directory.path().join("entries").display());
    let before = r#"{"__CURSOR":"before","MESSAGE":"before"}"#;
    std::fs::write(
        &script,
        format!("#!/bin/sh\nfor word; do case $word in --follow) {follows};; --lines=1) echo '{before}'; exit;; esac; done\n"),
    )
    .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn path(first: &Path) -> String {
    format!("{}:{}", first.display(), std::env::var("PATH").unwrap())
}

fn history(daemon: &Daemon, topic: &str) -> Vec<Value> {
    let request = Request::get(&format!("/alerts/{topic}?since=all")).header("Accept", "application/json");
    request.over(&daemon.control()).json()["alerts"].as_array().unwrap().clone()
}

#[test]
fn a_failed_unit_raises_its_alert_whatever_its_name() {
    let daemon = Daemon::start();
    let journal = journal(&[]);
    // The words of the unit.
    let unit = include_str!("../../systemd/alertd-unit-failed@.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/alertctl ")).unwrap();
    let long = format!("{}.service", "x".repeat(220));
    let names = ["-.mount", "-backup.timer", "--version.service", "--", "-h", r"srv-web\x2dshop.mount", &long];
    for name in names {
        let mut command = daemon.ctl_command();
        command.args(start.split(' ').map(|word| if word == "%i" { name } else { word }));
        command.env("PATH", path(journal.path())).env("ALERTCTL_UNIT_QUIET", "0");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", told(&output));
    }
    // systemd cannot make an instance of a unit whose name is as long as it may be.
    let longest = format!("{}.service", "y".repeat(247));
    let mut command = daemon.ctl_command();
    command.args(start.split(' ').map(|word| if word == "%i" { "long-name" } else { word }));
    command.env("PATH", path(journal.path())).env("ALERTCTL_UNIT_QUIET", "0").env("MONITOR_UNIT", &longest);
    assert!(command.env("MONITOR_SERVICE_RESULT", "timeout").output().unwrap().status.success());
    let alerts = history(&daemon, "host.units");
    for (alert, name) in alerts.iter().zip(names.into_iter().chain([longest.as_str()])) {
        assert!(alert["message"].as_str().unwrap().starts_with(&format!("{name} failed: ")), "{alert}");
        assert_eq!((alert["metadata"]["unit"].as_str(), alert["level"].as_str()), (Some(name), Some("error")));
    }
    assert_eq!(alerts.len(), names.len() + 1);
}

#[test]
fn all_values_of_a_journal_field_are_kept_and_the_most_urgent_priority_counts() {
    let daemon = Daemon::start();
    let entry = |cursor: &str, fields: Value| {
        let mut entry = json!({"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1795455190000000", "_HOSTNAME": "nas1"});
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        entry
    };
    let answer: Vec<u8> = b"Ger\xe4t sdf".to_vec();
    let journal = journal(&[
        entry("1", json!({"PRIORITY": "2", "MESSAGE": ["pool tank is degraded", answer, null]})),
        entry("2", json!({"PRIORITY": ["6", "2"], "MESSAGE": "fan 3 stands still", "SYSLOG_IDENTIFIER": ["a", "b"]})),
        entry("3", json!({"PRIORITY": "4", "MESSAGE": answer})),
    ]);
    let mut command = daemon.ctl_command();
    command.args(["journal", "--state"]).arg(journal.path().join("state")).env("PATH", path(journal.path()));
    let mut follower = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let alerts =
        eventually("three alerts", || Some(history(&daemon, "host.journal")).filter(|alerts| alerts.len() == 3));
    follower.kill().unwrap();
    follower.wait().unwrap();
    let said = |alert: &Value| {
        (
            alert["message"].as_str().unwrap().to_owned(),
            alert["level"].as_str().unwrap().to_owned(),
            alert["metadata"]["priority"].clone(),
        )
    };
    assert_eq!(said(&alerts[0]), ("pool tank is degraded\nGer\u{fffd}t sdf\n…".into(), "error".into(), json!(2)));
    assert_eq!(said(&alerts[1]), ("fan 3 stands still".into(), "error".into(), json!(2)));
    assert_eq!(alerts[1]["metadata"]["identifier"], "a\nb");
    assert_eq!(said(&alerts[2]), ("Ger\u{fffd}t sdf".into(), "warn".into(), json!(4)));
}
