//! Streams that one process leaves to the next, through systemd's store of descriptors.
//!
//! Old process: [`leave`] packs what delivery has suspended and stores it; what the store does not take ends with a `bye`.
//! New process: [`Inheritance::take`] empties the store before anything can fail, and [`Inheritance::continue_all`] has the
//! streams go on. A start that fails drops the inheritance, which ends them with a `bye`.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::takeover::{CarriedStream, Packed, Unpacked, end_all, unpack};
use crate::delivery::{Delivery, Takeover};
use crate::http::serve::Server;
use crate::log::Event;
use crate::service::Service;
use crate::sse::Bye;
use crate::systemd;

/// Streams that were left longer ago end: a crash loop must not keep their clients waiting.
const MAX_AGE: Duration = Duration::from_secs(45);
/// How long the keys of a fleet may take to be known.
const KEYS: Duration = Duration::from_secs(20);
const KEYS_RETRY: Duration = Duration::from_millis(50);

/// Stores streams for the next process. It blocks.
pub(super) fn leave(streams: Vec<CarriedStream>, delivery: &Delivery) {
    if streams.is_empty() {
        return;
    }
    let number = streams.len();
    let (left_over, why) = match Packed::new(streams) {
        Err((streams, error)) => (streams, Some(error)),
        Ok(Packed { far, near, streams, mut left_over }) => {
            match systemd::store(systemd::STORED, far, near.as_fd()) {
                // The next process has the sockets; those here are closed with this one.
                Ok(()) => (left_over, None),
                Err(error) => {
                    systemd::forget(systemd::STORED);
                    left_over.extend(streams);
                    (left_over, Some(error))
                }
            }
        }
    };
    let ended = left_over.len();
    if ended > 0 {
        let why = why.map_or_else(|| "there is no room for more (LimitNOFILE=)".to_owned(), |why| why.to_string());
        tracing::warn!(
            message_id = %Event::StreamsNotStored,
            "{ended} of {number} streams cannot be left to the next process and end: {why}"
        );
        delivery.counters().streams_ended(Bye::Restart, ended as u64);
        end_all(left_over.into_iter().map(|stream| (stream, Bye::Restart)));
    } else {
        tracing::info!("{number} streams are left to the next process");
    }
}

/// What the process before this one has left.
#[derive(Default)]
pub(super) struct Inheritance {
    streams: Vec<CarriedStream>,
    damaged: u64,
    late: u64,
    /// What is wrong with it, for the log.
    damage: Vec<String>,
    /// When the oldest of it was left; none if there is nothing.
    left_at: Option<Instant>,
}

impl Inheritance {
    /// Takes everything out of what was stored, and empties the store. Streams that have waited too long end.
    pub(super) fn take(stored: Vec<OwnedFd>) -> Self {
        let mut taken = Self::default();
        let mut late = Vec::new();
        for far in &stored {
            let Unpacked { streams, damaged, age_ms, damage } = unpack(far);
            taken.damaged += damaged;
            taken.damage.extend(damage);
            let age = Duration::from_millis(age_ms.unwrap_or_default());
            if age > MAX_AGE {
                late.extend(streams);
            } else {
                taken.streams.extend(streams);
                let left_at = Instant::now().checked_sub(age);
                taken.left_at = [taken.left_at, left_at].into_iter().flatten().min();
            }
        }
        if !stored.is_empty() {
            systemd::forget(systemd::STORED);
        }
        taken.late = late.len() as u64;
        end_all(late.into_iter().map(|stream| (stream, Bye::Restart)));
        taken
    }

    /// Has the streams go on, or end if their key is no longer good. If the keys are not known yet it does so later.
    pub(super) async fn continue_all(self, service: &Arc<Service>, server: &Arc<Server>) {
        if self.left_at.is_none() && self.damaged == 0 && self.late == 0 {
            return;
        }
        if service.knows_keys() {
            return self.continue_now(service, server).await;
        }
        let (service, server) = (Arc::clone(service), Arc::clone(server));
        tokio::spawn(async move {
            let known = async {
                while !service.knows_keys() {
                    tokio::time::sleep(KEYS_RETRY).await;
                }
            };
            // If they stay unknown, the streams end because of that.
            let _ = tokio::time::timeout(KEYS, known).await;
            self.continue_now(&service, &server).await;
        });
    }

    async fn continue_now(mut self, service: &Arc<Service>, server: &Arc<Server>) {
        for damage in &self.damage {
            tracing::warn!("the description of streams that the process before this one has left {damage}");
        }
        let (mut taken, mut refused) = (0, Vec::new());
        for stream in std::mem::take(&mut self.streams) {
            let is_control = stream.record.subscription.key.is_none();
            match service.continue_stream(stream, server.count_connection(is_control)) {
                None => taken += 1,
                Some(refusal) => refused.push(refusal),
            }
        }
        let key = refused.len() as u64;
        let counters = service.delivery().counters();
        refused.iter().for_each(|(_, bye)| counters.streams_ended(*bye, 1));
        // It may wait for sockets that are full.
        drop(tokio::task::spawn_blocking(|| end_all(refused)));
        let pause = self.left_at.map_or(Duration::ZERO, |left_at| left_at.elapsed());
        let (damaged, late) = (self.damaged, self.late);
        counters.took_over(Takeover { taken, key, damaged, late, pause });
        let ended = key + damaged + late;
        tracing::info!(
            message_id = %Event::TakenOver,
            taken,
            ended,
            "{taken} streams taken over, {ended} ended, {} ms",
            pause.as_millis()
        );
    }
}

impl Drop for Inheritance {
    fn drop(&mut self) {
        end_all(std::mem::take(&mut self.streams).into_iter().map(|stream| (stream, Bye::Restart)));
    }
}
