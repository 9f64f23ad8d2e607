//! Completions in the shells themselves: bash, zsh and fish, with what a running daemon knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::{Answer, Daemon, Key, Request, Terminal, program, told};

/// A daemon with a few topics and users, and a directory with the scripts.
fn known() -> Daemon {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    daemon.key("bob");
    for topic in ["ops.db", "ops.web", "default"] {
        daemon.publish(&key, topic, "m");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = program("alertctl").args(["completions", shell]).output().unwrap();
        fs::write(script_of(&daemon, shell), script.stdout).unwrap();
    }
    daemon
}

/// The script is stored under the name that zsh uses for the function.
fn script_of(daemon: &Daemon, shell: &str) -> PathBuf {
    let directory = daemon.directory.path().join(shell);
    fs::create_dir_all(&directory).unwrap();
    directory.join("_alertctl")
}

/// A shell with this build's alertctl and this daemon.
fn shell(daemon: &Daemon, name: &str) -> Command {
    let alertctl = program("alertctl");
    let programs = Path::new(alertctl.get_program()).parent().unwrap();
    let mut command = Command::new(name);
    command
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .env("ALERTCTL_SOCKET", daemon.control())
        .env("HOME", daemon.directory.path())
        .current_dir(daemon.directory.path());
    command
}

fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", told(&output));
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect();
    lines.sort_unstable();
    lines
}

fn bash(daemon: &Daemon, line: &str) -> Vec<String> {
    // Only a shell in which somebody types knows `compopt`.
    let script = r#"source "$SCRIPT"
        compopt() { :; }
        COMP_LINE=$1 COMP_POINT=${#1}
        COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        [[ $1 == *" " ]] && COMP_WORDS+=("") && ((++COMP_CWORD))
        complete -p alertctl | grep -q _alertctl_known || exit 1
        _alertctl_known alertctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    lines(shell(daemon, "bash").args(["--norc", "-c", script, "bash", line]).env("SCRIPT", script_of(daemon, "bash")))
}

fn fish(daemon: &Daemon, line: &str) -> Vec<String> {
    let script = "source $SCRIPT; complete -C $argv[1]";
    lines(shell(daemon, "fish").args(["--no-config", "-c", script, line]).env("SCRIPT", script_of(daemon, "fish")))
}

#[test]
fn bash_and_fish_complete_topics_users_and_keys_and_what_the_definition_says() {
    let mut daemon = known();
    let ids: Vec<String> = fish(&daemon, "alertctl key rotate ");
    assert!(ids.len() == 2 && ids.iter().all(|id| id.len() == 10), "{ids:?}");
    let all = format!("alertctl --socket {} publish --topic op", daemon.control().display());
    for complete in [bash, fish] {
        for (line, expected) in [
            ("alertctl publish -t op", &["ops.db", "ops.web"][..]),
            (&all, &["ops.db", "ops.web"]),
            ("alertctl tail ops.db ", &["default", "ops.db", "ops.web"]),
            ("alertctl history d", &["default"]),
            ("alertctl key add a", &["alice"]),
            ("alertctl key revoke b", &["bob"]),
            ("alertctl hist", &["history"]),
            ("alertctl publish -l wa", &["warn"]),
        ] {
            let found = complete(&daemon, line);
            let ours: Vec<&String> = found.iter().filter(|word| !ids.contains(word)).collect();
            assert_eq!(ours, expected, "{line}");
        }
    }
    // F20: names of files were offered where none can stand.
    assert!(daemon.directory.path().join("alertd.toml").exists());
    for (line, offered) in
        [("alertctl journal -p al", &["alert"][..]), ("alertctl journal -u al", &[]), ("alertctl --instance al", &[])]
    {
        // Where nothing is known, bash is given what is there already.
        let of_bash: Vec<_> = bash(&daemon, line).into_iter().filter(|word| word != "al").collect();
        assert_eq!(of_bash, offered, "{line}");
        assert_eq!(fish(&daemon, line), offered, "{line}");
    }
    // Without a daemon, options still complete, and no error is shown.
    daemon.stop();
    assert_eq!(bash(&daemon, "alertctl hist"), ["history"]);
    assert!(!bash(&daemon, "alertctl tail o").contains(&"ops.db".to_owned()));
}

#[test]
fn zsh_completes_while_somebody_types() {
    let daemon = known();
    let setup = "PS1='ready> '; fpath=($HOME/zsh $fpath); autoload -Uz compinit; compinit -u -d $HOME/dump; \
                 bindkey '^I' expand-or-complete; zstyle ':completion:*' list-prompt ''\n";
    let mut zsh = shell(&daemon, "zsh");
    zsh.args(["-f", "-i"]);
    let mut terminal = Terminal::run(&mut zsh, 200, 50);
    terminal.types(setup);
    terminal.shows_so("the prompt", |seen| seen.contains("\x1b[J") && seen.matches("ready> ").count() >= 2);
    // Twice: the first use loads the function, later ones call it.
    for (typed, completed) in [
        ("alertctl publish -t ops.d\t", "ops.db "),
        ("alertctl key add al\t", "alice "),
        ("alertctl history --level=wa\t", "warn "),
        ("alertctl publish --topic=ops.w\t", "ops.web "),
    ] {
        let shown = typed.trim_end_matches('\t');
        let whole = format!("{}{completed}", &shown[..shown.rfind([' ', '=']).unwrap() + 1]);
        terminal.types(typed);
        terminal.shows_so(&whole, |seen| plain(seen).contains(&whole));
        terminal.types("\x15");
    }
}

/// What stands on the screen after what drives it is taken out.
fn plain(seen: &str) -> String {
    let mut text = String::new();
    let mut rest = seen;
    while let Some(at) = rest.find(['\x1b', '\x08']) {
        text.push_str(&rest[..at]);
        let sequence = &rest[at..];
        if let Some(behind) = sequence.strip_prefix('\x08') {
            text.pop();
            rest = behind;
        } else {
            let end = sequence[1..].find(|c: char| c.is_ascii_alphabetic() || c == '=' || c == '>');
            rest = end.map_or("", |end| &sequence[end + 2..]);
        }
    }
    text + rest
}

#[test]
fn topics_are_listed_within_the_keys_own_and_only_for_who_may_read() {
    let daemon = known();
    let key = |scopes: &[&str], topics: &[&str]| {
        daemon.key_with(&json!({ "user": "eve", "scopes": scopes, "topics": topics }))
    };
    let ask = |key: &Key, path: &str| daemon.send(&Request::get(path).key(key));
    let topics = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["topics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|topic| topic.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = key(&["subscribe"], &["*"]);
    let answer = ask(&all, "/topics");
    assert_eq!(
        (topics(&answer), &answer.json()["more"]),
        (vec!["default".into(), "ops.db".into(), "ops.web".into()], &json!(false))
    );
    assert_eq!(topics(&ask(&all, "/topics?prefix=ops.w")), ["ops.web"]);
    let narrow = key(&["subscribe"], &["ops.web", "none.*"]);
    assert_eq!(topics(&ask(&narrow, "/topics")), ["ops.web"]);
    assert!(topics(&ask(&narrow, "/topics?prefix=d")).is_empty());
    assert_eq!(ask(&key(&["publish", "admin"], &["*"]), "/topics").status, 403);
    assert_eq!(daemon.send(&Request::get("/topics")).status, 401);
    assert_eq!(ask(&all, "/topics?prefx=a").status, 422);
    assert_eq!(Request::get("/topics").over(&daemon.publish_socket()).status, 403);
    assert_eq!(topics(&Request::get("/topics").over(&daemon.control())).len(), 3);
}
