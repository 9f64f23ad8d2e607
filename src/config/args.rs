//! The command line of `alertd`.

use std::path::PathBuf;

use clap::Parser;

/// Takes alerts over REST and broadcasts each one, in order and without loss, to every subscriber over Server-Sent Events.
#[derive(Debug, Parser)]
#[command(
    name = "alertd",
    version,
    after_help = "Exit codes: 0 after a clean stop, 1 on failure, 2 for a wrong command line, 78 for a wrong configuration.\n\n\
        SIGTERM and SIGINT stop alertd; SIGHUP makes it read file, keys and certificates again.\n\
        `systemctl stop alertd` stops the service alone: its sockets stay, and the next client starts it again. To stop for \
        good: systemctl stop alertd.socket alertd-control.socket alertd-publish.socket alertd.service"
)]
pub struct DaemonArgs {
    /// The configuration file [default: /etc/alertd.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "ALERTD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Validate everything, name all errors at once, and exit with 0 or 78
    #[arg(long)]
    pub check: bool,
}
