//! One open stream: replay, the seam, then live, until somebody ends it.
//!
//! Made by [`Service::open_stream`](super::Service::open_stream) and run by the HTTP layer, which takes the blocks from a
//! channel. Every message in the channel is a whole number of blocks, so nothing ever ends inside one. The reader sets
//! the pace: a stream holds one page or chunk at a time, and a reader that takes nothing for [`STALL`] is ended.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::limit::Counted;
use super::numbers::Numbers;
use crate::alert::{Filter, Id, Start};
use crate::engine::{Engine, Range};
use crate::hub::{Next, Subscription};
use crate::keyring::KeyState;
use crate::sse::{Bye, Format, Gap};

/// A reader that takes nothing for so long is too slow.
pub const STALL: Duration = Duration::from_secs(30);
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Alerts of one page of the replay.
const PAGE: usize = 500;
/// Between two tries while the engine is away.
const AWAY: Duration = Duration::from_millis(500);

/// What a stream is made of.
pub struct Stream {
    pub(super) engine: Engine,
    pub(super) subscription: Subscription,
    pub(super) filter: Filter,
    pub(super) format: Format,
    pub(super) start: Start,
    /// A `latest` alert must have come in at or after this time.
    pub(super) latest_after_ms: u64,
    pub(super) heartbeat: Duration,
    /// The client's reconnect delay, drawn for this stream.
    pub(super) retry_ms: u64,
    pub(super) ends: Ends,
    pub(super) numbers: std::sync::Arc<Numbers>,
    /// Its places among the streams of its key and of all.
    pub(super) _places: (Counted, Counted),
}

/// Everything that can end a stream from outside.
pub(super) struct Ends {
    /// The daemon's goodbye.
    pub(super) drain: watch::Receiver<Option<Bye>>,
    /// The key behind the stream, if there is one.
    pub(super) key: Option<watch::Receiver<KeyState>>,
    /// What the key must go on covering.
    pub(super) filter: Filter,
    /// When the stream is old enough.
    pub(super) lifetime: Option<Instant>,
    /// Turns the key's expiry into a time to wait for.
    pub(super) clock: crate::engine::Clock,
}

/// The reader is gone: nobody is left to tell.
struct Gone;

/// Why a stream went on no further.
enum End {
    Gone,
    Bye(Bye),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// The way to the reader.
struct Outlet {
    blocks: mpsc::Sender<Bytes>,
    /// Goes out with the first block.
    retry: Option<Bytes>,
    heartbeat: Duration,
    next_heartbeat: Instant,
}

impl Outlet {
    async fn send(&mut self, blocks: Bytes) -> Result<(), End> {
        let room = match timeout(STALL, self.blocks.reserve()).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err(End::Gone),
            Err(_) => return Err(End::Bye(Bye::Slow)),
        };
        room.send(match self.retry.take() {
            Some(retry) => [retry, blocks].concat().into(),
            None => blocks,
        });
        self.next_heartbeat = Instant::now() + self.heartbeat;
        Ok(())
    }
}

impl Stream {
    /// The format, for the head of the answer.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Runs to the end of the stream. The channel is closed when it returns.
    pub async fn run(mut self, blocks: mpsc::Sender<Bytes>) {
        let mut outlet = Outlet {
            blocks: blocks.clone(),
            retry: Some(self.format.retry(self.retry_ms)),
            heartbeat: self.heartbeat,
            next_heartbeat: Instant::now() + self.heartbeat,
        };
        let (format, retry_ms) = (self.format, self.retry_ms);
        let mut ends = self.ends.take();
        let end = tokio::select! {
            biased;
            bye = ends.wait() => End::Bye(bye),
            () = blocks.closed() => End::Gone,
            Err(end) = self.deliver(&mut outlet) => end,
        };
        self.numbers.stream_ended(match end {
            End::Gone => None,
            End::Bye(bye) => Some(bye),
        });
        if let End::Bye(bye) = end {
            if bye == Bye::Slow {
                tracing::info!(message_id = "slow-stream-ended", "a stream is ended: its reader takes nothing");
            }
            let patience = if bye == Bye::Slow { STALL } else { FAREWELL };
            if let Ok(Ok(room)) = timeout(patience, blocks.reserve()).await {
                room.send(format.bye(bye, retry_ms));
            }
        }
    }

    async fn deliver(&mut self, outlet: &mut Outlet) -> Result<std::convert::Infallible, End> {
        let mut start = self.start.clone();
        let mut seam = true;
        let head = self.engine.head();
        if head > self.subscription.joined() {
            // What is stored and answered is on its way to the hub: a cursor on it would get it a second time, and
            // `latest` would be the one before.
            self.subscription.reach(head).await;
        }
        loop {
            let cursor = self.replay(&start, outlet).await?;
            if std::mem::take(&mut seam) {
                outlet.send(self.format.cursor(Some(self.subscription.joined()))).await?;
            }
            let cursor = self.live(cursor, outlet).await?;
            // Overtaken: what is missing comes from the engine, up to where the ring goes on.
            self.subscription.rejoin();
            start = Start::After(cursor);
        }
    }

