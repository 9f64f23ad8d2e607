//! The command lines of what reads: `alertctl tail`, `alertctl history` and `alertctl status`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::alert::{Level, Pattern};
use crate::ctl::values;

/// Which alerts are read.
#[derive(Debug, Args)]
pub(crate) struct Select {
    /// A topic, ops.* or *; all where none is given
    #[arg(value_name = "TOPIC", value_parser = values::pattern)]
    pub topics: Vec<Pattern>,
    /// This level and above
    #[arg(short, long, default_value = "info", value_parser = values::level())]
    pub level: Level,
}

impl Select {
    /// As a query; no topic means all.
    pub(in crate::ctl) fn query(&self) -> Vec<(&'static str, String)> {
        let all = [Pattern::All];
        let topics = if self.topics.is_empty() { &all[..] } else { &self.topics };
        let level = (self.level != Level::default()).then(|| ("level", self.level.to_string()));
        topics.iter().map(|topic| ("topic", topic.to_string())).chain(level).collect()
    }
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
pub(crate) struct Tail {
    #[command(flatten)]
    pub select: Select,
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
pub(crate) struct History {
    #[command(flatten)]
    pub select: Select,
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
#[command(after_long_help = "\
Examples:
  alertctl status
  alertctl status --watch
  alertctl status --watch=10s --json >> status.ndjson")]
pub(crate) struct Status {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Again and again, every 2 seconds or every so often, until Ctrl-C
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = values::some_time
    )]
    pub watch: Option<Duration>,
}
