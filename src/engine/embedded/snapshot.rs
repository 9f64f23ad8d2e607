//! The state of the log besides its alerts, as of one place in it: idempotency keys, incidents, and what limits of topics
//! removed.
//!
//! A start reads the snapshot and applies the records after it. It also has the highest id and the end of the log, so
//! that a missing segment is noticed.

use super::codec::{Damaged, Reader, Writer, put_incident, take_incident};
use super::dropped::DroppedRange;
use super::header::{Unreadable, seal, unseal};
use super::incident_table::IncidentTable;
use super::keys::{KeyRow, Keys};
use super::retracted::Retracted;
use crate::alert::{Id, Topic};
use crate::engine::publish::Owner;
use std::collections::HashMap;

const KIND: [u8; 16] = *b"alertd state\n\0\0\0";
const VERSION: u32 = 1;
/// The file of the snapshot.
pub(super) const FILE: &str = "state";

/// State besides the alerts.
#[derive(Default)]
pub(super) struct State {
    pub(super) keys: Keys,
    /// The newest id that the limit of each topic removed.
    pub(super) topic_trims: HashMap<Topic, Id>,
    /// Alerts whose content is to be erased: their segments and offsets. Kept as long as the segment.
    pub(super) erasures: Vec<(u32, u64)>,
    /// Segments that were dropped from within the log.
    pub(super) dropped: Vec<DroppedRange>,
    pub(super) incidents: IncidentTable,
    pub(super) retracted: Retracted,
}

/// A place in the log, and the state of the log there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) identity: [u8; 16],
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) head: Id,
    pub(super) trim: Id,
    pub(super) clock_ms: u64,
}

impl Place {
    fn put(&self, out: &mut Writer) {
        out.bytes(&self.identity);
        out.u32(self.segment);
        out.u64(self.offset);
        out.id(self.head);
        out.id(self.trim);
        out.u64(self.clock_ms);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let identity = reader.array()?;
        let (segment, offset, head, trim) = (reader.u32()?, reader.u64()?, reader.id()?, reader.id()?);
        Ok(Self { identity, segment, offset, head, trim, clock_ms: reader.u64()? })
    }
}

pub(super) fn encode(place: &Place, state: &State) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(128 + 96 * state.keys.len()));
    place.put(&mut out);
    out.u32(u32::try_from(state.topic_trims.len()).unwrap_or(u32::MAX));
    for (topic, trim) in &state.topic_trims {
        out.topic(topic);
        out.id(*trim);
    }
    out.u32(u32::try_from(state.erasures.len()).unwrap_or(u32::MAX));
    for (segment, offset) in &state.erasures {
        out.u32(*segment);
        out.u64(*offset);
    }
    out.u32(u32::try_from(state.keys.len()).unwrap_or(u32::MAX));
    for (hash, row) in state.keys.iter() {
        out.bytes(hash);
        out.bytes(&row.fingerprint);
        out.id(row.id);
        out.u64(row.received_ms);
    }
    DroppedRange::put(&state.dropped, &mut out);
    state.keys.iter().for_each(|(_, row)| out.bytes(&row.owner));
    out.u32(u32::try_from(state.incidents.len()).unwrap_or(u32::MAX));
    for incident in state.incidents.iter() {
        put_incident(&mut out, &incident.key, Some(&incident.row));
    }
    state.keys.iter().for_each(|(_, row)| out.u8(row.is_state.into()));
    out.u32(u32::try_from(state.retracted.len()).unwrap_or(u32::MAX));
    for (id, has_copies) in &state.retracted {
        out.id(*id);
        out.u8((*has_copies).into());
    }
    seal(KIND, VERSION, &out.0)
}

