//! Reading: streams, pages of history, and the list of topics.

use super::{Caller, Refusal, Service, Settings};
use crate::alert::{Filter, Id, Level, Pattern, Record, Start};
use crate::api::Topics;
use crate::delivery::{LimitReached, Stream, StreamLimits, StreamRequest};
use crate::engine::topics::Listing;
use crate::engine::{Direction, Page, Range, complete_from};
use crate::key::Scope;
use crate::ntfy::Names;
use crate::random::between;
use crate::sse::{Format, Gap};

/// The parameters of a stream or a page of history.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Never empty.
    pub patterns: Vec<Pattern>,
    /// The lowest level.
    pub level: Level,
    /// Where to begin, if the client named a position.
    pub start: Option<Start>,
    /// For history: only alerts before this id.
    pub before: Option<Id>,
    /// For history: the maximum number of alerts.
    pub limit: usize,
    /// For history: whether it has changes of incidents too.
    pub includes_incidents: bool,
}

#[derive(Debug)]
pub(crate) struct HistoryPage {
    /// Oldest first.
    pub records: Vec<Record>,
    /// Cursor of the next page, exclusive.
    pub next: Option<Id>,
    /// Requested alerts may be missing.
    pub gap: Option<Gap>,
}

/// Maximum bytes of a page of history.
const MAX_HISTORY_BYTES: usize = 1 << 20;

/// The gap for a page that crosses a damaged place of the log.
fn damage(page: &Page, head: Id) -> Option<Gap> {
    page.damaged.map(|lost| Gap { requested: lost.to_string(), oldest: complete_from(page.oldest, page.trimmed), head })
}

/// One gap for both, because a page has only one. Nothing from its `oldest` on is missing.
fn both(first: Option<Gap>, second: Option<Gap>) -> Option<Gap> {
    match (first, second) {
        (Some(first), Some(second)) => Some(Gap { oldest: first.oldest.max(second.oldest), ..first }),
        (first, second) => first.or(second),
    }
}

/// The topics of a caller who may read.
pub(super) fn readable(caller: &Caller) -> &[Pattern] {
    match caller {
        Caller::Key(grant, _) => &grant.topics,
        _ => &[Pattern::All],
    }
}

impl Service {
    /// Opens a stream, which the HTTP layer then connects to a sink. If the engine is unavailable, the stream waits for it.
    ///
    /// # Errors
    /// [`Refusal::Scope`] or [`Refusal::Topic`] if the key does not cover the query, [`Refusal::TooMany`] at a limit on
    /// streams, [`Refusal::Draining`] while streams leave.
    pub(crate) fn open_stream(&self, caller: &Caller, query: Query, format: Format) -> Result<Box<Stream>, Refusal> {
        self.open(caller, query, format, false)
    }

    /// Opens a stream that is complete once it has sent what the log has.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream), and [`Refusal::Unavailable`] if the engine is: whoever polls does not wait.
    pub(crate) fn poll(&self, caller: &Caller, query: Query, format: Format) -> Result<Box<Stream>, Refusal> {
        if self.engine.head().is_none() {
            let away = || Refusal::unavailable("the log of alerts was not reached yet");
            return Err(self.engine.status().health.err().map_or_else(away, Refusal::from));
        }
        self.open(caller, query, format, true)
    }

    /// What a stream has to follow for these names of ntfy's, as far as the caller may read it.
    ///
    /// # Errors
    /// [`Refusal::Scope`], or [`Refusal::Topic`] for a name of which the caller may read nothing.
    pub(crate) fn patterns_of(&self, caller: &Caller, names: &Names) -> Result<Vec<Pattern>, Refusal> {
        caller.require(Scope::Subscribe)?;
        let granted = readable(caller);
        names.patterns(granted).map_err(|name| Refusal::Topic(Pattern::Exact(name), granted.to_vec()))
    }

