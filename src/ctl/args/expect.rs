//! The arguments of `alertctl expect`.

use clap::Args;

use crate::alert::{Every, IncidentName, Level, Topic};
use crate::ctl::values;

/// `alertctl expect`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl expect backup.nightly --every 25h
  alertctl expect ops.heartbeat --every 5m --level warn
  alertctl expect backup --incident db1 --every 25h
  alertctl expect --list
  alertctl expect backup.nightly --remove")]
pub(crate) struct Expect {
    /// Topic on which something is expected
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub topic: Option<Topic>,
    /// Only alerts of this incident count; at most 119 characters
    #[arg(long, value_name = "NAME", conflicts_with = "list")]
    pub incident: Option<IncidentName>,
    /// The longest time without an alert, from 10s to 366d
    #[arg(long, value_name = "DURATION", required_unless_present_any = ["list", "remove"], conflicts_with_all = ["list", "remove"])]
    pub every: Option<Every>,
    /// Level of the alert that says that nothing came
    #[arg(short, long, default_value = "error", value_parser = values::level(), conflicts_with_all = ["list", "remove"])]
    pub level: Level,
    /// List what is expected
    #[arg(long, conflicts_with = "remove")]
    pub list: bool,
    /// Expect nothing on the topic any more
    #[arg(long)]
    pub remove: bool,
    /// Print one JSON object for each expectation
    #[arg(long, conflicts_with = "remove")]
    pub json: bool,
}
