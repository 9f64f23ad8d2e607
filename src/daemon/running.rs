//! The running daemon: start, wait, stop.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::listeners::Listeners;
use super::reload::Reloader;
use super::stores::Stores;
use super::watchdog::Watchdog;
use super::{Failure, Setup, settings, takeover, wall_clock};
use crate::alert::Id;
use crate::config::Resolved;
use crate::delivery::Delivery;
use crate::engine::{Clock, Engine, Feed, redis};
use crate::http::serve::Server;
use crate::hub::Hub;
use crate::log::{self, Event};
use crate::service::{Actor, ReloadRequest, Service};
use crate::sse::Bye;
use crate::supervisor;
use crate::systemd::{self, Notifier};

/// How long open requests may take to finish when the daemon stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The same before a restart.
const RESTART_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the engine may take to write the alerts that it has accepted.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Signals within this time are one.
const SAME_SIGNAL: Duration = Duration::from_millis(300);
/// How long each of the other stages of a stop may take.
const STAGE_TIMEOUT: Duration = Duration::from_secs(1);

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
    bound: Vec<PathBuf>,
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

    /// Waits for another signal, which asks for an immediate stop. One that comes together with the first does not
    /// count: Ctrl-C reaches a daemon and the script that started it, and the script sends a signal too.
    async fn again(&mut self) {
        let first = Instant::now();
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            if first.elapsed() > SAME_SIGNAL {
                return;
            }
        }
    }
}

impl Running {
    /// Starts all parts and then tells the service manager that the daemon is ready. The sockets are opened first, so that
    /// no connection is refused while the store opens.
    pub(super) async fn start(setup: Setup) -> Result<Self, Failure> {
        let Setup { inputs, resolved, inherited, mut inheritance, tls, fleet, github } = setup;
        let (signals, notifier, config) = (Signals::new()?, Notifier::default(), &resolved.config);
        let listeners = Listeners::open(&resolved, inherited)?;
        let listening = listeners.listening();
        let addresses = listening.addresses.join(",");
        let fleet = fleet.map(|fleet| redis::Settings { node: listeners.node(), ..fleet });
        let (stale_max, stale) = watch::channel(config.auth.stale_max);
        let clock = wall_clock();
        let stores = {
            let mut opening = std::pin::pin!(Stores::open(config, fleet, &clock, stale, &notifier));
            tokio::select! {
                stores = opening.as_mut() => stores?,
                () = inheritance.expire() => opening.await?,
            }
        };
        let Stores { engine, feed, keyring, clock, location } = stores;
        let hub = Hub::new(settings::hub(config), engine.head().unwrap_or_default());

        let http = Arc::new(ArcSwap::from_pointee(settings::http(config)));
        let (reload, reloads) = mpsc::channel(8);
        let settings = settings::service(&resolved, github, listening.clone(), tls.as_deref());
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
        supervisor::essential("feed", feed_hub(feed, hub.clone(), Arc::clone(&service)));
        supervisor::essential("expectations", Arc::clone(&service).watch_topics());
        service.note_certificate();
        let server = Server::new(Arc::clone(&service), Arc::clone(&http), tls.clone());
        // Before new clients, and before the service manager is told that it is ready.
        inheritance.continue_all(&service, &server).await;
        let bound = listeners.serve(&server);

        let head = engine.head().unwrap_or_default();
        log_start(&resolved, &addresses, &format!("{location}, {} keys", keyring.len()), head);
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
        Ok(Self { signals, notifier, engine, hub, delivery, service, server, watchdog, reloader, reloads, bound })
    }

