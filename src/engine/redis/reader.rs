//! Reading the log for streams and history.
//!
//! Called through [`Engine`](crate::engine::Engine). Many streams that begin together have the same queries; each query
//! runs once, and all streams get its answer ([`single_flight`](super::single_flight)). Always: the answer of a query that ran before
//! a reader asked is complete for that reader up to where the query looked.

use std::sync::Arc;

use super::latest::{Found, Latest};
use super::single_flight::{Answered, SingleFlight};
use super::{Redis, Topology, codec, script};
use crate::alert::{Filter, Id, Start};
use crate::engine::{Cause, Direction, Known, Page, Range, Seek, Unavailable, complete_from};
use crate::sse::Gap;

/// How often a reader shares a query of others before it runs its own.
const SHARED_ROUNDS: usize = 3;
/// Alerts and bytes that are added to an answer for `latest` because they came in while the query ran.
const MEANWHILE: (usize, usize) = (500, 1 << 20);

/// Identifies a page, without what may differ: forward, it may end before or after what another reader wants.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PageOf {
    filter: Filter,
    after: Id,
    /// None forward.
    until: Option<Id>,
    limit: usize,
    bytes: usize,
    /// See [`Shared`](super::Shared).
    retractions: u64,
}

/// Running queries for pages, with the end of the range that each was read for.
type Pages = SingleFlight<PageOf, Result<(Id, Arc<Page>), Unavailable>>;

/// The queries of readers that are running now.
pub(super) struct Reader {
    seeks: SingleFlight<(Filter, Option<Id>), Result<Known, Unavailable>>,
    latest: SingleFlight<(Filter, u64), Result<Arc<Found>, Unavailable>>,
    pages: Pages,
    /// One at a time asks for the primary, however many readers have a cursor above the newest id.
    asking: tokio::sync::Mutex<()>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            seeks: SingleFlight::new(),
            latest: SingleFlight::new(),
            pages: SingleFlight::new(),
            asking: tokio::sync::Mutex::default(),
        }
    }
}

pub(super) fn no_answer() -> Unavailable {
    Unavailable::new(Cause::StoreFailing, "a query to Redis ended without an answer")
}

fn answered<A>(answered: Option<Answered<Result<A, Unavailable>>>) -> Result<(A, bool), Unavailable> {
    let Answered { answer, is_own } = answered.ok_or_else(no_answer)?;
    Ok((answer?, is_own))
}

impl Redis {
    pub(in crate::engine) async fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, Unavailable> {
        if *start == Start::Latest {
            return self.seek_latest(filter, until, latest_after_ms).await;
        }
        let cursor = if let Start::After(cursor) = start { Some(*cursor) } else { None };
        let query = (filter.clone(), cursor);
        loop {
            let asked = self.clone().known(filter.clone(), cursor);
            let (known, is_own) = answered(self.0.reader.seeks.ask(query.clone(), asked).await)?;
            match self.has_all(known.head, until) {
                Ok(()) if cursor.is_some_and(|cursor| cursor > known.head) => {
                    let known = self.known_to_the_primary(filter, cursor).await?;
                    self.has_all(known.head, until)?;
                    return Ok(Seek::new(start, until, known, Vec::new()));
                }
                Ok(()) => return Ok(Seek::new(start, until, known, Vec::new())),
                Err(behind) if is_own => return Err(behind),
                // The query ran before the log had what this reader asks for.
                Err(_) => {}
            }
        }
    }

    /// Asks again, once it is sure that no other server was promoted. A cursor above the newest id may come from that
    /// server, by way of a node that has left this one already: its reader would be told of a gap, and get alerts again.
    async fn known_to_the_primary(&self, filter: &Filter, cursor: Option<Id>) -> Result<Known, Unavailable> {
        let shared = &self.0.queries.shared;
        if matches!(shared.link.topology(), Topology::Sentinel { .. }) {
            let _turn = self.0.reader.asking.lock().await;
            shared.ask_for_primary().await;
        }
        self.clone().known(filter.clone(), cursor).await
    }

    pub(super) async fn known(self, filter: Filter, cursor: Option<Id>) -> Result<Known, Unavailable> {
        let shared = &self.0.queries.shared;
        let answer = self.0.queries.read(script::seek(&shared.link, shared.time_argument(), cursor, &filter)).await?;
        codec::known(&answer).map_err(|reason| shared.link.unreadable(&reason))
    }

