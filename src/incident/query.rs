//! Which incidents a reader wants.

use super::row::{Key, Row, State};
use crate::alert::{Filter, Id};

/// The states that a reader asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    Unresolved,
    Only(State),
    All,
}

impl Wanted {
    pub(crate) const NAMES: &'static str = "unresolved, open, acknowledged, resolved or all";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "unresolved" => Some(Self::Unresolved),
            "all" => Some(Self::All),
            _ => State::ALL.into_iter().find(|state| state.as_str() == text).map(Self::Only),
        }
    }

    /// Whether unresolved incidents are among them, and whether resolved ones are. Engines keep the two apart.
    pub(crate) fn unresolved_and_resolved(self) -> (bool, bool) {
        (self.matches(State::Open) || self.matches(State::Acknowledged), self.matches(State::Resolved))
    }

    fn matches(self, state: State) -> bool {
        match self {
            Self::Unresolved => state != State::Resolved,
            Self::Only(wanted) => state == wanted,
            Self::All => true,
        }
    }
}

/// A page of incidents, the one that changed last first.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub filter: Filter,
    pub wanted: Wanted,
    /// Only incidents that changed last before this id.
    pub before: Option<Id>,
    pub limit: usize,
}

impl Query {
    /// Whether an incident is one of those that are asked for, on whatever page.
    pub(crate) fn matches(&self, key: &Key, row: &Row) -> bool {
        self.wanted.matches(row.state) && self.filter.matches(key.topic.as_str(), row.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_can_be_asked_for() {
        let wanted = |text: &str| {
            let wanted = Wanted::parse(text).unwrap();
            State::ALL.map(|state| wanted.matches(state))
        };
        assert_eq!(wanted("unresolved"), [true, true, false]);
        assert_eq!((wanted("open"), wanted("acknowledged")), ([true, false, false], [false, true, false]));
        assert_eq!((wanted("resolved"), wanted("all")), ([false, false, true], [true; 3]));
        assert_eq!((Wanted::parse(""), Wanted::parse("Open")), (None, None));
    }
}