    /// Handles reloads and feeds the watchdog, until a signal stops the daemon.
    pub(super) async fn wait(&mut self, log: &log::Handle) {
        let Self { signals, notifier, watchdog, reloader, reloads, .. } = self;
        let stopped = async {
            loop {
                tokio::select! {
                    _ = signals.terminate.recv() => break,
                    _ = signals.interrupt.recv() => break,
                    _ = signals.hangup.recv() => drop(reloader.reload(&Actor::Signal, notifier, log).await),
                    Some(ReloadRequest { by, answer }) = reloads.recv() => {
                        let reloaded = reloader.reload(&by, notifier, log).await;
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

    /// Stops in stages, each with a time limit: streams get `bye` or are left to the next process, requests finish, the engine
    /// writes the alerts it has accepted, the workers end. The log names connections and workers that do not end in time.
    pub(super) async fn stop(mut self) {
        let is_restart = systemd::is_restart(&self.reloader.resolved.config.control_socket);
        tracing::info!(message_id = %Event::Stopping, is_restart, "stopping");
        self.notifier.stopping();
        if is_restart {
            self.leave_streams().await;
        } else {
            self.end_streams().await;
            self.close_engine().await;
        }
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
        self.service.settle_log();
        tracing::info!("stopped");
    }
}

impl Running {
    async fn end_streams(&mut self) {
        self.reach_head().await;
        self.service.drain(Bye::Stop);
        tokio::select! {
            () = self.server.stop(DRAIN_TIMEOUT) => {}
            () = self.signals.again() => {}
        }
        self.log_unfinished(self.server.unfinished());
        let delivery = Arc::clone(&self.delivery);
        let _ = tokio::time::timeout(STAGE_TIMEOUT, tokio::task::spawn_blocking(move || delivery.stop())).await;
    }

    /// Ends all requests, and leaves the streams to the next process. The streams run until everything else has ended,
    /// so that the pause is short.
    async fn leave_streams(&mut self) {
        self.reach_head().await;
        self.delivery.leave();
        tokio::select! {
            () = self.server.stop_requests(RESTART_DRAIN_TIMEOUT) => {}
            () = self.signals.again() => {}
        }
        self.log_unfinished(self.server.unfinished_requests());
        self.reach_head().await;
        self.close_engine().await;
        let streams = self.delivery.suspend().await;
        let delivery = Arc::clone(&self.delivery);
        let left = tokio::task::spawn_blocking(move || takeover::leave(streams, &delivery)).await;
        debug_assert!(left.is_ok(), "leaving streams panicked");
    }

    /// Waits until alerts that were answered are delivered, unless Redis cannot be reached.
    async fn reach_head(&self) {
        let _ = tokio::time::timeout(STAGE_TIMEOUT, self.hub.reach(self.engine.head().unwrap_or_default())).await;
    }

    async fn close_engine(&self) {
        self.notifier.extend_timeout(CLOSE_TIMEOUT + 4 * STAGE_TIMEOUT);
        let _ = tokio::time::timeout(STAGE_TIMEOUT, self.service.settle_expectations()).await;
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.engine.close()).await;
    }

    fn log_unfinished(&self, connections: usize) {
        if connections > 0 {
            tracing::warn!(
                message_id = %Event::StopIncomplete,
                connections,
                "{connections} connections did not end in time and are cut"
            );
        }
    }
}

fn log_start(resolved: &Resolved, listening: &str, stores: &str, head: Id) {
    tracing::info!(
        message_id = %Event::Started,
        http = listening,
        head = %head,
        "alertd {} listening on {listening}, {} and {}; {stores}; configuration {}",
        env!("CARGO_PKG_VERSION"),
        resolved.config.control_socket.display(),
        resolved.config.publish_socket.display(),
        resolved.file.as_ref().map_or("defaults only".into(), |file| file.display().to_string()),
    );
}

/// Starts one broadcast loop per processor.
fn start_delivery(engine: &Engine, hub: &Hub, clock: &Clock) -> std::io::Result<Delivery> {
    let loops = std::thread::available_parallelism().map_or(1, NonZero::get);
    Delivery::start(engine.clone(), hub.clone(), Arc::clone(clock), loops)
}

/// Moves alerts from the engine to the hub, and tells the service of them. No other code writes to the hub.
async fn feed_hub(mut feed: mpsc::Receiver<Feed>, hub: Hub, service: Arc<Service>) {
    while let Some(fed) = feed.recv().await {
        match fed {
            Feed::Alerts(alerts) => {
                hub.deliver(&alerts);
                service.heard(&alerts);
            }
            Feed::Reset(head) => {
                hub.reset(head);
                service.heard_gap();
            }
            Feed::Marker(marker) => hub.mark(marker),
        }
    }
}
