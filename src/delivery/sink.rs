//! Where a stream writes to. There is one implementation for each transport: [`SocketSink`](super::SocketSink) here, and
//! two in the HTTP layer, over TLS and through hyper.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::endings::StreamEnd;

/// A client that takes no byte for this long is disconnected.
pub(crate) const SLOW_READER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the final `bye` of a stream may take.
pub(crate) const BYE_TIMEOUT: Duration = Duration::from_secs(1);

/// The client's end of a stream.
pub(crate) trait StreamSink: Send {
    /// Sends what comes before the first block, such as the head of the response.
    fn start(&mut self) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Sends whole blocks. Waits until the client has room, at most [`SLOW_READER_TIMEOUT`].
    fn send(&mut self, blocks: Bytes) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Sends the last blocks if the client takes them within [`BYE_TIMEOUT`].
    fn finish(&mut self, last: Bytes) -> impl Future<Output = ()> + Send;

    /// Waits until the client has disconnected.
    fn disconnected(&mut self) -> impl Future<Output = ()> + Send + 'static;
}

/// A sink, and when the stream's next heartbeat is due.
pub(super) struct Writer<'a, S> {
    pub(super) sink: &'a mut S,
    pub(super) heartbeat: Duration,
    pub(super) next_heartbeat: Instant,
}

impl<S: StreamSink> Writer<'_, S> {
    pub(super) async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        self.sink.send(blocks).await?;
        self.next_heartbeat = Instant::now() + self.heartbeat;
        Ok(())
    }
}
