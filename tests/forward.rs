//! The recipes of forward.md: the command of `alertd-forward@.service` with the files that the package ships, against
//! receivers that answer as chats, webhooks and mail servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Running, eventually, fixed_port, program, python};
use crate::readme::block_named;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A request as a receiver gets it: its head and its body.
type Received = (String, String);

/// Answers each request with the next of these statuses, then with 200, and hands it over.
fn receiver(statuses: &'static [u16]) -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for status in statuses.iter().copied().chain(std::iter::repeat(200)) {
            let Ok((stream, _)) = listener.accept() else { return };
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
            }
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = (&stream).write_all(answer.as_bytes());
            if sender.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (address, received)
}

/// The variables that a file of the unit sets, as systemd reads it.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Runs what the unit runs, with the recipe of this name, of which some variables are replaced.
fn forward(daemon: &Daemon, name: &str, changes: &[(&str, &str)]) -> Running {
    let unit = std::fs::read_to_string(Path::new(ROOT).join("systemd/alertd-forward@.service")).unwrap();
    let line = |start: &str| unit.lines().find_map(|line| line.strip_prefix(start)).unwrap().to_owned();
    let mut set = variables(&line("Environment=").replace(' ', "\n"));
    let recipe = block_named("packaging/doc/forward.md", &format!("{name}.conf"));
    set.extend(variables(&recipe));
    set.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let value = |name: &str| {
        let found = set.iter().rev().find(|(own, _)| own == name).unwrap_or_else(|| panic!("{name} is not set"));
        found.1.replace("/usr/share/alertd/forward", &format!("{ROOT}/packaging/forward/forward"))
    };
    let key = daemon.directory.path().join("key");
    std::fs::write(&key, &daemon.key("forward").secret).unwrap();
    let state = daemon.directory.path().join("alertd-forward").join(name);
    std::fs::create_dir_all(&state).unwrap();
    let mut command = program("alertctl");
    command.envs(set.iter().map(|(name, value)| (name, value)));
    command.env("ALERTCTL_URL", format!("http://{}", daemon.address));
    for word in line("ExecStart=").split(' ').skip(1) {
        let word = word.replace("%d/key", key.to_str().unwrap());
        let word = word.replace("%S/alertd-forward/%i", state.to_str().unwrap());
        match word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => drop(command.arg(value(name))),
            None if word.starts_with('$') => drop(command.args(value(&word[1..]).split_whitespace())),
            None => drop(command.arg(word)),
        }
    }
    let running = Running(command.stdout(Stdio::null()).spawn().unwrap());
    daemon.has_streams(1);
    running
}

fn next(received: &Receiver<Received>) -> Received {
    received.recv_timeout(PATIENCE).unwrap()
}

fn publish(daemon: &Daemon, topic: &str, level: &str, message: &str) {
    assert!(daemon.ctl(&["publish", "-t", topic, "-l", level, "-m", "host=db1", "--", message]).status.success());
}

#[test]
fn a_chat_gets_each_alert_once_over_refusals_and_restarts() {
    let daemon = Daemon::start();
    publish(&daemon, "ops.db", "error", "before the first run");
    let (address, received) = receiver(&[503, 200, 422]);
    let url = format!("http://{address}/services/T000/B000/XXXX");
    let changes = [("CHAT_URL", url.as_str()), ("CHAT_ID", "-100\"7")];
    let running = forward(&daemon, "chat", &changes);
    publish(&daemon, "ops.db", "warn", "not serious");
    publish(&daemon, "other", "error", "not ours");
    publish(&daemon, "ops.db", "error", "disk \"C:\\\" is full\n\tand 🔥\u{1}");
    for _ in 0..2 {
        let (head, body) = next(&received);
        assert!(head.starts_with("POST /services/T000/B000/XXXX HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("\r\ncontent-type: application/json\r\n"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!({"text": "[error] ops.db: disk \"C:\\\" is full\n\tand 🔥 ", "chat_id": "-100\"7"}));
    }
    // A content that is refused for good does not hold up what comes after it.
    publish(&daemon, "ci.main", "error", &"äöü ".repeat(500));
    let (_, body) = next(&received);
    let body: Value = serde_json::from_str(&body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.len() <= 1903 && text.ends_with('…') && text.starts_with("[error] ci.main: äöü"), "{text}");
    publish(&daemon, "ci.main", "error", "next");
    assert!(next(&received).1.contains("[error] ci.main: next"));
    drop(running);
    daemon.has_streams(0);
    publish(&daemon, "ci.main", "error", "meanwhile");
    let _running = forward(&daemon, "chat", &changes);
    // The end by a signal may have come before the last position was saved.
    let mut body = next(&received).1;
    if body.contains("[error] ci.main: next") {
        body = next(&received).1;
    }
    assert!(body.contains("[error] ci.main: meanwhile"), "{body}");
}

