//! A stream while its engine is away.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::endings::StreamEnd;
use super::sink::StreamSink;
use super::stream::Stream;
use super::writer::Writer;
use crate::engine::Engine;

/// Pause between two attempts to reach an engine that is away.
pub(super) const ENGINE_RETRY: Duration = Duration::from_millis(500);

impl Stream {
    /// Waits until the engine knows its newest id. Before that, it cannot tell what follows a cursor.
    pub(super) async fn wait_until_synced<S: StreamSink>(
        &mut self,
        engine: &Engine,
        writer: &mut Writer<'_, S>,
    ) -> Result<(), StreamEnd> {
        let synced = engine.synced();
        tokio::pin!(synced);
        loop {
            tokio::select! {
                biased;
                () = &mut synced => return Ok(()),
                waited = self.wait_for_engine("it was not reached yet", writer) => waited?,
            }
        }
    }

    /// Keeps the stream open for a moment while the engine is away.
    pub(super) async fn wait_for_engine<S: StreamSink>(
        &mut self,
        reason: &str,
        writer: &mut Writer<'_, S>,
    ) -> Result<(), StreamEnd> {
        tracing::debug!(reason, "a stream waits for the engine");
        self.send_heartbeat_if_due(writer).await?;
        // At random, because all streams lost the engine at the same moment.
        tokio::time::sleep(crate::random::between(ENGINE_RETRY / 2, ENGINE_RETRY * 3 / 2)).await;
        Ok(())
    }

    /// Sends a heartbeat without a cursor, which is not known before the replay is complete.
    pub(super) async fn send_heartbeat_if_due<S: StreamSink>(
        &mut self,
        writer: &mut Writer<'_, S>,
    ) -> Result<(), StreamEnd> {
        if Instant::now() >= writer.next_heartbeat && !self.ends_at_seam {
            let heartbeat = BytesMut::from(&self.context.format.cursor(None, self.context.now_ms())[..]);
            self.send(heartbeat, None, writer).await?;
        }
        Ok(())
    }
}
