//! Whom of those that name the server of the log to believe: the highest configuration epoch, for a while against any other.
//!
//! Pure; kept by the link, fed by what was asked.

use std::time::Duration;

use tokio::time::Instant;

/// How long a word outlives one of a lower epoch, which comes from somebody who has not heard of a failover yet.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// Host and port.
pub(super) type Address = (String, u16);

/// What one of those that are asked says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) server: Address,
    /// The configuration epoch.
    pub(super) epoch: u64,
}

/// The word that is believed, and when it was heard last.
#[derive(Debug, Default)]
pub(super) struct Belief(Option<(Word, Instant)>);

impl Belief {
    /// Takes up what was said; returns the server that is believed.
    pub(super) fn hear(&mut self, words: &[Word], now: Instant) -> Option<Address> {
        let named = |word: &&Word| words.iter().filter(|other| other == word).count();
        let newest = words.iter().max_by_key(|word| (word.epoch, named(word)))?;
        match &self.0 {
            Some((word, at)) if newest.epoch < word.epoch && now - *at < BELIEVED_FOR => {}
            _ => self.0 = Some((newest.clone(), now)),
        }
        self.0.as_ref().map(|(word, _)| word.server.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(port: u16, epoch: u64) -> Word {
        Word { server: ("h".into(), port), epoch }
    }

    #[test]
    fn the_highest_epoch_is_believed_whoever_answers_first_and_is_not_forgotten_at_once() {
        let (mut belief, now) = (Belief::default(), Instant::now());
        let mut hear =
            |words: &[Word], after: u64| belief.hear(words, now + Duration::from_secs(after)).map(|(_, port)| port);
        assert_eq!(hear(&[], 0), None);
        assert_eq!(hear(&[word(1, 0), word(1, 0), word(1, 0)], 0), Some(1));
        // One Sentinel leads a failover, and the others have not heard of it.
        assert_eq!(hear(&[word(1, 0), word(2, 1), word(1, 0)], 1), Some(2));
        assert_eq!(hear(&[word(1, 0), word(1, 0)], 2), Some(2));
        // Sentinels that were set up anew count their epochs from the beginning.
        assert_eq!(hear(&[word(1, 0), word(1, 0)], 12), Some(1));
    }
}
