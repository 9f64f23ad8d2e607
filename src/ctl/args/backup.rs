//! The arguments of `alertctl backup`, `restore` and `check`.

use std::path::PathBuf;

use clap::Args;

/// `alertctl backup`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl backup /var/backups/alertd
  alertctl backup - | zstd > /var/backups/alertd.zst")]
pub(crate) struct Backup {
    /// File to write; - writes to standard output
    #[arg(value_name = "FILE|-", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `alertctl restore`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  systemctl stop alertd.socket alertd-control.socket alertd-publish.socket alertd.service
  alertctl restore /var/backups/alertd
  systemctl start alertd.socket alertd-control.socket alertd-publish.socket alertd.service")]
pub(crate) struct Restore {
    /// Restore what is left of a damaged backup; readers get a gap where lines are missing
    #[arg(long)]
    pub damaged: bool,
    /// Leave the keys as they are
    #[arg(long)]
    pub no_keys: bool,
    /// Replace the alerts and keys in the Redis of a fleet; in a state directory, the former ones are always kept
    #[arg(long)]
    pub replace: bool,
    /// Backup to restore
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `alertctl check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Backup to verify [default: the store of this machine]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}
