//! Proof of life: a marker goes through the engine's writer, the feed and the hub, as an alert does, and each broadcast loop
//! meets it too.
//!
//! systemd's watchdog is fed only while markers come through in time. An engine that answers with an error passes them
//! on too: only silence starves the watchdog, because only then a restart helps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::delivery::Delivery;
use crate::engine::Engine;
use crate::hub::Hub;
use crate::log::Event;
use crate::service::Service;
use crate::systemd::Notifier;

/// How often a marker is sent where no watchdog asks for more.
const PERIOD: Duration = Duration::from_secs(2);
/// A marker that is late by this much is worth a word, and `/livez` says no.
const LATE: Duration = Duration::from_secs(15);

pub(super) struct Watchdog {
    engine: Engine,
    service: Arc<Service>,
    delivery: Arc<Delivery>,
    markers: watch::Receiver<u64>,
    listening: String,
    period: Duration,
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
        let period = notifier.watchdog_interval().map_or(PERIOD, |interval| PERIOD.min(interval / 4));
        let (markers, status) = (hub.markers(), String::new());
        Self {
            engine,
            service,
            delivery,
            markers,
            listening,
            period,
            sent: 0,
            sent_at: Instant::now(),
            stuck: false,
            status,
        }
    }

    /// Checks once in each period.
    pub(super) async fn run(&mut self, notifier: &Notifier) {
        loop {
            tokio::time::sleep(self.period).await;
            self.check(notifier);
        }
    }

    /// Checks whether the last marker has passed through everything, and sends the next one.
    fn check(&mut self, notifier: &Notifier) {
        self.service.sample_traffic(Instant::now());
        if let Some(fleet) = self.engine.fleet() {
            fleet.set_streams(self.service.streams());
        }
        let came = *self.markers.borrow_and_update() >= self.sent && self.delivery.synced() >= self.sent;
        if came {
            notifier.watchdog();
            self.sent += 1;
            self.sent_at = Instant::now();
            self.engine.probe(self.sent);
            self.delivery.mark(self.sent);
        }
        let stuck = !came && self.sent_at.elapsed() > LATE;
        if stuck != self.stuck {
            self.stuck = stuck;
            self.service.set_stuck(stuck);
            if stuck {
                tracing::error!(
                    message_id = %Event::Stuck,
                    "the writer, the feed, the hub or a broadcast loop no longer passes on what it gets"
                );
            } else {
                tracing::info!("the writer, the feed, the hub and the broadcast loops go on");
            }
        }
        self.say(notifier);
    }

    fn say(&mut self, notifier: &Notifier) {
        let status = match self.service.not_ready() {
            Some(reason) => format!("not ready: {reason}"),
            None => {
                let streams = format!("listening on {}, {} streams", self.listening, self.service.streams());
                let warnings = self.engine.status().server_warnings;
                warnings.iter().fold(streams, |status, warning| format!("{status}; {warning}"))
            }
        };
        if status != self.status {
            notifier.status(&status);
            self.status = status;
        }
    }
}
