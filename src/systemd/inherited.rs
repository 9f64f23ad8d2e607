//! Listening sockets that systemd passes.
//!
//! A descriptor with an unknown name is closed, because a newer version may have stored it before a downgrade. A known name
//! on an unsuitable socket is a mistake in a unit, and an error.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use socket2::{Domain, SockRef, Type};

/// The name of stored descriptors that the next process takes.
pub(crate) const STORED: &str = "takeover";
const NAMES: &str = "set FileDescriptorName= in its .socket unit to http, control or publish";

/// Sockets that cannot be used. The daemon does not start, because clients of such a socket would never get an answer.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// A socket without a name beside others, so that its purpose is unknown.
    #[error("systemd passed {count} sockets, and number {number} has no name: {NAMES}")]
    Unnamed {
        count: usize,
        /// Its position, counted from 1.
        number: usize,
    },
    /// TCP instead of Unix, a datagram socket, or not a socket.
    #[error(
        "the socket that systemd passed as {name:?} is not {expected} ({source}): correct ListenStream= or FileDescriptorName= in its .socket unit"
    )]
    Kind { name: String, expected: &'static str, source: io::Error },
    /// A connection instead of a listening socket.
    #[error(
        "the socket that systemd passed as {0:?} is a connection and not a listening socket: set Accept=no in its .socket unit (and FileDescriptorName=)"
    )]
    NotListening(String),
    /// A name that only one socket may have.
    #[error(
        "systemd passed more than one socket named {0:?}: only http may have several; look for a second ListenStream= or .socket unit"
    )]
    Twice(String),
    /// The socket could not be set up.
    #[error("cannot use the socket that systemd passed as {name:?}: {source}")]
    Unusable { name: String, source: io::Error },
}

/// The sockets that systemd passed, each non-blocking and closed on exec. Empty without socket activation.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// TCP sockets for requests with keys, in the order of the units.
    pub http: Vec<TcpListener>,
    /// Unix sockets for requests with keys, for a proxy on this machine.
    pub http_unix: Vec<UnixListener>,
    pub control: Option<UnixListener>,
    pub publish: Option<UnixListener>,
    /// Unknown names, whose descriptors were closed.
    pub unknown: Vec<String>,
}

impl Inherited {
    /// Whether systemd passed sockets for requests with keys.
    #[must_use]
    pub(crate) fn has_http(&self) -> bool {
        !self.http.is_empty() || !self.http_unix.is_empty()
    }

    /// Takes all descriptors that were passed to this process; `fdnames` is the value of `$LISTEN_FDNAMES`. A single TCP
    /// socket without a name counts as `http`. The first part of the result is what earlier processes of the service have
    /// stored under the name [`STORED`], which has to be looked after even if the rest cannot be used.
    ///
    /// Must be called before any other thread runs, because `listenfd` removes `LISTEN_FDS` and `LISTEN_PID` from the
    /// environment. A second call finds nothing.
    ///
    /// # Errors
    /// [`InheritedError`]. The process should then exit, because sockets that were not taken remain open.
    pub(crate) fn take(fdnames: Option<String>) -> (Vec<OwnedFd>, Result<Self, InheritedError>) {
        let names = fdnames.unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut passed = ListenFd::from_env();
        let named_stored = (0..passed.len()).filter(|index| names.get(*index) == Some(&STORED));
        let stored: Vec<_> = named_stored
            .filter_map(|index| {
                // Anything but a Unix socket is left in place, and closed below.
                passed.take_custom(index, Domain::UNIX.into(), Type::STREAM.into(), "Unix socket").ok().flatten()
            })
            .collect();
        let count = passed.len() - stored.len();
        (stored, Self::take_sockets(passed, &names, count))
    }

    fn take_sockets(mut passed: ListenFd, names: &[&str], count: usize) -> Result<Self, InheritedError> {
        let mut taken = Self::default();
        for index in 0..passed.len() {
            match names.get(index).copied().unwrap_or_default() {
                // systemd passes "unknown" for a socket without a name.
                "" | "unknown" if count == 1 => taken.take_tcp(&mut passed, index)?,
                "" | "unknown" => return Err(InheritedError::Unnamed { count, number: index + 1 }),
                "http" => taken.take_http(&mut passed, index)?,
                "control" => take_unix(&mut passed, index, "control", &mut taken.control)?,
                "publish" => take_unix(&mut passed, index, "publish", &mut taken.publish)?,
                // With Accept=yes, systemd passes this name whatever the unit says.
                "connection" => return Err(InheritedError::NotListening("connection".into())),
                other => taken.close(&mut passed, index, other)?,
            }
        }
        Ok(taken)
    }

