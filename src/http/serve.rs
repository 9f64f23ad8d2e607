//! Accepts connections, each of which then runs in a task of its own, until the server stops.
//!
//! The service decides which connections are within the limit. One beyond it is served for a moment, and mostly refused.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls::Tls;
use super::{ListenerKind, Peer, Settings};
use crate::delivery::ConnectionGuard;
use crate::service::{Admission, Connections, Service};
use crate::supervisor;

/// A connection with its place.
struct Accepted<S, A> {
    stream: S,
    address: A,
    permit: OwnedSemaphorePermit,
    admission: Admission,
}

/// What all connections share.
pub(crate) struct Server {
    pub(super) service: Arc<Service>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    tls: Option<Arc<Tls>>,
    pub(super) stop: CancellationToken,
    /// Accept loops and connections.
    pub(super) tasks: TaskTracker,
    /// Streams over sockets that have left their connection.
    pub(super) streams: TaskTracker,
}

impl Server {
    #[must_use]
    pub(crate) fn new(service: Arc<Service>, settings: Arc<ArcSwap<Settings>>, tls: Option<Arc<Tls>>) -> Arc<Self> {
        Arc::new(Self {
            service,
            settings,
            tls,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            streams: TaskTracker::new(),
        })
    }

    /// Accepts on a TCP socket until [`stop`](Self::stop).
    pub(crate) fn serve_tcp(self: &Arc<Self>, listener: TcpListener) {
        let server = Arc::clone(self);
        self.tasks.spawn(supervisor::supervise("accept-http", async move {
            let kind = ListenerKind::Http;
            while let Some(Accepted { stream, address, permit, admission }) =
                server.accept(kind, || listener.accept()).await
            {
                let (address, is_tls) = (Some(address.ip().to_canonical()), server.tls.is_some());
                let peer = Peer { listener: kind, address, is_tls, admission, uid: None };
                let own = Arc::clone(&server);
                server.spawn(admission, async move {
                    match &own.tls {
                        None => own.drive(stream, permit, peer).await,
                        // Boxed, because a task is as large as its largest branch and lives as long as its connection.
                        Some(tls) => Box::pin(own.drive_tls(tls, stream, permit, peer)).await,
                    }
                });
            }
        }));
    }

    /// Runs a connection in a task of its own. One in the reserve has little time.
    fn spawn(&self, admission: Admission, connection: impl Future<Output = ()> + Send + 'static) {
        match admission {
            Admission::Regular => self.tasks.spawn(connection),
            Admission::Reserve => self.tasks.spawn(async move {
                let _ = tokio::time::timeout(Admission::RESERVE_TIME, connection).await;
            }),
        };
    }

    /// Counts the connection of a stream taken over from another process. It may exceed the limit: the stream was
    /// admitted once, and a lower limit ends no stream.
    pub(crate) fn count_connection(&self, is_control: bool) -> ConnectionGuard {
        let Connections { http, control, .. } = self.service.connections();
        ConnectionGuard::new(if is_control { control } else { http }.take(), &self.streams)
    }

    /// Accepts on a Unix socket until [`stop`](Self::stop). Connections with keys, from a proxy on this machine, count towards
    /// the limit of those over TCP. The control and the publish socket have limits of their own, so that an operator can
    /// connect when that one is reached.
    pub(crate) fn serve_unix(self: &Arc<Self>, listener: UnixListener, kind: ListenerKind) {
        let server = Arc::clone(self);
        let name = match kind {
            ListenerKind::Http => "accept-http-unix",
            ListenerKind::Control => "accept-control",
            ListenerKind::Publish => "accept-publish",
        };
        self.tasks.spawn(supervisor::supervise(name, async move {
            while let Some(Accepted { stream, permit, admission, .. }) = server.accept(kind, || listener.accept()).await
            {
                // alertctl has told its user that it failed, for instance while the service could not start.
                if kind == ListenerKind::Control && has_gone(&stream) {
                    continue;
                }
                let own = Arc::clone(&server);
                // Of the process that connected, whatever it passes the connection on to.
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                let peer = Peer { listener: kind, address: None, is_tls: false, admission, uid };
                server.spawn(admission, async move { own.drive(stream, permit, peer).await });
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
        kind: ListenerKind,
        accept: impl Fn() -> F,
    ) -> Option<Accepted<S, A>> {
        let connections = self.service.connections();
        let next = async {
            loop {
                match accept().await {
                    Ok((stream, address)) => {
                        let (permit, admission) = kind.limit(connections).admit().await?;
                        return Some(Accepted { stream, address, permit, admission });
                    }
                    Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
                    }
                    Err(error) => {
                        connections.not_accepted(&error);
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

/// Whether the peer of a Unix socket has closed it, rather than only its sending half.
fn has_gone(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::default())).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}
