//! How many connections are open, and what becomes of those beyond the limit.
//!
//! The HTTP layer asks for each connection that it has accepted. Beyond the limit a connection gets one of few places in a
//! reserve instead, for a moment: whether alertd lives, is ready and how it is can be asked there, and everything else is
//! refused. So no client hangs unseen in the queue of the kernel. Always: each listener has at most its limit of connections
//! and its reserve, and one more that waits for a place.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::ConnectionStatus;
use crate::log::{Event, Repeated};

/// Connections beyond `http.max_connections` that are answered at the same time.
pub(crate) const HTTP_RESERVE: usize = 256;
/// The limit of each local socket, and its reserve.
const LOCAL: (usize, usize) = (256, 16);

/// Whether a connection is within the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Regular,
    /// For questions about alertd itself, and refusals.
    Reserve,
}

impl Admission {
    /// How long a connection in the reserve may take.
    pub(crate) const RESERVE_TIME: Duration = Duration::from_secs(1);
}

/// The connections of one listener.
pub(crate) struct ConnectionLimit {
    listener: &'static str,
    /// What has the limit, for messages.
    name: &'static str,
    max: usize,
    permits: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    refused: AtomicU64,
    line: Repeated,
}

impl ConnectionLimit {
    fn new(listener: &'static str, name: &'static str, (max, reserve): (usize, usize)) -> Self {
        let (permits, reserve) = (Arc::new(Semaphore::new(max)), Arc::new(Semaphore::new(reserve)));
        let (refused, line) = (AtomicU64::new(0), Repeated::default());
        Self { listener, name, max, permits, reserve, refused, line }
    }

    /// A place for a connection that was accepted. Waits if the reserve is full too. There is always one, because the
    /// semaphores are never closed.
    pub(crate) async fn admit(&self) -> Option<(OwnedSemaphorePermit, Admission)> {
        if let Some(permit) = self.take() {
            return Some((permit, Admission::Regular));
        }
        let reserve = Arc::clone(&self.reserve).acquire_owned().await.ok()?;
        // Another connection may have ended while this one waited.
        Some(self.take().map_or((reserve, Admission::Reserve), |permit| (permit, Admission::Regular)))
    }

    /// A place within the limit, if there is one.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Counts a request that was refused because of the limit, and returns why.
    pub(crate) fn refuse(&self) -> String {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let (max, name) = (self.max, self.name);
        if let Some(left_out) = self.line.note(Instant::now()) {
            tracing::warn!(
                message_id = %Event::ConnectionLimit,
                limit = max,
                left_out,
                "all {max} connections of {name} are open: other clients are answered with 503, and only health, status and metrics are served to them"
            );
        }
        format!("all {max} connections of {name} are open: try again later")
    }

    fn settle(&self, now: Instant) {
        if let Some(count) = self.line.settle(now) {
            tracing::warn!(
                message_id = %Event::ConnectionLimit,
                limit = self.max,
                count,
                "{count} more requests were refused within a minute, because all {} connections of {} were open",
                self.max,
                self.name
            );
        }
    }

    pub(crate) fn status(&self) -> ConnectionStatus {
        let open = self.max.saturating_sub(self.permits.available_permits());
        let warning = (open >= self.max).then(|| {
            format!(
                "all {} connections of {} are open, and other clients are answered with 503: end some, or raise the limit",
                self.max, self.name
            )
        });
        let (listener, refused) = (self.listener.to_owned(), self.refused.load(Ordering::Relaxed));
        ConnectionStatus { listener, open: open as u64, limit: self.max as u64, refused, warning }
    }
}

/// The connections of all listeners.
pub(crate) struct Connections {
    /// Over TCP, and over the socket for proxies.
    pub(crate) http: ConnectionLimit,
    pub(crate) control: ConnectionLimit,
    pub(crate) publish: ConnectionLimit,
    accept_failures: AtomicU64,
    accept_line: Repeated,
}

impl Connections {
    pub(super) fn new(max: usize) -> Self {
        Self {
            http: ConnectionLimit::new("http", "http.max_connections", (max, HTTP_RESERVE)),
            control: ConnectionLimit::new("control", "the control socket", LOCAL),
            publish: ConnectionLimit::new("publish", "the publish socket", LOCAL),
            accept_failures: AtomicU64::new(0),
            accept_line: Repeated::default(),
        }
    }

    /// Counts a connection that this machine could not accept.
    pub(crate) fn not_accepted(&self, error: &io::Error) {
        self.accept_failures.fetch_add(1, Ordering::Relaxed);
        if let Some(left_out) = self.accept_line.note(Instant::now()) {
            tracing::error!(
                message_id = %Event::CannotAccept,
                left_out,
                "cannot accept connections, which wait meanwhile: {error}; if it lasts, raise LimitNOFILE= with `systemctl edit`, or lower http.max_connections"
            );
        }
    }

    /// Logs what was left out in minutes that have ended.
    pub(super) fn settle(&self, now: Instant) {
        self.all().iter().for_each(|limit| limit.settle(now));
        if let Some(count) = self.accept_line.settle(now) {
            tracing::error!(
                message_id = %Event::CannotAccept,
                count,
                "{count} more attempts to accept a connection failed within a minute"
            );
        }
    }

    fn all(&self) -> [&ConnectionLimit; 3] {
        [&self.http, &self.control, &self.publish]
    }

    pub(super) fn status(&self) -> Vec<ConnectionStatus> {
        self.all().iter().map(|limit| limit.status()).collect()
    }

    pub(super) fn accept_failures(&self) -> u64 {
        self.accept_failures.load(Ordering::Relaxed)
    }
}
