//! A TLS connection as the sink of a stream, in HTTP/1.1's chunked coding.
//!
//! Owned by the task that carries the stream from its first byte to its last: a broadcast loop writes to bare sockets only.
//! Without hyper and its buffers an idle stream costs a third. Always: bytes leave in the order in which they were sent.

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf};
use tokio::time::timeout;

use super::block_writer::BlockWriter;
use crate::chunked;
use crate::delivery::{BYE_TIMEOUT, ConnectionGuard, StreamEnd, StreamSink};

pub(super) struct TlsSink<S> {
    /// Until the disconnect is waited for.
    reader: Option<ReadHalf<S>>,
    writer: BlockWriter<S>,
    _connection: ConnectionGuard,
}

impl<S: AsyncRead + AsyncWrite> TlsSink<S> {
    /// A sink that sends `head` before anything else.
    pub(super) fn new(connection: S, head: Bytes, guard: ConnectionGuard) -> Self {
        let (reader, writer) = tokio::io::split(connection);
        Self { reader: Some(reader), writer: BlockWriter::new(writer, head), _connection: guard }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> StreamSink for TlsSink<S> {
    async fn start(&mut self) -> Result<(), StreamEnd> {
        self.writer.flush().await
    }

    async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        chunked::write(self.writer.pending(), |out| out.put(blocks));
        self.writer.flush().await
    }

    async fn finish(&mut self, last: Bytes) {
        self.writer.pending().put(chunked::last(&last));
        let _ = timeout(BYE_TIMEOUT, self.writer.shutdown()).await;
    }

    fn disconnected(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let reader = self.reader.take();
        async move {
            let Some(mut reader) = reader else { return };
            // A client has nothing to send on an open stream, and what it sends anyway is dropped.
            let mut dropped = [0; 64];
            while reader.read(&mut dropped).await.is_ok_and(|length| length > 0) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio_util::task::TaskTracker;

    use super::*;

    fn sink(room: usize) -> (TlsSink<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(room);
        let guard = ConnectionGuard::new(None, &TaskTracker::new());
        (TlsSink::new(ours, Bytes::from_static(b"head\r\n\r\n"), guard), theirs)
    }

    #[tokio::test]
    async fn what_was_partly_sent_when_a_send_is_cancelled_goes_on_where_it_stopped() {
        let (mut sink, mut theirs) = sink(10);
        sink.start().await.unwrap();
        let cancelled = timeout(Duration::from_millis(20), sink.send(Bytes::from_static(b"0123456789"))).await;
        assert!(cancelled.is_err());
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.unwrap();
            read
        });
        sink.finish(Bytes::from_static(b"bye")).await;
        assert_eq!(reading.await.unwrap(), b"head\r\n\r\n00000a\r\n0123456789\r\n000003\r\nbye\r\n0\r\n\r\n");
    }

    #[tokio::test]
    async fn the_end_of_the_clients_half_is_a_disconnect_and_what_it_sends_is_not() {
        let (mut sink, mut theirs) = sink(100);
        let disconnected = sink.disconnected();
        tokio::pin!(disconnected);
        theirs.write_all(&[7; 90]).await.unwrap();
        assert!(timeout(Duration::from_millis(20), &mut disconnected).await.is_err());
        theirs.shutdown().await.unwrap();
        disconnected.await;
    }
}
