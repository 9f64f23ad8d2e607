//! Streams over WebSocket, as far as ntfy's clients need it: the server sends texts and Pings, and takes what a client sends
//! only to answer Pings and to notice its end.
//!
//! | file | owns |
//! |---|---|
//! | [`frame`] | frames as bytes |
//! | [`sink`] | a connection as the sink of a stream |
//!
//! Not a library for both ends of a WebSocket: it would keep a buffer for messages from each client, of which there are
//! none. Always: what a client sends is dropped as it is read, and it cannot send much.

mod frame;
mod sink;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::error::HttpError;
use super::response::Body;
use crate::delivery::Stream;
pub(super) use sink::WebSocketSink;

/// What RFC 6455 adds to a client's key.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client's wish to continue as a WebSocket, checked.
pub(super) struct Handshake {
    accept: HeaderValue,
}

impl Handshake {
    /// # Errors
    /// [`HttpError::NoWebSocket`] for any other request.
    pub(super) fn read<B>(request: &Request<B>) -> Result<Self, HttpError> {
        let headers = request.headers();
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_one = request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && names(headers, &CONNECTION, "upgrade")
            && names(headers, &UPGRADE, "websocket")
            && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
            && BASE64.decode(key).is_ok_and(|key| key.len() == 16);
        if !is_one {
            return Err(HttpError::NoWebSocket);
        }
        let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(key);
        hash.update(SUFFIX);
        // Base64 is always a valid header.
        let accept = HeaderValue::try_from(BASE64.encode(hash.finish())).map_err(|_| HttpError::NoWebSocket)?;
        Ok(Self { accept })
    }

    /// The answer, after which the connection is a WebSocket.
    pub(super) fn accept(self, stream: Box<Stream>) -> Response<Body> {
        let mut response = Response::new(Body::Stream(stream));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        response
    }
}

/// Whether a header has this word among those that commas separate.
fn names(headers: &HeaderMap, header: &HeaderName, wanted: &str) -> bool {
    let texts = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut Request<()>)) -> Request<()> {
        let builder = Request::builder().header("connection", "keep-alive, Upgrade").header("upgrade", "WebSocket");
        let builder = builder.header("sec-websocket-version", "13");
        let mut request = builder.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").body(()).unwrap();
        change(&mut request);
        request
    }

    #[test]
    fn the_answer_proves_that_the_key_was_read() {
        // The example of RFC 6455.
        let handshake = Handshake::read(&request(|_| ())).ok().unwrap();
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn anything_else_is_no_handshake() {
        let is_refused = |change: fn(&mut Request<()>)| Handshake::read(&request(change)).is_err();
        assert!(is_refused(|it| *it.method_mut() = Method::HEAD));
        assert!(is_refused(|it| *it.version_mut() = Version::HTTP_2));
        assert!(is_refused(|it| *it.version_mut() = Version::HTTP_10));
        for name in ["connection", "upgrade", "sec-websocket-version", "sec-websocket-key"] {
            let mut request = request(|_| ());
            request.headers_mut().remove(name);
            assert!(Handshake::read(&request).is_err(), "{name}");
        }
        assert!(is_refused(|it| drop(it.headers_mut().insert("sec-websocket-key", HeaderValue::from_static("YWJj")))));
        assert!(is_refused(|it| drop(it.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("8")))));
    }
}
