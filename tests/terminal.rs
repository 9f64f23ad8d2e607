//! alertctl on a terminal: what a person sees, but a program that reads a pipe does not.

use std::process::{Command, Stdio};

use crate::harness::{Daemon, Key, Terminal, fixed_port, program, told};

#[test]
fn tail_shows_aligned_coloured_wrapped_rows_and_only_on_a_terminal() {
    let daemon = Daemon::start();
    let long = "the disk of the database host is full, and so is the one of its replica";
    for line in [
        &["publish", "-t", "ops.db", "-l", "error", "-m", "host=db1", long][..],
        &["publish", "-t", "services.frontend", "-l", "warn", "slow\nvery slow"],
        &["publish", "-t", "a", "ok \u{61c}\u{1b}[31m"],
    ] {
        assert!(daemon.ctl(line).status.success());
    }
    let read = ["tail", "--since", "all", "--count", "3"];
    let mut terminal = Terminal::run(daemon.ctl_command().args(read), 70, 24);
    assert!(terminal.ended().success());
    let seen = terminal.shows("ok ");
    let parts = ["\x1b[1;31merror\x1b[0m", "\x1b[33mwarn \x1b[0m", "\x1b[32minfo \x1b[0m", "\x1b[2mhost=db1\x1b[0m"];
    assert!(parts.iter().all(|part| seen.contains(part)), "{seen:?}");
    assert!(seen.contains("ok \\u{61c}\\u{1b}[31m") && seen.contains("slow\r\n"), "{seen:?}");
    assert!(seen.lines().filter(|line| line.starts_with("  ")).count() >= 4, "{seen:?}");

    let piped = daemon.ctl(&["history"]);
    let text = String::from_utf8_lossy(&piped.stdout).into_owned();
    assert!(text.lines().count() == 3 && !text.contains('\x1b') && text.contains("slow\\nvery slow"), "{text}");
    assert!(text.contains(long) && text.contains("  host=db1\n"), "{text}");
    let coloured = daemon.ctl_command().args(["--color", "always", "history"]).env("NO_COLOR", "1").output().unwrap();
    assert!(String::from_utf8_lossy(&coloured.stdout).contains("\x1b[1;31merror"), "{}", told(&coloured));
    for (variable, flag, is_coloured) in [("1", "auto", false), ("", "auto", true), ("", "never", false)] {
        let mut command = daemon.ctl_command();
        command.args(["--color", flag]).args(read).env("NO_COLOR", variable);
        let mut terminal = Terminal::run(&mut command, 70, 24);
        assert!(terminal.ended().success());
        assert_eq!(terminal.shows("ok ").contains('\x1b'), is_coloured, "NO_COLOR={variable:?} --color {flag}");
    }
}

#[test]
fn a_watched_status_is_drawn_over_itself_and_outlives_the_daemon() {
    let mut daemon = Daemon::start();
    let mut terminal = Terminal::run(daemon.ctl_command().args(["status", "--watch=1s"]), 80, 40);
    let seen = terminal.shows("0 alerts in ");
    assert!(seen.contains("\x1b[32m● ready\x1b[0m"), "{seen:?}");
    assert!(daemon.ctl(&["publish", "one"]).status.success());
    let seen = terminal.shows("1 alert in 1 topic, ");
    assert!(seen.contains("A\r\x1b[J"), "{seen:?}");
    daemon.stop();
    terminal.shows("\x1b[1;31m✗ cannot reach alertd at ");
    let daemon = daemon.again();
    terminal.shows_so("the daemon that came back", |seen| {
        seen.rsplit("cannot reach").next().is_some_and(|since| since.contains("● ready"))
    });
    terminal.interrupt();
    assert!(terminal.ended().success());
    drop(daemon);
}

#[test]
fn a_long_replay_into_a_file_shows_how_far_it_is_and_clears_it_away() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for number in 0..60 {
        daemon.publish(&key, "a", &number.to_string());
    }
    let mut tail = daemon.ctl_command();
    tail.args(["tail", "--since", "all", "--count", "60", "--exec", "sleep 0.02"]).stdout(Stdio::null());
    let mut terminal = Terminal::of_notes(&mut tail);
    terminal.shows(" of 60 alerts, the last of ");
    assert!(terminal.ended().success());
    terminal.shows_so("the empty line", |seen| seen.ends_with("\r\x1b[K"));
    // The program behind a pipe may write to the same terminal.
    let mut piped = Terminal::of_notes(tail.stdout(Stdio::piped()));
    assert!(piped.ended().success());
    assert_eq!(piped.shows(""), "");
    // Nobody looks at it here.
    let quiet = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{}", told(&quiet));
}

#[test]
fn a_refusal_says_which_key_and_what_to_do() {
    let daemon = Daemon::start();
    let url = format!("http://{}", daemon.address);
    let file = daemon.directory.path().join("own.key");
    let said = |arguments: &[&str], code: i32, words: &[&str]| {
        let mut command = program("alertctl");
        let output = command.args(["--url", &url, "--key-file"]).arg(&file).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.iter().all(|word| text.contains(word)) && text.lines().count() == 1, "{text}");
    };
    let own = file.display().to_string();
    let key: Key =
        daemon.key_with(&serde_json::json!({ "user": "bob", "scopes": ["publish", "subscribe"], "topics": ["web"] }));
    std::fs::write(&file, &key.secret).unwrap();
    said(&["status", "--json"], 77, &[&own, &url, "alertctl key add USER --scope admin"]);
    said(&["tail", "ops.*"], 77, &[&own, "ops.*", "only web"]);
    said(&["history", "web", "--since", "someday"], 2, &[&url, "--since"]);
    std::fs::write(&file, "wrong").unwrap();
    said(&["history"], 77, &[&own, &url, "revoked"]);
    let nowhere = format!("http://{}", fixed_port());
    let mut command: Command = program("alertctl");
    let output = command.args(["--url", &nowhere, "history"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(69) && text.contains(&nowhere) && text.contains("ALERTCTL_URL"), "{text}");
}

#[test]
fn publish_without_a_message_does_not_wait_for_somebody_to_type_one() {
    let daemon = Daemon::start();
    let mut terminal = Terminal::run(daemon.ctl_command().args(["publish", "-t", "ops"]), 80, 24);
    assert_eq!(terminal.ended().code(), Some(2));
    terminal.shows("give a message, or pipe one into alertctl publish");
}
