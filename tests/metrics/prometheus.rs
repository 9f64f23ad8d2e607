//! A real Prometheus, configured as the manual says, with the rules and the dashboard of the package.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Daemon, Key, Request, Running, eventually, fixed_port, told};

const RULES: &str = include_str!("../../packaging/prometheus/alertd.rules.yml");
const DASHBOARD: &str = include_str!("../../packaging/grafana/alertd.json");

/// A running server on a port of its own.
struct Prometheus {
    _running: Running,
    address: String,
    _directory: TempDir,
}

impl Prometheus {
    /// Scrapes this daemon with the documented configuration, except for paths and intervals.
    fn of(daemon: &Daemon) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = daemon.ctl(&["key", "add", "prometheus", "--scope", "metrics"]);
        assert!(key.status.success(), "{}", told(&key));
        let (key_file, rules) = (directory.path().join("alertd.key"), packaging("prometheus/alertd.rules.yml"));
        fs::write(&key_file, key.stdout).unwrap();
        let manual = fs::read_to_string(packaging("doc/metrics.md")).unwrap();
        let lines = manual.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let replace = |text: String, from: &str, to: &str| {
            assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
            text.replace(from, to)
        };
        let lines = replace(lines.to_owned(), "/etc/prometheus/alertd.key", &key_file.display().to_string());
        let lines = replace(lines, "127.0.0.1:8080", &daemon.address.to_string());
        let lines = replace(lines, "/usr/share/doc/alertd/examples/alertd.rules.yml", &rules.display().to_string());
        let configuration = directory.path().join("prometheus.yml");
        fs::write(&configuration, format!("global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n{lines}"))
            .unwrap();
        let address = fixed_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .expect("prometheus");
        let prometheus = Self { _running: Running(child), address, _directory: directory };
        eventually("a scrape", || {
            let targets = prometheus.ask("/api/v1/targets")?;
            let target = targets["activeTargets"].get(0)?.clone();
            assert_eq!(target["lastError"], "", "{target}");
            (target["health"] == "up").then_some(())
        });
        prometheus
    }

    /// The data of an answer; none while the server begins.
    fn ask(&self, path: &str) -> Option<Value> {
        let answer = Request::get(path).answered(TcpStream::connect(&self.address).ok()?)?;
        let answer = if answer.status == 200 { answer.json() } else { return None };
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        Some(answer["data"].clone())
    }

    /// The samples that a query returns, without those that are no number.
    fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = Request::get(&format!("/api/v1/query?query={encoded}")).to(self.address.parse().unwrap());
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let result = answer.json()["data"]["result"].as_array().unwrap().clone();
        result.into_iter().filter(|sample| sample["value"][1] != "NaN").collect()
    }
}

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file)
}

/// The panels with what they ask for.
fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .map(|panel| {
            let targets = panel["targets"].as_array().into_iter().flatten();
            let title = panel["title"].as_str().unwrap().to_owned();
            (title, targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect())
        })
        .collect()
}

/// The values that Grafana substitutes if everything is selected.
fn filled_in(query: &str) -> String {
    let query = query.replace("$job", ".*").replace("$instance", ".*").replace("$__rate_interval", "10s");
    assert!(!query.contains('$'), "{query}");
    query
}

/// An incident that is acknowledged and resolved at once.
fn flash(daemon: &Daemon, key: &Key) {
    let body = json!({"message": "m", "level": "warn", "incident": "flash"});
    assert_eq!(daemon.send(&Request::post("/alerts/ops.db").key(key).json(&body)).status, 200);
    for act in ["acknowledge", "resolve"] {
        let path = format!("/incidents/ops.db/flash/{act}");
        assert_eq!(daemon.send(&Request::post(&path).key(key).json(&json!({}))).status, 200);
    }
}

