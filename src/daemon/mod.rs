//! The daemon: composes all layers, and runs the process from start to stop.
//!
//! | file | owns |
//! |---|---|
//! | [`running`] | start, wait and stop of everything that serves |
//! | [`listeners`] | the listening sockets |
//! | [`stores`] | the log of alerts and the keys |
//! | [`shared_keys`] | the keys of a fleet, and the task that follows their changes |
//! | [`preflight`] | the check of a configuration before it is used |
//! | [`reload`] | a new configuration in a running process |
//! | [`settings`] | the settings of each layer, from the configuration |
//! | [`secret`] | secrets that the configuration refers to |
//! | [`takeover`] | streams that one process leaves to the next |
//! | [`watchdog`] | the check that all workers make progress |
//!
//! The configuration is checked before logging starts, so that its errors are on standard error. They have their own exit
//! code.

mod listeners;
mod preflight;
mod reload;
mod running;
mod secret;
mod settings;
mod shared_keys;
mod stores;
mod takeover;
mod watchdog;

pub(crate) use preflight::{Checked, check};
pub(crate) use settings::redis_outside;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::args::DaemonArgs;
use crate::config::{self, Inputs, Resolved};
use crate::disk::Cause;
use crate::engine::embedded::OpenError;
use crate::engine::{Clock, redis};
use crate::http::listen::ListenError;
use crate::http::tls::{Tls, TlsError};
use crate::keyring::KeyringError;
use crate::log::{self, Event, LogError};
use crate::service::GitHub;
use crate::supervisor;
use crate::systemd::{Inherited, InheritedError, Notifier, PassedToAnother};
use running::Running;
use secret::SecretError;
use takeover::Inheritance;

/// The two workers that still run when the process exits.
const MAIN: &str = "main";
const LOG: &str = "alertd-log";

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each wraps the error of one layer")]
pub enum Failure {
    #[error("the configuration has errors:\n{0}")]
    Config(#[from] config::Errors),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot listen on {address}: {reason}")]
    PassedToAnother { address: String, reason: String },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

impl Failure {
    /// The exit code: 65 (`EX_DATAERR`) for a store or key file that is damaged or not alertd's, 78 (`EX_CONFIG`) for
    /// configuration, owners and modes. Only a person can help with these, so the unit tells systemd not to restart.
    #[must_use]
    pub fn code(&self) -> u8 {
        let cause = match self {
            Self::Config(_) | Self::Tls(_) | Self::Secret(_) | Self::Inherited(_) | Self::PassedToAnother { .. } => {
                Cause::Access
            }
            Self::Store(error) => error.cause(),
            Self::Keys(error) => error.cause(),
            _ => Cause::Temporary,
        };
        match cause {
            Cause::Contents => 65,
            Cause::Access => 78,
            Cause::Temporary => 1,
        }
    }

    /// Tells the service manager why the daemon does not start or has ended, and writes it to the journal if standard
    /// error is connected to it. Returns false if it is not; then the program prints the failure.
    #[must_use]
    pub fn report(&self) -> bool {
        let reason = self.one_line();
        Notifier::default().status(&format!("cannot start: {reason}"));
        log::start_failed(&reason, std::env::var_os("JOURNAL_STREAM"))
    }

    /// Several mistakes of a configuration are several lines on a terminal, but the journal and the status have one line,
    /// which a search finds whole.
    fn one_line(&self) -> String {
        self.to_string().trim_end().replace(":\n", ": ").replace('\n', "; ")
    }
}

/// Everything that a start needs, read and checked.
struct Setup {
    inputs: Inputs,
    resolved: Resolved,
    inherited: Inherited,
    inheritance: Inheritance,
    tls: Option<Arc<Tls>>,
    fleet: Option<redis::Settings>,
    github: Option<GitHub>,
}

/// Runs the daemon until a signal stops it. With `--check` it only checks the configuration, and returns remarks about it
/// for the program to print.
///
/// # Errors
/// [`Failure`], which the program prints.
pub fn run(args: DaemonArgs) -> Result<Vec<String>, Failure> {
    let passed_to_another = PassedToAnother::from_environment();
    // Before other threads start, because it changes the environment, which they may not read at the same time.
    let (stored, inherited) = Inherited::take(std::env::var("LISTEN_FDNAMES").ok());
    // From here on every failure ends the streams that were stored.
    let inheritance = Inheritance::take(stored);
    let inputs = Inputs::from_process(args.config);
    if args.check {
        return Ok(check(&inputs)?.remarks);
    }
    let resolved = config::load(&inputs)?;
    let files = secret::certificate_files(&resolved.config, &inputs, None)?;
    let tls = files.map(|(cert, key)| Tls::load(&cert, &key)).transpose()?.map(Arc::new);
    let fleet = settings::redis(&resolved.config, &inputs)?;
    let github = settings::github(&resolved.config, &inputs)?;
    let inherited = inherited?;
    supervisor::start();
    let log_settings = settings::log(&resolved.config, std::env::var_os("JOURNAL_STREAM"));
    let log = log::start(log_settings, |write| supervisor::essential_thread(LOG, write).map(drop))?;
    if let Some(ignored) = resolved.ignored() {
        tracing::info!("{ignored}");
    }
    let too_many =
        preflight::own_descriptors().and_then(|limit| preflight::too_many_connections(&resolved.config, limit));
    for warning in resolved.warnings.iter().chain(&too_many) {
        tracing::warn!("{warning}");
    }
    if let Some(reason) = &passed_to_another {
        tracing::warn!("{reason}");
    }
    for name in &inherited.unknown {
        takeover::forget(name);
        tracing::warn!(
            message_id = %Event::DescriptorUnknown,
            name,
            "systemd passed a descriptor named {name:?}, which alertd does not know and has closed"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("alertd").build()?;
    let setup = Setup { inputs, resolved, inherited, inheritance, tls, fleet, github };
    let ended = runtime.block_on(supervisor::supervise(MAIN, Box::pin(serve(setup, &log))));
    log.flush();
    // With a time limit, because a blocking task may hang.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match (ended, passed_to_another) {
        // systemd itself holds the address: "another program uses it" would send people the wrong way.
        (Err(Failure::Listen(error)), Some(reason)) => {
            Err(Failure::PassedToAnother { address: error.address(), reason: reason.to_string() })
        }
        (ended, _) => ended.map(|()| Vec::new()),
    }
}

async fn serve(setup: Setup, log: &log::Handle) -> Result<(), Failure> {
    match Running::start(setup).await {
        Ok(mut running) => {
            running.wait(log).await;
            running.stop().await;
            Ok(())
        }
        Err(failure) => {
            // From here on, the end of a worker is expected.
            supervisor::stopping();
            Err(failure)
        }
    }
}

/// The system's clock, which other layers get as a parameter.
#[must_use]
pub(crate) fn wall_clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}
