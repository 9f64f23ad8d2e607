//! Arguments of the commands that read: `alertctl tail`, `alertctl history` and `alertctl status`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::alert::{Id, Level, Pattern};
use crate::ctl::{moment, values};

/// Which alerts are read.
#[derive(Debug, Args)]
pub(crate) struct Select {
    /// Topics to read: a topic, ops.* or * [default: *]
    #[arg(value_name = "TOPIC", value_parser = values::pattern)]
    pub topics: Vec<Pattern>,
    /// Lowest level to read
    #[arg(short, long, default_value = "info", value_parser = values::level())]
    pub level: Level,
}

impl Select {
    /// The parameters of a request. No topic means all topics.
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
  alertctl tail -n 20
  alertctl tail 'ops.*' -l warn --since yesterday
  alertctl tail --json | jq .message
  alertctl tail -l error --state ~/.pager --exec 'printf \"%s\" \"$ALERT_MESSAGE\" | mail -s \"$ALERT_TOPIC\" root'

Environment of the command:
  ALERT_ID           the id
  ALERT_TOPIC        the topic
  ALERT_LEVEL        info, warn or error
  ALERT_MESSAGE      the message; NUL, which a variable cannot contain, is replaced by U+FFFD
  ALERT_RECEIVED_AT  when alertd received it, such as 2026-11-23T17:33:10.123Z
  ALERT_METADATA     the metadata as JSON; empty if it is larger than 64 KiB
  Standard input has the whole alert as one JSON object, unchanged. The output of the command is not changed.")]
pub(crate) struct Tail {
    #[command(flatten)]
    pub select: Select,
    /// Where to begin: latest, none, all, an id, a duration such as 10m, yesterday, today, a date, or a time; ignored if
    /// --state holds a position
    #[arg(long, value_parser = moment::since)]
    pub since: Option<String>,
    /// Begin with the last COUNT alerts; ignored if --state holds a position
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "since", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub last: Option<u32>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Run this shell command for each alert instead of printing it
    #[arg(long, value_name = "COMMAND", conflicts_with = "json", value_hint = clap::ValueHint::CommandString)]
    pub exec: Option<String>,
    /// File that keeps the position in the log between runs
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub state: Option<PathBuf>,
    /// Exit after this many alerts
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// `alertctl history`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl history -n 20
  alertctl history 'ops.*' -l warn --since 24h
  alertctl history --since yesterday --until today --json > yesterday.ndjson
  alertctl history --since '2026-11-23 17:30' --until '2026-11-23 18:00'

Times and days without an offset from UTC are in the time zone of this machine.")]
pub(crate) struct History {
    #[command(flatten)]
    pub select: Select,
    /// Where to begin: all, an id, a duration such as 10m, yesterday, today, a date, or a time
    #[arg(long, value_parser = moment::since)]
    pub since: Option<String>,
    /// Where to end, in the same forms; alerts of that moment and later ones are left out
    #[arg(long, value_parser = moment::until)]
    pub until: Option<Id>,
    /// Number of alerts [default: 100, or all with --since]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: Option<u32>,
    /// Print one JSON object per line
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
    /// Print the status as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Repeat until Ctrl-C, every 2 seconds or at the given interval
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = values::nonzero_duration
    )]
    pub watch: Option<Duration>,
}

/// `alertctl drain`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl drain --over 2m && systemctl restart alertd
  alertctl drain --over 0s")]
pub(crate) struct Drain {
    /// Time over which the streams leave, at most 24 hours
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub over: Duration,
    /// Return at once instead of waiting until no streams are left
    #[arg(long)]
    pub no_wait: bool,
}

/// `alertctl doctor`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  sudo alertctl doctor
  alertctl doctor --json | jq '.findings[] | select(.severity == \"fault\")'

Exit status:
  0   nothing is wrong
  10  warnings
  20  faults")]
pub(crate) struct Doctor {
    /// Print a JSON object: faults, warnings, and findings with check, severity (ok, skipped, warning, fault), what and remedy
    #[arg(long)]
    pub json: bool,
}
