//! The arguments of the commands about incidents.

use clap::{Args, Subcommand, ValueEnum};

use crate::alert::{IncidentName, Level, Pattern, Topic};
use crate::ctl::values;

/// The states that are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum States {
    /// Open or acknowledged
    Unresolved,
    Open,
    Acknowledged,
    Resolved,
    All,
}

impl States {
    pub(in crate::ctl) const fn as_str(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::All => "all",
        }
    }
}

/// `alertctl incidents`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl incidents
  alertctl incidents -t 'ops.*' --state all --json
  alertctl incidents -q || echo 'something is wrong'")]
pub(crate) struct Incidents {
    /// Topic or pattern; may be repeated [default: *]
    #[arg(short, long = "topic", value_name = "TOPIC", value_parser = values::pattern)]
    pub topics: Vec<Pattern>,
    /// State of the incidents
    #[arg(long, value_enum, default_value = "unresolved")]
    pub state: States,
    /// Lowest level
    #[arg(short, long, default_value = "info", value_parser = values::level())]
    pub level: Level,
    /// Print one JSON object for each incident
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print nothing; exit with 10 if there is such an incident
    #[arg(short, long)]
    pub quiet: bool,
}

/// The commands that change an incident.
#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Say that somebody takes care of an incident
    Acknowledge(Act),
    /// Say that an incident is over
    Resolve(Act),
    /// Open a resolved incident again, and take an acknowledgement back
    Reopen(Act),
}

/// `alertctl acknowledge`, `resolve` and `reopen`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl acknowledge ops.db disk --note 'ordered a larger one'
  alertctl resolve ops.db disk")]
pub(crate) struct Act {
    /// Topic of the incident
    pub topic: Topic,
    /// Name of the incident
    pub incident: IncidentName,
    /// Text for others who deal with the incident
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Print the incident as a JSON object
    #[arg(long)]
    pub json: bool,
}
