//! `alertctl` and incidents.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::{Daemon, told};

fn stdout(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.ctl(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn alertctl_reports_lists_and_changes_incidents() {
    let daemon = Daemon::start();
    assert_eq!(daemon.ctl(&["incidents", "-q"]).status.code(), Some(0));
    stdout(&daemon, &["publish", "-t", "ops.db", "-l", "error", "--incident", "disk", "--ttl", "1h", "disk is full"]);
    let quiet = daemon.ctl(&["incidents", "-q"]);
    assert_eq!((quiet.status.code(), &*quiet.stdout, &*quiet.stderr), (Some(10), &b""[..], &b""[..]));
    assert_eq!(daemon.ctl(&["incidents", "-q", "-t", "web"]).status.code(), Some(0));
    let list = stdout(&daemon, &["incidents"]);
    for word in ["ops.db", "disk", "open", "error", "disk is full"] {
        assert!(list.contains(word), "{word}: {list}");
    }
    let mut tail = daemon.ctl_command();
    let mut tail = tail.args(["tail", "--since", "all"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(lines.next().unwrap().contains("disk is full"));
    stdout(&daemon, &["acknowledge", "ops.db", "disk", "--note", "on it"]);
    let shown = lines.next().unwrap();
    assert!(shown.contains("disk is acknowledged by") && shown.contains(": on it"), "{shown}");
    assert!(stdout(&daemon, &["incidents", "--state", "acknowledged", "--json"]).contains(r#""note":"on it""#));
    stdout(&daemon, &["resolve", "ops.db", "disk"]);
    assert!(lines.next().unwrap().contains("disk is resolved by"));
    stdout(&daemon, &["reopen", "ops.db", "disk"]);
    assert!(lines.next().unwrap().contains("disk is open by"));
    stdout(&daemon, &["publish", "-t", "ops.db", "--incident", "disk", "--resolve", "disk has room"]);
    assert_eq!(daemon.ctl(&["incidents", "-q"]).status.code(), Some(0));
    tail.kill().unwrap();
    tail.wait().unwrap();
    let unknown = daemon.ctl(&["resolve", "ops.db", "nothing"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(told(&unknown).contains("there is no incident \"nothing\" on ops.db"), "{}", told(&unknown));
}
