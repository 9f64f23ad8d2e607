//! The id of an alert, which is also a cursor into the log.
//!
//! Both engines assign ids of the form `<milliseconds>-<sequence>`, which strictly increase across all topics.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `<milliseconds>-<sequence>`: orders alerts, and as a cursor stands for the position right after one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id {
    /// Milliseconds since 1970 by the clock or of the previous id, whichever is greater.
    pub ms: u64,
    /// Distinguishes ids of the same millisecond.
    pub seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has the form <milliseconds>-<sequence>, such as 1795455190123-0")]
pub struct NotAnId;

impl Id {
    /// The cursor before the first alert.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };
    /// The cursor after every alert.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The smallest id of a millisecond, for searches by time.
    #[must_use]
    pub const fn at(ms: u64) -> Self {
        Self { ms, seq: 0 }
    }

    /// The next id to assign: at `now_ms`, or the successor of this one if the clock stands still or went back.
    #[must_use]
    pub const fn next(self, now_ms: u64) -> Self {
        if now_ms > self.ms { Self { ms: now_ms, seq: 0 } } else { self.successor() }
    }

    /// The smallest id greater than this one.
    #[must_use]
    pub const fn successor(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms.saturating_add(1), seq: 0 },
        }
    }

    /// The greatest id smaller than this one; [`Id::ZERO`] stays.
    #[must_use]
    pub const fn predecessor(self) -> Self {
        match (self.ms, self.seq) {
            (0, 0) => self,
            (ms, 0) => Self { ms: ms - 1, seq: u64::MAX },
            (ms, seq) => Self { ms, seq: seq - 1 },
        }
    }

    /// Appends the text that [`Display`](fmt::Display) prints, at a fraction of its cost: each alert has one.
    pub fn write_to(self, out: &mut Vec<u8>) {
        write_decimal(self.ms, out);
        out.push(b'-');
        write_decimal(self.seq, out);
    }

    /// Sixteen bytes that sort like the ids.
    #[must_use]
    pub const fn to_u128(self) -> u128 {
        ((self.ms as u128) << 64) | self.seq as u128
    }

    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a u128 are what is wanted")]
    pub const fn from_u128(raw: u128) -> Self {
        Self { ms: (raw >> 64) as u64, seq: raw as u64 }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for Id {
    type Err = NotAnId;

    /// Accepts exactly what [`Display`](fmt::Display) prints: no sign, no leading zero, no space.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (ms, seq) = text.split_once('-').ok_or(NotAnId)?;
        Ok(Self { ms: decimal(ms)?, seq: decimal(seq)? })
    }
}

fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    // The longest number has 20 digits.
    let (mut digits, mut start) = ([0; 20], 20);
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[start..]);
        }
    }
}

fn decimal(text: &str) -> Result<u64, NotAnId> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().map_err(|_| NotAnId) } else { Err(NotAnId) }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_form_is_canonical() {
        assert_eq!("1795455190123-0".parse(), Ok(Id { ms: 1_795_455_190_123, seq: 0 }));
        for bad in ["", "-", "1", "1-", "-1", "01-0", "1-00", "+1-0", "1-0 ", "1-0-0", "18446744073709551616-0", "a-b"]
        {
            assert_eq!(bad.parse::<Id>(), Err(NotAnId), "{bad}");
        }
    }

    #[test]
    fn ids_increase_even_if_the_clock_goes_back() {
        let first = Id::ZERO.next(1000);
        assert_eq!(first, Id::at(1000));
        assert_eq!(first.next(400), Id { ms: 1000, seq: 1 });
        assert_eq!(first.next(1001), Id::at(1001));
        assert_eq!(Id { ms: 7, seq: u64::MAX }.next(3), Id::at(8));
    }

    proptest! {
        #[test]
        fn text_and_bytes_round_trip_and_keep_the_order(a: (u64, u64), b: (u64, u64)) {
            let (a, b) = (Id { ms: a.0, seq: a.1 }, Id { ms: b.0, seq: b.1 });
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            for id in [a, Id::ZERO, Id::MAX] {
                let mut written = Vec::new();
                id.write_to(&mut written);
                prop_assert_eq!(written, id.to_string().into_bytes());
            }
            prop_assert_eq!(Id::from_u128(a.to_u128()), a);
            prop_assert_eq!(a.cmp(&b), a.to_u128().cmp(&b.to_u128()));
            if a != Id::MAX { prop_assert_eq!(a.successor().predecessor(), a); }
        }
    }
}
