//! The sending half of a connection, for sinks that write to it without hyper and its buffers.
//!
//! Always: bytes leave in the order in which they were added, also where a write was cancelled in between.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::time::timeout;

use crate::delivery::{SLOW_READER_TIMEOUT, StreamEnd};
use crate::sse::Bye;

pub(super) struct BlockWriter<S> {
    half: WriteHalf<S>,
    /// What the connection has not taken; the first block may be partly sent. Bounded: blocks are added only when it is empty,
    /// except for the final ones.
    pending: BytesMut,
}

impl<S: AsyncWrite> BlockWriter<S> {
    /// A writer that sends `head` before anything else.
    pub(super) fn new(half: WriteHalf<S>, head: Bytes) -> Self {
        Self { half, pending: head.into() }
    }

    /// Where to add what [`flush`](Self::flush) sends.
    pub(super) fn pending(&mut self) -> &mut BytesMut {
        &mut self.pending
    }

    /// Writes everything that is pending. Fails if the client takes nothing for [`SLOW_READER_TIMEOUT`]. Safe to cancel.
    pub(super) async fn flush(&mut self) -> Result<(), StreamEnd> {
        while !self.pending.is_empty() {
            let sent = in_time(self.half.write(&self.pending)).await?;
            self.pending.advance(sent);
        }
        // An idle stream keeps no buffer.
        self.pending = BytesMut::new();
        in_time(self.half.flush()).await
    }

    /// Writes everything that is pending, and closes the connection.
    pub(super) async fn shutdown(&mut self) -> Result<(), StreamEnd> {
        self.flush().await?;
        self.half.shutdown().await.map_err(|_| StreamEnd::Gone)
    }
}

async fn in_time<T>(written: impl Future<Output = io::Result<T>>) -> Result<T, StreamEnd> {
    match timeout(SLOW_READER_TIMEOUT, written).await {
        Ok(written) => written.map_err(|_| StreamEnd::Gone),
        Err(_) => Err(StreamEnd::Bye(Bye::Slow)),
    }
}
