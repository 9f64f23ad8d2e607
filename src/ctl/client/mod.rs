//! Requests to the daemon and what can go wrong with them.
//!
//! Called by every command. One connection for each request: a command makes few of them, and none can then wait behind
//! another one. Each step has a time limit, so that a command always ends; only [`Response::piece`] is left to its caller,
//! who knows how long a stream may be silent. The key is sent in a header and shown nowhere.

pub(crate) mod address;
pub(crate) mod error;
mod remedy;
mod tls;

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use address::Address;
use error::Cause;
pub(crate) use error::ClientError;

/// A connection must stand within this time, a TLS handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole answer is at most so large; a page of history is the largest.
const MAX_BODY: usize = 128 << 20;

/// What is asked of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    target: String,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
    timeout: Duration,
}

/// Where a key came from, for errors that name what to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `ALERTCTL_KEY`.
    Variable,
    /// `--key-file`.
    File(PathBuf),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("ALERTCTL_KEY"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A key that is sent with each request.
pub(crate) struct Credential {
    /// The secret.
    pub key: Zeroizing<String>,
    /// Where it came from.
    pub source: KeySource,
}

/// Speaks to one daemon.
pub(crate) struct Client {
    address: Address,
    key: Option<Credential>,
}

/// An answer that is a success, its body still to come.
pub(crate) struct Response {
    response: hyper::Response<Incoming>,
    address: String,
    timeout: Duration,
    _connection: AbortOnDropHandle<()>,
}

impl Request {
    /// The default of [`timeout`](Self::timeout).
    pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// A request without a body. `target` is a path with its query, percent-encoded.
    #[must_use]
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Bytes::new(), timeout: Self::DEFAULT_TIMEOUT }
    }

    /// A `GET`.
    #[must_use]
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// With this header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub(crate) fn body(mut self, kind: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE, kind)
    }

    /// How long the head of the answer may take, and then the whole of its body.
    #[must_use]
    pub(crate) const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Client {
    /// A client of this daemon, which sends the key where there is one. Connects to nothing yet.
    #[must_use]
    pub(crate) const fn new(address: Address, key: Option<Credential>) -> Self {
        Self { address, key }
    }

    /// Where requests go.
    #[must_use]
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// Asks, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`ClientError`], also for every answer that is no success.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, ClientError> {
        let address = self.address.to_string();
        let encoded = self.encode(&request)?;
        let connected = timeout(CONNECT_TIMEOUT, self.connect()).await;
        let (mut sender, connection) =
            connected.unwrap_or_else(|_| Err(self.unreachable("no connection in 10 s", Cause::Network)))?;
        let broken = |reason: String| ClientError::Broken { address: address.clone(), reason };
        let response = match timeout(request.timeout, sender.send_request(encoded)).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => return Err(broken(format!("closed the connection before it answered ({e})"))),
            Err(_) => return Err(broken(format!("did not answer within {} s", request.timeout.as_secs_f64()))),
        };
        if response.status().is_success() {
            return Ok(Response { response, address, timeout: request.timeout, _connection: connection });
        }
        let key = self.key.as_ref().map(|credential| credential.source.clone());
        Err(error::refusal(address, key, response, request.timeout).await)
    }

    fn encode(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, ClientError> {
        let (host, prefix) = match &self.address {
            Address::Socket(_) => ("localhost", ""),
            Address::Remote(remote) => (remote.authority.as_str(), remote.prefix.as_str()),
        };
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(format!("{prefix}{}", request.target))
            .header(HOST, host)
            .header("user-agent", concat!("alertctl/", env!("CARGO_PKG_VERSION")));
        if let Some(Credential { key, .. }) = &self.key {
            let bearer = HeaderValue::try_from(format!("Bearer {}", key.as_str()));
            let mut bearer = bearer.map_err(|_| self.foreign("the key holds characters that no key has"))?;
            bearer.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, bearer);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder
            .body(Full::new(request.body.clone()))
            .map_err(|e| self.foreign(&format!("no request can be made of this: {e}")))
    }

    async fn connect(&self) -> Result<(Sender, AbortOnDropHandle<()>), ClientError> {
        match &self.address {
            Address::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|e| self.io(&e))?;
                self.speak(stream).await
            }
            Address::Remote(remote) => {
                let found = lookup_host((remote.host.as_str(), remote.port)).await;
                let found: Vec<_> = found.map_err(|e| self.unreachable(&e.to_string(), Cause::NoHost))?.collect();
                let tcp = TcpStream::connect(&found[..]).await.map_err(|e| self.io(&e))?;
                // A request is one small write; waiting for more to send with it only costs time.
                let _ = tcp.set_nodelay(true);
                if !remote.tls {
                    return self.speak(tcp).await;
                }
                let roots = tls::system_roots().map_err(|e| self.unreachable(&e, Cause::Tls))?;
                let stream = tls::handshake(roots, &remote.host, tcp).await;
                self.speak(stream.map_err(|e| self.unreachable(&format!("TLS: {e}"), Cause::Tls))?).await
            }
        }
    }

    async fn speak(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(Sender, AbortOnDropHandle<()>), ClientError> {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.unreachable(&e.to_string(), Cause::Network))?;
        // How it ends is seen at the answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok((sender, AbortOnDropHandle::new(driver)))
    }

    fn io(&self, error: &std::io::Error) -> ClientError {
        match (error.kind(), &self.address) {
            (ErrorKind::PermissionDenied, Address::Socket(_)) => {
                ClientError::Forbidden { address: self.address.to_string() }
            }
            (ErrorKind::NotFound, Address::Socket(_)) => self.unreachable("there is no such socket", Cause::NoDaemon),
            (ErrorKind::ConnectionRefused, Address::Socket(_)) => {
                self.unreachable("nobody listens on the socket", Cause::NoDaemon)
            }
            (ErrorKind::ConnectionRefused, Address::Remote(_)) => {
                self.unreachable("nobody listens on that port", Cause::NoListener)
            }
            _ => self.unreachable(&error.to_string(), Cause::Network),
        }
    }

    fn unreachable(&self, reason: &str, cause: Cause) -> ClientError {
        ClientError::Unreachable { address: self.address.to_string(), reason: reason.to_owned(), cause }
    }

    fn foreign(&self, reason: &str) -> ClientError {
        ClientError::Foreign { address: self.address.to_string(), reason: reason.to_owned() }
    }
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

