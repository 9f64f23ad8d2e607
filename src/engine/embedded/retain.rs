//! Retention: what is too old, too much, or too many of one topic goes, in small steps within other commits.
//!
//! Called by the writer. Everything that is removed leaves a mark (`trim` of the log or of its topic), so that a reader
//! who asks for it learns of the gap.

use redb::ReadableTable;

use super::batch::Batch;
use super::codec::{Damaged, State, decode_head};
use super::tables::StoreError;
use crate::alert::Id;
use crate::engine::Retention;
use crate::engine::limits::{CATCH_UP_SPEED, MAX_REMOVED_IDS};

impl Retention {
    /// Whether the log as a whole holds more than it may.
    pub(super) const fn is_exceeded(&self, state: &State) -> bool {
        (self.count != 0 && state.count > self.count) || (self.bytes != 0 && state.bytes > self.bytes)
    }

    /// Alerts that came in before this time are too old; 0 where none is.
    pub(super) const fn horizon(&self, state: &State) -> u64 {
        if self.age_ms == 0 { 0 } else { state.clock_ms.saturating_sub(self.age_ms) }
    }
}

/// Moves the time of retention on. `elapsed_ms` is real, monotonic time since the last call.
pub(super) fn advance(state: &mut State, now_ms: u64, elapsed_ms: u64) {
    let is_new = state.clock_ms == 0;
    let reachable = state.clock_ms.saturating_add(elapsed_ms.saturating_mul(CATCH_UP_SPEED));
    state.clock_ms = if is_new { now_ms } else { now_ms.min(reachable) };
}

impl Batch<'_> {
    /// Removes at most `limit` alerts.
    pub(super) fn retain(&mut self, retention: &Retention, limit: usize) -> Result<(), StoreError> {
        let mut left = limit;
        self.retain_topics(retention, &mut left)?;
        let horizon = retention.horizon(&self.state);
        while left > 0 {
            let too_much = retention.is_exceeded(&self.state);
            if !self.remove_oldest(if too_much { u64::MAX } else { horizon })? {
                break;
            }
            left -= 1;
        }
        Ok(())
    }

    /// Removes the oldest alert if it came in before `horizon`.
    fn remove_oldest(&mut self, horizon: u64) -> Result<bool, StoreError> {
        let Some((id, topic, size)) = ({
            let first = self.log.first()?;
            match first {
                Some((id, value)) => {
                    let (_, received_ms, topic, _) = decode_head(value.value())?;
                    (received_ms < horizon).then(|| (id.value(), topic.to_owned(), value.value().len()))
                }
                None => None,
            }
        }) else {
            return Ok(false);
        };
        self.remove(id, &topic, size)?;
        self.state.trim = Id::from_u128(id);
        // At the old end no older alert is left, so only the newest removed id need be known, and `trim` is it.
        loop {
            let known = self.removed.first()?.map(|(known, _)| known.value());
            let Some(known) = known.filter(|known| *known <= id) else { break };
            self.removed.remove(known)?;
            self.state.removed = self.state.removed.saturating_sub(1);
        }
        Ok(true)
    }

    /// Topics that this transaction added to give up their oldest.
    fn retain_topics(&mut self, retention: &Retention, left: &mut usize) -> Result<(), StoreError> {
        if retention.topic_count == 0 {
            return Ok(());
        }
        for topic in self.touched() {
            while *left > 0
                && let Some(row) = self.row(&topic)?
                && row.count > retention.topic_count
            {
                let range = (row.number, 0)..=(row.number, u128::MAX);
                let oldest = self.by_topic.range(range)?.next().transpose()?.map(|(key, _)| key.value().1);
                let id = oldest.ok_or(Damaged)?;
                let size = self.log.get(id)?.map_or(0, |value| value.value().len());
                self.remove(id, &topic, size)?;
                if let Some(mut row) = self.row(&topic)? {
                    row.trim = Id::from_u128(id);
                    self.set_row(&topic, row);
                }
                self.state.topic_trim = self.state.topic_trim.max(Id::from_u128(id));
                self.removed.insert(id, ())?;
                self.state.removed += 1;
                if self.state.removed > MAX_REMOVED_IDS {
                    // The cursor on it becomes an unknown one: a gap is reported where none is. Rare, and safe.
                    self.removed.pop_first()?;
                    self.state.removed -= 1;
                }
                *left -= 1;
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: u128, topic: &str, size: usize) -> Result<(), StoreError> {
        let mut row = self.row(topic)?.ok_or(Damaged)?;
        self.log.remove(id)?;
        self.by_topic.remove((row.number, id))?;
        row.count = row.count.saturating_sub(1);
        self.set_row(topic, row);
        self.state.count = self.state.count.saturating_sub(1);
        self.state.bytes = self.state.bytes.saturating_sub(size as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_of_the_clock_is_followed_slowly_and_taken_back_at_once() {
        let year = 365 * 86_400_000;
        let mut state = State::default();
        advance(&mut state, 1_000_000, 0);
        assert_eq!(state.clock_ms, 1_000_000);
        advance(&mut state, 1_001_000, 1000);
        assert_eq!(state.clock_ms, 1_001_000);
        advance(&mut state, year, 1000);
        assert_eq!(state.clock_ms, 1_001_000 + 24_000);
        advance(&mut state, 1_003_000, 1000);
        assert_eq!(state.clock_ms, 1_003_000);
    }
}
