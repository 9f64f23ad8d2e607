//! Erasing the content of one alert in place.
//!
//! A record that names the alert is written and synced first, then the content is overwritten. A start repeats the second
//! step for every such record whose alert is still readable, so that a crash at any moment leaves either a whole alert, or
//! one that will be erased before anybody can read it.

use std::io;

use super::codec::Writer;
use super::frame::{Draft, Kind, Mark};
use super::overwrite::overwrite;
use super::segment::{Alert, Found};
use super::store::Store;
use crate::alert::Id;

impl Store {
    /// Erases an alert's content; its id stays a valid cursor. Returns false where the log has no such alert.
    #[cfg_attr(not(test), expect(dead_code, reason = "the verb that asks for it comes with retraction"))]
    pub(super) fn erase(&mut self, id: Id) -> io::Result<bool> {
        let Some(segment) = self.catalog.read().segment_behind(id.predecessor()) else { return Ok(false) };
        let ordinal = segment.behind(id.predecessor());
        let Some(offset) = segment.index.read().offset(ordinal) else { return Ok(false) };
        let alert = match segment.read(ordinal)? {
            Found::Alert(alert) if alert.record.id == id => alert,
            Found::Erased(found) if found == id => return Ok(true),
            _ => return Ok(false),
        };
        let Alert { record, size } = *alert;
        self.write_tombstone(id, segment.number(), offset)?;
        // Nobody reads it from here on, whatever becomes of the overwriting.
        let mut catalog = self.catalog.write();
        let is_retained = catalog.is_retained(&record.topic, id);
        segment.index.write().erase(ordinal, size.into());
        if is_retained && let Some(number) = catalog.topics.number(record.topic.as_str()) {
            catalog.topics.remove(number, 1);
            catalog.count = catalog.count.saturating_sub(1);
            catalog.bytes = catalog.bytes.saturating_sub(size.into());
        }
        drop(catalog);
        self.keys.erase(id);
        self.forget_oldest(id);
        self.erasures.push((segment.number(), offset));
        overwrite(&segment, offset)?;
        Ok(true)
    }

    /// Synced in both modes: an erase that was answered is not undone by a power cut.
    fn write_tombstone(&mut self, id: Id, segment: u32, offset: u64) -> io::Result<()> {
        // The victim must not move to another segment afterwards.
        self.appender.sync()?;
        let mut victim = Writer::default();
        victim.u32(segment);
        victim.u64(offset);
        let head = self.head();
        self.appender.write(head.successor(), true, |appender, tail, out| {
            let (base, salt) = (tail.end, tail.segment.header.salt);
            let (kind, content) = (Kind::Erase, &[&victim.0[..]][..]);
            let draft = Draft { kind, flags: 0, user: "", id, before: head, topic_before: Id::ZERO, content };
            let crc = crc32c::crc32c(&draft.encode(out, base, salt).to_le_bytes());
            let bytes = u32::try_from(out.len()).unwrap_or(u32::MAX);
            let (trim, clock_ms, reserved_ms) = appender.mark_values();
            let synced = (tail.number().into(), tail.synced);
            Mark { last: head, trim, synced, bytes, crc, clock_ms, reserved_ms, is_seal: false }
                .encode(out, base, salt);
        })?;
        self.appender.settle(true);
        Ok(())
    }
}
