//! The ids of entries in a broadcast loop. An id is the index of a slab entry, and is reused after the entry was removed.

use crate::hub::RingTag;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SubscriberId(pub(super) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RingQueueId(pub(super) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyGroupId(pub(super) u32);

impl SubscriberId {
    /// No subscriber: the end of a list.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// The hub knows a ring queue by its id.
impl From<RingQueueId> for RingTag {
    fn from(id: RingQueueId) -> Self {
        Self(id.0)
    }
}

impl From<RingTag> for RingQueueId {
    fn from(tag: RingTag) -> Self {
        Self(tag.0)
    }
}
