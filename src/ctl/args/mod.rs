//! The command line of `alertctl`: the only source of its help, man pages and completions.

mod backup;
mod expect;
mod host;
mod incident;
mod key;
mod publish;
mod read;
mod retract;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::instance::Instance;
use super::terminal::Colour;
pub(crate) use backup::{Backup, Check, Restore};
pub(crate) use expect::Expect;
pub(crate) use host::{Journal, UnitFailed};
pub(crate) use incident::{Act, Change, Incidents};
pub(crate) use key::Key;
pub(crate) use publish::Publish;
pub(crate) use read::{Doctor, Drain, History, Status, Tail};
pub(crate) use retract::Retract;

/// Publishes and reads alerts, and manages the keys of alertd
///
/// By default, alertctl talks to the daemon on this machine through its control socket, and file permissions decide who
/// may use it. To use a remote daemon, give --url or ALERTCTL_URL, and a key in ALERTCTL_KEY or --key-file.
#[derive(Debug, Parser)]
#[command(name = "alertctl", version, arg_required_else_help = true, after_long_help = AFTER)]
pub(crate) struct Ctl {
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Colour,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
Examples:
  alertctl key add alice
  alertctl publish -t ops.db -l error 'disk is full'
  alertctl publish -t ops.db -l error --incident disk --ttl 1h 'disk is full'
  alertctl publish -t ops.db --incident disk --resolve 'disk has room again'
  alertctl tail 'ops.*'
  alertctl --url https://alerts.example.org --key-file ~/.alertkey history -n 20

Environment:
  ALERTCTL_URL     URL of a remote daemon, unless --url is given
  ALERTCTL_KEY     key for the remote daemon, unless --key-file is given
  ALERTCTL_SOCKET  control socket of a local daemon, unless --socket or --url is given
  SSL_CERT_FILE    file of trusted certificate authorities, used instead of the system's
  NO_COLOR         if set and not empty, no colours, unless --color says otherwise

Exit status:
  0   success
  1   failure
  2   invalid command line, or a value on it was refused
  10  doctor: warnings
  20  doctor: faults
  65  a store or a backup is damaged
  69  the daemon does not answer, or is temporarily unable to do this
  77  the key or user does not have permission
  78  invalid configuration";

/// The daemon to talk to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Daemon")]
pub(crate) struct DaemonOptions {
    /// URL of a remote daemon, http://host:port or https://host [env: ALERTCTL_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// File that holds the key for the remote daemon [env: ALERTCTL_KEY, the key itself]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// Socket of a local daemon [env: ALERTCTL_SOCKET]
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// Name of a local instance, alertd@NAME.service
    #[arg(long, global = true, value_name = "NAME", value_hint = clap::ValueHint::Other)]
    pub instance: Option<Instance>,
    /// Configuration file, for the paths of sockets and keys [default: the daemon's]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ALERTD_CONFIG",
        value_hint = clap::ValueHint::FilePath
    )]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, list and revoke keys
    #[command(subcommand, arg_required_else_help = true)]
    Key(Key),
    /// Publish an alert and wait until it is stored
    ///
    /// Prints the id of the alert. While the daemon is unavailable, slow or overloaded, alertctl sends the alert again with
    /// the same idempotency key, so it is stored only once.
    Publish(Publish),
    /// Publish an alert about a failed unit; for OnFailure=alertd-unit-failed@%n.service
    ///
    /// The alert has level error and says which unit failed and how, with the last journal lines of the unit. The command
    /// then watches the unit for a while and reports further failures together in one alert. The time for which it watches
    /// doubles with each such alert, up to an hour, so a unit that crashes again and again does not flood subscribers.
    ///
    /// If alertd-journal.service is enabled, an alert about a unit that systemd does not start again opens the incident
    /// HOST/UNIT, which that service resolves when the unit is back.
    ///
    /// Needs no key: it uses the publish socket.
    UnitFailed(UnitFailed),
    /// Publish journal entries as alerts, as they are written
    ///
    /// Each entry becomes exactly one alert, across restarts of alertctl and of the daemon: the position in the journal is
    /// saved, and the journal's cursor is the idempotency key. The first run begins with the entries written from then on.
    /// If the journal dropped entries before they were read, or suppressed them because a service wrote too many, an alert
    /// says so. Entries of alertd's own units are skipped.
    ///
    /// With --failed-units, units that fail are also reported as incidents, which end when the units are back. Failures of
    /// units with OnFailure=alertd-unit-failed@%n.service are left to that.
    ///
    /// Needs no key: it uses the publish socket. Priorities 0 to 3 become level error, 4 becomes warn, all others info.
    Journal(Journal),
    /// Print alerts as they arrive
    ///
    /// Reconnects after every interruption, without limit, and continues after the last alert. Without --since and -n, it
    /// begins with the newest alert of each topic, unless that is too old. If alerts may have been missed, a message on standard
    /// error says so.
    ///
    /// With --exec, a command runs for each alert, one at a time; if it fails, it is run again until it succeeds.
    /// With --state, the position in the log is saved, so that the next run continues there. It is saved after the alert was
    /// printed or its command succeeded: each alert is handled at least once, and twice only if alertctl was killed in
    /// between.
    Tail(Tail),
    /// Print stored alerts
    ///
    /// Prints the newest COUNT alerts, or with --since the first COUNT alerts from that point on. The oldest alert comes
    /// first. With --until, only alerts before that moment count.
    History(History),
    /// List incidents, the one that changed last first
    ///
    /// An incident is a named problem on a topic, which alerts report with a name. With -q, nothing is printed, and the exit
    /// status is 0 if there is no such incident and 10 if there is one.
    Incidents(Incidents),
    #[command(flatten)]
    Change(Change),
    /// Take an alert back: its content is removed from wherever alertd has it
    ///
    /// For a secret that was published by mistake, say. Subscribers are told with an event that has the id of the alert, but
    /// whoever received the alert still has it, and so do backups, the journal if alerts are mirrored to it, and the
    /// append-only file of Redis. It needs a key of the user who published the alert, or one with the scope admin, or the
    /// control socket. Repeating it changes nothing.
    Retract(Retract),
    /// Say how often something is expected on a topic, and be told if it does not come
    ///
    /// If no alert is published on the topic for that long, alertd publishes one there. When the sender is back, it publishes
    /// another one, of level info. Each alert on the topic counts, whatever way it comes in, but not those of alertd itself.
    /// An expectation that exists already is changed, and its time begins anew.
    Expect(Expect),
    /// Show the state of the daemon
    Status(Status),
    /// Check and show the configuration
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
    /// Make the daemon reload its configuration, keys and certificates
    ///
    /// Waits for the result. If the new configuration is invalid, the daemon keeps the current one, and alertctl prints the
    /// reasons and exits with status 78. Works only on the control socket.
    Reload,
    /// Say what is wrong with the daemon of this machine, and what to do about it
    ///
    /// Checks the units and their sockets, the last failed start, drop-ins that contradict the configuration, the
    /// configuration itself, the certificate, owners and modes of files, the disk, the port, file descriptors, the clock,
    /// and keys that expire within 14 days. It changes nothing and starts nothing. Run it as root; otherwise it skips
    /// what it may not read, and says so.
    ///
    /// Exits with 0 if nothing is wrong, with 10 if there are only warnings, and with 20 if there are faults.
    Doctor(Doctor),
    /// End all streams in an orderly way before maintenance, and wait until none are left
    ///
    /// The daemon keeps running, and publishing still works. From now on /readyz says no, so that load balancers use other
    /// nodes, and new streams are answered with 503 and Retry-After. Open streams end evenly over the given time, each with
    /// the event bye and the reason drain; clients reconnect elsewhere and continue after their last alert. If the command
    /// is repeated, the time begins anew for the streams that are left. `alertctl undrain` ends the drain, and so does a
    /// restart of the daemon.
    ///
    /// Exits with 1 if streams are left ten seconds after that time. Works only on the control socket.
    Drain(Drain),
    /// End the drain: new streams are accepted again, and /readyz says yes
    ///
    /// Clients that have reconnected elsewhere stay there until they or a load balancer change that. Works only on the
    /// control socket.
    Undrain,
    /// Write a backup of the log and the keys to a file
    ///
    /// The daemon keeps running. The backup has everything that was stored when it began, exactly up to the id that is
    /// printed at the end, and all keys (their hashes, not the secrets). Keep the file as safe as the store. The backup
    /// replaces FILE only when it is complete. If no daemon runs on this machine, alertctl reads the store directly. Damaged
    /// alerts are left out, and readers of a log that is restored from such a backup get a gap. A backup of a fleet is read
    /// from its Redis. Each backup can be restored into either engine.
    ///
    /// Works only on the control socket.
    Backup(Backup),
    /// Replace the log and the keys of a stopped daemon by a backup
    ///
    /// The service and its sockets must be stopped; otherwise the command refuses and says how to stop them. The former log
    /// and keys are kept beside the restored ones, as log.replaced and auth.json.replaced. Ids, cursors and idempotency keys stay valid. A
    /// subscriber that had newer alerts than the backup gets a gap.
    ///
    /// For a fleet, every node must be stopped. Alerts and keys in its Redis are replaced only with --replace.
    Restore(Restore),
    /// Verify a backup, or the store of a stopped daemon
    ///
    /// Reads the whole backup or store, changes nothing, prints each damaged place, and exits with 65 if there is one.
    /// Without FILE, it verifies the log and the keys of this machine; the service and its sockets must be stopped.
    Check(Check),
    /// Tell the daemon whether it is being restarted; for ExecStop= of its unit
    #[command(hide = true)]
    UnitStopping {
        /// Name of the unit
        unit: String,
    },
    /// Close the streams of a daemon that has failed; for ExecStopPost= of its unit
    #[command(hide = true)]
    UnitStopped,
    /// Print the completion script of a shell
    #[command(
        after_long_help = "Examples:\n  alertctl completions bash > ~/.local/share/bash-completion/completions/alertctl"
    )]
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print completion candidates, one per line
    #[command(hide = true)]
    Complete {
        /// Kind of candidates
        what: Candidates,
        /// Words of the command line after the program's name, up to the one to complete
        #[arg(last = true)]
        line: Vec<String>,
    },
    /// Write the man pages to a directory
    #[command(hide = true)]
    Man {
        /// Directory, which must exist
        dir: PathBuf,
    },
}

