//! The way from a stream to its reader, whatever carries it.
//!
//! The HTTP layer has one for each transport; streams know no other.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::sse::Bye;

/// A reader that takes nothing for so long is too slow.
pub(crate) const SLOW_READER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last words may take.
pub(crate) const BYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a stream goes on no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The reader is gone: nobody is left to tell.
    Gone,
    /// The server ends it, and says why.
    Bye(Bye),
}

impl StreamEnd {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Gone,
        Self::Bye(Bye::Restart),
        Self::Bye(Bye::Stop),
        Self::Bye(Bye::Revoked),
        Self::Bye(Bye::Expired),
        Self::Bye(Bye::Slow),
        Self::Bye(Bye::Lifetime),
    ];

    /// One word.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Bye(bye) => bye.as_str(),
        }
    }
}

/// The way to the reader.
pub(crate) trait StreamSink: Send {
    /// Sends what goes before the stream, at once.
    fn begin(&mut self) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Sends whole blocks; waits until the reader has room, for [`SLOW_READER_TIMEOUT`] at the most.
    fn send(&mut self, blocks: Bytes) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Sends the last words, where the reader takes them within [`BYE_TIMEOUT`].
    fn finish(&mut self, last: Bytes) -> impl Future<Output = ()> + Send;

    /// Waits until the reader is gone.
    fn gone(&mut self) -> impl Future<Output = ()> + Send + 'static;
}

/// Sends, and knows when the next sign of life is due.
pub(super) struct Flow<'a, O> {
    pub(super) sink: &'a mut O,
    pub(super) heartbeat: Duration,
    pub(super) next_heartbeat: Instant,
}

impl<O: StreamSink> Flow<'_, O> {
    pub(super) async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        self.sink.send(blocks).await?;
        self.next_heartbeat = Instant::now() + self.heartbeat;
        Ok(())
    }
}
