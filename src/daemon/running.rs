//! The running daemon: start, wait, stop.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::listeners::Listeners;
use super::reload::Reloader;
use super::stores::Stores;
use super::watchdog::Watchdog;
use super::{Failure, Setup, settings, wall_clock};
use crate::delivery::Delivery;
use crate::engine::{Clock, Engine, Feed, redis};
use crate::http::serve::Server;
use crate::hub::Hub;
use crate::log::{self, Event};
use crate::service::{ReloadRequest, Service};
use crate::sse::Bye;
use crate::supervisor;
use crate::systemd::Notifier;

/// How long open requests may take to finish when the daemon stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the engine may take to write the alerts that it has accepted.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each of the other stages of a stop may take.
const STAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// A daemon that serves requests.
pub(super) struct Running {
    signals: Signals,
    notifier: Notifier,
    engine: Engine,
    hub: Hub,
    delivery: Arc<Delivery>,
    service: Arc<Service>,
    server: Arc<Server>,
    watchdog: Watchdog,
    reloader: Reloader,
    reloads: mpsc::Receiver<ReloadRequest>,
    /// Paths of sockets to remove.
    bound: Vec<PathBuf>,
    /// The reason that streams get when the daemon stops.
    bye: Bye,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Running {
    /// Starts all parts and then tells the service manager that the daemon is ready. The sockets are opened first, so that
    /// no connection is refused while the store opens.
    pub(super) async fn start(setup: Setup) -> Result<Self, Failure> {
        let Setup { inputs, resolved, inherited, tls, fleet, github } = setup;
        let (signals, notifier, config) = (Signals::new()?, Notifier::default(), &resolved.config);
        // Sockets of systemd remain open, so clients that reconnect wait there for the next start.
        let bye = if inherited.has_http() { Bye::Restart } else { Bye::Stop };
        let listeners = Listeners::open(&resolved, inherited)?;
        let listening = listeners.listening();
        let addresses = listening.addresses.join(",");
        let fleet = fleet.map(|fleet| redis::Settings { node: listeners.node(), ..fleet });
        let (stale_max, stale) = watch::channel(config.auth.stale_max);
        let stores = Stores::open(config, fleet, &wall_clock(), stale, &notifier).await?;
        let Stores { engine, feed, keyring, clock, location } = stores;
        let hub = Hub::new(settings::hub(config), engine.head().unwrap_or_default());
        supervisor::essential("feed", feed_hub(feed, hub.clone()));

        let http = Arc::new(ArcSwap::from_pointee(settings::http(config)));
        let (reload, reloads) = mpsc::channel(8);
        let settings = settings::service(&resolved, github, listening.clone());
        let delivery = Arc::new(start_delivery(&engine, &hub, &clock)?);
        let service = Service::new(
            engine.clone(),
            hub.clone(),
            Arc::clone(&keyring),
            Arc::clone(&delivery),
            settings,
            clock,
            reload,
        );
        let service = Arc::new(service);
        let server = Server::new(Arc::clone(&service), Arc::clone(&http), tls.clone(), config.http.max_connections);
        let bound = listeners.serve(&server);

        tracing::info!(
            message_id = %Event::Started,
            http = addresses,
            head = %engine.head().unwrap_or_default(),
            "alertd {} listening on {addresses}, {} and {}; {location}, {} keys; configuration {}",
            env!("CARGO_PKG_VERSION"),
            config.control_socket.display(),
            config.publish_socket.display(),
            keyring.len(),
            resolved.file.as_ref().map_or("defaults only".into(), |file| file.display().to_string()),
        );
        notifier.ready(&format!("listening on {addresses}"));
        let watchdog =
            Watchdog::new(engine.clone(), &hub, Arc::clone(&service), Arc::clone(&delivery), &notifier, addresses);
        let reloader = Reloader {
            inputs,
            resolved,
            service: Arc::clone(&service),
            http,
            hub: hub.clone(),
            engine: engine.clone(),
            keyring,
            stale_max,
            tls,
            listening,
        };
        Ok(Self { signals, notifier, engine, hub, delivery, service, server, watchdog, reloader, reloads, bound, bye })
    }

    /// Handles reloads and feeds the watchdog, until a signal stops the daemon.
    pub(super) async fn wait(&mut self, log: &log::Handle) {
        let Self { signals, notifier, watchdog, reloader, reloads, .. } = self;
        let stopped = async {
            loop {
                tokio::select! {
                    _ = signals.terminate.recv() => break,
                    _ = signals.interrupt.recv() => break,
                    _ = signals.hangup.recv() => drop(reloader.reload(notifier, log).await),
                    Some(answer) = reloads.recv() => {
                        let reloaded = reloader.reload(notifier, log).await;
                        let _ = answer.send(reloaded);
                    }
                }
            }
            // Before the watchdog is dropped, because the supervisor would take that for a failure.
            supervisor::stopping();
        };
        // Both run in this task, which serves no requests, because a notification may block.
        tokio::select! {
            () = stopped => {}
            () = supervisor::supervise("watchdog", watchdog.run(notifier)) => {}
        }
    }

    /// Stops in stages, each with a time limit: streams get `bye`, requests finish, the engine writes the alerts it has
    /// accepted, the workers end. The log names connections and workers that do not end in time.
    pub(super) async fn stop(mut self) {
        tracing::info!(message_id = %Event::Stopping, "stopping");
        self.notifier.stopping();
        // Alerts that were answered with success are delivered before the bye, unless Redis is unavailable.
        let _ = tokio::time::timeout(STAGE_TIMEOUT, self.hub.reach(self.engine.head().unwrap_or_default())).await;
        self.service.drain(self.bye);
        tokio::select! {
            () = self.server.stop(DRAIN_TIMEOUT) => {}
            // A second signal ends the wait.
            _ = self.signals.terminate.recv() => {}
            _ = self.signals.interrupt.recv() => {}
        }
        let connections = self.server.unfinished();
        if connections > 0 {
            tracing::warn!(
                message_id = %Event::StopIncomplete,
                connections,
                "{connections} connections did not end in time and are cut"
            );
        }
        let delivery = Arc::clone(&self.delivery);
        let _ = tokio::time::timeout(STAGE_TIMEOUT, tokio::task::spawn_blocking(move || delivery.stop())).await;
        self.notifier.extend_timeout(CLOSE_TIMEOUT + 3 * STAGE_TIMEOUT);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.engine.close()).await;
        supervisor::abort_tasks();
        let workers = supervisor::unfinished(&[super::MAIN, super::LOG], STAGE_TIMEOUT).await.join(", ");
        if !workers.is_empty() {
            tracing::warn!(
                message_id = %Event::StopIncomplete,
                workers,
                "these workers did not end in time: {workers}"
            );
        }
        for path in self.bound {
            let _ = std::fs::remove_file(path);
        }
        tracing::info!("stopped");
    }
}

/// Starts one broadcast loop per processor.
fn start_delivery(engine: &Engine, hub: &Hub, clock: &Clock) -> std::io::Result<Delivery> {
    let loops = std::thread::available_parallelism().map_or(1, NonZero::get);
    Delivery::start(engine.clone(), hub.clone(), Arc::clone(clock), loops)
}

/// Moves alerts from the engine to the hub. No other code writes to the hub.
async fn feed_hub(mut feed: mpsc::Receiver<Feed>, hub: Hub) {
    while let Some(fed) = feed.recv().await {
        match fed {
            Feed::Alerts(alerts) => hub.deliver(&alerts),
            Feed::Reset(head) => hub.reset(head),
            Feed::Marker(marker) => hub.mark(marker),
        }
    }
}
