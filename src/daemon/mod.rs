//! The life of the process, on one page: configuration, sockets, engine, keys, hub, service, HTTP, and the end.
//!
//! Called by the program `alertd` alone. Sockets are taken before anything slow, so nobody is refused while the store
//! opens; READY is said when all of it works; at the end streams are told why before the engine closes.

mod reload;
mod secret;
mod settings;
mod watchdog;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::args::DaemonArgs;
use crate::config::{self, Inputs, Resolved, Source};
use crate::engine::embedded::{Embedded, OpenError};
use crate::engine::redis::{self, Redis};
use crate::engine::{Clock, Engine, Feed};
use crate::http::Door;
use crate::http::listen::{self, ListenError};
use crate::http::serve::Server;
use crate::http::tls::{Tls, TlsError};
use crate::hub::Hub;
use crate::keyring::{Keyring, KeyringError};
use crate::log::{self, LogError};
use crate::service::Service;
use crate::sse::Bye;
use crate::systemd::{Inherited, InheritedError, Notifier};
use reload::Reloader;
use secret::SecretError;
use watchdog::Watchdog;

/// How long requests may go on once the end has begun.
const DRAIN: Duration = Duration::from_secs(10);
/// A slow start says so as often, and asks for three times as long.
const PATIENCE: Duration = Duration::from_secs(5);

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
    if args.check {
        return Ok(());
    }
    let inherited = inherited?;
    let log = log::start(settings::log(&resolved.config, std::env::var_os("JOURNAL_STREAM")))?;
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("alertd").build()?;
    let ended = runtime.block_on(serve(inputs, resolved, inherited, tls.map(Arc::new), fleet, &log));
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
    log: &log::Handle,
) -> Result<(), Failure> {
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let notifier = Notifier::default();
    let clock = wall_clock();
    let config = &resolved.config;

    let under_systemd = inherited.has_http();
    let doors = Doors::open(&resolved, inherited)?;
    let listening = doors.addresses();
    let fleet = fleet.map(|fleet| redis::Settings { node: doors.node(), ..fleet });
    let Stores { engine, feed, keyring, place } = Stores::open(config, fleet, &clock, &notifier).await?;
    let hub = Hub::new(settings::hub(config), engine.head());
    let feeding = tokio::spawn(feed_hub(feed, hub.clone()));

    let http_settings = Arc::new(ArcSwap::from_pointee(settings::http(config)));
    let (reload, mut reloads) = mpsc::channel(8);
    let keyring = Arc::new(keyring);
    let service_settings = settings::service(&resolved);
    let service =
        Service::new(engine.clone(), hub.clone(), Arc::clone(&keyring), service_settings, Arc::clone(&clock), reload);
    let service = Arc::new(service);
    let connections = config.http.max_connections;
    let server = Server::new(Arc::clone(&service), Arc::clone(&http_settings), tls.clone(), connections)?;
    let bound = doors.serve(&server);

    tracing::info!(
        message_id = "started",
        http = listening,
        control = %config.control_socket.display(),
        keys = keyring.len(),
        head = %engine.head(),
        version = env!("CARGO_PKG_VERSION"),
        "alertd {} listening on {listening}, {} and {}; alerts in {place}, {} keys; configuration {}",
        env!("CARGO_PKG_VERSION"),
        config.control_socket.display(),
        config.publish_socket.display(),
        keyring.len(),
        resolved.file.as_ref().map_or("built in".into(), |file| file.display().to_string()),
    );
    notifier.ready(&format!("listening on {listening}"));

    let mut watchdog = Watchdog::new(engine.clone(), &hub, Arc::clone(&service), &notifier, listening);
    let mut reloader = Reloader {
        inputs,
        resolved,
        service: Arc::clone(&service),
        http: http_settings,
        hub,
        engine: engine.clone(),
        keyring,
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

    tracing::info!(message_id = "stopping", "stopping");
    notifier.stopping();
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

/// Alerts and keys.
struct Stores {
    engine: Engine,
    feed: mpsc::Receiver<Feed>,
    keyring: Keyring,
    /// Where the alerts are, in words.
    place: String,
}

impl Stores {
    /// Opens what lies on disk, away from the serving threads; after a crash a large log takes its time. A Redis is not
    /// waited for.
    async fn open(
        config: &config::Config,
        fleet: Option<redis::Settings>,
        clock: &Clock,
        notifier: &Notifier,
    ) -> Result<Self, Failure> {
        let (keys, runtime) = (settings::keyring(config), tokio::runtime::Handle::current());
        let embedded = settings::embedded(config, Arc::clone(clock));
        let mut opening = tokio::task::spawn_blocking(move || {
            let keyring = Keyring::open(&keys)?;
            let (place, (engine, feed)) = match fleet {
                Some(fleet) => {
                    let _inside = runtime.enter();
                    let (redis, feed) = Redis::start(fleet.clone());
                    (fleet.topology.to_string(), (Engine::Redis(redis), feed))
                }
                None => {
                    let place = embedded.directory.display().to_string();
                    let (embedded, feed) = Embedded::open(embedded)?;
                    (place, (Engine::Embedded(embedded), feed))
                }
            };
            Ok::<_, Failure>(Self { engine, feed, keyring, place })
        });
        loop {
            tokio::select! {
                opened = &mut opening => return opened.map_err(|e| Failure::Io(std::io::Error::other(e)))?,
                () = tokio::time::sleep(PATIENCE) => {
                    tracing::info!("the store is being opened; after a crash this takes its time");
                    notifier.extend_timeout(3 * PATIENCE);
                }
            }
        }
    }
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

/// The listening sockets.
struct Doors {
    http: Vec<TcpListener>,
    http_unix: Vec<UnixListener>,
    control: UnixListener,
    publish: UnixListener,
    /// Paths that were made here, and go at the end.
    bound: Vec<PathBuf>,
}

impl Doors {
    fn open(resolved: &Resolved, inherited: Inherited) -> Result<Self, Failure> {
        let config = &resolved.config;
        let http = if inherited.has_http() {
            inherited.http.into_iter().map(listen::adopt_tcp).collect::<Result<Vec<_>, _>>()?
        } else {
            config.http.listen.iter().map(|address| listen::tcp(*address)).collect::<Result<Vec<_>, _>>()?
        };
        let http_unix = inherited.http_unix.into_iter().map(listen::adopt_unix).collect::<Result<Vec<_>, _>>()?;
        let mut bound = Vec::new();
        let mut unix = |inherited, path: &PathBuf| match inherited {
            Some(listener) => Ok::<_, Failure>(listen::adopt_unix(listener)?),
            None => {
                bound.push(path.clone());
                Ok(listen::unix(path)?)
            }
        };
        let control = unix(inherited.control, &config.control_socket)?;
        let publish = unix(inherited.publish, &config.publish_socket)?;
        let doors = Self { http, http_unix, control, publish, bound };
        let (asked, has) =
            (&config.http.listen, doors.http.iter().filter_map(|l| l.local_addr().ok()).collect::<Vec<_>>());
        if resolved.source("http.listen").is_some_and(|source| *source != Source::Default)
            && !asked.iter().all(|address| has.contains(address) || address.port() == 0)
        {
            tracing::warn!(
                configured = ?asked, passed = ?has,
                "http.listen differs from the sockets that systemd passed, which are used: set ListenStream= in alertd.socket"
            );
        }
        Ok(doors)
    }

    /// Where requests with keys are taken, as people write it.
    fn addresses(&self) -> String {
        let tcp = self.http.iter().filter_map(|listener| Some(listener.local_addr().ok()?.to_string()));
        let unix = self
            .http_unix
            .iter()
            .filter_map(|listener| Some(format!("unix:{}", listener.local_addr().ok()?.as_pathname()?.display())));
        tcp.chain(unix).collect::<Vec<_>>().join(",")
    }

    /// What a fleet calls this node: no two alertd have both the host and the port in common.
    fn node(&self) -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let port = self.http.first().and_then(|listener| Some(listener.local_addr().ok()?.port()));
        port.map_or_else(|| host.trim().to_owned(), |port| format!("{}:{port}", host.trim()))
    }

    fn serve(self, server: &Arc<Server>) -> Vec<PathBuf> {
        for listener in self.http {
            server.serve_tcp(listener);
        }
        for listener in self.http_unix {
            server.serve_proxy(listener);
        }
        server.serve_unix(self.control, Door::Control);
        server.serve_unix(self.publish, Door::Publish);
        self.bound
    }
}

/// The real clock, for everything below.
#[must_use]
pub fn wall_clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}
