//! The life of the process, on one page: configuration, sockets, engine, keys, hub, service, HTTP, and the end.
//!
//! Called by the program `alertd` alone. Sockets are taken before anything slow, so nobody is refused while the store
//! opens; READY is said when all of it works; at the end streams are told why before the engine closes.

mod doors;
mod reload;
mod secret;
mod settings;
mod shared_keys;
mod stores;
mod watchdog;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::args::DaemonArgs;
use crate::config::{self, Inputs, Resolved};
use crate::engine::embedded::OpenError;
use crate::engine::redis::{self};
use crate::engine::{Clock, Feed};
use crate::http::listen::ListenError;
use crate::http::serve::Server;
use crate::http::tls::{Tls, TlsError};
use crate::hub::Hub;
use crate::keyring::KeyringError;
use crate::log::{self, Event, LogError};
use crate::service::{GitHub, Service};
use crate::sse::Bye;
use crate::systemd::{Inherited, InheritedError, Notifier};
use doors::Doors;
use reload::Reloader;
use secret::SecretError;
use stores::Stores;
use watchdog::Watchdog;

/// How long requests may go on once the end has begun.
const DRAIN: Duration = Duration::from_secs(10);

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
    /// The exit code: 78 where only another configuration helps, which systemd is told not to retry.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Tls(_) | Self::Secret(_) | Self::Inherited(_) => 78,
            _ => 1,
        }
    }
}

/// Runs the daemon until it is told to stop. With `--check` it only validates.
///
/// # Errors
/// [`Failure`]; it is for the program to print.
pub fn run(args: DaemonArgs) -> Result<(), Failure> {
    // First, because it changes the environment, and no other thread may run by then.
    let inherited = Inherited::take(std::env::var("LISTEN_FDNAMES").ok());
    let inputs = Inputs::from_process(args.config);
    let resolved = config::load(&inputs)?;
    let tls = resolved.config.http.tls().map(|(cert, key)| Tls::load(cert, key)).transpose()?;
    let fleet = settings::redis(&resolved.config, &inputs)?;
    let github = settings::github(&resolved.config, &inputs)?;
    if args.check {
        return Ok(());
    }
    let inherited = inherited?;
    let log = log::start(settings::log(&resolved.config, std::env::var_os("JOURNAL_STREAM")))?;
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("alertd").build()?;
    let ended = runtime.block_on(serve(inputs, resolved, inherited, tls.map(Arc::new), fleet, github, &log));
    log.flush();
    // A blocking task that hangs must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(
    inputs: Inputs,
    resolved: Resolved,
    inherited: Inherited,
    tls: Option<Arc<Tls>>,
    fleet: Option<redis::Settings>,
    github: Option<GitHub>,
    log: &log::Handle,
) -> Result<(), Failure> {
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let notifier = Notifier::default();
    let config = &resolved.config;

    let under_systemd = inherited.has_http();
    let doors = Doors::open(&resolved, inherited)?;
    let listening = doors.addresses();
    let fleet = fleet.map(|fleet| redis::Settings { node: doors.node(), ..fleet });
    let (stale_max, stale) = watch::channel(config.auth.stale_max);
    let Stores { engine, feed, keyring, clock, place } =
        Stores::open(config, fleet, &wall_clock(), stale, &notifier).await?;
    let hub = Hub::new(settings::hub(config), engine.head());
    let feeding = tokio::spawn(feed_hub(feed, hub.clone()));

    let http_settings = Arc::new(ArcSwap::from_pointee(settings::http(config)));
    let (reload, mut reloads) = mpsc::channel(8);
    let service_settings = settings::service(&resolved, github);
    let service =
        Service::new(engine.clone(), hub.clone(), Arc::clone(&keyring), service_settings, Arc::clone(&clock), reload);
    let service = Arc::new(service);
    let connections = config.http.max_connections;
    let server = Server::new(Arc::clone(&service), Arc::clone(&http_settings), tls.clone(), connections)?;
    let bound = doors.serve(&server);

    tracing::info!(
        message_id = %Event::Started,
        http = listening,
        head = %engine.head(),
        "alertd {} listening on {listening}, {} and {}; {place}, {} keys; configuration {}",
        env!("CARGO_PKG_VERSION"),
        config.control_socket.display(),
        config.publish_socket.display(),
        keyring.len(),
        resolved.file.as_ref().map_or("built in".into(), |file| file.display().to_string()),
    );
    notifier.ready(&format!("listening on {listening}"));

    let mut watchdog =
        Watchdog::new(engine.clone(), &hub, Arc::clone(&service), Arc::clone(&server), &notifier, listening);
    let mut reloader = Reloader {
        inputs,
        resolved,
        service: Arc::clone(&service),
        http: http_settings,
        hub: hub.clone(),
        engine: engine.clone(),
        keyring,
        stale_max,
        tls,
    };
    loop {
        tokio::select! {
            _ = stop.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => drop(reloader.reload(&notifier, log).await),
            Some(answer) = reloads.recv() => {
                let reloaded = reloader.reload(&notifier, log).await;
                let _ = answer.send(reloaded);
            }
            () = watchdog.look(&notifier) => {}
        }
    }

    tracing::info!(message_id = %Event::Stopping, "stopping");
    notifier.stopping();
    // What was answered goes out before the goodbye, unless a Redis that is away keeps it.
    let _ = tokio::time::timeout(Duration::from_secs(1), hub.reach(engine.head())).await;
    // Sockets that systemd holds stay open, so whoever comes back waits there for the next start.
    service.drain(if under_systemd { Bye::Restart } else { Bye::Stop });
    let all_done = tokio::select! {
        done = server.stop(DRAIN) => done,
        // The second time means now.
        _ = stop.recv() => false,
        _ = interrupt.recv() => false,
    };
    if !all_done {
        tracing::warn!("some connections did not end in time and are cut");
    }
    notifier.extend_timeout(DRAIN);
    engine.close().await;
    feeding.abort();
    for path in bound {
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("stopped");
    Ok(())
}

/// The only place that feeds the hub.
async fn feed_hub(mut feed: mpsc::Receiver<Feed>, hub: Hub) {
    while let Some(fed) = feed.recv().await {
        match fed {
            Feed::Alerts(alerts) => hub.deliver(&alerts),
            Feed::Reset(head) => hub.reset(head),
            Feed::Marker(marker) => hub.mark(marker),
        }
    }
}

/// The real clock, for everything below.
#[must_use]
pub(crate) fn wall_clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}
