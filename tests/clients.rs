//! Clients of others: curl, a browser, npm packages, Python's httpx-sse, nghttp. They drop or fail on blocks without
//! data, and resume in their own way.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Daemon, Key, Manager, Request, fixed_port, npm, python};
use crate::readme::block_named;

/// A client that prints a line for each thing that happens.
struct Client {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(mut command: Command, url: &str, key: &Key) -> Self {
        command.env("URL_TO_FOLLOW", url).env("KEY", &key.secret).stdout(Stdio::piped());
        // What the programs of clients.md take.
        command.env("ALERTS_URL", url).env("API_KEY", &key.secret);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that begins like this; a gap before it fails the test.
    fn says(&mut self, beginning: &str) -> String {
        loop {
            let line = self.lines.next().expect("the client is there").unwrap();
            if line.starts_with(beginning) {
                return line;
            }
            assert!(!line.starts_with("gap"), "{line}");
            // An alert must not be skipped while searching for another line.
            assert!(!line.starts_with("alert"), "wanted {beginning}, got {line}");
        }
    }

    /// The message of the next alert.
    fn message(&mut self) -> String {
        self.says("alert ").splitn(3, ' ').nth(2).unwrap().to_owned()
    }

    /// The same; before the alert only heartbeats may arrive.
    fn undisturbed_message(&mut self) -> String {
        loop {
            let line = self.lines.next().expect("the client is there").unwrap();
            if let Some(alert) = line.strip_prefix("alert ") {
                return alert.split_once(' ').unwrap().1.to_owned();
            }
            assert!(line.starts_with("cursor "), "the client noticed something: {line}");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients")
}

/// Under load, idle, and over a crash the client gets every alert once, and no gap although retention removed earlier
/// ones.
fn follows_over_breaks(command: impl Fn() -> Command) {
    follows_over_breaks_from("http://nowhere.example", command);
}

/// The same for a page of this origin.
fn follows_over_breaks_from(origin: &str, command: impl Fn() -> Command) {
    let address = fixed_port();
    let configuration = format!(
        "[http]\nheartbeat = \"1s\"\nretry = \"200ms..200ms\"\ncors_origins = [\"{origin}\"]\n[alerts]\nretain_count = 20\n"
    );
    let mut daemon = Daemon::with_environment(&configuration, &[("ALERTD_HTTP_LISTEN", &address)]);
    let key = daemon.key("alice");
    daemon.publish(&key, "quiet", "first");
    let mut client = Client::start(command(), &format!("http://{address}/alerts/quiet"), &key);
    assert_eq!(client.message(), "first");
    client.says("cursor");
    daemon.publish(&key, "quiet", "two\nlines \u{1f600}");
    assert_eq!(client.message(), "two", "the message's first line as printed");
    assert_eq!(client.lines.next().unwrap().unwrap(), "lines \u{1f600}");
    // More alerts on other topics than are retained: only cursor events keep the position of a quiet client.
    let mut newest = String::new();
    for number in 0..60 {
        newest = daemon.publish(&key, "noisy", &number.to_string());
    }
    while !client.says("cursor").contains(&newest) {}
    daemon.kill();
    client.says("error");
    let mut daemon = daemon.again();
    daemon.publish(&key, "quiet", "after the crash");
    assert_eq!(client.message(), "after the crash");
    daemon.stop();
    client.says("bye");
    let daemon = daemon.again();
    daemon.publish(&key, "quiet", "after the restart");
    assert_eq!(client.message(), "after the restart");
    assert_eq!(Request::new("DELETE", "/keys/alice").over(&daemon.control()).status, 200);
    client.says(r#"bye {"reason":"revoked"}"#);
}

/// The code for tickets in protocol.md, unchanged.
fn protocol_js() -> &'static Path {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("packaging/doc/protocol.md")).unwrap();
        let code = text.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
        let file = npm().join("protocol.js");
        std::fs::write(&file, code).unwrap();
        file
    });
    &FILE
}

/// A program of clients.md, unchanged, beside the packages that it needs.
fn documented(name: &str) -> PathBuf {
    let file = npm().join(name);
    std::fs::write(&file, block_named("packaging/doc/clients.md", name)).unwrap();
    file
}

/// A page of this address that follows with tickets.
fn dashboard(address: &str) -> Command {
    let mut node = Command::new("node");
    node.arg("dashboard.mjs").current_dir(protocol_js().parent().unwrap()).env("DASHBOARD", address);
    node
}

fn script(name: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(name).current_dir(protocol_js().parent().unwrap());
    node
}

fn httpx_sse() -> Command {
    static PYTHON: LazyLock<PathBuf> =
        LazyLock::new(|| python("clients/python", &["httpx==0.28.1", "httpx-sse==0.4.3"]).join("python"));
    let mut follow = Command::new(&*PYTHON);
    follow.arg(scripts().join("follow.py"));
    follow
}

/// A script for aiohttp, by its name.
fn aiohttp(script: &str) -> Command {
    static PYTHON: LazyLock<PathBuf> =
        LazyLock::new(|| python("clients/aiohttp", &["aiohttp==3.14.5", "aiohttp-sse-client2==0.3.0"]).join("python"));
    let mut follow = Command::new(&*PYTHON);
    follow.arg(scripts().join(script));
    follow
}

#[test]
fn a_browsers_eventsource_follows_with_tickets_from_another_origin() {
    let address = fixed_port();
    follows_over_breaks_from(&format!("http://{address}"), || dashboard(&address));
}

#[test]
fn the_npm_package_eventsource_follows_with_tickets() {
    follows_over_breaks(|| script("ticket.mjs"));
}

#[test]
fn the_npm_package_eventsource_resumes_exactly() {
    follows_over_breaks(|| script("follow.mjs"));
}

/// A page in a browser that follows with an npm package.
fn follows_in_a_browser_with(package: &str) {
    let page = fixed_port();
    follows_over_breaks_from(&format!("http://{page}"), || {
        let mut node = Command::new("node");
        node.arg("polyfill.mjs").current_dir(npm()).env("PAGE", &page).env("PACKAGE", package);
        node
    });
}

#[test]
fn the_npm_package_event_source_polyfill_resumes_exactly_by_its_parameter() {
    follows_in_a_browser_with("event-source-polyfill");
}

#[test]
fn the_npm_package_fetch_event_source_resumes_exactly_as_documented() {
    documented("fetch-event-source.js");
    follows_in_a_browser_with("@microsoft/fetch-event-source");
}

#[test]
fn the_npm_package_launchdarkly_eventsource_resumes_exactly_as_documented() {
    documented("launchdarkly.mjs");
    follows_over_breaks(|| script("launchdarkly.mjs"));
}

#[test]
fn the_npm_package_eventsource_client_resumes_exactly_as_documented() {
    documented("eventsource-client.mjs");
    follows_over_breaks(|| script("eventsource-client.mjs"));
}

#[test]
fn pythons_sseclient_py_resumes_exactly_as_documented() {
    let python = python("clients/sseclient", &["sseclient-py==1.9.0", "requests==2.34.2"]).join("python");
    let file = documented("sseclient_follow.py");
    follows_over_breaks(|| {
        let mut follow = Command::new(&python);
        follow.arg(&file);
        follow
    });
}

#[test]
fn a_silent_stream_has_a_heartbeat_within_the_read_timeout_of_okhttp() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut wire = daemon.connect();
    // As okhttp has it: no read may take longer.
    wire.set_patience(Duration::from_secs(10)).unwrap();
    wire.write_all(&Request::get("/alerts/quiet?since=none").key(&key).bytes(false)).unwrap();
    let mut received = String::new();
    while received.matches("event: cursor").count() < 3 {
        let mut piece = [0; 4096];
        let read = wire.read(&mut piece).expect("a byte in time");
        assert!(read > 0, "ended after: {received}");
        received.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
}

#[test]
fn pythons_httpx_sse_resumes_exactly() {
    follows_over_breaks(httpx_sse);
}

#[test]
fn pythons_aiohttp_resumes_exactly_line_by_line() {
    follows_over_breaks(|| aiohttp("aiohttp_lines.py"));
}

#[test]
fn the_package_aiohttp_sse_client2_resumes_exactly() {
    follows_over_breaks(|| aiohttp("aiohttp_sse.py"));
}

#[test]
fn no_client_notices_a_restart_that_its_stream_survives() {
    let address = fixed_port();
    let configuration = format!("[http]\nheartbeat = \"1s\"\ncors_origins = [\"http://{address}\"]\n");
    let mut manager = Manager::running(&configuration);
    let key = manager.key(&json!({ "user": "alice" }));
    let url = format!("http://{}/alerts/quiet", manager.address);
    let commands = [
        dashboard(&address),
        script("ticket.mjs"),
        script("follow.mjs"),
        httpx_sse(),
        aiohttp("aiohttp_lines.py"),
        aiohttp("aiohttp_sse.py"),
    ];
    let mut clients = commands.map(|command| Client::start(command, &url, &key));
    manager.publish("quiet", "first");
    for client in &mut clients {
        assert_eq!(client.message(), "first");
        client.says("cursor");
    }
    for number in 0..3 {
        manager.restart();
        manager.publish("quiet", &format!("after restart {number}"));
        for client in &mut clients {
            assert_eq!(client.undisturbed_message(), format!("after restart {number}"));
        }
    }
    assert_eq!(manager.status()["hub"]["taken_over"], clients.len());
}

#[test]
fn nghttp_speaks_http2_with_prior_knowledge() {
    let daemon = Daemon::with("[http]\nstream_lifetime = \"2s\"\n");
    let key = daemon.key("alice");
    daemon.publish(&key, "default", "over http/2");
    let authorization = format!("Authorization: Bearer {}", key.secret);
    let url = |path: &str| format!("http://{}{path}", daemon.address);
    let health = Command::new("nghttp").args(["-v", "-H", &authorization, &url("/health")]).output().unwrap();
    let said = String::from_utf8_lossy(&health.stdout).into_owned();
    assert!(said.contains(":status: 200") && said.contains("{\"status\":\"ok\"}"), "{said}");
    // nghttp prints what it has when the stream ends, so the stream is told to.
    let stream =
        Command::new("nghttp").args(["-H", &authorization, &url("/alerts")]).stdout(Stdio::piped()).spawn().unwrap();
    daemon.has_streams(1);
    daemon.publish(&key, "default", "live");
    let printed = stream.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&printed.stdout).into_owned();
    let parts = ["over http/2", "event: cursor", "\"live\"", "event: bye", "\"lifetime\""].map(|part| said.find(part));
    assert!(parts.iter().all(Option::is_some) && parts.is_sorted(), "{said}");
    let load = Command::new("h2load")
        .args(["-n", "200", "-c", "4", "-m", "10", "-H", &authorization, &url("/health")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&load.stdout).into_owned();
    assert!(said.contains("200 succeeded, 0 failed"), "{said}");
}

#[test]
fn the_former_servers_curl_lines_work_unchanged() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let shell = |line: &str| {
        let line = line.replace("localhost:8080", &daemon.address.to_string());
        let mut command = Command::new("sh");
        command.args(["-c", &line]).env("API_KEY", &key.secret);
        command
    };
    let put = r#"curl -sS -X PUT -H "Authorization: Bearer $API_KEY" -H "Content-Type: application/json" -d '{"message":"Deploy completed","level":"info","metadata":{"version":"1.2.3"}}' http://localhost:8080/alerts"#;
    let stored = shell(put).output().unwrap();
    assert!(
        String::from_utf8_lossy(&stored.stdout).starts_with("{\"status\":\"alert stored\",\"alert\":{"),
        "{stored:?}"
    );
    let health =
        shell(r#"curl -sS -H "Authorization: Bearer $API_KEY" http://localhost:8080/health"#).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&health.stdout), "{\"status\":\"ok\"}\n");
    let follow = r#"exec curl -sS -N -H "Authorization: Bearer $API_KEY" http://localhost:8080/alerts"#;
    let mut curl = shell(follow).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("data: {") && line.contains("Deploy completed")));
    assert_eq!(daemon.send(&Request::post("/alerts").key(&key).body("live")).status, 200);
    assert!(lines.any(|line| line.starts_with("data: {") && line.contains("\"live\"")));
    let _ = curl.kill();
    let _ = curl.wait();
}
