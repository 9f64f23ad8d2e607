//! The origin's kind of service: FastAPI under uvicorn, and Redis, both on the server's core.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tempfile::TempDir;

use super::{Place, Server, await_port, free_address, pinned};
use crate::Result;
use crate::dialect::Dialect;

const ITERATIONS: u32 = 100_000;

pub(super) fn start(place: &Place, directory: TempDir) -> Result<Server> {
    if !place.python.exists() {
        return Err(format!("{} is not there; benches/run makes it", place.python.display()).into());
    }
    let (address, redis) = (free_address()?, free_address()?);
    let key = URL_SAFE_NO_PAD.encode(b"bench:0123456789abcdefghijklmn");
    let salt = "00112233445566778899aabbccddeeff";
    let mut hash = [0; 32];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(key.as_bytes(), salt.as_bytes(), ITERATIONS, &mut hash);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let users = json!({ "bench": [{ "salt": salt, "hash": hash }] });
    fs::write(directory.path().join("users.json"), users.to_string())?;

    let mut server = Server::new(Dialect::Fastapi, address, directory);
    server.target.key = key;
    let mut command = pinned(&place.core, Path::new("/usr/bin/redis-server"));
    command.args(["--port", &redis.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--maxclients", "19000", "--tcp-backlog", "4096"]);
    server.spawn(command)?;
    await_port(redis, Duration::from_secs(5), &mut server.children, server.directory.path())?;

    let mut command = pinned(&place.core, &place.python);
    command.args(["-m", "uvicorn", "service:app", "--host", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "1"]);
    command.arg("--app-dir").arg(place.service.parent().unwrap_or(Path::new(".")));
    command.env("AUTH_FILE", server.path().join("users.json")).env("REDIS_PORT", redis.port().to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    server.spawn(command)?;
    server.ready(Duration::from_secs(30))?;
    Ok(server)
}
