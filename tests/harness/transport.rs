//! The two transports of a stream: over plain HTTP/1.1 a broadcast loop writes it, over TLS hyper does. A client must not see
//! the difference, so tests of streams run over both.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;

/// How the clients of a daemon connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
}

/// Makes two tests, `name::plain` and `name::tls`, from each of these functions, which take a [`Transport`].
macro_rules! over_both_transports {
    ($($name:ident,)*) => {$(
        mod $name {
            #[test]
            fn plain() {
                super::$name($crate::harness::Transport::Plain);
            }

            #[test]
            fn tls() {
                super::$name($crate::harness::Transport::Tls);
            }
        }
    )*};
}
pub(crate) use over_both_transports;

/// A client's end of a connection.
pub enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl From<TcpStream> for Wire {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for Wire {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

impl Wire {
    /// Connects in clear text, or with TLS if there is a certificate to trust. None if nobody answers.
    pub fn connect(address: SocketAddr, trusted: Option<&Path>) -> Option<Self> {
        Some(Self::over(TcpStream::connect(address).ok()?, trusted))
    }

    /// Like [`connect`](Self::connect), over this socket.
    pub fn over(socket: TcpStream, trusted: Option<&Path>) -> Self {
        let Some(certificate) = trusted else { return Self::Tcp(socket) };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Self::Tls(Box::new(StreamOwned::new(session, socket)))
    }

    /// The timeout of a read.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(Some(patience)),
            Self::Unix(socket) => socket.set_read_timeout(Some(patience)),
            Self::Tls(stream) => stream.sock.set_read_timeout(Some(patience)),
        }
    }

    /// Closes the sending half; what the server sends can still be read.
    pub fn finish_sending(&mut self) {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                // Between these steps the server may have answered and closed the connection.
                let closed = |error: &io::Error| {
                    matches!(
                        error.kind(),
                        io::ErrorKind::NotConnected | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                    )
                };
                let ended = stream.flush().and_then(|()| stream.sock.shutdown(Shutdown::Write));
                assert!(ended.as_ref().map_or_else(closed, |()| true), "{ended:?}");
            }
        }
    }

    /// With the harness's timeout.
    pub fn patient(self) -> io::Result<Self> {
        self.set_patience(PATIENCE)?;
        Ok(self)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.flush(),
            Self::Unix(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Makes a certificate for this machine and its key, and returns their paths.
pub fn certificate(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", super::told(&made));
    (certificate, key)
}
