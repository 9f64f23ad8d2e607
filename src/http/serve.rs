//! Accepting connections and driving them, from the first byte to the drain.
//!
//! One task for each listener, one for each connection. A permit is taken before the accept, so connections beyond
//! `http.max_connections` wait in the kernel instead of costing memory here. HTTP/1.1 and HTTP/2 by prior knowledge
//! share a port: hyper's HTTP/1 says when it meets the preface of HTTP/2, and the connection changes hands. A stream over
//! plain HTTP/1.1 leaves hyper for the [broadcast loops](crate::delivery).

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::detach::{Connection, Detach};
use super::progress::Progress;
use super::response::{self, Body, Outgoing};
use super::rewind::Rewind;
use super::tls::Tls;
use super::{Door, HANDSHAKE_TIMEOUT, HEAD_TIMEOUT, Peer, Settings, dispatch};
use crate::delivery::{ConnectionGuard, SLOW_READER_TIMEOUT, SocketSink};
use crate::service::Service;
use crate::supervisor;

/// Everything a connection needs; one for the whole server.
pub(crate) struct Server {
    service: Arc<Service>,
    settings: Arc<ArcSwap<Settings>>,
    tls: Option<Arc<Tls>>,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// A server with room for `max_connections`.
    #[must_use]
    pub(crate) fn new(
        service: Arc<Service>,
        settings: Arc<ArcSwap<Settings>>,
        tls: Option<Arc<Tls>>,
        max_connections: usize,
    ) -> Arc<Self> {
        let tasks = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(max_connections));
        Arc::new(Self { service, settings, tls, permits, stop: CancellationToken::new(), tasks })
    }

    /// Accepts on a TCP socket until [`stop`](Self::stop).
    pub(crate) fn serve_tcp(self: &Arc<Self>, listener: TcpListener) {
        let server = Arc::clone(self);
        self.tasks.spawn(supervisor::supervise("accept-http", async move {
            while let Some((stream, address)) = server.accept(&server.permits, || listener.accept()).await {
                let server = Arc::clone(&server);
                let ((stream, permit), address) = (stream, address.ip().to_canonical());
                server.tasks.clone().spawn(async move {
                    let peer = Peer { door: Door::Http, address: Some(address) };
                    match &server.tls {
                        None => server.connection(stream, permit, peer).await,
                        // Boxed, as below: a task is as large as the largest of its ways, and lives as long as its
                        // connection.
                        Some(tls) => Box::pin(server.tls_connection(tls, stream, permit, peer)).await,
                    }
                });
            }
        }));
    }

    /// Accepts requests with keys on a Unix socket, where a proxy on this machine hands them over, until
    /// [`stop`](Self::stop). Its connections count as those over TCP do.
    pub(crate) fn serve_proxy(self: &Arc<Self>, listener: UnixListener) {
        let permits = Arc::clone(&self.permits);
        self.serve_local(listener, Door::Http, permits);
    }

    /// Accepts on a Unix socket until [`stop`](Self::stop). Its connections do not count: an operator must get in
    /// when all else is full.
    pub(crate) fn serve_unix(self: &Arc<Self>, listener: UnixListener, door: Door) {
        self.serve_local(listener, door, Arc::new(Semaphore::new(256)));
    }

    fn serve_local(self: &Arc<Self>, listener: UnixListener, door: Door, permits: Arc<Semaphore>) {
        let server = Arc::clone(self);
        let name = match door {
            Door::Http => "accept-http-unix",
            Door::Control => "accept-control",
            Door::Publish => "accept-publish",
        };
        self.tasks.spawn(supervisor::supervise(name, async move {
            while let Some(((stream, permit), _)) = server.accept(&permits, || listener.accept()).await {
                let server = Arc::clone(&server);
                server.tasks.clone().spawn(async move {
                    server.connection(stream, permit, Peer { door, address: None }).await;
                });
            }
        }));
    }

    /// Stops accepting, lets requests finish, and waits for all connections until the deadline.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(deadline, self.tasks.wait()).await;
    }

    /// How many connections and accept loops have not ended.
    #[must_use]
    pub(crate) fn unfinished(&self) -> usize {
        self.tasks.len()
    }

    /// The next connection; none once the server stops. Errors of one peer are its own; those of the machine (no
    /// descriptors, no memory) are waited out, because returning at once would spin.
    async fn accept<S, A, F: Future<Output = io::Result<(S, A)>>>(
        &self,
        permits: &Arc<Semaphore>,
        accept: impl Fn() -> F,
    ) -> Option<((S, OwnedSemaphorePermit), A)> {
        let next = async {
            let permit = Arc::clone(permits).acquire_owned().await.ok()?;
            loop {
                match accept().await {
                    Ok((stream, address)) => return Some(((stream, permit), address)),
                    Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
                    }
                    Err(error) => {
                        tracing::error!(%error, "cannot accept a connection; trying again");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            connection = next => connection,
        }
    }

    async fn tls_connection(&self, tls: &Tls, stream: TcpStream, permit: OwnedSemaphorePermit, peer: Peer) {
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                let stream = Progress::new(stream, SLOW_READER_TIMEOUT, Arc::default());
                note(self.http2(stream, peer).await);
            }
            Ok(Ok(stream)) => self.connection(stream, permit, peer).await,
            Ok(Err(error)) => tracing::debug!(%error, address = ?peer.address, "TLS handshake failed"),
            Err(_) => tracing::debug!(address = ?peer.address, "TLS handshake took too long"),
        }
    }

    async fn connection<S: Connection>(&self, stream: S, permit: OwnedSemaphorePermit, peer: Peer) {
        let detach = Arc::<Detach>::default();
        let stream = Progress::new(stream, SLOW_READER_TIMEOUT, Arc::clone(&detach));
        note(self.http1(stream, permit, peer, detach).await);
    }

    async fn http1<S: Connection>(
        &self,
        stream: Progress<S>,
        permit: OwnedSemaphorePermit,
        peer: Peer,
        detach: Arc<Detach>,
    ) -> hyper::Result<()> {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_headers(64);
        let offered = S::IS_PLAIN.then_some(&*detach);
        let service = service_fn(|request| Box::pin(self.answer_or_hand_over(peer, request, offered)));
        let mut connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut draining = false;
        let result = loop {
            let turn = std::future::poll_fn(|cx| match connection.poll_without_shutdown(cx) {
                Poll::Ready(result) => Poll::Ready(Err(result)),
                Poll::Pending => detach.take().map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream))),
            });
            tokio::select! {
                turn = turn => break turn,
                () = self.stop.cancelled(), if !draining => {
                    draining = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        let parts = connection.into_parts();
        match result {
            // What came behind the request is of no use: no other request is answered on an open stream.
            Ok((head, stream)) => {
                let Ok(socket) = parts.io.into_inner().into_inner().into_socket() else { return Ok(()) };
                let head = response::stream_head(&head, self.service.now_ms());
                let sink = SocketSink::new(socket, head, ConnectionGuard::new(permit, &self.tasks));
                Box::pin(self.service.delivery().carry(stream, sink)).await;
                Ok(())
            }
            Err(Err(error)) if error.is_parse_version_h2() => {
                Box::pin(self.http2(Rewind::new(parts.read_buf, parts.io.into_inner()), peer)).await
            }
            Err(Ok(())) => {
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut parts.io.into_inner()).await;
                Ok(())
            }
            Err(Err(error)) => Err(error),
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
            // A peer that vanished does not answer a ping.
            .keep_alive_interval(SLOW_READER_TIMEOUT)
            .keep_alive_timeout(SLOW_READER_TIMEOUT / 2);
        let (service, settings) = (Arc::clone(&self.service), Arc::clone(&self.settings));
        let answer = service_fn(move |request| {
            let (service, settings) = (Arc::clone(&service), settings.load_full());
            // Boxed, or each stream would keep the room that answering took.
            Box::pin(async move { Ok::<_, Infallible>(answer(service, settings, peer, request).await.map(begin)) })
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
        let mut draining = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => return result,
                () = self.stop.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer_or_hand_over(
        &self,
        peer: Peer,
        request: Request<Incoming>,
        detach: Option<&Detach>,
    ) -> Result<Response<Outgoing>, Infallible> {
        let is_chunked = request.version() == Version::HTTP_11;
        let (head, body) =
            answer(Arc::clone(&self.service), self.settings.load_full(), peer, request).await.into_parts();
        match (body, detach.filter(|_| is_chunked)) {
            (Body::Stream(stream), Some(detach)) => {
                detach.leave(head, stream);
                std::future::pending().await
            }
            (body, _) => Ok(Response::from_parts(head, begin(body))),
        }
    }
}

async fn answer(
    service: Arc<Service>,
    settings: Arc<Settings>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let request_id = request_id();
    dispatch::answer(service, settings, peer, request, request_id).await
}

/// A body that goes out through hyper.
fn begin(body: Body) -> Outgoing {
    match body {
        Body::Whole(bytes) => Outgoing::Whole(bytes),
        Body::Stream(stream) => Outgoing::begin(stream),
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Names a request in its answer and in the log: a random beginning, stepped on by an odd number that mixes all digits.
fn request_id() -> String {
    static LAST: LazyLock<AtomicU64> = LazyLock::new(|| {
        let mut bytes = [0; 8];
        // Without randomness each start names its requests alike, which only makes the log harder to read.
        let _ = getrandom::fill(&mut bytes);
        AtomicU64::new(u64::from_le_bytes(bytes))
    });
    format!("{:016x}", LAST.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
}
