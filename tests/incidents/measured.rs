//! What metrics, status and journal tell of incidents, on both engines.

use serde_json::{Value, json};

use super::{act, again, engines, report, reported};
use crate::harness::{Daemon, Key, Request, eventually, told};

/// The value of `alertd_…`.
fn metric(daemon: &Daemon, series: &str) -> Option<f64> {
    let answer = Request::get("/metrics").over(&daemon.control());
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    let mut values =
        text.lines().filter_map(|line| line.strip_prefix("alertd_")?.strip_prefix(series)?.strip_prefix(' '));
    values.next().map(|value| value.parse().unwrap())
}

fn is(daemon: &Daemon, wanted: &[(&str, f64)]) {
    for (series, value) in wanted {
        assert_eq!(metric(daemon, series), Some(*value), "{series}");
    }
}

const OPEN_WARN: &str = r#"incidents{state="open",level="warn"}"#;
const OPEN_ERROR: &str = r#"incidents{state="open",level="error"}"#;
const ACKNOWLEDGED: &str = r#"incidents{state="acknowledged",level="error"}"#;
const RESOLVED: &str = r#"incidents{state="resolved",level="error"}"#;

fn open(daemon: &Daemon, key: &Key, name: &str, level: &str) -> Value {
    report(daemon, key, "ops", &json!({"message": "m", "level": level, "incident": name})).json()
}

#[test]
fn incidents_are_counted_by_state_and_level_and_measured_once() {
    for (mut daemon, _redis) in engines("") {
        let key = daemon.key("alice");
        is(&daemon, &[(OPEN_WARN, 0.0), (OPEN_ERROR, 0.0), (ACKNOWLEDGED, 0.0), (RESOLVED, 0.0)]);
        is(&daemon, &[("incidents_limit", 10_000.0), ("incident_resolution_seconds_count", 0.0)]);
        for (name, level) in [("a", "warn"), ("b", "error"), ("c", "error"), ("d", "error")] {
            open(&daemon, &key, name, level);
        }
        for path in ["ops/b/acknowledge", "ops/b/acknowledge", "ops/c/acknowledge", "ops/d/resolve", "ops/d/resolve"] {
            assert_eq!(act(&daemon, &key, path, &json!({})).status, 200);
        }
        reported(&daemon, &key, "ops", &json!({"message": "over", "incident": "c", "status": "resolved"}));
        is(&daemon, &[(OPEN_WARN, 1.0), (OPEN_ERROR, 0.0), (ACKNOWLEDGED, 1.0), (RESOLVED, 2.0)]);
        is(
            &daemon,
            &[
                ("incident_acknowledgement_seconds_count", 2.0),
                ("incident_acknowledgement_seconds_bucket{le=\"30.0\"}", 2.0),
                ("incident_resolution_seconds_count", 2.0),
                ("incident_reminders_total", 0.0),
            ],
        );
        let status = daemon.status()["incidents"].clone();
        let expected =
            json!({"counted": true, "open": 1, "acknowledged": 1, "limit": 10_000, "untracked": 0, "warning": null});
        assert_eq!(status, expected);
        // The incidents outlive the process, and what is measured begins again.
        daemon.stop();
        let daemon = again(daemon);
        is(&daemon, &[(OPEN_WARN, 1.0), (OPEN_ERROR, 0.0), (ACKNOWLEDGED, 1.0), (RESOLVED, 2.0)]);
        is(&daemon, &[("incident_acknowledgement_seconds_count", 0.0)]);
    }
}

#[test]
fn what_time_does_is_counted() {
    for (daemon, _redis) in engines("[incidents]\nremind_after = \"1s\"\n") {
        let key = daemon.key("alice");
        open(&daemon, &key, "remind", "error");
        reported(&daemon, &key, "ops", &json!({"message": "m", "level": "warn", "incident": "ttl", "ttl": "1s"}));
        eventually("two reminders", || (metric(&daemon, "incident_reminders_total")? >= 2.0).then_some(()));
        eventually("the end", || (metric(&daemon, "incident_resolution_seconds_count")? == 1.0).then_some(()));
        is(&daemon, &[(r#"incidents{state="resolved",level="warn"}"#, 1.0), (OPEN_ERROR, 1.0)]);
        let sum = metric(&daemon, "incident_resolution_seconds_sum").unwrap();
        assert!((1.0..30.0).contains(&sum), "{sum}");
    }
}

#[test]
fn alerts_that_open_no_incident_are_counted_and_the_operator_is_told_which_limit_to_change() {
    for (daemon, _redis) in engines("[incidents]\nmax_open = 3\nmax_open_per_user = 2\n") {
        let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
        let untracked = |reason: &str| metric(&daemon, &format!("alerts_untracked_total{{reason=\"{reason}\"}}"));
        for name in ["a", "b"] {
            assert_eq!(open(&daemon, &alice, name, "error")["incident"], Value::Null);
        }
        assert_eq!(untracked("max_open_per_user"), Some(0.0));
        for name in ["c", "d"] {
            assert_eq!(open(&daemon, &alice, name, "error")["incident"], "untracked");
        }
        assert_eq!((untracked("max_open_per_user"), untracked("max_open")), (Some(2.0), Some(0.0)));
        let status = daemon.status()["incidents"].clone();
        assert_eq!((&status["open"], &status["untracked"], &status["limit"]), (&json!(2), &json!(2), &json!(3)));
        let warning = status["warning"].as_str().unwrap();
        assert!(warning.contains("no more than 2 incidents of one user") && warning.contains("max_open_per_user"));

        open(&daemon, &bob, "e", "error");
        let reached = daemon.status()["incidents"]["warning"].as_str().unwrap().to_owned();
        assert!(reached.starts_with("new alerts open no incident: no more than 3 incidents"), "{reached}");
        assert!(reached.contains("incidents.max_open)") && reached.contains("alertctl incidents"), "{reached}");
        for name in ["f", "g", "h"] {
            assert_eq!(open(&daemon, &bob, name, "error")["incident"], "untracked");
        }
        assert_eq!((untracked("max_open"), untracked("older_node")), (Some(3.0), Some(0.0)));
        let shown = daemon.ctl(&["status"]);
        let text = String::from_utf8(shown.stdout.clone()).unwrap();
        assert!(text.contains("3 open, 0 acknowledged, of at most 3; 5 alerts opened none"), "{}", told(&shown));
        assert!(text.contains(&reached), "{}", told(&shown));

        // One line for each reason, however many alerts there were.
        let lines: Vec<_> =
            daemon.log().lines().filter(|line| line.contains("incidents-untracked")).map(str::to_owned).collect();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("incidents.max_open_per_user") && lines[0].contains("alice"), "{lines:#?}");
        assert!(lines[1].contains("3 incidents may be unresolved (incidents.max_open)"), "{lines:#?}");

        // With room again only what was is told.
        assert_eq!(act(&daemon, &bob, "ops/a/resolve", &json!({})).status, 200);
        let warning = daemon.status()["incidents"]["warning"].as_str().unwrap().to_owned();
        assert!(warning.starts_with("in the last hour alerts opened no incident: "), "{warning}");
    }
}
