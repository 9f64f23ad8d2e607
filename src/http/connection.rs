//! Drives one connection through hyper, from the first byte to the drain.
//!
//! HTTP/1.1 and HTTP/2 with prior knowledge share a port: hyper's HTTP/1 reports the preface of HTTP/2, and the connection
//! is then driven as HTTP/2. A stream over HTTP/1.1 leaves hyper for [`delivery`](crate::delivery).

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::body::{Body as _, Incoming};
use hyper::http::response::Parts;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::detach::{Connection, Detach};
use super::error::{Audience, HttpError};
use super::head_timer::HeadTimer;
use super::progress::Progress;
use super::request_body::{LINGER_BYTES, LINGER_IDLE, LINGER_TIMEOUT, RequestBody};
use super::request_id::RequestId;
use super::response::{self, Body, Outgoing};
use super::rewind::Rewind;
use super::serve::Server;
use super::socket::Socket;
use super::stopping::{STOP_GRACE, Stopping, too_late};
use super::tls::Tls;
use super::websocket::WebSocketSink;
use super::{HANDSHAKE_TIMEOUT, HEAD_TIMEOUT, Peer, boxed, dispatch};
use crate::delivery::{ConnectionGuard, SLOW_READER_TIMEOUT, Stream};

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // A client that has sent its request may close its half at once, and gets its answer.
    builder.timer(HeadTimer::default()).header_read_timeout(HEAD_TIMEOUT).max_headers(64).half_close(true);
    builder
}

/// Why hyper's HTTP/1 returned a connection.
enum Http1End {
    /// A stream is to leave hyper.
    Detached(Parts, Box<Stream>),
    Done(hyper::Result<()>),
    /// The server stops, and the head of a request has not arrived, or the client does not read its answer.
    TooLate,
}