    fn open(&self, caller: &Caller, query: Query, format: Format, ends_at_seam: bool) -> Result<Box<Stream>, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(&query.patterns)?;
        let settings = self.settings.load();
        let (min_retry, max_retry) = settings.retry;
        if self.is_leaving() {
            return Err(Refusal::Draining { retry_after: max_retry });
        }
        let lifetime = settings.stream_lifetime;
        let limits = StreamLimits { per_key: settings.streams_per_key, total: settings.max_streams };
        let request = StreamRequest {
            owner: caller.name(),
            key: match caller {
                Caller::Key(grant, _) => Some(self.keyring.watch(&grant.key_id)),
                _ => None,
            },
            filter: Filter::new(query.patterns, query.level),
            format,
            start: query.start.unwrap_or(Start::Latest),
            latest_after_ms: self.latest_after_ms(&settings),
            heartbeat: settings.heartbeat,
            retry: between(min_retry, max_retry),
            lifetime: (!lifetime.is_zero()).then(|| between(lifetime.mul_f64(0.8), lifetime)),
            limits,
            ends_at_seam,
        };
        self.delivery.open(request).map_err(|limit| Refusal::TooMany {
            what: match limit {
                LimitReached::PerKey => {
                    format!("this key has {} open streams (limits.streams_per_key)", limits.per_key)
                }
                LimitReached::Total => {
                    format!("all {} streams are in use (http.max_streams): try again later", limits.total)
                }
            },
            retry_after: max_retry,
        })
    }

    /// A page of history, oldest first: the newest alerts, those from `start` on, or those right before `before`.
    ///
    /// # Errors
    /// [`Refusal::Scope`] or [`Refusal::Topic`] if the key does not cover the query, [`Refusal::Unavailable`] if the engine
    /// is.
    pub(crate) async fn history(&self, caller: &Caller, query: Query) -> Result<HistoryPage, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(&query.patterns)?;
        let filter = Filter::new(query.patterns, query.level);
        let until = query.before.map_or(Id::MAX, Id::predecessor);
        // A page may be shorter than the limit anyway.
        let shown = |mut records: Vec<Record>| {
            records.retain(|record| query.includes_incidents || record.is_alert());
            records
        };
        let range =
            |after| Range { filter: filter.clone(), after, until, limit: query.limit, bytes: MAX_HISTORY_BYTES };
        let Some(start) = query.start.filter(|start| *start != Start::Latest) else {
            let page = self.engine.read(range(Id::ZERO), Direction::Backward).await?;
            let gap = damage(&page, self.engine.head().unwrap_or_default());
            return Ok(HistoryPage { records: shown(page.records), next: page.next, gap });
        };
        if start == Start::Live {
            return Err(Refusal::invalid("since", "none is for streams: use all, an id, a duration or a time"));
        }
        let seek = self.engine.seek(&start, &filter, Id::MAX, self.latest_after_ms(&self.settings.load())).await?;
        let page = self.engine.read(range(seek.after), Direction::Forward).await?;
        let head = self.engine.head().unwrap_or_default();
        // Alerts removed after the seek are missing from the page, and only this shows it.
        let removed = page.gap(seek.after, seek.trimmed, head);
        let gap = both(seek.gap, both(removed, damage(&page, head)));
        Ok(HistoryPage { records: shown(page.records), next: page.next, gap })
    }

    /// Topics with this prefix that have alerts and that the caller may read.
    ///
    /// # Errors
    /// [`Refusal::Scope`] without the scope `subscribe`, [`Refusal::Unavailable`] if the engine is.
    pub(crate) async fn topics(&self, caller: &Caller, prefix: &str) -> Result<Topics, Refusal> {
        caller.require(Scope::Subscribe)?;
        let Listing { topics, more } = self.engine.topics(readable(caller), prefix, usize::MAX).await?;
        Ok(Topics { topics, more })
    }

    fn latest_after_ms(&self, settings: &Settings) -> u64 {
        self.now_ms().saturating_sub(settings.latest_ttl.as_millis() as u64)
    }
}
