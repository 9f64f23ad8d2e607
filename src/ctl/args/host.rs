//! Arguments of `alertctl unit-failed` and `alertctl journal`, which publish alerts about the host.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::alert::Topic;
use crate::ctl::values;

/// `alertctl unit-failed`.
#[derive(Debug, Args)]
pub(crate) struct UnitFailed {
    /// Name of the unit with its suffix, such as nginx.service; write -- before a name that begins with a hyphen
    pub unit: String,
    /// Topic to publish to
    #[arg(short, long, default_value = "host.units")]
    pub topic: Topic,
    /// Number of the unit's journal lines to include
    #[arg(long, value_name = "COUNT", default_value_t = 10, env = "ALERTCTL_UNIT_LINES", value_parser = clap::value_parser!(u16).range(0..=100))]
    pub lines: u16,
    /// How long to watch for further failures, which are reported in one alert; 0 turns this off
    #[arg(long, value_name = "DURATION", default_value = "1m", env = "ALERTCTL_UNIT_QUIET", value_parser = values::duration)]
    pub quiet: Duration,
    /// How long to retry while the daemon is unavailable
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
    /// Lowest priority to report: emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7
    #[arg(short, long, default_value = "err", env = "ALERTCTL_JOURNAL_PRIORITY", value_parser = values::priorities(), hide_possible_values = true)]
    pub priority: u8,
    /// Only entries that this unit wrote or that are about it
    #[arg(short, long = "unit", value_name = "UNIT", env = "ALERTCTL_JOURNAL_UNITS", value_delimiter = ' ', value_hint = clap::ValueHint::Other)]
    pub units: Vec<String>,
    /// Topic to publish to
    #[arg(short, long, default_value = "host.journal", env = "ALERTCTL_JOURNAL_TOPIC")]
    pub topic: Topic,
    /// Also report units that fail as incidents on this topic, and when they are back
    #[arg(long, value_name = "TOPIC")]
    pub failed_units: Option<Topic>,
    /// File that keeps the position in the journal [default: cursor, in systemd's state directory]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub state: Option<PathBuf>,
}
