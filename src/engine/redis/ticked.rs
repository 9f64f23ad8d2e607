//! What a tick found.

use super::codec::{id, number, text};
use crate::alert::Id;

/// The answer of `tick.lua`.
pub(super) struct TickAnswer {
    pub(super) server_ms: u64,
    pub(super) epoch: String,
    pub(super) visible: Id,
    /// The newest id that retention of the whole log removed.
    pub(super) trimmed: Id,
    pub(super) keys_revision: u64,
    pub(super) are_keys_whole: bool,
    /// Whether the newest alert that the node has seen was taken back.
    pub(super) is_seen_retracted: bool,
    /// Whether this node is to rewrite the log.
    pub(super) is_rewrite_due: bool,
    /// The fields of incidents for which something is due.
    pub(super) due: Vec<Vec<u8>>,
}

impl TickAnswer {
    pub(super) fn parse(answer: &[Vec<u8>]) -> Option<Self> {
        let [ms, epoch, visible, trimmed, keys, are_keys_whole, is_seen_retracted, is_rewrite_due, due @ ..] = answer
        else {
            return None;
        };
        Some(Self {
            server_ms: number(ms)?,
            epoch: text(epoch)?.to_owned(),
            visible: id(visible)?,
            trimmed: id(trimmed)?,
            keys_revision: number(keys)?,
            are_keys_whole: are_keys_whole == b"1",
            is_seen_retracted: is_seen_retracted == b"1",
            is_rewrite_due: is_rewrite_due == b"1",
            due: due.to_vec(),
        })
    }
}