    async fn seek_latest(&self, filter: &Filter, until: Id, since_ms: u64) -> Result<Seek, Unavailable> {
        let asked = || self.clone().latest(filter.clone(), until, since_ms);
        let mut found = None;
        for _ in 0..SHARED_ROUNDS {
            let query = (filter.clone(), self.page_version());
            let (shared, _) = answered(self.0.reader.latest.ask(query, asked()).await)?;
            // Otherwise the query ran for a stream that joined its ring later.
            if shared.until <= until && shared.since_ms <= since_ms {
                found = Some(shared);
                break;
            }
        }
        let found = match found {
            Some(found) => found,
            None => asked().await?,
        };
        let mut seek = Seek {
            gap: found.gap.clone(),
            latest: Vec::new(),
            after: found.until,
            trimmed: found.trimmed,
            awaited: None,
        };
        let mut meanwhile = Vec::new();
        if found.until < until {
            let (limit, bytes) = MEANWHILE;
            let range = Range { filter: filter.clone(), after: found.until, until, limit, bytes };
            let page = self.read(range, Direction::Forward).await?;
            // More than a page comes after the newest alerts, as if the stream had been open before.
            if page.next.is_none() {
                (meanwhile, seek.after) = (page.records, until);
            }
        }
        seek.latest = found.with(since_ms, &meanwhile);
        Ok(seek)
    }

    async fn latest(self, filter: Filter, until: Id, since_ms: u64) -> Result<Arc<Found>, Unavailable> {
        let known = self.clone().known(filter.clone(), None).await?;
        self.has_all(known.head, until)?;
        let until = until.min(known.head);
        let (records, damaged) = Latest { filter: &filter, until, since_ms }.ask(&self.0.queries).await?;
        let (oldest, head) = (complete_from(known.oldest, until), known.head);
        let gap = (!damaged.is_empty()).then(|| Gap { requested: "latest".into(), oldest, head });
        Ok(Arc::new(Found { until, since_ms, trimmed: known.trimmed, records, gap }))
    }

    pub(in crate::engine) async fn read(&self, range: Range, direction: Direction) -> Result<Page, Unavailable> {
        let Range { filter, after, until, limit, bytes } = range.clone();
        let is_forward = direction == Direction::Forward;
        let wanted = self.seen(until);
        let (end, retractions) = ((!is_forward).then_some(until), self.page_version());
        let query = PageOf { filter, after, until: end, limit, bytes, retractions };
        let asked = self.clone().page(range, direction);
        let ((end, page), _) = answered(self.0.reader.pages.ask(query, asked).await)?;
        let mut page = Arc::unwrap_or_clone(page);
        if is_forward && end < wanted {
            page.next = page.next.or(Some(end.max(after)));
        } else if is_forward && end > until {
            page.records.retain(|record| record.id <= until);
            page.next = page.next.filter(|next| *next < until);
        }
        Ok(page)
    }

    /// A page, and the id up to which it looked.
    async fn page(self, range: Range, direction: Direction) -> Result<(Id, Arc<Page>), Unavailable> {
        let shared = &self.0.queries.shared;
        // Alerts that the node sees while the log answers need not be in the answer.
        let seen = self.seen(range.until);
        let answer = self.0.queries.read(script::read(&shared.link, shared.time_argument(), &range, direction)).await?;
        let answer = codec::page(&answer).map_err(|reason| shared.link.unreadable(&reason))?;
        let codec::ReadAnswer { visible, mut page, damaged } = answer;
        shared.damaged.name(&damaged, shared.link.topology());
        self.has_all(visible, seen)?;
        if direction == Direction::Backward {
            page.records.reverse();
        }
        Ok((range.until.min(visible), Arc::new(page)))
    }

    /// The part of what is asked for that this node has seen.
    fn seen(&self, until: Id) -> Id {
        until.min(self.0.queries.shared.head())
    }

    /// Fails if the log does not show everything up to `until` that this node has seen. After a failover the log may
    /// have lost that part, or not know yet that it is visible; until the node has compared itself, a reader would skip
    /// it.
    pub(super) fn has_all(&self, visible: Id, until: Id) -> Result<(), Unavailable> {
        let shared = &self.0.queries.shared;
        if visible >= until.min(shared.head()) {
            return Ok(());
        }
        shared.compare_now.notify_one();
        let detail = format!("{} is behind what this node has seen, and is being compared", shared.link.topology());
        Err(Unavailable::new(Cause::NotReached, detail))
    }
}
