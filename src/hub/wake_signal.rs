//! What a subscription without a ring hears: that there is an alert for it, and nothing of those of others.

use tokio::sync::watch;

use super::routes::Filtered;
use crate::alert::{Filter, Id};

pub(super) struct WakeSignal {
    filter: Filter,
    newest: watch::Sender<Id>,
}

impl WakeSignal {
    pub(super) fn new(filter: Filter) -> Self {
        Self { filter, newest: watch::Sender::new(Id::ZERO) }
    }

    /// There is an alert with this id that passes.
    pub(super) fn wake(&self, id: Id) {
        self.newest.send_replace(id);
    }

    /// The newest id that it rang for.
    pub(super) fn listen(&self) -> watch::Receiver<Id> {
        self.newest.subscribe()
    }
}

impl Filtered for WakeSignal {
    fn filter(&self) -> &Filter {
        &self.filter
    }
}
