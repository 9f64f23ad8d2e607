//! One open stream while a task carries it: replay, the seam, then live, until something ends it.
//!
//! Made by [`Delivery::open`](super::Delivery::open). [`Stream::run`] carries it to its end; [`Stream::catch_up`] only until
//! a broadcast loop can take it over. Always: the sink gets whole blocks, so a stream never ends inside one; the client
//! sets the pace, because a stream holds one page or chunk at a time; and whenever the task waits, `start` and
//! `backlog` describe what follows the blocks in the sink, so that another process can go on from there.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};

use super::context::StreamContext;
use super::endings::StreamEnd;
use super::sink::StreamSink;
use super::slots::{StreamSlot, Transport};
use super::socket_sink::{ConnectionGuard, SocketSink};
use super::takeover::CarriedStream;
use super::writer::Writer;
use crate::alert::{Id, Record, Start};
use crate::hub::{Held, Next, Subscription};
use crate::sse::Bye;

/// A stream before, or while, a task carries it.
pub(crate) struct Stream {
    pub(super) context: Arc<StreamContext>,
    pub(super) subscription: Subscription,
    /// Where the stream continues after the backlog.
    pub(super) start: Start,
    /// Alerts to send before what `start` says: the newest one of each topic.
    pub(super) backlog: VecDeque<Record>,
    /// How many alerts had been retracted before the backlog was read.
    pub(super) backlog_since: u64,
    /// With [`Start::Latest`]: older alerts are not sent.
    pub(super) latest_after_ms: u64,
    pub(super) seam: Seam,
    /// For a poll: the stream is complete at the seam.
    pub(super) ends_at_seam: bool,
    /// What comes before or with the first block.
    pub(super) opening: Option<Bytes>,
    /// The client's reconnect delay, for the final `bye`.
    pub(super) retry_ms: u32,
    /// When the stream reaches its maximum age.
    pub(super) expires_at: Option<Instant>,
    pub(super) slot: StreamSlot,
}

/// Whether the client still has to be told the cursor at which its stream goes from replay to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seam {
    Due,
    Sent,
}

/// How far a task carries a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    End,
    CaughtUp,
}

/// How a task stopped carrying a stream.
enum Delivered {
    CaughtUp(Id),
    /// The process is about to end, and the stream has not.
    Suspended,
    Ended,
}

/// What becomes of a stream that a task has carried over a plain socket.
pub(super) enum Outcome {
    CaughtUp(CaughtUp),
    Suspended(CarriedStream),
    Ended,
}

/// A stream whose client has everything up to a position in a ring, ready for a broadcast loop.
pub(super) struct CaughtUp {
    pub(super) context: Arc<StreamContext>,
    pub(super) subscription: Subscription,
    /// Everything up to this id was delivered or filtered out.
    pub(super) cursor: Id,
    pub(super) retry_ms: u32,
    pub(super) expires_at: Option<Instant>,
    pub(super) slot: StreamSlot,
    pub(super) socket: OwnedFd,
    pub(super) connection: ConnectionGuard,
}

impl Stream {
    /// Continues a stream whose ring no longer has what follows `cursor`: from the log, then on the ring again.
    pub(super) fn resume(
        context: Arc<StreamContext>,
        cursor: Id,
        retry_ms: u32,
        expires_at: Option<Instant>,
        slot: StreamSlot,
    ) -> Box<Self> {
        Box::new(Self {
            subscription: context.subscribe(),
            start: Start::After(cursor),
            backlog: VecDeque::new(),
            backlog_since: 0,
            latest_after_ms: 0,
            seam: Seam::Sent,
            ends_at_seam: false,
            opening: None,
            retry_ms,
            expires_at,
            slot,
            context,
        })
    }

    /// Carries the stream to its end.
    pub(crate) async fn run(mut self: Box<Self>, mut sink: impl StreamSink) {
        let leaving = self.context.suspension.leaving();
        let until = if self.ends_at_seam { Until::CaughtUp } else { Until::End };
        match self.deliver(&mut sink, until, leaving).await {
            Delivered::CaughtUp(_) => self.complete(&mut sink).await,
            // A stream that no other process can continue resumes by a new connection.
            Delivered::Suspended => self.end(StreamEnd::Bye(Bye::Restart), &mut sink).await,
            Delivered::Ended => {}
        }
    }

