//! Libraries and programs from PyPI as they are.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Daemon, Request, python, told};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ntfy").join(name)
}

#[test]
fn aiontfy_publishes_and_follows_over_websocket() {
    let daemon = Daemon::start();
    let (key, narrow) = (daemon.key("alice"), super::key_for(&daemon, &["web"]));
    // It asks for Python 3.12, and works with the 3.11 of Debian 12 as well.
    let programs = python("clients/aiontfy", &["--ignore-requires-python", "aiontfy==0.8.6"]);
    let mut command = Command::new(programs.join("python"));
    command.arg(script("aiontfy_client.py")).env("URL", format!("http://{}/ntfy", daemon.address));
    command.env("KEY", &key.secret).env("NARROW", &narrow.secret).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().expect("the client goes on").unwrap();
    assert_eq!(next(), format!("version {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(next(), "account alice");
    assert_eq!(next(), "event open");
    assert_eq!(next(), r"message web T 4 ['tada'] 'hello\nworld'");
    assert_eq!(next(), "ready");
    let id = daemon.publish(&key, "ops.db", "from elsewhere");
    assert_eq!(next(), format!("message ops_db 'from elsewhere' {id}"));
    assert_eq!(next(), "refused NtfyUnauthorizedError");
    assert_eq!(next(), "refused NtfyForbiddenError");
    assert!(child.wait().unwrap().success());
    let incident = daemon.send(&Request::get("/incidents/web/disk").key(&key)).json();
    assert_eq!((&incident["state"], &incident["message"]), (&json!("open"), &json!("full")), "{incident}");
    assert!(!incident["ttl"].is_null(), "{incident}");
}

#[test]
fn python_ntfy_publishes_and_polls() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let programs = python("clients/python-ntfy", &["python-ntfy==0.11.4"]);
    let mut command = Command::new(programs.join("python"));
    command.arg(script("python_ntfy_client.py")).env("URL", format!("http://{}/ntfy", daemon.address));
    let output = command.env("KEY", &key.secret).output().unwrap();
    assert!(output.status.success() && told(&output).contains("good"), "{}", told(&output));
}

#[test]
fn apprise_publishes_at_the_root_which_is_all_that_it_can_reach() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let apprise = python("clients/apprise", &["apprise==2.2.0"]).join("apprise");
    let (secret, address) = (&key.secret, daemon.address);
    for url in [
        format!("ntfy://phone:{secret}@{address}/home?priority=high&xtags=house"),
        format!("ntfy://{address}/home?token={secret}&priority=high&xtags=house"),
    ] {
        let output = Command::new(&apprise).args(["-t", "Gerät", "-b", "Pumpe & Kessel", &url]).output().unwrap();
        assert!(output.status.success(), "{url}: {}", told(&output));
        let newest = Request::get("/alerts/home?limit=1").key(&key).header("Accept", "application/json");
        let alert = daemon.send(&newest).json()["alerts"][0].clone();
        assert_eq!((&alert["message"], &alert["level"]), (&json!("Pumpe & Kessel"), &json!("warn")), "{url}: {alert}");
        let metadata = &alert["metadata"];
        assert_eq!((&metadata["title"], &metadata["tags"]), (&json!("Gerät"), &json!(["house"])), "{url}: {alert}");
    }
    let wrong = format!("ntfy://phone:wrong@{address}/home");
    let output = Command::new(&apprise).args(["-vv", "-b", "x", &wrong]).output().unwrap();
    assert!(!output.status.success() && told(&output).contains("40101"), "{}", told(&output));
}
