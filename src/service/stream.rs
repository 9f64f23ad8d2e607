//! One open stream: replay, the seam, then live, until somebody ends it.
//!
//! Made by [`Service::open_stream`](super::Service::open_stream) and run by the HTTP layer, which gives it an [`StreamSink`].
//! Whatever goes into the sink is a whole number of blocks, so nothing ever ends inside one. The reader sets the pace: a
//! stream holds one page or chunk at a time, and a reader that takes nothing for [`SLOW_READER_TIMEOUT`](super::SLOW_READER_TIMEOUT) is ended.
//!
//! On a socket of its own a stream is [led](Stream::catch_up) to where its ring goes on; from there a broadcast loop carries
//! it as a [`CaughtUp`], and gives it back with [`StreamContext::resume`] if its ring is too short for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until, timeout};

use super::counters::Counters;
use super::endings::Endings;
use super::sink::{Flow, StreamEnd, StreamSink};
use super::slots::StreamSlot;
use crate::alert::{Filter, Id, Record, Start};
use crate::engine::{Direction, Engine, Range, Seek};
use crate::hub::{Hub, Next, Subscription};
use crate::sse::{Bye, Format, Gap};

/// Alerts, and bytes, of one page of the replay: what each stream may hold in memory while its reader takes its time.
const REPLAY_PAGE: (usize, usize) = (500, 64 << 10);
/// Between two tries while the engine is away.
const ENGINE_RETRY: Duration = Duration::from_millis(500);

/// What streams of one key and filter have in common.
pub(crate) struct StreamContext {
    pub(super) engine: Engine,
    pub(super) hub: Hub,
    pub(super) filter: Arc<Filter>,
    pub(super) format: Format,
    /// Whose share of rings they take.
    pub(super) owner: String,
    pub(super) heartbeat: Duration,
    pub(super) ends: Endings,
    pub(super) counters: Arc<Counters>,
}

/// What a stream is made of.
pub(crate) struct Stream {
    pub(super) context: Arc<StreamContext>,
    pub(super) subscription: Subscription,
    pub(super) start: Start,
    /// A `latest` alert must have come in at or after this time.
    pub(super) latest_after_ms: u64,
    /// The cursor between replay and live is still to come.
    pub(super) seam: bool,
    /// Goes out with the first block: the client's reconnect delay.
    pub(super) retry: Option<Bytes>,
    /// The same, drawn for this stream.
    pub(super) retry_ms: u32,
    /// When the stream is old enough.
    pub(super) lifetime: Option<Instant>,
    pub(super) slot: StreamSlot,
}

/// A stream whose reader has had everything up to its place in the ring.
pub(crate) struct CaughtUp {
    /// What it has in common with others.
    pub context: Arc<StreamContext>,
    /// Its place in the ring.
    pub subscription: Subscription,
    /// All up to this id was delivered or filtered out.
    pub cursor: Id,
    /// For its last words.
    pub retry_ms: u32,
    /// When it is old enough.
    pub lifetime: Option<Instant>,
    /// Its place among the open streams.
    pub slot: StreamSlot,
}

impl StreamContext {
    /// How the stream is written.
    #[must_use]
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Silence before a heartbeat of life.
    #[must_use]
    pub(crate) const fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// Waits for what ends all streams of this context.
    pub(crate) fn ended(&self) -> impl Future<Output = Bye> + Send + 'static {
        self.ends.clone().wait(None)
    }

    /// A stream that its ring has overtaken, and that goes on behind `cursor`, from the engine and then on the ring.
    #[must_use]
    pub(crate) fn resume(
        self: Arc<Self>,
        cursor: Id,
        retry_ms: u32,
        lifetime: Option<Instant>,
        slot: StreamSlot,
    ) -> Box<Stream> {
        self.counters.overtaken();
        Box::new(Stream {
            subscription: self.hub.subscribe(&self.filter, self.format, &self.owner),
            start: Start::After(cursor),
            latest_after_ms: 0,
            seam: false,
            retry: None,
            retry_ms,
            lifetime,
            slot,
            context: self,
        })
    }
}

impl Stream {
    /// Whether nothing before `until` is asked for, so that the log need not be read.
    fn is_at(&self, until: Id) -> bool {
        match &self.start {
            Start::Live => true,
            // The newest alert is a cursor without a look at the log; most reconnects are of this kind.
            Start::After(cursor) => *cursor == until && until != Id::ZERO,
            _ => false,
        }
    }

    /// Runs to the end of the stream.
    pub(crate) async fn run(self: Box<Self>, mut sink: impl StreamSink) {
        // It comes back only with a stream that is to be handed over.
        let _never = self.deliver(&mut sink, false).await;
    }

