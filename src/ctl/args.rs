//! The command line of `alertctl`: help, man pages and completions come from here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::alert::{Level, Pattern, Topic};
use crate::key::Scope;

/// Talks to alertd: keys, alerts, status.
#[derive(Debug, Parser)]
#[command(
    name = "alertctl",
    version,
    after_help = "Without --url, alertctl talks to the local daemon over its control socket, for which file permissions are the credential.\n\n\
        Exit codes: 0 done, 1 failed, 2 wrong command line, 69 no daemon or not now, 77 not permitted, 78 wrong configuration."
)]
pub struct Ctl {
    /// Where the daemon is.
    #[command(flatten)]
    pub target: TargetArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the daemon is, and with which key.
#[derive(Clone, Debug, Default, Args)]
pub struct TargetArgs {
    /// A remote daemon, such as https://alerts.example.org; the key comes from --key-file or $ALERTCTL_KEY
    #[arg(long, global = true, env = "ALERTCTL_URL", value_name = "URL", conflicts_with_all = ["socket", "instance"])]
    pub url: Option<String>,
    /// The file that holds the key, alone
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Another control socket
    #[arg(long, global = true, env = "ALERTCTL_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The instance alertd@NAME: its socket is /run/alertd-NAME/control.sock
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "socket")]
    pub instance: Option<String>,
    /// The configuration file [default: /etc/alertd.toml, if it is there]
    #[arg(long, global = true, env = "ALERTD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, list, revoke, rotate and import keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Publish an alert, and wait until it is stored
    Publish(PublishArgs),
    /// Follow alerts; resumes by id after any break, forever
    Tail(TailArgs),
    /// Show alerts of the past
    History(HistoryArgs),
    /// Show how the daemon is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make the daemon read its configuration, keys and certificates again, and wait for the outcome
    Reload,
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// Where to
        directory: PathBuf,
    },
}

/// `alertctl key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; its secret goes to standard output, alone and only this once
    Add {
        /// Whose key it is: 1 to 64 of A-Z a-z 0-9 . _ -
        user: String,
        /// What it may do; may be repeated [default: publish and subscribe]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// Where it may do it: a topic, ops.* or *; may be repeated [default: *]
        #[arg(long = "topic", value_name = "TOPIC")]
        topics: Vec<Pattern>,
        /// How long it lives, such as 90d
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires: Option<Duration>,
        /// Words that help to tell keys apart
        #[arg(long)]
        label: Option<String>,
    },
    /// List the keys, never their secrets
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// End a key, or all keys of a user, and their streams
    Revoke {
        /// The key's id, or the user
        #[arg(value_name = "ID|USER")]
        id_or_user: String,
    },
    /// Make a key like this one; the old one goes on working for a while
    Rotate {
        /// The old key's id
        id: String,
        /// For how long
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
        overlap: Duration,
    },
    /// Take over the keys of the former alert server, so that they go on working
    Import {
        /// Its auth.json, or - for standard input
        file: PathBuf,
    },
}

/// `alertctl publish`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  alertctl publish -t ops.db -l warn 'disk at 91 %' -m host=db1\n  dmesg | tail -5 | alertctl publish -"
)]
pub struct PublishArgs {
    /// The topic
    #[arg(short, long, default_value = "default")]
    pub topic: Topic,
    /// info, warn or error
    #[arg(short, long, default_value = "info")]
    pub level: Level,
    /// Metadata; the value is JSON if it reads as such, else text; may be repeated
    #[arg(short, long = "metadata", value_name = "KEY=VALUE")]
    pub metadata: Vec<String>,
    /// Retry an earlier publish whose outcome is unknown
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// How long to try while the daemon is away
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub retry_for: Duration,
    /// Print the stored alert as JSON instead of its id
    #[arg(long)]
    pub json: bool,
    /// The message, or - for standard input
    #[arg(value_name = "MESSAGE|-")]
    pub message: String,
}

/// `alertctl tail`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --exec the alert is in ALERT_ID, ALERT_TOPIC, ALERT_LEVEL, ALERT_MESSAGE, ALERT_RECEIVED_AT and ALERT_METADATA, and as JSON on standard \
        input. A command that fails is tried again, slower and slower, before the next alert: each alert is handled at least once, in order."
)]
pub struct TailArgs {
    /// Topics, ops.* or * [default: *]
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<Pattern>,
    /// This level and above
    #[arg(short, long, default_value = "info")]
    pub level: Level,
    /// Where to begin: latest, none, all, an id, 10m, or a time
    #[arg(long)]
    pub since: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Run this for each alert, with sh -c
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,
    /// Keep the cursor in this file, and go on from there at the next start
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// End after so many alerts
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u64>,
}

/// `alertctl history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Topics, ops.* or * [default: *]
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<Pattern>,
    /// This level and above
    #[arg(short, long, default_value = "info")]
    pub level: Level,
    /// Everything since an id, 10m or a time, oldest first [default: the newest N]
    #[arg(long)]
    pub since: Option<String>,
    /// So many at the most [default: 100; with --since all]
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `alertctl config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Find all errors at once
    Check,
    /// Show every value with its source
    Show,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    crate::config::duration(text).ok_or("a duration is written like 90d, 12h or 1h30m")
}
