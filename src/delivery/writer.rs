//! A task's writes to the sink of its stream. A write of alerts ends when one of them is retracted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::context::StreamContext;
use super::endings::StreamEnd;
use super::sink::StreamSink;
use crate::hub::Held;

/// A sink, and when the stream's next heartbeat is due.
pub(super) struct Writer<'a, S> {
    pub(super) sink: &'a mut S,
    pub(super) context: Arc<StreamContext>,
    pub(super) heartbeat: Duration,
    pub(super) next_heartbeat: Instant,
}

impl<S: StreamSink> Writer<'_, S> {
    /// Sends the head, and what another process or a loop has left, which are alerts that are `held`.
    pub(super) async fn start(&mut self, held: &Held) -> Result<(), StreamEnd> {
        tokio::select! {
            biased;
            started = self.sink.start() => started,
            () = self.context.retracts(held) => Err(StreamEnd::Retracted),
        }
    }

    /// Sends blocks without alerts.
    pub(super) async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        self.sink.send(blocks).await?;
        self.next_heartbeat = Instant::now() + self.heartbeat;
        Ok(())
    }

    /// Sends alerts that are `held`. Fails if one of them is retracted before the client has taken all.
    pub(super) async fn send_alerts(&mut self, blocks: Bytes, held: &Held) -> Result<(), StreamEnd> {
        tokio::select! {
            biased;
            sent = self.sink.send(blocks) => sent?,
            () = self.context.retracts(held) => return Err(StreamEnd::Retracted),
        }
        self.next_heartbeat = Instant::now() + self.heartbeat;
        Ok(())
    }
}
