//! Every essential thread and task: when it fails, the process ends and names it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use crate::harness::{Redis, program, told};

/// Runs a daemon in which this fault happens, until it ends.
fn run(fault: &str, configuration: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("alertd.toml"), configuration).unwrap();
    let mut command: Command = program("alertd");
    command.arg("--config").arg(at.join("alertd.toml")).env("TEST_WORKER_FAULT", fault);
    command.env("ALERTD_STATE_DIR", at.join("state")).env("ALERTD_HTTP_LISTEN", "127.0.0.1:0");
    command.env("ALERTD_CONTROL_SOCKET", at.join("c.sock")).env("ALERTD_PUBLISH_SOCKET", at.join("p.sock"));
    command.stdin(Stdio::null()).output().unwrap()
}

fn assert_ends_the_process(worker: &str, configuration: &str) {
    for (fault, what) in [("panic", "panicked"), ("end", "ended although alertd is not stopping")] {
        let output = run(&format!("{fault}:{worker}"), configuration);
        assert_eq!(output.status.signal(), Some(6), "{worker}: {}", told(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| line.contains(&format!("the essential worker {worker} {what}")));
        let line = line.unwrap_or_else(|| panic!("{worker} is not named: {}", told(&output)));
        // The log cannot say that it is gone itself: standard error is all that is left.
        let is_logged = line.contains("message_id=worker-failed") && line.contains(&format!("worker={worker}"));
        assert!(is_logged || worker == "alertd-log", "{line}");
    }
}

#[test]
fn the_failure_of_an_essential_worker_ends_the_process_and_names_it() {
    for worker in [
        "main",
        "alertd-log",
        "alertd-writer",
        "feed",
        "watchdog",
        "alertd-fan-0",
        "accept-http",
        "accept-control",
        "accept-publish",
    ] {
        assert_ends_the_process(worker, "");
    }
}

#[test]
fn the_failure_of_a_worker_of_a_fleet_ends_the_process_and_names_it() {
    let redis = Redis::start();
    for worker in ["redis-writer", "redis-follower", "key-follower"] {
        assert_ends_the_process(worker, &redis.configuration(""));
    }
}
