//! What the service manager gives and wants to know: sockets, notifications, the watchdog.
//!
//! Used by the daemon alone. Without systemd everything here does nothing and is no error.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Sockets that cannot be used, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// A name that is not ours.
    #[error(
        "systemd passed a socket named {0:?}: in its .socket unit set FileDescriptorName= to http, control or publish"
    )]
    Name(String),
    /// Of another kind than its name says.
    #[error(
        "systemd passed {name:?} as another kind of socket ({source}): {name} listens on {kind}, see ListenStream= in its .socket unit"
    )]
    Kind {
        /// The socket's name.
        name: String,
        /// What it should be.
        kind: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// Two of which there is one.
    #[error("systemd passed two sockets named {0:?}: there is one of it")]
    Twice(String),
}

/// Listening sockets that were passed at the start.
#[derive(Debug, Default)]
pub struct Inherited {
    /// TCP, with keys.
    pub http: Vec<TcpListener>,
    /// The control socket.
    pub control: Option<UnixListener>,
    /// The publish socket.
    pub publish: Option<UnixListener>,
}

impl Inherited {
    /// Takes the sockets. Call it before any other thread runs: it clears variables of the environment.
    ///
    /// # Errors
    /// [`InheritedError`].
    pub fn take() -> Result<Self, InheritedError> {
        // listenfd knows no names; it pairs with this variable by position.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut passed = ListenFd::from_env();
        let mut taken = Self::default();
        for index in 0..passed.len() {
            // systemd's own words where a unit has no FileDescriptorName=: the unit's name, or "unknown".
            let name = match names.get(index).copied().unwrap_or_default() {
                "" | "unknown" | "alertd.socket" => "http",
                "alertd-control.socket" => "control",
                "alertd-publish.socket" => "publish",
                name => name,
            };
            let wrong = |kind| move |source| InheritedError::Kind { name: name.to_owned(), kind, source };
            match name {
                "http" => {
                    let listener = passed.take_tcp_listener(index).map_err(wrong("a TCP address"))?;
                    taken.http.extend(listener);
                }
                "control" | "publish" => {
                    let listener = passed.take_unix_listener(index).map_err(wrong("a Unix path"))?;
                    let place = if name == "control" { &mut taken.control } else { &mut taken.publish };
                    if place.is_some() {
                        return Err(InheritedError::Twice(name.to_owned()));
                    }
                    *place = listener;
                }
                other => return Err(InheritedError::Name(other.to_owned())),
            }
        }
        Ok(taken)
    }
}

/// Tells the service manager how things are. A manager that cannot be reached is told nothing; the log says so once.
#[derive(Debug, Default)]
pub struct Notifier {
    failed: std::sync::atomic::AtomicBool,
}

impl Notifier {
    fn send(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !self.failed.swap(true, std::sync::atomic::Ordering::Relaxed)
        {
            tracing::warn!(%error, "cannot reach the service manager at NOTIFY_SOCKET");
        }
    }

    /// All is open.
    pub fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The configuration is being read again; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, now]);
        }
    }

    /// The end has begun.
    pub fn stopping(&self, status: &str) {
        self.send(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.send(&[NotifyState::Status(status)]);
    }

    /// A sign of life.
    pub fn watchdog(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// The start, or the end, takes so much longer.
    pub fn extend(&self, by: Duration) {
        self.send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
    }
}

/// Within which time the service manager wants a sign of life.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