impl Server {
    pub(super) async fn drive_tls(&self, tls: &Tls, stream: Socket, permit: OwnedSemaphorePermit, peer: Peer) {
        let handshake = tokio::select! {
            handshake = timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)) => handshake,
            () = too_late(&self.stop) => return,
        };
        match handshake {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                let stream = Progress::new(stream, SLOW_READER_TIMEOUT, Arc::default());
                log_end(self.http2(stream, peer).await);
            }
            Ok(Ok(stream)) => self.drive(stream, permit, peer).await,
            Ok(Err(error)) => tracing::debug!(%error, address = ?peer.address, "TLS handshake failed"),
            Err(_) => tracing::debug!(address = ?peer.address, "TLS handshake took too long"),
        }
    }

    pub(super) async fn drive<S: Connection>(&self, stream: S, permit: OwnedSemaphorePermit, peer: Peer) {
        let detach = Arc::<Detach>::default();
        let stream = Progress::new(stream, SLOW_READER_TIMEOUT, Arc::clone(&detach));
        log_end(self.http1(stream, permit, peer, detach).await);
    }

    async fn http1<S: Connection>(
        &self,
        stream: Progress<S>,
        permit: OwnedSemaphorePermit,
        peer: Peer,
        detach: Arc<Detach>,
    ) -> hyper::Result<()> {
        let service = service_fn(|request| boxed(|| self.answer_or_detach(peer, request, &detach)));
        let mut connection = http1_builder().serve_connection(TokioIo::new(stream), service);
        let mut stopping = Stopping::default();
        let end = loop {
            let turn = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
                Poll::Ready(result) => Poll::Ready(Http1End::Done(result)),
                Poll::Pending => match detach.take() {
                    Some((head, stream)) => Poll::Ready(Http1End::Detached(head, stream)),
                    None => Poll::Pending,
                },
            });
            tokio::select! {
                biased; // A connection that never waits asks for nothing else.
                end = turn => break end,
                () = self.stop.begun(), if !stopping.has_begun() => {
                    stopping.begin();
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
                () = stopping.too_late(&detach) => break Http1End::TooLate,
            }
        };
        let parts = connection.into_parts();
        let stream = parts.io.into_inner();
        let is_unanswered = stopping.has_begun() && !detach.is_answering() && !parts.read_buf.is_empty();
        match end {
            // hyper closes a connection that waits for its next request, even if a part of that is there.
            Http1End::TooLate | Http1End::Done(Ok(())) if is_unanswered => {
                Box::pin(self.refuse(stream)).await;
                Ok(())
            }
            Http1End::TooLate => Ok(()),
            // Bytes after the request are dropped: the connection answers nothing else once its stream is open.
            Http1End::Detached(head, detached) => {
                let guard = ConnectionGuard::new(Some(permit), &self.streams);
                let (stream, now_ms) = (stream.into_inner(), self.service.now_ms());
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    let sink = WebSocketSink::new(stream, response::upgrade_head(&head, now_ms), guard);
                    tokio::spawn(detached.run(sink));
                } else {
                    let head = response::stream_head(&head, now_ms);
                    stream.carry(detached, head, guard, self.service.delivery());
                }
                Ok(())
            }
            Http1End::Done(Err(error)) if error.is_parse_version_h2() => {
                Box::pin(self.http2(Rewind::new(parts.read_buf, stream), peer)).await
            }
            Http1End::Done(result) => {
                self.close(stream, &result, &detach).await;
                result
            }
        }
    }

    async fn close<S: Connection>(&self, mut stream: Progress<S>, result: &hyper::Result<()>, detach: &Detach) {
        let is_early = match result {
            Ok(()) => detach.has_unread_body(),
            // hyper has already answered a request that it could not parse.
            Err(error) => error.is_parse(),
        };
        if is_early {
            Box::pin(self.linger(stream)).await;
        } else if result.is_ok() {
            let _ = stream.shutdown().await;
        }
    }

    /// Answers a request whose head is incomplete when the server stops, so that its client knows that nothing was done.
    async fn refuse(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let id = RequestId::next();
        let mut response = HttpError::stopping().response(id.as_str(), Audience::Client);
        id.set(&mut response);
        let answer = response::written(response, self.service.now_ms());
        if timeout(STOP_GRACE, stream.write_all(&answer)).await.is_ok_and(|written| written.is_ok()) {
            self.linger(stream).await;
        }
    }

    /// Closes a connection whose client may still be sending. If it were closed at once, the kernel would answer
    /// further bytes with a reset, and clients would lose the answer that they have not read yet.
    async fn linger(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let discard = async {
            stream.shutdown().await?;
            let (mut scratch, mut left) = (vec![0; 16 << 10], LINGER_BYTES);
            while left > 0 {
                match timeout(LINGER_IDLE, stream.read(&mut scratch)).await {
                    Ok(Ok(length)) if length > 0 => left = left.saturating_sub(length),
                    _ => break,
                }
            }
            io::Result::Ok(())
        };
        tokio::select! {
            _ = timeout(LINGER_TIMEOUT, discard) => {}
            () = too_late(&self.stop) => {}
        }
    }

    async fn http2<S>(&self, stream: S, peer: Peer) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .max_send_buf_size(64 << 10)
            .initial_stream_window_size(64 << 10)
            .initial_connection_window_size(256 << 10)
            .max_header_list_size(16 << 10)
            // A peer that has vanished does not answer a ping.
            .keep_alive_interval(SLOW_READER_TIMEOUT)
            .keep_alive_timeout(SLOW_READER_TIMEOUT / 2);
        let (service, settings, stop) = (Arc::clone(&self.service), Arc::clone(&self.settings), Arc::clone(&self.stop));
        let answer = service_fn(move |request: Request<Incoming>| {
            let (service, settings) = (Arc::clone(&service), settings.load_full());
            let request = request.map(|incoming| RequestBody::http2(incoming, Arc::clone(&stop)));
            // Boxed, so that an HTTP/2 stream does not keep the memory that its request needed.
            Box::pin(async move {
                let answered = dispatch::answer(service, settings, peer, request, RequestId::next());
                Ok::<_, Infallible>(answered.await.map(begin))
            })
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
        let mut is_draining = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => return result,
                () = self.stop.begun(), if !is_draining => {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Answers a request, or detaches the stream that it opens and never returns.
    async fn answer_or_detach(
        &self,
        peer: Peer,
        request: Request<Incoming>,
        detach: &Detach,
    ) -> Result<Response<Outgoing>, Infallible> {
        detach.set_answering(true);
        let is_chunked = request.version() == Version::HTTP_11;
        let has_body = !request.body().is_end_stream();
        detach.set_carries_stream(false);
        let request = request.map(|incoming| RequestBody::http1(incoming, Arc::clone(&self.stop)));
        let (service, settings) = (Arc::clone(&self.service), self.settings.load_full());
        let answered = dispatch::answer(service, settings, peer, request, RequestId::next()).await;
        let (head, body) = answered.into_parts();
        // An error may have come before the end of the body.
        detach.set_unread_body(has_body && !head.status.is_success());
        match body {
            Body::Stream(stream) if is_chunked => {
                detach.put(head, stream);
                std::future::pending().await
            }
            body => {
                detach.set_carries_stream(matches!(body, Body::Stream(_)));
                // Once the server stops there is no next request, and this answer may not be written yet.
                detach.set_answering(self.stop.has_begun());
                Ok(Response::from_parts(head, begin(body)))
            }
        }
    }
}

/// A body that hyper writes.
fn begin(body: Body) -> Outgoing {
    match body {
        Body::Whole(bytes) => Outgoing::Whole(bytes),
        Body::Stream(stream) => Outgoing::begin(stream),
        Body::Blocks(blocks) => Outgoing::Blocks(blocks),
    }
}

fn log_end(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
