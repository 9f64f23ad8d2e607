//! Accepts connections, each of which then runs in a task of its own, until the server stops.
//!
//! A permit is taken before a connection is accepted, so connections beyond `http.max_connections` wait in the kernel
//! instead of using memory here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls::Tls;
use super::{ListenerKind, Peer, Settings};
use crate::delivery::ConnectionGuard;
use crate::service::Service;
use crate::supervisor;

/// Connections that each local socket may have.
const MAX_LOCAL_CONNECTIONS: usize = 256;

/// What all connections share.
pub(crate) struct Server {
    pub(super) service: Arc<Service>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    tls: Option<Arc<Tls>>,
    permits: Arc<Semaphore>,
    control_permits: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
    /// Accept loops and connections.
    pub(super) tasks: TaskTracker,
    /// Streams over sockets that have left their connection.
    pub(super) streams: TaskTracker,
}

impl Server {
    #[must_use]
    pub(crate) fn new(
        service: Arc<Service>,
        settings: Arc<ArcSwap<Settings>>,
        tls: Option<Arc<Tls>>,
        max_connections: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            settings,
            tls,
            permits: Arc::new(Semaphore::new(max_connections)),
            control_permits: Arc::new(Semaphore::new(MAX_LOCAL_CONNECTIONS)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            streams: TaskTracker::new(),
        })
    }

    /// Accepts on a TCP socket until [`stop`](Self::stop).
    pub(crate) fn serve_tcp(self: &Arc<Self>, listener: TcpListener) {
        let server = Arc::clone(self);
        self.tasks.spawn(supervisor::supervise("accept-http", async move {
            while let Some((stream, address)) = server.accept(&server.permits, || listener.accept()).await {
                let server = Arc::clone(&server);
                let ((stream, permit), address) = (stream, address.ip().to_canonical());
                server.tasks.clone().spawn(async move {
                    let peer = Peer { listener: ListenerKind::Http, address: Some(address), uid: None };
                    match &server.tls {
                        None => server.drive(stream, permit, peer).await,
                        // Boxed, because a task is as large as its largest branch and lives as long as its connection.
                        Some(tls) => Box::pin(server.drive_tls(tls, stream, permit, peer)).await,
                    }
                });
            }
        }));
    }

    /// Accepts requests with keys on a Unix socket, from a proxy on this machine, until [`stop`](Self::stop). Its
    /// connections count towards the limit of those over TCP.
    pub(crate) fn serve_proxy(self: &Arc<Self>, listener: UnixListener) {
        let permits = Arc::clone(&self.permits);
        self.serve_local(listener, ListenerKind::Http, permits);
    }

    /// Accepts on a local socket until [`stop`](Self::stop). It has a limit of its own, so that an operator can connect
    /// when the other limit is reached.
    pub(crate) fn serve_unix(self: &Arc<Self>, listener: UnixListener, kind: ListenerKind) {
        let permits = match kind {
            ListenerKind::Control => Arc::clone(&self.control_permits),
            _ => Arc::new(Semaphore::new(MAX_LOCAL_CONNECTIONS)),
        };
        self.serve_local(listener, kind, permits);
    }

    /// Counts the connection of a stream taken over from another process. It may exceed the limit: the stream was
    /// admitted once, and a lower limit ends no stream.
    pub(crate) fn count_connection(&self, is_control: bool) -> ConnectionGuard {
        let permits = if is_control { &self.control_permits } else { &self.permits };
        ConnectionGuard::new(Arc::clone(permits).try_acquire_owned().ok(), &self.streams)
    }

    fn serve_local(self: &Arc<Self>, listener: UnixListener, kind: ListenerKind, permits: Arc<Semaphore>) {
        let server = Arc::clone(self);
        let name = match kind {
            ListenerKind::Http => "accept-http-unix",
            ListenerKind::Control => "accept-control",
            ListenerKind::Publish => "accept-publish",
        };
        self.tasks.spawn(supervisor::supervise(name, async move {
            while let Some(((stream, permit), _)) = server.accept(&permits, || listener.accept()).await {
                let server = Arc::clone(&server);
                // Of the process that connected, whatever it passes the connection on to.
                let uid = stream.peer_cred().ok().map(|peer| peer.uid()).filter(|_| kind == ListenerKind::Control);
                server.tasks.clone().spawn(async move {
                    server.drive(stream, permit, Peer { listener: kind, address: None, uid }).await;
                });
            }
        }));
    }

    /// Stops accepting, lets requests finish, and waits for all connections and streams until the deadline.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.streams.close();
        let ended = async { tokio::join!(self.stop_requests(deadline), self.streams.wait()) };
        let _ = tokio::time::timeout(deadline, ended).await;
    }

    /// Stops accepting, lets requests finish, and waits for connections until the deadline; streams over sockets go on.
    pub(crate) async fn stop_requests(&self, deadline: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(deadline, self.tasks.wait()).await;
    }

    /// How many connections and accept loops have not ended.
    #[must_use]
    pub(crate) fn unfinished_requests(&self) -> usize {
        self.tasks.len()
    }

    /// The same, with streams.
    #[must_use]
    pub(crate) fn unfinished(&self) -> usize {
        self.tasks.len() + self.streams.len()
    }

    /// The next connection; none once the server stops. An error of one peer is skipped. After an error of the machine (no
    /// descriptors, no memory) it pauses, because trying again at once would spin.
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
}
