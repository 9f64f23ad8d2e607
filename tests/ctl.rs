//! alertctl against a real daemon.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Daemon, eventually, program, told};

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_key_from_alertctl_works_at_once_and_its_secret_is_alone_on_stdout() {
    let daemon = Daemon::start();
    let made = daemon.ctl(&[
        "key",
        "add",
        "bob",
        "--scope",
        "publish",
        "--topic",
        "ops.*",
        "--expires",
        "90d",
        "--label",
        "ci",
    ]);
    let secret = out(&made);
    assert!(secret.starts_with("alertd_bob~") && secret.lines().count() == 1, "{secret}");
    let url = format!("http://{}", daemon.address);
    let publish = |topic: &str| {
        let mut remote = program("alertctl");
        remote.args(["--url", &url, "publish", "-t", topic, "from afar"]).env("ALERTCTL_KEY", secret.trim());
        remote.output().unwrap()
    };
    assert!(publish("ops.db").status.success());
    assert_eq!(publish("web").status.code(), Some(77));
    let listed: Value =
        serde_json::from_str(out(&daemon.ctl(&["key", "list", "--json"])).lines().next().unwrap()).unwrap();
    assert_eq!((listed["user"].as_str(), listed["label"].as_str()), (Some("bob"), Some("ci")));
    assert!(out(&daemon.ctl(&["key", "list"])).contains("ops.*"));
    let id = listed["id"].as_str().unwrap();
    assert!(out(&daemon.ctl(&["key", "rotate", id])).starts_with("alertd_bob~"));
    out(&daemon.ctl(&["key", "revoke", "bob"]));
    assert_eq!(publish("ops.db").status.code(), Some(77));
    assert_eq!(daemon.ctl(&["key", "revoke", "bob"]).status.code(), Some(1));
}

#[test]
fn without_a_daemon_keys_are_managed_on_the_store_itself() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let configured = |arguments: &[&str]| {
        let mut command = program("alertctl");
        command.arg("--config").arg(daemon.directory.path().join("alertd.toml")).args(arguments);
        command.env("ALERTD_AUTH_ITERATIONS", "10000").output().unwrap()
    };
    let secret = out(&configured(&["key", "add", "early"]));
    assert!(out(&configured(&["key", "list"])).contains("early"));
    let daemon = daemon.again();
    let key = crate::harness::Key { id: String::new(), secret: secret.trim().to_owned() };
    daemon.publish(&key, "default", "made before the start");
}

