//! The body of a request, and what becomes of the part that nobody reads.
//!
//! A request may be refused before its body has arrived. Over HTTP/1 the connection discards the rest before it closes
//! ([`connection`](super::connection)). Over HTTP/2, dropping a body resets its stream, upon which some clients (curl 7.88)
//! throw away the answer that they already have. So the rest is read and discarded there too. Always: how much is discarded,
//! and for how long, is bounded, and the stream counts as open meanwhile, so that a connection has no more of these than
//! streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use super::stopping::{Stop, too_late};

/// How much of a body that nobody reads is discarded, and for how long, so that the client reads the refusal.
pub(crate) const LINGER_BYTES: usize = 64 << 20;
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that sends nothing for this long is not sending any more.
pub(crate) const LINGER_IDLE: Duration = Duration::from_secs(2);

/// A body that is still arriving.
pub(crate) struct RequestBody {
    incoming: Option<Incoming>,
    stop: Arc<Stop>,
    /// Whether the rest is to be discarded here.
    discards: bool,
}

impl RequestBody {
    /// Over HTTP/1, to a server with this stop.
    #[must_use]
    pub(crate) const fn http1(incoming: Incoming, stop: Arc<Stop>) -> Self {
        Self { incoming: Some(incoming), stop, discards: false }
    }

    /// The same over HTTP/2.
    #[must_use]
    pub(crate) const fn http2(incoming: Incoming, stop: Arc<Stop>) -> Self {
        Self { incoming: Some(incoming), stop, discards: true }
    }

    pub(crate) const fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.get_mut().incoming.as_mut().map_or(Poll::Ready(None), |incoming| Pin::new(incoming).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take().filter(|_| self.discards) else { return };
        let stop = Arc::clone(&self.stop);
        // Without a runtime the connection has ended as well.
        if let (false, Ok(runtime)) = (incoming.is_end_stream(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                tokio::select! {
                    _ = timeout(LINGER_TIMEOUT, discard(incoming)) => {}
                    () = too_late(&stop) => {}
                }
            });
        }
    }
}

async fn discard(mut incoming: Incoming) {
    let mut left = LINGER_BYTES;
    while let Ok(Some(Ok(frame))) = timeout(LINGER_IDLE, incoming.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}
