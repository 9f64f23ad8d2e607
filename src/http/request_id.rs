//! The id of a request, which its answer and its lines in the log have in common.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};

use super::response::Body;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Sixteen hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    /// The first is random, and an odd constant that changes all digits leads to the next.
    pub(crate) fn next() -> Self {
        static LAST: LazyLock<AtomicU64> = LazyLock::new(|| {
            let mut bytes = [0; 8];
            // Without randomness each process uses the same ids, which only makes the log harder to read.
            let _ = getrandom::fill(&mut bytes);
            AtomicU64::new(u64::from_le_bytes(bytes))
        });
        Self::of(LAST.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
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
