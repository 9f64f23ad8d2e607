//! Streams through real proxies that compress responses.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use crate::harness::{Daemon, Key, Request, Running, apache, caddy, eventually, fixed_port, nginx, npm};

/// Follows with curl, which accepts compression as a browser does, and decompresses.
fn follow(address: &str, key: &Key) -> (Running, Lines<BufReader<ChildStdout>>) {
    let mut curl = Command::new("curl");
    curl.args(["-sSN", "--compressed", "-H", &format!("Authorization: Bearer {}", key.secret)]);
    curl.arg(format!("http://{address}/alerts/ops?since=none")).stdout(Stdio::piped());
    let mut child = curl.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (Running(child), lines)
}

/// Each alert passes as soon as it is there, through a proxy that compresses other answers.
fn alerts_pass(proxy: impl Fn(&Path, &str, SocketAddr) -> Running) {
    // No heartbeats, which could push out what a proxy holds back.
    let daemon = Daemon::with("[http]\nheartbeat = \"1h\"\n");
    let key = daemon.key("alice");
    let (directory, address) = (tempfile::tempdir().unwrap(), fixed_port());
    let _proxy = proxy(directory.path(), &address, daemon.address);
    let through = address.parse().unwrap();
    eventually("a proxy that answers", || (Request::get("/readyz").try_to(through)?.status == 200).then_some(()));
    daemon.publish(&key, "ops", &"long ".repeat(800));
    let history = Request::get("/alerts/ops?since=all").key(&key).header("Accept", "application/json");
    let compressed = history.header("Accept-Encoding", "gzip").to(through);
    assert_eq!((compressed.status, compressed.header("content-encoding")), (200, Some("gzip")), "{compressed:?}");
    let (_curl, mut lines) = follow(&address, &key);
    assert!(lines.any(|line| line.unwrap() == "event: cursor"));
    for message in ["first", "second", "third"] {
        daemon.publish(&key, "ops", message);
        assert!(lines.any(|line| line.unwrap().contains(message)));
    }
}

#[test]
fn alerts_pass_an_express_server_with_compression() {
    alerts_pass(|_, address, daemon| {
        let mut node = Command::new("node");
        node.arg("compress.mjs").current_dir(npm()).env("LISTEN", address).env("DAEMON", daemon.to_string());
        Running(node.stdin(Stdio::null()).spawn().expect("node"))
    });
}

#[test]
fn alerts_pass_an_nginx_that_compresses() {
    alerts_pass(|directory, address, daemon| {
        nginx(
            directory,
            &format!(
                "gzip on;\ngzip_proxied any;\ngzip_types application/json text/event-stream;\n\
                 server {{ listen {address}; location / {{ proxy_pass http://{daemon}; proxy_http_version 1.1; }} }}\n"
            ),
        )
    });
}

#[test]
fn alerts_pass_an_apache_with_mod_deflate() {
    alerts_pass(|directory, address, daemon| {
        let deflating = format!("SetOutputFilter DEFLATE\nProxyPass / http://{daemon}/ flushpackets=on\n");
        apache(directory, address, &["filter", "deflate"], &deflating)
    });
}

#[test]
fn alerts_pass_a_caddy_that_encodes() {
    alerts_pass(|directory, address, daemon| {
        let (host, port) = address.rsplit_once(':').unwrap();
        let site = format!("http://:{port} {{\n bind {host}\n encode gzip\n reverse_proxy {daemon}\n}}\n");
        caddy(directory, &site)
    });
}
