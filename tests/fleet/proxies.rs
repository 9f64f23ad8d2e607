//! The examples for proxies in front of a fleet, as they ship, with the addresses of this machine.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::nodes::Fleet;
use crate::harness::{self, Redis, Request, Running, Stream, eventually, fixed_port, program, told};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/fleet");

struct Proxy {
    _running: Running,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts it with the example for two nodes at these addresses.
    fn start(example: &str, nodes: [SocketAddr; 2]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = fixed_port();
        let text = fs::read_to_string(format!("{EXAMPLES}/{example}")).unwrap();
        let text = text.replace("127.0.0.1:8000", &address);
        let text =
            text.replace("192.0.2.1:8080", &nodes[0].to_string()).replace("192.0.2.2:8080", &nodes[1].to_string());
        let running = if example == "haproxy.cfg" {
            let file = directory.path().join(example);
            fs::write(&file, text).unwrap();
            let mut haproxy = Command::new("haproxy");
            haproxy.args(["-db", "-f"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Running(haproxy.spawn().expect("haproxy"))
        } else {
            harness::nginx(directory.path(), &text)
        };
        let proxy = Self { _running: running, address: address.parse().unwrap(), _directory: directory };
        eventually("a proxy that has found a node", || {
            (Request::get("/readyz").try_to(proxy.address)?.status == 200).then_some(())
        });
        proxy
    }
}

fn a_fleet_behind(example: &str) {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let proxy = Proxy::start(example, [fleet.endpoint(0).0, fleet.endpoint(1).0]);
    let key = fleet.endpoint(0).1;
    let follow = |cursor: &str| {
        let request = Request::get("/alerts?topic=*").key(&key).header("Last-Event-ID", cursor);
        Stream::try_open(proxy.address, &request).filter(|stream| stream.head.status == 200)
    };
    let publish = |message: &str| {
        let request = Request::post("/alerts/ops").key(&key).header("Idempotency-Key", message).body(message);
        eventually("a publish through the proxy", || (request.try_to(proxy.address)?.status == 200).then_some(()));
    };
    publish("first");
    let mut streams = [follow("0-0").unwrap(), follow("0-0").unwrap()];
    for message in ["second", "third"] {
        publish(message);
    }
    for stream in &mut streams {
        assert_eq!([stream.message(), stream.message(), stream.message()], ["first", "second", "third"]);
    }
    // A node dies: the proxy takes the other one, and nothing is missed.
    fleet.kill(0);
    publish("fourth");
    for stream in &mut streams {
        let mut message = stream.alert();
        while message.is_none() {
            let cursor = stream.last_id.clone().unwrap();
            *stream = eventually("a stream through the proxy", || follow(&cursor));
            stream.last_id = Some(cursor);
            message = stream.alert();
        }
        assert_eq!(message.unwrap()["message"], "fourth");
    }
}

#[test]
fn streams_and_publishes_pass_haproxy_and_outlive_a_node() {
    a_fleet_behind("haproxy.cfg");
}

#[test]
fn streams_and_publishes_pass_nginx_and_outlive_a_node() {
    a_fleet_behind("nginx.conf");
}

#[test]
fn the_environment_of_the_composition_is_a_configuration() {
    let text = fs::read_to_string(format!("{EXAMPLES}/compose.yaml")).unwrap();
    let variables: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("ALERTD_"))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    assert_eq!(variables.len(), 3);
    let checked = program("alertd").arg("--check").envs(variables).output().unwrap();
    assert!(checked.status.success(), "{}", told(&checked));
}
