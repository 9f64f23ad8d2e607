//! The rules of the protocol, each of which can be switched off, and how the log may go back.

/// The rules of the protocol; without any one of them the search finds a hole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// An announcement continues exactly what the node has.
    pub(super) predecessor_is_exact: bool,
    /// The script that stores compares the log with what the node has seen.
    pub(super) store_compares: bool,
    /// A node that reads the log looks at what was removed after its position.
    pub(super) pages_are_compared: bool,
    /// Records that leave out the newest id that the node has seen are not taken.
    pub(super) seen_is_missed: bool,
    /// A stream does not read a log that shows less than the node has seen.
    pub(super) streams_wait: bool,
    /// A node knows what it had seen when it starts again.
    pub(super) seen_is_kept: bool,
    /// A node compares the alert of the newest id that it has seen, not only the id.
    pub(super) alerts_are_compared: bool,
    /// An alert that the old primary stored is not answered once the node knows the new one.
    pub(super) old_answers_are_void: bool,
    /// An alert that the replica has not confirmed is not answered, although a node that found a loss made it visible.
    pub(super) loss_confirms_nothing: bool,
    /// The id of an alert that was taken back is remembered.
    pub(super) retracted_is_known: bool,
    /// A page that was read for another stream is sent only if retention has removed nothing after its beginning.
    pub(super) kept_pages_are_trimmed: bool,
    /// Its version is that of before it was read.
    pub(super) kept_pages_are_versioned: bool,
    /// It is sent only when the node has heard of every retraction that the log showed.
    pub(super) kept_pages_wait: bool,
    /// What the log says about it was asked after the stream wanted it.
    pub(super) kept_pages_are_asked_for: bool,
    /// A node that is connected anew compares itself with the log before it keeps or sends such pages.
    pub(super) kept_pages_are_compared: bool,
}

impl Rules {
    pub(super) const ALL: Self = Self {
        predecessor_is_exact: true,
        store_compares: true,
        pages_are_compared: true,
        seen_is_missed: true,
        streams_wait: true,
        seen_is_kept: true,
        alerts_are_compared: true,
        old_answers_are_void: true,
        loss_confirms_nothing: true,
        retracted_is_known: true,
        kept_pages_are_trimmed: true,
        kept_pages_are_versioned: true,
        kept_pages_wait: true,
        kept_pages_are_asked_for: true,
        kept_pages_are_compared: true,
    };
}

/// How the log may go back to an older state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// To what the replica has: a failover, or a backup that is restored.
    OlderState,
    /// The same while no node runs.
    WhileStopped,
    Emptied,
    /// To what the replica has, which was promoted while the old primary goes on for a moment.
    TwoPrimaries,
    /// Primary and replica to how the log was at the beginning.
    Restored,
}
