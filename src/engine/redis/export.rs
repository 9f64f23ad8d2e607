//! Reads the log from its oldest alert up to an id, for a backup, while nodes store alerts.
//!
//! Called through [`Export`](crate::engine::Export), by a node that runs or by `alertctl` when none does. An export has
//! everything that was visible when it began, except what retention removes before it is read: an id that the limit of a
//! topic removed is exported as such, and where retention of the whole log overtakes the export there is a loss, as there
//! would be for a stream. Incidents are read first, again and again until none has changed meanwhile, so they are as the log
//! left them where the export ends. It holds one page, the incidents and the idempotency keys.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};

use super::codec::{self, Unreadable};
use super::exported_page::ExportedPage;
use super::link::Link;
use super::{Queries, Redis, Settings, incident_row, keys, script};
use crate::alert::{Id, Record, RecordKind};
use crate::backup::{Extent, Part};
use crate::engine::{Cause, Unavailable};
use crate::text::unhex;

/// Alerts and bytes of a page.
const PAGE: (usize, usize) = (500, 256 << 10);
/// Entries of a hash that one call reads, about.
const SCANNED: usize = 500;
/// Idempotency keys that are handed out at once.
const GROUP: usize = 1024;

/// Where the questions go.
enum Source {
    /// The connection of a node, which serves its streams too.
    Node(Arc<Queries>),
    /// A connection of its own.
    Direct(Link, MultiplexedConnection),
}

/// What is read next.
enum Step {
    Log,
    /// The limits of topics, from this place of the hash.
    Rows(u64),
    Incidents,
    /// The idempotency keys, from this place of the hash.
    Keys(u64),
    /// The idempotency keys that were read, by age.
    Rest(std::vec::IntoIter<Part>),
}

/// Hands out the parts of a log in order.
pub(crate) struct Export {
    source: Source,
    pub(crate) extent: Extent,
    /// Identifies the log among those that the server has had.
    pub(crate) epoch: String,
    /// About how many alerts there are.
    pub(crate) alerts: u64,
    step: Step,
    /// The newest id that was read.
    last: Id,
    first: Option<ExportedPage>,
    /// The incidents as they are stored, by field.
    incidents: HashMap<Vec<u8>, Vec<u8>>,
    /// Alerts that were taken back, perhaps after their incidents were read.
    retracted: HashSet<Id>,
    /// Idempotency keys by their hashes, with the time at which each was received. A hash that grows while it is scanned
    /// gives some entries twice.
    keys: HashMap<[u8; 32], (u64, Part)>,
}

impl Redis {
    pub(in crate::engine) async fn export(&self) -> Result<Export, Unavailable> {
        Export::begin(Source::Node(Arc::clone(&self.0.queries))).await
    }
}

impl Export {
    /// An export without a node. Also returns the keys of users, by id.
    ///
    /// # Errors
    /// The server cannot be reached, or has no log.
    pub(crate) async fn direct(settings: &Settings) -> Result<(Self, Vec<(String, String)>), Unavailable> {
        let link = Link::new(settings);
        let address = link.server().await?;
        let connection = link.connect_to(&address).await?;
        let mut source = Source::Direct(link, connection);
        let loaded = source.script(|link| script::load_keys(link, String::new())).await?;
        let (_, _, by_id) = keys::parse(&loaded).ok_or_else(|| source.unreadable(&Unreadable::Malformed))?;
        Ok((Self::begin(source).await?, by_id.into_iter().collect()))
    }

    async fn begin(mut source: Source) -> Result<Self, Unavailable> {
        let (incidents, until) = source.incidents().await?;
        let first = source.page(Id::ZERO, until).await?;
        if first.epoch.is_empty() {
            let detail = format!("{} has no log of alertd under this prefix", source.name());
            return Err(Unavailable::new(Cause::StoreFailing, detail));
        }
        // A part that was lost leaves older alerts in the log.
        let trim = first.oldest.map_or(first.trim, |oldest| first.trim.min(oldest.predecessor()));
        let extent = Extent { trim, until, clock_ms: first.clock_ms };
        let (epoch, alerts) = (first.epoch.clone(), first.alerts);
        let (step, last, retracted, keys) = (Step::Log, trim, HashSet::new(), HashMap::new());
        Ok(Self { source, extent, epoch, alerts, step, last, first: Some(first), incidents, retracted, keys })
    }

