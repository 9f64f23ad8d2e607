//! The way to the daemon: control socket, TCP or TLS; one connection for each request.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::args::TargetArgs;
use super::exit::{Code, Failure, file};
use super::settings;
use crate::api::Problem;

/// A connection is there within this time, or not at all.
const CONNECT: Duration = Duration::from_secs(10);
/// The head of an answer; longer than the daemon waits for its disk.
const ANSWER: Duration = Duration::from_secs(20);
/// Bytes of an answer that is no stream.
const BODY: usize = 64 << 20;

/// Where the daemon is.
#[derive(Clone, Debug)]
enum Target {
    Socket(PathBuf),
    Remote { tls: bool, host: String, port: u16 },
}

/// Talks to one daemon.
#[derive(Clone)]
pub struct Client {
    target: Target,
    key: Option<Arc<Zeroizing<String>>>,
}

/// Why there is no good answer.
#[derive(Debug)]
pub enum Trouble {
    /// No connection: nothing was sent. True where nobody listens at a local socket.
    NoDaemon(String, bool),
    /// The connection broke, or the answer did not come in time: the outcome is unknown.
    Broken(String),
    /// The daemon said no.
    Refused(StatusCode, String, Option<Duration>),
}

impl Trouble {
    /// Whether the same request may work later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoDaemon(..) | Self::Broken(_) => true,
            Self::Refused(status, ..) => matches!(status.as_u16(), 408 | 429 | 500..),
        }
    }

    /// When to come back, if the daemon said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused(_, _, after) = self { *after } else { None }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NoDaemon(message, _) | Trouble::Broken(message) => Self::new(Code::Unavailable, message),
            Trouble::Refused(status, message, _) => {
                let code = match status.as_u16() {
                    401 | 403 => Code::NotPermitted,
                    408 | 429 | 500.. => Code::Unavailable,
                    400 | 422 => Code::Usage,
                    _ => Code::Failed,
                };
                Self::new(code, message)
            }
        }
    }
}

impl Client {
    /// The daemon that the command line names.
    ///
    /// # Errors
    /// Where the URL or the key cannot be used.
    pub fn new(args: &TargetArgs) -> Result<Self, Failure> {
        let Some(url) = &args.url else {
            return Ok(Self { target: Target::Socket(settings::socket(args)), key: None });
        };
        let wrong =
            |reason: &str| Failure::new(Code::Usage, format!("--url: {reason}, such as https://alerts.example.org"));
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong("must hold no user, password or token; the key comes from --key-file or $ALERTCTL_KEY"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let key = match &args.key_file {
            Some(path) => std::fs::read_to_string(path).map_err(|e| file(path, &e))?,
            None => std::env::var("ALERTCTL_KEY").map_err(|_| {
                Failure::new(Code::Usage, "a remote daemon needs a key: give --key-file FILE or set ALERTCTL_KEY")
            })?,
        };
        let key = Some(Arc::new(Zeroizing::new(key.trim().to_owned())));
        Ok(Self { target: Target::Remote { tls, host: authority.host().to_owned(), port }, key })
    }

    /// The local socket, where that is the way.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        if let Target::Socket(path) = &self.target { Some(path) } else { None }
    }

    /// Sends a request and returns the answer's head; refusals become [`Trouble::Refused`].
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble> {
        if let Some(key) = &self.key {
            let value = HeaderValue::try_from(format!("Bearer {}", key.as_str()));
            let mut value = value.map_err(|_| {
                Trouble::Refused(StatusCode::UNAUTHORIZED, "the key holds characters that no key has".into(), None)
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let place = self.place();
        let away = |reason: String| Trouble::NoDaemon(format!("cannot reach alertd at {place}: {reason}"), false);
        match &self.target {
            Target::Socket(path) => {
                request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
                let stream = UnixStream::connect(path).await.map_err(|error| self.no_socket(path, &error))?;
                exchange(stream, request, &place).await
            }
            Target::Remote { tls, host, port } => {
                if let Ok(value) = HeaderValue::try_from(format!("{host}:{port}")) {
                    request.headers_mut().insert(HOST, value);
                }
                let name = host.trim_matches(['[', ']']);
                let connected = timeout(CONNECT, TcpStream::connect((name, *port))).await;
                let stream = connected.map_err(|_| away("no answer".into()))?.map_err(|e| away(e.to_string()))?;
                let _ = stream.set_nodelay(true);
                if !tls {
                    return exchange(stream, request, &place).await;
                }
                let shaken = timeout(CONNECT, super::tls::connect(name, stream)).await;
                let stream = shaken.map_err(|_| away("no TLS handshake".into()))?.map_err(away)?;
                exchange(stream, request, &place).await
            }
        }
    }

    fn place(&self) -> String {
        match &self.target {
            Target::Socket(path) => path.display().to_string(),
            Target::Remote { tls, host, port } => format!("{}://{host}:{port}", if *tls { "https" } else { "http" }),
        }
    }

    fn no_socket(&self, path: &Path, error: &std::io::Error) -> Trouble {
        let at = path.display();
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Trouble::Refused(
                StatusCode::FORBIDDEN,
                format!("may not use {at}: be root, or join the group alertd, or use --url with a key"),
                None,
            ),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Trouble::NoDaemon(
                format!("no alertd listens at {at}: systemctl start alertd, or name it with --socket or --url"),
                true,
            ),
            _ => Trouble::NoDaemon(format!("cannot reach alertd at {at}: {error}"), false),
        }
    }

    /// Sends JSON, or nothing, and reads JSON.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Trouble> {
        let bytes = body.map(serde_json::to_vec).transpose().map_err(|e| Trouble::Broken(e.to_string()))?;
        let mut request = Request::builder().method(method).uri(path);
        if bytes.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.header("accept", "application/json").body(Full::from(bytes.unwrap_or_default()));
        let request = request.map_err(|e| Trouble::Broken(e.to_string()))?;
        let answer = read(self.send(request).await?).await?;
        serde_json::from_slice(&answer)
            .map_err(|e| Trouble::Broken(format!("{} does not answer as alertd does: {e}", self.place())))
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, place: &str) -> Result<Response<Incoming>, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |reason: String| Trouble::Broken(format!("{place} broke off: {reason}"));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| broken(e.to_string()))?;
    tokio::spawn(connection);
    let answer = timeout(ANSWER, sender.send_request(request)).await;
    let answer = answer.map_err(|_| broken("no answer in time".into()))?.map_err(|e| broken(e.to_string()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read(answer).await?;
    let message = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => format!("{} (request {})", problem.detail, problem.request_id),
        Err(_) => format!("{place} answers {status}"),
    };
    Err(Trouble::Refused(status, message, after.map(Duration::from_secs)))
}

async fn read(answer: Response<Incoming>) -> Result<Bytes, Trouble> {
    let body = timeout(ANSWER, Limited::new(answer.into_body(), BODY).collect()).await;
    let body = body.map_err(|_| Trouble::Broken("the answer did not end in time".into()))?;
    Ok(body.map_err(|e| Trouble::Broken(format!("the answer broke off: {e}")))?.to_bytes())
}

/// Escapes what has a meaning in a query.
#[must_use]
pub fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
