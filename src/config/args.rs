//! The command line of `alertd`. Its long help is the page alertd(8).

use std::path::PathBuf;

use clap::Parser;

/// Takes alerts over REST and broadcasts each one, in order and without loss, to every subscriber over Server-Sent Events.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "alertd",
    version,
    long_about = "Takes alerts over REST and broadcasts each one, in order and without loss, to every subscriber over \
        Server-Sent Events. The alerts are kept on disk within retention, so a subscriber that was away gets what it missed. \
        Keys and the running daemon are managed with alertctl.",
    after_help = MORE
)]
pub struct DaemonArgs {
    /// The configuration file [default: /etc/alertd.toml, if it is there]
    ///
    /// A file that is named here must exist. The option wins over the variable.
    #[arg(long, value_name = "FILE", env = "ALERTD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Validate everything, name all errors at once, and exit with 0 or 78
    #[arg(long)]
    pub check: bool,
}

// A paragraph is one line, which the help breaks where the terminal ends.
const MORE: &str = "\
Exit codes: 0 after a clean stop, 1 on failure, 2 for a wrong command line, 78 for a wrong configuration.

Stopping:
`systemctl stop alertd` stops the service alone: its sockets stay, and the next client starts it again. \
To stop for good, name the sockets too.

  systemctl stop alertd.socket alertd-control.socket alertd-publish.socket alertd.service

A wrong configuration:
alertd ends with 78 and is not restarted. Clients that wait at a socket start it again, up to twenty times in ten \
seconds; then the socket fails too. Mend the file, then

  systemctl reset-failed alertd.service alertd.socket && systemctl start alertd

Several on one machine:
alertd@NAME.service reads /etc/alertd/NAME.toml, keeps its state in /var/lib/alertd/NAME and listens at \
/run/alertd/NAME/http.sock; alertctl --instance NAME speaks to it.

Live page:
A browser at the address of http.listen shows alerts as they come in, and earlier ones; it asks for a key. \
With stage = \"dev\" the API is described at /docs, where each call can be tried, and as OpenAPI at /openapi.json.

Signals:
SIGTERM and SIGINT tell every stream, finish open requests and stop; a second one stops at once. SIGHUP reads \
configuration, keys and certificates again without touching a stream; if the new configuration has errors, the old one stays.

Environment:
ALERTD_<SECTION>_<KEY> sets any key of alertd.toml(5). STATE_DIRECTORY, RUNTIME_DIRECTORY, XDG_STATE_HOME, \
XDG_RUNTIME_DIR and HOME give the default directories.

Files:
  /etc/alertd.toml          the configuration
  /var/lib/alertd           alerts, and auth.json with the keys
  /run/alertd/control.sock  for alertctl: whoever may connect to it may do everything
  /run/alertd/publish.sock  for local producers: whoever may connect to it may publish";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        DaemonArgs::command().debug_assert();
    }

    #[test]
    fn the_flags_are_the_contracts() {
        let args = DaemonArgs::try_parse_from(["alertd", "--config", "/a.toml", "--check"]).unwrap();
        assert_eq!((args.config, args.check), (Some("/a.toml".into()), true));
        assert!(DaemonArgs::try_parse_from(["alertd", "--port", "1"]).is_err());
        assert!(DaemonArgs::try_parse_from(["alertd", "serve"]).is_err());
    }

    #[test]
    fn the_help_stands_alone() {
        let help = DaemonArgs::command().render_long_help().to_string();
        for words in ["--config <FILE>", "--check", "ALERTD_CONFIG", "SIGHUP", "78", "control.sock"] {
            assert!(help.contains(words), "{words}");
        }
    }
}
