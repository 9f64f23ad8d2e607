//! alertctl on a terminal: what a person sees, and a program that pipes its output away does not.

use crate::harness::{Daemon, Terminal, told};

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
    let read = ["tail", "--since", "all", "-n", "3"];
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