#[test]
fn what_is_published_is_in_the_history_and_the_status() {
    let daemon = Daemon::start();
    let id = out(&daemon.ctl(&["publish", "-t", "ops.db", "-l", "warn", "-m", "host=db1", "disk at 91 %"]));
    let mut piped = daemon.ctl_command();
    let mut child = piped.args(["publish", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe\nwith two lines\n").unwrap();
    out(&child.wait_with_output().unwrap());
    let history = out(&daemon.ctl(&["history", "--json"]));
    let alerts: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(alerts.len(), 2);
    assert_eq!((alerts[0]["id"].as_str().unwrap(), &alerts[0]["metadata"]["host"]), (id.trim(), &Value::from("db1")));
    assert_eq!(alerts[1]["message"], "from a pipe\nwith two lines");
    assert_eq!(out(&daemon.ctl(&["history", "ops.*", "-l", "warn", "--json"])).lines().count(), 1);
    assert_eq!(out(&daemon.ctl(&["history", "--since", id.trim(), "--json"])).lines().count(), 1);
    assert!(out(&daemon.ctl(&["history"])).contains("disk at 91 %"));
    let status: Value = serde_json::from_str(&out(&daemon.ctl(&["status", "--json"]))).unwrap();
    assert_eq!((&status["engine"]["alerts"], &status["ready"]), (&Value::from(2), &Value::from(true)));
    assert!(out(&daemon.ctl(&["status"])).contains("embedded"));
}

#[test]
fn an_idempotency_key_makes_a_publish_safe_to_repeat() {
    let daemon = Daemon::start();
    let publish = |message: &str| daemon.ctl(&["publish", "--idempotency-key", "build-7", message]);
    let first = out(&publish("done"));
    assert_eq!(out(&publish("done")), first);
    assert_eq!(publish("failed").status.code(), Some(1));
}

#[test]
fn tail_goes_on_over_a_kill_and_over_its_own_restart() {
    let mut daemon = Daemon::start();
    let state = daemon.directory.path().join("cursor");
    let tail = |daemon: &Daemon, count: &str| {
        let mut command = daemon.ctl_command();
        command.args(["tail", "--since", "all", "--json", "--count", count, "--state"]).arg(&state);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        (child, lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()["message"].as_str().unwrap().to_owned()))
    };
    let publish = |daemon: &Daemon, message: &str| out(&daemon.ctl(&["publish", message]));
    publish(&daemon, "one");
    let (mut child, mut messages) = tail(&daemon, "3");
    assert_eq!(messages.next().as_deref(), Some("one"));
    publish(&daemon, "two");
    assert_eq!(messages.next().as_deref(), Some("two"));
    daemon.kill();
    let daemon = daemon.again();
    publish(&daemon, "three");
    assert_eq!(messages.next().as_deref(), Some("three"));
    assert!(child.wait().unwrap().success());
    publish(&daemon, "while away");
    let (mut child, mut messages) = tail(&daemon, "1");
    assert_eq!(messages.next().as_deref(), Some("while away"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn tail_exec_gets_the_alert_in_its_environment_and_on_stdin_and_is_tried_until_it_succeeds() {
    let daemon = Daemon::start();
    let seen = daemon.directory.path().join("seen");
    let script = format!(
        "echo \"$ALERT_TOPIC|$ALERT_LEVEL|$ALERT_MESSAGE|$ALERT_METADATA\" >> {0}; cat >> {0}; test $(wc -l < {0}) -ge 4",
        seen.display()
    );
    out(&daemon.ctl(&["publish", "-t", "ops", "-l", "error", "-m", "k=v", "it's $HOME \"quoted\""]));
    let tail = daemon.ctl(&["tail", "--since", "all", "--count", "1", "--exec", &script]);
    assert!(tail.status.success(), "{}", told(&tail));
    let lines: Vec<String> = fs::read_to_string(&seen).unwrap().lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.len(), 4, "failed once, then done: {lines:?}");
    assert_eq!(lines[0], "ops|error|it's $HOME \"quoted\"|{\"k\":\"v\"}");
    assert_eq!(
        (&lines[2], serde_json::from_str::<Value>(&lines[3]).unwrap()["topic"].as_str()),
        (&lines[0], Some("ops"))
    );
}

#[test]
fn a_revoked_key_ends_a_tail_with_77() {
    let daemon = Daemon::start();
    let key = daemon.key("eve");
    let mut tail = program("alertctl");
    let mut tail = tail
        .args(["--url", &format!("http://{}", daemon.address), "tail"])
        .env("ALERTCTL_KEY", &key.secret)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    daemon.has_streams(1);
    out(&daemon.ctl(&["key", "revoke", "eve"]));
    let status = eventually("the end of the tail", || tail.try_wait().unwrap());
    assert_eq!(status.code(), Some(77));
}

#[test]
fn config_and_reload_say_what_is_and_what_is_wrong() {
    let daemon = Daemon::start();
    let shown = out(&daemon.ctl(&["config", "show"]));
    assert!(shown.lines().any(|line| line.starts_with("state_dir = ") && line.contains("alertd.toml:1")), "{shown}");
    assert!(
        shown.lines().any(|line| line.starts_with("http.heartbeat = \"8s\"") && line.ends_with("default")),
        "{shown}"
    );
    out(&daemon.ctl(&["config", "check"]));
    for command in ["check", "show"] {
        let usual = program("alertctl").args(["config", command]).output().unwrap();
        out(&usual);
        let said = String::from_utf8_lossy(&usual.stderr);
        let is_there = Path::new("/etc/alertd.toml").exists();
        assert_eq!(said.contains("/etc/alertd.toml does not exist"), !is_there, "{said}");
    }
    out(&daemon.ctl(&["reload"]));
    daemon.configure("[http]\nheartbeat = 15\nretry = \"x\"\n");
    for command in [&["config", "check"][..], &["reload"]] {
        let refused = daemon.ctl(command);
        assert_eq!(refused.status.code(), Some(78), "{}", told(&refused));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("http.heartbeat") && said.contains("http.retry"), "{said}");
    }
    daemon.said("the new configuration is invalid");
}

#[test]
fn man_pages_and_completions_come_out_whole() {
    let directory = tempfile::tempdir().unwrap();
    out(&program("alertctl").arg("man").arg(directory.path()).output().unwrap());
    for page in ["alertctl.1", "alertd.8", "alertd.toml.5"] {
        let text = fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(text.contains(".TH") && text.len() > 500, "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let text = out(&program("alertctl").args(["completions", shell]).output().unwrap());
        assert!(text.contains("rotate") && text.contains("expires"), "{shell}");
    }
}

#[test]
fn tail_shows_the_last_alerts_of_its_topics_and_goes_on() {
    let daemon = Daemon::start();
    for message in ["one", "two", "three"] {
        out(&daemon.ctl(&["publish", "-t", "ops.db", message]));
        out(&daemon.ctl(&["publish", "-t", "other", "no"]));
    }
    let mut tail = daemon.ctl_command();
    tail.args(["tail", "ops.*", "-n", "2", "--count", "3", "--exec", "echo $ALERT_MESSAGE"]);
    let tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    daemon.has_streams(1);
    out(&daemon.ctl(&["publish", "-t", "ops.db", "four"]));
    assert_eq!(out(&tail.wait_with_output().unwrap()), "two\nthree\nfour\n");
}

#[test]
fn history_takes_the_times_that_people_say() {
    let daemon = Daemon::start();
    let before = out(&daemon.ctl(&["publish", "first"])).trim().to_owned();
    let id = out(&daemon.ctl(&["publish", "second"])).trim().to_owned();
    let messages = |arguments: &[&str]| {
        let output = daemon.ctl(&[&["history", "--json"][..], arguments].concat());
        let alerts = out(&output).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
        alerts.iter().map(|alert| alert["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["first", "second"];
    assert_eq!(messages(&["--since", "yesterday"]), all);
    assert_eq!(messages(&["--since", "yesterday", "--until", "now"]), all);
    assert_eq!(messages(&["--since", "2026-01-01", "--until", &id]), ["first"]);
    assert_eq!(messages(&["--since", &before]), ["second"]);
    assert_eq!(messages(&["--until", &id]), ["first"]);
    assert_eq!(messages(&["--until", "yesterday"]), [""; 0]);
    assert_eq!(messages(&["--since", "2026-01-01 17:30", "--until", "1h"]), [""; 0]);
    let refused = daemon.ctl(&["history", "--until", "tomorrow"]);
    assert!(refused.status.code() == Some(2) && told(&refused).contains("yesterday"), "{}", told(&refused));
}

#[test]
fn status_tells_a_key_what_it_may_know() {
    let daemon = Daemon::start();
    daemon.ctl(&["publish", "-t", "ops.db", "-l", "warn", "disk at 91 %"]);
    daemon.ctl(&["publish", "-t", "other", "secret"]);
    let status = |wish: &Value, arguments: &[&str]| {
        let mut command = program("alertctl");
        command.args(["--url", &format!("http://{}", daemon.address), "status"]).args(arguments);
        command.env("ALERTCTL_KEY", daemon.key_with(wish).secret).output().unwrap()
    };
    let reader = json!({"user": "eve", "scopes": ["subscribe"], "topics": ["ops.*", "ci.main"]});
    let said = told(&status(&reader, &[]));
    for part in
        ["state        ready", "may read     ops.*, ci.main", "1 with alerts: ops.db", "warn on ops.db", "scope admin"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let all = told(&status(&json!({"user": "all", "scopes": ["subscribe"]}), &[]));
    assert!(all.contains("2 with alerts: ops.db, other") && all.contains("info on other"), "{all}");
    let sender = told(&status(&json!({"user": "bob", "scopes": ["publish"]}), &[]));
    assert!(sender.contains("state        ready") && sender.contains("may not read any"), "{sender}");
    for arguments in [&["--json"][..], &["--watch"]] {
        assert_eq!(status(&reader, arguments).status.code(), Some(77), "{arguments:?}");
    }
    assert_eq!(status(&json!({"user": "ann", "scopes": ["admin"]}), &["--json"]).status.code(), Some(0));
}

#[test]
fn config_show_says_that_it_reads_files() {
    let daemon = Daemon::start();
    let file = daemon.directory.path().join("alertd.toml");
    let shown = program("alertctl").arg("--config").arg(&file).args(["config", "show"]).output().unwrap();
    let notes = String::from_utf8_lossy(&shown.stderr);
    assert!(notes.contains(file.to_str().unwrap()) && notes.contains("was not asked"), "{notes}");
}
