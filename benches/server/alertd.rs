//! alertd, with limits that do not limit a benchmark.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Place, Server, await_port, free_address, pinned, spawn};
use crate::Result;
use crate::dialect::Dialect;
use crate::machine::{descriptor_limit, now, pause};

pub(super) fn start(place: &Place, directory: TempDir, durability: &str, http: &str) -> Result<Server> {
    let engine = format!("durability = \"{durability}\"");
    let address = free_address()?;
    launch(place, Server::new(Dialect::Alertd, address, directory), &engine, http)
}

/// With a Redis of its own on the same core, whose append-only file is flushed like this.
pub(super) fn start_on_redis(place: &Place, directory: TempDir, appendfsync: &str) -> Result<Server> {
    let (address, redis) = (free_address()?, free_address()?);
    let mut server = Server::new(Dialect::Alertd, address, directory);
    let mut command = pinned(&place.core, Path::new("/usr/bin/redis-server"));
    command.args(["--port", &redis.port().to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", appendfsync]);
    server.spawn(command)?;
    await_port(redis, Duration::from_secs(5), &mut server.children, server.directory.path())?;
    let engine = format!("kind = \"redis\"\n[engine.redis]\nhost = \"127.0.0.1\"\nport = {}", redis.port());
    launch(place, server, &engine, "")
}

fn launch(place: &Place, mut server: Server, engine: &str, http: &str) -> Result<Server> {
    let address = server.target.address;
    let connections = (descriptor_limit() - 200).min(1_000_000);
    let at = server.path().display();
    fs::write(
        server.path().join("alertd.toml"),
        format!(
            r#"state_dir = "{at}/state"
control_socket = "{at}/control.sock"
publish_socket = "{at}/publish.sock"
[http]
listen = "{address}"
max_connections = {connections}
max_streams = {connections}
{http}
[alerts]
retain_count = 100_000_000
retain_bytes = 0
topic_count = 0
[engine]
{engine}
[limits]
publish_rate = 0
streams_per_key = 0
[log]
target = "stderr"
level = "warn"
"#
        ),
    )?;
    let (core, program) = (place.core.clone(), place.alertd.clone());
    let launch = move |directory: &Path| {
        let mut command = pinned(&core, &program);
        command.args(["--config", "alertd.toml"]);
        // What the machine's environment says must not matter.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["ALERT", "NOTIFY_", "LISTEN_", "REDIS_", "STAGE", "AUTH_"].iter().any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        spawn(command, directory)
    };
    server.children.push(launch(server.path())?);
    server.target.pids = server.children.iter().map(std::process::Child::id).collect();
    server.again = Some(Box::new(launch));
    server.ready(Duration::from_secs(20))?;
    server.target.key = await_key(&server.path().join("control.sock"))?;
    Ok(server)
}

/// A key, as soon as there can be one: alertd does not wait for its Redis.
fn await_key(control: &Path) -> Result<String> {
    let deadline = now() + Duration::from_secs(10).as_nanos() as u64;
    loop {
        match key(control) {
            Err(_) if now() < deadline => pause(Duration::from_millis(20)),
            made => return made,
        }
    }
}

/// A new key with the default scopes.
fn key(control: &Path) -> Result<String> {
    let mut socket = UnixStream::connect(control)?;
    let body = r#"{"user":"bench"}"#;
    write!(
        socket,
        "POST /keys HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let json: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap_or_default())?;
    json["secret"].as_str().map(str::to_owned).ok_or_else(|| format!("no key: {answer}").into())
}
