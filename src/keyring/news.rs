//! How recent the shared keys are that a node knows, and the wait for newer ones.
//!
//! The service waits for news before it accepts a key if the last news is old, and before it refuses an unknown key.
//! Always: a node that was suspended checks for changes before it accepts a key, and a key that the fleet has is never
//! refused as unknown, not even by a node that was cut off a moment ago.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::key_store::{KeyStore, SharedStore};
use super::{Freshness, Keyring};

/// News comes once a second. If the last is older than this, the node waits for newer news before it accepts a key.
const DOUBTED_AFTER: Duration = Duration::from_millis(1500);
/// How long a request waits for news.
const WAIT: Duration = Duration::from_secs(1);
/// The shortest time between two requests for news.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// That all keys were known at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    /// When the store was asked.
    pub at: Instant,
    /// The time from which no key is accepted without newer news.
    pub until: Instant,
}

/// The last news, and when the store was last asked for news outside its interval. Without a shared store there is
/// none.
pub(super) struct Heard {
    /// The shared store, not behind the lock of the key store, which is held while a change waits for the shared store.
    shared: Option<Arc<dyn SharedStore>>,
    news: watch::Sender<Option<News>>,
    looked: parking_lot::Mutex<Option<Instant>>,
}

impl Heard {
    pub(super) fn of(store: &KeyStore) -> Self {
        let shared = match store {
            KeyStore::Shared { shared, .. } => Some(Arc::clone(shared)),
            KeyStore::File(_) => None,
        };
        Self { shared, news: watch::Sender::new(None), looked: parking_lot::Mutex::default() }
    }
}

impl Keyring {
    /// Notes that all keys were known at that moment.
    pub(crate) fn heard(&self, news: News) {
        self.heard.news.send_replace(Some(news));
    }

    /// Whether no key may be accepted any more, even if the keys are not forgotten yet.
    pub(super) fn is_overdue(&self) -> bool {
        self.heard.news.borrow().is_some_and(|news| Instant::now() >= news.until)
    }

    /// Waits for news if the last is old although the store counts as reached, because this process may have been
    /// suspended.
    pub(crate) async fn settle_doubt(&self) {
        if let Some(since) = self.doubted_since() {
            self.catch_up(since).await;
        }
    }

    /// The time from which on news are missing that may be on their way; none if there is no doubt.
    pub(crate) fn doubted_since(&self) -> Option<Instant> {
        let at = self.heard.news.borrow().as_ref()?.at;
        let doubted = Instant::now().checked_sub(DOUBTED_AFTER)?;
        (at < doubted && self.may(Freshness::Current)).then_some(doubted)
    }

    /// Waits until this node knows all keys as of `since` or later. False if the store does not answer; true at once if
    /// the store is not shared.
    pub(crate) async fn catch_up(&self, since: Instant) -> bool {
        let Some(shared) = &self.heard.shared else { return true };
        let (mut news, deadline) = (self.heard.news.subscribe(), Instant::now() + WAIT);
        loop {
            if news.borrow_and_update().is_some_and(|news| news.at >= since) {
                return true;
            }
            if Instant::now() >= deadline || !self.may(Freshness::Current) {
                return false;
            }
            self.look_once(|| shared.look());
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_INTERVAL), news.changed()).await;
        }
    }

    fn look_once(&self, look: impl FnOnce()) {
        let mut looked = self.heard.looked.lock();
        if looked.is_none_or(|at| at.elapsed() >= LOOK_INTERVAL) {
            *looked = Some(Instant::now());
            look();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::{Change, Settings, Snapshot};
    use super::*;

    /// A store without keys that counts who looks for news.
    #[derive(Default)]
    struct Silent(AtomicUsize);

    impl SharedStore for Silent {
        fn name(&self) -> String {
            "a silent store".into()
        }

        fn load(&self) -> Result<Snapshot, String> {
            Ok(Snapshot::default())
        }

        fn save(&self, _: u64, _: u64, _: Change) -> Result<Option<u64>, String> {
            Ok(None)
        }

        fn look(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn nothing_is_decided_on_old_news_while_the_store_may_answer() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { directory: directory.path().to_owned(), iterations: 10_000, workers: 1 };
        let store = Arc::new(Silent::default());
        let shared = Arc::clone(&store) as Arc<dyn SharedStore>;
        let keyring = Arc::new(Keyring::shared(&settings, shared).unwrap());
        let news = |at: Instant| News { at, until: at + Duration::from_secs(60) };
        keyring.heard(news(Instant::now()));
        keyring.set_freshness(Freshness::Current);
        keyring.settle_doubt().await;
        assert_eq!(store.0.load(Ordering::Relaxed), 0);
        // The process was suspended.
        keyring.heard(news(Instant::now() - Duration::from_secs(3)));
        let waiting = Arc::clone(&keyring);
        let waiting = tokio::spawn(async move { waiting.settle_doubt().await });
        while store.0.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        keyring.heard(news(Instant::now()));
        waiting.await.unwrap();
        // The store does not answer: after a while the request goes on, and an unknown key stays undecided.
        let begun = Instant::now();
        assert!(!keyring.catch_up(Instant::now() + Duration::from_secs(60)).await);
        assert!(begun.elapsed() >= WAIT);
        let looks = store.0.load(Ordering::Relaxed);
        assert!((2..=12).contains(&looks), "{looks}");
        assert!(!keyring.is_overdue());
        keyring.heard(News { until: Instant::now(), ..news(Instant::now()) });
        assert!(keyring.is_overdue());
    }
}
