//! Notifications to the service manager.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::text;

/// Maximum bytes of a status line; systemd reads at most 4 KiB of a message.
const MAX_STATUS_BYTES: usize = 2048;

/// Sends notifications to the service manager over `$NOTIFY_SOCKET`. Without that variable it does nothing.
///
/// The variable stays in the environment, because removing it is unsafe once threads run; code that starts children removes
/// it for them. If the manager cannot be reached, that is logged once and has no other effect. Sending may block while the
/// manager is busy, so it must not be done on threads that serve requests.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    failed: AtomicBool,
}

impl Notifier {
    /// Reports that the start or a reload is complete.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// Reports the beginning of a reload. [`ready`](Self::ready) must follow, whether the reload succeeds or not.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => self.report_once(&error),
        }
    }

    /// Reports the beginning of the stop.
    pub(crate) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// Sets the status line in `systemctl status`.
    pub(crate) fn status(&self, status: &str) {
        self.send(&[NotifyState::Status(&one_line(status))]);
    }

    /// Feeds the watchdog. Must be sent twice in each [`watchdog_interval`](Self::watchdog_interval).
    pub(crate) fn watchdog(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// Extends the timeout of the start, reload or stop to this time from now, at most 71 minutes.
    pub(crate) fn extend_timeout(&self, by: Duration) {
        self.send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
    }

    /// The watchdog's timeout for this process (`WatchdogSec=`), if there is one.
    #[must_use]
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = send(states) {
            self.report_once(&error);
        }
    }

    fn report_once(&self, error: &io::Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "cannot reach the service manager at $NOTIFY_SOCKET; it will not see this service's state");
        }
    }
}

/// Sends one message, like `sd_notify::notify`, which does not know abstract sockets.
fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(()) };
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    // A datagram is sent as a whole or not at all.
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

/// Replaces control characters by spaces. A line break would begin another assignment, so that the text of a status could
/// stop the service or feed its watchdog.
fn one_line(status: &str) -> String {
    text::truncate(status, MAX_STATUS_BYTES).replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::super::child;
    use super::*;

    /// Runs in a child process: sends every notification once. In the parent it does nothing.
    #[test]
    fn sends_every_notification_once() {
        let Some(report) = child::report() else { return };
        let notifier = Notifier::default();
        notifier.ready("2 streams\nWATCHDOG=trigger");
        notifier.reloading();
        notifier.status("opening\tthe store");
        notifier.watchdog();
        notifier.extend_timeout(Duration::from_millis(1500));
        notifier.extend_timeout(Duration::MAX);
        notifier.stopping();
        let failed = notifier.failed.load(Ordering::Relaxed);
        std::fs::write(report, format!("{:?} {failed}", notifier.watchdog_interval())).unwrap();
    }

    fn run(environment: &[(&str, &str)]) -> String {
        child::run("systemd::notify::tests::sends_every_notification_once", vec![], environment)
    }

    #[test]
    fn the_manager_gets_each_message_as_one_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        receives_everything(&manager, path.to_str().unwrap());
    }

    #[test]
    fn an_abstract_socket_gets_the_same() {
        let name = format!("alertd-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        receives_everything(&manager, &format!("@{name}"));
    }

    fn receives_everything(manager: &UnixDatagram, name: &str) {
        assert_eq!(run(&[("NOTIFY_SOCKET", name), ("WATCHDOG_USEC", "30000000")]), "Some(30s) false");
        manager.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let mut received = Vec::new();
        while let Ok(length) = manager.recv(&mut buffer) {
            received.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        let (reloading, time) = received[1].split_once("MONOTONIC_USEC=").unwrap();
        assert_eq!(reloading, "RELOADING=1\n");
        assert!(time.trim_end().parse::<u64>().unwrap() > 0);
        received.remove(1);
        assert_eq!(
            received,
            [
                "READY=1\nSTATUS=2 streams WATCHDOG=trigger\n",
                "STATUS=opening the store\n",
                "WATCHDOG=1\n",
                "EXTEND_TIMEOUT_USEC=1500000\n",
                "EXTEND_TIMEOUT_USEC=4294967295\n",
                "STOPPING=1\n",
            ]
        );
    }

    #[test]
    fn without_a_manager_nothing_is_sent_and_nothing_fails() {
        assert_eq!(run(&[]), "None false");
        assert_eq!(run(&[("WATCHDOG_USEC", "0"), ("NOTIFY_SOCKET", "")]), "None false");
    }

    #[test]
    fn the_watchdog_of_another_process_is_ignored() {
        assert_eq!(run(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")]), "None false");
    }

    #[test]
    fn an_unreachable_manager_is_not_fatal() {
        for name in ["/nonexistent/notify", "@nobody-listens-here"] {
            assert_eq!(run(&[("NOTIFY_SOCKET", name)]), "None true", "{name}");
        }
    }

    #[test]
    fn a_long_status_is_cut_between_characters() {
        let line = one_line(&"ü".repeat(MAX_STATUS_BYTES));
        assert!(line.len() <= MAX_STATUS_BYTES && line.ends_with("ü…"), "{}", line.len());
    }
}