    /// Runs until the reader has had everything up to a place in a ring; none where the stream ended before.
    pub(crate) async fn catch_up<O: StreamSink>(self: Box<Self>, mut sink: O) -> Option<(CaughtUp, O)> {
        let live = self.deliver(&mut sink, true).await?;
        Some((live, sink))
    }

    async fn deliver(mut self: Box<Self>, sink: &mut impl StreamSink, hand_over: bool) -> Option<CaughtUp> {
        let hand_over = hand_over && self.subscription.ring_position().is_some();
        let ended = self.context.ends.clone().wait(self.lifetime);
        // Where it goes on elsewhere in a moment, a write tells.
        let gone = (!hand_over).then(|| sink.gone());
        let end = tokio::select! {
            // What is there goes out before a goodbye.
            biased;
            advanced = self.advance(sink, hand_over) => match advanced {
                Err(end) => end,
                Ok(cursor) => {
                    let Self { context, subscription, retry_ms, lifetime, slot, .. } = *self;
                    return Some(CaughtUp { context, subscription, cursor, retry_ms, lifetime, slot });
                }
            },
            bye = ended => StreamEnd::Bye(bye),
            () = ever(gone) => StreamEnd::Gone,
        };
        self.context.counters.stream_ended(end);
        if let StreamEnd::Bye(bye) = end {
            sink.finish(self.context.format.bye(bye, self.retry_ms.into())).await;
        }
        None
    }

    /// Replay, the seam, and live. Comes back with the cursor once the stream can be handed over, if that is wanted.
    async fn advance(&mut self, sink: &mut impl StreamSink, hand_over: bool) -> Result<Id, StreamEnd> {
        let heartbeat = self.context.heartbeat;
        let mut flow = Flow { sink, heartbeat, next_heartbeat: Instant::now() + heartbeat };
        let engine = self.context.engine.clone();
        let is_unsynced = engine.head().is_none();
        if is_unsynced || !self.seam || !self.is_at(self.subscription.joined()) {
            // Where the log is read, that may take its time: the reader learns at once that it is let in. And where no
            // seam is to come, maybe nothing else goes out before the stream is handed over.
            flow.sink.begin().await?;
        }
        if is_unsynced {
            self.meet(&engine, &mut flow).await?;
        }
        if let Some(head) = engine.head()
            && head > self.subscription.joined()
        {
            // What is stored and answered is on its way to the hub: a cursor on it would get it a second time, and
            // `latest` would be the one before.
            self.subscription.reach(head).await;
        }
        loop {
            let cursor = self.replay(&mut flow).await?;
            self.send(&mut flow, BytesMut::new(), true).await?;
            if hand_over {
                return Ok(cursor);
            }
            let cursor = self.live(cursor, &mut flow).await?;
            // Overtaken: what is missing comes from the engine, up to where the ring goes on.
            if self.subscription.ring_position().is_some() {
                self.context.counters.overtaken();
            }
            self.subscription.rejoin();
            self.start = Start::After(cursor);
        }
    }

    /// Waits until the engine knows its newest id: before that nothing can be said to be behind it.
    async fn meet<O: StreamSink>(&mut self, engine: &Engine, flow: &mut Flow<'_, O>) -> Result<(), StreamEnd> {
        let synced = engine.synced();
        tokio::pin!(synced);
        loop {
            tokio::select! {
                biased;
                () = &mut synced => return Ok(()),
                away = self.wait_for_engine("it was not reached yet", flow) => away?,
            }
        }
    }

    /// Sends what the log has up to where the subscription begins; returns that place.
    async fn replay<O: StreamSink>(&mut self, flow: &mut Flow<'_, O>) -> Result<Id, StreamEnd> {
        let (until, seek) = loop {
            let (context, until) = (&self.context, self.subscription.joined());
            if self.is_at(until) {
                return Ok(until);
            }
            match context.engine.seek(&self.start, &context.filter, until, self.latest_after_ms).await {
                Ok(Seek { awaited: Some(id), .. }) => {
                    self.show_life(flow).await?;
                    // The log may have lost the cursor meanwhile, so it is asked again.
                    let _ = timeout(ENGINE_RETRY, self.subscription.reach(id)).await;
                }
                Ok(seek) => break (until, seek),
                Err(error) => self.wait_for_engine(&error.to_string(), flow).await?,
            }
        };
        let mut piece = BytesMut::new();
        if let Some(gap) = seek.gap {
            piece.extend_from_slice(&self.gap(gap));
        }
        let (mut cursor, mut trimmed) = (seek.after, seek.trimmed);
        self.send_records(piece, &seek.latest, cursor >= until, flow).await?;
        while cursor < until {
            let filter = Filter::clone(&self.context.filter);
            let range = Range { filter, after: cursor, until, limit: REPLAY_PAGE.0, bytes: REPLAY_PAGE.1 };
            let page = match self.context.engine.read(range, Direction::Forward).await {
                Ok(page) => page,
                Err(error) => {
                    self.wait_for_engine(&error.to_string(), flow).await?;
                    continue;
                }
            };
            let mut piece = BytesMut::new();
            if page.trimmed > trimmed && page.trimmed > cursor {
                // Retention overtook this reader between two pages.
                let gap = Gap { requested: cursor.to_string(), oldest: page.oldest, head: until };
                piece.extend_from_slice(&self.gap(gap));
            }
            trimmed = trimmed.max(page.trimmed);
            cursor = page.next.unwrap_or(until);
            self.send_records(piece, &page.records, cursor >= until, flow).await?;
        }
        Ok(cursor.max(until))
    }