    /// Carries the stream until its client has everything up to a position in a ring; one without a ring until its end.
    pub(super) async fn catch_up(mut self: Box<Self>, mut sink: SocketSink) -> Outcome {
        let until = match self.subscription.ring_position() {
            None if !self.ends_at_seam => Until::End,
            _ => Until::CaughtUp,
        };
        self.slot.set_transport(match until {
            Until::CaughtUp => Transport::Loop,
            Until::End => Transport::Task,
        });
        let suspended = self.context.suspension.requested();
        match self.deliver(&mut sink, until, suspended).await {
            Delivered::CaughtUp(_) if self.ends_at_seam => {
                self.complete(&mut sink).await;
                Outcome::Ended
            }
            Delivered::CaughtUp(cursor) => {
                let Some((socket, connection)) = sink.into_parts() else { return Outcome::Ended };
                let Self { context, subscription, retry_ms, expires_at, slot, .. } = *self;
                let caught_up =
                    CaughtUp { context, subscription, cursor, retry_ms, expires_at, slot, socket, connection };
                Outcome::CaughtUp(caught_up)
            }
            Delivered::Suspended => self.suspend(sink).map_or(Outcome::Ended, Outcome::Suspended),
            Delivered::Ended => Outcome::Ended,
        }
    }

    /// Carries the stream until it has caught up, until it ends, or until `suspended`.
    async fn deliver(
        &mut self,
        sink: &mut impl StreamSink,
        until: Until,
        suspended: impl Future<Output = ()>,
    ) -> Delivered {
        let ended = self.context.endings.clone().wait(self.expires_at);
        // A stream that is handed over in a moment notices a disconnect by a failed write; watching the socket would
        // cost two system calls for each stream.
        let disconnected = (until == Until::End).then(|| sink.disconnected());
        let end = tokio::select! {
            // Polled in this order, so that frames that are ready go out before the bye.
            biased;
            advanced = self.advance(sink, until) => match advanced {
                Ok(cursor) => return Delivered::CaughtUp(cursor),
                Err(end) => end,
            },
            bye = ended => StreamEnd::Bye(bye),
            () = or_never(disconnected) => StreamEnd::Gone,
            () = suspended => return Delivered::Suspended,
        };
        self.end(end, sink).await;
        Delivered::Ended
    }

    async fn complete(&self, sink: &mut impl StreamSink) {
        self.context.counters.stream_ended(StreamEnd::Complete);
        sink.finish(Bytes::new()).await;
    }

    async fn end(&self, end: StreamEnd, sink: &mut impl StreamSink) {
        self.context.counters.stream_ended(end);
        // A poll that ends early must not look complete, so its connection is closed without the end of the body.
        if let (StreamEnd::Bye(bye), false) = (end, self.ends_at_seam) {
            sink.finish(self.context.format.bye(bye, self.retry_ms.into())).await;
        }
    }

    /// Replay, the seam, and live. Returns the cursor at the seam with [`Until::CaughtUp`]; otherwise it never succeeds.
    async fn advance(&mut self, sink: &mut impl StreamSink, until: Until) -> Result<Id, StreamEnd> {
        let heartbeat = self.context.heartbeat;
        let context = Arc::clone(&self.context);
        let mut writer = Writer { sink, context, heartbeat, next_heartbeat: Instant::now() + heartbeat };
        let engine = self.context.engine.clone();
        let is_synced = engine.head().is_some();
        let seam_comes_at_once = self.seam == Seam::Due && self.needs_no_replay(self.subscription.joined());
        if !is_synced || !(self.is_new() || seam_comes_at_once) {
            // Otherwise it goes out with what follows, which a new stream sends soon.
            self.start(&mut writer).await?;
        }
        if !is_synced {
            Box::pin(self.wait_until_synced(&engine, &mut writer)).await?;
        }
        if let Some(head) = engine.head()
            && head > self.subscription.joined()
        {
            // The hub may lag behind alerts that were already acknowledged. Without waiting, a client that resumes at
            // such an id would get that alert twice, and `latest` would be the alert before it.
            self.subscription.reach(head).await;
        }
        // Not before: a client may publish as soon as it has it, and what was passed over by then does not come.
        if self.context.format.opens_at_once()
            && let Some(opening) = self.opening.take()
        {
            writer.send(opening).await?;
        }
        loop {
            let joined = self.subscription.joined();
            // Boxed here and above, because the task of a stream is as large as its largest branch, and most streams have
            // nothing to replay.
            let cursor = if self.needs_no_replay(joined) { joined } else { Box::pin(self.replay(&mut writer)).await? };
            let mut blocks = BytesMut::new();
            self.start = Start::After(cursor);
            self.push_seam(&mut blocks);
            self.send(blocks, None, &mut writer).await?;
            if until == Until::CaughtUp {
                return Ok(cursor);
            }
            let cursor = self.live(cursor, &mut writer).await?;
            // The missing alerts come from the log, up to where the subscription joins again.
            self.subscription.rejoin();
            self.start = Start::After(cursor);
        }
    }

