//! The service manager's store of descriptors, which outlives the process.
//!
//! The manager answers no message, and silently drops what it does not accept: the store may be switched off or full.
//! So one end of a socket pair is stored, and the other end shows whether the manager still has it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sd_notify::NotifyState;

/// How long the manager may take to read what it was sent.
const BARRIER: Duration = Duration::from_secs(5);
/// How long it may then take to close what it does not accept. Measured: up to 5 ms.
const CLOSE: Duration = Duration::from_millis(50);

/// Stores `far` under this name, and waits until it is known whether the manager has kept it. `near` is its peer.
///
/// # Errors
/// If there is no manager, or it has not kept the descriptor.
pub(crate) fn store(name: &str, far: OwnedFd, near: BorrowedFd<'_>) -> io::Result<()> {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return Err(io::Error::other("there is no service manager to keep them"));
    }
    // Without FDPOLL=0 the manager would drop the descriptor as soon as this process closes the other end.
    let state = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&state, &[far.as_fd()])?;
    drop(far);
    barrier()?;
    if hangs_up(near, CLOSE)? {
        return Err(io::Error::other("the service manager has not kept them (FileDescriptorStoreMax=)"));
    }
    Ok(())
}

/// Makes the manager close what it stored under this name.
///
/// # Errors
/// If it cannot be reached.
pub(crate) fn forget(name: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)])
}

/// Waits until the manager has read everything that was sent to it.
///
/// # Errors
/// If it does not answer.
pub(crate) fn barrier() -> io::Result<()> {
    let (ours, theirs) = io::pipe()?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()])?;
    drop(theirs);
    if hangs_up(ours.as_fd(), BARRIER)? { Ok(()) } else { Err(io::Error::other("the service manager does not answer")) }
}

/// Waits until nobody holds the other end any more. False if somebody still does at the end of the time.
fn hangs_up(descriptor: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    let mut watched = [PollFd::from_borrowed_fd(descriptor, PollFlags::empty())];
    let ready = rustix::io::retry_on_intr(|| poll(&mut watched, Some(&limit)))?;
    Ok(ready > 0)
}
