//! The command lines of what speaks for the host: `alertctl unit-failed` and `alertctl journal`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::alert::Topic;
use crate::ctl::values;

/// `alertctl unit-failed`.
#[derive(Debug, Args)]
pub(crate) struct UnitFailed {
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
pub(crate) struct Journal {
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
