//! HTTP/1.1's chunked coding, for bytes that go to a socket as they are.
//!
//! Called by the hub, whose rings hold wire-ready chunks, and by whoever writes a stream without hyper. The size line has
//! a fixed width, so that a chunk is written in one go before its length is known, and its content is found without a look
//! at it.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the content: six hexadecimal digits and a line break.
const HEAD: usize = 8;
/// Bytes behind it.
const TAIL: usize = 2;
/// The most that one chunk may hold, bytes.
pub(crate) const MAX: usize = 0xff_ffff;

/// The chunk of no bytes, which ends a body.
pub(crate) const END: &[u8] = b"0\r\n\r\n";

/// Appends one chunk whose content `write` appends; at least one byte and at most [`MAX`], or the body would end there.
pub(crate) fn write(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_slice(b"000000\r\n");
    write(out);
    let length = out.len() - start - HEAD;
    debug_assert!((1..=MAX).contains(&length), "a chunk of {length} bytes");
    let mut rest = length;
    for digit in out[start..start + HEAD - 2].iter_mut().rev() {
        *digit = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.put_slice(b"\r\n");
}

/// One chunk with this content.
#[must_use]
pub(crate) fn chunk(content: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD + content.len() + TAIL);
    write(&mut out, |out| out.put_slice(content));
    out.freeze()
}

/// The content of a chunk that [`write()`] made, without copying it.
#[must_use]
pub(crate) fn content(chunk: &Bytes) -> Bytes {
    chunk.slice(HEAD..chunk.len() - TAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_its_length_and_gives_back_its_content() {
        assert_eq!(chunk(b"abc"), "000003\r\nabc\r\n");
        let long = chunk(&[b'x'; 0x1_2345]);
        assert!(long.starts_with(b"012345\r\nx"));
        assert_eq!(content(&long).len(), 0x1_2345);
        let mut two = BytesMut::new();
        write(&mut two, |out| out.put_slice(b"a"));
        write(&mut two, |out| out.put_slice(b"bc"));
        assert_eq!(two, "000001\r\na\r\n000002\r\nbc\r\n");
    }
}
