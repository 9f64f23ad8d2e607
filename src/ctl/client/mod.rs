//! Requests to the daemon and their errors.
//!
//! Called by every command. Each request has its own connection: a command makes few requests, and none waits behind
//! another. Each step has a time limit, so a command always ends. The exception is [`Response::piece`]: its caller decides
//! how long a stream may be silent. The key is sent in a header and never shown.

pub(crate) mod address;
pub(crate) mod error;
mod remedy;
mod service;
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

/// Time limit for a connection, including the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a body. The largest is a page of history.
const MAX_BODY: usize = 128 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    target: String,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
    timeout: Duration,
}

/// Where a key came from. Error messages say so.
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
    pub key: Zeroizing<String>,
    pub source: KeySource,
}

pub(crate) struct Client {
    address: Address,
    key: Option<Credential>,
}

/// A successful answer whose body is not read yet.
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

    #[must_use]
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE, media_type)
    }

    /// Time limit for the head of the answer, and again for its whole body.
    #[must_use]
    pub(crate) const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Client {
    /// Does not connect yet.
    #[must_use]
    pub(crate) const fn new(address: Address, key: Option<Credential>) -> Self {
        Self { address, key }
    }

    #[must_use]
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request and waits for the head of the answer. Does not wait for a service that systemd says is down.
    ///
    /// # Errors
    /// [`ClientError`], also for an answer with a status other than 2xx.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, ClientError> {
        let unit = if let Address::Socket(path) = &self.address { service::unit_of(path) } else { None };
        let Some(unit) = unit else { return self.attempt(request).await };
        let down = |service| ClientError::Down { address: self.address.to_string(), service };
        tokio::select! {
            answer = self.attempt(request) => match answer {
                Err(error) if error.is_silence() => Err(service::ask(&unit).await.map_or(error, down)),
                answer => answer,
            },
            service = service::until_down(&unit) => Err(down(service)),
        }
    }

    async fn attempt(&self, request: Request) -> Result<Response, ClientError> {
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
            let invalid = |_| ClientError::Unsendable { reason: "the key contains characters that no key has".into() };
            let mut bearer = bearer.map_err(invalid)?;
            bearer.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, bearer);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder.body(Full::new(request.body.clone())).map_err(|e| ClientError::Unsendable { reason: e.to_string() })
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
                // A request is one small write, which Nagle's algorithm would only delay.
                let _ = tcp.set_nodelay(true);
                if !remote.tls {
                    return self.speak(tcp).await;
                }
                let roots = tls::system_roots().map_err(|e| self.unreachable(&e, Cause::Tls))?;
                let stream = tls::handshake(roots, &remote.host, tcp).await;
                self.speak(stream.map_err(|e| self.unreachable(&format!("TLS: {e}"), tls::cause(&e)))?).await
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
        // An error of the connection shows up in the answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok((sender, AbortOnDropHandle::new(driver)))
    }

    fn io(&self, error: &std::io::Error) -> ClientError {
        match (error.kind(), &self.address) {
            (ErrorKind::PermissionDenied, Address::Socket(_)) => {
                ClientError::Forbidden { address: self.address.to_string() }
            }
            (ErrorKind::NotFound, Address::Socket(_)) => self.unreachable("no such socket", Cause::NoDaemon),
            (ErrorKind::ConnectionRefused, Address::Socket(_)) => {
                self.unreachable("no process listens on the socket", Cause::NoDaemon)
            }
            (ErrorKind::ConnectionRefused, Address::Remote(_)) => {
                self.unreachable("no process listens on that port", Cause::NoListener)
            }
            (_, Address::Socket(_)) => self.unreachable(&error.to_string(), Cause::Socket),
            (_, Address::Remote(_)) => self.unreachable(&error.to_string(), Cause::Network),
        }
    }

    fn unreachable(&self, reason: &str, cause: Cause) -> ClientError {
        ClientError::Unreachable { address: self.address.to_string(), reason: reason.to_owned(), cause }
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
    /// [`ClientError::Broken`] if the body is incomplete or late.
    pub(crate) async fn bytes(self) -> Result<Bytes, ClientError> {
        let broken = |reason: String| ClientError::Broken { address: self.address.clone(), reason };
        match timeout(self.timeout, Limited::new(self.response.into_body(), MAX_BODY).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) => Err(broken(format!("closed the connection in the middle of its answer ({e})"))),
            Err(_) => Err(broken(format!("took more than {} s for its answer", self.timeout.as_secs_f64()))),
        }
    }

    /// The whole body, parsed as JSON.
    ///
    /// # Errors
    /// Those of [`bytes`](Self::bytes), and [`ClientError::Foreign`] if it is not the expected JSON.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let address = self.address.clone();
        let body = self.bytes().await?;
        serde_json::from_slice(&body)
            .map_err(|e| ClientError::Foreign { address, reason: format!("its answer is not the expected JSON ({e})") })
    }

    /// The next piece of a stream; `None` at its end. Has no time limit.
    ///
    /// # Errors
    /// [`ClientError::Broken`] if the connection breaks.
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
                        reason: format!("closed the connection ({e})"),
                    });
                }
            }
        }
    }
}

/// Percent-encodes a path segment or the value of a parameter. `*` is kept, so that patterns remain readable.
#[must_use]
pub(crate) fn encoded(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*');
    utf8_percent_encode(text, RESERVED).to_string()
}

#[must_use]
pub(crate) fn target(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests;
