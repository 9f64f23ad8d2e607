//! What becomes of incidents without anybody: times to live and reminders, and the removal of resolved ones with their last
//! alerts.
//!
//! Called by the writer with its periodic work. Always: what is due is done in the batch that notes it in the incident, so it
//! is done once, whatever ends the process.

use std::io;
use std::sync::Arc;

use super::store::Store;
use crate::alert::{Id, Record};
use crate::engine::Retention;
use crate::incident::Key;

/// Incidents that one step changes for what is due, and looks at for removal, at most.
const STEP: usize = 512;

impl Store {
    /// Does a bounded part of what there is to do. Returns the new records, in order.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); it is then done later.
    pub(super) fn keep_up_incidents(&mut self, now_ms: u64, retention: &Retention) -> io::Result<Arc<[Record]>> {
        let due = self.incidents.read().due(now_ms, STEP);
        let (gone, swept) = self.incidents_without_alert();
        if due.is_empty() && gone.is_empty() {
            self.swept = swept;
            return Ok(Arc::default());
        }
        let (_, records) = self.commit(now_ms, retention, 2 * STEP, |stage| {
            due.iter().for_each(|incident| stage.pass_time(&incident.key));
            gone.into_iter().for_each(|key| stage.forget(key));
        })?;
        self.swept = swept;
        Ok(records)
    }

    /// The next resolved incidents whose last alert retention has removed, and how far they were looked at.
    fn incidents_without_alert(&self) -> (Vec<Key>, Id) {
        let resolved = self.incidents.read().resolved_after(self.swept, STEP);
        let swept = resolved.last().filter(|_| resolved.len() == STEP).and_then(|last| last.row.changed);
        let catalog = self.catalog.read();
        let is_gone = |topic: &str, id: Id| !catalog.is_retained(topic, id);
        let gone = resolved.iter().filter(|incident| is_gone(incident.key.topic.as_str(), incident.last()));
        (gone.map(|incident| incident.key.clone()).collect(), swept.unwrap_or(Id::ZERO))
    }
}