pub(super) fn decode(bytes: &[u8]) -> Result<(Place, State), Unreadable> {
    let mut reader = Reader(unseal(KIND, VERSION, bytes)?);
    let place = Place::take(&mut reader)?;
    let mut state = State::default();
    for _ in 0..reader.u32()? {
        state.topic_trims.insert(reader.topic()?, reader.id()?);
    }
    for _ in 0..reader.u32()? {
        state.erasures.push((reader.u32()?, reader.u64()?));
    }
    let mut keys = Vec::new();
    for _ in 0..reader.u32()? {
        let (hash, fingerprint) = (reader.array()?, reader.array()?);
        let (id, received_ms) = (reader.id()?, reader.u64()?);
        keys.push((hash, KeyRow { fingerprint, id, received_ms, owner: Owner::default(), is_state: false }));
    }
    // A snapshot of an earlier build ends here, or before the owners of the keys, the incidents, or the retractions.
    if !reader.0.is_empty() {
        state.dropped = DroppedRange::take(&mut reader)?;
    }
    if !reader.0.is_empty() {
        for (_, row) in &mut keys {
            row.owner = reader.array()?;
        }
    }
    if !reader.0.is_empty() {
        for _ in 0..reader.u32()? {
            let (key, row) = take_incident(&mut reader)?;
            state.incidents.set(key, row);
        }
    }
    if !reader.0.is_empty() {
        for (_, row) in &mut keys {
            row.is_state = reader.u8()? != 0;
        }
        for _ in 0..reader.u32()? {
            state.retracted.insert(reader.id()?, reader.u8()? != 0);
        }
    }
    keys.into_iter().for_each(|(hash, row)| state.keys.insert(hash, row));
    Ok((place, state))
}

/// The file with the place where the log ended at a clean stop.
pub(super) mod stop {
    use super::{Place, Reader, Unreadable, Writer, seal, unseal};

    const KIND: [u8; 16] = *b"alertd stop\n\0\0\0\0";
    const VERSION: u32 = 1;
    pub(in super::super) const FILE: &str = "stop";

    pub(in super::super) fn encode(place: &Place) -> Vec<u8> {
        let mut out = Writer::default();
        place.put(&mut out);
        seal(KIND, VERSION, &out.0)
    }

    pub(in super::super) fn decode(bytes: &[u8]) -> Result<Place, Unreadable> {
        Ok(Place::take(&mut Reader(unseal(KIND, VERSION, bytes)?))?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Keyed;
    use super::*;
    use crate::incident::Key;

    #[test]
    fn a_snapshot_reads_back_whole_or_not_at_all() {
        let mut state = State::default();
        let key = Keyed { hash: [1; 32], fingerprint: [2; 32], is_state: true };
        state.keys.insert(key.hash, KeyRow::of(&key, Id::at(3), 4, [6; 8]));
        state.retracted.extend([(Id::at(3), true), (Id::at(4), false)]);
        state.topic_trims.insert("ops.db".parse().unwrap(), Id::at(9));
        state.erasures.push((5, 4096));
        let row = r#"{"occurrence":2,"state":"open","level":"warn","count":3,"user":"u","opened_ms":4,"updated_ms":5,"changed":"6-0","announced_ms":7}"#;
        let incident = Key { topic: "ops".parse().unwrap(), name: "disk \u{e4}".parse().unwrap() };
        state.incidents.set(incident.clone(), serde_json::from_str(row).unwrap());
        let place = Place { identity: [7; 16], segment: 5, offset: 6, head: Id::at(7), trim: Id::at(8), clock_ms: 9 };
        let bytes = encode(&place, &state);
        let (at, back) = decode(&bytes).unwrap();
        assert_eq!((at, back.topic_trims, back.erasures), (place, state.topic_trims, state.erasures));
        assert_eq!(back.keys.get(&[1; 32], 0), state.keys.get(&[1; 32], 0));
        assert_eq!(back.retracted, state.retracted);
        assert_eq!((back.incidents.len(), back.incidents.get(&incident)), (1, state.incidents.get(&incident)));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "{at}");
            assert!(decode(&bytes[..at]).is_err(), "{at}");
        }
        assert_eq!(stop::decode(&stop::encode(&place)), Ok(place));
        assert!(stop::decode(&bytes).is_err());
    }
}
