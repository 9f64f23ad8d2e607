//! How a node is let in by its Redis: TLS, ACL user, password from a file or credential, and Sentinels.

use std::fs;

use super::nodes::{Fleet, knows};
use crate::harness::{self, Daemon, Redis, Request, certificate, eventually, program, told};

const SECRET: &str = "hunter2-of-the-fleet";

/// The user that `packaging/doc/fleet.md` tells to make.
fn make_user(redis: &Redis) {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/doc/fleet.md")).unwrap();
    let line = document.lines().find_map(|line| line.strip_prefix("ACL SETUSER ")).expect("the user in the document");
    let rules: Vec<_> = line.split_whitespace().map(|rule| rule.replace("SECRET", SECRET)).collect();
    let command: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(rules.iter().map(String::as_str)).collect();
    assert!(redis.ask(&command).contains("OK"));
    // Nobody else is let in.
    assert!(redis.ask(&["CONFIG", "SET", "requirepass", "another"]).contains("OK"));
}

#[test]
fn a_node_speaks_tls_as_the_documented_user_with_a_credential_of_systemd() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(directory.path(), "redis");
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let port = harness::fixed_port();
    let port = port.rsplit(':').next().unwrap();
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &certificate];
    let redis =
        Redis::with(&[&["--appendonly", "yes", "--tls-port", port, "--tls-auth-clients", "no"], &files[..]].concat());
    make_user(&redis);
    fs::write(directory.path().join("alertd.redis-password"), format!("{SECRET}\n")).unwrap();
    let configuration = harness::redis::configuration(&format!(
        "host = \"localhost\"\nport = {port}\ntls = true\ntls_ca = \"{certificate}\"\nusername = \"alertd\"\npassword_file = \"alertd.redis-password\"\n"
    ));
    let credentials = directory.path().display().to_string();
    let node = Daemon::with_environment(&configuration, &[("CREDENTIALS_DIRECTORY", &credentials)]);
    let key = node.key_once_ready();
    knows(&node, &key);
    let mut stream = node.stream(&key, "/alerts/ops?since=none");
    let alert = node.publish(&key, "ops", "over TLS");
    assert_eq!(stream.message(), "over TLS");
    // The user may also rewrite the log after a retraction.
    let retraction = Request::new("DELETE", &format!("/alerts/ops/{alert}")).key(&key);
    eventually("a retraction", || (node.send(&retraction).status == 204).then_some(()));
    let state = |field: &str| redis.ask(&["-a", "another", "HEXISTS", "{alertd}:state", field]).trim() == "1";
    eventually("a log that is rewritten", || (state("rewrite_began") && !state("rewrite_due")).then_some(()));
    assert!(!node.log().contains(SECRET) && !node.log().contains("engine-unsafe"), "{}", node.log());

    // One that does not trust the certificate says so.
    let stranger =
        Daemon::with_environment(&configuration.replace("tls_ca", "#"), &[("CREDENTIALS_DIRECTORY", &credentials)]);
    assert!(stranger.said("engine-away").contains("certificate"), "{}", stranger.log());
}

#[test]
fn a_wrong_password_is_said_without_being_shown_and_a_missing_one_refuses_the_start() {
    let redis = Redis::start();
    make_user(&redis);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "hunter3").unwrap();
    let access = format!("username = \"alertd\"\npassword_file = \"{}\"\n", file.display());
    let node = Daemon::with(&redis.configuration(&access));
    let said = node.said("engine-away");
    assert!(said.contains("assword") && !node.log().contains("hunter3"), "{said}");
    fs::remove_file(&file).unwrap();
    let path = directory.path().join("alertd.toml");
    fs::write(&path, redis.configuration(&access)).unwrap();
    let refused = program("alertd").arg("--config").arg(&path).arg("--check").output().unwrap();
    assert_eq!(refused.status.code(), Some(78), "{}", told(&refused));
    assert!(told(&refused).contains(&format!("engine.redis.password_file: {}", file.display())), "{}", told(&refused));
}

#[test]
fn sentinels_that_ask_for_no_password_are_asked_without_one() {
    let redis = Redis::start();
    redis.ask(&["CONFIG", "SET", "requirepass", SECRET]);
    let sentinel = Redis::sentinel(&redis, 1);
    eventually("a Sentinel that watches", || {
        sentinel.ask(&["SENTINEL", "MASTER", "fleet"]).contains("runid").then_some(())
    });
    let file = redis.directory().join("password");
    fs::write(&file, SECRET).unwrap();
    let configuration = harness::redis::configuration(&format!(
        "sentinels = [\"127.0.0.1:{}\"]\nsentinel_service = \"fleet\"\npassword_file = \"{}\"\n",
        sentinel.port,
        file.display()
    ));
    let fleet = Fleet::of(1, &configuration);
    fleet.publish(0, "through Sentinel");
}

#[test]
fn a_reload_reads_the_password_again_and_the_journal_names_the_reason_of_the_moment() {
    let redis = Redis::start();
    make_user(&redis);
    let file = redis.directory().join("password");
    fs::write(&file, SECRET).unwrap();
    let access = format!("username = \"alertd\"\npassword_file = \"{}\"\n", file.display());
    let node = Daemon::with(&redis.configuration(&access));
    let key = node.key_once_ready();
    redis.ask(&["-a", "another", "ACL", "SETUSER", "alertd", "resetpass", ">rotated"]);
    redis.ask(&["-a", "another", "CLIENT", "KILL", "USER", "alertd"]);
    // The connection was closed first; that the password is wrong is said as soon as that is the reason.
    assert!(node.said("assword").contains("engine-away"), "{}", node.log());
    fs::write(&file, "rotated").unwrap();
    assert!(node.ctl(&["reload"]).status.success());
    knows(&node, &key);
    eventually("ready", || (Request::get("/readyz").try_to(node.address)?.status == 200).then_some(()));
    node.publish(&key, "ops", "with the new password");
    fs::remove_file(&file).unwrap();
    let refused = node.ctl(&["reload"]);
    assert!(told(&refused).contains("engine.redis.password_file"), "{}", told(&refused));
}
