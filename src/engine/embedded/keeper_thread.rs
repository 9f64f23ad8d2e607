//! The thread of the keeper, which also scrubs while there is no other work.

use std::sync::{atomic::Ordering, mpsc as queue};
use std::time::Duration;

use super::keeper::{Chore, Keeper};
use super::location::Lock;
use super::scrub::Scrub;

/// How often the keeper looks for copies of retracted alerts, and for space that an export no longer needs.
const RETRY: Duration = Duration::from_secs(1);
/// The pause between two steps of freeing space, so that they do not delay the writer's sync.
const PAUSE: Duration = Duration::from_millis(5);

/// Works until the engine is closed. Holds the lock of the log until its writer and its own work are done.
pub(super) fn run(keeper: &Keeper, chores: &queue::Receiver<Chore>, mut scrub: Scrub, lock: Lock) {
    let mut pause = || std::thread::park_timeout(PAUSE);
    loop {
        let chore = match chores.recv_timeout(RETRY) {
            Ok(chore) => Some(chore),
            Err(queue::RecvTimeoutError::Timeout) => None,
            Err(queue::RecvTimeoutError::Disconnected) => break,
        };
        if scrub.shared.is_closed.load(Ordering::Acquire) {
            break;
        }
        if chore.is_none() {
            scrub.step_if_due();
        }
        let done = chore.map_or(Ok(()), |chore| keeper.perform(chore, &mut pause));
        if let Err(error) = done.and_then(|()| keeper.catch_up(&mut pause)) {
            // Nothing is lost: the next segment tries again, and so does the next start.
            tracing::warn!("work on the log was put off: {error}");
        }
    }
    drop(lock);
}
