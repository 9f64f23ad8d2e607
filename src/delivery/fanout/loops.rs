//! The set of broadcast loops, as the rest of delivery sees it.

use std::io;
use std::sync::Arc;

use super::mailbox::{Command, Mailbox};
use crate::delivery::socket_sink::SocketSink;
use crate::delivery::stream::{CaughtUp, Outcome, Stream};
use crate::delivery::takeover::Suspension;

pub(in crate::delivery) struct Loops {
    mailboxes: Vec<Arc<Mailbox>>,
    suspension: Arc<Suspension>,
}

impl Loops {
    /// At least one.
    ///
    /// # Errors
    /// If the system has no descriptors left.
    pub(in crate::delivery) fn new(count: usize, suspension: Arc<Suspension>) -> io::Result<Self> {
        let mailboxes = (0..count.max(1)).map(|_| Mailbox::new().map(Arc::new)).collect::<io::Result<_>>()?;
        Ok(Self { mailboxes, suspension })
    }

    pub(in crate::delivery) fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.mailboxes.iter()
    }

    /// Carries a stream until the loop with the fewest streams takes it over, or it ends. The caller holds a
    /// [task](Suspension::task) meanwhile.
    pub(in crate::delivery) async fn carry(&self, stream: Box<Stream>, sink: SocketSink) {
        match stream.catch_up(sink).await {
            // The loops accept no more streams.
            Outcome::CaughtUp(stream) if self.suspension.is_requested() => self.suspension.keep(stream.suspend()),
            Outcome::CaughtUp(stream) => self.add(Box::new(stream)),
            Outcome::Suspended(stream) => self.suspension.keep(stream),
            Outcome::Ended => {}
        }
    }

    fn add(&self, stream: Box<CaughtUp>) {
        if let Some(mailbox) = self.mailboxes.iter().min_by_key(|mailbox| mailbox.streams()) {
            mailbox.add(stream);
        }
    }

    pub(in crate::delivery) fn mark(&self, marker: u64) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.mark(marker));
    }

    pub(in crate::delivery) fn synced(&self) -> u64 {
        self.mailboxes.iter().map(|mailbox| mailbox.synced()).min().unwrap_or_default()
    }

    /// Makes all loops give their streams away and end.
    pub(in crate::delivery) fn suspend(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.send(Command::Suspend));
    }

    pub(in crate::delivery) fn quit(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.send(Command::Quit));
    }
}
