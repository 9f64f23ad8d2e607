//! Determines from the definition of the command line what may complete an unfinished one.

use clap::{Arg, ArgAction, Command};

use crate::ctl::args::{Candidates, DaemonOptions};

/// The kinds of candidates for the last word, and the part of it that is typed already.
pub(super) fn expected<'a>(definition: &mut Command, words: &'a [String]) -> (Vec<Candidates>, &'a str) {
    definition.build();
    let Some((last, before)) = words.split_last() else { return (Vec::new(), "") };
    let (mut command, mut position, mut option, mut literal) = (&*definition, 0, None, false);
    for word in before {
        if option.take().is_some() {
            continue;
        }
        if literal || !word.starts_with('-') || word == "-" {
            match command.find_subcommand(word).filter(|_| !literal) {
                Some(sub) => (command, position) = (sub, 0),
                None => position += 1,
            }
        } else if word == "--" {
            literal = true;
        } else {
            option = option_with_value(command, word);
        }
    }
    let (argument, prefix) = match (option, last.split_once('=')) {
        (Some(option), _) => (Some(option), last.as_str()),
        (None, Some((name, value))) if !literal && name.starts_with("--") => (option_with_value(command, name), value),
        (None, _) if !literal && last.starts_with('-') => (None, last.as_str()),
        (None, _) => (positional(command, position), last.as_str()),
    };
    (argument.map(kinds).unwrap_or_default(), prefix)
}

/// The option that `word` names, if its value is the next word.
fn option_with_value<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let takes = |argument: &&Arg| matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let find = |is: &dyn Fn(&Arg) -> bool| command.get_arguments().find(|argument| is(argument)).filter(takes);
    match word.strip_prefix("--") {
        Some(name) => find(&|argument| argument.get_long() == Some(name)),
        // Of several short options in one word, only the last may take the next word as its value.
        None => find(&|argument| argument.get_short().is_some() && argument.get_short() == word.chars().last()),
    }
    .filter(|argument| !argument.is_require_equals_set())
}

/// The positional argument with this index. The last one may be repeated.
fn positional(command: &Command, index: usize) -> Option<&Arg> {
    let repeats = |argument: &&Arg| matches!(argument.get_action(), ArgAction::Append);
    command.get_positionals().nth(index).or_else(|| command.get_positionals().last().filter(repeats))
}

fn kinds(argument: &Arg) -> Vec<Candidates> {
    let name = match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    };
    match name.as_str() {
        "TOPIC" | "PATTERN" => vec![Candidates::Topics],
        "USER" => vec![Candidates::Users],
        "ID" => vec![Candidates::Keys],
        "ID|USER" => vec![Candidates::Keys, Candidates::Users],
        _ => Vec::new(),
    }
}

/// The options that select a daemon: those on the unfinished command line override those in `daemon`.
pub(super) fn daemon_options(mut daemon: DaemonOptions, words: &[String]) -> DaemonOptions {
    let value = |option: &str| {
        let mut pairs = words.iter().zip(words.iter().skip(1));
        let separate = pairs.find(|(word, _)| *word == option).map(|(_, value)| value.as_str());
        separate.or_else(|| words.iter().find_map(|word| word.strip_prefix(option)?.strip_prefix('=')))
    };
    // The shell does not expand `~` in the words of a completion.
    let path = |option: &str| {
        let text = value(option)?;
        let home = std::env::var_os("HOME").filter(|_| text.starts_with("~/"));
        Some(home.map_or_else(|| text.into(), |home| std::path::Path::new(&home).join(&text[2..])))
    };
    let url = value("--url").map(ToOwned::to_owned);
    let instance = value("--instance").and_then(|name| name.parse().ok());
    let socket = path("--socket");
    // These three exclude each other, so one of them replaces all.
    if url.is_some() || instance.is_some() || socket.is_some() {
        (daemon.url, daemon.instance, daemon.socket) = (url, instance, socket);
    }
    daemon.key_file = path("--key-file").or(daemon.key_file);
    daemon.config = path("--config").or(daemon.config);
    daemon
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::args::Ctl;
    use clap::CommandFactory;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_candidates_follow_from_the_definition() {
        for (line, kinds, prefix) in [
            ("publish -t ", &[Candidates::Topics][..], ""),
            ("publish -l warn --topic op", &[Candidates::Topics], "op"),
            ("publish --topic=op", &[Candidates::Topics], "op"),
            ("--url http://h publish -t op", &[Candidates::Topics], "op"),
            ("publish --json -t op", &[Candidates::Topics], "op"),
            ("tail -l warn ", &[Candidates::Topics], ""),
            ("tail web op", &[Candidates::Topics], "op"),
            ("tail --json -- -x", &[Candidates::Topics], "-x"),
            ("history --since all op", &[Candidates::Topics], "op"),
            ("key add --topic op", &[Candidates::Topics], "op"),
            ("key add al", &[Candidates::Users], "al"),
            ("key revoke k", &[Candidates::Keys, Candidates::Users], "k"),
            ("key rotate --overlap 7d k", &[Candidates::Keys], "k"),
            ("status --watch ", &[], ""),
            ("publish ", &[], ""),
            ("publish -l ", &[], ""),
            ("tail --si", &[], "--si"),
            ("key add alice b", &[], "b"),
            ("key rev", &[], "rev"),
            ("", &[], ""),
        ] {
            assert_eq!(expected(&mut Ctl::command(), &words(line)), (kinds.to_vec(), prefix), "{line}");
        }
    }

    #[test]
    fn the_command_line_selects_the_daemon() {
        let daemon = DaemonOptions { socket: Some("/given".into()), ..DaemonOptions::default() };
        assert_eq!(daemon_options(daemon.clone(), &words("publish -t ")).socket, Some("/given".into()));
        let other = daemon_options(daemon, &words("--url http://h --key-file=/k publish -t "));
        assert_eq!((other.url.as_deref(), other.key_file), (Some("http://h"), Some("/k".into())));
        assert_eq!(other.socket, None);
    }
}
