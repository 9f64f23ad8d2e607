//! Ends a connection whose peer reads nothing, or leaves while it receives a stream.
//!
//! Owned by the connection that hyper drives. hyper waits without limit for a peer that reads nothing, and does not
//! poll a body meanwhile. Where half-closed connections are allowed it does not read while it answers either, so only
//! this wrapper notices that the client of a stream has left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::detach::Detach;

/// A connection whose writes fail if they make no progress. The timer exists only while a write waits.
pub(crate) struct Progress<S> {
    inner: S,
    timeout: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// What the client sent while it received a stream; hyper reads it after the stream. Bounded by [`MAX_EARLY`].
    early: BytesMut,
    /// Receives whether a write waits, and knows whether a stream is being written.
    detach: Arc<Detach>,
}

/// Bytes that a client may send while it receives a stream. Beyond that, only a failed write shows that it has left.
const MAX_EARLY: usize = 4 << 10;

/// The head and the body of an answer up to this length are copied into one buffer, which costs less than the way of two
/// through the kernel.
const MAX_GATHERED: usize = 1 << 10;

impl<S> Progress<S> {
    /// Fails a write that could not send a byte for `timeout`.
    pub(crate) fn new(inner: S, timeout: Duration, detach: Arc<Detach>) -> Self {
        Self { inner, timeout, waiting: None, early: BytesMut::new(), detach }
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    fn with_timeout<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.waiting.take().is_some() {
                self.detach.set_blocked_since(None);
            }
            return result;
        }
        let timer = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            self.detach.set_blocked_since(Some(now));
            Box::pin(sleep_until(now + self.timeout))
        });
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> Progress<S> {
    /// Fails once the client has closed its sending half.
    fn watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.early.len() < MAX_EARLY {
            let mut bytes = [0; 512];
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf)? {
                Poll::Pending => break,
                Poll::Ready(()) if buf.filled().is_empty() => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client of a stream has left"));
                }
                Poll::Ready(()) => self.early.extend_from_slice(buf.filled()),
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.with_timeout(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if bufs.len() > 1 && length <= MAX_GATHERED {
            let (mut gathered, mut at) = ([0; MAX_GATHERED], 0);
            for buf in bufs {
                gathered[at..at + buf.len()].copy_from_slice(buf);
                at += buf.len();
            }
            return self.poll_write(cx, &gathered[..length]);
        }
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.with_timeout(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes whenever it is polled, even if it has nothing to write.
        if self.detach.carries_stream() {
            self.watch(cx)?;
        }
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.with_timeout(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.with_timeout(result, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_given_up_and_one_that_reads_slowly_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut writer = Progress::new(ours, Duration::from_millis(80), Arc::default());
        let reading = tokio::spawn(async move {
            let mut byte = [0];
            for _ in 0..8 {
                theirs.read_exact(&mut byte).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            theirs
        });
        writer.write_all(&[7; 12]).await.unwrap();
        let _still_open = reading.await.unwrap();
        let error = writer.write_all(&[7; 12]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn parts_of_an_answer_are_written_in_their_order_whatever_their_length() {
        for length in [1, MAX_GATHERED - 3, MAX_GATHERED - 2, 2 * MAX_GATHERED] {
            let (ours, mut theirs) = tokio::io::duplex(8 * MAX_GATHERED);
            let mut writer = Progress::new(ours, Duration::from_secs(60), Arc::default());
            let (head, body) = (*b"ab", vec![b'c'; length]);
            let parts = [io::IoSlice::new(&head), io::IoSlice::new(&body)];
            let sent = writer.write_vectored(&parts).await.unwrap();
            drop(writer);
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, [&head[..], &body].concat()[..sent]);
        }
    }

    #[tokio::test]
    async fn the_client_of_a_stream_that_closes_its_half_has_gone_and_what_it_sent_is_kept() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let detach = Arc::<Detach>::default();
        let mut writer = Progress::new(ours, Duration::from_secs(60), Arc::clone(&detach));
        theirs.write_all(b"next request").await.unwrap();
        detach.set_carries_stream(true);
        writer.flush().await.unwrap();
        theirs.shutdown().await.unwrap();
        detach.set_carries_stream(false);
        writer.flush().await.unwrap();
        detach.set_carries_stream(true);
        assert_eq!(writer.flush().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut read = Vec::new();
        writer.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"next request");
    }
}
