//! Latencies in buckets that grow with the value: 64 to each doubling, so every answer is within 1.6 %.

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
const BUCKETS: usize = (64 - SUB_BITS as usize + 1) * SUB;

/// Counts of nanoseconds.
#[derive(Clone)]
pub(crate) struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0, max: 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// The value that the share `quantile` of all does not exceed, in milliseconds.
    pub(crate) fn milliseconds(&self, quantile: f64) -> f64 {
        let wanted = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(index).min(self.max) as f64 / 1e6;
            }
        }
        self.max as f64 / 1e6
    }

    /// p50, p99 and max in milliseconds, under names that begin with the prefix.
    pub(crate) fn report(&self, prefix: &str, into: &mut serde_json::Map<String, serde_json::Value>) {
        if self.count == 0 {
            return;
        }
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = if quantile < 1.0 { self.milliseconds(quantile) } else { self.max as f64 / 1e6 };
            into.insert(format!("{prefix}_{name}_ms"), value.into());
        }
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB as u64 {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - SUB_BITS;
    ((shift as usize + 1) << SUB_BITS) + ((value >> shift) as usize & (SUB - 1))
}

fn middle(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let shift = (index >> SUB_BITS) as u32 - 1;
    let low = ((index & (SUB - 1)) as u64 | SUB as u64) << shift;
    low + (1 << shift) / 2
}
