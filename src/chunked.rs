//! The chunked transfer coding of HTTP/1.1, for streams that are written to a socket without hyper.
//!
//! Called by the hub, whose rings hold complete chunks, and by `delivery`. The size line has a fixed width. So a chunk can be
//! written before its length is known, and its content can be found without parsing.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the content: six hexadecimal digits and a line break.
const HEAD_BYTES: usize = 8;
/// Bytes after the content: a line break.
const TAIL_BYTES: usize = 2;
/// The largest content of a chunk, limited by the width of the size line.
pub(crate) const MAX_CONTENT_BYTES: usize = 0xff_ffff;

/// The empty chunk, which ends a body.
const END: &[u8] = b"0\r\n\r\n";

/// Appends one chunk. `write` appends its content, at most [`MAX_CONTENT_BYTES`] and at least one byte, because an empty
/// chunk would end the body.
pub(crate) fn write(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_slice(b"000000\r\n");
    write(out);
    let length = out.len() - start - HEAD_BYTES;
    debug_assert!((1..=MAX_CONTENT_BYTES).contains(&length), "a chunk of {length} bytes");
    let mut rest = length;
    for digit in out[start..start + HEAD_BYTES - 2].iter_mut().rev() {
        *digit = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.put_slice(b"\r\n");
}

/// One chunk with this content.
#[must_use]
pub(crate) fn chunk(content: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_BYTES + content.len() + TAIL_BYTES);
    write(&mut out, |out| out.put_slice(content));
    out.freeze()
}

/// The end of a body, after a chunk with `content` unless that is empty.
#[must_use]
pub(crate) fn last(content: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    if !content.is_empty() {
        write(&mut out, |out| out.put_slice(content));
    }
    out.put_slice(END);
    out.freeze()
}

/// The content of a chunk that [`write()`] made, without copying it.
#[must_use]
pub(crate) fn content(chunk: &Bytes) -> Bytes {
    chunk.slice(HEAD_BYTES..chunk.len() - TAIL_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_its_length_and_returns_its_content() {
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
