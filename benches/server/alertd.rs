//! alertd, with limits that do not limit a benchmark.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Place, Server, free_address, pinned, spawn};
use crate::Result;
use crate::dialect::Dialect;
use crate::machine::descriptor_limit;

pub(super) fn start(place: &Place, directory: TempDir, durability: &str, http: &str) -> Result<Server> {
    let address = free_address()?;
    let connections = (descriptor_limit() - 200).min(1_000_000);
    let at = directory.path().display();
    fs::write(
        directory.path().join("alertd.toml"),
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
durability = "{durability}"
[limits]
publish_rate = 0
streams_per_key = 0
[log]
target = "stderr"
level = "warn"
"#
        ),
    )?;
    let mut server = Server::new(Dialect::Alertd, address, directory);
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
    server.target.pids = vec![server.children[0].id()];
    server.again = Some(Box::new(launch));
    server.ready(Duration::from_secs(20))?;
    server.target.key = key(&server.path().join("control.sock"))?;
    Ok(server)
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
