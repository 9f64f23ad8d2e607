//! Rewrites the log after retractions, because Redis keeps the content of a removed entry next to others.
//!
//! The follower tells this task whenever a tick finds that it is due; one node is told. All of the progress is in Redis
//! (`lua/rewrite.lua`), so any node goes on where another one has stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::queries::Queries;
use super::script;
use crate::engine::Unavailable;

/// Entries and bytes that one step copies, about. Redis serves nobody else meanwhile: an entry takes 5 µs, and so a step
/// two milliseconds.
const STEP: (usize, usize) = (400, 512 << 10);
/// The time between the beginnings of two steps. Then a million entries take about 20 seconds, and a quarter of the time
/// of Redis. Where a step takes long, the pause after it is as long, so that others have at least half of the time.
const PERIOD: Duration = Duration::from_millis(8);

enum Step {
    More,
    Done,
    NoMemory,
}

pub(super) async fn run(queries: Arc<Queries>) {
    let shared = Arc::clone(&queries.shared);
    while !shared.stopping.load(Ordering::Acquire) {
        shared.rewrite.notified().await;
        let warning = match rewrite(&queries).await {
            Ok(Step::NoMemory) => Some(
                "maxmemory has no room for a copy of the log, so alerts that were taken back stay in the memory of Redis: raise maxmemory, or keep fewer alerts"
                    .to_owned(),
            ),
            Ok(Step::More | Step::Done) => None,
            Err(reason) => Some(format!(
                "alerts that were taken back stay in the memory of Redis, because the log cannot be rewritten: {}; check what the user of alertd may do (ACL)",
                reason.detail
            )),
        };
        *shared.rewrite_warning.lock() = warning;
    }
}

/// Takes steps until nothing is left to copy.
async fn rewrite(queries: &Queries) -> Result<Step, Unavailable> {
    let shared = &queries.shared;
    loop {
        let began = Instant::now();
        let answer = queries.read(script::rewrite(&shared.link, STEP.0, STEP.1)).await?;
        let step = match answer.first().map(Vec::as_slice) {
            Some(b"more") => Step::More,
            Some(b"memory") => Step::NoMemory,
            _ => Step::Done,
        };
        if !matches!(step, Step::More) || shared.stopping.load(Ordering::Acquire) {
            return Ok(step);
        }
        let taken = began.elapsed();
        tokio::time::sleep(PERIOD.saturating_sub(taken).max(taken)).await;
    }
}
