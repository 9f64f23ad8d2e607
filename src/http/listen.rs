//! Listening sockets, bound here or inherited. Both have the same options.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::socket::Socket;
use crate::delivery::SLOW_READER_TIMEOUT;

/// Connections that the kernel holds while all threads are busy, or while systemd restarts the daemon.
const BACKLOG: i32 = 4096;
/// Unsent bytes of one connection at which the kernel calls its socket full. Without this limit the kernel would hold
/// megabytes for a client that stalls; with it a fast client still has a full window in flight.
const MAX_UNSENT_BYTES: u32 = 16 << 10;

/// A listening socket, TCP or Unix, that the runtime watches.
pub(crate) struct Listener(
    /// The runtime only waits for readiness, whatever the kind of socket. Its own listeners would watch each connection too.
    TcpStream,
);

impl Listener {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        TcpStream::from_std(socket.into()).map(Self)
    }

    /// The address or path that it is bound to.
    pub(crate) fn address(&self) -> Option<SockAddr> {
        SockRef::from(&self.0).local_addr().ok()
    }

    /// The next connection, and the address of its peer; none on a Unix socket.
    ///
    /// # Errors
    /// Those of `accept(2)`.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let accept = || Ok(acceptfrom_with(&self.0, flags)?);
        let (socket, address) = self.0.async_io(Interest::READABLE, accept).await?;
        let address = address.and_then(|address| SocketAddr::try_from(address).ok());
        Ok((Socket::new(socket), address.map(|address| address.ip().to_canonical())))
    }
}

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
pub(crate) fn tcp(address: SocketAddr) -> Result<Listener, ListenError> {
    let bind = || {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM.cloexec().nonblocking(),
            Some(Protocol::TCP),
        )?;
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
pub(crate) fn adopt_tcp(listener: TcpListener) -> io::Result<Listener> {
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit all options. Best effort: without one of them the kernel buffers more or notices dead peers
    // later.
    let socket = SockRef::from(&listener);
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
    // A single alert is sent at once.
    let _ = socket.set_tcp_nodelay(true);
    // Ends connections whose peer no longer acknowledges data.
    let _ = socket.set_tcp_user_timeout(Some(2 * SLOW_READER_TIMEOUT));
    Listener::new(listener.into())
}

/// Takes over a listening Unix socket.
///
/// # Errors
/// If it cannot be made non-blocking.
pub(crate) fn adopt_unix(listener: UnixListener) -> io::Result<Listener> {
    listener.set_nonblocking(true)?;
    Listener::new(listener.into())
}

/// Binds a path that only this user and group may connect to. Replaces a socket on which nobody listens any more, and
/// no other file.
///
/// # Errors
/// [`ListenError`].
pub(crate) fn unix(path: &Path) -> Result<Listener, ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(ListenError::NoSocket(path.to_owned()));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(ListenError::Answered(path.to_owned()));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        std::fs::create_dir_all(directory).map_err(failed)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    adopt_unix(listener).map_err(failed)
}
