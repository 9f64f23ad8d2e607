//! What a backup contains, and whether its lines are in order.

use super::Part;
use super::line::{Header, Item, Totals};
use crate::alert::Id;

/// What was read of a backup.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) header: Option<Header>,
    pub(crate) user_keys: u64,
    /// Alerts and idempotency keys.
    pub(crate) totals: Totals,
    /// Places where alerts were lost before the backup was made.
    pub(crate) losses: u64,
    /// The newest id that a line has named.
    pub(crate) last: Id,
    is_over: bool,
    /// Lines are missing, so the totals cannot be right.
    is_damaged: bool,
}

impl Summary {
    /// Whether the last line was read.
    pub(crate) const fn is_complete(&self) -> bool {
        self.is_over
    }

    pub(super) const fn set_damaged(&mut self) {
        self.is_damaged = true;
    }

    /// Takes in the next item.
    ///
    /// # Errors
    /// It does not belong here.
    pub(super) fn add(&mut self, item: &Item) -> Result<(), String> {
        if self.is_over {
            return Err("it comes after the last line".into());
        }
        if self.header.is_none() && !self.is_damaged && !matches!(item, Item::Header(_)) {
            return Err("the first line is missing".into());
        }
        match item {
            Item::Header(_) if self.header.is_some() => return Err("the first line comes twice".into()),
            Item::Header(header) => {
                self.last = header.extent().trim;
                self.header = Some(header.clone());
            }
            Item::UserKey { .. } => self.user_keys += 1,
            Item::Part(Part::Alert { record, .. }) => {
                self.rise(record.id)?;
                self.totals.alerts += 1;
            }
            Item::Part(Part::Retired(id)) => self.rise(*id)?,
            Item::Part(Part::Lost { upto, .. }) => {
                self.rise(*upto)?;
                self.losses += 1;
            }
            Item::Part(Part::TopicTrim(..) | Part::Incident(..)) => {}
            Item::Part(Part::Key { .. }) => self.totals.keys += 1,
            Item::Failed(reason) => return Err(format!("the backup was given up: {reason}")),
            Item::End(totals) => {
                self.is_over = true;
                if *totals != self.totals && !self.is_damaged {
                    return Err("the counts in the last line are those of another backup".into());
                }
            }
        }
        Ok(())
    }

    fn rise(&mut self, id: Id) -> Result<(), String> {
        let until = self.header.as_ref().map_or(Id::MAX, |header| header.extent().until);
        if id <= self.last || id > until {
            return Err(format!("the id {id} is not between {} and {until}", self.last));
        }
        self.last = id;
        Ok(())
    }
}
