//! What is read before a call in which incidents are involved is decided.

use std::collections::HashMap;

use super::codec;
use super::incident_row;
use super::store_script::Questions;
use crate::alert::Id;
use crate::engine::limits::IDEMPOTENCY_AGE_MS;
use crate::engine::publish::{Owner, owner};
use crate::engine::{Idempotency, Publish};
use crate::incident::{Act, Key, Row};
use crate::text::unhex;

/// What a call is to do. The deadlines are on the server's clock.
#[derive(Clone, Copy)]
pub(super) struct Wishes<'a> {
    pub(super) groups: &'a [(u64, &'a [Publish])],
    pub(super) acts: &'a [(u64, &'a Act)],
    /// Incidents for which something may be due.
    pub(super) due: &'a [Key],
}

impl Wishes<'_> {
    pub(super) fn questions(&self) -> Questions {
        let mut questions = Questions::default();
        for publish in self.groups.iter().flat_map(|(_, alerts)| *alerts) {
            questions.keys.extend(publish.idempotency.as_ref().map(Idempotency::hash));
            if let Some(key) = Key::of(&publish.draft) {
                questions.fields.push(incident_row::field(&key));
                questions.users.push(owner(publish.user.as_bytes()));
            }
        }
        let others = self.acts.iter().map(|(_, act)| &act.key).chain(self.due);
        questions.fields.extend(others.map(incident_row::field));
        questions.keys.sort_unstable();
        questions.keys.dedup();
        questions.fields.sort_unstable();
        questions.fields.dedup();
        questions.users.sort_unstable();
        questions.users.dedup();
        questions
    }
}

/// The answer of `look.lua`.
#[derive(Default)]
pub(super) struct Look {
    pub(super) schema: u64,
    /// The time of what is decided.
    pub(super) now_ms: u64,
    /// The server's clock, for deadlines.
    pub(super) clock_ms: u64,
    /// Unresolved incidents.
    pub(super) open: u64,
    pub(super) keys: HashMap<[u8; 32], LookedKey>,
    /// By field.
    pub(super) rows: HashMap<String, LookedRow>,
    /// Unresolved incidents of each user.
    pub(super) users: HashMap<Owner, u64>,
}

pub(super) struct LookedKey {
    /// What is stored about it; empty if nothing is.
    pub(super) stored: Vec<u8>,
    /// Time and JSON of its alert; none if that is gone.
    pub(super) alert: Option<(u64, Vec<u8>)>,
    /// Whether its alert was taken back.
    pub(super) is_retracted: bool,
}

pub(super) struct LookedRow {
    /// As it is stored; empty if there is none.
    pub(super) stored: Vec<u8>,
    /// None also for one that cannot be decoded, which the next change replaces.
    pub(super) row: Option<Row>,
}

/// What an idempotency key stands for.
pub(super) struct Known {
    pub(super) fingerprint: [u8; 32],
    pub(super) id: Id,
    pub(super) received_ms: u64,
    pub(super) is_retracted: bool,
}

impl Look {
    pub(super) fn parse(answer: &[Vec<u8>], questions: &Questions) -> Option<Self> {
        let mut parts = answer.iter();
        let mut number = || codec::number(parts.next()?);
        let (schema, now_ms, clock_ms, open) = (number()?, number()?, number()?, number()?);
        let mut look = Self { schema, now_ms, clock_ms, open, ..Self::default() };
        for key in &questions.keys {
            let (stored, ms, json) = (parts.next()?.clone(), parts.next()?, parts.next()?.clone());
            let alert = if json.is_empty() { None } else { Some((codec::number(ms)?, json)) };
            let is_retracted = parts.next()? == b"1";
            look.keys.insert(*key, LookedKey { stored, alert, is_retracted });
        }
        for field in &questions.fields {
            let (stored, of_user) = (parts.next()?.clone(), codec::number(parts.next()?)?);
            let row = incident_row::read(&stored);
            if let Some(row) = &row {
                look.users.insert(owner(row.user.as_bytes()), of_user);
            }
            look.rows.insert(field.clone(), LookedRow { stored, row });
        }
        for user in &questions.users {
            look.users.insert(*user, codec::number(parts.next()?)?);
        }
        Some(look)
    }

    /// What a key stands for, unless that was too long ago.
    pub(super) fn known(&self, key: &[u8; 32]) -> Option<Known> {
        let LookedKey { stored, is_retracted, .. } = self.keys.get(key)?;
        let mut parts = std::str::from_utf8(stored).ok()?.split(' ');
        // A state has a mark, which a backup does not have.
        let fingerprint = unhex(parts.next()?.trim_start_matches('='))?;
        let (id, received_ms): (Id, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_young = received_ms.saturating_add(IDEMPOTENCY_AGE_MS) >= self.now_ms;
        is_young.then_some(Known { fingerprint, id, received_ms, is_retracted: *is_retracted })
    }
}
