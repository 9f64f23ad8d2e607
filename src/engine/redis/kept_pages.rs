//! Whether a page that was read for another stream is still true.
//!
//! Called through [`Engine`](crate::engine::Engine) by streams that replay. Other nodes remove alerts and take them back, so what
//! this node knows is not enough, and a page is asked about in the log each time before it is sent. The question begins after
//! the stream wanted the page, and streams that want the same page together share it. The log says what it shows, and what was
//! removed; then the node waits until it has heard of everything that the log showed, so that its own count of retractions is
//! as new as the answer. Always: a page is true here only if the node would read the same from the log in that moment. The
//! model of this engine has each of these rules.
//!
//! A failover is covered because queries have a connection only once the node has compared itself with the log on it, and a
//! node that finds a loss changes the version.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::Redis;
use super::reader::no_answer;
use super::single_flight::SingleFlight;
use crate::alert::{Filter, Id};
use crate::engine::Unavailable;

/// How long a node may take to hear of what the log showed; announcements usually take milliseconds. After that the streams read
/// the log themselves.
const HEARD_WITHIN: Duration = Duration::from_millis(250);

/// The questions about pages that are running now, each about those of a filter that begin after an id.
pub(super) struct KeptPages(SingleFlight<(Filter, Id), Result<Told, Unavailable>>);

impl KeptPages {
    pub(super) fn new() -> Self {
        Self(SingleFlight::new())
    }
}

/// What the log says about such pages.
#[derive(Clone, Copy)]
struct Told {
    shown: Id,
    trimmed: Id,
    /// The version when the node had heard of all that was shown; none if it did not hear of it in time.
    version: Option<u64>,
}

impl Redis {
    /// Changes whenever an alert was taken back, or a part of the log was lost, as far as this node has heard.
    pub(in crate::engine) fn page_version(&self) -> u64 {
        self.0.queries.shared.retractions.load(Ordering::Acquire)
    }

    /// Whether a page of what follows `after`, whose version from before it was read this is, can be sent to a stream that
    /// reads up to `until`.
    pub(in crate::engine) async fn is_page_true(
        &self,
        version: u64,
        filter: &Filter,
        after: Id,
        until: Id,
    ) -> Result<bool, Unavailable> {
        if self.page_version() != version {
            return Ok(false);
        }
        let asked = self.clone().tell(filter.clone(), after);
        let told = self.0.kept_pages.0.ask_anew((filter.clone(), after), asked).await.ok_or_else(no_answer)??;
        self.has_all(told.shown, until)?;
        Ok(told.trimmed <= after && told.version == Some(version))
    }

    async fn tell(self, filter: Filter, after: Id) -> Result<Told, Unavailable> {
        let known = self.clone().known(filter, Some(after)).await?;
        let mut heard = self.0.queries.shared.heard.subscribe();
        // The sender lives as long as this handle.
        let has_heard = matches!(timeout(HEARD_WITHIN, heard.wait_for(|heard| *heard >= known.head)).await, Ok(Ok(_)));
        let version = has_heard.then(|| self.page_version());
        Ok(Told { shown: known.head, trimmed: known.trimmed, version })
    }
}
