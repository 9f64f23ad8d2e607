//! A connection that has become a WebSocket, as the sink of a stream: each line of its blocks is a message, and an empty
//! one a Ping.
//!
//! Owned by the task that carries the stream. What the client sends is read beside that. Always: frames leave whole and in
//! order, and a client that floods or breaks the protocol only ends its own connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::frame::{self, Fault, Incoming, Received};
use crate::delivery::{BYE_TIMEOUT, ConnectionGuard, StreamEnd, StreamSink};
use crate::http::block_writer::BlockWriter;

/// Frames that a client may send in this time. Clients send a Ping every few seconds at most.
const MAX_FRAMES: u32 = 120;
const PERIOD: Duration = Duration::from_secs(60);

pub(crate) struct WebSocketSink<S> {
    /// Until the disconnect is waited for.
    reader: Option<ReadHalf<S>>,
    writer: Arc<Mutex<BlockWriter<S>>>,
    _connection: ConnectionGuard,
}

impl<S: AsyncRead + AsyncWrite> WebSocketSink<S> {
    /// A sink that sends `head` before anything else.
    pub(crate) fn new(connection: S, head: Bytes, guard: ConnectionGuard) -> Self {
        let (reader, writer) = tokio::io::split(connection);
        let writer = Arc::new(Mutex::new(BlockWriter::new(writer, head)));
        Self { reader: Some(reader), writer, _connection: guard }
    }
}

fn put_frames(out: &mut BytesMut, blocks: &[u8]) {
    for line in blocks.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n").unwrap_or(line) {
            b"" => frame::ping(out),
            message => frame::text(out, message),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> StreamSink for WebSocketSink<S> {
    async fn start(&mut self) -> Result<(), StreamEnd> {
        self.writer.lock().await.flush().await
    }

    async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        let mut writer = self.writer.lock().await;
        put_frames(writer.pending(), &blocks);
        writer.flush().await
    }

    /// Closes the connection without a Close frame. ntfy's app for Android reconnects when a connection is cut, but takes a
    /// Close for an end that was wanted, and stays away.
    async fn finish(&mut self, last: Bytes) {
        let mut writer = self.writer.lock().await;
        put_frames(writer.pending(), &last);
        let _ = timeout(BYE_TIMEOUT, writer.shutdown()).await;
    }

    fn disconnected(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let (reader, writer) = (self.reader.take(), Arc::clone(&self.writer));
        // Boxed: most streams never send anything.
        Box::pin(async move {
            let Some(mut reader) = reader else { return };
            let end = read(&mut reader, &writer).await;
            let goodbye = async {
                let mut writer = writer.lock().await;
                frame::close(writer.pending(), end.err());
                writer.shutdown().await
            };
            let _ = timeout(BYE_TIMEOUT, goodbye).await;
        })
    }
}

/// Reads until the client ends the connection or does what it may not do.
async fn read<S: AsyncRead + AsyncWrite>(
    reader: &mut ReadHalf<S>,
    writer: &Mutex<BlockWriter<S>>,
) -> Result<(), Fault> {
    let (mut incoming, mut bytes) = (Incoming::default(), [0; 256]);
    let (mut since, mut frames) = (Instant::now(), 0);
    loop {
        let length = match reader.read(&mut bytes).await {
            Ok(length) if length > 0 => length,
            _ => return Ok(()),
        };
        let mut received = Vec::new();
        let fed = incoming.feed(&bytes[..length], |frame| received.push(frame));
        if since.elapsed() > PERIOD {
            (since, frames) = (Instant::now(), 0);
        }
        for one in received {
            frames += 1;
            if frames > MAX_FRAMES {
                return Err(Fault::Flood);
            }
            match one {
                Received::Other => {}
                Received::Close => return Ok(()),
                Received::Ping(payload) => {
                    let mut writer = writer.lock().await;
                    frame::pong(writer.pending(), &payload);
                    if writer.flush().await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        fed?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream};
    use tokio_util::task::TaskTracker;

    use super::*;

    fn sink(room: usize) -> (WebSocketSink<DuplexStream>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(room);
        let guard = ConnectionGuard::new(None, &TaskTracker::new());
        (WebSocketSink::new(ours, Bytes::from_static(b"head\r\n\r\n"), guard), theirs)
    }

    async fn all(mut theirs: DuplexStream) -> Vec<u8> {
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.unwrap();
        read
    }

    #[tokio::test]
    async fn each_line_is_a_message_and_an_empty_one_a_ping() {
        let (mut sink, theirs) = sink(1000);
        sink.start().await.unwrap();
        sink.send(Bytes::from_static(b"{1}\n{2}\n\n")).await.unwrap();
        sink.finish(Bytes::new()).await;
        drop(sink);
        assert_eq!(all(theirs).await, b"head\r\n\r\n\x81\x03{1}\x81\x03{2}\x89\x00");
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_a_fault_ends_the_connection_with_its_number() {
        for (sent, answer) in [
            (&b"\x89\x81\0\0\0\0x\x88\x80\0\0\0\0"[..], &b"\x8a\x01x\x88\x00"[..]),
            (b"\x89\x81\0\0\0\0x\x81\x01x", b"\x8a\x01x\x88\x02\x03\xea"),
            (b"", b"\x88\x00"),
        ] {
            let (mut sink, mut theirs) = sink(1000);
            theirs.write_all(sent).await.unwrap();
            if sent.is_empty() {
                theirs.shutdown().await.unwrap();
            }
            sink.disconnected().await;
            drop(sink);
            assert_eq!(all(theirs).await, [b"head\r\n\r\n", answer].concat());
        }
    }

    #[tokio::test]
    async fn a_flood_of_pings_ends_the_connection() {
        let (mut sink, theirs) = sink(10_000);
        let (reading, mut writing) = tokio::io::split(theirs);
        writing.write_all(&b"\x89\x80\0\0\0\0".repeat(MAX_FRAMES as usize + 1)).await.unwrap();
        sink.disconnected().await;
        drop(sink);
        let read = all(reading.unsplit(writing)).await;
        let pongs = b"\x8a\x00".repeat(MAX_FRAMES as usize);
        assert_eq!(read, [b"head\r\n\r\n", &pongs[..], b"\x88\x02\x03\xf0"].concat());
    }
}
