//! The command line of `alertctl`. Help, man pages and completions come from here and from nowhere else.

mod host;
mod key;
mod read;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::instance::Instance;
use super::terminal::Colour;
use super::values;
use crate::alert::{Level, Topic};
pub(crate) use host::{Journal, UnitFailed};
pub(crate) use key::Key;
pub(crate) use read::{History, Status, Tail};

/// Speaks to alertd: sends and reads alerts, manages keys
///
/// Without --url it uses the control socket of the daemon on this machine, where file permissions are the credential.
/// A remote daemon is named by --url or ALERTCTL_URL and asks for a key, in ALERTCTL_KEY or --key-file.
#[derive(Debug, Parser)]
#[command(name = "alertctl", version, arg_required_else_help = true, after_long_help = AFTER)]
pub(crate) struct Ctl {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// Colours: where a terminal shows them, always, or never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Colour,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
Examples:
  alertctl key add alice
  alertctl publish -t ops.db -l error 'disk is full'
  alertctl tail 'ops.*'
  alertctl --url https://alerts.example.org --key-file ~/.alertkey history -n 20

Environment:
  ALERTCTL_URL     the daemon's URL, where --url is not given
  ALERTCTL_KEY     the key for it, where --key-file is not given
  ALERTCTL_SOCKET  the control socket, where neither is given
  SSL_CERT_FILE    certificate authorities to trust, instead of the system's
  NO_COLOR         no colours, if it is set and not empty, unless --color says otherwise

Exit status:
  0   done
  1   failed
  2   the command line, or a value that it sent, is wrong
  69  the daemon does not answer, or cannot do it now
  77  the key or the user may not do this
  78  the configuration is wrong";

/// Which daemon is meant.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which daemon")]
pub(crate) struct DaemonOptions {
    /// A remote daemon, http://host:port or https://host [env: ALERTCTL_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// A file whose only line is the key for the remote daemon [env: ALERTCTL_KEY, the key itself]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// The socket of a local daemon [env: ALERTCTL_SOCKET]
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// One of several local daemons, alertd@NAME.service
    #[arg(long, global = true, value_name = "NAME")]
    pub instance: Option<Instance>,
    /// The configuration file that names socket and key store [default: as for the daemon]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ALERTD_CONFIG",
        value_hint = clap::ValueHint::FilePath
    )]
    pub config: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, list and end keys
    #[command(subcommand, arg_required_else_help = true)]
    Key(Key),
    /// Send an alert and wait until it is stored
    ///
    /// Prints the alert's id. Where the daemon is away, answers late or is too busy, the alert is sent again under the same
    /// idempotency key: it is stored once, however often it was sent.
    Publish(Publish),
    /// Make an alert of a unit that failed; for OnFailure=alertd-unit-failed@%n.service
    ///
    /// The alert goes to the topic host.units with level error: which unit, how it ended, and its last journal lines. Then
    /// the command stays a while and watches: what fails again in that time makes one alert together, and the time doubles
    /// with each, up to an hour, so that a unit which crashes for ever is heard of but floods nobody.
    ///
    /// Needs no key: it uses the publish socket.
    UnitFailed(UnitFailed),
    /// Make alerts of journal entries, as they are written
    ///
    /// Each entry becomes one alert, none is lost and none comes twice, whatever restarts in between: the place in the
    /// journal is kept, and its cursor is the idempotency key. The first time it begins with what is written from then on.
    /// Entries that the journal has dropped before they could be read, or never took up because a service wrote too much,
    /// are said in an alert. Entries of alertd's own units are passed over.
    ///
    /// Needs no key: it uses the publish socket. Priorities 0 to 3 become level error, 4 warn, all others info.
    Journal(Journal),
    /// Follow alerts as they come
    ///
    /// Comes back after every break, for ever, and goes on behind the last alert. Without --since it begins with the newest
    /// alert of each topic that is not too old. Where alerts may be missing, standard error says so.
    ///
    /// With --exec each alert runs a command, one after another; a command that fails is run again after a while, for ever.
    /// With --state the place is kept over the end of alertctl itself. It moves on after an alert was printed or its command
    /// succeeded, so each alert is handled at least once, and again only if alertctl was killed in between.
    Tail(Tail),
    /// Read alerts that are retained
    ///
    /// Oldest first: the newest COUNT, or with --since the first COUNT from there on, all of them where no COUNT is given.
    History(History),
    /// Show how the daemon is
    Status(Status),
    /// Check and show the configuration
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
    /// Have the daemon read its configuration, keys and certificates again
    ///
    /// Waits for the outcome. A configuration that is refused leaves the one in force as it is; the reasons are said and
    /// the exit status is 78. Works on the control socket only.
    Reload,
    /// Write the completions of a shell to standard output
    #[command(
        after_long_help = "Examples:\n  alertctl completions bash > ~/.local/share/bash-completion/completions/alertctl"
    )]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write what a shell may complete, a line each
    #[command(hide = true)]
    Complete {
        /// What it is
        what: Candidates,
        /// The words of the line behind the program, up to the one that is completed
        #[arg(last = true)]
        line: Vec<String>,
    },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory, which must exist
        dir: PathBuf,
    },
}

