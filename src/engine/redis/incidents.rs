//! Incidents in this engine: reading their rows, and handing acts to the writer.
//!
//! The rows are a hash, changed by the scripts that store. Under `replicas:N` a reader may see a change a moment before its
//! record is visible, and one that the replicas do not confirm until it is undone.

use std::collections::HashMap;

use super::codec::{self, Unreadable};
use super::{Redis, incident_row, store_script as script};
use crate::alert::{Id, Level, Record, Topic};
use crate::engine::{ActFailure, Changed, IncidentPage, Retract, RetractFailure, Retracted, Unavailable};
use crate::incident::{Act, Counts, Key, Query, Row, Settings, State};

/// Rows and bytes of one read.
const PAGE: (usize, usize) = (500, 1 << 20);

impl Redis {
    pub(in crate::engine) async fn act(&self, act: Act) -> Result<Changed, ActFailure> {
        self.0.intake.submit_act(act, async |job| self.0.jobs.try_send(job)).await
    }

    pub(in crate::engine) async fn retract(&self, retract: Retract) -> Result<Retracted, RetractFailure> {
        self.0.intake.submit_retract(retract, async |job| self.0.jobs.try_send(job)).await
    }

    pub(in crate::engine) async fn incidents(&self, query: &Query) -> Result<IncidentPage, Unavailable> {
        let wanted = match query.wanted.unresolved_and_resolved() {
            (true, true) => 'a',
            (false, _) => 'r',
            (true, false) => 'u',
        };
        let shared = &self.0.queries.shared;
        let malformed = || shared.link.unreadable(&Unreadable::Malformed);
        let (mut before, mut page) = (query.before, IncidentPage::default());
        loop {
            let call = script::incidents(&shared.link, shared.time_argument(), wanted, before, PAGE.0, PAGE.1);
            let answer = self.0.queries.read(call).await?;
            let (has_more, rows) = answer.split_first().ok_or_else(malformed)?;
            for [field, stored] in rows.as_chunks::<2>().0 {
                let changed = stored.split(|byte| *byte == b' ').next().and_then(codec::id);
                before = Some(changed.ok_or_else(malformed)?);
                // What another program has changed is left out.
                let (Some(key), Some(row)) = (incident_row::key(field), incident_row::read(stored)) else { continue };
                if !query.matches(&key, &row) {
                    continue;
                }
                if page.incidents.len() >= query.limit {
                    page.next = page.incidents.last().and_then(|(_, last)| last.changed);
                    return Ok(page);
                }
                page.incidents.push((key, row));
            }
            if has_more != b"1" || rows.is_empty() {
                return Ok(page);
            }
        }
    }

    pub(in crate::engine) async fn incident(&self, key: &Key) -> Result<Option<Row>, Unavailable> {
        let shared = &self.0.queries.shared;
        let mut get = redis::cmd("HGET");
        get.arg(shared.link.key("incidents")).arg(incident_row::field(key));
        let stored: Option<Vec<u8>> = self.0.queries.command(&get).await?;
        let unreadable = || shared.link.unreadable(&Unreadable::Malformed);
        stored.map(|stored| incident_row::read(&stored).ok_or_else(unreadable)).transpose()
    }

    pub(in crate::engine) async fn incident_alert(&self, topic: &Topic, id: Id) -> Result<Option<Record>, Unavailable> {
        let mut get = redis::cmd("HGET");
        get.arg(self.0.queries.shared.link.key("incidents-alerts")).arg(id.to_string());
        let field: Option<Vec<u8>> = self.0.queries.command(&get).await?;
        let key = field.and_then(|field| incident_row::key(&field)).filter(|key| key.topic == *topic);
        let Some(key) = key else { return Ok(None) };
        let Some(row) = self.incident(&key).await? else { return Ok(None) };
        let last = row.last.as_ref().filter(|last| last.id == Some(id));
        Ok(last.and_then(|last| last.record(&key, row.occurrence)))
    }

    pub(in crate::engine) async fn incident_counts(&self) -> Result<Counts, Unavailable> {
        let mut all = redis::cmd("HGETALL");
        all.arg(self.0.queries.shared.link.key("incidents-counts"));
        let stored: HashMap<String, u64> = self.0.queries.command(&all).await?;
        let mut counts = Counts::default();
        for (state, level) in State::ALL.into_iter().flat_map(|state| Level::ALL.map(|level| (state, level))) {
            counts.set(state, level, stored.get(&incident_row::kind(state, level)).copied().unwrap_or(0));
        }
        Ok(counts)
    }

    pub(in crate::engine) fn set_incidents(&self, settings: Settings) {
        let shared = &self.0.queries.shared;
        *shared.incidents.lock() = settings;
        shared.ticked.notify_one();
    }
}