    /// What the log no longer has may still come through the ring: then nothing behind its beginning is missing.
    fn gap(&self, gap: Gap) -> Bytes {
        self.context.counters.gap();
        let ring = self.subscription.joined().successor();
        self.context.format.gap(&Gap { oldest: gap.oldest.map(|oldest| oldest.min(ring)), ..gap })
    }

    /// Sends what comes, until the ring lost its place; returns how far it got.
    async fn live<O: StreamSink>(&mut self, mut cursor: Id, flow: &mut Flow<'_, O>) -> Result<Id, StreamEnd> {
        loop {
            match self.subscription.next() {
                Next::Chunk(chunk) => {
                    flow.send(chunk.blocks()).await?;
                    let now_ms = (self.context.ends.clock)();
                    self.context.counters.delivered(chunk.alerts, chunk.received_ms, now_ms);
                    cursor = chunk.last;
                }
                Next::Idle(head) => {
                    cursor = cursor.max(head);
                    tokio::select! {
                        () = self.subscription.changed() => {}
                        () = sleep_until(flow.next_heartbeat) => {
                            flow.send(self.context.format.cursor(Some(cursor))).await?;
                        }
                    }
                }
                Next::Lost => return Ok(cursor),
            }
        }
    }

    /// Sends `piece` and these alerts, and at their end, where it is the `seam`, its cursor with them.
    async fn send_records<O: StreamSink>(
        &mut self,
        mut piece: BytesMut,
        records: &[Record],
        seam: bool,
        flow: &mut Flow<'_, O>,
    ) -> Result<(), StreamEnd> {
        for record in records {
            self.context.format.alert(&mut piece, record);
            if piece.len() >= REPLAY_PAGE.1 {
                self.send(flow, piece.split(), false).await?;
            }
        }
        self.send(flow, piece, seam).await?;
        self.context.counters.replayed(records.len() as u64);
        Ok(())
    }

    /// Sends blocks, before the very first ones the reconnect delay, and behind them the cursor, once, where this is the
    /// `seam`.
    async fn send<O: StreamSink>(
        &mut self,
        flow: &mut Flow<'_, O>,
        mut blocks: BytesMut,
        seam: bool,
    ) -> Result<(), StreamEnd> {
        if seam && std::mem::take(&mut self.seam) {
            blocks.extend_from_slice(&self.context.format.cursor(Some(self.subscription.joined())));
        }
        if blocks.is_empty() {
            return Ok(());
        }
        let blocks = match self.retry.take() {
            Some(retry) => [&retry[..], &blocks].concat().into(),
            None => blocks.freeze(),
        };
        flow.send(blocks).await
    }

    /// The engine is away: the stream stays open, shows signs of life, and tries again.
    async fn wait_for_engine<O: StreamSink>(&mut self, reason: &str, flow: &mut Flow<'_, O>) -> Result<(), StreamEnd> {
        tracing::debug!(reason, "a stream waits for the engine");
        self.show_life(flow).await?;
        tokio::time::sleep(ENGINE_RETRY).await;
        Ok(())
    }

    /// A heartbeat of life where one is due and no cursor can be given.
    async fn show_life<O: StreamSink>(&mut self, flow: &mut Flow<'_, O>) -> Result<(), StreamEnd> {
        if Instant::now() >= flow.next_heartbeat {
            let heartbeat = BytesMut::from(&self.context.format.cursor(None)[..]);
            self.send(flow, heartbeat, false).await?;
        }
        Ok(())
    }
}

async fn ever(event: Option<impl Future<Output = ()>>) {
    match event {
        Some(event) => event.await,
        None => std::future::pending().await,
    }
}
