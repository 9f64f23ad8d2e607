//! The arguments of `alertctl retract`.

use clap::Args;

use crate::alert::{Id, Topic};

/// `alertctl retract`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl retract ci 1764000000000-0")]
pub(crate) struct Retract {
    /// Topic of the alert
    pub topic: Topic,
    /// Id of the alert, as `alertctl publish` and `alertctl history --json` print it
    pub id: Id,
}
