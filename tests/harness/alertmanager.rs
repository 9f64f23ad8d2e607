//! A real Alertmanager that sends to a daemon.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{Daemon, Key, Request, eventually, fixed_port};

/// A real Alertmanager; it is killed when dropped.
pub struct Alertmanager {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Alertmanager {
    /// One whose only receiver is this daemon, with this key.
    pub fn start(daemon: &Daemon, key: &Key) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        fs::write(directory.path().join("key"), format!("{}\n", key.secret)).unwrap();
        let configuration = format!(
            "route:\n  receiver: alertd\n  group_by: [alertname]\n  group_wait: 0s\n  group_interval: 1s\nreceivers:\n  - name: alertd\n    webhook_configs:\n      - url: http://{}/hooks/alertmanager/ops\n        http_config:\n          authorization:\n            credentials_file: {at}/key\n",
            daemon.address
        );
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
        Self { child, address, _directory: directory }
    }

    /// An alert, as Prometheus tells it: it fires until `ends_at`.
    pub fn tell(&self, host: &str, ends_at: &str) {
        let alert = json!([{
            "labels": {"alertname": "DiskFull", "instance": host, "severity": "critical"},
            "annotations": {"summary": format!("The disk of {host} is full")},
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": ends_at,
        }]);
        let told = Request::post("/api/v2/alerts").json(&alert).to(self.address);
        assert_eq!(told.status, 200, "{told:?}");
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
