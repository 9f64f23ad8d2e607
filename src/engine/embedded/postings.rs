//! The ordinals of one topic's alerts within a segment: rising numbers as differences of few bytes.
//!
//! Every 128th has an entry in a table, so that a reader begins near the place it looks for. A list grows while its
//! segment is written and is frozen into one piece of bytes with all others when the segment is sealed.

use super::codec::{put_varint, varint};

const BLOCK: u32 = 128;

/// A growing list.
#[derive(Clone, Default)]
pub(super) struct Posting {
    bytes: Vec<u8>,
    /// For each block but the first: the ordinal before it, and where it begins.
    skips: Vec<(u32, u32)>,
    last: u32,
    count: u32,
}

impl Posting {
    pub(super) fn push(&mut self, ordinal: u32) {
        if self.count > 0 && self.count.is_multiple_of(BLOCK) {
            self.skips.push((self.last, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)));
        }
        put_varint(&mut self.bytes, u64::from(ordinal - self.last));
        self.last = ordinal;
        self.count += 1;
    }

    pub(super) fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, skips: Skips::Growing(&self.skips), count: self.count }
    }

    /// Keeps what is below `ordinal`.
    pub(super) fn truncate(&mut self, ordinal: u32) {
        if self.count > 0 && self.last >= ordinal {
            let kept = self.view().from(0, usize::MAX);
            *self = Self::default();
            kept.into_iter().take_while(|kept| *kept < ordinal).for_each(|kept| self.push(kept));
        }
    }

    /// Appends the frozen form.
    pub(super) fn freeze(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count.into());
        put_varint(out, self.bytes.len() as u64);
        for (ordinal, at) in &self.skips {
            out.extend_from_slice(&ordinal.to_le_bytes());
            out.extend_from_slice(&at.to_le_bytes());
        }
        out.extend_from_slice(&self.bytes);
    }
}

enum Skips<'a> {
    Growing(&'a [(u32, u32)]),
    Frozen(&'a [u8]),
}

impl Skips<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Growing(skips) => skips.len(),
            Self::Frozen(bytes) => bytes.len() / 8,
        }
    }

    fn get(&self, i: usize) -> (u32, u32) {
        match self {
            Self::Growing(skips) => skips.get(i).copied().unwrap_or_default(),
            Self::Frozen(bytes) => {
                let number =
                    |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
                (number(8 * i), number(8 * i + 4))
            }
        }
    }
}

/// A list to read, growing or frozen.
pub(super) struct View<'a> {
    bytes: &'a [u8],
    skips: Skips<'a>,
    count: u32,
}

impl<'a> View<'a> {
    /// The frozen list at the start of `bytes`, and the bytes after it.
    pub(super) fn frozen(mut bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let count = u32::try_from(varint(&mut bytes)?).ok()?;
        let length = usize::try_from(varint(&mut bytes)?).ok()?;
        let skips = 8 * (count.saturating_sub(1) / BLOCK) as usize;
        let (skips, bytes) = bytes.split_at_checked(skips)?;
        let (bytes, rest) = bytes.split_at_checked(length)?;
        Some((Self { bytes, skips: Skips::Frozen(skips), count }, rest))
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The ordinals of a block.
    fn block(&self, block: usize) -> impl Iterator<Item = u32> + '_ {
        let (mut last, at) = if block == 0 { (0, 0) } else { self.skips.get(block - 1) };
        let mut bytes = self.bytes.get(at as usize..).unwrap_or_default();
        let left = self.count.saturating_sub(u32::try_from(block).unwrap_or(u32::MAX).saturating_mul(BLOCK)).min(BLOCK);
        (0..left).map_while(move |_| {
            last = last.checked_add(u32::try_from(varint(&mut bytes)?).ok()?)?;
            Some(last)
        })
    }

    /// The last block that begins below `ordinal`.
    fn block_of(&self, ordinal: u32) -> usize {
        let (mut low, mut high) = (0, self.skips.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.skips.get(middle).0 < ordinal { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The first `most` that are not below `ordinal`.
    pub(super) fn from(&self, ordinal: u32, most: usize) -> Vec<u32> {
        let blocks = self.block_of(ordinal)..=self.skips.len();
        blocks.flat_map(|block| self.block(block)).filter(|found| *found >= ordinal).take(most).collect()
    }

    /// The last `most` that are below `ordinal`, the greatest first.
    pub(super) fn before(&self, ordinal: u32, most: usize) -> Vec<u32> {
        let mut found = Vec::new();
        for block in (0..=self.block_of(ordinal)).rev() {
            let start = found.len();
            found.extend(self.block(block).filter(|found| *found < ordinal));
            found[start..].reverse();
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        found
    }

    /// The same list, growing again. What does not rise is left out: a list that was read may be wrong.
    pub(super) fn thaw(&self) -> Posting {
        let mut posting = Posting::default();
        for ordinal in self.from(0, usize::MAX) {
            if posting.count == 0 || ordinal > posting.last {
                posting.push(ordinal);
            }
        }
        posting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_and_frozen_lists_answer_as_a_plain_one_does() {
        let plain: Vec<u32> = (0..1000).map(|i| i * i / 3 + i).collect();
        let mut posting = Posting::default();
        plain.iter().for_each(|ordinal| posting.push(*ordinal));
        let mut bytes = Vec::new();
        posting.freeze(&mut bytes);
        bytes.push(7);
        let (frozen, rest) = View::frozen(&bytes).unwrap();
        assert_eq!(rest, [7]);
        assert!(View::frozen(&bytes[..bytes.len() - 2]).is_none());
        for view in [posting.view(), frozen] {
            for ordinal in (0..340_000).step_by(997) {
                let at = plain.partition_point(|found| *found < ordinal);
                assert_eq!(view.from(ordinal, 5), plain[at..].iter().copied().take(5).collect::<Vec<_>>());
                assert_eq!(view.before(ordinal, 200), plain[..at].iter().rev().copied().take(200).collect::<Vec<_>>());
            }
            assert_eq!(view.thaw().view().from(0, usize::MAX), plain);
        }
        // The second block begins before the end of the first.
        let wrong = [&[0xc8, 1, 0xc8, 1, 5, 0, 0, 0, 128, 0, 0, 0][..], &[1; 200]].concat();
        let list = View::frozen(&wrong).unwrap().0;
        assert_eq!((list.count(), list.thaw().view().from(0, usize::MAX)), (200, (1..=128).collect()));
        posting.truncate(500);
        assert!(posting.view().from(0, usize::MAX).into_iter().eq(plain.into_iter().filter(|found| *found < 500)));
    }
}
