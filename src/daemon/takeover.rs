//! Streams that one process leaves to the next, through systemd's store of descriptors.
//!
//! Old process: [`leave`] packs the suspended streams and stores them; those that the store does not take end with a
//! `bye`. New process: [`Inheritance::take`] empties the store before anything can fail, and
//! [`Inheritance::continue_all`] continues the streams. A start that fails drops the inheritance, which ends them with
//! a `bye`.

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

/// Streams that were left longer ago end: neither a crash loop nor a slow start may keep their clients waiting.
const MAX_AGE: Duration = Duration::from_secs(45);
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
                    forget(systemd::STORED);
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

/// Makes the service manager close the descriptors stored under this name, which would otherwise stay open as long as
/// the service runs.
pub(super) fn forget(name: &str) {
    if let Err(error) = systemd::forget(name) {
        tracing::warn!(%error, "cannot have the service manager forget its stored descriptors named {name:?}");
    }
}

/// What the previous process left.
#[derive(Default)]
pub(super) struct Inheritance {
    streams: Vec<CarriedStream>,
    damaged: u64,
    late: u64,
    /// What is wrong with it, for the log.
    damage: Vec<String>,
    /// When the oldest stream was left; none if there are none.
    left_at: Option<Instant>,
}

impl Inheritance {
    /// Takes all stored streams, and empties the store. Streams that have waited too long end.
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
            forget(systemd::STORED);
        }
        taken.late = late.len() as u64;
        end_all(late.into_iter().map(|stream| (stream, Bye::Restart)));
        taken
    }

    /// Ends the streams once they have waited too long. The caller drops the future when they no longer wait.
    pub(super) async fn expire(&mut self) {
        let Some(deadline) = self.deadline() else { return std::future::pending().await };
        tokio::time::sleep_until(deadline).await;
        let late = std::mem::take(&mut self.streams);
        self.late += late.len() as u64;
        drop(tokio::task::spawn_blocking(|| end_all(late.into_iter().map(|stream| (stream, Bye::Restart)))));
    }

    /// When the streams will have waited too long; none if there are none.
    fn deadline(&self) -> Option<tokio::time::Instant> {
        let left_at = self.left_at.filter(|_| !self.streams.is_empty())?;
        Some((left_at + MAX_AGE).into())
    }

    /// Continues the streams, or ends them if their key is no longer valid; as soon as the keys are known.
    pub(super) async fn continue_all(self, service: &Arc<Service>, server: &Arc<Server>) {
        if self.left_at.is_none() && self.damaged == 0 && self.late == 0 {
            return;
        }
        let Some(deadline) = self.deadline().filter(|_| !service.knows_keys()) else {
            return self.continue_now(service, server).await;
        };
        let (service, server) = (Arc::clone(service), Arc::clone(server));
        tokio::spawn(async move {
            let known = async {
                while !service.knows_keys() {
                    tokio::time::sleep(KEYS_RETRY).await;
                }
            };
            // If the keys stay unknown, the streams end for that reason.
            let _ = tokio::time::timeout_at(deadline, known).await;
            self.continue_now(&service, &server).await;
        });
    }

    async fn continue_now(mut self, service: &Arc<Service>, server: &Arc<Server>) {
        for damage in &self.damage {
            tracing::warn!("the description of the streams of the previous process {damage}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Filter, Level, Pattern, Start};
    use crate::delivery::takeover::{StreamRecord, SubscriptionRecord};
    use crate::sse::Format;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn a_start_that_takes_long_lets_the_clients_go_after_45_seconds() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let filter = Arc::new(Filter::new([Pattern::All], Level::Info));
        let record = StreamRecord {
            subscription: SubscriptionRecord { key: None, filter, format: Format::Sse },
            start: Start::All,
            latest_after_ms: 0,
            has_passed_seam: true,
            retry_ms: 2000,
            lifetime: None,
            patience: None,
            unsent: Default::default(),
        };
        let streams = vec![CarriedStream { socket: ours.into(), record }];
        let left_at = Some(Instant::now() - MAX_AGE + Duration::from_millis(200));
        let mut inheritance = Inheritance::default();
        (inheritance.streams, inheritance.left_at) = (streams, left_at);
        let began = Instant::now();
        inheritance.expire().await;
        assert!(began.elapsed() > Duration::from_millis(150), "{:?}", began.elapsed());
        assert_eq!((inheritance.late, inheritance.deadline()), (1, None));
        theirs.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert!(text.contains("\"reason\":\"restart\"") && text.ends_with("0\r\n\r\n"), "{text}");
    }
}
