//! Takeover: the next process continues the streams of the previous one, and their clients notice only a pause.
//!
//! ```text
//!   old process:  Delivery::suspend ─> CarriedStream … ─> Parcel::pack ─> the service manager's store
//!   new process:  Parcel::unpack ─> CarriedStream … ─> Delivery::continue_stream, or end_all
//! ```
//!
//! | file | owns |
//! |---|---|
//! | [`suspension`] | how tasks and loops stop and keep their streams |
//! | [`carried`] | a stream between two processes, and its end |
//! | [`record`] | what is known of it, apart from its socket |
//! | [`mod@description`] | the records as text, with checksums |
//! | [`queue`] | the sockets in flight, and files in memory |
//! | [`parcel`] | both together, as one descriptor |
//!
//! Called by delivery and the daemon. It authorises nothing and knows no service manager. Always: a socket goes on with its
//! own record or is closed.

mod carried;
mod description;
mod parcel;
mod queue;
mod record;
mod suspension;

pub(crate) use carried::{CarriedStream, end_all};
#[cfg(any(fuzzing, test))]
pub(crate) use description::Description;
pub(crate) use parcel::{Packed, Unpacked, unpack};
pub(crate) use record::{StreamRecord, SubscriptionRecord};
pub(super) use suspension::Suspension;
