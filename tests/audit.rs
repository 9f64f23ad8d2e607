//! The trail in the log: who changed what, from where, and who was refused.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Daemon, Key, Request, former_key, import, program, told};

/// Which addresses fail2ban finds in these lines of a syslog file with the filter of the package.
pub(crate) fn found_by_fail2ban(lines: &str, mode: &str) -> Vec<String> {
    let mut log = tempfile::NamedTempFile::new().unwrap();
    log.write_all(lines.as_bytes()).unwrap();
    // Linked beside the filters of fail2ban, as the documents say: it includes one of them.
    let directory = tempfile::tempdir().unwrap();
    let filter = directory.path().join("alertd.conf");
    symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/fail2ban/filter.d/alertd.conf"), &filter).unwrap();
    symlink("/etc/fail2ban/filter.d/common.conf", directory.path().join("common.conf")).unwrap();
    let output = Command::new("fail2ban-regex")
        .args(["--out", "ip"])
        .arg(log.path())
        .arg(format!("{}[mode={mode}]", filter.display()))
        .stdin(Stdio::null())
        .output()
        .expect("fail2ban-regex of the package fail2ban");
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The log as syslog writes it to a file.
fn as_syslog(log: &str) -> String {
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(_, text)| format!("Nov 29 02:00:00 host alertd[7]: {text}\n")).collect()
}

#[test]
fn every_change_says_in_its_message_who_made_it_and_from_where() {
    let daemon = Daemon::start();
    let uid = rustix::process::getuid().as_raw();
    let control = format!("uid {uid}");
    let admin = daemon.key_with(&json!({"user": "ada", "scopes": ["admin"], "topics": ["ops.*"]}));
    let line = daemon.said(&format!("key {} of ada (admin; topics ops.*; does not expire) was added by ", admin.id));
    assert!(line.contains(&control) && line.contains(") on the control socket ") || uid != 0, "{line}");
    for field in ["message_id=key-added", "user=ada", &format!("key={}", admin.id), &format!("by_uid={uid}")] {
        assert!(line.contains(field), "{field}: {line}");
    }

    let by = format!("by key {} of ada from 127.0.0.1", admin.id);
    let made = daemon.send(&Request::post("/keys").key(&admin).json(&json!({"user": "bob", "expires_in": 60})));
    let id = made.json()["key"]["id"].as_str().unwrap().to_owned();
    let line = daemon.said(&format!("key {id} of bob (publish, subscribe; topics *; expires at "));
    assert!(line.contains(&format!("was added {by}")) && line.contains("by_user=ada address=127.0.0.1"), "{line}");
    let rotated = daemon.send(&Request::post(&format!("/keys/{id}/rotate")).key(&admin).json(&json!({"overlap": 5})));
    let next = rotated.json()["key"]["id"].as_str().unwrap().to_owned();
    let line = daemon.said("message_id=key-rotated");
    assert!(
        line.contains(&format!("key {next} of bob")) && line.contains(&format!("was made {by} from key {id}, ")),
        "{line}"
    );
    daemon.send(&Request::new("DELETE", &format!("/keys/{next}")).key(&admin));
    assert!(daemon.said("message_id=key-revoked").contains(&format!("was revoked {by}")));
    import(&daemon, &[former_key("dave", 1)]);
    assert!(daemon.said("message_id=keys-imported").contains("1 keys were imported by "));

    assert_eq!(Request::post("/reload").over(&daemon.control()).status, 200);
    let line = daemon.said("message_id=reloaded");
    assert!(line.contains("were reloaded by ") && line.contains(&control), "{line}");
    daemon.configure("[http]\nmax_boddy = 5\n");
    assert_eq!(Request::post("/reload").over(&daemon.control()).status, 422);
    let line = daemon.said("message_id=reload-refused");
    assert!(line.contains("reloaded by ") && line.contains(&control), "{line}");
    let backup = daemon.directory.path().join("backup");
    let made = program("alertctl").arg("--socket").arg(daemon.control()).arg("backup").arg(&backup).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    let line = daemon.said("message_id=backup-made");
    assert!(line.contains("was made by ") && line.contains(&control), "{line}");
}

#[test]
fn fail2ban_finds_the_address_of_every_refused_client_and_of_nobody_else() {
    let daemon = Daemon::with("[limits]\nfailed_auth_rate = 1\n[http]\ntrusted_proxies = \"127.0.0.1\"\n");
    import(&daemon, &[former_key("dave", 1)]);
    let (good, revoked) = (daemon.key("good"), daemon.key("eve"));
    assert_eq!(Request::new("DELETE", &format!("/keys/{}", revoked.id)).over(&daemon.control()).status, 200);
    let wrong = |byte| former_key("dave", byte);
    let malformed = Key { id: String::new(), secret: "x from 192.0.2.66: wrong secret".into() };
    let refused = |client: &str, key: Option<&Key>, path: &str| {
        let request = Request::get(path).header("X-Forwarded-For", client);
        daemon.send(&key.into_iter().fold(request, Request::key)).status
    };
    assert_eq!(refused("203.0.113.1", Some(&malformed), "/health"), 401);
    assert_eq!(refused("203.0.113.2", Some(&revoked), "/health"), 401);
    assert_eq!(refused("2001:db8::3", Some(&wrong(2)), "/health"), 401);
    assert_eq!(refused("2001:db8::3", Some(&wrong(3)), "/health"), 429);
    assert_eq!(refused("203.0.113.4", None, "/health"), 401);
    assert_eq!(refused("203.0.113.5", None, "/alerts?ticket=192.0.2.66"), 401);
    assert_eq!(refused("203.0.113.6", Some(&good), "/health"), 200);
    daemon.said("authentication failed from 203.0.113.5: ");
    let log = as_syslog(&daemon.log());
    assert_eq!(found_by_fail2ban(&log, "normal"), ["203.0.113.1", "203.0.113.2", "2001:db8::3", "2001:db8::3"]);
    let all = ["203.0.113.1", "203.0.113.2", "2001:db8::3", "2001:db8::3", "203.0.113.4", "203.0.113.5"];
    assert_eq!(found_by_fail2ban(&log, "aggressive"), all);
}