    fn close(&mut self, passed: &mut ListenFd, index: usize, name: &str) -> Result<(), InheritedError> {
        let unusable = |source| InheritedError::Unusable { name: name.to_owned(), source };
        if let Some(descriptor) = passed.take_raw_fd(index).map_err(unusable)? {
            nix::unistd::close(descriptor).map_err(|error| unusable(error.into()))?;
            self.unknown.push(name.to_owned());
        }
        Ok(())
    }

    fn take_http(&mut self, passed: &mut ListenFd, index: usize) -> Result<(), InheritedError> {
        // If this is not a Unix socket, `take_unix_listener` leaves it in place.
        if let Ok(listener) = passed.take_unix_listener(index) {
            if let Some(listener) = &listener {
                check("http", listener, |l| l.set_nonblocking(true))?;
            }
            self.http_unix.extend(listener);
            return Ok(());
        }
        self.take_tcp(passed, index)
    }

    fn take_tcp(&mut self, passed: &mut ListenFd, index: usize) -> Result<(), InheritedError> {
        let listener = passed.take_tcp_listener(index).map_err(kind("http", "a TCP socket"))?;
        if let Some(listener) = &listener {
            check("http", listener, |l| l.set_nonblocking(true))?;
        }
        self.http.extend(listener);
        Ok(())
    }
}

fn take_unix(
    passed: &mut ListenFd,
    index: usize,
    name: &'static str,
    target: &mut Option<UnixListener>,
) -> Result<(), InheritedError> {
    if target.is_some() {
        return Err(InheritedError::Twice(name.to_owned()));
    }
    let listener = passed.take_unix_listener(index).map_err(kind(name, "a Unix stream socket"))?;
    if let Some(listener) = &listener {
        check(name, listener, |l| l.set_nonblocking(true))?;
    }
    *target = listener;
    Ok(())
}

fn kind(name: &'static str, expected: &'static str) -> impl FnOnce(io::Error) -> InheritedError {
    move |source| InheritedError::Kind { name: name.to_owned(), expected, source }
}

