//! The set of broadcast loops, as the rest of delivery sees it.

use std::io;
use std::sync::Arc;

use super::mailbox::{Command, Mailbox};
use crate::delivery::socket_sink::SocketSink;
use crate::delivery::stream::{CaughtUp, Stream};

/// The mailboxes of all loops.
pub(in crate::delivery) struct Loops(Vec<Arc<Mailbox>>);

impl Loops {
    /// At least one.
    ///
    /// # Errors
    /// If the system has no descriptors left.
    pub(in crate::delivery) fn new(count: usize) -> io::Result<Self> {
        (0..count.max(1)).map(|_| Mailbox::new().map(Arc::new)).collect::<io::Result<_>>().map(Self)
    }

    pub(in crate::delivery) fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.0.iter()
    }

    /// Carries a stream until the loop with the fewest streams takes it over, or it ends.
    pub(in crate::delivery) async fn carry(&self, stream: Box<Stream>, sink: SocketSink) {
        if let Some(caught_up) = stream.catch_up(sink).await {
            self.add(Box::new(caught_up));
        }
    }

    fn add(&self, stream: Box<CaughtUp>) {
        if let Some(mailbox) = self.0.iter().min_by_key(|mailbox| mailbox.streams()) {
            mailbox.add(stream);
        }
    }

    pub(in crate::delivery) fn mark(&self, marker: u64) {
        self.0.iter().for_each(|mailbox| mailbox.mark(marker));
    }

    pub(in crate::delivery) fn synced(&self) -> u64 {
        self.0.iter().map(|mailbox| mailbox.synced()).min().unwrap_or_default()
    }

    pub(in crate::delivery) fn quit(&self) {
        self.0.iter().for_each(|mailbox| mailbox.send(Command::Quit));
    }
}
