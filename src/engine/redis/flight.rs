//! Questions that several readers have at the same time: asked once, and answered to all of them.
//!
//! Used by [`reader`](super::reader). Always: of equal questions one is on its way at any time, and it is brought to its
//! end although whoever asked it has gone, so that a crowd of readers that come and go asks no more than one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

type OnTheWay<Q, A> = Mutex<HashMap<Q, watch::Receiver<Option<A>>>>;

/// The questions that are on their way.
pub(super) struct Flights<Q, A>(Arc<OnTheWay<Q, A>>);

/// Forgets a question when its task ends, however it ends.
struct Landing<Q: Eq + Hash, A>(Arc<OnTheWay<Q, A>>, Q);

impl<Q: Eq + Hash, A> Drop for Landing<Q, A> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// An answer, and whether the question was asked for this reader or was on its way before.
pub(super) struct Landed<A> {
    pub(super) answer: A,
    pub(super) is_own: bool,
}

impl<Q, A> Flights<Q, A>
where
    Q: Clone + Eq + Hash + Send + 'static,
    A: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// The answer; none if the task that asked has ended without one.
    pub(super) async fn ask(&self, question: Q, ask: impl Future<Output = A> + Send + 'static) -> Option<Landed<A>> {
        let (mut answer, is_own) = {
            let mut on_the_way = self.0.lock();
            match on_the_way.get(&question) {
                Some(answer) => (answer.clone(), false),
                None => {
                    let (sender, answer) = watch::channel(None);
                    on_the_way.insert(question.clone(), answer.clone());
                    let landing = Landing(Arc::clone(&self.0), question);
                    tokio::spawn(async move {
                        let answer = ask.await;
                        // Whoever asks after this wants a newer answer.
                        drop(landing);
                        sender.send_replace(Some(answer));
                    });
                    (answer, true)
                }
            }
        };
        let answer = answer.wait_for(Option::is_some).await.ok()?.clone()?;
        Some(Landed { answer, is_own })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn equal_questions_share_one_answer_and_later_ones_are_asked_again() {
        let (flights, asked, go) = (Flights::new(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = |question: u8| {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            flights.ask(question, async move {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                go.notified().await;
                number
            })
        };
        let gone = ask(1);
        // The first reader leaves, and its question goes on.
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), gone).await.is_err());
        let (second, third, ()) = tokio::join!(ask(1), ask(1), async { go.notify_one() });
        let (second, third) = (second.unwrap(), third.unwrap());
        assert_eq!((second.answer, third.answer, second.is_own, third.is_own), (0, 0, false, false));
        go.notify_one();
        let later = ask(1).await.unwrap();
        assert_eq!((later.answer, later.is_own), (1, true));
    }

    #[tokio::test]
    async fn a_question_that_fails_is_told_to_all_and_can_be_asked_again() {
        let flights: Flights<u8, u8> = Flights::new();
        assert!(flights.ask(1, async { panic!("as a test") }).await.is_none());
        assert_eq!(flights.ask(1, async { 2 }).await.unwrap().answer, 2);
    }
}
