//! Open streams: everything between the service, which authorises them, and the sockets of their clients.
//!
//! ```text
//!   service.open_stream ── Delivery::open ──> Stream ─────────── http gives it a sink
//!                                                │
//!                 TLS, HTTP/2, HTTP/1.0          │          plain HTTP/1.1
//!              ┌────── Stream::run <─────────────┴──────────> Delivery::carry
//!              v                                                    v
//!   task: replay ─ seam ─ live ─ bye                     task: replay ─ seam
//!                                                                   │ CaughtUp  ^
//!                                                                   v           │ its ring has overwritten
//!                                                        loop: Subscriber ──────┘ what comes next
//!                                                                   │
//!                                                                   v
//!                                                                  bye
//! ```
//!
//! | file | owns |
//! |---|---|
//! | [`stream`] | a stream while a task carries it, and what is handed over when it has caught up |
//! | [`replay`] | its replay from the log |
//! | [`shared_pages`] | encoded pages of the log, for streams that replay the same part |
//! | [`context`] | what the streams of one key and filter share |
//! | [`sink`] | where a stream writes to |
//! | [`waiting`] | a stream while its engine is away |
//! | [`writer`] | a task's writes to it |
//! | [`socket_sink`] | a plain socket as a sink |
//! | [`drain`] | whether streams go on, leave one after the other, or all end |
//! | [`endings`] | the reasons for which streams end |
//! | [`slots`] | the number of open streams, and its limits |
//! | [`counters`] | what was delivered, and how fast |
//! | [`backpressure`] | publishers wait while subscribers with room are far behind |
//! | [`fanout`] | the broadcast loops |
//! | [`takeover`] | streams between two processes |
//! | [`hand_over`], [`suspend`] | giving streams to the next process, and continuing those of the previous one |
//!
//! Called by the service, which opens streams, and by the HTTP layer, which gives them a sink. It authorises nothing, but
//! ends a stream whose key no longer covers it. Always: one task or loop owns the socket of a stream at any time; no lock is
//! held during a write to a socket.

mod backpressure;
mod context;
mod counters;
mod drain;
mod endings;
mod fanout;
mod hand_over;
mod replay;
mod shared_pages;
mod sink;
mod slots;
mod socket_sink;
mod stream;
mod suspend;
pub(crate) mod takeover;
#[cfg(test)]
mod tests;
mod waiting;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alert::{Filter, Start};
use crate::engine::{Clock, Engine};
use crate::hub::Hub;
use crate::keyring::KeyState;
use crate::sse::{Bye, Format};
use crate::supervisor;
pub(crate) use backpressure::Backpressure;
use context::StreamContext;
pub(crate) use counters::{Counters, PageSource, Takeover};
pub(crate) use drain::{Drain, MAX_DRAIN};
use endings::Endings;
pub(crate) use endings::StreamEnd;
use fanout::{Fanout, Loops, Shared};
pub(crate) use hand_over::Continuation;
use shared_pages::SharedPages;
pub(crate) use sink::{BYE_TIMEOUT, SLOW_READER_TIMEOUT, StreamSink};
pub(crate) use slots::{KINDS, LimitReached, StreamLimits, StreamSlots, Transport};
pub(crate) use socket_sink::{ConnectionGuard, SocketSink};
use stream::Seam;
pub(crate) use stream::Stream;
use takeover::Suspension;

/// Opens streams, runs the broadcast loops, and ends both.
pub(crate) struct Delivery {
    engine: Engine,
    hub: Hub,
    clock: Clock,
    drain: watch::Sender<Drain>,
    slots: Arc<StreamSlots>,
    counters: Arc<Counters>,
    pages: Arc<SharedPages>,
    backpressure: Arc<Backpressure>,
    loops: Arc<Loops>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    suspension: Arc<Suspension>,
}

/// What an authorised caller asks for.
pub(crate) struct StreamRequest<'a> {
    /// The key or local socket against whose limits the stream counts.
    pub owner: &'a str,
    /// None on the local sockets, which need no key.
    pub key: Option<watch::Receiver<KeyState>>,
    pub filter: Filter,
    pub format: Format,
    pub start: Start,
    /// With [`Start::Latest`]: older alerts are not sent.
    pub latest_after_ms: u64,
    pub heartbeat: Duration,
    /// The reconnect delay that the client is told.
    pub retry: Duration,
    /// The maximum age of the stream.
    pub lifetime: Option<Duration>,
    pub limits: StreamLimits,
    /// For a poll: the stream is complete once it has sent what the log has.
    pub ends_at_seam: bool,
}

