//! The command line of `alertctl`. Help, man pages and completions come from here and from nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::instance::Instance;
use super::values;
use crate::alert::{Level, Pattern, Topic};
use crate::key::Scope;

/// Speaks to alertd: sends and reads alerts, manages keys
///
/// Without --url it uses the control socket of the daemon on this machine, where file permissions are the credential.
/// A remote daemon is named by --url or ALERTCTL_URL and asks for a key, in ALERTCTL_KEY or --key-file.
#[derive(Debug, Parser)]
#[command(name = "alertctl", version, arg_required_else_help = true, after_long_help = AFTER)]
pub struct Ctl {
    /// Which daemon.
    #[command(flatten)]
    pub at: Where,
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
  NO_COLOR         no colours, whatever its value

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
pub struct Where {
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
pub enum Command {
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
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory, which must exist
        dir: PathBuf,
    },
}

/// `alertctl key`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; its secret is shown once
    ///
    /// The secret goes to standard output, alone on a line; everything else goes to standard error. A user may have
    /// several keys.
    #[command(
        after_long_help = "Examples:\n  alertctl key add alice\n  alertctl key add backup --scope publish --topic 'host.*' --expires 90d --label nightly > backup.key"
    )]
    Add {
        /// Whose key it is: letters, digits, dot, _ and -, 1 to 64
        user: String,
        /// What it may do; publish and subscribe where none is given
        #[arg(long = "scope", value_name = "SCOPE", value_parser = values::scope(), value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Where it may do it: a topic, ops.* or *; * where none is given
        #[arg(long = "topic", value_name = "PATTERN", value_parser = values::pattern, value_delimiter = ',')]
        topics: Vec<Pattern>,
        /// When it ends by itself, such as 90d
        #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
        expires: Option<Duration>,
        /// Words that help to tell keys apart
        #[arg(long)]
        label: Option<String>,
    },
    /// List the keys; never their secrets
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// End a key, or all keys of a user, and the streams that they opened
    Revoke {
        /// A key's id, or a user name
        #[arg(value_name = "ID|USER")]
        id_or_user: String,
    },
    /// Make a new key like this one, which goes on working for a while
    ///
    /// The new secret goes to standard output, alone on a line.
    #[command(after_long_help = "Examples:\n  alertctl key rotate k7Qm2x --overlap 7d > new.key")]
    Rotate {
        /// The id of the key to replace
        id: String,
        /// How long the old key goes on working
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = values::duration)]
        overlap: Duration,
    },
    /// Take over the keys of the service before alertd, so that they go on working
    Import {
        /// Its JSON file with the table of users; - is standard input
        #[arg(value_name = "FILE|-", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
}

/// `alertctl publish`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl publish 'Deploy completed' -m version=1.2.3
  alertctl publish -t ops.db -l error 'disk is full'
  journalctl -u backup -n 5 | alertctl publish -t backup -")]
pub struct Publish {
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

/// `alertctl unit-failed`.
#[derive(Debug, Args)]
pub struct UnitFailed {
    /// The unit, with its ending
    pub unit: String,
    /// Where the alert goes
    #[arg(short, long, default_value = "host.units")]
    pub topic: Topic,
    /// How many of its journal lines go with it
    #[arg(long, value_name = "COUNT", default_value_t = 10, env = "ALERTCTL_UNIT_LINES", value_parser = clap::value_parser!(u16).range(0..=100))]
    pub lines: u16,
    /// How long to watch for more failures before one alert is made of them; 0 means not at all
    #[arg(long, value_name = "DURATION", default_value = "1m", env = "ALERTCTL_UNIT_QUIET", value_parser = values::duration)]
    pub quiet: Duration,
    /// How long to go on trying while the daemon is away
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = values::duration)]
    pub retry_for: Duration,
}

/// `alertctl journal`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl journal -p warning -u nginx -u postgresql --state ~/.journal-alerts
  systemctl enable --now alertd-journal.service")]
pub struct Journal {
    /// This priority and what is more urgent: emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7
    #[arg(short, long, default_value = "err", env = "ALERTCTL_JOURNAL_PRIORITY", value_parser = values::priority)]
    pub priority: u8,
    /// Only entries of this unit and about it
    #[arg(short, long = "unit", value_name = "UNIT", env = "ALERTCTL_JOURNAL_UNITS", value_delimiter = ' ')]
    pub units: Vec<String>,
    /// Where the alerts go
    #[arg(short, long, default_value = "host.journal", env = "ALERTCTL_JOURNAL_TOPIC")]
    pub topic: Topic,
    /// Keep the place in this file [default: cursor, in systemd's state directory]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub state: Option<PathBuf>,
}

/// `alertctl tail`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl tail
  alertctl tail 'ops.*' -l warn --since 1h
  alertctl tail --json | jq .message
  alertctl tail -l error --state ~/.pager --exec 'printf \"%s\" \"$ALERT_MESSAGE\" | mail -s \"$ALERT_TOPIC\" root'

Environment of the command:
  ALERT_ID           the id
  ALERT_TOPIC        the topic
  ALERT_LEVEL        info, warn or error
  ALERT_MESSAGE      the message; a NUL in it, which no variable can hold, is replaced by U+FFFD
  ALERT_RECEIVED_AT  when it came in, 2026-11-23T17:33:10.123Z
  ALERT_METADATA     the metadata as JSON; empty where it has over 64 KiB
  Standard input is the whole alert, one JSON object, as it was received. What the command prints is not touched.")]
pub struct Tail {
    /// A topic, ops.* or *; all where none is given
    #[arg(value_name = "TOPIC", value_parser = values::pattern)]
    pub topics: Vec<Pattern>,
    /// This level and above
    #[arg(short, long, default_value = "info", value_parser = values::level())]
    pub level: Level,
    /// Where to begin: latest, none, all, an id, a duration such as 10m, or a time; a state that exists wins
    #[arg(long)]
    pub since: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Run this shell command for each alert instead of printing it
    #[arg(long, value_name = "COMMAND", conflicts_with = "json", value_hint = clap::ValueHint::CommandString)]
    pub exec: Option<String>,
    /// Keep the place in this file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub state: Option<PathBuf>,
    /// End after so many alerts
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// `alertctl history`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl history -n 20
  alertctl history 'ops.*' -l warn --since 24h
  alertctl history --since 2026-11-23T00:00:00Z --json > yesterday.ndjson")]
pub struct History {
    /// A topic, ops.* or *; all where none is given
    #[arg(value_name = "TOPIC", value_parser = values::pattern)]
    pub topics: Vec<Pattern>,
    /// This level and above
    #[arg(short, long, default_value = "info", value_parser = values::level())]
    pub level: Level,
    /// Where to begin: all, an id, a duration such as 10m, or a time
    #[arg(long)]
    pub since: Option<String>,
    /// How many; without --since 100 where none is given
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: Option<u32>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `alertctl status`.
#[derive(Debug, Args)]
pub struct Status {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `alertctl config`.
#[derive(Debug, Subcommand)]
pub enum Config {
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
        assert_eq!(ctl.at.url.as_deref(), Some("http://h"));
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
