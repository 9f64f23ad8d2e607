//! What all streams got: latencies, and what was lost, repeated or out of order.

use serde_json::{Map, Value};

use super::order::{Order, Seen};
use crate::histogram::Histogram;
use crate::stamp::Stamp;

/// Counts over all streams.
pub(crate) struct Tally {
    /// From publishing to each subscriber.
    latency: Histogram,
    /// From publishing to the last subscriber.
    all: Histogram,
    /// Subscribers that each alert should reach.
    audience: u32,
    /// Subscribers that each alert has reached.
    reached: Vec<u32>,
    /// The first sequence number that is measured.
    first: u32,
    step: u32,
    delivered: u64,
    repeated: u64,
    late: u64,
    /// When the last measured alert came.
    last: u64,
}

impl Tally {
    pub(crate) fn new(audience: u32, step: u32) -> Self {
        Self {
            latency: Histogram::new(),
            all: Histogram::new(),
            audience,
            reached: Vec::new(),
            first: u32::MAX,
            step,
            delivered: 0,
            repeated: 0,
            late: 0,
            last: 0,
        }
    }

    /// From this sequence number on, everything is measured.
    pub(crate) fn begin(&mut self, first: u32) {
        self.first = first;
    }

    /// Takes up an alert that a stream got at this time.
    #[inline]
    pub(crate) fn take(&mut self, order: &mut Order, stamp: Stamp, now: u64) {
        let sequence = stamp.sequence as usize;
        if sequence >= self.reached.len() {
            self.reached.resize(sequence + 4096, 0);
        }
        if stamp.sequence < self.first {
            self.reached[sequence] += 1;
            return;
        }
        match order.see(stamp.sequence / self.step) {
            Seen::Next | Seen::Ahead => {}
            Seen::Late => self.late += 1,
            Seen::Repeated => {
                self.repeated += 1;
                return;
            }
        }
        let latency = now.saturating_sub(stamp.nanoseconds);
        self.latency.record(latency);
        self.delivered += 1;
        self.last = now;
        self.reached[sequence] += 1;
        if self.reached[sequence] == self.audience {
            self.all.record(latency);
        }
    }

    /// How many have got the alert of this number.
    pub(crate) fn reached(&self, sequence: u32) -> u32 {
        self.reached.get(sequence as usize).copied().unwrap_or(0)
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// So many latencies from the first to the last, evenly spread over all deliveries, milliseconds.
    pub(crate) fn quantiles(&self, number: u32) -> Vec<f64> {
        let share = |step: u32| f64::from(step) / f64::from(number - 1);
        (0..number).map(|step| self.latency.milliseconds(share(step))).collect()
    }

    /// The figures; `sent` alerts were answered with success.
    pub(crate) fn report(&self, sent: u64, into: &mut Map<String, Value>) {
        self.latency.report("latency", into);
        self.all.report("all", into);
        let due = sent * u64::from(self.audience);
        into.insert("delivered".into(), self.delivered.into());
        into.insert("lost".into(), due.saturating_sub(self.delivered).into());
        into.insert("repeated".into(), self.repeated.into());
        into.insert("reordered".into(), self.late.into());
    }
}