#[test]
fn a_webhook_gets_the_alert_as_it_is() {
    let daemon = Daemon::start();
    let (address, received) = receiver(&[]);
    let url = format!("http://{address}/from-alertd");
    let _running = forward(&daemon, "webhook", &[("WEBHOOK_URL", &url), ("WEBHOOK_KEY", "a secret \"with\\\" signs")]);
    publish(&daemon, "ops.db", "info", "disk at 91 %");
    let (head, body) = next(&received);
    let alert: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&alert["topic"], &alert["level"], &alert["message"]),
        (&json!("ops.db"), &json!("info"), &json!("disk at 91 %"))
    );
    assert_eq!(alert["metadata"], json!({"host": "db1"}));
    assert!(head.contains("\r\nAuthorization: Bearer a secret \"with\\\" signs\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nIdempotency-Key: {}\r\n", alert["id"].as_str().unwrap())), "{head}");
}

#[test]
fn another_alertd_takes_a_forwarded_alert_once() {
    let (daemon, other) = (Daemon::start(), Daemon::start());
    let key = other.key("copies");
    let url = format!("http://{}/hooks/json/copied", other.address);
    let _running = forward(&daemon, "webhook", &[("WEBHOOK_URL", &url), ("WEBHOOK_KEY", &key.secret)]);
    publish(&daemon, "ops.db", "error", "disk is full");
    let copy = eventually("the copy", || {
        let text = other.ctl(&["history", "copied", "--json"]).stdout;
        serde_json::from_slice::<Value>(&text).ok()
    });
    assert_eq!((&copy["message"], &copy["level"]), (&json!("disk is full"), &json!("error")));
}

#[test]
fn a_mail_server_gets_a_mail_that_every_program_can_read() {
    let python = python("clients/mail", &["aiosmtpd==1.4.6"]).join("python");
    let daemon = Daemon::start();
    let address = fixed_port();
    let mut server = Command::new(python);
    server.args(["-m", "aiosmtpd", "-n", "-l", &address, "-c", "mailbox.Mailbox"]).stdout(Stdio::piped());
    server.env("PYTHONPATH", Path::new(ROOT).join("tests/fixtures/forward"));
    let mut server = Running(server.spawn().unwrap());
    let mut mails = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let changes =
        [("MAIL_SERVER", format!("smtp://{address}")), ("MAIL_TO", "ops@example.org eve@example.org".to_owned())];
    let changes = changes.each_ref().map(|(name, value)| (*name, value.as_str()));
    // The server need not be there yet.
    let _running = forward(&daemon, "mail", &changes);
    publish(&daemon, "ops.db", "warn", "not serious");
    let long = format!("Die Platte ist zu 100 % voll: {}\n.\nletzte Zeile 🔥", "ä".repeat(1500));
    publish(&daemon, "ops.db", "error", &long);
    let mail: Value = serde_json::from_str(&mails.next().unwrap().unwrap()).unwrap();
    let text = |name: &str| mail[name].as_str().unwrap().to_owned();
    assert_eq!((text("From"), text("sender")), ("alertd@example.org".into(), "alertd@example.org".into()));
    assert_eq!(text("To"), "ops@example.org, eve@example.org");
    assert_eq!(mail["receivers"], json!(["ops@example.org", "eve@example.org"]));
    assert_eq!(text("Subject"), "[error] ops.db: Die Platte ist zu 100 % voll: äääää…");
    assert!(text("text").starts_with(&format!("{long}\n\nlevel error, topic ops.db, 20")), "{mail}");
    assert!(text("text").contains("{\"host\":\"db1\"}"), "{mail}");
    let id = serde_json::from_slice::<Value>(&daemon.ctl(&["history", "-l", "error", "--json"]).stdout).unwrap()["id"]
        .clone();
    assert!(text("Message-ID").starts_with(&format!("<{}.alertd@", id.as_str().unwrap())), "{mail}");
}

#[test]
fn the_package_ships_the_recipes_of_the_document() {
    for name in ["chat", "mail", "webhook"] {
        let shipped = std::fs::read_to_string(format!("{ROOT}/packaging/forward/{name}.conf")).unwrap();
        assert_eq!(block_named("packaging/doc/forward.md", &format!("{name}.conf")), shipped, "{name}");
    }
}