#[test]
fn every_query_of_the_dashboard_returns_data_and_every_rule_is_evaluated() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts?topic=*&since=none");
    stream.until("cursor");
    let prometheus = Prometheus::of(&daemon);
    for (title, queries) in panels() {
        for query in queries {
            let query = filled_in(&query);
            eventually(&format!("data for {title}: {query}"), || {
                // Rates and quantiles are of what happens now.
                daemon.publish(&key, "ops.db", "x");
                flash(&daemon, &key);
                stream.message();
                stream.message();
                (!prometheus.query(&query).is_empty()).then_some(())
            });
        }
    }
    let rules = eventually("all rules evaluated", || {
        let groups = prometheus.ask("/api/v1/rules")?;
        let rules = groups["groups"][0]["rules"].as_array()?.clone();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert_eq!(rules.len(), RULES.matches("- alert: ").count());
    for rule in rules {
        assert!(rule["health"] == "ok" && rule["lastError"].is_null(), "{rule}");
        assert_eq!(rule["state"], "inactive", "all is well, and yet: {rule}");
    }
}

#[test]
fn a_daemon_that_cannot_be_read_and_one_that_takes_no_key_are_down() {
    let mut daemon = Daemon::start();
    let prometheus = Prometheus::of(&daemon);
    let up = |value: &str| {
        let seen = prometheus.query("up{job=\"alertd\"}");
        seen.first().is_some_and(|sample| sample["value"][1] == value).then_some(())
    };
    eventually("up", || up("1"));
    assert_eq!(Request::new("DELETE", "/keys/prometheus").over(&daemon.control()).status, 200);
    eventually("a revoked key", || up("0"));
    let target = prometheus.ask("/api/v1/targets").unwrap()["activeTargets"][0].clone();
    assert!(target["lastError"].as_str().unwrap().contains("401"), "{target}");
    daemon.kill();
    eventually("nobody there", || {
        let target = prometheus.ask("/api/v1/targets")?["activeTargets"][0].clone();
        target["lastError"].as_str()?.contains("refused").then_some(())
    });
    let state = || {
        let groups = prometheus.ask("/api/v1/rules")?;
        let rules = groups["groups"][0]["rules"].as_array()?.clone();
        let down = rules.into_iter().find(|rule| rule["name"] == "AlertdDown")?;
        (down["state"] == "pending").then_some(())
    };
    eventually("the rule for it", state);
}

#[test]
fn each_rule_fires_where_its_trouble_is_and_none_where_all_is_well() {
    let mut check = Command::new("promtool");
    let checked = check.args(["check", "rules"]).arg(packaging("prometheus/alertd.rules.yml")).output().unwrap();
    assert!(checked.status.success(), "{}", told(&checked));
    let directory = tempfile::tempdir().unwrap();
    let tests = include_str!("../fixtures/metrics/rules.yml");
    let run = |rules: &str| {
        fs::write(directory.path().join("alertd.rules.yml"), rules).unwrap();
        fs::write(directory.path().join("tests.yml"), tests).unwrap();
        Command::new("promtool").args(["test", "rules", "tests.yml"]).current_dir(&directory).output().unwrap()
    };
    let tested = run(RULES);
    assert!(tested.status.success(), "{}", told(&tested));
    let names: Vec<_> = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.iter().all(|name| tests.contains(&format!("alertname=\"{name}\""))), "{names:?}");
    // The tests see it if a rule fires too early or never.
    for (threshold, other) in [("> 0.9", "> 0.8"), ("alertd_live == 0", "alertd_live == 2"), ("> 0.5\n", "> 5\n")] {
        assert!(!run(&RULES.replace(threshold, other)).status.success(), "{threshold} or {other}");
    }
}

#[test]
fn dashboard_and_rules_know_only_metrics_that_the_manual_has() {
    let manual = fs::read_to_string(packaging("doc/metrics.md")).unwrap();
    let known: BTreeSet<_> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split(['`', '{']).next().unwrap().to_owned())
        .collect();
    let queries = panels().into_iter().flat_map(|(_, queries)| queries).collect::<Vec<_>>().join("\n");
    let rules = RULES.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect::<Vec<_>>().join("\n");
    let used = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics = words.filter(|word| word.starts_with("alertd_"));
        metrics
            .map(|word| ["_bucket", "_count", "_sum"].iter().fold(word, |w, end| w.trim_end_matches(end)).to_owned())
            .collect()
    };
    assert!(used(&rules).is_subset(&known), "{:?}", used(&rules).difference(&known));
    // And the dashboard shows all of them.
    assert_eq!(used(&queries), known);
}

#[test]
fn the_panels_of_the_dashboard_have_ids_of_their_own_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} overlaps", panel["title"]);
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"], json!({"type": "prometheus", "uid": "${datasource}"}));
        }
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}
