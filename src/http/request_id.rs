//! The id of a request, which its answer and its lines in the log have in common.

use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};

use super::response::Body;
use crate::random;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Sixteen hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    pub(crate) fn next() -> Self {
        Self::of(random::number())
    }

    fn of(number: u64) -> Self {
        let digit = |at: usize| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15];
        Self(std::array::from_fn(digit))
    }

    pub(crate) fn as_str(&self) -> &str {
        // Digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Adds the id to the headers of an answer.
    pub(crate) fn set(self, response: &mut Response<Body>) {
        if let Ok(value) = HeaderValue::from_bytes(&self.0) {
            response.headers_mut().insert(&X_REQUEST_ID, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_sixteen_digits_and_differs_from_the_next() {
        assert_eq!(RequestId::of(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
        assert_eq!(RequestId::of(0).as_str(), "0000000000000000");
        assert_ne!(RequestId::next().as_str(), RequestId::next().as_str());
    }
}
