//! Backups of the log and the keys, made while the daemon works.
//!
//! One at a time, because each keeps the space of what retention removes meanwhile. A stop of the process, or a reader
//! that takes nothing, ends it; the last line then says why, and a file without the right last line is not a backup.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};

use super::actor::Actor;
use super::{Caller, Refusal, Service};
use crate::backup::{Header, Item, Part, Totals, Writer};
use crate::engine::Export;
use crate::log::Event;

/// Blocks that wait for the reader.
const QUEUED_BLOCKS: usize = 2;
/// How long the reader may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause between two pieces of the log.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Service {
    /// Begins a backup. The receiver gets its bytes.
    ///
    /// # Errors
    /// [`Refusal::ControlOnly`] except on the control socket, [`Refusal::Unavailable`] if the log or the keys cannot be
    /// read, or another backup is being made.
    pub(crate) async fn backup(self: &Arc<Self>, caller: &Caller) -> Result<mpsc::Receiver<Bytes>, Refusal> {
        caller.require_control()?;
        let permit = Arc::clone(&self.backups).try_acquire_owned();
        let permit =
            permit.map_err(|_| Refusal::unavailable("another backup is being made: try again when it has finished"))?;
        let keys = self.keyring.export()?;
        let export = self.engine.export().await?;
        let header = Header::new(export.kind, self.now_ms(), export.alerts, export.extent);
        let header = header.with_epoch(export.epoch.clone());
        let (blocks, body) = mpsc::channel(QUEUED_BLOCKS);
        let making = Making {
            service: Arc::clone(self),
            export,
            writer: Writer::default(),
            totals: Totals::default(),
            blocks,
            _permit: permit,
        };
        let by = Actor::of(caller).await;
        tokio::spawn(making.run(header, keys, by));
        Ok(body)
    }
}

/// A backup that is being made.
struct Making {
    service: Arc<Service>,
    export: Export,
    writer: Writer,
    totals: Totals,
    blocks: mpsc::Sender<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Making {
    async fn run(mut self, header: Header, keys: Vec<(String, String)>, by: Actor) {
        let until = header.extent().until;
        let made = self.make(header, keys).await;
        let Totals { alerts, .. } = self.totals;
        match made {
            Ok(()) => {
                tracing::info!(
                    message_id = %Event::BackupMade,
                    by = by.id(),
                    by_user = by.user(),
                    by_uid = by.uid(),
                    "a backup of {alerts} alerts up to {until}, and of the keys, was made by {by}"
                )
            }
            Err(reason) => {
                tracing::warn!(
                    message_id = %Event::BackupFailed,
                    by = by.id(),
                    by_user = by.user(),
                    by_uid = by.uid(),
                    "a backup by {by} was given up after {alerts} alerts: {reason}"
                );
                let _ = self.send(&[Item::Failed(reason)]).await;
            }
        }
    }

    async fn make(&mut self, header: Header, keys: Vec<(String, String)>) -> Result<(), String> {
        let keys = keys.into_iter().map(|(id, entry)| Item::UserKey { id, entry });
        let first: Vec<_> = [Item::Header(header)].into_iter().chain(keys).collect();
        self.send(&first).await?;
        loop {
            if self.service.delivery.is_ending() {
                return Err("alertd is stopping; make the backup again".into());
            }
            let began = Instant::now();
            let parts = self.export.next().await.map_err(|unavailable| unavailable.detail)?;
            if parts.is_empty() {
                break;
            }
            let count = |is: fn(&&Part) -> bool| parts.iter().filter(is).count() as u64;
            self.totals.alerts += count(|part| matches!(part, Part::Alert { .. }));
            self.totals.keys += count(|part| matches!(part, Part::Key { .. }));
            let items: Vec<_> = parts.into_iter().map(Item::Part).collect();
            self.send(&items).await?;
            // Leaves half of the time to publishers and streams, also on machines with few cores or slow disks.
            sleep(began.elapsed().min(LONGEST_PAUSE)).await;
        }
        self.send(&[Item::End(self.totals)]).await
    }

    async fn send(&mut self, items: &[Item]) -> Result<(), String> {
        let mut lines = Vec::new();
        for item in items {
            self.writer.write(item, &mut lines).map_err(|error| format!("an alert is no JSON: {error}"))?;
        }
        match timeout(PATIENCE, self.blocks.send(lines.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("its reader is gone".into()),
            Err(_) => Err(format!("its reader took nothing for {} s", PATIENCE.as_secs())),
        }
    }
}
