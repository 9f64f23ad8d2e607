//! The command line of `alertd`. Its long help is also the man page alertd(8).

use std::path::PathBuf;

use clap::Parser;

/// Receives alerts over REST and broadcasts them, in order and without loss, to all subscribers over Server-Sent Events.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "alertd",
    version,
    long_about = "Receives alerts over REST and broadcasts them, in order and without loss, to all subscribers over \
        Server-Sent Events. Alerts are stored on disk for the retention period, so a subscriber that reconnects gets the \
        alerts it missed. Keys and the running daemon are managed with alertctl.",
    after_help = MORE
)]
pub struct DaemonArgs {
    /// Configuration file [default: /etc/alertd.toml, if it exists]
    ///
    /// A file that is given here must exist. The option overrides the environment variable ALERTD_CONFIG.
    #[arg(long, value_name = "FILE", env = "ALERTD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check the configuration and the files it refers to, report all errors, and exit with 0 or 78
    ///
    /// Run as root, it also checks whether the user of the service may read and write these files.
    #[arg(long)]
    pub check: bool,
}

// Each paragraph is a single line, which the help wraps at the width of the terminal.
const MORE: &str = "\
Exit codes: 0 after a clean stop, 1 after a failure, 2 for an invalid command line, 65 for a store or key file that is \
damaged or not alertd's, 78 for an invalid configuration or for files that alertd may not read or write.

Stopping:
`systemctl stop alertd` stops only the service. Its sockets remain open, and the next client starts it again. \
To stop it permanently, stop the sockets too.

  systemctl stop alertd.socket alertd-control.socket alertd-publish.socket alertd.service

A start that fails:
A person has to correct the cause of the exit codes 65 and 78. After these, systemd does not restart the service and closes \
its sockets, so that clients are refused instead of waiting in vain. `systemctl status alertd` and `journalctl -p err -u alertd` \
say why. Correct the cause, then run

  systemctl start alertd

After any other failure, systemd tries again every second, without a limit, and the sockets stay open.

Several instances on one machine:
alertd@NAME.service reads /etc/alertd/NAME.toml, keeps its state in /var/lib/alertd/NAME and listens on \
/run/alertd/NAME/http.sock. Use alertctl --instance NAME to manage it.

Live page:
Open the address of http.listen in a browser to see new and stored alerts; the page asks for a key. \
With stage = \"dev\", /docs describes the API and lets you try each call, and /openapi.json has the OpenAPI document.

Signals:
On SIGTERM or SIGINT, alertd ends all streams with the event bye, finishes open requests and stops. On a second one it stops \
immediately. At a restart by systemd, plain HTTP/1.1 streams are passed to the next process instead. On SIGHUP it reloads configuration, keys and certificates without interrupting streams; if the new \
configuration is invalid, the current one remains in use.

Environment:
ALERTD_CONFIG names the configuration file if --config is not given. ALERTD_<SECTION>_<KEY> sets any key of alertd.toml(5). STATE_DIRECTORY, RUNTIME_DIRECTORY, XDG_STATE_HOME, \
XDG_RUNTIME_DIR and HOME determine the default directories.

Files:
  /etc/alertd.toml          configuration
  /var/lib/alertd           alerts, and auth.json with the keys
  /run/alertd/control.sock  for alertctl: permission to connect is permission to do everything
  /run/alertd/publish.sock  for local publishers: permission to connect is permission to publish
  /usr/share/doc/alertd     operations.md for daily work, security.md, fleet.md, protocol.md and more";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_accepts_the_definition() {
        DaemonArgs::command().debug_assert();
    }

    #[test]
    fn there_are_no_flags_but_config_and_check() {
        let args = DaemonArgs::try_parse_from(["alertd", "--config", "/a.toml", "--check"]).unwrap();
        assert_eq!((args.config, args.check), (Some("/a.toml".into()), true));
        assert!(DaemonArgs::try_parse_from(["alertd", "--port", "1"]).is_err());
        assert!(DaemonArgs::try_parse_from(["alertd", "serve"]).is_err());
    }

    #[test]
    fn the_help_names_options_signals_and_exit_codes() {
        let help = DaemonArgs::command().render_long_help().to_string();
        for words in ["--config <FILE>", "--check", "ALERTD_CONFIG", "SIGHUP", "78", "control.sock"] {
            assert!(help.contains(words), "{words}");
        }
    }
}
