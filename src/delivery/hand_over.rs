//! Handing streams over to the next process, and continuing those of the previous one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::endings::Endings;
use super::socket_sink::{ConnectionGuard, SocketSink};
use super::stream::{Seam, Stream};
use super::takeover::CarriedStream;
use super::{Delivery, StreamLimits};
use crate::keyring::KeyState;
use crate::sse::Bye;

/// How long tasks, and then loops, may take to stop. They do so between two writes, none of which waits.
const SUSPEND: Duration = Duration::from_secs(1);

/// What another process's stream needs, besides its record, to continue here.
pub(crate) struct Continuation<'a> {
    /// As in [`StreamRequest`](super::StreamRequest).
    pub owner: &'a str,
    pub key: Option<watch::Receiver<KeyState>>,
    pub heartbeat: Duration,
}

impl Delivery {
    /// Ends streams that no other process can continue, with [`Bye::Restart`]. All others go on.
    pub(crate) fn leave(&self) {
        self.suspension.leave();
    }

    /// Stops all streams and gives them away; those that do not stop in time end.
    pub(crate) async fn suspend(self: &Arc<Self>) -> Vec<CarriedStream> {
        self.suspension.request();
        let mut in_time = self.suspension.tasks_ended(SUSPEND).await;
        self.loops.suspend();
        let delivery = Arc::clone(self);
        let joined = tokio::task::spawn_blocking(move || delivery.join());
        in_time &= timeout(SUSPEND, joined).await.is_ok();
        // A loop may have handed a stream back to a task just before it stopped.
        in_time &= self.suspension.tasks_ended(SUSPEND).await;
        let streams = self.suspension.collect();
        if !in_time {
            tracing::warn!(streams = streams.len(), "not all streams could be stopped for the next process");
        }
        self.drain(Bye::Restart);
        streams
    }

    /// Continues a stream of another process. Returns it with a reason if it has to end. Call it within the runtime.
    pub(crate) fn continue_stream(
        &self,
        stream: CarriedStream,
        continuation: Continuation<'_>,
        connection: ConnectionGuard,
    ) -> Option<(CarriedStream, Bye)> {
        let Continuation { owner, key, heartbeat } = continuation;
        let record = &stream.record;
        let subscription = record.subscription.clone();
        let clock = Arc::clone(&self.clock);
        let mut endings =
            Endings { drain: self.drain.subscribe(), key, filter: Arc::clone(&subscription.filter), clock };
        // Checked here, because a stream with frames to send would otherwise send them before its end.
        if let Err(bye) = endings.check() {
            return Some((stream, bye));
        }
        // The stream was admitted once, and a lower limit ends no stream.
        let unlimited = StreamLimits { per_key: 0, total: 0 };
        let Ok(slot) = self.slots.take(owner, subscription.format.kind(), unlimited) else {
            return Some((stream, Bye::Restart));
        };
        let context = self.context(subscription.filter, subscription.format, owner, heartbeat, endings);
        let carried = Box::new(Stream {
            subscription: context.subscribe(),
            start: record.start.clone(),
            backlog: VecDeque::new(),
            backlog_since: 0,
            latest_after_ms: record.latest_after_ms,
            seam: if record.has_passed_seam { Seam::Sent } else { Seam::Due },
            ends_at_seam: false,
            opening: None,
            retry_ms: record.retry_ms,
            expires_at: record.lifetime.map(|lifetime| Instant::now() + lifetime),
            slot,
            context,
        });
        let sink = SocketSink::continued(stream.socket, stream.record.unsent, stream.record.patience, connection);
        self.carry(carried, sink);
        None
    }
}
