//! A real Prometheus that sends to a daemon without an Alertmanager, and what a real Alertmanager opens and resolves.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::alertmanager::Alertmanager;
use crate::harness::{Daemon, Key, Request, Running, eventually, fixed_port};

struct Prometheus {
    running: Option<Running>,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one with the documented configuration, other paths and addresses, and short intervals.
    fn start(daemon: &Daemon, key: &Key) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        fs::write(directory.path().join("key"), format!("{}\n", key.secret)).unwrap();
        let blocks =
            include_str!("../../packaging/doc/hooks.md").split("```").filter_map(|block| block.strip_prefix("yaml\n"));
        let example = blocks.into_iter().find(|block| block.starts_with("alerting:")).unwrap();
        let example = example.replace("localhost:8080", &daemon.address.to_string());
        let example = example.replace("/etc/prometheus/alertd.key", &format!("{at}/key"));
        let global = "global:\n  evaluation_interval: 1s\nrule_files: [rules.yml]\n";
        fs::write(directory.path().join("prometheus.yml"), format!("{global}{example}")).unwrap();
        let address = fixed_port().parse().unwrap();
        let mut prometheus = Self { running: None, address, directory };
        prometheus.fires_if("vector(1) > 0");
        prometheus.launch();
        prometheus
    }

    fn launch(&mut self) {
        let at = self.directory.path();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at.join("data").display()))
            .arg(format!("--web.listen-address={}", self.address))
            .args(["--rules.alert.resend-delay=4s", "--web.enable-lifecycle"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.running = Some(Running(child));
        let ready = || Request::get("/-/ready").try_to(self.address).filter(|answer| answer.status == 200);
        eventually("a ready Prometheus", ready);
    }

    fn again(&mut self) {
        self.running = None;
        self.launch();
    }

    fn fires_if(&self, expression: &str) {
        let rules = json!({"groups": [{"name": "g", "rules": [{
            "alert": "DiskFull", "expr": expression,
            "labels": {"severity": "critical", "instance": "db1"},
            "annotations": {"summary": "The disk of db1 is full"},
        }]}]});
        fs::write(Path::new(self.directory.path()).join("rules.yml"), rules.to_string()).unwrap();
    }

    fn reload(&self) {
        assert_eq!(Request::post("/-/reload").to(self.address).status, 200);
    }
}

fn incidents(daemon: &Daemon, key: &Key) -> Vec<Value> {
    let answer = daemon.send(&Request::get("/incidents?topic=ops&state=all").key(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["incidents"].as_array().unwrap().clone()
}

fn alerts(daemon: &Daemon, key: &Key) -> usize {
    let page = Request::get("/alerts/ops?since=all").key(key).header("Accept", "application/json");
    daemon.send(&page).json()["alerts"].as_array().unwrap().len()
}

#[test]
fn prometheus_needs_no_alertmanager() {
    let daemon = Daemon::start();
    let key = daemon.key("prometheus");
    let mut prometheus = Prometheus::start(&daemon, &key);
    let counted = |atleast: u64| {
        eventually("an incident with so many alerts", || {
            let all = incidents(&daemon, &key);
            let one = all.first()?.clone();
            (one["state"] == "open" && one["count"].as_u64()? >= atleast).then_some(one)
        })
    };
    let open = counted(2);
    assert_eq!((&open["level"], &open["message"]), (&json!("error"), &json!("The disk of db1 is full")));
    assert_eq!(open["incident"].as_str().unwrap().len(), 16);
    // It goes on firing silently, also over a restart.
    prometheus.again();
    let later = counted(open["count"].as_u64().unwrap() + 2);
    assert_eq!((&later["incident"], &later["occurrence"]), (&open["incident"], &json!(1)));
    assert_eq!(alerts(&daemon, &key), 1);
    prometheus.fires_if("vector(0) > 0");
    prometheus.reload();
    eventually("the end", || (incidents(&daemon, &key)[0]["state"] == "resolved").then_some(()));
    assert_eq!(alerts(&daemon, &key), 2);
    prometheus.fires_if("vector(1) > 0");
    prometheus.reload();
    let again = counted(1);
    assert_eq!((&again["incident"], &again["occurrence"]), (&open["incident"], &json!(2)));
}

#[test]
fn an_alert_of_alertmanager_is_an_incident_with_the_same_fingerprint() {
    let daemon = Daemon::start();
    let key = daemon.key("alertmanager");
    let alertmanager = Alertmanager::start(&daemon, &key);
    alertmanager.tell("db1", "2120-01-01T00:00:00Z");
    let open = eventually("an incident", || incidents(&daemon, &key).first().cloned());
    assert_eq!((&open["state"], &open["level"]), (&json!("open"), &json!("error")));
    // Prometheus would give it the same name.
    let alert = json!([{
        "labels": {"alertname": "DiskFull", "instance": "db1", "severity": "critical"},
        "annotations": {"summary": "The disk of db1 is full"},
    }]);
    let sent = Request::post("/prometheus/ops/api/v2/alerts").key(&key).json(&alert);
    assert_eq!(daemon.send(&sent).json(), json!({"status": "alerts stored", "stored": 0, "repeated": 1}));
    assert_eq!(incidents(&daemon, &key).len(), 1);
    alertmanager.tell("db1", "2020-01-02T00:00:00Z");
    eventually("the end", || (incidents(&daemon, &key)[0]["state"] == "resolved").then_some(()));
}
