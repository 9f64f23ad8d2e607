//! Just enough of HTTP/1.1 responses: the status and the length.

use memchr::memmem;

/// A whole answer at the start of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of head and body together.
    pub(crate) length: usize,
    /// The server closes the connection after it.
    pub(crate) close: bool,
}

/// Length of the head with its empty line, and the status.
pub(crate) fn head(bytes: &[u8]) -> Option<(usize, u16)> {
    let end = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    Some((end, status))
}

/// The answer, once all of it is there.
pub(crate) fn whole(bytes: &[u8]) -> Option<Answer> {
    let (end, status) = head(bytes)?;
    let length = if let Some(value) = field(&bytes[..end], b"content-length:") {
        end + value.trim().parse::<usize>().ok()?
    } else if field(&bytes[..end], b"transfer-encoding:").is_some() {
        end + memmem::find(&bytes[end..], b"0\r\n\r\n")? + 5
    } else {
        end
    };
    let close = field(&bytes[..end], b"connection:").is_some_and(|value| value.trim().eq_ignore_ascii_case("close"));
    (bytes.len() >= length).then_some(Answer { status, length, close })
}

/// The value of a field of the head; the name in lower case with its colon.
pub(crate) fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let mut lines = head.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name))?;
    std::str::from_utf8(&line[name.len()..]).ok()
}
