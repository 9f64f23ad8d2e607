//! Encoded pages of the log, shared by the streams that replay the same part of it at the same time.
//!
//! After a restart thousands of streams continue after the same id with the same filter. The first of them reads and encodes a
//! page; the others wait for it and send the same bytes. Used by the replay alone.
//!
//! The log stays the truth. Always: a page is sent to another stream only if the engine, asked after that stream wanted the page,
//! says that nothing of it was removed or retracted and no damage was found since it was read
//! ([`Engine::is_page_true`](crate::engine::Engine::is_page_true)); a page is kept for [`LIFETIME`]; and all pages together stay
//! within [`MEMORY`], except for the newest one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::counters::PageSource;
use crate::alert::{Filter, Id};
use crate::engine::{Direction, Engine, Page, Range, Unavailable};
use crate::sse::Format;

/// One page: the most that a replaying stream holds in memory while its client reads.
const PAGE_ALERTS: usize = 500;
pub(super) const PAGE_BYTES: usize = 64 << 10;
/// The most bytes of all pages that are kept for other streams.
const MEMORY: usize = 8 << 20;
/// How long a page is kept for other streams: those that reconnect together ask for it within this time.
const LIFETIME: Duration = Duration::from_secs(2);

/// The alerts of a page as they are sent.
pub(super) struct EncodedPage {
    /// Whole blocks, and the id of the last alert in them.
    pub(super) pieces: Vec<(Bytes, Id)>,
    /// How many alerts the pieces have.
    pub(super) alerts: u64,
    /// The page without its records.
    pub(super) log: Page,
    /// Everything up to this id was read.
    pub(super) cursor: Id,
    /// The engine's version of the page from before it was read; none if other streams must not have the page.
    version: Option<u64>,
}

impl EncodedPage {
    async fn read(engine: &Engine, key: &PageKey, until: Id, version: Option<u64>) -> Result<Self, Unavailable> {
        let (filter, after) = (Filter::clone(&key.filter), key.after);
        let range = Range { filter, after, until, limit: PAGE_ALERTS, bytes: PAGE_BYTES };
        let mut log = engine.read(range, Direction::Forward).await?;
        let (mut pieces, mut alerts, mut blocks) = (Vec::new(), 0, BytesMut::new());
        let records = std::mem::take(&mut log.records);
        for (number, record) in records.iter().enumerate() {
            alerts += u64::from(key.format.alert(&mut blocks, record));
            if blocks.len() >= PAGE_BYTES || (number + 1 == records.len() && !blocks.is_empty()) {
                pieces.push((blocks.split().freeze(), record.id));
            }
        }
        let is_whole = log.trimmed <= after && log.damaged.is_none();
        let cursor = log.next.unwrap_or(until);
        Ok(Self { pieces, alerts, log, cursor, version: version.filter(|_| is_whole) })
    }

    fn bytes(&self) -> usize {
        self.pieces.iter().map(|(blocks, _)| blocks.len()).sum::<usize>() + size_of::<Self>()
    }
}

/// What follows `after` for the streams of one filter and format.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) filter: Arc<Filter>,
    pub(super) format: Format,
    pub(super) after: Id,
}

#[derive(Default)]
struct Slot {
    /// Filled by the first stream that wants the page; others wait for it.
    page: Arc<OnceCell<Arc<EncodedPage>>>,
    /// The size of the page, once it is counted.
    bytes: usize,
}

#[derive(Default)]
struct Kept {
    slots: HashMap<PageKey, Slot>,
    /// The key of each slot, in the order in which they expire.
    order: VecDeque<(PageKey, Instant)>,
    /// Of all slots.
    bytes: usize,
}

/// The pages of a log that are kept.
pub(super) struct SharedPages {
    engine: Engine,
    kept: Mutex<Kept>,
}