/// What `alertctl complete` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Candidates {
    /// Topics that have alerts
    Topics,
    /// Users that have keys
    Users,
    /// Ids of keys
    Keys,
    /// Everything that the last word of the given command line may be
    Line,
}

/// `alertctl config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check the configuration without contacting the daemon; reports all errors and exits with status 78
    Check,
    /// Show every setting and its source, as alertd would find them at a start
    ///
    /// Reads the file and the environment of this command, not the running daemon, which uses the values of its last start
    /// or reload.
    Show,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_definition() {
        Ctl::command().debug_assert();
    }

    #[test]
    fn a_hyphen_is_a_message_and_options_may_stand_anywhere() {
        let ctl = Ctl::try_parse_from(["alertctl", "publish", "-t", "a", "-", "--url", "http://h"]).unwrap();
        assert_eq!(ctl.daemon.url.as_deref(), Some("http://h"));
        let Command::Publish(publish) = ctl.command else { panic!() };
        assert_eq!((publish.message.as_deref(), publish.topic.as_str()), (Some("-"), "a"));
        let ctl = Ctl::try_parse_from(["alertctl", "publish", "--", "--url"]).unwrap();
        let Command::Publish(publish) = ctl.command else { panic!() };
        assert_eq!(publish.message.as_deref(), Some("--url"));
        let ctl = Ctl::try_parse_from(["alertctl", "publish", "-t", "a"]).unwrap();
        let Command::Publish(publish) = ctl.command else { panic!() };
        assert_eq!(publish.message, None);
    }

    #[test]
    fn the_long_help_of_tail_states_its_guarantee() {
        let mut ctl = Ctl::command();
        let help = ctl.find_subcommand_mut("tail").unwrap().render_long_help().to_string();
        assert!(help.contains("at least once") && help.contains("ALERT_METADATA"), "{help}");
    }

    #[test]
    fn wrong_values_are_usage_errors() {
        for line in [
            &["tail", "a b"][..],
            &["tail", "-l", "fatal"],
            &["tail", "--count", "0"],
            &["tail", "-n", "1", "--since", "all"],
            &["history", "--until", "tomorrow"],
            &["tail", "--json", "--exec", "x"],
            &["publish", "-m", "novalue", "x"],
            &["key", "add", "alice", "--scope", "root"],
            &["key", "add", "alice", "--expires", "0d"],
            &["history", "-n", "x"],
            &["nothing"],
        ] {
            let line: Vec<&str> = ["alertctl"].into_iter().chain(line.iter().copied()).collect();
            assert_eq!(Ctl::try_parse_from(&line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