impl Response {
    /// The media type without its parameters, in lower case.
    #[must_use]
    pub(crate) fn media_type(&self) -> String {
        let value = self.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`ClientError::Broken`] where it does not come whole and in time.
    pub(crate) async fn bytes(self) -> Result<Bytes, ClientError> {
        let broken = |reason: String| ClientError::Broken { address: self.address.clone(), reason };
        match timeout(self.timeout, Limited::new(self.response.into_body(), MAX_BODY).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) => Err(broken(format!("broke off in the middle of its answer ({e})"))),
            Err(_) => Err(broken(format!("took over {} s for its answer", self.timeout.as_secs_f64()))),
        }
    }

    /// The whole body as a value.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and [`ClientError::Foreign`] where it is something else.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let address = self.address.clone();
        let body = self.bytes().await?;
        serde_json::from_slice(&body)
            .map_err(|e| ClientError::Foreign { address, reason: format!("its answer is not the expected JSON ({e})") })
    }

    /// The next piece of a stream; none at its end. Waits without a limit.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.response.body_mut().frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
                Some(Err(e)) => {
                    return Err(ClientError::Broken {
                        address: self.address.clone(),
                        reason: format!("broke off ({e})"),
                    });
                }
            }
        }
    }
}

/// Percent-encodes a path segment or the value of a parameter. `*` stays, for readable patterns.
#[must_use]
pub(crate) fn encoded(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A path with a query; pairs without a value are left out by the caller.
#[must_use]
pub(crate) fn target(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests;