impl SharedPages {
    pub(super) fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self { engine, kept: Mutex::default() })
    }

    /// Returns a page that ends at most at `until`, and where it is from.
    ///
    /// # Errors
    /// The log cannot be read now.
    pub(super) async fn read(
        self: &Arc<Self>,
        key: &PageKey,
        until: Id,
    ) -> Result<(Arc<EncodedPage>, PageSource), Unavailable> {
        if let Some(version) = self.engine.page_version(&key.filter, key.after) {
            let cell = self.cell(key, Instant::now());
            let mut is_reader = false;
            let page = cell.get_or_try_init(async || {
                is_reader = true;
                EncodedPage::read(&self.engine, key, until, Some(version)).await.map(Arc::new)
            });
            let page = Arc::clone(page.await?);
            if is_reader {
                self.kept.lock().count(key, page.bytes(), Instant::now());
                return Ok((page, PageSource::Log));
            }
            // Another stream may have read further than this one wants, or before something was removed.
            if let Some(version) = page.version.filter(|_| page.cursor <= until)
                && self.engine.is_page_true(version, &key.filter, key.after, until).await?
            {
                return Ok((page, PageSource::Stream));
            }
        }
        let page = EncodedPage::read(&self.engine, key, until, None).await?;
        Ok((Arc::new(page), PageSource::Log))
    }

    /// The cell of a page, which may be empty.
    fn cell(self: &Arc<Self>, key: &PageKey, now: Instant) -> Arc<OnceCell<Arc<EncodedPage>>> {
        let mut kept = self.kept.lock();
        kept.expire(now);
        if let Some(slot) = kept.slots.get(key) {
            return Arc::clone(&slot.page);
        }
        let slot = Slot::default();
        let page = Arc::clone(&slot.page);
        kept.slots.insert(key.clone(), slot);
        kept.order.push_back((key.clone(), now + LIFETIME));
        drop(kept);
        // Without further readers nothing else would give the memory back.
        let pages = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(LIFETIME).await;
            if let Some(pages) = pages.upgrade() {
                pages.kept.lock().expire(Instant::now());
            }
        });
        page
    }
}

impl Kept {
    /// Counts the bytes of a page that was read just now.
    fn count(&mut self, key: &PageKey, bytes: usize, now: Instant) {
        // It may have expired while it was read.
        if let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.bytes == 0) {
            slot.bytes = bytes;
            self.bytes += bytes;
        }
        self.expire(now);
    }

    /// Removes the pages that are too old, and the oldest ones while there are too many bytes.
    fn expire(&mut self, now: Instant) {
        while let Some((key, at)) = self.order.front()
            && (*at <= now || self.bytes > MEMORY)
        {
            self.bytes -= self.slots.remove(key).map_or(0, |slot| slot.bytes);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Level, Pattern};

    fn key(after: u64) -> PageKey {
        PageKey {
            filter: Arc::new(Filter::new([Pattern::All], Level::Info)),
            format: Format::Sse,
            after: Id::at(after),
        }
    }

    fn add(kept: &mut Kept, after: u64, bytes: usize, now: Instant) {
        kept.slots.insert(key(after), Slot::default());
        kept.order.push_back((key(after), now + LIFETIME));
        kept.count(&key(after), bytes, now);
    }

    #[test]
    fn pages_are_kept_for_a_moment_and_within_their_memory() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        add(&mut kept, 1, MEMORY / 2, start);
        add(&mut kept, 2, MEMORY / 2, start + LIFETIME / 2);
        assert_eq!((kept.slots.len(), kept.bytes), (2, MEMORY));
        add(&mut kept, 3, 1, start + LIFETIME / 2);
        assert!(!kept.slots.contains_key(&key(1)), "the oldest page gives way");
        assert_eq!((kept.slots.len(), kept.bytes), (2, MEMORY / 2 + 1));
        // By a reader whose slot has expired meanwhile: it was filled again, or is gone.
        kept.count(&key(3), 1, start + LIFETIME);
        kept.count(&key(1), 1, start + LIFETIME);
        assert_eq!(kept.bytes, MEMORY / 2 + 1);
        kept.expire(start + LIFETIME * 2);
        assert_eq!((kept.slots.len(), kept.order.len(), kept.bytes), (0, 0, 0));
    }
}
