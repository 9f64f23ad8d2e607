//! The configurations of proxies that operations.md has, with the real proxies.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::harness::{Daemon, Request, Running, Stream, apache, caddy, eventually, fixed_port, nginx};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/doc/operations.md");

/// The block of this language in the section about proxies.
fn documented(language: &str) -> String {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let section = text.split("## Behind a proxy").nth(1).unwrap();
    let block = section.split(&format!("```{language}\n")).nth(1).unwrap_or_else(|| panic!("no block of {language}"));
    block.split("```").next().unwrap().to_owned()
}

/// A connection from another address of this machine, as that of a client elsewhere.
fn connect_from_elsewhere(address: SocketAddr) -> std::net::TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((IpAddr::from(Ipv4Addr::new(127, 0, 0, 9)), 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// Alerts pass in both formats as soon as they are there, and alertd sees the address of the client.
fn works_as_documented(proxy: impl Fn(&Path, &str, &Daemon) -> Running) {
    let daemon = Daemon::with(&format!("{}heartbeat = \"1h\"\n", documented("toml")));
    let key = daemon.key("alice");
    let (directory, address) = (tempfile::tempdir().unwrap(), fixed_port());
    let _proxy = proxy(directory.path(), &address, &daemon);
    let through: SocketAddr = address.parse().unwrap();
    eventually("a proxy that answers", || (Request::get("/readyz").try_to(through)?.status == 200).then_some(()));
    let mut events = Stream::open(through, &Request::get("/alerts/ops?since=none").key(&key));
    events.until("cursor");
    let lines = Request::get("/alerts/ops?since=none").key(&key).header("Accept", "application/x-ndjson");
    let mut lines = Stream::open(through, &lines);
    daemon.has_streams(2);
    for message in ["first", "second", "third"] {
        assert_eq!(Request::post("/alerts/ops").key(&key).body(message).to(through).status, 200);
        assert_eq!(events.message(), message);
        while !lines.more().contains(message) {}
    }
    assert_eq!(Request::get("/health").on(connect_from_elsewhere(through)).unwrap().status, 401);
    daemon.said("authentication failed from 127.0.0.9: ");
    // Apache and Caddy notice that a client has gone when they write to it.
    drop((events, lines));
    eventually("the end of the streams", || {
        daemon.publish(&key, "ops", "is anybody there?");
        (daemon.status()["hub"]["streams"] == 0).then_some(())
    });
}

fn with_upstream(text: &str, daemon: &Daemon) -> String {
    assert!(text.contains("127.0.0.1:8080"), "{text}");
    text.replace("127.0.0.1:8080", &daemon.address.to_string())
}

#[test]
fn nginx_works_as_documented() {
    works_as_documented(|directory, address, daemon| {
        let location = with_upstream(&documented("nginx"), daemon);
        nginx(directory, &format!("server {{ listen {address};\n{location}}}\n"))
    });
}

#[test]
fn apache_works_as_documented() {
    works_as_documented(|directory, address, daemon| {
        apache(directory, address, &[], &with_upstream(&documented("apache"), daemon))
    });
}

#[test]
fn caddy_works_as_documented() {
    works_as_documented(|directory, address, daemon| {
        let (host, port) = address.rsplit_once(':').unwrap();
        let site = with_upstream(&documented("caddy"), daemon);
        caddy(directory, &site.replace("alerts.example.org {", &format!("http://:{port} {{\n    bind {host}")))
    });
}
