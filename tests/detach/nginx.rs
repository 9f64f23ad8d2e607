//! nginx in front of alertd, with nothing configured but the upstream.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{self, Daemon, Request, Running, Stream, eventually};

/// A running nginx with its own socket.
struct Nginx {
    _running: Running,
    directory: TempDir,
}

impl Nginx {
    fn start(upstream: &str, version: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        let http = format!(
            "server {{ listen unix:{at}/nginx.sock;\n\
             location / {{ proxy_pass http://{upstream};\nproxy_http_version {version};\nproxy_set_header Connection \"\"; }} }}\n"
        );
        let nginx = Self { _running: harness::nginx(directory.path(), &http), directory };
        eventually("nginx", || UnixStream::connect(nginx.socket()).ok());
        nginx
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("nginx.sock")
    }
}

fn passes_at_once(version: &str, over_unix: bool) {
    let (daemon, path) = Daemon::behind_a_socket("[http]\nheartbeat = \"10m\"\n");
    let upstream = if over_unix { format!("unix:{}:", path.display()) } else { daemon.address.to_string() };
    let nginx = Nginx::start(&upstream, version);
    let key = daemon.key("alice");
    let stored = Request::post("/alerts").key(&key).body("first").over(&nginx.socket());
    assert_eq!(stored.status, 200, "{stored:?}");
    let follow = || {
        let request = Request::get("/alerts").key(&key);
        let mut stream = Stream::on(UnixStream::connect(nginx.socket()).unwrap(), &request).unwrap();
        assert_eq!(stream.head.status, 200, "{:?}", stream.head);
        stream.until("cursor");
        stream
    };
    let (mut one, two) = (follow(), follow());
    daemon.has_streams(2);
    for message in ["one", "two", "three"] {
        let began = Instant::now();
        daemon.publish(&key, "default", message);
        assert_eq!(one.message(), message);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    drop(two);
    daemon.has_streams(1);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let revoked = Request::new("DELETE", &format!("/keys/{}", key.id)).over(&daemon.control());
    assert_eq!(revoked.status, 200);
    assert_eq!(one.bye(), "revoked");
    daemon.has_streams(0);
}

#[test]
fn nginx_with_http_1_1_over_tcp_passes_alerts_at_once() {
    passes_at_once("1.1", false);
}

#[test]
fn nginx_with_http_1_1_over_a_unix_socket_passes_alerts_at_once() {
    passes_at_once("1.1", true);
}

#[test]
fn nginx_with_http_1_0_over_tcp_passes_alerts_at_once() {
    passes_at_once("1.0", false);
}

#[test]
fn nginx_with_http_1_0_over_a_unix_socket_passes_alerts_at_once() {
    passes_at_once("1.0", true);
}
