//! Wake-up for subscriptions without a ring. It fires only for alerts that pass their filter.

use std::sync::Arc;

use tokio::sync::watch;

use super::routes::Filtered;
use crate::alert::{Filter, Id};

pub(super) struct WakeSignal {
    filter: Arc<Filter>,
    newest: watch::Sender<Id>,
}

impl WakeSignal {
    pub(super) fn new(filter: Arc<Filter>) -> Self {
        Self { filter, newest: watch::Sender::new(Id::ZERO) }
    }

    /// Reports an alert that passes the filter.
    pub(super) fn wake(&self, id: Id) {
        self.newest.send_replace(id);
    }

    /// The newest id that was reported.
    pub(super) fn watch(&self) -> watch::Receiver<Id> {
        self.newest.subscribe()
    }
}

impl Filtered for WakeSignal {
    fn filter(&self) -> &Filter {
        &self.filter
    }
}