/// What `alertctl complete` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Candidates {
    /// Topics that have alerts
    Topics,
    /// Users that have keys
    Users,
    /// Ids of keys
    Keys,
    /// Whatever the last word of the given command line can be
    Line,
}

/// `alertctl publish`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl publish 'Deploy completed' -m version=1.2.3
  alertctl publish -t ops.db -l error 'disk is full'
  journalctl -u backup -n 5 | alertctl publish -t backup -")]
pub(crate) struct Publish {
    /// Where it goes
    #[arg(short, long, default_value = "default")]
    pub topic: Topic,
    /// How serious it is
    #[arg(short, long, default_value = "info", value_parser = values::level())]
    pub level: Level,
    /// A member of the metadata; the value is text
    #[arg(short, long = "metadata", value_name = "KEY=VALUE", value_parser = values::pair)]
    pub metadata: Vec<(String, String)>,
    /// The idempotency key; drawn at random where none is given
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// How long to go on trying; 0 means once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub retry_for: Duration,
    /// Print the whole alert, one JSON object
    #[arg(long)]
    pub json: bool,
    /// The message, 1 to 4096 bytes; - reads it from standard input, without the line break at its end
    #[arg(value_name = "MESSAGE|-")]
    pub message: String,
}

/// `alertctl config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check the configuration without touching the daemon: all errors at once, exit status 78
    Check,
    /// Show every value with its source
    Show,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Ctl::command().debug_assert();
    }

    #[test]
    fn a_hyphen_is_a_message_and_options_may_stand_anywhere() {
        let ctl = Ctl::try_parse_from(["alertctl", "publish", "-t", "a", "-", "--url", "http://h"]).unwrap();
        assert_eq!(ctl.daemon.url.as_deref(), Some("http://h"));
        let Command::Publish(publish) = ctl.command else { panic!() };
        assert_eq!((publish.message.as_str(), publish.topic.as_str()), ("-", "a"));
        let ctl = Ctl::try_parse_from(["alertctl", "publish", "--", "--url"]).unwrap();
        let Command::Publish(publish) = ctl.command else { panic!() };
        assert_eq!(publish.message, "--url");
    }

    #[test]
    fn the_long_help_explains_what_is_kept() {
        let mut ctl = Ctl::command();
        let help = ctl.find_subcommand_mut("tail").unwrap().render_long_help().to_string();
        assert!(help.contains("at least once") && help.contains("ALERT_METADATA"), "{help}");
    }

    #[test]
    fn wrong_values_are_usage_errors() {
        for line in [
            &["tail", "a b"][..],
            &["tail", "-l", "fatal"],
            &["tail", "-n", "0"],
            &["tail", "--json", "--exec", "x"],
            &["publish", "-m", "novalue", "x"],
            &["publish"],
            &["key", "add", "alice", "--scope", "root"],
            &["key", "add", "alice", "--expires", "0d"],
            &["history", "-n", "x"],
            &["nothing"],
        ] {
            let line: Vec<&str> = ["alertctl"].into_iter().chain(line.iter().copied()).collect();
            assert_eq!(Ctl::try_parse_from(&line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
