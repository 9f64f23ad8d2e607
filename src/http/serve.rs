//! Accepts connections, each of which then runs in a task of its own, until the server stops.
//!
//! The service decides which connections are within the limit. One beyond it is served for a moment, and mostly refused.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::listen::Listener;
use super::socket::Socket;
use super::stopping::Stop;
use super::tls::Tls;
use super::{ListenerKind, Peer, Settings};
use crate::delivery::ConnectionGuard;
use crate::service::{Admission, Connections, Service};
use crate::supervisor;

/// After so many connections, everything else that is ready gets its turn. Without this limit, thousands of clients that
/// connect at once would fill the queues of the runtime, and a publish would wait behind hundreds of new connections.
const ACCEPTS_PER_TURN: usize = 32;

/// A connection with its place.
struct Accepted {
    socket: Socket,
    address: Option<IpAddr>,
    permit: OwnedSemaphorePermit,
    admission: Admission,
}

/// What all connections share.
pub(crate) struct Server {
    pub(super) service: Arc<Service>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    tls: Option<Arc<Tls>>,
    pub(super) stop: Arc<Stop>,
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
            stop: Arc::default(),
            tasks: TaskTracker::new(),
            streams: TaskTracker::new(),
        })
    }

    /// Accepts on a TCP socket until [`stop`](Self::stop).
    pub(crate) fn serve_tcp(self: &Arc<Self>, listener: Listener) {
        let kind = ListenerKind::Http;
        self.serve("accept-http", kind, listener, move |server, Accepted { socket, address, permit, admission }| {
            let peer = Peer { listener: kind, address, is_tls: server.tls.is_some(), admission, uid: None };
            let own = Arc::clone(server);
            server.spawn(admission, async move {
                match &own.tls {
                    None => own.drive(socket, permit, peer).await,
                    // Boxed, because a task is as large as its largest branch and lives as long as its connection.
                    Some(tls) => Box::pin(own.drive_tls(tls, socket, permit, peer)).await,
                }
            });
        });
    }

    /// Accepts on a listening socket until the server stops, and passes each connection on to `begin`.
    fn serve(
        self: &Arc<Self>,
        name: &'static str,
        kind: ListenerKind,
        listener: Listener,
        begin: impl Fn(&Arc<Self>, Accepted) + Send + Sync + 'static,
    ) {
        let server = Arc::clone(self);
        self.tasks.spawn(supervisor::supervise(name, async move {
            let accepting = async {
                let mut begun = 0_usize;
                while let Some(accepted) = server.accept(kind, &listener).await {
                    begin(&server, accepted);
                    begun += 1;
                    if begun.is_multiple_of(ACCEPTS_PER_TURN) {
                        tokio::task::yield_now().await;
                    }
                }
            };
            tokio::select! {
                biased;
                () = server.stop.begun() => {}
                () = accepting => {}
            }
        }));
    }

    /// Runs a connection in a task of its own. One in the reserve has little time.
    fn spawn(&self, admission: Admission, connection: impl Future<Output = ()> + Send + 'static) {
        // Boxed, because the runtime copies a task as a whole several times.
        let connection = Box::pin(connection);
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
    pub(crate) fn serve_unix(self: &Arc<Self>, listener: Listener, kind: ListenerKind) {
        let name = match kind {
            ListenerKind::Http => "accept-http-unix",
            ListenerKind::Control => "accept-control",
            ListenerKind::Publish => "accept-publish",
        };
        self.serve(name, kind, listener, move |server, Accepted { socket, address, permit, admission }| {
            // alertctl has told its user that it failed, for instance while the service could not start.
            if kind == ListenerKind::Control && socket.has_gone() {
                return;
            }
            let own = Arc::clone(server);
            let peer = Peer { listener: kind, address, is_tls: false, admission, uid: socket.peer_uid() };
            server.spawn(admission, async move { own.drive(socket, permit, peer).await });
        });
    }

    /// Stops accepting, lets requests finish, and waits for all connections and streams until the deadline.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.streams.close();
        let ended = async { tokio::join!(self.stop_requests(deadline), self.streams.wait()) };
        let _ = tokio::time::timeout(deadline, ended).await;
    }

    /// Stops accepting, lets requests finish, and waits for connections until the deadline; streams over sockets go on.
    pub(crate) async fn stop_requests(&self, deadline: Duration) {
        self.stop.begin();
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

    /// The next connection. An error of one peer is skipped. After an error of the machine (no descriptors, no memory) it
    /// pauses, because trying again at once would spin.
    async fn accept(&self, kind: ListenerKind, listener: &Listener) -> Option<Accepted> {
        let connections = self.service.connections();
        loop {
            match listener.accept().await {
                Ok((socket, address)) => {
                    let (permit, admission) = kind.limit(connections).admit().await?;
                    return Some(Accepted { socket, address, permit, admission });
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    connections.not_accepted(&error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}
