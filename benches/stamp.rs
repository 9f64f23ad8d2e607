//! What the load generator writes into each alert to find it again: a mark, a sequence number and the time of publishing.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Nothing that a server adds contains this, and JSON does not escape it.
const MARK: &[u8; 3] = b"~@~";
/// Bytes of a whole stamp: the mark, 8 digits of sequence, 16 of nanoseconds.
pub(crate) const LENGTH: usize = 27;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));

/// A sequence number and when it was published, on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) sequence: u32,
    pub(crate) nanoseconds: u64,
}

impl Stamp {
    /// A message of this many bytes around it.
    pub(crate) fn message(self, length: usize) -> String {
        let mut text = format!("~@~{:08}{:016} ", self.sequence, self.nanoseconds);
        while text.len() < length {
            text.push((b'a' + (text.len() % 26) as u8) as char);
        }
        text
    }

    /// Replaces the stamp at the start of the bytes.
    pub(crate) fn write(self, bytes: &mut [u8]) {
        put(u64::from(self.sequence), &mut bytes[3..11]);
        put(self.nanoseconds, &mut bytes[11..LENGTH]);
    }

    /// What stands behind a mark; the slice holds a whole stamp.
    fn read(bytes: &[u8]) -> Option<Self> {
        let sequence = digits(&bytes[3..11])?;
        let high = digits(&bytes[11..19])?;
        let low = digits(&bytes[19..27])?;
        Some(Self { sequence: sequence as u32, nanoseconds: high * 100_000_000 + low })
    }
}

/// Offset of the first stamp.
pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
    FINDER.find(bytes)
}

/// Calls for each whole stamp; returns from where on bytes must be kept, because a stamp may begin there.
#[inline]
pub(crate) fn scan(bytes: &[u8], mut each: impl FnMut(Stamp)) -> usize {
    let (mut at, mut stride, mut last) = (0, 0, 0);
    loop {
        // Alerts of one run have the same length: try the expected offset before searching.
        let guess = last + stride;
        let found = if stride > 0 && bytes.get(guess..guess + 3) == Some(MARK) {
            Some(guess)
        } else {
            FINDER.find(&bytes[at..]).map(|offset| at + offset)
        };
        let Some(found) = found else {
            return at.max(bytes.len().saturating_sub(MARK.len() - 1));
        };
        if found + LENGTH > bytes.len() {
            return found;
        }
        match Stamp::read(&bytes[found..found + LENGTH]) {
            Some(stamp) => {
                each(stamp);
                stride = if at > 0 { found - last } else { 0 };
                last = found;
                at = found + LENGTH;
            }
            None => at = found + 1,
        }
    }
}

/// Eight decimal digits at once.
#[inline]
fn digits(text: &[u8]) -> Option<u64> {
    let word = u64::from_le_bytes(text.try_into().ok()?);
    let value = word.wrapping_sub(0x3030_3030_3030_3030);
    if (value | word.wrapping_add(0x4646_4646_4646_4646)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let value = value.wrapping_mul(10).wrapping_add(value >> 8);
    let high = (value & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let low = ((value >> 16) & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    Some(high.wrapping_add(low) >> 32)
}

/// Decimal digits that fill the space.
fn put(mut value: u64, into: &mut [u8]) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}
