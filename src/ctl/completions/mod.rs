//! Shell completion of commands and options, and of the daemon's topics, users and keys.
//!
//! The scripts are generated from the definition of the command line. For topics, users and keys they run
//! `alertctl complete line` with the words so far. If that prints nothing, they complete from the definition alone.

mod line;

use std::time::Duration;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use tokio::time::timeout;

use super::args::{Candidates, Ctl, DaemonOptions};
use super::client::{Client, Request, target};
use super::exit::Failure;
use super::output::Output;
use crate::api::{Keys, Topics};

/// Short, because the user waits after pressing the Tab key.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// A longer list is of no use on a terminal.
const MAX_CANDIDATES: usize = 1000;

/// The completion script of a shell.
#[must_use]
pub(crate) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(), "alertctl", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + include_str!("known.bash"),
        Shell::Zsh => {
            // The wrapper takes the name of the function that zsh calls.
            let known = format!("{}_alertctl_generated() {{", include_str!("known.zsh"));
            script.replacen("_alertctl() {", &known, 1)
        }
        Shell::Fish => {
            let known = |line: &str| match line.strip_suffix(" -r").filter(|line| line.contains(" -l topic ")) {
                Some(line) => format!("{line} -x -a \"(__alertctl_known)\"\n"),
                // The generated test for "no command yet" fails while the value of an option is missing.
                None if line.contains("' -r") => line.replacen("-n \"__fish_alertctl_needs_command\" ", "", 1) + "\n",
                None => format!("{line}\n"),
            };
            script.lines().map(known).collect::<String>() + include_str!("known.fish")
        }
        _ => script,
    }
}

/// The definition without hidden commands, which the generators would include.
fn visible() -> Command {
    let whole = Ctl::command();
    let commands = whole.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new("alertctl")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(commands.cloned())
}

/// The options that select a daemon: those on the unfinished command line override those in `daemon`.
#[must_use]
pub(crate) fn daemon_options(daemon: DaemonOptions, line: &[String]) -> DaemonOptions {
    line::daemon_options(daemon, line)
}

/// Prints candidates, one per line.
///
/// # Errors
/// Any failure of the requests. The shell does not show it.
pub(crate) async fn run(
    what: Candidates,
    line: &[String],
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let (kinds, prefix) = match what {
        Candidates::Line => line::expected(&mut Ctl::command(), line),
        what => (vec![what], line.last().map_or("", String::as_str)),
    };
    let late = |_| Failure::Unavailable(format!("{} did not answer in time", client.address()));
    let mut found = timeout(QUERY_TIMEOUT, query(&kinds, prefix, client)).await.map_err(late)??;
    // Words that need no quoting in a shell. Anything else does not come from alertd.
    let is_plain = |word: &String| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    found.retain(|word| word.starts_with(prefix) && is_plain(word));
    found.sort_unstable();
    found.dedup();
    for word in found.iter().take(MAX_CANDIDATES) {
        output.line(word).await?;
    }
    Ok(())
}

async fn query(kinds: &[Candidates], prefix: &str, client: &Client) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    if kinds.contains(&Candidates::Topics) {
        let request = Request::get(target("/topics", &[("prefix", prefix.to_owned())]));
        let listing: Topics = client.send(request).await?.json().await?;
        found.extend(listing.topics.iter().map(ToString::to_string));
    }
    if kinds.contains(&Candidates::Users) || kinds.contains(&Candidates::Keys) {
        let listing: Keys = client.send(Request::get("/keys")).await?.json().await?;
        for key in listing.keys {
            found.extend(kinds.contains(&Candidates::Users).then_some(key.user));
            found.extend(kinds.contains(&Candidates::Keys).then_some(key.id));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::output::tests::Captured;
    use crate::ctl::testing::{Reply, Server};

    #[test]
    fn every_script_has_the_definition_and_queries_the_daemon() {
        for (shell, queries) in [(Shell::Bash, 1), (Shell::Zsh, 1), (Shell::Fish, 6)] {
            let script = script(shell);
            assert!(script.contains("rotate") && script.contains("key-file"), "{shell}");
            assert!(!script.contains("completion candidates") && !script.contains("complete man"), "{shell}");
            assert_eq!(script.matches("complete line --").count(), 1, "{shell}");
            let fish = if shell == Shell::Fish { queries } else { 0 };
            assert_eq!(script.matches("\"(__alertctl_known)\"").count(), fish);
        }
        let zsh = script(Shell::Zsh);
        assert_eq!((zsh.matches("\n_alertctl() {").count(), zsh.matches("\n_alertctl_generated() {").count()), (1, 1));
    }

    #[tokio::test]
    async fn only_words_that_need_no_quoting_reach_the_shell() {
        let body = r#"{"topics":["a","ops.db"],"more":false}"#;
        let keys = r#"{"keys":[{"id":"k2","user":"$(reboot)","scopes":[],"topics":[],"label":null,"created_at":"","expires_at":null,"imported":false},
            {"id":"k1","user":"alice","scopes":[],"topics":[],"label":null,"created_at":"","expires_at":null,"imported":false}]}"#;
        for (what, body, line, expected, asked) in [
            (Candidates::Topics, body, "", "a\nops.db\n", "/topics?prefix="),
            (Candidates::Line, body, "publish -t op", "ops.db\n", "/topics?prefix=op"),
            (Candidates::Line, keys, "key revoke ", "alice\nk1\nk2\n", "/keys"),
            (Candidates::Users, keys, "", "alice\n", "/keys"),
        ] {
            let server = Server::always(Reply::json(200, body)).await;
            let captured = Captured::default();
            let mut output = Output::to(captured.clone());
            let line: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
            run(what, &line, &Client::new(server.address(), None), &mut output).await.unwrap();
            output.flush().await.unwrap();
            assert_eq!(captured.text(), expected, "{line:?}");
            assert_eq!(server.requests()[0].target, asked);
        }
    }
}
