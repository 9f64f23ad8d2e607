//! Where a stream writes to. There is one implementation for each transport: [`SocketSink`](super::SocketSink) here, and
//! two in the HTTP layer, over TLS and through hyper.

use std::time::Duration;

use bytes::Bytes;

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
