//! Which retractions are not done: of whose alerts files may still have copies.

use std::collections::BTreeMap;

use crate::alert::Id;

/// Retracted alerts whose copies may still be in files, and whether there may be some besides those in the snapshot.
pub(super) type Retracted = BTreeMap<Id, bool>;
