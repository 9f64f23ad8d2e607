//! The numbers that are the same for every engine, so that alertd behaves alike whatever keeps its log.
//!
//! The Redis engine hands them to its scripts; they are written nowhere else.

/// How long the outcome of an idempotency key is kept, milliseconds.
pub(super) const IDEMPOTENCY_AGE_MS: u64 = 24 * 3_600_000;
/// Idempotency keys that are kept, of all users; beyond that, the user with the most keys loses the oldest one.
pub(super) const MAX_IDEMPOTENCY_KEYS: u64 = 100_000;
/// Ids removed by a topic's limit that still count as known cursors.
pub(super) const MAX_REMOVED_IDS: u64 = 100_000;
/// After a leap of the clock, the time of retention follows it at this multiple of the real speed.
pub(super) const CATCH_UP_SPEED: u64 = 24;
/// Topics whose newest alert a stream gets at its beginning; those with the newest alerts are taken.
pub(super) const MAX_LATEST_TOPICS: usize = 10_000;
/// Topics of a filter that are read through their indexes; for more of them the whole log is scanned.
pub(super) const MAX_MERGED_TOPICS: usize = 64;
/// Topics that one listing holds.
pub(crate) const MAX_LISTED_TOPICS: usize = 1000;
