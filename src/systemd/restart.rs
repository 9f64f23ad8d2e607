//! Whether a stop is the first half of a restart.
//!
//! systemd does not tell the process that it stops, and without D-Bus only root may ask. So `ExecStop=` of the unit, which
//! runs as root before the signal is sent, asks and leaves a mark: a file beside the control socket with the invocation id
//! of the process that is to be restarted. Without a mark it is a stop.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const MARK: &str = "restart";

/// The place of the mark of the daemon with this control socket.
fn mark(control_socket: &Path) -> PathBuf {
    control_socket.with_file_name(MARK)
}

/// The id of this start of the service, which its `ExecStop=` has too.
fn invocation() -> Option<String> {
    std::env::var("INVOCATION_ID").ok().filter(|id| !id.is_empty())
}

/// Whether another process follows this one, which has been told to end.
#[must_use]
pub(crate) fn is_restart(control_socket: &Path) -> bool {
    let marked = std::fs::read_to_string(mark(control_socket));
    invocation().is_some_and(|own| marked.is_ok_and(|marked| marked.trim_end() == own))
}

/// Leaves the mark, or takes it away.
///
/// # Errors
/// If the file cannot be written, or this is not called by systemd.
pub(crate) fn set_restart(control_socket: &Path, is_restart: bool) -> io::Result<()> {
    let mark = mark(control_socket);
    if is_restart {
        let own = invocation().ok_or_else(|| io::Error::other("there is no INVOCATION_ID"))?;
        std::fs::write(&mark, own + "\n")?;
        // Root writes it with the unit's UMask=, and the daemon, which is another user, reads it.
        return std::fs::set_permissions(mark, Permissions::from_mode(0o644));
    }
    match std::fs::remove_file(mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::child;
    use super::*;

    /// In a child: marks a restart and a stop. In the parent it has nothing to do.
    #[test]
    fn marks_a_restart_and_a_stop() {
        let Some(report) = child::report() else { return };
        let socket = report.with_file_name("control.sock");
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        let mut seen = vec![is_restart(&socket)];
        for what in [true, false, false] {
            seen.push(set_restart(&socket, what).is_ok() && is_restart(&socket) && is_readable_by_all(&mark(&socket)));
        }
        std::fs::write(mark(&socket), "another\n").unwrap();
        seen.push(is_restart(&socket));
        std::fs::write(report, format!("{seen:?}")).unwrap();
    }

    fn is_readable_by_all(path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o444 == 0o444)
    }

    fn run(environment: &[(&str, &str)]) -> String {
        child::run("systemd::restart::tests::marks_a_restart_and_a_stop", vec![], environment)
    }

    #[test]
    fn only_the_mark_of_this_start_means_a_restart() {
        assert_eq!(run(&[("INVOCATION_ID", "0123abc")]), "[false, true, false, false, false]");
        assert_eq!(run(&[("INVOCATION_ID", "")]), "[false, false, false, false, false]");
    }
}
