//! The programs in clients.md, run unchanged: over crashes, restarts and their own ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

use crate::harness::{Browser, Daemon, Key, Look, Request, Running, eventually, fixed_port, program, told};

/// The code in clients.md with this name; the code without a name is `curl`.
pub(crate) fn recipe(name: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/doc/clients.md")).unwrap();
    let mut blocks = text.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap());
    let is_it = |head: &str| head.split_once(' ').map_or("curl", |(_, own)| own) == name;
    blocks.find(|(head, _)| is_it(head)).unwrap_or_else(|| panic!("no recipe {name}")).1.to_owned()
}

/// Writes it to the directory, with the address of this daemon.
fn written(name: &str, daemon: &Daemon) -> PathBuf {
    let file = daemon.directory.path().join(name);
    fs::write(&file, recipe(name).replace("localhost:8080", &daemon.address.to_string())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// A running program and its output; dropping the value ends it and its children.
struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// Runs it in the daemon's directory, as alice.
    fn start(interpreter: &str, name: &str, daemon: &Daemon, key: &Key) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&1", "sh", interpreter]).arg(written(name, daemon));
        let url = format!("http://{}/alerts?topic=ops.*", daemon.address);
        command.env("API_KEY", &key.secret).env("ALERTS_URL", url).current_dir(daemon.directory.path());
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that begins like this; an alert before it fails the test.
    fn says(&mut self, beginning: &str) -> String {
        loop {
            let line = self.lines.next().expect("the follower is there").unwrap();
            if line.starts_with(beginning) {
                return line;
            }
            assert!(!line.starts_with("alert"), "wanted {beginning:?}, got {line:?}");
        }
    }

    /// The message of the next alert; a gap before it fails the test.
    fn message(&mut self) -> String {
        let line = loop {
            let line = self.lines.next().expect("the follower is there").unwrap();
            assert!(!line.starts_with("alerts may be missing"), "{line}");
            if let Some(alert) = line.strip_prefix("alert ") {
                break alert.to_owned();
            }
        };
        match serde_json::from_str::<Value>(&line) {
            Ok(alert) => alert["message"].as_str().unwrap().to_owned(),
            Err(_) => line.splitn(4, ' ').nth(3).unwrap().to_owned(),
        }
    }

    fn ended(&mut self) -> ExitStatus {
        eventually("the end of the follower", || self.child.try_wait().unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        // Fails if it has already ended.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// Waits until a follower has saved this cursor. The file always has a complete cursor, whenever the follower is
/// killed.
fn has_noted(daemon: &Daemon, cursor: &str) {
    let file = daemon.directory.path().join("follow.cursor");
    eventually(&format!("the cursor {cursor}"), || {
        let saved = fs::read_to_string(&file).ok()?;
        assert!(!saved.is_empty(), "a follower that ends now has lost its cursor");
        (saved.trim() == cursor).then_some(())
    });
}

fn newest_of(daemon: &Daemon) -> String {
    daemon.status()["engine"]["head"].as_str().unwrap().to_owned()
}

/// Under load, over crashes, stops and its own ends, and overtaken by retention, the program gets every alert once and
/// in order, or reports a gap.
fn resumes(interpreter: &str, name: &str) -> (Daemon, Follower) {
    let address = fixed_port();
    let configuration = "[http]\nheartbeat = \"1s\"\nretry = \"200ms..200ms\"\n[alerts]\nretain_count = 30\n";
    let mut daemon = Daemon::with_environment(configuration, &[("ALERTD_HTTP_LISTEN", &address)]);
    let key = daemon.key("alice");
    fs::write(daemon.directory.path().join("alertd.auth"), format!("Authorization: Bearer {}\n", key.secret)).unwrap();
    let burst = |daemon: &Daemon, what: &str| {
        let messages: Vec<String> = (0..5).map(|number| format!("{what} {number}")).collect();
        messages.iter().for_each(|message| drop(daemon.publish(&key, "ops.db", message)));
        messages
    };
    let noise = |daemon: &Daemon| (0..60).for_each(|number| drop(daemon.publish(&key, "noise", &number.to_string())));
    let takes = |follower: &mut Follower, messages: Vec<String>| {
        for message in messages {
            assert_eq!(follower.message(), message, "{name}");
        }
    };
    daemon.publish(&key, "ops.db", "the first \u{1f600}");
    let mut follower = Follower::start(interpreter, name, &daemon, &key);
    assert_eq!(follower.message(), "the first \u{1f600}");
    daemon.has_streams(1);
    let live = burst(&daemon, "live");
    takes(&mut follower, live);

    daemon.kill();
    let mut daemon = daemon.again();
    let crashed = burst(&daemon, "after the crash");
    takes(&mut follower, crashed);

    // More alerts on other topics than are retained: only cursor events keep the position of a quiet reader.
    daemon.has_streams(1);
    noise(&daemon);
    has_noted(&daemon, &newest_of(&daemon));
    daemon.stop();
    let said = follower.says("the ");
    assert!(said.contains("stop"), "{said}");
    let daemon = daemon.again();
    let restarted = burst(&daemon, "after the restart");
    takes(&mut follower, restarted);

    // An alert is handled at least once: again only if the reader ends before it has saved the cursor.
    has_noted(&daemon, &newest_of(&daemon));
    drop(follower);
    let alone = burst(&daemon, "while nobody followed");
    let mut follower = Follower::start(interpreter, name, &daemon, &key);
    takes(&mut follower, alone);
    has_noted(&daemon, &newest_of(&daemon));

    drop(follower);
    noise(&daemon);
    let after = burst(&daemon, "after the gap");
    let mut follower = Follower::start(interpreter, name, &daemon, &key);
    follower.says("alerts may be missing");
    takes(&mut follower, after);
    assert_eq!(Request::new("DELETE", "/keys/alice").over(&daemon.control()).status, 200);
    let said = follower.says("the ");
    assert!(said.contains("revoked"), "{said}");
    (daemon, follower)
}

#[test]
fn python_follows_over_every_break_until_its_key_is_revoked() {
    let (_daemon, mut follower) = resumes("python3", "follow.py");
    assert!(follower.says("refused: ").contains("valid key"));
    assert_eq!(follower.ended().code(), Some(1));
}

#[test]
fn node_follows_over_every_break_until_its_key_is_revoked() {
    let (_daemon, mut follower) = resumes("node", "follow.mjs");
    assert!(follower.says("refused: ").contains("valid key"));
    assert_eq!(follower.ended().code(), Some(1));
}

#[test]
fn a_shell_loop_follows_over_every_break_until_its_key_is_revoked() {
    let (_daemon, mut follower) = resumes("sh", "follow.sh");
    follower.says("refused: see alertd.auth");
    assert_eq!(follower.ended().code(), Some(1));
}

#[test]
fn python_sends_once_and_waits_for_a_daemon_that_is_away() {
    let address = fixed_port();
    let mut daemon = Daemon::with_environment("", &[("ALERTD_HTTP_LISTEN", &address)]);
    let key = daemon.key("alice");
    let publish = |daemon: &Daemon, key: &Key| {
        let mut python = Command::new("python3");
        python
            .arg(written("publish.py", daemon))
            .args(["ops.db", "it's \"here\" \u{1f600}"])
            .env("API_KEY", &key.secret);
        python.env("ALERTS_URL", format!("http://{address}/alerts")).stdout(Stdio::piped()).stderr(Stdio::piped());
        python.spawn().unwrap()
    };
    daemon.stop();
    let waiting = publish(&daemon, &key);
    let daemon = daemon.again();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let wrong = Key { id: String::new(), secret: "wrong".into() };
    let refused = publish(&daemon, &wrong).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(said.starts_with("publish.py: ") && said.contains("valid key") && said.lines().count() == 1, "{said}");
    let history = daemon.ctl(&["history", "--json"]);
    let alerts: Vec<Value> =
        String::from_utf8_lossy(&history.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["id"].as_str().unwrap(), String::from_utf8_lossy(&output.stdout).trim());
    assert_eq!((&alerts[0]["level"], &alerts[0]["message"]), (&json!("warn"), &json!("it's \"here\" \u{1f600}")));
}

#[test]
fn the_lines_of_curl_work_from_top_to_bottom() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let script = recipe("curl").replace("localhost:8080", &daemon.address.to_string());
    let mut shell = Command::new("sh");
    shell.args(["-euxc", &script]).env("API_KEY", &key.secret).current_dir(daemon.directory.path());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.matches("alert stored").count(), 3, "{said}");
    for part in ["{\"alerts\":[{", "id: ", "Deploy completed", "event: cursor"] {
        assert!(said.contains(part), "{part} is missing in {}", told(&output));
    }
    let mode = fs::metadata(daemon.directory.path().join("alertd.auth")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_page_of_another_origin_follows_with_tickets_over_a_restart() {
    let (page, address) = (fixed_port(), fixed_port());
    let configuration = format!("[http]\ncors_origins = [\"http://{page}\"]\n");
    let mut daemon = Daemon::with_environment(&configuration, &[("ALERTD_HTTP_LISTEN", &address)]);
    let key = daemon.key("alice");
    written("alerts.html", &daemon);
    let (host, port) = page.split_once(':').unwrap();
    let mut files = Command::new("python3");
    files.args(["-u", "-m", "http.server", port, "--bind", host]).current_dir(daemon.directory.path());
    let _files = Running(files.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    eventually("the server of the page", || std::net::TcpStream::connect(&page).ok());
    let mut browser = Browser::open(&format!("http://{page}/alerts.html"), &Look::default());
    browser.fill("input", &key.secret);
    browser.click("button");
    browser.says("p", "live");
    daemon.publish(&key, "ops.db", "<b onclick=x>not bold</b>");
    browser.says("li", "info ops.db <b onclick=x>not bold</b>");
    daemon.stop();
    browser.says("p", "reconnecting");
    let daemon = daemon.again();
    daemon.publish(&key, "ops.db", "while it was away");
    browser.says("li", "while it was away");
    browser.says("p", "live");
    assert_eq!(browser.evaluate("document.querySelectorAll('li').length"), json!(2));
    assert_eq!(Request::new("DELETE", "/keys/alice").over(&daemon.control()).status, 200);
    browser.says("p", "valid key");
}

/// An X server, a message bus and a notification daemon of their own.
struct Desktop {
    shown: PathBuf,
    environment: Vec<(&'static str, String)>,
    _running: Vec<Running>,
}

impl Desktop {
    fn start(directory: &Path) -> Self {
        let mut x = Command::new("Xvfb");
        x.args(["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]);
        let mut x = x.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let display = BufReader::new(x.stdout.take().unwrap()).lines().next().expect("a display").unwrap();
        let (bus, shown) = (directory.join("bus"), directory.join("shown"));
        // One without the services of this machine, which would start another daemon.
        let configuration = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            bus.display()
        );
        fs::write(directory.join("bus.conf"), configuration).unwrap();
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--nofork", "--config-file"]).arg(directory.join("bus.conf")).stderr(Stdio::null());
        let mut running = vec![Running(x), Running(daemon.spawn().unwrap())];
        eventually("the bus", || std::os::unix::net::UnixStream::connect(&bus).ok());
        let address = format!("unix:path={}", bus.display());
        let environment = vec![("DISPLAY", format!(":{}", display.trim())), ("DBUS_SESSION_BUS_ADDRESS", address)];
        let mut dunst = Command::new("dunst");
        dunst.arg("-print").envs(environment.clone()).stdout(fs::File::create(&shown).unwrap()).stderr(Stdio::null());
        running.push(Running(dunst.spawn().unwrap()));
        eventually("the notification daemon", || {
            let asked = Command::new("dunstctl").arg("is-paused").envs(environment.clone()).output().unwrap();
            asked.status.success().then_some(())
        });
        Self { shown, environment, _running: running }
    }

    /// Waits for a notification that contains all of these texts.
    fn shows(&self, parts: &[&str]) {
        eventually(&format!("a notification with {parts:?}"), || {
            let shown = fs::read_to_string(&self.shown).unwrap();
            shown.split("\n}\n").any(|one| parts.iter().all(|part| one.contains(part))).then_some(())
        });
    }
}

/// The command of a unit, with its variables and with systemd's specifiers filled in, for a shell.
fn command_of(unit: &str, daemon: &Daemon, home: &Path) -> String {
    let lines = |name: &str| unit.lines().filter_map(move |line| line.strip_prefix(name)).collect::<Vec<_>>();
    let alertctl = program("alertctl").get_program().to_str().unwrap().to_owned();
    let filled = lines("ExecStart=")[0]
        .replace("%h", home.to_str().unwrap())
        .replace("%S", home.join("state").to_str().unwrap())
        .replace("/usr/bin/alertctl", &alertctl);
    let variables = lines("Environment=").join(" ").replace("localhost:8080", &daemon.address.to_string());
    format!("{variables} exec {filled}")
}

#[test]
fn alerts_are_shown_on_a_desktop_as_text() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let home = daemon.directory.path();
    let desktop = Desktop::start(home);
    fs::create_dir_all(home.join(".local/bin")).unwrap();
    fs::create_dir_all(home.join("state/alert-notify")).unwrap();
    fs::rename(written("alert-notify", &daemon), home.join(".local/bin/alert-notify")).unwrap();
    fs::write(home.join(".alertkey"), &key.secret).unwrap();
    let mut tail = Command::new("sh");
    tail.args(["-c", &command_of(&recipe("alert-notify.service"), &daemon, home)]);
    tail.envs(desktop.environment.clone()).env("HOME", home);
    let _tail = Running(tail.spawn().unwrap());
    daemon.has_streams(1);
    let publish = |topic: &str, level: &str, message: &str| {
        assert!(daemon.ctl(&["publish", "-t", topic, "-l", level, "--", message]).status.success());
    };
    publish("ops.db", "error", "<i>disk</i> & C:\\new is \"full\"");
    desktop.shows(&[
        "appname: 'alertd'",
        "summary: 'ops.db'",
        "body: '&lt;i&gt;disk&lt;/i&gt; &amp; C:\\new is \"full\"'",
        "urgency: CRITICAL",
    ]);
    publish("web", "info", "-u low $(reboot)");
    desktop.shows(&["summary: 'web'", "body: '-u low $(reboot)'", "urgency: LOW"]);
}
