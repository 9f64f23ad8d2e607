//! User names of this machine.
//!
//! Called for what is written to the log about a local user, never on the path of an alert, because the name service may
//! ask other programs and machines.

use std::fmt;

use nix::unistd::{Uid, User};

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub uid: u32,
    /// None if the machine has no name for it.
    pub name: Option<String>,
}

impl Account {
    /// Looks the name up. Blocks as long as the name service takes.
    #[must_use]
    pub(crate) fn of(uid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Self { uid, name: user.map(|user| user.name) }
    }

    /// The number of a user.
    #[must_use]
    pub(crate) fn uid_of(name: &str) -> Option<u32> {
        User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
    }

    /// The user of this process.
    #[must_use]
    pub(crate) fn own() -> Self {
        Self::of(Uid::current().as_raw())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_shown_with_its_number_and_its_name_if_there_is_one() {
        assert_eq!(Account::of(0).to_string(), "root (uid 0)");
        assert_eq!(Account::of(4_000_000_000).to_string(), "uid 4000000000");
    }
}
