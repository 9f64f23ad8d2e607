//! Combines equal queries that several readers have at the same time (single flight).
//!
//! Used by [`reader`](super::reader) and [`kept_pages`](super::kept_pages). Always: at most one of several equal queries is
//! running, and it runs to its end even if its reader has left, so that many readers that come and go cost no more than one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

type Running<Q, A> = Mutex<HashMap<Q, watch::Receiver<Option<A>>>>;

/// The queries that are running.
pub(super) struct SingleFlight<Q, A>(Arc<Running<Q, A>>);

/// Forgets a query when its task ends, even by a panic.
struct RunningQuery<Q: Eq + Hash, A>(Arc<Running<Q, A>>, Q);

impl<Q: Eq + Hash, A> Drop for RunningQuery<Q, A> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// An answer, and whether the query was started for this reader or was running before.
pub(super) struct Answered<A> {
    pub(super) answer: A,
    pub(super) is_own: bool,
}

impl<Q, A> SingleFlight<Q, A>
where
    Q: Clone + Eq + Hash + Send + 'static,
    A: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// The answer of a query that has begun after this call; none if the query's task ended without one. Many that ask
    /// together share one or two queries: the one that is running goes on without them, and the next one is for all of them.
    pub(super) async fn ask_anew(&self, query: Q, ask: impl Future<Output = A> + Send + 'static) -> Option<A> {
        let running = self.0.lock().get(&query).cloned();
        if let Some(mut before) = running {
            // Also if it ends without an answer. It is forgotten by then, so whatever is running has begun after this call.
            let _ = before.wait_for(Option::is_some).await;
        }
        Some(self.ask(query, ask).await?.answer)
    }

    /// The answer; none if the query's task ended without one.
    pub(super) async fn ask(&self, query: Q, ask: impl Future<Output = A> + Send + 'static) -> Option<Answered<A>> {
        let (mut answer, is_own) = {
            let mut running = self.0.lock();
            match running.get(&query) {
                Some(answer) => (answer.clone(), false),
                None => {
                    let (sender, answer) = watch::channel(None);
                    running.insert(query.clone(), answer.clone());
                    let query = RunningQuery(Arc::clone(&self.0), query);
                    tokio::spawn(async move {
                        let answer = ask.await;
                        // A reader that asks from now on wants a newer answer.
                        drop(query);
                        sender.send_replace(Some(answer));
                    });
                    (answer, true)
                }
            }
        };
        let answer = answer.wait_for(Option::is_some).await.ok()?.clone()?;
        Some(Answered { answer, is_own })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn equal_queries_share_one_answer_and_later_ones_are_asked_again() {
        let (flights, asked, go) = (SingleFlight::new(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = |query: u8| {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            flights.ask(query, async move {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                go.notified().await;
                number
            })
        };
        let gone = ask(1);
        // The first reader leaves, and its query goes on.
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), gone).await.is_err());
        let (second, third, ()) = tokio::join!(ask(1), ask(1), async { go.notify_one() });
        let (second, third) = (second.unwrap(), third.unwrap());
        assert_eq!((second.answer, third.answer, second.is_own, third.is_own), (0, 0, false, false));
        go.notify_one();
        let later = ask(1).await.unwrap();
        assert_eq!((later.answer, later.is_own), (1, true));
    }

    #[tokio::test]
    async fn whoever_asks_anew_gets_no_answer_of_a_query_that_began_before_and_shares_the_next_one() {
        let (flights, asked, go) = (SingleFlight::new(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            async move {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                go.notified().await;
                number
            }
        };
        let late = async {
            // The first query is running.
            while asked.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            tokio::join!(flights.ask_anew(1, ask()), flights.ask_anew(1, ask()), flights.ask_anew(1, ask()))
        };
        let release = async {
            while asked.load(Ordering::Relaxed) < 2 {
                go.notify_waiters();
                tokio::task::yield_now().await;
            }
            go.notify_one();
        };
        let (first, late, ()) = tokio::join!(flights.ask_anew(1, ask()), late, release);
        assert_eq!((first, late), (Some(0), (Some(1), Some(1), Some(1))));
        let flights: SingleFlight<u8, u8> = SingleFlight::new();
        let (failed, next) =
            tokio::join!(flights.ask_anew(1, async { panic!("as a test") }), flights.ask_anew(1, async { 2 }));
        assert_eq!((failed, next), (None, Some(2)));
    }

    #[tokio::test]
    async fn a_query_that_fails_is_told_to_all_and_can_be_asked_again() {
        let flights: SingleFlight<u8, u8> = SingleFlight::new();
        assert!(flights.ask(1, async { panic!("as a test") }).await.is_none());
        assert_eq!(flights.ask(1, async { 2 }).await.unwrap().answer, 2);
    }
}