    /// Sends what the log has up to where the subscription begins; returns that place.
    async fn replay(&mut self, start: &Start, outlet: &mut Outlet) -> Result<Id, End> {
        let until = self.subscription.joined();
        let seek = loop {
            match self.engine.seek(start, &self.filter, until, self.latest_after_ms).await {
                Ok(seek) => break seek,
                Err(error) => self.wait_for_engine(&error.to_string(), outlet).await?,
            }
        };
        if let Some(gap) = &seek.gap {
            outlet.send(self.format.gap(gap)).await?;
        }
        self.send_records(&seek.latest, outlet).await?;
        let (mut cursor, mut trimmed) = (seek.after, seek.trimmed);
        while cursor < until {
            let range = Range { filter: self.filter.clone(), after: cursor, until, limit: PAGE };
            let page = match self.engine.read(range).await {
                Ok(page) => page,
                Err(error) => {
                    self.wait_for_engine(&error.to_string(), outlet).await?;
                    continue;
                }
            };
            if page.trimmed > trimmed && page.trimmed > cursor {
                // Retention overtook this reader between two pages.
                let gap = Gap { requested: cursor.to_string(), oldest: page.oldest, head: until };
                outlet.send(self.format.gap(&gap)).await?;
            }
            trimmed = trimmed.max(page.trimmed);
            self.send_records(&page.records, outlet).await?;
            cursor = page.next.unwrap_or(until);
        }
        Ok(cursor.max(until))
    }

    /// Sends what comes, until the ring lost its place; returns how far it got.
    async fn live(&mut self, mut cursor: Id, outlet: &mut Outlet) -> Result<Id, End> {
        loop {
            match self.subscription.next() {
                Next::Chunk(chunk) => {
                    outlet.send(chunk.frames).await?;
                    self.numbers.delivered(chunk.alerts);
                    cursor = chunk.last;
                }
                Next::Idle(head) => {
                    cursor = cursor.max(head);
                    tokio::select! {
                        () = self.subscription.changed() => {}
                        () = sleep_until(outlet.next_heartbeat) => {
                            outlet.send(self.format.cursor(Some(cursor))).await?;
                        }
                    }
                }
                Next::Lost => return Ok(cursor),
            }
        }
    }

    async fn send_records(&self, records: &[crate::alert::Record], outlet: &mut Outlet) -> Result<(), End> {
        const PIECE: usize = 64 << 10;
        let mut piece = BytesMut::new();
        for (i, record) in records.iter().enumerate() {
            self.format.alert(&mut piece, record);
            if piece.len() >= PIECE || i + 1 == records.len() {
                outlet.send(piece.split().freeze()).await?;
            }
        }
        self.numbers.delivered(records.len() as u64);
        Ok(())
    }

    /// The engine is away: the stream stays open, shows signs of life, and tries again.
    async fn wait_for_engine(&self, reason: &str, outlet: &mut Outlet) -> Result<(), End> {
        tracing::debug!(reason, "a stream waits for the engine");
        if Instant::now() >= outlet.next_heartbeat {
            outlet.send(self.format.cursor(None)).await?;
        }
        tokio::time::sleep(AWAY).await;
        Ok(())
    }
}

impl Ends {
    fn take(&mut self) -> Self {
        Self {
            drain: self.drain.clone(),
            key: self.key.take(),
            filter: self.filter.clone(),
            lifetime: self.lifetime,
            clock: std::sync::Arc::clone(&self.clock),
        }
    }

    /// Waits for the first reason to end the stream.
    async fn wait(&mut self) -> Bye {
        loop {
            let drain = *self.drain.borrow_and_update();
            if let Some(bye) = drain {
                return bye;
            }
            let expiry = match self.key_expiry() {
                Ok(expiry) => expiry,
                Err(bye) => return bye,
            };
            tokio::select! {
                _ = self.drain.changed() => {}
                () = changed(&mut self.key) => {}
                () = at(expiry) => {}
                () = at(self.lifetime) => return Bye::Lifetime,
            }
        }
    }

    /// The time at which the key ends, looked at afresh whenever it may have changed.
    fn key_expiry(&mut self) -> Result<Option<Instant>, Bye> {
        let Some(key) = &mut self.key else { return Ok(None) };
        match &*key.borrow_and_update() {
            KeyState::Revoked => Err(Bye::Revoked),
            KeyState::Active { grant, .. } if !super::may_read(grant, self.filter.patterns()) => Err(Bye::Revoked),
            KeyState::Active { expires_ms: None, .. } => Ok(None),
            KeyState::Active { expires_ms: Some(ms), .. } => match ms.checked_sub((self.clock)()) {
                None | Some(0) => Err(Bye::Expired),
                // Looked at again at least each minute: a wall clock that is set does not move a timer.
                Some(left) => Ok(Some(Instant::now() + Duration::from_millis(left).min(Duration::from_secs(60)))),
            },
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn changed(key: &mut Option<watch::Receiver<KeyState>>) {
    let told = match key {
        Some(receiver) => receiver.changed().await.is_ok(),
        None => false,
    };
    // A closed channel has nothing to tell any more: the keyring says that a key is gone before it lets go of it.
    if !told {
        std::future::pending().await
    }
}
