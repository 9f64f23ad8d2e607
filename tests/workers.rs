//! Every essential thread and task: if it fails, the process ends and names it; if it does not end, the stop names it.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use crate::harness::{Daemon, Redis, activated, told};

/// Runs a daemon in which this fault happens, until it ends.
fn run(fault: &str, configuration: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("alertd.toml"), configuration).unwrap();
    let mut command = activated(&at.join("http.sock"));
    command.arg("--config").arg(at.join("alertd.toml")).env("TEST_WORKER_FAULT", fault);
    command.env("ALERTD_STATE_DIR", at.join("state"));
    command.env("ALERTD_CONTROL_SOCKET", at.join("c.sock")).env("ALERTD_PUBLISH_SOCKET", at.join("p.sock"));
    command.output().unwrap()
}

fn assert_ends_the_process(worker: &str, configuration: &str) {
    for (fault, what) in [("panic", "panicked"), ("end", "ended although alertd is not stopping")] {
        let output = run(&format!("{fault}:{worker}"), configuration);
        assert_eq!(output.status.signal(), Some(6), "{worker}: {}", told(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| line.contains(&format!("the essential worker {worker} {what}")));
        let line = line.unwrap_or_else(|| panic!("{worker} is not named: {}", told(&output)));
        // The log thread cannot log its own failure, so that goes to standard error.
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
        "expectations",
        "watchdog",
        "alertd-fan-0",
        "accept-http",
        "accept-http-unix",
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

#[test]
fn a_stop_names_the_workers_that_do_not_end_in_time() {
    let mut daemon = Daemon::with_environment("", &[("TEST_WORKER_FAULT", "stay:alertd-fan-0")]);
    daemon.signal("TERM");
    daemon.ended();
    let left = daemon.said("these workers did not end in time");
    assert!(left.contains("message_id=stop-incomplete") && left.contains("alertd-fan-0"), "{left}");
}
