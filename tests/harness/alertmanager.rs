//! A real Alertmanager that sends to a daemon.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Daemon, Key, Request, Running, eventually, fixed_port};

/// A real Alertmanager; it is killed when dropped.
pub struct Alertmanager {
    _running: Running,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts one whose only receiver is this daemon, with this key.
    pub fn start(daemon: &Daemon, key: &Key) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        fs::write(directory.path().join("key"), format!("{}\n", key.secret)).unwrap();
        // The documented configuration, with other paths and URLs, and without waiting times.
        let example =
            include_str!("../../packaging/doc/hooks.md").split("```").find_map(|block| block.strip_prefix("yaml\n"));
        let configuration = example.unwrap().replace("localhost:8080", &daemon.address.to_string());
        let configuration = configuration.replace("/etc/alertmanager/alertd.key", &format!("{at}/key"));
        let configuration =
            configuration.replace("group_wait: 10s", "group_wait: 0s").replace("interval: 1m", "interval: 1s");
        fs::write(directory.path().join("alertmanager.yml"), configuration).unwrap();
        let listen = fixed_port();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={at}/alertmanager.yml"))
            .arg(format!("--storage.path={at}"))
            .arg(format!("--web.listen-address={listen}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = listen.parse().unwrap();
        let ready = || Request::get("/-/ready").try_to(address).filter(|answer| answer.status == 200);
        eventually("a ready Alertmanager", ready);
        Self { _running: Running(child), address, _directory: directory }
    }

    /// Sends an alert as Prometheus does; it fires until `ends_at`.
    pub fn tell(&self, host: &str, ends_at: &str) {
        let alert = json!([{
            "labels": {"alertname": "DiskFull", "instance": host, "severity": "critical"},
            "annotations": {"summary": format!("The disk of {host} is full")},
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": ends_at,
        }]);
        let told = Request::post("/api/v2/alerts").json(&alert).to(self.address);
        assert_eq!(told.status, 200, "{told:?}");
    }

    /// Waits until a notification was refused, or reached nobody.
    pub fn failed(&self) {
        let failed = || {
            let metrics = Request::get("/metrics").to(self.address).text();
            let line = metrics.lines().find(|line| {
                line.starts_with("alertmanager_notification_requests_failed_total{integration=\"webhook\"")
            })?;
            (!line.ends_with(" 0")).then_some(())
        };
        eventually("a failed notification", failed);
    }
}
