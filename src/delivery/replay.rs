//! The replay of a stream: what the log has, up to where the subscription joins the hub.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::endings::StreamEnd;
use super::shared_pages::{EncodedPage, PAGE_BYTES, PageKey};
use super::sink::StreamSink;
use super::stream::Stream;
use super::waiting::ENGINE_RETRY;
use super::writer::Writer;
use crate::alert::{Id, Record, Start};
use crate::engine::Seek;
use crate::hub::Held;
use crate::sse::Gap;

/// Whether a page ends at the seam.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    Last,
    More,
}

impl Page {
    fn ending_at(cursor: Id, until: Id) -> Self {
        if cursor >= until { Self::Last } else { Self::More }
    }
}

impl Stream {
    /// Whether nothing before `until` is asked for, so that the log need not be read.
    pub(super) fn needs_no_replay(&self, until: Id) -> bool {
        match &self.start {
            Start::Live => true,
            // Most clients reconnect with the newest id, which is a valid cursor without looking it up in the log.
            Start::After(cursor) => *cursor == until && until != Id::ZERO,
            _ => false,
        }
    }

    /// Sends what the log has up to where the subscription joins, and returns that id.
    pub(super) async fn replay<S: StreamSink>(&mut self, writer: &mut Writer<'_, S>) -> Result<Id, StreamEnd> {
        let since = self.context.hub.retractions();
        let Some((until, seek)) = self.seek(writer).await? else { return Ok(self.subscription.joined()) };
        let mut blocks = BytesMut::new();
        if let Some(gap) = seek.gap {
            blocks.extend_from_slice(&self.gap(gap, seek.after.max(seek.trimmed)));
        }
        let (mut cursor, mut trimmed) = (seek.after, seek.trimmed);
        // The log has nothing between the two, and another process must not report this gap again.
        self.start = Start::After(cursor.max(trimmed));
        (self.backlog, self.backlog_since) = (seek.latest.into(), since);
        self.send_backlog(blocks, Page::ending_at(cursor, until), writer).await?;
        while cursor < until {
            let (filter, format) = (Arc::clone(&self.context.filter), self.context.format.clone());
            let key = PageKey { filter, format, after: cursor };
            let since = self.context.hub.retractions();
            let page = self.context.pages.read(&key, until);
            let page = match self.wait_for(page, writer).await? {
                Ok((page, source)) => {
                    self.context.counters.replayed_page(source);
                    page
                }
                Err(error) => {
                    self.wait_for_engine(&error.to_string(), writer).await?;
                    continue;
                }
            };
            let mut blocks = BytesMut::new();
            if let Some(gap) = page.log.gap(cursor, trimmed, until) {
                blocks.extend_from_slice(&self.gap(gap, cursor.max(page.log.trimmed)));
            }
            trimmed = trimmed.max(page.log.trimmed);
            let held = Held { since, after: cursor, upto: cursor };
            cursor = self.send_page(blocks, &page, held, until, writer).await?;
        }
        Ok(cursor.max(until))
    }

    /// Finds where in the log the replay begins, and the id up to which it goes. None if there is nothing to replay.
    async fn seek<S: StreamSink>(&mut self, writer: &mut Writer<'_, S>) -> Result<Option<(Id, Seek)>, StreamEnd> {
        loop {
            let (context, until) = (&self.context, self.subscription.joined());
            if self.needs_no_replay(until) {
                return Ok(None);
            }
            let seek = context.engine.seek(&self.start, &context.filter, until, self.latest_after_ms);
            match self.wait_for(seek, writer).await? {
                Ok(Seek { awaited: Some(id), .. }) => {
                    self.send_heartbeat_if_due(writer).await?;
                    // The log may have lost the cursor meanwhile, so it is read again after a while.
                    let _ = timeout(ENGINE_RETRY, self.subscription.reach(id)).await;
                }
                Ok(seek) => return Ok(Some((until, seek))),
                Err(error) => self.wait_for_engine(&error.to_string(), writer).await?,
            }
        }
    }

    /// Alerts that the log no longer has may still come through the ring, so a gap ends at most where the ring begins.
    /// `resume` is a cursor from which on nothing is missing.
    fn gap(&self, gap: Gap, resume: Id) -> Bytes {
        self.context.counters.gap();
        let ring = self.subscription.joined().successor();
        let gap = Gap { oldest: gap.oldest.map(|oldest| oldest.min(ring)), ..gap };
        self.context.format.gap(&gap, resume, self.context.now_ms())
    }

    /// Whether an alert of the backlog was retracted since it was read.
    pub(super) fn is_retracted(&self, alert: &Record) -> bool {
        let held = Held { since: self.backlog_since, after: alert.id.predecessor(), upto: alert.id };
        self.context.has_retracted(&held)
    }

    /// Sends `blocks` and the backlog, but for what was retracted meanwhile; with the replay's last page also the seam.
    async fn send_backlog<S: StreamSink>(
        &mut self,
        mut blocks: BytesMut,
        page: Page,
        writer: &mut Writer<'_, S>,
    ) -> Result<(), StreamEnd> {
        let mut alerts = 0;
        let mut held = Held { since: self.backlog_since, after: Id::ZERO, upto: Id::ZERO };
        while let Some(record) = self.backlog.pop_front() {
            if self.is_retracted(&record) {
                continue;
            }
            alerts += u64::from(self.context.format.alert(&mut blocks, &record));
            held.upto = record.id;
            if blocks.len() >= PAGE_BYTES {
                self.send(blocks.split(), Some(&held), writer).await?;
                held.after = held.upto;
            }
        }
        if page == Page::Last {
            self.push_seam(&mut blocks);
        }
        self.send(blocks, Some(&held), writer).await?;
        self.context.counters.replayed(alerts);
        Ok(())
    }

    /// Sends `blocks` and a page of the log; after the alerts of the last page also the seam. Returns up to where. If one of its
    /// alerts is retracted before it is sent, that is before it, and the log is to be read again from there.
    async fn send_page<S: StreamSink>(
        &mut self,
        mut blocks: BytesMut,
        encoded: &EncodedPage,
        mut held: Held,
        until: Id,
        writer: &mut Writer<'_, S>,
    ) -> Result<Id, StreamEnd> {
        for (piece, last) in &encoded.pieces {
            // A gap goes with the first piece.
            if blocks.len() >= PAGE_BYTES {
                self.send(blocks.split(), Some(&held), writer).await?;
                held.after = held.upto;
            }
            if self.context.has_retracted(&Held { after: held.upto, upto: *last, ..held }) {
                self.send(blocks, Some(&held), writer).await?;
                return Ok(held.upto);
            }
            self.start = Start::After(*last);
            held.upto = *last;
            blocks.extend_from_slice(piece);
        }
        self.start = Start::After(encoded.cursor);
        if Page::ending_at(encoded.cursor, until) == Page::Last {
            self.push_seam(&mut blocks);
        }
        self.send(blocks, Some(&held), writer).await?;
        self.context.counters.replayed(encoded.alerts);
        Ok(encoded.cursor)
    }
}
