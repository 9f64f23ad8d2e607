//! How many incidents there are.

use super::row::{Row, State};
use crate::alert::Level;

/// The numbers of incidents by state and level, which whoever keeps the rows keeps with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([[u64; Level::ALL.len()]; State::ALL.len()]);

impl Counts {
    /// The levels that an incident may have.
    pub(crate) const LEVELS: [Level; 2] = [Level::Warn, Level::Error];

    fn at(&mut self, state: State, level: Level) -> &mut u64 {
        &mut self.0[state as usize][level as usize]
    }

    pub(crate) fn add(&mut self, row: &Row) {
        *self.at(row.state, row.level) += 1;
    }

    pub(crate) fn remove(&mut self, row: &Row) {
        let count = self.at(row.state, row.level);
        *count = count.saturating_sub(1);
    }

    pub(crate) fn set(&mut self, state: State, level: Level, count: u64) {
        *self.at(state, level) = count;
    }

    pub(crate) const fn of(&self, state: State, level: Level) -> u64 {
        self.0[state as usize][level as usize]
    }

    pub(crate) fn of_state(&self, state: State) -> u64 {
        self.0[state as usize].iter().sum()
    }

    pub(crate) fn unresolved(&self) -> u64 {
        self.of_state(State::Open) + self.of_state(State::Acknowledged)
    }
}
