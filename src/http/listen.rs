//! Listening sockets, bound here or inherited. Both have the same options.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::delivery::SLOW_READER_TIMEOUT;

/// Connections that the kernel holds while all threads are busy, or while systemd restarts the daemon.
const BACKLOG: i32 = 4096;
/// Unsent bytes of one connection at which the kernel calls its socket full. Without this limit the kernel would hold
/// megabytes for a client that stalls; with it a fast client still has a full window in flight.
const MAX_UNSENT_BYTES: u32 = 16 << 10;

/// Why a socket cannot be listened on, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address} (http.listen): {source}{}", hint(source))]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {}: {source}{}", path.display(), hint(source))]
    Unix { path: PathBuf, source: io::Error },
    #[error("cannot listen on {}: a file that is not a socket is in the way; move it away, or configure another path", .0.display())]
    NoSocket(PathBuf),
    #[error("cannot listen on {}: another alertd answers there; stop it, or configure another path", .0.display())]
    Answered(PathBuf),
}

impl ListenError {
    /// The address or path.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tcp { address, .. } => address.to_string(),
            Self::Unix { path, .. } | Self::NoSocket(path) | Self::Answered(path) => path.display().to_string(),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program uses it: stop that program, or choose another address",
        io::ErrorKind::PermissionDenied => {
            "; let systemd pass the socket (alertd.socket), or choose one that this user may use"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::NotFound => "; the directory does not exist",
        _ => "",
    }
}

/// Binds a TCP address.
///
/// # Errors
/// [`ListenError::Tcp`].
pub(crate) fn tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bind = || {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.cloexec().nonblocking(), Some(Protocol::TCP))?;
        // Without this, a restart without systemd fails for a minute, until the kernel has forgotten the old connections.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        adopt_tcp(socket.into())
    };
    bind().map_err(|source| ListenError::Tcp { address, source })
}

/// Takes over a listening TCP socket.
///
/// # Errors
/// If it cannot be made non-blocking.
pub(crate) fn adopt_tcp(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit all options. Best effort: without one of them the kernel buffers more or notices dead peers
    // later.
    let socket = SockRef::from(&listener);
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
    // A single alert is sent at once.
    let _ = socket.set_tcp_nodelay(true);
    // Ends connections whose peer no longer acknowledges data.
    let _ = socket.set_tcp_user_timeout(Some(2 * SLOW_READER_TIMEOUT));
    TcpListener::from_std(listener)
}

/// Takes over a listening Unix socket.
///
/// # Errors
/// If it cannot be made non-blocking.
pub(crate) fn adopt_unix(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Binds a path that only this user and group may connect to. Replaces a socket on which nobody listens any more, and
/// no other file.
///
/// # Errors
/// [`ListenError`].
pub(crate) fn unix(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(ListenError::NoSocket(path.to_owned()));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(ListenError::Answered(path.to_owned()));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        std::fs::create_dir_all(directory).map_err(failed)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    adopt_unix(listener).map_err(failed)
}
