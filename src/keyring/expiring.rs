//! Keys whose end is near, for the metrics.

use super::Keyring;
use super::record::KeyRecord;

impl Keyring {
    /// Keys that expire within this time, were made for more than twice as long, and were not replaced by a rotation: their
    /// end may come as a surprise.
    #[must_use]
    pub(crate) fn expiring(&self, now_ms: u64, within_ms: u64) -> usize {
        let keys = self.keys.read();
        let is_surprise = |record: &KeyRecord| {
            let made_ms = u64::try_from(record.created_at.as_millisecond()).unwrap_or(0);
            record.successor.is_none()
                && record.expires_ms().is_some_and(|end| {
                    end > now_ms && end - now_ms <= within_ms && end.saturating_sub(made_ms) > 2 * within_ms
                })
        };
        keys.by_id.values().filter(|entry| is_surprise(&entry.record)).count()
    }
}

#[cfg(test)]
mod tests {
    use crate::api::NewKey;
    use crate::keyring::{Keyring, Settings};

    const NOW: u64 = 1_795_455_190_123;

    #[test]
    fn keys_whose_end_is_near_are_counted_unless_it_was_meant_to_be() {
        const DAY_MS: u64 = 86_400_000;
        let directory = tempfile::tempdir().unwrap();
        let keyring =
            Keyring::open(&Settings { directory: directory.path().to_owned(), iterations: 10_000, workers: 1 })
                .unwrap();
        let for_days =
            |days: u64| NewKey { expires_in: Some(days * 86_400), user: "alice".into(), ..NewKey::default() };
        let long = keyring.add(for_days(90), NOW).unwrap();
        keyring.add(for_days(10), NOW).unwrap();
        keyring.add(NewKey { user: "bob".into(), ..NewKey::default() }, NOW).unwrap();
        let within_a_week = |day: u64| keyring.expiring(NOW + day * DAY_MS, 7 * DAY_MS);
        assert_eq!([0, 5, 80, 84, 89, 90].map(within_a_week), [0, 0, 0, 1, 1, 0]);
        // A rotation has replaced it.
        keyring.rotate(&long.key.id, Some(86_400), NOW + 80 * DAY_MS).unwrap();
        assert_eq!([80, 84].map(within_a_week), [0, 0]);
    }
}