    /// The next parts; none at the end.
    ///
    /// # Errors
    /// The server cannot be reached, or its log was replaced.
    pub(crate) async fn next(&mut self) -> Result<Vec<Part>, Unavailable> {
        loop {
            let parts = match &mut self.step {
                Step::Log => self.log().await?,
                Step::Rows(at) => {
                    let at = *at;
                    self.rows(at).await?
                }
                Step::Incidents => self.hand_out_incidents(),
                Step::Keys(at) => {
                    let at = *at;
                    self.read_keys(at).await?;
                    Vec::new()
                }
                Step::Rest(keys) => return Ok(keys.take(GROUP).collect()),
            };
            if !parts.is_empty() {
                return Ok(parts);
            }
        }
    }

    async fn log(&mut self) -> Result<Vec<Part>, Unavailable> {
        let page = match self.first.take() {
            Some(first) => first,
            None => self.source.page(self.last, self.extent.until).await?,
        };
        if page.epoch != self.epoch {
            let detail = format!("{} was emptied or restored while it was read", self.source.name());
            return Err(Unavailable::new(Cause::StoreFailing, detail));
        }
        let (until, mut parts) = (self.extent.until, Vec::new());
        for (id, part) in page.parts.into_iter().filter(|(id, _)| *id <= until) {
            if id > page.trim {
                self.lose(page.trim, &mut parts);
            }
            self.last = id;
            if let Part::Alert { record: Record { kind: RecordKind::Retraction(alert), .. }, .. } = &part {
                self.retracted.insert(*alert);
            }
            parts.push(part);
        }
        if let Some(next) = page.next {
            self.last = self.last.max(next);
        } else {
            self.lose(page.trim.min(until), &mut parts);
            self.step = Step::Rows(0);
        }
        Ok(parts)
    }

    /// Reports that alerts up to an id may be missing, unless they are before the beginning or were read.
    fn lose(&mut self, upto: Id, parts: &mut Vec<Part>) {
        if upto > self.last {
            parts.push(Part::Lost { after: self.last, upto });
            self.last = upto;
        }
    }

    /// The limits of topics are read last, because they may remove alerts while the log is read.
    async fn rows(&mut self, at: u64) -> Result<Vec<Part>, Unavailable> {
        let (next, rows): (u64, Vec<(String, String)>) = self.source.scan("rows", at).await?;
        self.step = if next == 0 { Step::Incidents } else { Step::Rows(next) };
        let trim = |(topic, row): (String, String)| {
            let trim = row.split(' ').next()?.parse().ok().filter(|trim| *trim != Id::ZERO)?;
            Some(Part::TopicTrim(topic.parse().ok()?, trim))
        };
        Ok(rows.into_iter().filter_map(trim).collect())
    }

    /// What another program has put among the incidents is left out.
    fn hand_out_incidents(&mut self) -> Vec<Part> {
        let fields: Vec<_> = self.incidents.keys().take(GROUP).cloned().collect();
        if fields.is_empty() {
            self.step = Step::Keys(0);
        }
        let part = |field: Vec<u8>| {
            let row = self.incidents.remove(&field)?;
            let mut row = incident_row::read(&row)?;
            row.last.take_if(|last| last.id.is_some_and(|id| self.retracted.contains(&id)));
            Some(Part::Incident(incident_row::key(&field)?, Box::new(row)))
        };
        fields.into_iter().filter_map(part).collect()
    }