    /// Sends what comes until the subscription is lost. Returns the cursor.
    async fn live<S: StreamSink>(&mut self, mut cursor: Id, writer: &mut Writer<'_, S>) -> Result<Id, StreamEnd> {
        loop {
            let since = self.context.hub.retractions();
            match self.subscription.next() {
                Next::Chunk(chunk) => {
                    self.start = Start::After(chunk.last);
                    let held = Held { since, after: chunk.first.predecessor(), upto: chunk.last };
                    writer.send_alerts(chunk.blocks(), &held).await?;
                    let now_ms = (self.context.endings.clock)();
                    self.context.counters.sent_live(chunk.alerts, chunk.received_ms, now_ms);
                    cursor = chunk.last;
                }
                Next::Idle(head) => {
                    cursor = cursor.max(head);
                    self.start = Start::After(cursor);
                    tokio::select! {
                        () = self.subscription.changed() => {}
                        () = sleep_until(writer.next_heartbeat) => {
                            writer.send(self.context.format.cursor(Some(cursor), self.context.now_ms())).await?;
                        }
                    }
                }
                Next::Retracted => return Ok(cursor),
                Next::Lost => {
                    if self.subscription.ring_position().is_some() {
                        self.context.counters.stream_overtaken();
                    }
                    return Ok(cursor);
                }
            }
        }
    }

    /// Whether nothing was sent yet, neither by this process nor by an earlier one.
    const fn is_new(&self) -> bool {
        self.opening.is_some()
    }

    /// Sends the head, and what another process or a loop has left.
    async fn start<S: StreamSink>(&self, writer: &mut Writer<'_, S>) -> Result<(), StreamEnd> {
        let upto = if let Start::After(cursor) = self.start { cursor } else { Id::ZERO };
        writer.start(&Held { since: self.context.hub.retractions(), after: Id::ZERO, upto }).await
    }

    /// Waits for an answer of the engine. The head of the response goes out first if that may take a while.
    pub(super) async fn wait_for<T, S: StreamSink>(
        &self,
        answer: impl Future<Output = T>,
        writer: &mut Writer<'_, S>,
    ) -> Result<T, StreamEnd> {
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer),
            () = std::future::ready(()) => self.start(writer).await?,
        }
        Ok(answer.await)
    }

    /// Appends the cursor between replay and live, unless it was sent.
    pub(super) fn push_seam(&mut self, blocks: &mut BytesMut) {
        if std::mem::replace(&mut self.seam, Seam::Sent) == Seam::Due {
            let (joined, now_ms) = (self.subscription.joined(), self.context.now_ms());
            blocks.extend_from_slice(&self.context.format.seam(joined, now_ms));
        }
    }

    /// Sends blocks, if there are any, with the alerts that are `held`; before the very first ones what opens the stream.
    pub(super) async fn send<S: StreamSink>(
        &mut self,
        blocks: BytesMut,
        held: Option<&Held>,
        writer: &mut Writer<'_, S>,
    ) -> Result<(), StreamEnd> {
        if blocks.is_empty() {
            return Ok(());
        }
        let blocks = match self.opening.take() {
            Some(opening) => [&opening[..], &blocks].concat().into(),
            None => blocks.freeze(),
        };
        match held {
            Some(held) => writer.send_alerts(blocks, held).await,
            None => writer.send(blocks).await,
        }
    }
}

async fn or_never(event: Option<impl Future<Output = ()>>) {
    match event {
        Some(event) => event.await,
        None => std::future::pending().await,
    }
}