impl Delivery {
    /// Starts `loops` broadcast loops, each on its own thread. Call it within the runtime.
    ///
    /// # Errors
    /// If the system has no descriptors or threads left.
    pub(crate) fn start(engine: Engine, hub: Hub, clock: Clock, loops: usize) -> io::Result<Self> {
        let suspension = Arc::<Suspension>::default();
        let delivery = Self {
            pages: SharedPages::new(engine.clone()),
            engine,
            hub,
            clock: Arc::clone(&clock),
            drain: watch::Sender::new(Drain::Off),
            slots: Arc::default(),
            counters: Arc::default(),
            backpressure: Arc::default(),
            loops: Arc::new(Loops::new(loops, Arc::clone(&suspension))?),
            threads: Mutex::default(),
            suspension: Arc::clone(&suspension),
        };
        let shared = Shared {
            loops: Arc::clone(&delivery.loops),
            runtime: Handle::current(),
            counters: Arc::clone(&delivery.counters),
            backpressure: Arc::clone(&delivery.backpressure),
            clock,
            drain: delivery.drain.subscribe(),
            suspension,
        };
        for (number, mailbox) in delivery.loops.mailboxes().enumerate() {
            let fanout = Fanout::new(shared.clone(), Arc::clone(mailbox))?;
            let thread = supervisor::essential_thread(format!("alertd-fan-{number}"), move || fanout.run())?;
            delivery.threads.lock().push(thread);
        }
        Ok(delivery)
    }

    /// Opens a stream. An engine that is away is not an error: the stream waits for it.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn open(&self, request: StreamRequest<'_>) -> Result<Box<Stream>, LimitReached> {
        let StreamRequest { owner, key, filter, format, start, latest_after_ms, ends_at_seam, .. } = request;
        let StreamRequest { heartbeat, retry, lifetime, limits, .. } = request;
        let slot = self.slots.take(owner, format.kind(), limits)?;
        let filter = Arc::new(filter);
        let clock = Arc::clone(&self.clock);
        let endings = Endings { drain: self.drain.subscribe(), key, filter: Arc::clone(&filter), clock };
        let retry_ms = u32::try_from(retry.as_millis()).unwrap_or(u32::MAX);
        let opening = (!ends_at_seam).then(|| format.opening(retry_ms.into(), (self.clock)()));
        let context = self.context(filter, format, owner, heartbeat, endings);
        Ok(Box::new(Stream {
            subscription: context.subscribe(),
            start,
            backlog: VecDeque::new(),
            backlog_since: 0,
            latest_after_ms,
            seam: Seam::Due,
            ends_at_seam,
            opening,
            retry_ms,
            expires_at: lifetime.map(|lifetime| Instant::now() + lifetime),
            slot,
            context,
        }))
    }

    fn context(
        &self,
        filter: Arc<Filter>,
        format: Format,
        owner: &str,
        heartbeat: Duration,
        endings: Endings,
    ) -> Arc<StreamContext> {
        Arc::new(StreamContext {
            engine: self.engine.clone(),
            hub: self.hub.clone(),
            filter,
            heartbeat: format.heartbeat(heartbeat),
            format,
            owner: owner.to_owned(),
            endings,
            counters: Arc::clone(&self.counters),
            pages: Arc::clone(&self.pages),
            suspension: Arc::clone(&self.suspension),
        })
    }

    /// Carries a stream over a plain socket until a broadcast loop takes it over or it ends. Only a stream that has to wait
    /// on the way needs a task. Call it within the runtime.
    pub(crate) fn carry(&self, stream: Box<Stream>, sink: SocketSink) {
        let (loops, task) = (Arc::clone(&self.loops), self.suspension.task());
        let mut carried = Box::pin(async move {
            loops.carry(stream, sink).await;
            drop(task);
        });
        if carried.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(carried);
        }
    }

    /// Ends all streams, and each one that is opened from now on, with this reason.
    pub(crate) fn drain(&self, bye: Bye) {
        self.drain.send_replace(Drain::Ending(bye));
    }

    /// Has streams leave over a time. Returns false if all of them end already.
    pub(crate) fn begin_drain(&self, over: Duration) -> bool {
        self.change_drain(|drain| *drain = Drain::Leaving { since: Instant::now(), over })
    }

    /// Lets the streams that are left go on. Returns false if none were leaving.
    pub(crate) fn end_drain(&self) -> bool {
        let is_leaving = matches!(self.drain_state(), Drain::Leaving { .. });
        is_leaving && self.change_drain(|drain| *drain = Drain::Off)
    }

    fn change_drain(&self, change: impl FnOnce(&mut Drain)) -> bool {
        self.drain.send_if_modified(|drain| {
            let may = !matches!(drain, Drain::Ending(_));
            if may {
                change(drain);
            }
            may
        })
    }

    /// Whether streams go on, leave or end.
    pub(crate) fn drain_state(&self) -> Drain {
        *self.drain.borrow()
    }

    /// Whether the process is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.drain_state(), Drain::Ending(_)) || self.suspension.is_leaving()
    }

    pub(crate) fn slots(&self) -> &StreamSlots {
        &self.slots
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn backpressure(&self) -> &Backpressure {
        &self.backpressure
    }

    /// Passes the watchdog's marker to each loop.
    pub(crate) fn mark(&self, marker: u64) {
        self.loops.mark(marker);
    }

    /// The newest marker that all loops have seen.
    #[must_use]
    pub(crate) fn synced(&self) -> u64 {
        self.loops.synced()
    }

    /// Ends the loops. Streams that they still have are cut off.
    pub(crate) fn stop(&self) {
        self.loops.quit();
        self.join();
    }

    fn join(&self) {
        for thread in self.threads.lock().drain(..) {
            // A loop that panics aborts the process, so there is no error to report.
            let _ = thread.join();
        }
    }
}