fn check<L: AsFd>(
    name: &'static str,
    listener: &L,
    set_nonblocking: impl FnOnce(&L) -> io::Result<()>,
) -> Result<(), InheritedError> {
    let unusable = |source| InheritedError::Unusable { name: name.to_owned(), source };
    if !SockRef::from(listener).is_listener().map_err(unusable)? {
        return Err(InheritedError::NotListening(name.to_owned()));
    }
    set_nonblocking(listener).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::super::child;
    use super::*;
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    /// Runs in a child process: takes the passed sockets and reports them. In the parent it does nothing.
    #[test]
    fn reports_what_it_took() {
        let Some(report) = child::report() else { return };
        let (stored, taken) = Inherited::take(std::env::var("LISTEN_FDNAMES").ok());
        let text = match taken {
            Err(error) => error.to_string(),
            Ok(mut taken) => {
                // Nobody connects, so a blocking accept would never return.
                let would_block = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                taken.http.iter().for_each(|l| would_block(l.accept().unwrap_err()));
                taken
                    .control
                    .iter()
                    .chain(&taken.publish)
                    .chain(&taken.http_unix)
                    .for_each(|l| would_block(l.accept().unwrap_err()));
                let again = Inherited::take(None).1.unwrap();
                assert!(again.http.is_empty() && std::env::var_os("LISTEN_FDS").is_none());
                let http: Vec<_> = taken.http.drain(..).map(|l| l.local_addr().unwrap().to_string()).collect();
                let path = |l: Option<UnixListener>| {
                    l.map(|l| l.local_addr().unwrap().as_pathname().unwrap().file_name().unwrap().to_owned())
                };
                let proxied: Vec<_> =
                    taken.http_unix.drain(..).map(|l| format!(" and {:?}", path(Some(l)).unwrap())).collect();
                let (control, publish) = (path(taken.control), path(taken.publish));
                let unknown: Vec<_> = taken.unknown.iter().map(|name| format!(" not {name}")).collect();
                // The descriptors that were passed are 3 to 5.
                let is_open = |number: &usize| std::path::Path::new(&format!("/proc/self/fd/{number}")).exists();
                assert!(unknown.is_empty() || (3..3 + unknown.len()).all(|number| !is_open(&number)));
                let stored = if stored.is_empty() { String::new() } else { format!(" stored {}", stored.len()) };
                format!("{http:?} {control:?} {publish:?}{}{}{stored}", proxied.concat(), unknown.concat())
            }
        };
        std::fs::write(report, text).unwrap();
    }

    fn take(names: Option<&str>, sockets: Vec<OwnedFd>) -> String {
        let names: Vec<_> = names.map(|names| ("LISTEN_FDNAMES", names)).into_iter().collect();
        child::run("systemd::inherited::tests::reports_what_it_took", sockets, &names)
    }

    fn tcp() -> (OwnedFd, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener.into(), address)
    }

    fn unix(name: &str) -> (OwnedFd, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (UnixListener::bind(directory.path().join(name)).unwrap().into(), directory)
    }

    #[test]
    fn sockets_are_distinguished_by_name_in_any_order() {
        let ((control, _c), (publish, _p), (http, address)) = (unix("c"), unix("p"), tcp());
        let expected = format!("[{address:?}] Some(\"c\") Some(\"p\")");
        assert_eq!(take(Some("publish:http:control"), vec![publish, http, control]), expected);
    }

    #[test]
    fn http_may_have_several_sockets_and_control_only_one() {
        let ((first, a), (second, b)) = (tcp(), tcp());
        assert_eq!(take(Some("http:http"), vec![first, second]), format!("[{a:?}, {b:?}] None None"));
        let ((first, _a), (second, _b)) = (unix("a"), unix("b"));
        let ((port, address), (proxied, _p)) = (tcp(), unix("p"));
        assert_eq!(take(Some("http:http"), vec![proxied, port]), format!("[{address:?}] None None and \"p\""));
        let error = take(Some("control:control"), vec![first, second]);
        assert!(error.contains("more than one socket named \"control\""), "{error}");
    }

    #[test]
    fn a_single_tcp_socket_needs_no_name_but_two_do() {
        for names in [None, Some(""), Some("unknown")] {
            let (http, address) = tcp();
            assert_eq!(take(names, vec![http]), format!("[{address:?}] None None"), "{names:?}");
        }
        let error = take(Some("http"), vec![tcp().0, tcp().0]);
        assert!(error.contains("number 2 has no name") && error.contains("FileDescriptorName="), "{error}");
        let error = take(None, vec![unix("x").0]);
        assert!(error.contains("is not a TCP socket"), "{error}");
    }

    #[test]
    fn descriptors_with_unknown_names_are_closed() {
        let (file, (http, address)) = (std::fs::File::open("/dev/null").unwrap(), tcp());
        let sockets = vec![tcp().0, file.into(), http];
        assert_eq!(
            take(Some("metrics:streams:http"), sockets),
            format!("[{address:?}] None None not metrics not streams")
        );
    }

    #[test]
    fn what_was_stored_is_no_listening_socket_and_needs_to_be_a_unix_socket() {
        let (http, address) = tcp();
        let (queue, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let expected = format!("[{address:?}] None None stored 1");
        assert_eq!(take(Some("takeover:http"), vec![queue.into(), http]), expected);
        let (http, address) = tcp();
        let (queue, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let expected = format!("[{address:?}] None None stored 1");
        assert_eq!(take(Some(":takeover"), vec![http, queue.into()]), expected);
        let (file, (http, address)) = (std::fs::File::open("/dev/null").unwrap(), tcp());
        let expected = format!("[{address:?}] None None not takeover");
        assert_eq!(take(Some("takeover:http"), vec![file.into(), http]), expected);
    }

    #[test]
    fn a_socket_of_the_wrong_kind_is_refused_by_name() {
        let error = take(Some("control"), vec![tcp().0]);
        assert!(error.contains("\"control\" is not a Unix stream socket"), "{error}");
        let error = take(Some("publish"), vec![UnixDatagram::unbound().unwrap().into()]);
        assert!(error.contains("\"publish\" is not a Unix stream socket"), "{error}");
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = take(Some("http"), vec![file.into()]);
        assert!(error.contains("\"http\" is not a TCP socket"), "{error}");
    }

    #[test]
    fn a_connection_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for name in ["http", "connection"] {
            let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let error = take(Some(name), vec![connection.into()]);
            assert!(error.contains("Accept=no"), "{error}");
        }
    }

    #[test]
    fn the_units_pass_the_expected_names() {
        for (unit, name) in [
            (include_str!("../../systemd/alertd.socket"), "http"),
            (include_str!("../../systemd/alertd-control.socket"), "control"),
            (include_str!("../../systemd/alertd-publish.socket"), "publish"),
        ] {
            assert!(unit.contains(&format!("\nFileDescriptorName={name}\n")), "{unit}");
        }
    }

    #[test]
    fn without_activation_there_are_no_sockets() {
        assert_eq!(take(Some("http"), vec![]), "[] None None");
    }
}