    async fn read_keys(&mut self, at: u64) -> Result<(), Unavailable> {
        let (next, keys): (u64, Vec<(String, String)>) = self.source.scan("idem", at).await?;
        let until = self.extent.until;
        let found = keys.iter().filter_map(|(hash, row)| key(hash, row)).filter(|(id, ..)| *id <= until);
        self.keys.extend(found.map(|(id, received_ms, hash, fingerprint)| {
            (hash, (received_ms, Part::Key { hash, fingerprint, id, received_ms }))
        }));
        self.step = if next == 0 {
            let mut keys: Vec<_> = std::mem::take(&mut self.keys).into_values().collect();
            keys.sort_unstable_by_key(|(received_ms, _)| *received_ms);
            let keys: Vec<_> = keys.into_iter().map(|(_, part)| part).collect();
            Step::Rest(keys.into_iter())
        } else {
            Step::Keys(next)
        };
        Ok(())
    }
}

/// An idempotency key and what it stands for, which may be marked as a state.
fn key(hash: &str, row: &str) -> Option<(Id, u64, [u8; 32], [u8; 32])> {
    let mut fields = row.split(' ');
    let fingerprint = fields.next()?.trim_start_matches('=');
    let (id, received_ms) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((id, received_ms, unhex(hash)?, unhex(fingerprint)?))
}

impl Source {
    fn link(&self) -> &Link {
        match self {
            Self::Node(queries) => &queries.shared.link,
            Self::Direct(link, _) => link,
        }
    }

    fn name(&self) -> String {
        self.link().topology().to_string()
    }

    fn unreadable(&self, reason: &Unreadable) -> Unavailable {
        self.link().unreadable(reason)
    }

    async fn script(&mut self, call: impl FnOnce(&Link) -> script::Arguments) -> Result<Vec<Vec<u8>>, Unavailable> {
        let call = call(self.link());
        match self {
            Self::Node(queries) => queries.read(call).await,
            Self::Direct(link, connection) => call.run(connection).await.map_err(|error| link.failed(&error)),
        }
    }

    async fn command<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Unavailable> {
        match self {
            Self::Node(queries) => queries.command(command).await,
            Self::Direct(link, connection) => {
                command.query_async(connection).await.map_err(|error| link.failed(&error))
            }
        }
    }

    /// Some entries of a hash, and where to go on; 0 at the end.
    async fn scan(&mut self, hash: &str, at: u64) -> Result<(u64, Vec<(String, String)>), Unavailable> {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(self.link().key(hash)).arg(at).arg("COUNT").arg(SCANNED);
        self.command(&scan).await
    }

    /// All incidents, and the newest visible id when they were so.
    async fn incidents(&mut self) -> Result<(HashMap<Vec<u8>, Vec<u8>>, Id), Unavailable> {
        let (mut incidents, mut after) = (HashMap::new(), Id::ZERO);
        loop {
            let answer = self.script(|link| script::changed(link, after, SCANNED)).await?;
            let read =
                answer.split_first_chunk().and_then(|([visible, more], rows)| Some((codec::id(visible)?, more, rows)));
            let (visible, has_more, rows) = read.ok_or_else(|| self.unreadable(&Unreadable::Malformed))?;
            for [field, row] in rows.as_chunks::<2>().0 {
                let changed = row.split(|byte| *byte == b' ').next().and_then(codec::id);
                after = after.max(changed.unwrap_or_default());
                incidents.insert(field.clone(), row.clone());
            }
            if has_more != b"1" || rows.is_empty() {
                return Ok((incidents, visible));
            }
        }
    }

    async fn page(&mut self, after: Id, until: Id) -> Result<ExportedPage, Unavailable> {
        let (limit, bytes) = PAGE;
        let answer = self.script(|link| script::export(link, after, until, limit, bytes)).await?;
        ExportedPage::read(&answer).map_err(|reason| self.unreadable(&reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_and_without_an_owner_and_the_mark_of_a_state() {
        let (hash, fingerprint) = ("01".repeat(32), "02".repeat(32));
        for row in
            [format!("{fingerprint} 7-1 9 owner"), format!("{fingerprint} 7-1 9"), format!("={fingerprint} 7-1 9 o")]
        {
            assert_eq!(key(&hash, &row), Some((Id { ms: 7, seq: 1 }, 9, [1; 32], [2; 32])), "{row}");
        }
        assert!(key("x", "y").is_none() && key(&hash, "zz 7-1 9").is_none());
    }
}
