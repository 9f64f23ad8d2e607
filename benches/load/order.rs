//! Whether one stream got every alert once, and in which order.

/// What one more alert on a stream was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Next,
    /// Some before it have not come, so far.
    Ahead,
    /// It was missed before.
    Late,
    Repeated,
}

/// The alerts of one stream.
#[derive(Clone, Default)]
pub(crate) struct Order {
    /// One behind the newest, in units of the step; nothing yet at 0.
    next: u32,
    /// Which of the last 128 have come; bit 0 is the newest.
    window: u128,
    /// Of all in the order in which they came.
    pub(crate) digest: u64,
    /// Which of all have come, where several publishers make any distance possible.
    all: Option<Vec<u64>>,
}

impl Order {
    /// Takes up the alert that is this far from the stream's first.
    #[inline]
    pub(crate) fn see(&mut self, index: u32) -> Seen {
        self.digest = (self.digest ^ u64::from(index)).wrapping_mul(0x0000_0100_0000_01B3);
        if let Some(all) = &mut self.all {
            let (word, bit) = (index as usize / 64, 1 << (index % 64));
            if word >= all.len() {
                all.resize(word + 1, 0);
            }
            let seen = if all[word] & bit == 0 { Seen::Next } else { Seen::Repeated };
            all[word] |= bit;
            return seen;
        }
        if index >= self.next {
            let ahead = index - self.next;
            self.window = if ahead < 127 { self.window << (ahead + 1) | 1 } else { 1 };
            self.next = index + 1;
            return if ahead == 0 { Seen::Next } else { Seen::Ahead };
        }
        let age = self.next - 1 - index;
        if age < 128 && self.window & 1 << age == 0 {
            self.window |= 1 << age;
            return Seen::Late;
        }
        Seen::Repeated
    }

    /// All that was before this one is of no interest. One publisher's alerts come in its order; those of several in any
    /// order, but the same on every stream.
    pub(crate) fn begin(&mut self, index: u32, one_publisher: bool) {
        let all = (!one_publisher).then(Vec::new);
        *self = Self { next: index, window: u128::MAX, digest: 0, all };
    }
}
