//! The watchdog: sends a marker through the engine's writer, the feed and the hub, like an alert, and another one through
//! each broadcast loop.
//!
//! systemd's watchdog is fed only while the markers arrive in time. An engine whose store fails passes them on too, because
//! a restart would not help; only a worker that makes no progress starves the watchdog.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::delivery::Delivery;
use crate::engine::Engine;
use crate::hub::Hub;
use crate::log::Event;
use crate::service::Service;
use crate::systemd::Notifier;

/// Interval of the checks, unless the timeout of systemd's watchdog requires a shorter one.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// A marker that takes longer than this counts as stuck: it is logged, and `/livez` fails.
const STUCK_AFTER: Duration = Duration::from_secs(15);

pub(super) struct Watchdog {
    engine: Engine,
    service: Arc<Service>,
    delivery: Arc<Delivery>,
    markers: watch::Receiver<u64>,
    listening: String,
    interval: Duration,
    sent: u64,
    sent_at: Instant,
    stuck: bool,
    status: String,
}

impl Watchdog {
    pub(super) fn new(
        engine: Engine,
        hub: &Hub,
        service: Arc<Service>,
        delivery: Arc<Delivery>,
        notifier: &Notifier,
        listening: String,
    ) -> Self {
        let interval = notifier.watchdog_interval().map_or(CHECK_INTERVAL, |limit| CHECK_INTERVAL.min(limit / 4));
        let (markers, status) = (hub.markers(), String::new());
        Self {
            engine,
            service,
            delivery,
            markers,
            listening,
            interval,
            sent: 0,
            sent_at: Instant::now(),
            stuck: false,
            status,
        }
    }

    pub(super) async fn run(&mut self, notifier: &Notifier) {
        loop {
            tokio::time::sleep(self.interval).await;
            self.check(notifier);
        }
    }

    /// Checks whether the last markers have arrived, and sends the next ones.
    fn check(&mut self, notifier: &Notifier) {
        self.service.sample_traffic(Instant::now());
        if let Some(fleet) = self.engine.fleet() {
            fleet.set_streams(self.service.streams());
        }
        let arrived = *self.markers.borrow_and_update() >= self.sent && self.delivery.synced() >= self.sent;
        if arrived {
            notifier.watchdog();
            self.sent += 1;
            self.sent_at = Instant::now();
            self.engine.probe(self.sent);
            self.delivery.mark(self.sent);
        }
        let stuck = !arrived && self.sent_at.elapsed() > STUCK_AFTER;
        if stuck != self.stuck {
            self.stuck = stuck;
            self.service.set_stuck(stuck);
            if stuck {
                tracing::error!(
                    message_id = %Event::Stuck,
                    "the writer, the feed, the hub or a broadcast loop makes no progress"
                );
            } else {
                tracing::info!("the writer, the feed, the hub and the broadcast loops make progress again");
            }
        }
        self.update_status(notifier);
    }

    fn update_status(&mut self, notifier: &Notifier) {
        let status = match self.service.not_ready() {
            Some(reason) => format!("not ready: {reason}"),
            None => {
                let streams = format!("listening on {}, {} streams", self.listening, self.service.streams());
                let warnings = self.engine.status().server_warnings;
                warnings
                    .iter()
                    .chain(&self.service.certificate_warning())
                    .fold(streams, |status, warning| format!("{status}; {warning}"))
            }
        };
        if status != self.status {
            notifier.status(&status);
            self.status = status;
        }
    }
}
