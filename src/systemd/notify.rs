//! Messages to the service manager.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::text;

/// Bytes of a status line; systemd reads no more than 4 KiB of a message.
const STATUS: usize = 2048;

/// Tells the service manager how things are, over `$NOTIFY_SOCKET`; without that variable it does nothing.
///
/// The variable stays in the environment, since taking it out is unsafe once threads run; what starts children keeps it
/// from them. A manager that cannot be reached is reported once in the log and never stops the daemon. Sending may wait
/// for a busy manager, so keep it off the serving threads.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    failed: AtomicBool,
}

impl Notifier {
    /// The start, or a reload, is done.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// A reload has begun, at this moment of the monotonic clock; [`ready`](Self::ready) ends it, whatever came of it.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => self.complain(&error),
        }
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`; line breaks become spaces.
    pub(crate) fn status(&self, status: &str) {
        self.send(&[NotifyState::Status(&one_line(status))]);
    }

    /// A heartbeat for the manager. Send it twice in each [`watchdog_interval`](Self::watchdog_interval).
    pub(crate) fn watchdog(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// Start, reload or stop takes up to this much longer, from now; at most 71 minutes at a time.
    pub(crate) fn extend_timeout(&self, by: Duration) {
        self.send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
    }

    /// Within which time the manager wants a heartbeat from this process, if it wants one (`WatchdogSec=`).
    #[must_use]
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            self.complain(&error);
        }
    }

    fn complain(&self, error: &io::Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "cannot reach the service manager at $NOTIFY_SOCKET; it will not see this service's state");
        }
    }
}

/// A line break would begin another assignment: a status could end the service or feed its watchdog.
fn one_line(status: &str) -> String {
    text::truncate(status, STATUS).replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::super::child;
    use super::*;
    use std::os::unix::net::UnixDatagram;

    /// In a child: says everything once. In the parent it has nothing to do.
    #[test]
    fn says_everything_once() {
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
        child::run("systemd::notify::tests::says_everything_once", vec![], environment)
    }

    #[test]
    fn the_manager_gets_each_message_as_one_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "30000000")];
        assert_eq!(run(&environment), "Some(30s) false");
        manager.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let mut said = Vec::new();
        while let Ok(length) = manager.recv(&mut buffer) {
            said.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        let (reloading, time) = said[1].split_once("MONOTONIC_USEC=").unwrap();
        assert_eq!(reloading, "RELOADING=1\n");
        assert!(time.trim_end().parse::<u64>().unwrap() > 0);
        said.remove(1);
        assert_eq!(
            said,
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
    fn without_a_manager_nothing_is_said_and_nothing_fails() {
        assert_eq!(run(&[]), "None false");
        assert_eq!(run(&[("WATCHDOG_USEC", "0")]), "None false");
    }

    #[test]
    fn a_watchdog_meant_for_another_process_is_not_ours() {
        assert_eq!(run(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")]), "None false");
    }

    #[test]
    fn a_manager_that_is_gone_is_no_reason_to_end() {
        assert_eq!(run(&[("NOTIFY_SOCKET", "/nonexistent/notify")]), "None true");
    }

    #[test]
    fn a_long_status_is_cut_between_characters() {
        let line = one_line(&"ü".repeat(STATUS));
        assert!(line.len() <= STATUS && line.ends_with("ü…"), "{}", line.len());
    }
}
