//! Why an engine cannot do something now: a cause for clients, and a detail for the operator.
//!
//! Made by the engines; appends, reads and the health of an engine share it. Its `Display` is the fixed sentence of the
//! cause, so whatever turns it into text for a client cannot show a path, a host or the text of a library. The detail goes
//! to the log, to `/status` and to the control socket.

use std::fmt;

/// The engine cannot do it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable {
    /// For clients.
    pub cause: Cause,
    /// For the operator: which store, what it answered, and the remedy.
    pub detail: String,
}

impl Unavailable {
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }

    pub(super) fn stopping() -> Self {
        Self::new(Cause::Stopping, Cause::Stopping.sentence())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.sentence())
    }
}

impl std::error::Error for Unavailable {}

/// What is wrong, without paths or host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server of the log cannot be reached.
    NotReached,
    /// The store answers with an error.
    StoreFailing,
    /// The disk or the memory of the server is full.
    StoreFull,
    /// The server is a replica, or was told to refuse writes.
    ReadOnly,
    /// The store holds something that alertd did not write.
    Damaged,
    /// The store, or a record in it, has a format that this version does not know.
    UnknownFormat,
    /// A node of the fleet has an earlier version, which could not read what would be stored.
    OlderNodes,
    /// Too few replicas confirmed an alert.
    NotSafe,
    /// The queue in front of the store is full.
    QueueFull,
    /// The store did not answer before the deadline.
    TimedOut,
    Stopping,
}

impl Cause {
    /// The sentence that a client gets, the same in every installation.
    #[must_use]
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::NotReached => "the log of alerts cannot be reached now",
            Self::StoreFailing => "the log of alerts does not work now",
            Self::StoreFull => "the log of alerts has no room now",
            Self::ReadOnly => "the log of alerts is read-only now",
            Self::Damaged => "a part of the log of alerts cannot be read",
            Self::UnknownFormat => "the log of alerts has a format that this version of alertd does not know",
            Self::OlderNodes => {
                "a node of the fleet has an earlier version, which does not know this: upgrade it first"
            }
            Self::NotSafe => "too few replicas confirmed the alert",
            Self::QueueFull => "too many alerts are waiting to be stored",
            Self::TimedOut => "the log of alerts did not answer in time",
            Self::Stopping => "alertd is stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_text_does_not_contain_the_detail() {
        let unavailable = Unavailable::new(Cause::StoreFull, "/var/lib/alertd: No space left on device (os error 28)");
        assert_eq!(unavailable.to_string(), "the log of alerts has no room now");
    }
}
